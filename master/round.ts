/**
 * What the master that made time grow does in that tick: sees who fell silent, puts the clusters of the dead on the
 * to-do list, and decides about what is on it. It may stop after any commit; the next round goes on.
 *
 * The list is read before the NodeHosts: whoever takes a cluster off it then either knows of a death that put it there,
 * or finds that the entry changed.
 */
import { type AddedEvent, addEvent, commitAndTell } from "./history.ts";
import type { KvAtomic, KvEntry } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";
import { longestPeriodMs, takeCensus } from "./liveness.ts";
import { balance } from "./round_balance.ts";
import { decideAll } from "./round_decide.ts";
import {
  type Listed,
  readAttention,
  readAttentionOf,
} from "./round_attention.ts";
import {
  newRoundState,
  type RoundState,
  setHosts,
  setSlots,
} from "./round_state.ts";
import {
  attentionKey,
  clockKey,
  type ClockRecord,
  hostKey,
  type HostRecord,
  type PassRecord,
  readClock,
  schemaVersion,
} from "./schema.ts";
import { walkForAdoption } from "./round_adopt.ts";
import type { StoreContext } from "./store_context.ts";
import { sweep } from "./round_sweep.ts";

const walkPage = 500;

/** A round. */
export interface RoundOptions {
  /** The store's. */
  readonly epoch: string;
  /** The clock as it is. */
  readonly clock: ClockRecord;
  /** Its version, if known. */
  readonly versionstamp?: string | undefined;
  /** Only decides about these clusters, and about the rest of a pass. */
  readonly only?: ReadonlySet<number>;
  /** What an earlier round left of a pass over the to-do list, taken out of the clock. */
  readonly pass?: PassRecord | undefined;
}

/** Runs a round, and returns the clock after it. */
export async function runRound(
  context: StoreContext,
  options: RoundOptions,
): Promise<ClockRecord> {
  const { access } = context;
  const endMs = access.now() + context.roundMs;
  const { epoch, only } = options;
  const { clock } = options;
  const lists = await read(context, options);
  const hosts = await access.listNow({ prefix: ["h"] });
  const isAnyListed = lists.some(({ entries }) => entries.length > 0);
  const slots = isAnyListed ? await readSlots(context) : [];
  const state = newRoundState(context, { epoch, clock, hosts, slots, endMs });
  if (only !== undefined) {
    if (!clock.paused) {
      for (const listed of lists) await decideAll(state, listed);
    }
    return await finish(state, options);
  }
  const census = takeCensus(state.clock, state.hosts, context.limits.ttl);
  state.clock = { ...state.clock, silent: [...census.silent] };
  if (census.brake === undefined) delete state.clock.brake;
  else state.clock.brake = census.brake;
  const { ttl } = context.limits;
  const periodMs = longestPeriodMs(state.hosts, clock.tick, ttl);
  if (periodMs === undefined) delete state.clock.periodMs;
  else state.clock.periodMs = periodMs;
  // Those that a walk puts on the list may be where a pass was already.
  const now = await walk(state, census.failing)
    ? await readAfresh(context, state)
    : lists[0]!;
  if (!state.clock.paused) {
    if (now.isAllDone) await balance(state);
    else await decideAll(state, now);
  }
  await sweep(state, now.entries);
  if (!state.clock.paused) await walkForAdoption(state);
  return await finish(state, options);
}

/** The clusters to decide about. */
async function read(
  { access }: StoreContext,
  { clock, only, pass }: RoundOptions,
): Promise<Listed[]> {
  if (only === undefined) {
    return [await readAttention(access, clock, pass)];
  }
  const some = await readAttentionOf(access, only);
  if (pass === undefined) return [some];
  return [some, await readAttention(access, clock, pass)];
}

/** After a walk the list and the NodeHosts are read once more: their records changed. */
async function readAfresh(
  context: StoreContext,
  state: RoundState,
): Promise<Listed> {
  const listed = await readAttention(context.access, state.clock);
  const hostEntries = await context.access.listNow({ prefix: ["h"] });
  setHosts(state, hostEntries);
  setSlots(state, await readSlots(context));
  return listed;
}

async function readSlots(context: StoreContext): Promise<KvEntry[]> {
  return await context.access.listNow({ prefix: ["slot"] });
}

// ---- Those that fell silent, and those that are to be emptied ----

/** Puts the clusters of NodeHosts on the to-do list, a page per commit. A report meanwhile makes it stop. */
async function walk(
  state: RoundState,
  failing: readonly string[],
): Promise<boolean> {
  const ids = [...state.hosts].filter(([id, host]) =>
    failing.includes(id) ||
    (host.cursor !== undefined && host.state !== "failing")
  ).map(([id]) => id);
  for (const id of ids) await walkHost(state, id, failing.includes(id));
  return ids.length > 0;
}

async function walkHost(
  state: RoundState,
  id: string,
  isFailing: boolean,
): Promise<void> {
  const { access } = state.context;
  let entry = state.hostEntries.get(id)!;
  let host = state.hosts.get(id)!;
  for (;;) {
    const cursor = host.cursor ?? 0;
    const page = await access.listNow({
      prefix: ["m", id],
      start: ["m", id, cursor + 1],
    }, walkPage);
    const w = access.randomHex(8);
    const isLast = page.length < walkPage;
    const next = walkedTo(host, {
      isFailing,
      cursor: isLast ? undefined : Number(page.at(-1)!.key[2]),
    });
    const atomic = access.atomic()
      .check({ key: entry.key, versionstamp: entry.versionstamp })
      .set(hostKey(id), { ...next, v: schemaVersion, w });
    const { tick } = state.clock;
    const event = isFailing && isLast
      ? addEvent({ access, tick }, atomic, {
        host: id,
        what: "failed",
        why: `silent for ${tick - host.tick} ticks`,
      })
      : undefined;
    for (const { key } of page) {
      const value = { v: schemaVersion, w, tick };
      atomic.set(attentionKey(Number(key[2])), value);
    }
    const { ok, versionstamp } = await commitAndTell(
      state.context,
      atomic,
      event === undefined ? [] : [event],
    );
    if (!ok) return; // It was heard, or another master walks: the next round looks again.
    if (page.length > 0) state.isBusy = true;
    if (isLast || versionstamp === undefined) return;
    host = next;
    entry = { ...entry, versionstamp };
  }
}

function walkedTo(
  host: HostRecord,
  { isFailing, cursor }: { isFailing: boolean; cursor: number | undefined },
): HostRecord {
  const { cursor: _, ...rest } = host;
  const state = !isFailing
    ? host.state
    : cursor === undefined
    ? "failed"
    : "failing";
  const gen = (host.gen ?? 0) + (state === host.state ? 0 : 1);
  return { ...rest, state, gen, ...(cursor === undefined ? {} : { cursor }) };
}

// ---- The end ----

/** Writes the clock, if anything about it changed. */
async function finish(
  state: RoundState,
  options: RoundOptions,
): Promise<ClockRecord> {
  const { access } = state.context;
  const { clock: before, versionstamp } = options;
  const isMore = state.left !== undefined && state.hasChanged;
  const isBusy = state.isBusy ||
    (options.only === undefined ? isMore : before.busy);
  const changed = { ...state.clock, busy: isBusy };
  if (hasPass(options)) setPass(changed, state.left);
  const after = counted(before, changed);
  if (isSame(before, after)) return after;
  const w = access.randomHex(8);
  if (versionstamp !== undefined) {
    const atomic = access.atomic().check({ key: clockKey, versionstamp })
      .set(clockKey, { ...after, v: schemaVersion, w });
    const event = addBrakeEvent(access, atomic, before, after);
    const events = event === undefined ? [] : [event];
    const { ok } = await commitAndTell(state.context, atomic, events);
    if (ok) return after;
  }
  return await amendClock(state, { options, after, w });
}

/** Whether the round goes through the to-do list: the others leave its passes alone. */
function hasPass({ only, pass }: RoundOptions): boolean {
  return only === undefined || pass !== undefined;
}

function setPass(clock: ClockRecord, pass: PassRecord | undefined): void {
  if (pass === undefined) delete clock.pass;
  else clock.pass = pass;
}

/** What an operator was shown of the brake is not so any more (M19). */
function counted(before: ClockRecord, after: ClockRecord): ClockRecord {
  if (JSON.stringify(before.brake) === JSON.stringify(after.brake)) {
    return after;
  }
  return { ...after, gen: (before.gen ?? 0) + 1 };
}

/** That the brake engaged, or went off, if it did. */
function addBrakeEvent(
  access: KvAccess,
  atomic: KvAtomic,
  { brake: old }: ClockRecord,
  { brake, tick }: ClockRecord,
): AddedEvent | undefined {
  if (brake?.at === old?.at) return undefined;
  const what = brake === undefined ? "brake-off" : "brake";
  const why = brake?.why ?? "those that were silent returned";
  return addEvent({ access, tick }, atomic, { what, why });
}

/** Somebody wrote the clock meanwhile: what an operator said stays, what this round found is added. */
async function amendClock(
  state: RoundState,
  { options, after, w }: {
    options: RoundOptions;
    after: ClockRecord;
    w: string;
  },
): Promise<ClockRecord> {
  const { access } = state.context;
  const { clock: before } = options;
  const entry = await access.get(clockKey);
  const now = readClock(entry.value, access.now());
  if (now.w === w) return now;
  const isOwnTick = now.tick === before.tick;
  let next: ClockRecord = { ...now, busy: now.busy || after.busy };
  if (isOwnTick) {
    next.silent = after.silent;
    next.sweep = after.sweep;
    if (hasPass(options)) setPass(next, after.pass);
    if (after.periodMs !== undefined) next.periodMs = after.periodMs;
    // An operator who changed the rules meanwhile began the walk anew.
    if (now.gen === before.gen) {
      delete next.adoptCursor;
      if (after.adoptCursor !== undefined) {
        next.adoptCursor = after.adoptCursor;
      }
    }
    if (after.balanceAt !== undefined) next.balanceAt = after.balanceAt;
    if (after.brake !== undefined && now.brake?.isReleased !== true) {
      next.brake = after.brake;
    }
    if (after.brake === undefined) delete next.brake;
    if (!after.busy && now.w === before.w) next.busy = false;
  }
  if (isSame(now, next)) return now;
  next = counted(now, next);
  const atomic = access.atomic()
    .check({ key: clockKey, versionstamp: entry.versionstamp })
    .set(clockKey, { ...next, v: schemaVersion, w });
  const event = addBrakeEvent(access, atomic, now, next);
  // If not now, then the next round.
  await commitAndTell(
    state.context,
    atomic,
    event === undefined ? [] : [event],
  );
  return next;
}

function isSame(a: ClockRecord, b: ClockRecord): boolean {
  return a.busy === b.busy && a.sweep === b.sweep &&
    a.adoptCursor === b.adoptCursor && hasSamePass(a, b) &&
    a.periodMs === b.periodMs &&
    a.balanceAt === b.balanceAt && a.silent.join() === b.silent.join() &&
    JSON.stringify(a.brake) === JSON.stringify(b.brake);
}

function hasSamePass({ pass: a }: ClockRecord, { pass: b }: ClockRecord) {
  return a?.after === b?.after && a?.until === b?.until;
}
