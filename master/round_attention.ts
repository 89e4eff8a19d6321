/**
 * The to-do list, in passes: each cluster on it is looked at once, by as many rounds as that takes. What one round has no
 * time for the next report goes on with, whosever it is: it takes the rest out of the clock in its own commit, so that
 * one at a time does. If that one dies, the next tick begins anew.
 */
import type { KvEntry } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";
import { attentionKey, type ClockRecord, type PassRecord } from "./schema.ts";

/** So many are read at once. */
const pageSize = 1_000;

/** Some of the clusters on the list, in the order in which they are decided about. */
export interface Listed {
  /** Their entries. */
  readonly entries: readonly KvEntry[];
  /** The cluster at which the pass ends; absent: what is not decided about is left to the next pass. */
  readonly until?: number;
  /** What lies behind these; absent: nothing. */
  readonly left?: PassRecord;
  /** Nothing at all is on the list. */
  readonly isAllDone: boolean;
}

/** Whether a report goes on with a pass: only while something is being done, for else a tick later is early enough. */
export function isToGoOn({ busy, pass, paused }: ClockRecord): boolean {
  return busy && pass !== undefined && !paused;
}

/** The clock without the rest of a pass, and that rest, for whoever goes on with it. */
export function takePass(
  { pass, ...record }: ClockRecord,
): { record: ClockRecord; pass: PassRecord | undefined } {
  return { record, pass };
}

/** The first clusters of a new pass, which begins at another one in each tick; or those that are left of one. */
export async function readAttention(
  access: KvAccess,
  { tick }: Pick<ClockRecord, "tick">,
  pass?: PassRecord,
): Promise<Listed> {
  if (pass !== undefined) return await readLeft(access, pass);
  const page = await access.listNow({ prefix: ["att"] }, pageSize);
  if (page.length === 0) return { entries: [], isAllDone: true };
  const begin = tick * 7 % page.length;
  const until = clusterOf(page[begin]!);
  const tail = page.slice(begin);
  return page.length < pageSize
    ? { entries: [...tail, ...page.slice(0, begin)], until, isAllDone: false }
    : { entries: tail, until, left: after(tail, until), isAllDone: false };
}

/** Those of the clusters that are on the list. */
export async function readAttentionOf(
  access: KvAccess,
  clusters: ReadonlySet<number>,
): Promise<Listed> {
  const entries = await access.getMany([...clusters].map(attentionKey));
  return {
    entries: entries.filter(({ value }) => value !== null),
    isAllDone: false,
  };
}

/** What is left of a pass when only the first `count` were decided about. */
export function leftAfter(
  { entries, until }: Listed,
  count: number,
): PassRecord | undefined {
  const next = entries[count];
  if (until === undefined || next === undefined) return undefined;
  if (count === 0) return { after: clusterOf(next) - 1, until };
  return after(entries.slice(0, count), until);
}

/** Ids go round: behind the highest one the lowest comes. */
async function readLeft(access: KvAccess, pass: PassRecord): Promise<Listed> {
  const { until } = pass;
  const goesRound = until <= pass.after + 1;
  const isBefore = (entry: KvEntry) => clusterOf(entry) < until;
  const tail = await access.listNow({
    prefix: ["att"],
    start: attentionKey(pass.after + 1),
  }, pageSize);
  const isTailWhole = tail.length < pageSize;
  let entries = goesRound ? tail : tail.filter(isBefore);
  let isWhole = isTailWhole || entries.length < tail.length;
  if (goesRound && isTailWhole) {
    const head = await access.listNow({ prefix: ["att"] }, pageSize);
    const some = head.filter(isBefore);
    isWhole = head.length < pageSize || some.length < head.length;
    entries = [...tail, ...some];
  }
  const listed = { entries, until, isAllDone: false };
  return isWhole ? listed : { ...listed, left: after(entries, until) };
}

function after(entries: readonly KvEntry[], until: number): PassRecord {
  return { after: clusterOf(entries.at(-1)!), until };
}

function clusterOf({ key }: KvEntry): number {
  return Number(key[1]);
}
