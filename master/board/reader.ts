/**
 * What a master's instance knows of the store while somebody looks at its page. After the first reading it reads what
 * may have changed: the clock, the NodeHosts, the to-do list, the slots and the newest events each time, the nodes of
 * NodeHosts whose digest changed, and of clusters those about which something was done, is to be done, or was reported.
 * A page of all clusters each time finds what else changed.
 *
 * So a look costs about 5 + hosts / 4 + 8 read units, however many clusters there are. Reads may be eventual.
 */
import type { ClusterImage } from "../cluster_image.ts";
import type { KvEntry, KvKey } from "../kv.ts";
import {
  clockKey,
  type ClockRecord,
  clusterKey,
  type EventRecord,
  type HostRecord,
  nodesKey,
  readClock,
  readCluster,
  readHost,
  type SliceRecord,
  type SlotRecord,
} from "../schema.ts";
import type { StoreContext } from "../store_context.ts";
import { type NodeRow, unpackRows } from "../wire/mod.ts";

const eventsMax = 200;
const attentionMax = 1_000;
const sweepPage = 100;
/** Clusters that are read one by one in one look. */
const clustersPerLook = 500;
/** Of the to-do list so many are read again in each look, if nothing else says that they changed. */
const attentionPerLook = 40;
/** After so long a pause everything is read again: what left the to-do list meanwhile is not known. */
const pauseMs = 120_000;

interface KnownRows {
  readonly digest: string;
  readonly rows: ReadonlyMap<number, NodeRow>;
}

/** The last known state, and how it is brought up to date. */
export class BoardReader {
  clock: ClockRecord | undefined;
  hosts: ReadonlyMap<string, HostRecord> = new Map();
  readonly rows = new Map<string, KnownRows>();
  readonly clusters = new Map<number, ClusterImage>();
  slots: ReadonlySet<string> = new Set();
  /** Newest first. */
  events: readonly (readonly [key: string, event: EventRecord])[] = [];
  /** Grows when something about clusters or their nodes changed. */
  changes = 0;
  readonly #context: StoreContext;
  readonly #pending = new Set<number>();
  #attention: ReadonlySet<number> = new Set();
  #slotted: ReadonlySet<number> = new Set();
  #readAtMs = -Infinity;
  #sweepAt = 0;
  #rotation = 0;

  /** Reads nothing yet. */
  constructor(context: StoreContext) {
    this.#context = context;
  }

  /**
   * Brings everything up to date.
   *
   * @throws {RaftError} if the store failed; the next call goes on.
   */
  async read(): Promise<void> {
    const { access } = this.#context;
    const nowMs = access.now();
    const isWhole = Math.abs(nowMs - this.#readAtMs) > pauseMs;
    const newest = isWhole ? undefined : this.events[0]?.[1].tick;
    const [clock, hosts, attention, slots, events] = await Promise.all([
      access.get(clockKey, { consistency: "eventual" }),
      access.look({ prefix: ["h"] }),
      access.look({ prefix: ["att"] }, { limit: attentionMax }),
      access.look({ prefix: ["slot"] }),
      newest === undefined
        ? access.look({ prefix: ["ev"] }, { limit: eventsMax, reverse: true })
        : access.look({ prefix: ["ev"], start: ["ev", newest] }, {
          limit: 1_000,
        }),
    ]);
    this.clock = readClock(clock.value, nowMs);
    this.#takeHosts(hosts);
    const touched = this.#takeEvents(events, newest !== undefined);
    await this.#readRows();
    if (isWhole) await this.#readAll();
    this.#mark(attention, slots, touched);
    await this.#readMarked();
    if (!isWhole) await this.#sweep();
    this.#readAtMs = nowMs;
  }

  #takeHosts(entries: readonly KvEntry[]): void {
    const hosts = new Map<string, HostRecord>();
    for (const { key, value } of entries) {
      const host = readHost(value);
      if (host !== undefined) hosts.set(String(key[1]), host);
    }
    this.hosts = hosts;
  }

  /** Returns the clusters that new events are about. */
  #takeEvents(entries: readonly KvEntry[], areNewer: boolean): number[] {
    const known = new Set(areNewer ? this.events.map(([key]) => key) : []);
    const fresh = entries
      .map(({ key, value }) => [nameOf(key), value as EventRecord] as const)
      .filter(([key]) => !known.has(key));
    if (areNewer) fresh.reverse();
    const all = areNewer ? [...fresh, ...this.events] : fresh;
    this.events = all.slice(0, eventsMax);
    return fresh.flatMap(([, { cluster }]) =>
      cluster === undefined ? [] : [cluster]
    );
  }

  /** The nodes of those NodeHosts that tell others than they did. */
  async #readRows(): Promise<void> {
    const { access } = this.#context;
    for (const id of this.rows.keys()) {
      if (this.hosts.has(id)) continue;
      this.rows.delete(id);
      this.changes++;
    }
    for (const [id, { digest, slices }] of this.hosts) {
      if (digest !== "" && this.rows.get(id)?.digest === digest) continue;
      const keys = Array.from({ length: slices }, (_, i) => nodesKey(id, i));
      const entries = await access.getMany(keys, { consistency: "eventual" });
      const rows = new Map<number, NodeRow>();
      for (const { value } of entries) {
        if (value === null) continue;
        for (const row of unpackRows((value as SliceRecord).rows)) {
          rows.set(row.clusterId, row);
          if (this.#isNews(row)) this.#pending.add(row.clusterId);
        }
      }
      this.rows.set(id, { digest, rows });
      this.changes++;
    }
  }

  #isNews({ clusterId, configChangeIndex, pending }: NodeRow): boolean {
    const known = this.clusters.get(clusterId);
    return known === undefined || (!pending && known.cci < configChangeIndex);
  }

  async #readAll(): Promise<void> {
    const entries = await this.#context.access.look({ prefix: ["c"] });
    this.clusters.clear();
    this.#pending.clear();
    for (const { key, value } of entries) this.#take(Number(key[1]), value);
    this.changes++;
  }

  /** Which clusters are to be read because something about them changed, or may soon. */
  #mark(
    attention: readonly KvEntry[],
    slots: readonly KvEntry[],
    touched: readonly number[],
  ): void {
    const listed = new Set(attention.map(({ key }) => Number(key[1])));
    for (const id of listed) {
      if (!this.#attention.has(id)) this.#pending.add(id);
    }
    for (const id of this.#attention) {
      if (!listed.has(id)) this.#pending.add(id);
    }
    const slotted = new Set(
      slots.map(({ value }) => (value as SlotRecord).cluster),
    );
    for (const id of [...slotted, ...this.#slotted, ...touched]) {
      this.#pending.add(id);
    }
    const ids = [...listed];
    for (let i = 0; i < Math.min(attentionPerLook, ids.length); i++) {
      this.#pending.add(ids[(this.#rotation + i) % ids.length]!);
    }
    this.#rotation += attentionPerLook;
    this.#attention = listed;
    this.#slotted = slotted;
    this.slots = new Set(
      slots.map(({ key }) => key.slice(1).join(" ")),
    );
  }

  async #readMarked(): Promise<void> {
    const ids = [...this.#pending].slice(0, clustersPerLook);
    const entries = await this.#context.access.getMany(ids.map(clusterKey), {
      consistency: "eventual",
    });
    for (const [i, { value }] of entries.entries()) {
      this.#pending.delete(ids[i]!);
      this.#take(ids[i]!, value);
    }
  }

  /** A page of all clusters: it finds what nothing else told of. */
  async #sweep(): Promise<void> {
    const entries = await this.#context.access.look({
      prefix: ["c"],
      start: ["c", this.#sweepAt],
    }, { limit: sweepPage });
    const isLast = entries.length < sweepPage;
    const ids = new Set<number>();
    for (const { key, value } of entries) {
      ids.add(Number(key[1]));
      this.#take(Number(key[1]), value);
    }
    const end = isLast ? Infinity : Number(entries.at(-1)!.key[1]) + 1;
    for (const id of this.clusters.keys()) {
      if (id < this.#sweepAt || id >= end || ids.has(id)) continue;
      this.#take(id, null);
    }
    this.#sweepAt = isLast ? 0 : end;
  }

  #take(id: number, value: unknown): void {
    const record = readCluster(value);
    const known = this.clusters.get(id) as { w?: string } | undefined;
    if (record === undefined) {
      if (known !== undefined) this.changes++;
      this.clusters.delete(id);
      return;
    }
    if (known?.w === record.w) return;
    this.clusters.set(id, record);
    this.changes++;
  }
}

function nameOf(key: KvKey): string {
  return key.slice(1).join(" ");
}
