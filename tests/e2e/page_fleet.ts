/** A store as masters would have left it, drawn record by record, so that the page can be seen in any state at once. */
import type { Kv } from "../../master/kv.ts";
import {
  addressKey,
  attentionKey,
  clockKey,
  type ClockRecord,
  clusterKey,
  type ClusterRecord,
  eventKey,
  hostKey,
  type HostRecord,
  memberKey,
  type MemberRecord,
  newClock,
  nodesKey,
  positionsKey,
  schemaVersion,
} from "../../master/schema.ts";
import type { ClusterInfo, LogPosition } from "../../master/protocol.ts";
import {
  digestOf,
  type NodeRow,
  sliceNodes,
  slicePositions,
} from "../../master/wire/mod.ts";

/** The tick of a drawn store. */
export const drawnTick = 48_120;
/** Milliseconds of a tick, as where a master is not told another period. */
export const drawnPeriodMs = 20_000;
/** Longer without a word than any NodeHost that lives. */
const deadTicks = 41;
const silentTicks = 3;
/** Writes that are one commit. */
const batchSize = 10;

/** What is to be seen of a NodeHost. */
export interface DrawnHost extends Partial<HostRecord> {
  /** What it is for those who look; it is heard if nothing is said. */
  is?: "dead" | "silent" | "gone" | "revoked";
}

/** What is to be seen of a cluster. */
export interface DrawnCluster extends Partial<Omit<ClusterRecord, "app">> {
  /** Addresses of its members, the voters first. */
  on: readonly string[];
  /** So many of the last are observers. */
  observers?: number;
  /** Which of them leads; the first of those that run if nothing is said. */
  leader?: number | null;
  /** Those of them that do not run, although their NodeHosts do. */
  down?: readonly number[];
  /** How often those that never ran were asked to start, and how many ticks ago first. */
  asked?: { count: number; ticks: number };
  /** Those of them that are behind. */
  lagging?: readonly number[];
  /** How far the logs of its members go, for those that know no leader. */
  positions?: readonly (LogPosition | null)[];
  /** Whether it is in the masters' hands, and with which state machine. */
  app?: string | null;
}

/** NodeHosts, clusters and what happened, before they are written. */
export class DrawnFleet {
  readonly #nowMs: number;
  readonly #hosts = new Map<string, HostRecord>();
  readonly #rows = new Map<string, NodeRow[]>();
  readonly #positions = new Map<string, ClusterInfo[]>();
  readonly #clusters = new Map<number, ClusterRecord>();
  readonly #events: [agoMs: number, event: Record<string, unknown>][] = [];
  #clock: Partial<ClockRecord> = {};

  /** An empty one, seen at `nowMs`. */
  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** A NodeHost at this address, and its id. */
  host(addr: string, region: string, drawn: DrawnHost = {}): string {
    const { is, ...rest } = drawn;
    const n = this.#hosts.size;
    const id = idOf(addr);
    const silence = is === "dead" || is === "gone"
      ? deadTicks
      : is === "silent"
      ? silentTicks
      : 0;
    this.#hosts.set(id, {
      ...versioned(id),
      boot: 3,
      seq: 900 + n,
      atMs: this.#nowMs - silence * drawnPeriodMs - (n * 1_700) % 9_000,
      addr,
      api: "",
      region,
      n: 0,
      leads: 0,
      digest: "",
      slices: 0,
      logDigest: "",
      logSlices: 0,
      tick: drawnTick - silence,
      since: 12,
      state: is === "dead" ? "failed" : is === "gone" ? "gone" : "ok",
      apps: ["kv", "ledger"],
      ...(is === "revoked" ? { revoked: true } : {}),
      ...rest,
    });
    this.#rows.set(id, []);
    return id;
  }

  /** A cluster with members on these NodeHosts. */
  cluster(id: number, drawn: DrawnCluster): void {
    const { on, observers = 0, down = [], lagging = [], app = "kv" } = drawn;
    const { leader, ...rest } = drawn;
    const cci = 40 + id % 7;
    const voters = on.length - observers;
    const runs = (i: number) =>
      !down.includes(i) && this.#runs(idOf(on[i] ?? ""));
    const leads = leader === undefined
      ? on.findIndex((_, i) => runs(i))
      : leader;
    const members: Record<number, MemberRecord> = {};
    on.forEach((address, i) => {
      const nodeId = nodeIdOf(id, i);
      const host = idOf(address);
      const isKnown = this.#hosts.has(host);
      const isNew = down.includes(i) &&
        (i >= voters || drawn.life === "launching");
      members[nodeId] = {
        role: i < voters ? "voter" : "observer",
        address,
        ...(isKnown ? { host } : {}),
        ...(isNew ? startsOf(drawn) : { since: 30 }),
        ...(down.includes(i) && !isNew ? { missingSince: drawnTick - 2 } : {}),
      };
      const position = drawn.positions?.[i];
      if (position) {
        this.#tellPosition(host, { clusterId: id, nodeId, position });
      }
      if (down.includes(i)) return;
      this.#rows.get(host)?.push({
        clusterId: id,
        nodeId,
        configChangeIndex: cci,
        isLeader: i === leads,
        pending: false,
        isLagging: lagging.includes(i),
        areObserversReady: false,
      });
    });
    const definition = { gen: 1, size: voters, regions: [], config: {} };
    this.#clusters.set(id, {
      ...versioned(`c${id}`),
      life: app === null ? "unmanaged" : "ok",
      ...(app === null ? {} : { def: { ...definition, app } }),
      cci,
      members,
      confirmedBy: [],
      gone: [],
      zombies: {},
      steps: 1,
      ...recordOf(rest),
    });
  }

  /** Something that happened so long ago. */
  tell(
    agoMs: number,
    what: string,
    rest: { why?: string; cluster?: number; host?: string; who?: string } = {},
  ): void {
    const { host, ...more } = rest;
    this.#events.push([agoMs, {
      what,
      why: "",
      ...more,
      ...(host === undefined ? {} : { host: idOf(host) }),
    }]);
  }

  /** What concerns everything. */
  clock(clock: Partial<ClockRecord>): void {
    this.#clock = { ...this.#clock, ...clock };
  }

  /** Puts everything into a store. */
  async write(kv: Kv): Promise<void> {
    const puts: [key: Parameters<Kv["get"]>[0], value: unknown][] = [
      [clockKey, { ...newClock(this.#nowMs), tick: drawnTick, ...this.#clock }],
    ];
    for (const [id, host] of this.#hosts) {
      const rows = this.#rows.get(id)!;
      const slices = sliceNodes(rows);
      slices.forEach((bytes, i) =>
        puts.push([nodesKey(id, i), { ...versioned(`hl${i}`), rows: bytes }])
      );
      const positions = slicePositions(
        {
          clusterInfoList: this.#positions.get(id) ?? [],
        } as unknown as Parameters<typeof slicePositions>[0],
      );
      positions.forEach((bytes, i) =>
        puts.push([positionsKey(id, i), {
          ...versioned(`hp${i}`),
          rows: bytes,
        }])
      );
      puts.push([addressKey(host.addr), { ...versioned(id), host: id }]);
      puts.push([hostKey(id), {
        ...host,
        n: rows.length,
        leads: rows.filter(({ isLeader }) => isLeader).length,
        slices: slices.length,
        posSlices: positions.length,
        digest: digestOf(slices),
      }]);
    }
    for (const [id, record] of this.#clusters) {
      puts.push([clusterKey(id), record]);
      if (record.plan !== undefined) {
        puts.push([attentionKey(id), {
          ...versioned(`a${id}`),
          tick: drawnTick,
        }]);
      }
      for (const [node, { host }] of Object.entries(record.members)) {
        if (host === undefined) continue;
        puts.push([memberKey(host, id), {
          ...versioned(`m${id}`),
          node: Number(node),
        }]);
      }
    }
    this.#events.sort(([a], [b]) => a - b);
    this.#events.forEach(([agoMs, event], i) => {
      const tick = drawnTick - Math.floor(agoMs / drawnPeriodMs);
      const name = `${String(this.#events.length - i).padStart(6, "0")}`;
      const atMs = this.#nowMs - agoMs;
      puts.push([eventKey(tick, name), {
        ...versioned(name),
        tick,
        atMs,
        ...event,
      }]);
    });
    for (let at = 0; at < puts.length; at += batchSize) {
      const atomic = kv.atomic();
      for (const [key, value] of puts.slice(at, at + batchSize)) {
        atomic.set(key, value);
      }
      await atomic.commit();
    }
  }

  #tellPosition(
    host: string,
    told: Pick<ClusterInfo, "clusterId" | "nodeId" | "position">,
  ): void {
    const known = this.#positions.get(host) ?? [];
    const rest = {
      isLeader: false,
      nodes: {},
      configChangeIndex: 0,
      pending: false,
      incomplete: true,
    };
    this.#positions.set(host, [...known, { ...rest, ...told }]);
  }

  #runs(id: string): boolean {
    const host = this.#hosts.get(id);
    return host !== undefined && host.state === "ok" && host.tick === drawnTick;
  }
}

function startsOf({ asked }: DrawnCluster): Pick<MemberRecord, "starts"> {
  if (asked === undefined) return {};
  const { count, ticks } = asked;
  const starts = { count, at: drawnTick - 1, since: drawnTick - ticks };
  return { starts };
}

/** What only tells how to draw is no part of a record. */
function recordOf(drawn: Partial<DrawnCluster>): Partial<ClusterRecord> {
  const {
    on: _,
    observers: __,
    down: ___,
    asked: _______,
    lagging: ____,
    app: _____,
    positions: ______,
    ...rest
  } = drawn;
  return rest;
}

function versioned(name: string): { v: number; w: string } {
  return { v: schemaVersion, w: name };
}

/** As a NodeHost makes it: 32 hexadecimal digits. */
export function idOf(address: string): string {
  let text = "";
  for (let part = 0; part < 4; part++) {
    let hash = 0x811c9dc5 ^ part;
    for (const letter of address) {
      hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193) >>> 0;
    }
    text += hash.toString(16).padStart(8, "0");
  }
  return text;
}

/** As masters make it: random, 52 bits, never used again. */
export function nodeIdOf(clusterId: number, i: number): number {
  const seed = (clusterId % 1e6 * 2_654_435 + i * 740_503_171) % 4_294_967_296;
  return seed * 1_048_573 % 2 ** 52 + 1;
}
