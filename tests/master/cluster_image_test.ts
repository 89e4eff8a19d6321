import { assert } from "../deps.ts";
import {
  type ClusterImage,
  isWanted,
  reconcile,
  withNode,
} from "../../master/cluster_image.ts";
import { cluster } from "./fixtures.ts";

const by = (hostId: string, tick = 1) => ({ hostId, tick });
const known = reconcile(undefined, cluster(1, 1), by("a"))!;

Deno.test("reconcile() makes a record from the first full report", () => {
  assert.deepEqual(known, {
    life: "unmanaged",
    cci: 3,
    members: {
      1: { role: "voter", address: "h1:7001", host: "a" },
      2: { role: "voter", address: "h2:7001" },
      3: { role: "voter", address: "h3:7001" },
    },
    confirmedBy: ["a"],
    gone: [],
    zombies: {},
    steps: 0,
  });
});

Deno.test("reconcile() takes a newer membership whole, and ignores an older one (master-reference 12, image)", () => {
  const nodes = { 2: "h2:7001", 4: "h4:7001" };
  const newer = cluster(1, 2, { configChangeIndex: 9, nodes });
  const next = reconcile(known, newer, by("b"))!;
  assert.deepEqual([next.cci, next.confirmedBy], [9, ["b"]]);
  assert.deepEqual(next.members, {
    2: { role: "voter", address: "h2:7001", host: "b" },
    4: { role: "voter", address: "h4:7001" },
  });
  const older = cluster(1, 2, { configChangeIndex: 2, nodes });
  assert.equal(reconcile(known, older, by("b")), undefined);
});

Deno.test("reconcile() changes nothing for pending, incomplete and equal reports", () => {
  for (const rest of [{ pending: true }, { incomplete: true }, {}]) {
    assert.equal(reconcile(known, cluster(1, 1, rest), by("a")), undefined);
  }
  assert.equal(
    reconcile(undefined, cluster(1, 1, { pending: true }), by("a")),
    undefined,
  );
});

Deno.test("reconcile() does not believe a node that is no member of what it tells", () => {
  const outsider = cluster(1, 4, { configChangeIndex: 9 });
  assert.equal(reconcile(known, outsider, by("d")), undefined);
  assert.equal(reconcile(undefined, outsider, by("d")), undefined);
});

Deno.test("reconcile() puts two memberships under one index into quarantine, once (M8)", () => {
  const other = cluster(1, 2, { nodes: { 2: "h2:7001" } });
  const quarantined = reconcile(known, other, by("b"))!;
  assert.deepEqual(quarantined, { ...known, life: "quarantine" });
  assert.equal(reconcile(quarantined, other, by("b")), undefined);
});

Deno.test("isWanted() is true only for what was left out and is not known", () => {
  const left = { incomplete: true, nodes: {} };
  assert.equal(isWanted(undefined, cluster(1, 1, left)), true);
  assert.equal(isWanted(known, cluster(1, 1, left)), false);
  assert.equal(
    isWanted(known, cluster(1, 1, { ...left, configChangeIndex: 4 })),
    true,
  );
  assert.equal(isWanted(undefined, cluster(1, 1)), false);
  assert.equal(
    isWanted(undefined, cluster(1, 1, { ...left, pending: true })),
    false,
  );
});

// ---- Clusters that are the master's ----

const managed: ClusterImage = {
  life: "ok",
  def: { gen: 1, app: "kv", size: 3, regions: [], config: {} },
  cci: 3,
  members: Object.fromEntries(
    [1, 2, 3].map((id) => [id, {
      role: "voter" as const,
      address: `h${id}:7001`,
      host: `host-${id}`,
      since: 1,
    }]),
  ),
  confirmedBy: ["host-1", "host-2", "host-3"],
  gone: [4],
  zombies: {},
  steps: 0,
};

Deno.test("A report moves a membership only if its reporter is a member in the record (M9)", () => {
  const nodes = { 1: "h1:7001", 2: "h2:7001", 3: "h3:7001", 5: "h5:7001" };
  const told = (nodeId: number) =>
    cluster(1, nodeId, { configChangeIndex: 9, nodes });
  assert.equal(reconcile(managed, told(5), by("host-5")), undefined);
  assert.equal(reconcile(managed, told(1), by("host-9")), undefined);
  const moved = reconcile(managed, told(1), by("host-1", 7))!;
  assert.equal(moved.cci, 9);
  assert.deepEqual(moved.members[5], { role: "voter", address: "h5:7001" });
  assert.equal(moved.members[1]!.since, 1, "what is known of members stays");
});

Deno.test("A jump that drops a majority needs two reporters (M9)", () => {
  const nodes = { 3: "h3:7001", 8: "h8:7001", 9: "h9:7001" };
  const told = (nodeId: number) =>
    cluster(1, nodeId, { configChangeIndex: 90, nodes });
  const claimed = reconcile(managed, told(3), by("host-3"))!;
  assert.equal(claimed.cci, 3);
  assert.equal(reconcile(claimed, told(3), by("host-3")), undefined);
  // One that it names, and that it says is on that NodeHost, is a stranger still.
  assert.equal(reconcile(claimed, told(8), by("host-8")), undefined);
  const two = {
    ...managed,
    members: { ...managed.members, 8: managed.members[2]! },
  };
  two.members[8] = { role: "observer", address: "h8:7001", host: "host-8" };
  const first = reconcile(two, told(3), by("host-3"))!;
  const second = reconcile(first, told(8), by("host-8"))!;
  assert.equal(second.cci, 90);
  assert.equal(second.claim, undefined);
});

Deno.test("Only a former member that a confirmed membership lacks is a zombie (M9; master-reference 12, image)", () => {
  const lists = (nodeId: number, rest = {}) =>
    cluster(1, nodeId, { configChangeIndex: 2, nodes: {}, ...rest });
  const pending = lists(4, { pending: true, configChangeIndex: 0 });
  const stale = { ...lists(4), nodes: { 4: "h4:7001" } };
  for (const info of [pending, stale]) {
    const next = reconcile(managed, info, by("host-4"))!;
    assert.deepEqual(next.zombies, { 4: "host-4" });
    assert.equal(reconcile(next, info, by("host-4")), undefined, "once");
    assert.deepEqual(
      withNode(next, undefined, by("host-4")).zombies,
      {},
      "it stopped",
    );
  }
  assert.equal(
    reconcile(managed, lists(7, { pending: true }), by("h")),
    undefined,
  );
  const unsure = { ...managed, confirmedBy: ["host-1"] };
  assert.equal(reconcile(unsure, pending, by("host-4")), undefined);
});

Deno.test("A node that its NodeHost no longer lists is missing, until it is listed again", () => {
  const missing = withNode(managed, undefined, by("host-2", 50));
  assert.deepEqual(missing.members[2]!.missingSince, 50);
  assert.equal(withNode(missing, undefined, by("host-2", 51)), missing);
  const info = cluster(1, 2, { incomplete: true, nodes: {} });
  const back = reconcile(missing, info, by("host-2", 52))!;
  assert.deepEqual(back.members, managed.members);
});

Deno.test("An observer is ready when the leader says so; others do not know", () => {
  const observer = {
    role: "observer" as const,
    address: "h5:7001",
    host: "h5",
    since: 8,
  };
  const image = { ...managed, members: { ...managed.members, 5: observer } };
  const seen = (nodeId: number, areObserversReady: boolean, hostId: string) =>
    withNode(image, { nodeId, areObserversReady }, by(hostId, 9)).members[5];
  assert.equal(seen(1, false, "host-1"), observer);
  assert.deepEqual(seen(1, true, "host-1"), { ...observer, isReady: true });
  assert.equal(seen(5, true, "h5"), observer);
});

Deno.test("A node of a cluster that is being deleted, which was stopped and runs again, is a zombie (M9)", () => {
  const { 1: only } = managed.members;
  const deleting = {
    ...managed,
    life: "deleting" as const,
    members: { 1: only! },
  };
  const next = reconcile(deleting, cluster(1, 2), by("host-2"))!;
  assert.deepEqual(next.zombies, { 2: "host-2" });
});

Deno.test("A cluster that is being deleted is not put into quarantine by what its last nodes tell", () => {
  const { 1: only } = managed.members;
  const deleting = {
    ...managed,
    life: "deleting" as const,
    members: { 1: only! },
  };
  assert.equal(reconcile(deleting, cluster(1, 1), by("host-1")), undefined);
});

/** Whatever is changed in place throws. */
function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}

Deno.test("No report changes a record in place (master-reference 12, image)", () => {
  const record = frozen({ ...managed });
  const nodes = { 1: "h1:7001", 2: "h2:7001", 4: "h4:7001" };
  const reports = [
    {},
    { nodes, configChangeIndex: 99 },
    { nodes, configChangeIndex: managed.cci },
    { pending: true, nodes: {} },
    { incomplete: true, nodes: {}, isLeader: true, areObserversReady: true },
    { nodes, configChangeIndex: 1 },
  ].map((rest) => frozen(cluster(1, 1, rest)));
  for (const one of reports) {
    for (const hostId of ["host-1", "host-9"]) {
      reconcile(record, one, { hostId, tick: 9 });
    }
  }
  withNode(record, undefined, { hostId: "host-1", tick: 9 });
});
