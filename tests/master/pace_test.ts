import { assert } from "../deps.ts";
import { nextReportMs, nextTick } from "../../master/pace.ts";
import { type ClockRecord, readClock } from "../../master/schema.ts";

const hourMs = 3_600_000;
const pace = { periodMs: 60_000, busyPeriodMs: 5_000, busyMsPerDay: hourMs };

Deno.test("After an hour of a day in which something was being done, NodeHosts report a third as often", () => {
  let clock: ClockRecord = { ...readClock(null, 0), busy: true };
  assert.equal(nextReportMs(clock, pace), 5_000);
  let nowMs = 0;
  let asked = 0;
  while (nextReportMs(clock, pace) === 5_000) {
    nowMs += 60_000;
    clock = nextTick(clock, nowMs, pace);
    asked++;
  }
  assert.equal(asked, 60);
  assert.equal(nextReportMs(clock, pace), 15_000);
  assert.equal(nextReportMs({ ...clock, busy: false }, pace), 60_000);
  assert.equal(nextReportMs(clock, { ...pace, periodMs: 2_000 }), 2_000);
  // The next day has an hour of its own; what passes while nothing is done is not counted.
  clock = nextTick({ ...clock, busy: false }, 24 * hourMs, pace);
  assert.equal(nextReportMs({ ...clock, busy: true }, pace), 5_000);
});

Deno.test("A clock that jumps spends no more of the day than a period, and time grows by one (M5)", () => {
  const busy: ClockRecord = { ...readClock(null, 10 * hourMs), busy: true };
  for (const nowMs of [0, 9 * hourMs, 11 * hourMs, 900 * hourMs]) {
    const next = nextTick(busy, nowMs, pace);
    assert.equal(next.tick, busy.tick + 1);
    assert.equal(next.busyMs, 60_000);
    assert.equal(next.atMs, nowMs);
  }
});
