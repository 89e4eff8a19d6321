/**
 * What the page shows, from what an instance knows (`reader.ts`). All who look share a reading, so that a page that many
 * have open costs what one costs.
 */
import { votersOf } from "../cluster_image.ts";
import type { View } from "../scheduler/view.ts";
import type { StoreContext } from "../store_context.ts";
import { rowOfCluster } from "./cluster_rows.ts";
import { headlineOf } from "./headline.ts";
import {
  groupOf,
  standingOf,
  stateOf,
  statesBySeverity,
  type Surroundings,
} from "./health.ts";
import { describeEvent } from "./history.ts";
import { BoardReader } from "./reader.ts";
import type {
  Board,
  BoardCluster,
  BoardClusterPage,
  BoardHost,
  BoardRegion,
  BoardStatus,
  BoardView,
  ClusterQuery,
  ClusterState,
  HostStanding,
} from "./types.ts";

/** So many NodeHosts are listed one by one. */
const hostsShown = 200;
const workShown = 12;
const eventsShown = 60;

/** What a board is made of. */
export interface BoardOptions {
  /** The store's parts. */
  readonly context: StoreContext;
  /** The store's deployment id. */
  readonly deploymentId: () => Promise<bigint>;
  /** A silence of so many milliseconds is shown. */
  readonly silentAfterMs: number;
}

/** A cluster as far as it is counted and sorted. */
interface Judged {
  readonly id: number;
  readonly state: ClusterState;
}

/** What people see of a store. */
export class StoreBoard implements Board {
  readonly #options: BoardOptions;
  readonly #reader: BoardReader;
  #view: BoardView | undefined;
  #reading: Promise<BoardView> | undefined;
  #around: Surroundings | undefined;
  /** The worst first. */
  #judged: readonly Judged[] = [];
  #placed: ReadonlyMap<string, number> = new Map();
  /** What the judgement was made of. */
  #judgedFrom = "";
  #rev = 0;

  /** Reads when it is asked to. */
  constructor(options: BoardOptions) {
    this.#options = options;
    this.#reader = new BoardReader(options.context);
  }

  /** See {@link Board}. */
  async view(maxAgeMs = 0): Promise<BoardView> {
    const { access } = this.#options.context;
    const known = this.#view;
    const isFresh = known !== undefined &&
      Math.abs(access.now() - known.atMs) < maxAgeMs;
    if (isFresh) return known;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  /** See {@link Board}. */
  async clusters(
    query: ClusterQuery,
    maxAgeMs = 0,
  ): Promise<BoardClusterPage> {
    await this.view(maxAgeMs);
    const { state, text = "", offset = 0, limit } = query;
    const wanted = text.trim().toLowerCase();
    const found = this.#judged.filter((one) =>
      (state === undefined || one.state === state ||
        groupOf(one.state) === state) &&
      (wanted === "" || this.#matches(one.id, wanted))
    );
    return {
      clusters: found.slice(offset, offset + limit).map((one) =>
        this.#row(one)
      ),
      total: found.length,
      rev: this.#rev,
    };
  }

  #matches(id: number, wanted: string): boolean {
    if (/^[0-9]+$/.test(wanted)) return String(id).startsWith(wanted);
    const image = this.#reader.clusters.get(id);
    if (image === undefined) return false;
    if (image.def?.app.toLowerCase().includes(wanted)) return true;
    return Object.values(image.members).some(({ host = "", address }) =>
      host.toLowerCase().includes(wanted) ||
      address.toLowerCase().includes(wanted) ||
      this.#reader.hosts.get(host)?.region.toLowerCase() === wanted
    );
  }

  // ---- Reading ----

  async #read(): Promise<BoardView> {
    const { context, deploymentId } = this.#options;
    const id = await deploymentId();
    await this.#reader.read();
    const atMs = context.access.now();
    const standings = this.#standings(atMs);
    this.#judge(standings);
    const hosts = this.#hosts(standings);
    const regions = regionsOf(hosts);
    const status = this.#status(id, hosts, regions.length);
    const working = this.#judged.filter(({ state }) =>
      groupOf(state) === "working"
    );
    const waits = ({ state }: Judged) => state === "waiting";
    const work = [
      ...working.filter((one) => !waits(one)),
      ...working.filter(waits),
    ];
    this.#view = {
      atMs,
      status,
      hosts: {
        regions,
        list: hosts.slice(0, hostsShown),
        more: Math.max(0, hosts.length - hostsShown),
      },
      work: {
        list: work.slice(0, workShown).map((one) => this.#row(one)),
        more: Math.max(0, work.length - workShown),
      },
      events: this.#reader.events.slice(0, eventsShown).map(([key, event]) =>
        describeEvent(key, this.#withAddresses(event))
      ),
    };
    return this.#view;
  }

  /** People know NodeHosts by their addresses. */
  #withAddresses<Told extends { why: string }>(told: Told): Told {
    const { hosts } = this.#reader;
    const why = told.why.replace(
      /[\w-]{6,}/g,
      (word) => hosts.get(word)?.addr ?? word,
    );
    return { ...told, why };
  }

  #standings(nowMs: number): Map<string, HostStanding> {
    const { context: { limits }, silentAfterMs } = this.#options;
    const { hosts, clock } = this.#reader;
    const tick = clock?.tick ?? 0;
    const ears = { hosts, tick, ttl: limits.ttl, nowMs, silentAfterMs };
    return new Map(
      [...hosts].map(([id, host]) => [id, standingOf(id, host, ears)]),
    );
  }

  /** All clusters are looked at only when something changed that their state follows from. */
  #judge(standings: ReadonlyMap<string, HostStanding>): void {
    const { hosts, rows, clusters, changes } = this.#reader;
    const from = `${changes} ${[...standings].join(" ")}`;
    const atAddress = new Map<string, string>();
    for (const [id, { addr, atMs }] of hosts) {
      const other = hosts.get(atAddress.get(addr) ?? "");
      if (other === undefined || other.atMs <= atMs) atAddress.set(addr, id);
    }
    const around: Surroundings = {
      standings,
      atAddress,
      rowOf: (hostId, clusterId) => rows.get(hostId)?.rows.get(clusterId),
    };
    this.#around = around;
    if (from === this.#judgedFrom) return;
    this.#judgedFrom = from;
    this.#rev++;
    const placed = new Map<string, number>();
    const judged: Judged[] = [];
    for (const [id, image] of clusters) {
      judged.push({ id, state: stateOf(id, image, around) });
      if (image.def === undefined) continue;
      for (const node of votersOf(image)) {
        const host = image.members[node]?.host ?? "";
        placed.set(host, (placed.get(host) ?? 0) + 1);
      }
    }
    const rank = new Map(statesBySeverity.map((state, i) => [state, i]));
    judged.sort((a, b) =>
      rank.get(a.state)! - rank.get(b.state)! || a.id - b.id
    );
    this.#judged = judged;
    this.#placed = placed;
  }

  // ---- What is shown ----

  #row({ id, state }: Judged): BoardCluster {
    const image = this.#reader.clusters.get(id)!;
    const { periodMs } = this.#options.context;
    const view = this.#decisionView(image.def?.size ?? 0);
    const around = this.#around!;
    const row = rowOfCluster({ id, image, state, around, view, periodMs });
    const { plan } = row;
    return {
      ...this.#withAddresses(row),
      ...(plan === undefined ? {} : { plan: this.#withAddresses(plan) }),
    };
  }

  /** What a decision would rest on: asked why a cluster waits, and never carried out. */
  #decisionView(size: number): View {
    const { clock, hosts, slots } = this.#reader;
    const brake = clock?.brake;
    return {
      tick: clock?.tick ?? 0,
      limits: this.#options.context.limits,
      hosts,
      load: new Map([...hosts].map(([id, host]) => [id, host.n])),
      isBraked: brake !== undefined && brake.isReleased !== true,
      slots,
      newIds: Array.from({ length: size + 1 }, (_, i) => i + 1),
    };
  }

  /** Those in trouble first, then by region and address. */
  #hosts(standings: ReadonlyMap<string, HostStanding>): BoardHost[] {
    const hosts = [...this.#reader.hosts].map(([id, host]): BoardHost => ({
      id,
      address: host.addr,
      region: host.region,
      domain: host.domain ?? "",
      standing: standings.get(id) ?? "ok",
      heardMs: host.atMs,
      nodes: host.n,
      leaders: host.leads,
      placed: this.#placed.get(id) ?? 0,
      apps: host.apps ?? [],
      isCordoned: host.cordon === true,
      isDraining: host.drain === true,
      isDiskLow: host.isDiskLow === true,
      gen: host.gen ?? 0,
    }));
    const trouble = ({ standing }: BoardHost) => standing === "ok" ? 1 : 0;
    return hosts.sort((a, b) =>
      trouble(a) - trouble(b) || compare(a.region, b.region) ||
      compare(a.address, b.address) || compare(a.id, b.id)
    );
  }

  #status(
    deploymentId: bigint,
    hosts: readonly BoardHost[],
    regions: number,
  ): BoardStatus {
    const { clock } = this.#reader;
    const groups = { trouble: 0, working: 0, well: 0 };
    const states: Partial<Record<ClusterState, number>> = {};
    for (const { state } of this.#judged) {
      groups[groupOf(state)]++;
      states[state] = (states[state] ?? 0) + 1;
    }
    const present = hosts.filter(({ standing }) => standing !== "gone");
    const brake = clock?.brake;
    const status = {
      deploymentId: deploymentId.toString(),
      tick: clock?.tick ?? 0,
      periodMs: this.#options.context.periodMs,
      isPaused: clock?.paused === true,
      gen: clock?.gen ?? 0,
      brake: brake === undefined ? null : {
        why: brake.why,
        hosts: brake.hosts.slice(0, hostsShown),
        isReleased: brake.isReleased === true,
      },
      hosts: present.length,
      clusters: this.#judged.length,
      nodes: sum(present.filter(isRunning), ({ nodes }) => nodes),
      groups,
      states,
      rev: this.#rev,
    };
    return { ...status, headline: headlineOf({ status, hosts, regions }) };
  }
}

function regionsOf(hosts: readonly BoardHost[]): BoardRegion[] {
  const regions = new Map<string, BoardHost[]>();
  for (const host of hosts) {
    if (host.standing === "gone") continue;
    const known = regions.get(host.region) ?? [];
    known.push(host);
    regions.set(host.region, known);
  }
  return [...regions].sort(([a], [b]) => compare(a, b))
    .map(([name, all]) => ({
      name,
      hosts: all.length,
      healthy: all.filter(({ standing }) => standing === "ok").length,
      nodes: sum(all.filter(isRunning), ({ nodes }) => nodes),
      leaders: sum(all.filter(isRunning), ({ leaders }) => leaders),
    }));
}

/** Whether what it last said that it runs can be believed to run. */
function isRunning({ standing }: BoardHost): boolean {
  return standing !== "dead" && standing !== "gone" && standing !== "revoked";
}

/** `oslo-2` comes before `oslo-10`. */
const { compare } = new Intl.Collator("en", { numeric: true });

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
