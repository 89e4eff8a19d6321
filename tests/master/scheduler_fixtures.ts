/** Clusters and NodeHosts as the scheduler sees them. Now is tick 500; the TTL is 3. */
import type { ClusterImage } from "../../master/cluster_image.ts";
import type { HostRecord, MemberRecord } from "../../master/schema.ts";
import {
  type Decision,
  defaultLimits,
  type View,
} from "../../master/scheduler/view.ts";
import { assert } from "../deps.ts";

/** The tick that it is. */
export const now = 500;

/** A NodeHost that was heard in this tick, unless told otherwise. */
export function host(n: number, rest: Partial<HostRecord> = {}): HostRecord {
  return {
    v: 2,
    w: "",
    boot: 1,
    seq: 1,
    atMs: 0,
    addr: `a${n}`,
    api: "",
    region: `region-${n}`,
    n: 0,
    leads: 0,
    digest: "",
    slices: 0,
    logDigest: "",
    logSlices: 0,
    tick: now,
    since: 1,
    state: "ok",
    apps: ["kv"],
    ...rest,
  };
}

/** A NodeHost that the masters believe to be dead. */
export function deadHost(n: number): HostRecord {
  return host(n, { tick: now - 10, state: "failed" });
}

/** Node `n` on NodeHost `h{n}`, which has been running since tick 1. */
export function member(
  n: number,
  rest: Partial<MemberRecord> = {},
): MemberRecord {
  return { role: "voter", address: `a${n}`, host: `h${n}`, since: 1, ...rest };
}

/** A cluster of nodes 1, 2 and 3, all is well. */
export function image(rest: Partial<ClusterImage> = {}): ClusterImage {
  return {
    life: "ok",
    def: { gen: 1, app: "kv", size: 3, regions: [], config: {} },
    cci: 30,
    members: { 1: member(1), 2: member(2), 3: member(3) },
    confirmedBy: ["h1", "h2", "h3"],
    gone: [],
    zombies: {},
    steps: 7,
    ...rest,
  };
}

/** What is known, with NodeHosts `h1`, `h2`, … */
export function view(
  hosts: readonly HostRecord[],
  rest: Partial<View> = {},
): View {
  const byId = new Map(hosts.map((one) => [`h${one.addr.slice(1)}`, one]));
  return {
    tick: now,
    limits: defaultLimits,
    hosts: byId,
    load: new Map([...byId].map(([id, one]) => [id, one.n])),
    isBraked: false,
    slots: new Set(),
    newIds: [1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010],
    ...rest,
  };
}

/** Four NodeHosts that are alive. */
export function fourHosts(): HostRecord[] {
  return [host(1), host(2), host(3), host(4)];
}

/** A decision that changes the record. */
export function changeOf(
  decision: Decision,
): Extract<Decision, { do: "change" }> {
  assert.equal(decision.do, "change", JSON.stringify(decision));
  return decision as Extract<Decision, { do: "change" }>;
}

/** Why nothing is decided. */
export function whyNot(decision: Decision): string {
  assert.equal(decision.do, "nothing", JSON.stringify(decision));
  return (decision as Extract<Decision, { do: "nothing" }>).why;
}
