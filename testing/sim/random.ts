/**
 * The one source of chance in a simulation. Every part draws from a generator of its own, forked from the
 * seed by name, so that one more draw in one part does not change what the others do.
 */
import { Prng } from "../../raft/core/prng.ts";
import type { Random } from "../../raft/ports.ts";

const two32 = 0x1_0000_0000;

/** A seeded generator: 32-bit integer arithmetic, the same on every machine. */
export class SimRandom implements Random {
  readonly #prng: Prng;

  /** Makes the generator of `seed`, a whole number, and `label`. */
  constructor(seed: number, label = "") {
    // FNV-1a of the label, so that parts of one seed differ.
    let hash = 0x811c9dc5;
    for (let i = 0; i < label.length; i++) {
      hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    }
    const low = ((seed % two32) ^ hash) >>> 0;
    this.#prng = new Prng((Math.floor(seed / two32) & 0x1f_ffff) * two32 + low);
  }

  /** The next 32 bits. */
  next(): number {
    return this.#prng.uint32();
  }

  /** An integer in `[0, limit)`; `limit` is at most 2^32. */
  below(limit: number): number {
    return this.#prng.below(limit);
  }

  /** An integer in `[low, high]`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with `probability`, a fraction. */
  chance(probability: number): boolean {
    return this.next() < probability * two32;
  }

  /** Mostly an integer in `[low, usual]`, one time in ten up to `high`: how delays are spread. */
  longTail(low: number, usual: number, high: number): number {
    return this.chance(0.9)
      ? this.between(low, usual)
      : this.between(usual, high);
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) {
      throw new RangeError("Cannot pick: there are no items");
    }
    return item;
  }

  /** The items in another order. */
  shuffle<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const swapped = result[i] as T;
      result[i] = result[j] as T;
      result[j] = swapped;
    }
    return result;
  }

  /** A generator of its own for the part called `label`. */
  fork(label: string): SimRandom {
    return new SimRandom(this.next() * 0x20_0000 + (this.next() >>> 11), label);
  }

  /** Fills `bytes`. */
  fill(bytes: Uint8Array): void {
    let left = 0;
    for (let i = 0; i < bytes.length; i++) {
      left = i % 4 === 0 ? this.#prng.uint32() : left >>> 8;
      bytes[i] = left;
    }
  }
}
