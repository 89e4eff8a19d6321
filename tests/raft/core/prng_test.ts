import { assert } from "../../deps.ts";
import { Prng } from "../../../raft/core/prng.ts";

Deno.test("Prng gives the same stream for the same seed, and another for another", () => {
  const draw = (seed: number) => {
    const prng = new Prng(seed);
    return Array.from({ length: 20 }, () => prng.uint32());
  };
  assert.deepEqual(draw(4_711), draw(4_711));
  assert.notDeepEqual(draw(4_711), draw(4_712));
  assert.notDeepEqual(draw(1), draw(1 + 2 ** 32));
});

Deno.test("Prng has not changed: recorded seeds replay what they did (rule C11)", () => {
  const prng = new Prng(1);
  assert.deepEqual(
    [prng.uint32(), prng.uint32(), prng.below(10), prng.between(5, 8)],
    [2_012_149_540, 1_872_316_204, 5, 5],
  );
});

Deno.test("Prng.below() reaches every result about equally often", () => {
  const prng = new Prng(7);
  const counts = new Array<number>(10).fill(0);
  for (let draw = 0; draw < 10_000; draw++) {
    const drawn = prng.below(10);
    counts[drawn] = (counts[drawn] ?? 0) + 1;
  }
  for (const count of counts) assert.ok(count > 850 && count < 1_150);
});

Deno.test("Prng.fork() makes a stream of its own", () => {
  const prng = new Prng(3);
  const fork = prng.fork();
  assert.notEqual(fork.uint32(), prng.uint32());
});

Deno.test("Prng refuses seeds and limits that are no integers in range", () => {
  assert.throws(() => new Prng(-1), /must not be negative/);
  assert.throws(() => new Prng(0.5), /safe integer/);
  assert.throws(() => new Prng(1).below(0), /positive/);
  assert.throws(() => new Prng(1).below(2 ** 33), /32 bits/);
});
