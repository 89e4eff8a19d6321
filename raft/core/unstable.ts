/**
 * The tail of the log that is held in memory: what is not yet durable, what is not yet applied, and a little more
 * for followers. A queue of whole batches with contiguous indexes; it grows at the end, is truncated from the end
 * and evicted from the front.
 */
import { assert } from "./assert.ts";
import type { EntryBatch } from "./types.ts";

/** A queue of contiguous batches. */
export class Unstable {
  #batches: (EntryBatch | undefined)[] = [];
  /** Position of the first batch in `#batches`; what lies before was evicted. */
  #head = 0;
  /** How many of the batches, from the front, may be evicted. */
  #evictableCount = 0;
  #evictableBytes = 0;
  #bytes = 0;

  /** Number of batches. */
  get count(): number {
    return this.#batches.length - this.#head;
  }

  /** Bytes of the batches that may not be evicted. */
  get neededBytes(): number {
    return this.#bytes - this.#evictableBytes;
  }

  /** First index held, or 0 if empty. */
  get firstIndex(): number {
    return this.count === 0 ? 0 : this.at(0).firstIndex;
  }

  /** Last index held, or 0 if empty. */
  get lastIndex(): number {
    return this.count === 0 ? 0 : this.at(this.count - 1).lastIndex;
  }

  /** The batch at `position`, counted from the front. */
  at(position: number): EntryBatch {
    const batch = this.#batches[this.#head + position];
    assert(batch !== undefined, "a position must be inside the queue");
    return batch;
  }

  /** Position of the batch that holds `index`, or -1. */
  positionOf(index: number): number {
    let low = 0;
    let high = this.count - 1;
    // Nearly all look-ups are for the last batches, which a search by halves would reach last.
    if (high < 0 || index > this.at(high).lastIndex) return -1;
    if (index >= this.at(high).firstIndex) return high;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const batch = this.at(middle);
      if (index < batch.firstIndex) high = middle - 1;
      else if (index > batch.lastIndex) low = middle + 1;
      else return middle;
    }
    return -1;
  }

  /** Adds a batch at the end; it must follow the last one. */
  push(batch: EntryBatch): void {
    assert(
      this.count === 0 || batch.firstIndex === this.lastIndex + 1,
      "a batch must follow the one before it",
    );
    this.#batches.push(batch);
    this.#bytes += batch.bytes.length;
  }

  /** Removes every batch that reaches `index` or beyond. */
  truncateFrom(index: number): void {
    while (this.count > 0 && this.lastIndex >= index) {
      this.#bytes -= this.at(this.count - 1).bytes.length;
      this.#batches.pop();
    }
    assert(
      this.#evictableCount <= this.count,
      "what is applied and durable must not be truncated",
    );
  }

  /** Removes everything. */
  clear(): void {
    this.#batches = [];
    this.#head = 0;
    this.#evictableCount = 0;
    this.#evictableBytes = 0;
    this.#bytes = 0;
  }

  /**
   * Lets go of batches that end at or below `index`, which are durable and applied, except for the last
   * `retainBytes` of them. The work is in proportion to what became evictable since the last call.
   */
  evict(index: number, retainBytes: number): void {
    while (
      this.#evictableCount < this.count &&
      this.at(this.#evictableCount).lastIndex <= index
    ) {
      this.#evictableBytes += this.at(this.#evictableCount).bytes.length;
      this.#evictableCount++;
    }
    while (this.#evictableCount > 0 && this.#evictableBytes > retainBytes) {
      this.#evictableBytes -= this.at(0).bytes.length;
      this.#bytes -= this.at(0).bytes.length;
      this.#evictableCount--;
      this.#batches[this.#head] = undefined;
      this.#head++;
    }
    this.#compactQueue();
  }

  /** What it holds, as plain values: for tests that look whether two states are the same. */
  fingerprint(): unknown[] {
    const held: unknown[] = [this.#evictableCount];
    for (let position = 0; position < this.count; position++) {
      const { firstIndex, lastIndex, term } = this.at(position);
      held.push([firstIndex, lastIndex, term]);
    }
    return held;
  }

  /** Moves the queue to the front of its array once more than half of the array is empty. */
  #compactQueue(): void {
    if (this.#head === this.#batches.length) {
      this.#batches.length = 0;
      this.#head = 0;
    } else if (this.#head >= 32 && this.#head * 2 > this.#batches.length) {
      this.#batches.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
