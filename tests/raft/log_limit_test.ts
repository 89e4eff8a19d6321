import { assert } from "../deps.ts";
import { LogLimit } from "../../raft/log_limit.ts";

const limitBytes = 1_000;
const roundTicks = 10;

Deno.test("LogLimit refuses beyond the limit and takes again below 70 % of it, for itself and for followers", () => {
  const limit = new LogLimit(limitBytes, roundTicks);
  const look = (ownBytes: number, now = 1) => {
    limit.look({ ownBytes, term: 1, now });
    return limit.isLimited;
  };
  assert.equal(look(1_000), false);
  assert.equal(look(1_001), true);
  assert.equal(look(700), true, "it would only flap");
  assert.equal(look(699), false);
  limit.report(2, { bytes: 1_500, term: 1, now: 1 });
  limit.report(3, { bytes: 10, term: 1, now: 1 });
  assert.equal(look(0), true);
  limit.report(2, { bytes: 800, term: 1, now: 2 });
  assert.equal(look(0, 2), true);
  limit.report(2, { bytes: 100, term: 1, now: 3 });
  assert.equal(look(0, 3), false);
});

Deno.test("LogLimit forgets reports after three election timeouts, and those of another term", () => {
  const limit = new LogLimit(limitBytes, roundTicks);
  limit.report(2, { bytes: 1_500, term: 1, now: 1 });
  limit.look({ ownBytes: 0, term: 1, now: 30 });
  assert.ok(limit.isLimited);
  limit.look({ ownBytes: 0, term: 1, now: 31 });
  assert.equal(limit.isLimited, false, "it is gone, or has nothing to report");
  limit.report(2, { bytes: 1_500, term: 1, now: 40 });
  limit.look({ ownBytes: 0, term: 2, now: 41 });
  assert.equal(limit.isLimited, false);
});

Deno.test("LogLimit lets a follower report once an election timeout while it holds much, and once when it no longer does", () => {
  const limit = new LogLimit(limitBytes, roundTicks);
  const due: number[] = [];
  const run = (from: number, to: number, ownBytes: number) => {
    for (let now = from; now <= to; now++) {
      if (limit.isReportDue({ ownBytes, now })) due.push(now);
    }
  };
  run(1, 50, 699);
  assert.deepEqual(due, []);
  run(51, 75, 700);
  assert.deepEqual(due, [51, 61, 71]);
  run(76, 99, 10);
  assert.deepEqual(due, [51, 61, 71, 76]);
});
