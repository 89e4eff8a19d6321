/** What the page shows, and what it costs to show it. */
import { assert, cpuUsage } from "../deps.ts";
import { describeEvent } from "../../master/board/history.ts";
import type {
  Board,
  BoardView,
  ClusterState,
} from "../../master/board/types.ts";
import { documentText, iconText } from "../../master/page/document.ts";
import { scriptText } from "../../master/page/script.ts";
import { styleText } from "../../master/page/style.ts";
import { MasterWorld } from "../../testing/master/world.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { cluster, ManualClock, report, withStore } from "./fixtures.ts";
import {
  inThisProcess,
  masterOver,
  openEmptyKv,
  ownEmbedded,
  ownMemory,
  storeOver,
} from "./instances.ts";
import { create, settle, told } from "./world_checks.ts";

const silentAfterMs = 600_000;

function look(world: MasterWorld, board: Board): Promise<BoardView> {
  return world.during(board.view());
}

function calm(seed: number): MasterWorld {
  return new MasterWorld({
    seed,
    masterCount: 2,
    regions: ["a", "b", "c", "d"],
  });
}

Deno.test("The board tells of a death, of the repair and why, and that all is well again", async () => {
  const world = calm(1);
  const board = world.operator().board(silentAfterMs);
  assert.equal((await look(world, board)).status.headline.tone, "idle");
  await world.run(10_000);
  const empty = await look(world, board);
  assert.equal(empty.status.headline.text, "Ready for the first cluster");
  assert.deepEqual(empty.hosts.regions.map(({ name }) => name), [
    "a",
    "b",
    "c",
    "d",
  ]);
  const ids = await create(world, 6);
  await settle(world, ids, 40_000);
  await world.run(4_000);
  const well = await look(world, board);
  assert.deepEqual(well.status.headline, {
    tone: "good",
    text: "All is well",
    detail: "4 NodeHosts in 4 regions, 6 clusters, 18 nodes.",
  });
  assert.equal(well.events[0]?.tone, "good");
  world.hosts[0]!.crash();
  const headlines = new Set<string>();
  const stages = new Set<number>();
  let reasons = "";
  const end = world.now() + 120_000;
  for (;;) {
    await world.run(500);
    const { status, work } = await look(world, board);
    headlines.add(status.headline.text);
    for (const { plan, why } of work.list) {
      if (plan?.kind !== "repair") continue;
      stages.add(plan.stage);
      reasons += why;
      assert.ok(plan.doing !== "");
    }
    if (stages.size > 0 && status.groups.well === 6) break;
    assert.ok(world.now() < end, "the repair ends");
  }
  assert.ok([...headlines].some((text) => /short of a node$/.test(text)));
  assert.ok([...headlines].some((text) => /^Repairing \d/.test(text)));
  assert.ok(stages.has(2) || stages.has(3), [...stages].join());
  assert.match(reasons, /is dead: h1:7001 is lost/, "it names the address");
  const after = await look(world, board);
  assert.equal(after.hosts.list[0]?.standing, "dead");
  assert.equal(after.status.headline.text, "All is well");
  assert.ok(after.events.some(({ what }) => what === "Repair begins"));
});

for (const seed of [1, 2, 3]) {
  Deno.test(`A board that reads what changed knows what a new one reads, seed ${seed}`, async () => {
    const world = calm(seed);
    const operator = world.operator();
    const board = operator.board(silentAfterMs);
    await world.run(10_000);
    await look(world, board);
    const ids = await create(world, 8);
    const states = async (one: Board) => {
      const { status, hosts } = await look(world, one);
      const { clusters } = await world.during(
        one.clusters({ limit: 100 }, 60_000),
      );
      return {
        clusters: clusters.map(({ id, state, members, cci }) => [
          id,
          state,
          cci,
          members.map(({ node, standing }) => `${node} ${standing}`),
        ]),
        states: status.states,
        hosts: hosts.list.map(({ id, standing, nodes }) => [
          id,
          standing,
          nodes,
        ]),
      };
    };
    const compare = async () => {
      const known = await states(board);
      const fresh = await states(operator.board(silentAfterMs));
      assert.deepEqual(known, fresh, `at ${world.now()}`);
    };
    const steps = [
      () => settle(world, ids, 60_000),
      () => Promise.resolve(world.hosts[seed]!.crash()),
      () => world.run(40_000),
      () => Promise.resolve(world.hosts[seed]!.restart()),
      () =>
        told(
          world,
          () => operator.command({ type: "deleteCluster", clusterId: ids[0]! }),
        ),
      () =>
        told(
          world,
          () => operator.command({ type: "drainHost", hostId: "host-1" }),
        ),
      () => world.run(60_000),
    ];
    for (const step of steps) {
      await step();
      for (let i = 0; i < 6; i++) {
        await world.run(1_500);
        await compare();
      }
    }
  });
}

Deno.test("The worst that can be said of a cluster is said: no majority, no leader, short of a node, lagging", async () => {
  await withStore(async (store, _kv, clock) => {
    const board = store.board(50_000);
    const rest = (id: number) => ({
      nodes: { 1: "h1:7001", 2: "h2:7001", 3: "h3:7001" },
      isLeader: id === 1,
    });
    const tell = async (hosts: number[], more = {}) => {
      for (const n of hosts) {
        await store.report(report(n, [cluster(1, n, { ...rest(n), ...more })]));
      }
    };
    const state = async (): Promise<[ClusterState | undefined, string]> => {
      const { clusters } = await board.clusters({ limit: 1 });
      return [clusters[0]?.state, (await board.view()).status.headline.text];
    };
    await tell([1, 2, 3]);
    assert.deepEqual(await state(), ["unmanaged", "All is well"]);
    await tell([1, 2, 3], { isLeader: false });
    assert.deepEqual(await state(), [
      "leaderless",
      "1 cluster without a leader",
    ]);
    await tell([1, 2, 3]);
    await tell([3], { isLagging: true });
    assert.deepEqual(await state(), ["lagging", "1 cluster lags behind"]);
    clock.advance(50_001);
    await tell([1, 2]);
    assert.deepEqual(await state(), [
      "degraded",
      "1 cluster is short of a node",
    ]);
    clock.advance(50_001);
    await tell([2]);
    assert.deepEqual(await state(), ["lost", "1 cluster without a majority"]);
  }, inThisProcess("it looks through a board"));
});

Deno.test("Who looks again at 10,000 quiet clusters reads little, and nobody twice in the same moment", async () => {
  const kv = ownMemory("counts what is billed");
  const clock = new ManualClock();
  const store = storeOver({ kv, clock, random: new SimRandom(1) });
  const count = 10_000;
  const list = (n: number, rest = {}) =>
    report(n, Array.from({ length: count }, (_, i) => cluster(i + 1, n, rest)));
  await store.report(list(1));
  for (const n of [2, 3]) {
    await store.report(list(n, { incomplete: true, nodes: {} }));
  }
  const board = store.board(silentAfterMs);
  await board.view();
  const before = kv.usage.readUnits;
  const looks = 5;
  for (let i = 0; i < looks; i++) {
    clock.advance(2_000);
    const views = await Promise.all([
      board.view(1_000),
      board.view(1_000),
      board.view(1_000),
    ]);
    assert.equal(views[0], views[2]);
    assert.equal(views[0]!.status.clusters, count);
    await board.clusters({ limit: 100, text: "99" }, 2_000);
  }
  const perLook = (kv.usage.readUnits - before) / looks;
  assert.ok(perLook <= 15, `${perLook} read units`);
});

Deno.test("With 10,000 clusters and 100 NodeHosts the first view takes under a second of work, and 200 KiB", async () => {
  const kv = await ownEmbedded("measures how long that takes");
  try {
    const store = storeOver({ kv });
    const count = 10_000;
    const list = (n: number, rest = {}) =>
      Array.from({ length: count }, (_, i) => cluster(i + 1, n, rest));
    await store.report(report(1, list(1)));
    for (let n = 2; n <= 100; n++) {
      const carried = n <= 3 ? list(n, { incomplete: true, nodes: {} }) : [];
      await store.report(report(n, carried, { region: `region-${n % 5}` }));
    }
    let shortest = Infinity;
    let bytes = 0;
    for (let i = 0; i < 3; i++) {
      const before = cpuUsage();
      const board = store.board(silentAfterMs);
      const texts = [
        documentText,
        iconText,
        styleText,
        scriptText,
        JSON.stringify(await board.view()),
        JSON.stringify(await board.clusters({ limit: 25 }, 60_000)),
      ];
      const { user, system } = cpuUsage(before);
      shortest = Math.min(shortest, (user + system) / 1_000);
      const encoder = new TextEncoder();
      bytes = texts.reduce((sum, text) => sum + encoder.encode(text).length, 0);
    }
    assert.ok(bytes < 200 * 1_024, `${bytes} bytes, before any compression`);
    assert.ok(shortest < 1_000, `${shortest} ms`);
  } finally {
    kv.close();
  }
});

Deno.test("Events are told in words, operators' commands with their names", () => {
  const at = { tick: 1, atMs: 5 };
  const told = (event: { what: string; why: string; who?: string }) => {
    const { what, why, tone } = describeEvent("k", { ...at, ...event });
    return [what, why, tone];
  };
  assert.deepEqual(told({ what: "repair", why: "node 3 is dead" }), [
    "Repair begins",
    "node 3 is dead",
    "working",
  ]);
  const wish = { app: "kv", size: 3, regions: [{ region: "eu", count: 2 }] };
  const why = JSON.stringify({ type: "createCluster", clusterId: 1, wish });
  assert.deepEqual(told({ what: "createCluster", why, who: "alice" }), [
    "alice created the cluster",
    "app kv, size 3, 2 in eu",
    "operator",
  ]);
  // What another version tells, and what was cut to be stored.
  assert.deepEqual(told({ what: "constructor", why: "x" }), [
    "constructor",
    "x",
    "plain",
  ]);
  assert.deepEqual(told({ what: "drainHost", why: "{", who: "bob" }), [
    "bob drains the NodeHost",
    "",
    "operator",
  ]);
});

Deno.test("The page does not call NodeHosts silent that report as often as their master tells them, whatever its period", async () => {
  for (const [periodMs, silentMs] of [[60_000, 150_000], [2_000, 60_000]]) {
    const clock = new ManualClock();
    const kv = await openEmptyKv();
    const store = storeOver({ kv, clock, periodMs: periodMs! });
    const master = masterOver({ store });
    const headline = async () => {
      const answer = await (await master.request("/v1/board")).json();
      return answer.status.headline.text;
    };
    for (const n of [1, 2, 3]) await store.report(report(n, [cluster(1, n)]));
    assert.equal(await headline(), "All is well");
    clock.advance(silentMs! - 1);
    assert.equal(await headline(), "All is well", `period ${periodMs}`);
    clock.advance(15_000); // The page reads the store so often.
    assert.equal(await headline(), "1 cluster without a majority");
    master.close();
    kv.close();
  }
});
