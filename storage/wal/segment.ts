/** The segments of a log, from the oldest that is needed to the one that is written to. */
import { assert } from "../../raft/core/assert.ts";
import type { StoredFile } from "../file_system.ts";
import type { Salt, SegmentHeader } from "./format.ts";

/** One segment. */
export class Segment {
  readonly path: string;
  readonly file: StoredFile;
  readonly number: number;
  readonly salt: Salt;
  /** Log position of byte 0. */
  readonly base: number;
  /** Bytes of the file. */
  readonly size: number;
  /** Where the next record goes; in an older segment, where its records end. */
  end = 0;
  /** Bytes of batches in it that the index points to. */
  liveBytes = 0;
  /** The commit, counted by the writer, that last made a batch in it dead. */
  changedBy = 0;
  /** A batch in it could not be copied forward because it is damaged: the segment stays. */
  isPinned = false;

  /** Describes a segment; `file` belongs to it. */
  constructor(
    path: string,
    file: StoredFile,
    header: Pick<SegmentHeader, "number" | "salt" | "base" | "size">,
  ) {
    this.path = path;
    this.file = file;
    this.number = header.number;
    this.salt = header.salt;
    this.base = header.base;
    this.size = header.size;
  }
}

/** All segments in order, without a gap in their numbers, and how much of them is live. */
export class SegmentList {
  #list: Segment[] = [];
  #liveBytes = 0;
  #diskBytes = 0;
  /** The commit that is being written; see {@link Segment.changedBy}. */
  commitCount = 0;
  /** Damage before this log position was judged, and what it took is known (rule L7). */
  judgedTo = 0;

  /** Number of segments. */
  get count(): number {
    return this.#list.length;
  }

  /** Bytes of batches that the index points to. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Bytes of all files in the list. */
  get diskBytes(): number {
    return this.#diskBytes;
  }

  /** The oldest segment. */
  get front(): Segment {
    return this.at(0);
  }

  /** The one that is written to. */
  get active(): Segment {
    return this.at(this.#list.length - 1);
  }

  /** The segment at a place in the list. */
  at(place: number): Segment {
    const segment = this.#list[place];
    assert(segment !== undefined, "a segment must be in the list");
    return segment;
  }

  /** The segment with a number. */
  get(number: number): Segment {
    return this.at(number - this.#list[0]!.number);
  }

  /** Adds the next segment. */
  add(segment: Segment): void {
    const last = this.#list.at(-1);
    assert(
      last === undefined || segment.number === last.number + 1,
      "segments must be numbered without a gap",
    );
    assert(
      last === undefined || segment.base >= last.base + last.size,
      "log positions must never come twice",
    );
    this.#list.push(segment);
    this.#diskBytes += segment.size;
  }

  /** Takes the oldest segment out. */
  shift(): Segment {
    const segment = this.#list.shift();
    assert(segment !== undefined, "a segment must be in the list");
    assert(segment.liveBytes === 0, "a segment with live data must stay");
    this.#diskBytes -= segment.size;
    return segment;
  }

  /** A batch in a segment became part of the log. */
  retain(number: number, length: number): void {
    this.get(number).liveBytes += length;
    this.#liveBytes += length;
  }

  /** A batch in a segment is not part of the log any more, once the current commit is durable. */
  readonly release = (number: number, length: number): void => {
    const segment = this.get(number);
    segment.liveBytes -= length;
    segment.changedBy = this.commitCount;
    this.#liveBytes -= length;
    assert(segment.liveBytes >= 0, "a batch must be released only once");
  };

  /** How many of the oldest segments hold nothing that is needed, now that commits up to `synced` are durable. */
  deadCount(synced: number): number {
    let count = 0;
    while (count < this.#list.length - 1) {
      const segment = this.at(count);
      if (segment.liveBytes > 0 || segment.changedBy > synced) break;
      count++;
    }
    return count;
  }

  /** Closes all files. */
  close(): void {
    for (const segment of this.#list) segment.file.close();
  }
}
