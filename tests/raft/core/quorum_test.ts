import { assert } from "../../deps.ts";
import { Prng } from "../../../raft/core/prng.ts";
import {
  electionResult,
  quorumSize,
  quorumValue,
} from "../../../raft/core/quorum.ts";

Deno.test("quorumSize() is a majority", () => {
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(quorumSize), [
    1,
    2,
    2,
    3,
    3,
    4,
    4,
  ]);
});

Deno.test("quorumValue() is the highest value that a majority has reached", () => {
  assert.equal(quorumValue([], 0), 0);
  assert.equal(quorumValue([7], 1), 7);
  assert.equal(quorumValue([3, 9], 2), 3);
  assert.equal(quorumValue([5, 1, 9], 3), 5);
  assert.equal(quorumValue([5, 1, 9, 2], 4), 2);
  assert.equal(quorumValue([5, 5, 5, 1, 1], 5), 5);
});

Deno.test("quorumValue() looks only at the first values of its scratch array", () => {
  assert.equal(quorumValue([1, 2, 3, 99, 99], 3), 2);
});

Deno.test("quorumValue() agrees with counting", () => {
  const prng = new Prng(1);
  for (let round = 0; round < 500; round++) {
    const count = prng.between(1, 10);
    const values = Array.from({ length: count }, () => prng.below(6));
    const counted = Math.max(
      ...values.filter((value) =>
        values.filter((other) => other >= value).length >= quorumSize(count)
      ),
    );
    assert.equal(quorumValue([...values], count), counted);
  }
});

Deno.test("electionResult() is decided as soon as it can be", () => {
  const result = (granted: number, rejected: number, voterCount: number) =>
    electionResult({ granted, rejected, voterCount });
  assert.equal(result(1, 0, 1), "won");
  assert.equal(result(1, 0, 2), "pending");
  assert.equal(result(1, 1, 2), "lost");
  assert.equal(result(1, 1, 3), "pending");
  assert.equal(result(2, 0, 3), "won");
  assert.equal(result(1, 2, 3), "lost");
  assert.equal(result(2, 2, 5), "pending");
  assert.equal(result(2, 3, 5), "lost");
});
