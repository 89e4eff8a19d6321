/** How a cluster is launched, and what is said while its first nodes do not start: who they are is decided for ever (M8). */
import { assert } from "../deps.ts";
import {
  rowOfCluster,
  type RowParts,
} from "../../master/board/cluster_rows.ts";
import { standingOf, stateOf } from "../../master/board/health.ts";
import type { BoardCluster } from "../../master/board/types.ts";
import type { ClusterImage } from "../../master/cluster_image.ts";
import { decide } from "../../master/scheduler/decide.ts";
import type { HostRecord, MemberRecord } from "../../master/schema.ts";
import {
  changeOf,
  deadHost,
  fourHosts,
  host,
  image,
  member,
  now,
  view,
  whyNot,
} from "./scheduler_fixtures.ts";

type Starts = NonNullable<MemberRecord["starts"]>;

/** Node `n` on `h{n}`, which never ran. */
function unstarted(n: number, starts?: Starts): MemberRecord {
  const { since: _, ...rest } = member(n);
  return starts === undefined ? rest : { ...rest, starts };
}

/** A cluster that is being launched with these nodes. */
function launching(...members: MemberRecord[]): ClusterImage {
  return image({
    life: "launching",
    members: Object.fromEntries(members.map((one, i) => [i + 1, one])),
    cci: 0,
    confirmedBy: [],
  });
}

Deno.test("A launch is decided once: its members stay, whatever happens to their NodeHosts (M8)", () => {
  const first = launching(unstarted(1), unstarted(2), unstarted(3));
  const hosts = [host(1), deadHost(2), deadHost(3), host(4), host(5)];
  const { next } = changeOf(decide(view(hosts), first));
  assert.deepEqual([next.step!.kind, next.step!.hosts], ["launch", { h1: 1 }]);
  const starts = { count: 1, at: now, since: now };
  assert.deepEqual(next.members, {
    ...first.members,
    1: { ...unstarted(1), starts },
  });
});

Deno.test("A launch that is stuck says whose node never started, since when it was told to, and what can be done (M8)", () => {
  const asked = { count: 2, at: now - 9, since: now - 30 };
  const hosts = [host(1), deadHost(2), host(3, { tick: now - 5 }), host(4)];
  const stuck = launching(member(1), unstarted(2, asked), unstarted(3));
  assert.equal(
    whyNot(decide(view(hosts), stuck)),
    `stuck: node 2 never started on h2, which is dead, told since tick ${
      now - 30
    }; node 3 never started on h3, which is silent. Start these NodeHosts ` +
      "again, or delete the cluster: who its first members are is decided for ever",
  );
  // Where one lives it is asked again; since when is not forgotten, nor by a record that tells the last time only.
  for (const old of [asked, { count: 2, at: now - 30 }]) {
    const tried = launching(member(1), unstarted(2, old), unstarted(3));
    const { next, why } = changeOf(decide(view(fourHosts()), tried));
    assert.deepEqual(next.members[2]!.starts, {
      count: 3,
      at: now,
      since: now - 30,
    });
    assert.match(
      why,
      /^again: node 2 never started on h2, told since tick 470/,
    );
  }
});

Deno.test("A launch is over when a majority runs and told the same members (M8)", () => {
  const all = image({ life: "launching", cci: 0 });
  const { next } = changeOf(decide(view(fourHosts()), all));
  assert.equal(next.life, "ok");
  const unconfirmed = { ...all, confirmedBy: ["h1"] };
  assert.equal(decide(view(fourHosts()), unconfirmed).do, "nothing");
});

// ---- What people are told ----

const periodMs = 20_000;

/** The cluster as the page shows it; nothing that is started runs by now. */
function rowOf(
  hosts: readonly HostRecord[],
  shown: ClusterImage,
): BoardCluster {
  const seen = view(hosts);
  const ears = {
    hosts: seen.hosts,
    tick: now,
    ttl: 3,
    nowMs: 0,
    silentAfterMs: 60_000,
  };
  const around: RowParts["around"] = {
    standings: new Map(
      [...seen.hosts].map(([id, one]) => [id, standingOf(id, one, ears)]),
    ),
    atAddress: new Map(),
    rowOf: () => undefined,
  };
  const state = stateOf(1, shown, around);
  return rowOfCluster({
    id: 1,
    image: shown,
    state,
    around,
    view: seen,
    periodMs,
  });
}

Deno.test("A cluster whose first nodes cannot be expected to start is in trouble, with who did not start them and for how long (M8)", () => {
  const told = { count: 1, at: now - 1, since: now - 1 };
  const often = { count: 5, at: now - 2, since: now - 48 };
  const rows = (hosts: readonly HostRecord[], ...starts: Starts[]) => {
    const shown = launching(...starts.map((one, i) => unstarted(i + 1, one)));
    const { state, group, why, members } = rowOf(hosts, shown);
    return { state, group, why, members };
  };
  const fresh = rows(fourHosts(), told, told, told);
  assert.deepEqual([fresh.state, fresh.group, fresh.why], [
    "launching",
    "working",
    "its nodes are told to start",
  ]);
  const [one] = fresh.members;
  assert.deepEqual([one?.asked, one?.askedForMs], [1, periodMs]);
  // One of three is no majority: the others may still start.
  const hopeful = rows(fourHosts(), often, told, told);
  assert.deepEqual([hopeful.state, hopeful.why], [
    "launching",
    "a1, a2 and a3 have not started their nodes",
  ]);
  const hosts = [host(1), deadHost(2), host(3), host(4)];
  const stuck = rows(hosts, often, told, told);
  assert.deepEqual([stuck.state, stuck.group, stuck.why], [
    "unstarted",
    "trouble",
    "a1 and a3 have not started their nodes; a2 is dead",
  ]);
  assert.deepEqual(
    stuck.members.map(({ asked, askedForMs }) => [asked, askedForMs]),
    [[5, 48 * periodMs], [1, periodMs], [1, periodMs]],
  );
  const without = [1, 2].map((n) => host(n, { apps: ["other"] }));
  const revoked = host(3, { revoked: true });
  assert.equal(
    rows([...without, revoked], often, often, often).why,
    "a1 and a2 lack the state machine kv; a3 is revoked",
  );
});
