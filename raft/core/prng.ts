/**
 * A seeded generator of pseudo-random integers (sfc32 by Chris Doty-Humphrey). The core draws its election timeouts
 * from one, and simulators draw everything from one, so that a seed replays a run. Integer arithmetic only (rule
 * C11). Not for secrets.
 */
import { assert } from "./assert.ts";

const two32 = 0x1_0000_0000;

/** A stream of integers that follows from its seed alone. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter: number;

  /** `seed` is a safe integer, 0 or more. */
  constructor(seed: number) {
    assert(Number.isSafeInteger(seed), "a seed must be a safe integer");
    assert(seed >= 0, "a seed must not be negative");
    this.#a = 0;
    this.#b = seed % two32 | 0;
    this.#c = Math.floor(seed / two32) | 0;
    this.#counter = 1;
    // The first results still show the seed's pattern; the author of sfc32 discards twelve.
    for (let round = 0; round < 12; round++) this.uint32();
  }

  /** The next integer of 32 bits, 0 to 2^32 - 1. */
  uint32(): number {
    const result = (this.#a + this.#b | 0) + this.#counter | 0;
    this.#counter = this.#counter + 1 | 0;
    this.#a = this.#b ^ this.#b >>> 9;
    this.#b = this.#c + (this.#c << 3) | 0;
    this.#c = (this.#c << 21 | this.#c >>> 11) + result | 0;
    return result >>> 0;
  }

  /** An integer in `[0, limit)`, each equally likely; `limit` is at most 2^32. */
  below(limit: number): number {
    assert(Number.isSafeInteger(limit), "a limit must be a safe integer");
    assert(limit >= 1, "a limit must be positive");
    assert(limit <= two32, "a limit must fit 32 bits");
    // What would favour small results is drawn again.
    const fair = two32 - two32 % limit;
    let drawn = this.uint32();
    while (drawn >= fair) drawn = this.uint32();
    return drawn % limit;
  }

  /** An integer in `[from, to)`. */
  between(from: number, to: number): number {
    return from + this.below(to - from);
  }

  /** True in `count` of `outOf` cases on average. */
  chance(count: number, outOf: number): boolean {
    return this.below(outOf) < count;
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  /** Another generator, whose stream follows from this one's state. */
  fork(): Prng {
    return new Prng(this.uint32());
  }
}
