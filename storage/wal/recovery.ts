/**
 * Reads a log back: which segments there are, what their records say, and where the log ends (rules L1, L2).
 *
 * All segments but the newest were durable before the next was begun, so whatever does not check in them is damage.
 * In the newest, the first record that does not check ends the log: it was cut off by a crash, unless a later record
 * says that everything up to a position behind it was durable; then it is damage too.
 */
import { assert } from "../../raft/core/assert.ts";
import type { Crc32 } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type { FileSystem, StoredFile } from "../file_system.ts";
import type { RecoveryReport } from "../log_store.ts";
import {
  endMarkBytes,
  firstRecordOffset,
  recordHeaderBytes,
  recordKind,
  type SegmentHeader,
} from "./format.ts";
import type { NodeTable } from "./node_table.ts";
import { isRecordHeader, syncedToOf, type Window } from "./record.ts";
import { Replay } from "./replay.ts";
import { Segment, type SegmentList } from "./segment.ts";
import { findSegments, type FoundSegment } from "./segment_files.ts";
import { SegmentReader } from "./segment_reader.ts";

/** What recovery works with. */
export interface RecoveryContext {
  readonly fileSystem: FileSystem;
  readonly dir: string;
  readonly crc32: Crc32;
  /** Empty; gets the segments that hold the log. */
  readonly segments: SegmentList;
  /** Empty; gets the nodes. */
  readonly nodes: NodeTable;
  /** Whether damage that was not judged before is passed over, and judged (rule L7). */
  readonly mends?: boolean;
  readonly yield: () => Promise<void>;
}

/** What recovery found, beside segments and nodes. */
export interface Recovered {
  readonly report: RecoveryReport;
  /** Log position up to which the newest segment is proven durable. */
  readonly provenTo: number;
  /** Whether a record in the newest segment proves that its header is durable. */
  readonly isHeaderProven: boolean;
  /** Files with segments' names that hold nothing of the log: spares, and what should have been removed. */
  readonly others: readonly {
    readonly number: number;
    readonly path: string;
  }[];
}

/**
 * Reads the log in a folder. The files of `segments` stay open.
 *
 * @throws {RaftError} `corruption`, with path and offset.
 */
export async function recover(context: RecoveryContext): Promise<Recovered> {
  const { fileSystem, dir, crc32, segments } = context;
  const found = findSegments(fileSystem, dir, crc32);
  const kept = new Set<StoredFile>();
  try {
    const recovered = await new Recovery(context, found).run();
    for (let i = 0; i < segments.count; i++) kept.add(segments.at(i).file);
    return recovered;
  } finally {
    for (const { file } of found) {
      if (!kept.has(file)) file.close();
    }
  }
}

/** A segment with a header: its own, or one that was made up because that cannot be read at all. */
type GoodSegment = FoundSegment & { readonly header: SegmentHeader };

interface FoundDamage {
  readonly path: string;
  readonly offset: number;
  readonly what: string;
}

/** What stands behind a record that does not check. */
interface LaterRecords {
  /** Up to where records that check say the log to be durable. */
  readonly provenTo: number;
  /** Where the first of them stands, 0 if there is none. */
  readonly first: number;
  /** Where the last of them ends. */
  readonly end: number;
}

/** Where a record does not check. */
interface Defect {
  readonly what: string;
  /** If its header checks: its length, and its contents as far as they are there. */
  readonly length: number | undefined;
}

class Recovery {
  readonly #context: RecoveryContext;
  readonly #found: readonly FoundSegment[];
  readonly #reader = new SegmentReader();
  readonly #replay: Replay;
  #recordCount = 0;
  #isHeaderProven = false;
  #tornAt: RecoveryReport["tornAt"] = undefined;
  #tornBytes = 0;
  /** Numbers of segments whose header cannot be read. */
  readonly #unreadable = new Set<number>();
  /** Damage before this position was judged when the log was opened before. */
  #judgedTo = 0;
  readonly #damage: FoundDamage[] = [];
  /** Damage that was judged before, or was done since where that had been. */
  readonly #judgedDamage: FoundDamage[] = [];

  constructor(context: RecoveryContext, found: readonly FoundSegment[]) {
    this.#context = context;
    this.#found = found;
    this.#replay = new Replay(context.nodes);
  }

  async run(): Promise<Recovered> {
    const newest = await this.#newest();
    const chain = newest === undefined ? [] : this.#chainTo(newest);
    const provenTo = await this.#readChain(chain);
    return {
      report: {
        recordCount: this.#recordCount,
        tornBytes: this.#tornBytes,
        tornAt: this.#tornAt,
        damage: this.#damage,
      },
      provenTo,
      isHeaderProven: this.#isHeaderProven,
      others: this.#found.filter((one) =>
        !chain.some(({ number }) => number === one.number)
      ),
    };
  }

  /** The segment that was written to last. */
  async #newest(): Promise<GoodSegment | undefined> {
    const newest = this.#found.findLast(isGood);
    const half = await this.#checkUnused(newest?.number ?? 0);
    return half ?? newest;
  }

  /**
   * The file behind the newest segment is a spare, or a segment whose header did not reach the disk in whole; or it is the
   * newest itself and one copy of its header is damaged, and then it is returned to be mended.
   */
  async #checkUnused(newest: number): Promise<GoodSegment | undefined> {
    const [next, ...more] = this.#found.filter(({ number }) => number > newest);
    if (next === undefined) return undefined;
    const successor = more[0];
    const [last, spare] = this.#found.slice(-2);
    // A spare is made only when the header of the segment before it is durable. What stands before that may be damaged too.
    if (
      this.#context.mends === true && last !== undefined &&
      last.number > newest && last.header !== undefined &&
      spare?.state === "unused" && spare.number === last.number + 1
    ) {
      this.#noteHalf(last.path);
      return { ...last, header: last.header };
    }
    if (next.number !== newest + 1 || successor !== undefined) {
      throw damage(
        next.path,
        0,
        next.number !== newest + 1
          ? `segment ${next.number - 1} is missing`
          : `the header does not check, and it is older than ${successor?.path}`,
      );
    }
    if (next.state === "unused") return undefined;
    const { path, file, size, header } = next;
    if (header !== undefined) {
      this.#reader.open(file, size);
      const segment = new Segment(path, file, header);
      const later = await this.#laterRecords(segment, size, firstRecordOffset);
      if (later.provenTo > segment.base) {
        if (this.#context.mends !== true) {
          throw damage(path, 0, "the header does not check");
        }
        this.#noteHalf(path);
        return { ...next, header };
      }
    }
    this.#reportTorn(path, 0, firstRecordOffset);
    return undefined;
  }

  /** One copy of a header is enough to read the segment. */
  #noteHalf(path: string): void {
    const what = "one copy of the header does not check";
    this.#damage.push({ path, offset: 0, what });
  }

  /** The segments that hold the log: from the newest down to the oldest that it needed, without a gap. */
  #chainTo(newest: GoodSegment): GoodSegment[] {
    const chain: GoodSegment[] = [];
    const byNumber = new Map(this.#found.map((one) => [one.number, one]));
    const { oldest, judgedTo } = newest.header;
    this.#judgedTo = judgedTo;
    this.#context.segments.judgedTo = judgedTo;
    for (let number = newest.number; number >= oldest; number--) {
      const found = byNumber.get(number);
      if (found === undefined) break; // Recycled since then. If not, its batches are missed in the end.
      if (isGood(found)) {
        chain.push(found);
        continue;
      }
      const header = found.header ?? headerBefore(found, chain.at(-1)!.header);
      const isJudged = header.base < judgedTo;
      if (!isJudged && this.#context.mends !== true) {
        throw damage(found.path, 0, "the header does not check");
      }
      if (found.header === undefined) this.#unreadable.add(number);
      else if (!isJudged) this.#noteHalf(found.path);
      chain.push({ ...found, header });
    }
    return chain.reverse();
  }

  async #readChain(chain: readonly GoodSegment[]): Promise<number> {
    const { segments } = this.#context;
    let base = 0;
    for (const { path, file, header } of chain) {
      if (!isInRange(header) || header.base < base) {
        throw damage(
          path,
          0,
          `the header checks but has base ${header.base}, behind at least ${base}`,
        );
      }
      base = header.base + header.size;
      segments.add(new Segment(path, file, header));
    }
    let provenTo = 0;
    for (const [i, { file, size, header }] of chain.entries()) {
      const segment = segments.at(i);
      const next = chain[i + 1];
      this.#reader.open(file, size);
      this.#replay.beginSegment(header);
      if (next === undefined) {
        provenTo = await this.#readNewest(segment, size, header);
      } else {
        await this.#readOlder(segment, next.header);
      }
    }
    if (chain.length > 0) {
      this.#requireCheckpoint(segments.active);
      this.#judge();
      this.#requireWhole();
    }
    return provenTo;
  }

  /** Reads a segment whose records must all check, up to where the next one says that it ends. */
  async #readOlder(
    segment: Segment,
    next: SegmentHeader,
  ): Promise<void> {
    const end = next.previousEnd - segment.base;
    if (end <= 0) return; // All of it is void.
    segment.end = firstRecordOffset;
    if (this.#unreadable.has(segment.number)) {
      this.#passOver(segment, {
        what: "the header does not check",
        length: end - firstRecordOffset - recordHeaderBytes,
      }, false);
    }
    while (segment.end < end) {
      const defect = this.#readRecord(segment);
      if (defect !== undefined) {
        this.#requireMend(segment, defect.what);
        const { first } = await this.#laterRecords(segment, end, segment.end);
        this.#passDamage(segment, first === 0 ? end : first, defect);
      }
      if (this.#reader.takeTurn()) await this.#context.yield();
    }
    if (segment.end !== end) {
      throw damage(
        segment.path,
        segment.end,
        `the next segment begins where this one was at offset ${end}`,
      );
    }
  }

  /** Reads the newest segment and decides where the log ends. Returns the position up to which that is proven. */
  async #readNewest(
    segment: Segment,
    size: number,
    header: SegmentHeader,
  ): Promise<number> {
    let provenTo = Math.max(segment.base, header.syncedTo);
    segment.end = firstRecordOffset;
    let later: LaterRecords;
    while (true) {
      const record = { offset: segment.end };
      const defect = this.#readRecord(segment);
      if (defect !== undefined) {
        later = await this.#laterRecords(segment, size, segment.end);
        this.#prove(segment, later.provenTo);
        provenTo = Math.max(provenTo, later.provenTo);
        const provenEnd = provenTo - segment.base;
        if (provenEnd <= segment.end) break;
        const known = `${defect.what}, and everything up to offset ` +
          `${provenEnd} was durable`;
        this.#requireMend(segment, known);
        this.#passDamage(segment, later.first || provenEnd, defect);
        continue;
      }
      const at = this.#reader.load(record.offset, recordHeaderBytes);
      this.#prove(segment, syncedToOf(this.#reader, at));
      provenTo = Math.max(provenTo, syncedToOf(this.#reader, at));
      const kind = this.#reader.view.getUint32(at + 12, true);
      if (kind === recordKind.end) return provenTo; // Nothing is ever written behind it.
      if (this.#reader.takeTurn()) await this.#context.yield();
    }
    const { end } = segment;
    const isShort = size < segment.size;
    if (isShort || later.end > end || !this.#reader.isZero(end, endMarkBytes)) {
      const tornEnd = isShort ? segment.size : end + recordHeaderBytes;
      this.#reportTorn(segment.path, end, Math.max(later.end, tornEnd) - end);
    }
    return provenTo;
  }

  /** Damage at the segment's end must be known already, or else be ours to judge. */
  #requireMend(segment: Segment, what: string): void {
    const isJudged = segment.base + segment.end < this.#judgedTo;
    if (isJudged || this.#context.mends === true) return;
    throw damage(segment.path, segment.end, what);
  }

  /** Goes on behind damage: behind the record if its length is known, else at `next`. */
  #passDamage(segment: Segment, next: number, defect: Defect): void {
    const isStructured = defect.length !== undefined;
    const length = defect.length ?? next - segment.end - recordHeaderBytes;
    this.#passOver(segment, { ...defect, length }, isStructured);
  }

  #passOver(segment: Segment, defect: Defect, isStructured: boolean): void {
    const { path, end, base } = segment;
    const length = defect.length ?? 0;
    const isJudged = base + end < this.#judgedTo;
    const list = isJudged ? this.#judgedDamage : this.#damage;
    list.push({ path, offset: end, what: defect.what });
    const at = isStructured
      ? this.#reader.load(end, recordHeaderBytes + length)
      : -1;
    this.#replay.passOver(`${path} is damaged at offset ${end}`, {
      record: at < 0 ? undefined : { window: this.#reader, at },
      crc32: this.#context.crc32,
    });
    segment.end = end + recordHeaderBytes + length;
  }

  #prove(segment: Segment, provenTo: number): void {
    if (provenTo > segment.base) this.#isHeaderProven = true;
  }

  /** Reads and applies the record at the segment's end; returns why it does not check. */
  #readRecord(segment: Segment): Defect | undefined {
    const { crc32 } = this.#context;
    const reader = this.#reader;
    const offset = segment.end;
    let at = reader.load(offset, recordHeaderBytes);
    if (at < 0) return unknown("the file ends there");
    const expected = { position: segment.base + offset, salt: segment.salt };
    if (!isRecordHeader(reader, at, expected, crc32)) {
      return unknown("the record's header does not check");
    }
    const length = reader.view.getUint32(at + 8, true);
    at = reader.load(offset, recordHeaderBytes + length);
    if (at < 0) return unknown("the file ends within the record");
    const { payloadSeed } = segment.salt;
    const from = at + recordHeaderBytes;
    const checksum = length === 0
      ? payloadSeed
      : crc32(reader.bytes.subarray(from, from + length), payloadSeed);
    if (checksum !== reader.view.getUint32(at + 4, true)) {
      return { what: "the record's contents do not check", length };
    }
    const defect = this.#replay.apply(reader, at, offset);
    if (defect !== undefined) {
      throw damage(segment.path, offset, `the record checks but has ${defect}`);
    }
    segment.end = offset + recordHeaderBytes + length;
    this.#recordCount++;
    return undefined;
  }

  /** Looks at and behind `from` for headers of records that check: how far they prove, and where the last ends. */
  async #laterRecords(
    segment: Segment,
    size: number,
    from: number,
  ): Promise<LaterRecords> {
    const { crc32 } = this.#context;
    const reader = this.#reader;
    const { base, salt } = segment;
    let provenTo = 0;
    let first = 0;
    let end = 0;
    let offset = from;
    while (offset + recordHeaderBytes <= size) {
      const count = reader.bytesFrom(offset, recordHeaderBytes);
      const shift = reader.load(offset, recordHeaderBytes) - offset;
      const stop = offset + count - recordHeaderBytes;
      for (; offset <= stop; offset += 8) {
        const low = (base + offset) >>> 0;
        const at = nextInPlace(reader, shift + offset, shift + stop, low);
        offset = at - shift;
        if (offset > stop) break;
        const position = base + offset;
        if (!isRecordHeader(reader, at, { position, salt }, crc32)) continue;
        provenTo = Math.max(provenTo, syncedToOf(reader, at));
        if (first === 0 && offset > from) first = offset;
        end = offset + recordHeaderBytes +
          reader.view.getUint32(at + 8, true);
      }
      if (reader.takeTurn()) await this.#context.yield();
    }
    return { provenTo, first, end };
  }

  /**
   * Decides what damage took. Where damage was judged before there may be more since: then it takes more than is known,
   * for what was known follows from the same records again.
   */
  #judge(): void {
    const isNews = this.#replay.doubts.judge();
    if (!isNews || this.#damage.length > 0) return;
    const [first] = this.#judgedDamage;
    if (first === undefined) return;
    if (this.#context.mends !== true) {
      throw damage(first.path, first.offset, first.what);
    }
    this.#damage.push(...this.#judgedDamage);
  }

  #requireCheckpoint(newest: Segment): void {
    if (this.#replay.hasCheckpoint) return;
    throw damage(newest.path, firstRecordOffset, "there is no checkpoint");
  }

  /** Every node, and every entry of it, must be there, but for what damage is known to have taken. */
  #requireWhole(): void {
    const missing = this.#replay.firstMissing();
    if (missing === undefined) return;
    const { node, index } = missing;
    const { front } = this.#context.segments;
    throw damage(
      front.path,
      0,
      `no segment from this one on holds entry ${index} of cluster ` +
        `${node.clusterId}, node ${node.nodeId}; older ones are missing`,
    );
  }

  #reportTorn(path: string, offset: number, bytes: number): void {
    this.#tornAt ??= { path, offset };
    this.#tornBytes += bytes;
  }
}

/**
 * The next place from `at` to `stop` where a record's header may stand: where the low half of its position fits, which is
 * `low` at `at`. Next to none does, so this is all that is done for most of what an unused segment holds. Behind `stop` if
 * there is none.
 */
function nextInPlace(
  { bytes }: Window,
  at: number,
  stop: number,
  low: number,
): number {
  assert(at % 8 === 0, "records are aligned");
  // A file that was cut may end within a word; no header can begin there.
  const words = new Int32Array(
    bytes.buffer,
    bytes.byteOffset,
    bytes.byteLength >> 2,
  );
  const last = (stop >> 2) + 4;
  let expected = low | 0;
  let word = (at >> 2) + 4;
  for (; word <= last && words[word] !== expected; word += 2) {
    expected = (expected + 8) | 0;
  }
  return (word - 4) << 2;
}

function isGood(found: FoundSegment): found is GoodSegment {
  return found.state === "good";
}

function unknown(what: string): Defect {
  return { what, length: undefined };
}

/** What can be said of a segment whose header cannot be read, by the one behind it: where it stands. */
function headerBefore(
  { number, size }: FoundSegment,
  next: SegmentHeader,
): SegmentHeader {
  return {
    number,
    salt: { headerSeed: 0, payloadSeed: 0 },
    base: Math.max(0, next.base - size),
    size,
    previousEnd: 0,
    oldest: number,
    syncedTo: 0,
    judgedTo: 0,
  };
}

function isInRange(header: SegmentHeader): boolean {
  const { base, size, previousEnd, syncedTo, judgedTo } = header;
  return [base + size, previousEnd, syncedTo, judgedTo].every(
    Number.isSafeInteger,
  );
}

function damage(path: string, offset: number, what: string): RaftError {
  return new RaftError(
    "corruption",
    `Cannot open the log: ${path} is damaged at offset ${offset}: ${what}`,
  );
}
