/** Finds the files of a log in their folder. */
import type { Crc32 } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type { FileSystem, StoredFile } from "../file_system.ts";
import {
  decodeSegmentHeader,
  firstRecordOffset,
  type SegmentHeader,
  segmentHeaderBytes,
  segmentNumber,
  walFormatVersion,
} from "./format.ts";

/** A file with a segment's name. */
export interface FoundSegment {
  readonly number: number;
  readonly path: string;
  readonly file: StoredFile;
  readonly size: number;
  /**
   * `good`: both copies of the header are whole and bear the file's number. `half`: one copy is and does; the other is
   * damaged, was not written any more, or is whole but of another time. `unused`: nothing was written since the file got its name. `damaged`: neither
   * copy is whole, and one is not even blank. A file that was another segment is `unused` with one whole copy of that
   * time: both of its own are written at once, and nothing is acknowledged before they are durable.
   */
  readonly state: "good" | "half" | "unused" | "damaged";
  /** With `good` and `half`. */
  readonly header: SegmentHeader | undefined;
}

/**
 * Opens all files in the folder that have a segment's name, in order of their numbers.
 *
 * @throws {RaftError} `corruption` if one has a format version that this program does not know (rule L8).
 */
export function findSegments(
  fileSystem: FileSystem,
  dir: string,
  crc32: Crc32,
): FoundSegment[] {
  const found: FoundSegment[] = [];
  let opened: StoredFile | undefined;
  try {
    for (const name of fileSystem.list(dir)) {
      const number = segmentNumber(name);
      if (number === undefined) continue;
      const path = `${dir}/${name}`;
      const file = fileSystem.open(path);
      opened = file;
      const { state, header } = readHeader({ number, path, file }, crc32);
      found.push({ number, path, file, size: file.size(), state, header });
      opened = undefined;
    }
  } catch (error) {
    opened?.close();
    for (const { file } of found) file.close();
    throw error;
  }
  return found.sort((left, right) => left.number - right.number);
}

function readHeader(
  { number, path, file }: Pick<FoundSegment, "number" | "path" | "file">,
  crc32: Crc32,
): Pick<FoundSegment, "state" | "header"> {
  const bytes = new Uint8Array(firstRecordOffset);
  const count = file.readAt(bytes, 0);
  let header: SegmentHeader | undefined;
  let ownCount = 0;
  let damagedCount = 0;
  let isRecycled = false;
  for (const at of [0, segmentHeaderBytes]) {
    const copy = bytes.subarray(at, Math.min(at + segmentHeaderBytes, count));
    const decoded = decodeSegmentHeader(copy, crc32);
    if (!("defect" in decoded)) {
      if (decoded.number !== number) { // From when the file was another segment.
        isRecycled = true;
        continue;
      }
      // A recovery that was cut short may have left one; then the next one's write of both was cut short as well.
      const isOther = header !== undefined && !isSameHeader(header, decoded);
      if (!isOther) ownCount++;
      header = decoded;
    } else if (decoded.defect === "version") {
      throw new RaftError(
        "corruption",
        `Cannot open the log: ${path} has format version ${decoded.version} ` +
          `at offset ${at}, and this program reads version ${walFormatVersion}`,
      );
    } else if (decoded.defect === "damaged") {
      damagedCount++;
    }
  }
  if (header === undefined) {
    const isDamaged = damagedCount > 0 && !isRecycled;
    return { state: isDamaged ? "damaged" : "unused", header };
  }
  return { state: ownCount === 2 ? "good" : "half", header };
}

/** Whether both copies were written at once. */
function isSameHeader(one: SegmentHeader, other: SegmentHeader): boolean {
  return one.salt.headerSeed === other.salt.headerSeed &&
    one.salt.payloadSeed === other.salt.payloadSeed &&
    one.syncedTo === other.syncedTo;
}
