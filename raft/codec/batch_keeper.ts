/**
 * Decides whether a received batch stays where it lies in its frame or moves.
 *
 * A batch lives on in memory, until it is persisted, applied and no follower needs it, and whatever memory it lies in
 * lives on with it. Frames are cut from arenas of 256 KiB, so the last small batch of each of a thousand idle
 * clusters could pin a thousand arenas, heartbeats and all. So a batch that is at least an eighth of the memory under it
 * stays, uncopied; a smaller one is copied, at memory speed: into a small arena shared with other such batches if it
 * is tiny (a typed array of its own costs more than its copy), else into memory of just its size.
 */
const stayFraction = 8;
const arenaBytes = 16 * 1024;
const tinyBytes = 2 * 1024;

/** Keeps batches from pinning much more memory than their own. */
export class BatchKeeper {
  #arena: Uint8Array = new Uint8Array(0);
  #used = 0;

  /** Returns the same bytes, either where they are or copied. */
  keep(bytes: Uint8Array): Uint8Array {
    if (bytes.length * stayFraction >= bytes.buffer.byteLength) return bytes;
    if (bytes.length > tinyBytes) return bytes.slice();
    if (this.#arena.length - this.#used < bytes.length) {
      this.#arena = new Uint8Array(arenaBytes);
      this.#used = 0;
    }
    const copy = this.#arena.subarray(this.#used, this.#used + bytes.length);
    copy.set(bytes);
    this.#used += bytes.length;
    return copy;
  }
}
