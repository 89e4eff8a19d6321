/** What a round knows: the NodeHosts, the slots, and what NodeHosts list, read when it is needed. */
import type { KvEntry } from "./kv.ts";
import {
  type ClockRecord,
  type HostRecord,
  nodesKey,
  type PassRecord,
  readHost,
  type SliceRecord,
  type SlotName,
} from "./schema.ts";
import { slotText, type View } from "./scheduler/view.ts";
import type { StoreContext } from "./store_context.ts";
import { type NodeRow, unpackRows } from "./wire/mod.ts";

/** What a round knows and has done so far. */
export interface RoundState {
  readonly context: StoreContext;
  readonly epoch: string;
  clock: ClockRecord;
  readonly hosts: Map<string, HostRecord>;
  /** As they were read: a decision is void if one that it rests on changed since. */
  readonly hostEntries: Map<string, KvEntry>;
  /** Nodes of each NodeHost, with those that this round decided on. */
  readonly load: Map<string, number>;
  readonly slots: Set<string>;
  /** What NodeHosts list, as far as it was needed. */
  readonly rows: Map<string, Map<number, NodeRow>>;
  readonly endMs: number;
  /** Decisions that ask NodeHosts for something. */
  decisionCount: number;
  /** A record of a cluster was changed. */
  hasChanged: boolean;
  /** Something is under way. */
  isBusy: boolean;
  /** There was more on the to-do list than time. */
  left: PassRecord | undefined;
}

/** What is known at the beginning. */
export function newRoundState(
  context: StoreContext,
  known: {
    epoch: string;
    clock: ClockRecord;
    hosts: readonly KvEntry[];
    slots: readonly KvEntry[];
    endMs?: number;
  },
): RoundState {
  const state: RoundState = {
    context,
    epoch: known.epoch,
    clock: known.clock,
    hosts: new Map(),
    hostEntries: new Map(),
    load: new Map(),
    slots: new Set(),
    rows: new Map(),
    endMs: known.endMs ?? Infinity,
    decisionCount: 0,
    hasChanged: false,
    isBusy: false,
    left: undefined,
  };
  setHosts(state, known.hosts);
  setSlots(state, known.slots);
  return state;
}

/** Takes over the NodeHosts as they were read. */
export function setHosts(
  state: RoundState,
  entries: readonly KvEntry[],
): void {
  for (const entry of entries) {
    const id = String(entry.key[1]);
    const host = readHost(entry.value);
    if (host === undefined) continue;
    state.hosts.set(id, host);
    state.hostEntries.set(id, entry);
    if (!state.load.has(id)) state.load.set(id, host.n);
  }
}

/** Takes over the slots that are taken. */
export function setSlots(
  state: RoundState,
  entries: readonly KvEntry[],
): void {
  for (const { key } of entries) {
    state.slots.add(slotText(key.slice(1) as SlotName));
  }
}

/** What a decision may rest on. */
export function viewOf(state: RoundState, newIdCount: number): View {
  const { clock, hosts, load, slots, context } = state;
  const { brake, tick } = clock;
  return {
    tick,
    limits: context.limits,
    hosts,
    load,
    isBraked: brake !== undefined && brake.isReleased !== true,
    slots,
    newIds: Array.from({ length: newIdCount }, () => context.access.randomId()),
  };
}

/** What a NodeHost lists, by cluster; read once a round. */
export async function rowsOfHost(
  state: RoundState,
  hostId: string,
): Promise<ReadonlyMap<number, NodeRow>> {
  const known = state.rows.get(hostId);
  if (known !== undefined) return known;
  const rows = new Map<number, NodeRow>();
  const count = state.hosts.get(hostId)?.slices ?? 0;
  const keys = Array.from({ length: count }, (_, i) => nodesKey(hostId, i));
  for (const { value } of await state.context.access.getMany(keys)) {
    if (value === null) continue;
    for (const row of unpackRows((value as SliceRecord).rows)) {
      rows.set(row.clusterId, row);
    }
  }
  state.rows.set(hostId, rows);
  return rows;
}
