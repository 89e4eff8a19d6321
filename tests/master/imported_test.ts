/** What a copy of the store, older than what happened since, does about clusters (M8, M11). */
import { assert } from "../deps.ts";
import {
  type ClusterImage,
  deleted,
  isWanted,
  reconcile,
} from "../../master/cluster_image.ts";
import { decide } from "../../master/scheduler/decide.ts";
import { cluster, report, withStore } from "./fixtures.ts";
import {
  deadHost,
  host,
  image,
  member,
  now,
  view,
} from "./scheduler_fixtures.ts";

function by(hostId: string) {
  return { hostId, tick: now };
}

Deno.test("A cluster that this store never launched, and that runs, is not launched again: an operator adopts it (M8, M11)", () => {
  const defined: ClusterImage = {
    ...image({ life: "defined", members: {}, confirmedBy: [], cci: 0 }),
    steps: 0,
  };
  // Its first membership has index 0, too.
  const told = cluster(1, 2, { configChangeIndex: 0 });
  const left = cluster(1, 2, {
    configChangeIndex: 0,
    nodes: {},
    incomplete: true,
  });
  assert.equal(isWanted(defined, left), true);
  assert.equal(reconcile(defined, left, by("host-2")), undefined);
  const found = reconcile(defined, told, by("host-2"))!;
  assert.equal(found.life, "unmanaged");
  assert.deepEqual(Object.keys(found.members), ["1", "2", "3"]);
  assert.deepEqual(found.def, defined.def, "what an operator wished stays");
  const decision = decide(view([host(1), host(2), host(3)]), found);
  assert.equal(decision.do, "nothing");
});

const { 1: first, 2: second, 3: third } = image().members;

/** A copy that has three voters; the only one that is left says so. */
function shrunkSince(since?: number): ClusterImage {
  const unseen = (n: number) => {
    const { since: _, ...rest } = member(n);
    return rest;
  };
  const two = since === undefined ? unseen(2) : { ...unseen(2), since };
  const copy = image({
    isImported: true,
    confirmedBy: [],
    members: { 1: unseen(1), 2: two, 3: unseen(3) },
  });
  const told = cluster(1, 1, { configChangeIndex: 90, nodes: { 1: "a1" } });
  return reconcile(copy, told, by("h1"))!;
}

Deno.test("A copy takes over members that drop a majority of its own if nobody runs whom they drop (M9, M11)", () => {
  const copy = shrunkSince();
  assert.equal(copy.cci, 30, "one reporter is not enough");
  const stopped = { ...copy.members[2]!, since: now - 9, missingSince: now };
  const seen = { ...copy, members: { ...copy.members, 2: stopped } };
  for (const [one, third] of [[copy, host(3)], [seen, deadHost(3)]] as const) {
    const decision = decide(view([host(1), host(2), third]), one);
    assert.ok(decision.do === "change");
    assert.equal(decision.next.cci, 90);
    assert.deepEqual(Object.keys(decision.next.members), ["1"]);
    assert.deepEqual(decision.next.gone, [2, 3]);
    const trusted = decide(view([host(1), host(2), third]), decision.next);
    assert.ok(trusted.do === "change");
    assert.equal(trusted.next.isImported, undefined);
  }
  const isNotKnown = [
    [shrunkSince(now), host(3)],
    [copy, host(3, { tick: now - 10 })],
  ] as const;
  for (const [one, third] of isNotKnown) {
    const decision = decide(view([host(1), host(2), third]), one);
    assert.deepEqual(decision.do, "nothing");
  }
});

Deno.test("A cluster that is deleted after an import waits for nobody's word (M11)", () => {
  const after = deleted(shrunkSince());
  assert.equal(after.isImported, undefined);
  const hosts = [host(1), host(2), host(3)];
  const decision = decide(view(hosts), after);
  assert.ok(decision.do === "change");
  assert.deepEqual(decision.next.step?.hosts, { h1: 1, h2: 2, h3: 3 });
});

Deno.test("Of members in a copy it is not known whether they run, and single commits of an import may fail (M11)", async () => {
  await withStore(async (store) => {
    for (const n of [1, 2, 3]) await store.report(report(n, [cluster(1, n)]));
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId: 1, wish });
    for (const n of [1, 2, 3]) {
      const isLeader = n === 1;
      const rest = { isLeader, isLagging: true };
      await store.report(report(n, [cluster(1, n, rest)]));
    }
    const lines: string[] = [];
    for await (const line of store.exportLines()) lines.push(line);
    await withStore(async (next, kv) => {
      // The first commit takes the store; of the others every second one fails, or seems to.
      kv.faults = [undefined, "fails", undefined, "lost", "fails", "fails"];
      const { clusters, nodeHosts } = await next.importLines(lines);
      assert.deepEqual([clusters, nodeHosts], [1, 3]);
      assert.equal(kv.faults.length, 0);
      const { members } = (await next.cluster(1))!;
      for (const one of Object.values(members)) {
        assert.equal(one.since, undefined);
        assert.equal(one.role, "voter");
      }
      await next.report(report(1, [cluster(1, 1)]));
      const after = (await next.cluster(1))!;
      const { since } = after.members[1]!;
      assert.notEqual(since, undefined, "its NodeHost says so");
      assert.equal(after.members[2]!.since, undefined);
    });
  });
});

Deno.test("Who runs and is not among the members of a rebuilt cluster is stopped, though it says nothing new (M15)", () => {
  const recovering = image({
    life: "recovering",
    condemned: [2],
    confirmedBy: [],
    members: {
      1: first!,
      2: second!,
      3: { ...third!, role: "observer" },
      4: member(4, { role: "observer", missingSince: now }),
    },
  });
  const rebuilt = cluster(1, 1, { configChangeIndex: 90, nodes: { 1: "a1" } });
  const next = reconcile(recovering, rebuilt, by("h1"))!;
  assert.deepEqual(next.zombies, { 2: "h2", 3: "h3" });
  const decision = decide(view([host(1), deadHost(2), host(3)]), next);
  assert.ok(decision.do === "change");
  assert.equal(decision.next.step?.kind, "kill");
  assert.deepEqual(decision.next.step?.hosts, { h3: 3 });
});
