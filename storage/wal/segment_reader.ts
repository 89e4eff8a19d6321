/** Reads a segment from front to back in pieces. */
import { assert } from "../../raft/core/assert.ts";
import type { StoredFile } from "../file_system.ts";
import type { Window } from "./record.ts";

/** Bytes read at once: less would cost calls, and with more they would leave the processor's cache before they are looked at. */
const pieceBytes = 256 * 1024;
/** Bytes after which others get a turn: more would hold up the event loop. */
const turnBytes = 4 * 1024 * 1024;

/** A window over the file that was opened last. */
export class SegmentReader implements Window {
  /** The bytes of the window; replaced when a record needs more. */
  bytes = new Uint8Array(0);
  /** A view of `bytes`. */
  view = new DataView(this.bytes.buffer);
  #file: StoredFile | undefined = undefined;
  #size = 0;
  #offset = 0;
  #length = 0;
  /** Up to where the file's bytes are counted in `#readSinceTurn`. */
  #countedTo = 0;
  #readSinceTurn = 0;

  /** Begins with a file of `size` bytes. */
  open(file: StoredFile, size: number): void {
    this.#file = file;
    this.#size = size;
    this.#offset = 0;
    this.#length = 0;
    this.#countedTo = 0;
    this.#grow(Math.min(size, pieceBytes));
  }

  /** Brings bytes into the window, and returns where in it they begin; -1 if the file is too short. */
  load(offset: number, count: number): number {
    if (offset + count > this.#size) return -1;
    const isThere = offset >= this.#offset &&
      offset + count <= this.#offset + this.#length;
    if (!isThere) this.#read(offset, count);
    return offset - this.#offset;
  }

  /** How many bytes of the window follow `offset`, at least `least` of which the file has. */
  bytesFrom(offset: number, least: number): number {
    assert(this.load(offset, least) >= 0, "a piece must lie in the file");
    return this.#offset + this.#length - offset;
  }

  /** Whether the file holds zeros there, as far as it reaches. */
  isZero(offset: number, count: number): boolean {
    const length = Math.max(0, Math.min(count, this.#size - offset));
    const at = this.load(offset, length);
    return this.bytes.subarray(at, at + length).every((byte) => byte === 0);
  }

  /** Whether so much was read since the last time that others should get a turn. */
  takeTurn(): boolean {
    if (this.#readSinceTurn < turnBytes) return false;
    this.#readSinceTurn = 0;
    return true;
  }

  #read(offset: number, count: number): void {
    assert(this.#file !== undefined, "a file must be open");
    this.#grow(count);
    const piece = this.bytes.subarray(0, this.#size - offset);
    this.#offset = offset;
    this.#length = this.#file.readAt(piece, offset);
    assert(this.#length >= count, "a file must not shrink while it is read");
    this.#count(offset, offset + count);
  }

  /** Counts as much as a turn may take at once, so that it does not depend on the pieces. */
  #count(from: number, to: number): void {
    if (to <= this.#countedTo) return;
    const bytes = Math.min(this.#size - from, Math.max(turnBytes, to - from));
    this.#countedTo = from + bytes;
    this.#readSinceTurn += bytes;
  }

  #grow(count: number): void {
    if (count <= this.bytes.length) return;
    this.bytes = new Uint8Array(count);
    this.view = new DataView(this.bytes.buffer);
  }
}
