import { assert } from "../../deps.ts";
import { Unstable } from "../../../raft/core/unstable.ts";
import { makeBatch } from "../../support/entries.ts";

function batch(firstIndex: number, count: number, term = 1) {
  return makeBatch({
    term,
    firstIndex,
    commands: new Array<string>(count).fill("x"),
  });
}

function filled(...counts: number[]): Unstable {
  const unstable = new Unstable();
  let next = 1;
  for (const count of counts) {
    unstable.push(batch(next, count));
    next += count;
  }
  return unstable;
}

Deno.test("Unstable.positionOf() finds the batch that holds an index", () => {
  const unstable = filled(3, 1, 5, 2);
  const positions = Array.from(
    { length: 13 },
    (_, index) => unstable.positionOf(index),
  );
  assert.deepEqual(positions, [-1, 0, 0, 0, 1, 2, 2, 2, 2, 2, 3, 3, -1]);
  assert.equal(new Unstable().positionOf(1), -1);
});

Deno.test("Unstable.truncateFrom() removes whole batches from the end", () => {
  const unstable = filled(3, 1, 5);
  unstable.truncateFrom(5);
  assert.equal(unstable.lastIndex, 4);
  unstable.truncateFrom(9);
  assert.equal(unstable.count, 2);
});

Deno.test("Unstable.push() refuses a gap", () => {
  const unstable = filled(3);
  assert.throws(() => unstable.push(batch(5, 1)), /follow/);
});

Deno.test("Unstable.evict() keeps some of what is no longer needed, and all that is", () => {
  const unstable = filled(...new Array<number>(100).fill(1));
  const size = unstable.at(0).bytes.length;
  unstable.evict(50, 10 * size);
  assert.equal(unstable.firstIndex, 41);
  assert.equal(unstable.lastIndex, 100);
  unstable.evict(50, 0);
  assert.equal(unstable.firstIndex, 51);
  unstable.evict(100, 0);
  assert.equal(unstable.count, 0);
  unstable.push(batch(101, 1));
  assert.equal(unstable.positionOf(101), 0);
});

Deno.test("Unstable.evict() never takes part of a batch", () => {
  const unstable = filled(4, 4);
  unstable.evict(6, 0);
  assert.equal(unstable.firstIndex, 5);
});

Deno.test("Unstable never cuts what was applied and durable", () => {
  const unstable = filled(1, 1, 1);
  unstable.evict(2, 1_000);
  assert.throws(() => unstable.truncateFrom(2), /must not be truncated/);
});
