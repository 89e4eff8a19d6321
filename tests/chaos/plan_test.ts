import { assert } from "../deps.ts";
import { clusters, faultKinds, machineCount, planOf } from "./plan.ts";

Deno.test("planOf() repeats the plan of a seed, and differs from seed to seed", () => {
  assert.deepEqual(planOf(7, 60_000), planOf(7, 60_000));
  assert.notDeepEqual(planOf(7, 60_000), planOf(8, 60_000));
  // A longer run begins like a shorter one.
  const short = planOf(7, 10_000);
  assert.deepEqual(planOf(7, 60_000).slice(0, short.length), short);
});

Deno.test("planOf() has every kind of fault in a minute", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const kinds = new Set(planOf(seed, 60_000).map(({ kind }) => kind));
    const missing = faultKinds.filter((kind) => !kinds.has(kind));
    assert.deepEqual(missing, [], `seed ${seed}`);
  }
});

Deno.test("planOf() names machines and clusters that exist, in the order of time", () => {
  let latest = 0;
  for (const step of planOf(3, 60_000)) {
    assert.ok(step.atMs >= latest && step.atMs < 60_000);
    latest = step.atMs;
    assert.equal(new Set(step.machines).size, machineCount);
    assert.ok(step.leaderOf === 0 || clusters.has(step.leaderOf));
    assert.ok(step.forMs > 0 && step.variant >= 0 && step.variant < 1);
  }
});
