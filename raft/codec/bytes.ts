/**
 * Reading and writing the little-endian integers, texts and byte strings that records consist of. 64-bit
 * integers hold safe integers, as two 32-bit halves, because `bigint` is dear.
 */
import { getUint64, setUint64 } from "../core/entry_batch.ts";

/** Why bytes could not be read. */
export type CodecDefect =
  /** They end too early. */
  | "short"
  /** Something follows that should not be there. */
  | "trailing"
  /** The kind of a record is unknown. */
  | "kind"
  /** A number is outside its range, or batches are not contiguous. */
  | "range"
  /** A text is too long, or is not UTF-8. */
  | "text"
  /** An entry batch inside does not check. */
  | "batch"
  /** A membership or a membership change inside does not check. */
  | "membership";

/** Longest text on the wire, in bytes of UTF-8. */
export const maxTextBytes = 1024;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * Reads one value after the other. The first defect sticks and every later value is zero or empty, so that a
 * decoder reads all its fields straight through and asks once, at the end.
 */
export class ByteReader {
  /** The first thing that was wrong. */
  defect: CodecDefect | undefined;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  /** Reads `bytes` from their beginning. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Bytes not read yet. */
  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  /** Notes a defect, unless there is one already. */
  fail(defect: CodecDefect): void {
    this.defect ??= defect;
  }

  /** An integer of 8 bits. */
  uint8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#view.getUint8(at);
  }

  /** An integer of 16 bits. */
  uint16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#view.getUint16(at, true);
  }

  /** An integer of 32 bits. */
  uint32(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.getUint32(at, true);
  }

  /** A safe integer, 0 or more. */
  integer(): number {
    const at = this.#take(8);
    if (at < 0) return 0;
    const value = getUint64(this.#view, at);
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    this.fail("range");
    return 0;
  }

  /** A safe integer, 1 or more. */
  id(): number {
    const value = this.integer();
    if (value === 0) this.fail("range");
    return value;
  }

  /** A full 64-bit integer; not for hot paths. */
  uint64(): bigint {
    const at = this.#take(8);
    return at < 0 ? 0n : this.#view.getBigUint64(at, true);
  }

  /** A byte that is 0 or 1. */
  flag(): boolean {
    const value = this.uint8();
    if (value > 1) this.fail("range");
    return value === 1;
  }

  /** A text behind its length in 16 bits. */
  text(): string {
    const length = this.uint16();
    if (length > maxTextBytes) this.fail("text");
    if (length === 0) return ""; // An answer without a refusal: the platform need not be asked.
    const bytes = this.bytes(length);
    if (this.defect !== undefined) return "";
    try {
      return decoder.decode(bytes);
    } catch {
      this.fail("text");
      return "";
    }
  }

  /** The next `length` bytes, not copied. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at < 0 ? 0 : at, at < 0 ? 0 : at + length);
  }

  /** The 32-bit integer that lies `offset` bytes ahead, without reading on. */
  peekUint32(offset: number): number {
    if (this.defect !== undefined || this.remaining < offset + 4) {
      this.fail("short");
      return 0;
    }
    return this.#view.getUint32(this.#offset + offset, true);
  }

  /** Where the next `length` bytes begin, or -1 if there are not as many. */
  #take(length: number): number {
    const at = this.#offset;
    if (this.defect !== undefined || this.#bytes.length - at < length) {
      this.fail("short");
      return -1;
    }
    this.#offset = at + length;
    return at;
  }
}

/** Bytes allocated at a time for what is written; never used twice, because a connection may still hold them. */
const chunkBytes = 32 * 1024;
/** Shorter byte strings are copied, which costs less than one more part. */
const copyBelowBytes = 1024;

/**
 * Writes values into chunks and keeps long byte strings as they are, so that a batch is copied only once, into
 * the socket's buffer. A chunk is used from front to back across many `takeParts`, so that small frames do
 * not allocate.
 */
export class ByteWriter {
  #chunk: Uint8Array;
  #view: DataView;
  #start = 0;
  #offset = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;

  /** Makes a writer without a chunk; the first value allocates one. */
  constructor() {
    this.#chunk = new Uint8Array(0);
    this.#view = new DataView(this.#chunk.buffer);
  }

  /** Bytes written since the last `takeParts`. */
  get length(): number {
    return this.#partBytes + this.#offset - this.#start;
  }

  /** Hands over what was written. */
  takeParts(): Uint8Array[] {
    this.#seal();
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    return parts;
  }

  /** Makes room for `bytes` bytes of the fixed-size values that follow. */
  reserve(bytes: number): void {
    if (this.#chunk.length - this.#offset >= bytes) return;
    this.#seal();
    this.#chunk = new Uint8Array(Math.max(chunkBytes, bytes));
    this.#view = new DataView(this.#chunk.buffer);
    this.#start = 0;
    this.#offset = 0;
  }

  /** An integer of 8 bits; like all below but `bytes` and `text`, within what was reserved. */
  uint8(value: number): void {
    this.#view.setUint8(this.#offset, value);
    this.#offset += 1;
  }

  /** An integer of 16 bits. */
  uint16(value: number): void {
    this.#view.setUint16(this.#offset, value, true);
    this.#offset += 2;
  }

  /** An integer of 32 bits. */
  uint32(value: number): void {
    this.#view.setUint32(this.#offset, value, true);
    this.#offset += 4;
  }

  /** A safe integer. */
  integer(value: number): void {
    const at = this.#offset;
    // Nearly all are small, and a remainder costs more than all the rest.
    if (value <= 0xffff_ffff) {
      this.#view.setUint32(at, value, true);
      this.#view.setUint32(at + 4, 0, true);
    } else {
      setUint64(this.#view, at, value);
    }
    this.#offset = at + 8;
  }

  /** A full 64-bit integer. */
  uint64(value: bigint): void {
    this.#view.setBigUint64(this.#offset, value, true);
    this.#offset += 8;
  }

  /** One byte, 0 or 1. */
  flag(value: boolean): void {
    this.uint8(value ? 1 : 0);
  }

  /** A text behind its length in 16 bits; what exceeds `maxTextBytes` is cut at a character. */
  text(value: string): void {
    this.reserve(2 + maxTextBytes);
    const target = this.#chunk.subarray(
      this.#offset + 2,
      this.#offset + 2 + maxTextBytes,
    );
    const { written } = encoder.encodeInto(value, target);
    this.uint16(written);
    this.#offset += written;
  }

  /** A byte string without a length. It must not change afterwards. */
  bytes(value: Uint8Array): void {
    if (value.length < copyBelowBytes) {
      this.reserve(value.length);
      this.#chunk.set(value, this.#offset);
      this.#offset += value.length;
      return;
    }
    this.#seal();
    this.#parts.push(value);
    this.#partBytes += value.length;
  }

  /** Everything written, in one piece; for tests and cold paths. */
  concat(): Uint8Array {
    return concatBytes(this.takeParts());
  }

  #seal(): void {
    if (this.#offset === this.#start) return;
    this.#parts.push(this.#chunk.subarray(this.#start, this.#offset));
    this.#partBytes += this.#offset - this.#start;
    this.#start = this.#offset;
  }
}

/** Joins byte strings into one new one. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
