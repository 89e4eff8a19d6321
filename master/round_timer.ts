/** Time that grows without reports. */
import { tickPeriodMs } from "./liveness.ts";
import { nextTick } from "./pace.ts";
import { runRound } from "./round.ts";
import { takePass } from "./round_attention.ts";
import { clockKey, readClock, schemaVersion } from "./schema.ts";
import type { StoreContext } from "./store_context.ts";

/** Periods that must have passed: a report would have made time grow long before. */
const periods = 2;

/** Lets time grow by one and runs the round, if nobody else did for long. */
export async function tickByTimer(
  context: StoreContext,
  epoch: string,
): Promise<boolean> {
  const { access } = context;
  const entry = await access.get(clockKey);
  if (entry.value === null) return false;
  const nowMs = access.now();
  const clock = readClock(entry.value, nowMs);
  const periodMs = tickPeriodMs(clock, context.periodMs);
  const passedMs = Math.abs(nowMs - context.ticks.begunAtMs(clock, nowMs));
  if (passedMs < periods * periodMs) return false;
  const w = access.randomHex(8);
  const { record, pass } = takePass(nextTick(clock, nowMs, { periodMs }));
  const next = { ...record, v: schemaVersion, w };
  const atomic = access.atomic()
    .check({ key: clockKey, versionstamp: entry.versionstamp })
    .set(clockKey, next);
  const { ok, versionstamp } = await access.tryCommit(atomic);
  if (!ok) return false; // Somebody else did, or will.
  await runRound(context, { epoch, clock: next, versionstamp, pass });
  return true;
}
