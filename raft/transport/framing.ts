/**
 * Frames in a stream of bytes. Integers are little-endian.
 *
 * ```text
 * 0  length  (4B)  of the payload, at least 1
 * 4  crc32   (4B)  of the payload, continued from the length as its seed, so that it covers both
 * 8  payload
 * ```
 *
 * The first frame of a connection is a handshake, so it may not exceed 4 KiB: what a stranger claims about the length
 * of what follows is never believed further than that.
 */
import type { Crc32 } from "../core/types.ts";

/** Bytes of a frame before its payload. */
export const frameHeaderBytes = 8;
/** Longest payload of the first frame on a connection. */
export const maxFirstFrameBytes = 4096;

/** Memory allocated at a time to read into. Frames are cut from it where they lie whole. */
const arenaBytes = 256 * 1024;
/** With less room than this, and no frame begun, reading goes on in a new arena. */
const minRoomBytes = 16 * 1024;
/** Memory for a frame bigger than an arena grows with what has really arrived, at most by this factor. */
const growthFactor = 4;

/** Cuts a stream into frames. Bytes handed out are never written again, only collected. */
export class FrameReader {
  readonly #maxFrameBytes: number;
  readonly #crc32: Crc32;
  #buffer = new Uint8Array(frameHeaderBytes + maxFirstFrameBytes);
  #view = new DataView(this.#buffer.buffer);
  /** Where the next frame begins. */
  #start = 0;
  /** Where the next bytes go. */
  #end = 0;
  #isFirst = true;

  /** Frames longer than `maxFrameBytes` are defects. */
  constructor(maxFrameBytes: number, crc32: Crc32) {
    this.#maxFrameBytes = maxFrameBytes;
    this.#crc32 = crc32;
  }

  /** Where to read the next bytes into; never empty. */
  space(): Uint8Array {
    const have = this.#end - this.#start;
    const room = this.#buffer.length - this.#end;
    if (have === 0) {
      if (room < minRoomBytes && !this.#isFirst) this.#move(arenaBytes);
    } else {
      const wanted = this.#wantedBytes(have);
      const size = Math.max(
        arenaBytes,
        Math.min(wanted, have * growthFactor),
      );
      const fits = this.#start + wanted <= this.#buffer.length;
      if (!fits && size > this.#buffer.length - this.#start) this.#move(size);
    }
    return this.#buffer.subarray(this.#end);
  }

  /** Says that `count` bytes were read into `space()`. */
  filled(count: number): void {
    this.#end += count;
  }

  /** The next whole frame's payload; undefined if there is none yet; or what is wrong with the stream. */
  next(): Uint8Array | string | undefined {
    const have = this.#end - this.#start;
    if (have < frameHeaderBytes) return undefined;
    const length = this.#view.getUint32(this.#start, true);
    const limit = this.#isFirst ? maxFirstFrameBytes : this.#maxFrameBytes;
    if (length < 1 || length > limit) {
      return `not a frame: its length is ${length}, allowed are 1 to ${limit}`;
    }
    const end = this.#start + frameHeaderBytes + length;
    if (end > this.#end) return undefined;
    const payload = this.#buffer.subarray(this.#start + frameHeaderBytes, end);
    const expected = this.#view.getUint32(this.#start + 4, true);
    if (this.#crc32(payload, length) !== expected) {
      return "not a frame: its checksum does not match";
    }
    this.#start = end;
    this.#isFirst = false;
    return payload;
  }

  /** Bytes that the frame begun takes in all, as far as is known. */
  #wantedBytes(have: number): number {
    if (have < frameHeaderBytes) return frameHeaderBytes;
    return frameHeaderBytes + this.#view.getUint32(this.#start, true);
  }

  /** Goes on in new memory, since frames in the old one may still be in use. */
  #move(bytes: number): void {
    const next = new Uint8Array(bytes);
    next.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = next;
    this.#view = new DataView(next.buffer);
    this.#end -= this.#start;
    this.#start = 0;
  }
}

/** Makes frame headers, eight bytes at a time from an arena that is never used twice. */
export class FrameHeaders {
  readonly #crc32: Crc32;
  #arena = new Uint8Array(0);
  #view = new DataView(this.#arena.buffer);
  #used = 0;

  /** Makes headers with this checksum. */
  constructor(crc32: Crc32) {
    this.#crc32 = crc32;
  }

  /** The header of the frame whose payload is `parts`, `length` bytes together. */
  make(parts: readonly Uint8Array[], length: number): Uint8Array {
    if (this.#arena.length - this.#used < frameHeaderBytes) {
      this.#arena = new Uint8Array(512 * frameHeaderBytes);
      this.#view = new DataView(this.#arena.buffer);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += frameHeaderBytes;
    let checksum = length;
    for (const part of parts) checksum = this.#crc32(part, checksum);
    this.#view.setUint32(at, length, true);
    this.#view.setUint32(at + 4, checksum, true);
    return this.#arena.subarray(at, at + frameHeaderBytes);
  }
}
