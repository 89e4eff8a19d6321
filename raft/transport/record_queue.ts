import { ByteWriter } from "../codec/bytes.ts";
import { encodeRecord, type WireRecord } from "../codec/record.ts";

/** Records are joined up to this size, so that a frame of a thousand heartbeats has only a few parts. */
const segmentBytes = 32 * 1024;

/** Whole records, encoded. */
interface Segment {
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
}

/** Records that wait to be sent, encoded at once, handed out in order in pieces that end between two records. */
export class RecordQueue {
  readonly #writer = new ByteWriter();
  #segments: Segment[] = [];
  #segmentsBytes = 0;

  /** Bytes that wait. */
  get bytes(): number {
    return this.#segmentsBytes + this.#writer.length;
  }

  /** Adds a record that takes `atMost` bytes. Batches and entries are not copied and must not change. */
  add(record: WireRecord, atMost: number): void {
    if (this.#writer.length + atMost > segmentBytes) this.#seal();
    encodeRecord(this.#writer, record);
  }

  /**
   * Moves whole records into `parts`, up to `room` bytes, or the first segment whatever its size if `isFirst`.
   * Returns the bytes moved. A segment has at most 32 KiB, or is one record.
   */
  take(parts: Uint8Array[], room: number, isFirst: boolean): number {
    let taken = 0;
    let count = 0;
    for (const segment of this.#segments) {
      if (taken + segment.bytes > room && !(isFirst && count === 0)) break;
      taken += segment.bytes;
      count++;
      for (const part of segment.parts) parts.push(part);
    }
    const isAll = count === this.#segments.length;
    if (isAll) this.#segments = [];
    else this.#segments.splice(0, count);
    this.#segmentsBytes -= taken;
    const open = this.#writer.length;
    const isOpenFirst = isFirst && count === 0;
    if (!isAll || open === 0 || (taken + open > room && !isOpenFirst)) {
      return taken;
    }
    for (const part of this.#writer.takeParts()) parts.push(part);
    return taken + open;
  }

  #seal(): void {
    const bytes = this.#writer.length;
    if (bytes === 0) return;
    this.#segments.push({ parts: this.#writer.takeParts(), bytes });
    this.#segmentsBytes += bytes;
  }
}
