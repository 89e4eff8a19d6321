/** Bit rot in a machine's log: one bit of what is surely durable, in a log that has more than one segment. */
import type { FileSystem, StoredFile } from "../../storage/file_system.ts";
import {
  firstRecordOffset,
  recordHeaderBytes,
} from "../../storage/wal/format.ts";
import type { SimRandom } from "./random.ts";

const dir = "/data/log";

/** A segment that holds something. */
interface RotPlace {
  readonly path: string;
  /** Everything before this offset is durable, and some record behind says so. */
  readonly provenEnd: number;
  /** Whether it is a segment of the log, and not one that was recycled and waits to be used again. */
  readonly isLive: boolean;
}

/**
 * Flips a bit; returns where, or undefined if nothing may be damaged. What was written last may be torn, and rot there
 * cannot be told from that (rule L1), so it is left alone.
 */
export function rotOneBit(
  fileSystem: FileSystem,
  random: SimRandom,
): { path: string; offset: number } | undefined {
  if (fileSystem.stat(dir) === undefined) return undefined;
  const places = fileSystem.list(dir).flatMap((name): RotPlace[] => {
    const path = `${dir}/${name}`;
    const file = fileSystem.open(path);
    const place = placeIn(file, path, Number.parseInt(name));
    file.close();
    return place === undefined ? [] : [place];
  });
  // With one segment alone nobody would know which nodes there were.
  if (places.filter(({ isLive }) => isLive).length < 2) return undefined;
  const { path, provenEnd } = random.pick(places);
  if (provenEnd <= firstRecordOffset) return undefined;
  const offset = random.chance(0.1)
    ? random.below(firstRecordOffset)
    : random.between(firstRecordOffset, provenEnd - 1);
  const file = fileSystem.open(path);
  const byte = new Uint8Array(1);
  file.readAt(byte, offset);
  byte[0]! ^= 1 << random.below(8);
  file.writeAt(byte, offset);
  // It is on the disk itself: a power cut does not take it back. Nothing delays this sync.
  void file.sync();
  file.close();
  return { path, offset };
}

/** What is in a file: up to which offset the records of a segment say that they are durable; undefined if it is none. */
function placeIn(
  file: StoredFile,
  path: string,
  number: number,
): RotPlace | undefined {
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  if (bytes.length < firstRecordOffset || bytes[0] !== "d".charCodeAt(0)) {
    return undefined;
  }
  const view = new DataView(bytes.buffer);
  const integer = (at: number) => Number(view.getBigUint64(at, true));
  const base = integer(32);
  let provenTo = integer(64);
  for (let at = firstRecordOffset; at + recordHeaderBytes <= bytes.length;) {
    if (integer(at + 16) !== base + at) break;
    provenTo = Math.max(provenTo, integer(at + 24));
    at += recordHeaderBytes + view.getUint32(at + 8, true);
  }
  const provenEnd = Math.min(bytes.length, provenTo - base);
  return { path, provenEnd, isLive: integer(16) === number };
}
