/**
 * How often NodeHosts report. While something is being done they do more often, which costs what is counted by the
 * month: after an hour of that in a day it is a third as often. Paces only, decides nothing: so clocks may differ.
 */
import type { ClockRecord } from "./schema.ts";

const dayMs = 24 * 3_600_000;
/** Between two rounds of which the second goes on with the first. */
const soonMs = 1_000;
/** So much less often when the day's share is used up. */
const slower = 3;

/** What paces reports. */
export interface Pace {
  /** Milliseconds between reports when nothing happens. */
  readonly periodMs: number;
  /** The same while something is being done. */
  readonly busyPeriodMs: number;
  /** So much of a day may be spent that way. */
  readonly busyMsPerDay: number;
}

/** The clock of the next tick. What passed since the last one counts as busy if it was, a period at most. */
export function nextTick(
  clock: ClockRecord,
  nowMs: number,
  { periodMs }: Pick<Pace, "periodMs">,
): ClockRecord {
  const next = { ...clock, tick: clock.tick + 1, atMs: nowMs };
  if (!clock.busy) return next;
  const passed = Math.min(Math.abs(nowMs - clock.atMs), periodMs);
  const busyDay = Math.floor(nowMs / dayMs);
  const before = clock.busyDay === busyDay ? clock.busyMs ?? 0 : 0;
  return { ...next, busyDay, busyMs: before + passed };
}

/**
 * When a NodeHost should report again: soon if its report ran a round that had more to do than time, so that another one
 * goes on even if nobody else reports meanwhile.
 */
export function nextReportMs(
  clock: ClockRecord,
  { periodMs, busyPeriodMs, busyMsPerDay }: Pace,
  isSoon = false,
): number {
  if (!clock.busy) return periodMs;
  if (isSoon) return Math.min(busyPeriodMs, soonMs);
  const isToday = clock.busyDay === Math.floor(clock.atMs / dayMs);
  const spent = isToday ? clock.busyMs ?? 0 : 0;
  return spent < busyMsPerDay
    ? busyPeriodMs
    : Math.min(periodMs, slower * busyPeriodMs);
}
