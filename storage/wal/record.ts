/** Records: the buffer in which they are built, and the check of their headers. `format.ts` draws them. */
import { assert } from "../../raft/core/assert.ts";
import { getUint64, setUint64 } from "../../raft/core/entry_batch.ts";
import type { Crc32 } from "../../raft/core/types.ts";
import { endMarkBytes, recordHeaderBytes, type Salt } from "./format.ts";

const initialBytes = 256 * 1024;
/** A buffer that a large group made grow beyond this is given back afterwards. */
const keptBytes = 8 * 1024 * 1024;

/** The end of a record: what its header says beside its length. */
export interface RecordSeal {
  /** One of `recordKind`. */
  readonly kind: number;
  /** Log position of the buffer's first byte. */
  readonly bufferPosition: number;
  /** Everything before this position is durable. */
  readonly syncedTo: number;
  /** Of the segment. */
  readonly salt: Salt;
}

/**
 * Bytes on their way to a segment. One buffer is used again and again, because small typed arrays are dear, and a
 * whole group lies in it, because its checksum stands before it.
 */
export class RecordBuffer {
  /** The storage; replaced when it grows, so it is read anew after each `reserve`. */
  bytes = new Uint8Array(initialBytes);
  /** A view of `bytes`. */
  view = new DataView(this.bytes.buffer);
  /** Bytes in use. */
  length = 0;
  #recordStart = 0;

  /** Begins a record behind what is in the buffer. */
  begin(): void {
    this.#recordStart = this.length;
    this.reserve(recordHeaderBytes);
  }

  /** Makes room for `count` bytes at the end and returns where they begin. They hold anything. */
  reserve(count: number): number {
    const at = this.length;
    const end = at + count;
    if (end + endMarkBytes > this.bytes.length) this.#grow(end + endMarkBytes);
    this.length = end;
    return at;
  }

  /** Appends a copy of `bytes`, and returns where it begins. */
  append(bytes: Uint8Array): number {
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
    return at;
  }

  /** Bytes of payload in the record under construction. */
  get payloadBytes(): number {
    return this.length - this.#recordStart - recordHeaderBytes;
  }

  /** Ends the record: pads it and fills its header. */
  finish(seal: RecordSeal, crc32: Crc32): void {
    const start = this.#recordStart;
    const padding = (8 - this.length % 8) % 8;
    const paddingAt = this.reserve(padding);
    const { bytes, view } = this;
    bytes.fill(0, paddingAt, this.length);
    const payloadAt = start + recordHeaderBytes;
    const length = this.length - payloadAt;
    assert(start % 8 === 0, "a record must be aligned");
    assert(length < 2 ** 31, "a record must be smaller than 2 GiB");
    const { headerSeed, payloadSeed } = seal.salt;
    const checksum = length === 0
      ? payloadSeed
      : crc32(bytes.subarray(payloadAt, this.length), payloadSeed);
    view.setUint32(start + 4, checksum, true);
    view.setUint32(start + 8, length, true);
    view.setUint32(start + 12, seal.kind, true);
    setUint64(view, start + 16, seal.bufferPosition + start);
    setUint64(view, start + 24, seal.syncedTo);
    const header = bytes.subarray(start + 4, payloadAt);
    view.setUint32(start, crc32(header, headerSeed), true);
  }

  /** What is in the buffer, and up to `room` bytes of the end mark behind it. */
  contents(room: number): Uint8Array {
    const end = this.length + Math.min(room, endMarkBytes);
    this.bytes.fill(0, this.length, end);
    return this.bytes.subarray(0, end);
  }

  /** Empties the buffer. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > keptBytes) this.#replace(new Uint8Array(keptBytes));
  }

  /** Gives back what a large group made it grow by: nothing is to be written for a while. */
  trim(): void {
    assert(this.length === 0, "a buffer in use must stay");
    if (this.bytes.length > initialBytes) {
      this.#replace(new Uint8Array(initialBytes));
    }
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, 2 * this.bytes.length));
    grown.set(this.bytes.subarray(0, this.length));
    this.#replace(grown);
  }

  #replace(bytes: Uint8Array<ArrayBuffer>): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }
}

/** Bytes in memory and a view of them. */
export interface Window {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Whether a record header of this segment and position stands at `at`. Its payload is not looked at. */
export function isRecordHeader(
  { bytes, view }: Window,
  at: number,
  expected: { position: number; salt: Salt },
  crc32: Crc32,
): boolean {
  return getUint64(view, at + 16) === expected.position &&
    view.getUint32(at, true) ===
      crc32(
        bytes.subarray(at + 4, at + recordHeaderBytes),
        expected.salt.headerSeed,
      );
}

/** What the record header at `at` says to be durable. */
export function syncedToOf({ view }: Window, at: number): number {
  return getUint64(view, at + 24);
}
