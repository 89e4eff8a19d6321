import { assert } from "../deps.ts";
import { openDenoKv } from "../../master/kv.ts";
import { KvStore } from "../../master/kv_store.ts";
import type { ClockRecord, ClusterRecord } from "../../master/schema.ts";
import { RaftError } from "../../raft/errors.ts";
import { MemoryKv } from "../../testing/master/memory_kv.ts";
import { MasterWorld } from "../../testing/master/world.ts";
import { cluster, report, withStore } from "./fixtures.ts";
import { masterOver } from "./instances.ts";
import { create, settle, told } from "./world_checks.ts";

async function linesOf(store: KvStore): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of store.exportLines()) lines.push(line);
  return lines;
}

Deno.test("A store that was lost is imported from an export: new epoch, brake on, and nothing decided before reports (M11)", async () => {
  const world = new MasterWorld({
    seed: 11,
    masterCount: 2,
    regions: ["a", "b", "c", "d"],
  });
  await world.run(10_000);
  const ids = await create(world, 4);
  await settle(world, ids, 40_000);
  const operator = world.operator();
  const lines = await world.during(linesOf(operator));
  const deployment = await world.during(operator.deploymentId());
  const oldEpoch = world.hosts[0]!.runner.epoch;

  // Meanwhile things move on; then the store is lost.
  world.hosts[3]!.crash();
  await world.run(10_000);
  await settle(world, ids, 120_000);
  world.hosts[3]!.restart();
  await world.run(20_000);
  const before = [...world.clusters.values()].map((one) => one.history.length);
  world.loseStore();
  const next = world.operator();
  const result = await world.during(next.importLines(lines));
  assert.deepEqual([result.clusters, result.nodeHosts], [4, 4]);
  assert.notEqual(result.epoch, oldEpoch);
  assert.equal(await world.during(next.deploymentId()), deployment);
  const clock = () => world.kv.peek(["clock"]).value as ClockRecord;
  assert.equal(clock().brake!.why, "the store was imported");
  for (const { value } of world.kv.peekAll(["c"])) {
    assert.equal((value as ClusterRecord).isImported, true);
  }
  await world.run(60_000);
  assert.equal(clock().brake, undefined, "all returned");
  await settle(world, ids, 200_000);
  assert.equal(world.hosts[0]!.runner.epoch, result.epoch);
  assert.deepEqual(
    [...world.clusters.values()].map((one) => one.history.length).map((
      length,
      i,
    ) => length >= before[i]!),
    [true, true, true, true],
  );
  // It is a master's store like any other.
  await told(world, () => next.command({ type: "pause" }));
});

Deno.test("An export holds everything that does not follow, and comes back as it was", async () => {
  await withStore(async (store) => {
    for (const n of [1, 2, 3]) await store.report(report(n, [cluster(1, n)]));
    await store.command({
      type: "adoptCluster",
      clusterId: 1,
      wish: { app: "kv" },
    });
    await store.command({
      type: "createCluster",
      clusterId: 2,
      wish: { app: "kv", size: 3 },
    });
    const lines = await linesOf(store);
    const keys = lines.slice(1).map((line) => JSON.parse(line)[0][0]);
    assert.deepEqual([...new Set(keys)], [
      "meta",
      "clock",
      "h",
      "addr",
      "c",
      "ev",
    ]);
    const other = new KvStore({ kv: new MemoryKv() });
    await other.importLines(lines);
    assert.equal(await other.deploymentId(), await store.deploymentId());
    const { isImported, ...adopted } = (await other.cluster(1))!;
    assert.equal(isImported, true);
    assert.deepEqual(adopted, {
      ...(await store.cluster(1))!,
      confirmedBy: [],
    });
    assert.deepEqual(await other.cluster(2), await store.cluster(2));
    assert.deepEqual((await other.events(10)).length, 2);
  });
});

Deno.test("An import is refused into a store that is in use, and of what is no export", async () => {
  await withStore(async (store) => {
    await store.deploymentId();
    const lines = await linesOf(store);
    const isInUse = (error: unknown) =>
      error instanceof RaftError && error.code === "rejected";
    await assert.rejects(store.importLines(lines), isInUse);
    const bad: [string[], RegExp][] = [
      [[], /it is empty/],
      [["{"], /line 1: it is not JSON/],
      [['{"format":"other"}'], /not an export/],
      [['{"format":"drakkar-master","version":2}'], /its version is 2/],
      [[lines[0]!, '[["q","h",1],{}]'], /line 2: it is no record/],
      [
        [lines[0]!, '[["c",1],{"members":{"1":{},"01":{}}}]'],
        /line 2: "01" is not a node id/, // One NodeHost would count as two (rule I3).
      ],
      [[lines[0]!, '[["h","x"],{}]'], /the line of the store is missing/],
    ];
    for (const [text, message] of bad) {
      const empty = new KvStore({ kv: new MemoryKv() });
      await assert.rejects(empty.importLines(text), message);
    }
  });
});

Deno.test("An import that was cut off is repeated; until it is done nobody writes to the store", async () => {
  await withStore(async (store) => {
    for (const n of [1, 2]) await store.report(report(n, [cluster(1, n)]));
    const lines = await linesOf(store);
    const kv = await openDenoKv(":memory:");
    try {
      const next = new KvStore({ kv });
      const cut = () => {
        throw new Error("the power went");
      };
      await assert.rejects(
        next.importLines({
          async *[Symbol.asyncIterator]() {
            yield* lines.slice(0, -1);
            cut();
          },
        }),
        /the power went/,
      );
      const other = new KvStore({ kv });
      await assert.rejects(
        other.report(report(1)),
        (error) => error instanceof RaftError && error.code === "notReady",
      );
      await next.importLines(lines);
      const { accepted } = await new KvStore({ kv }).report(
        report(1, [cluster(1, 1)]),
      );
      assert.equal(accepted, true);
    } finally {
      kv.close();
    }
  });
});

Deno.test("GET /v1/export streams the lines, to operators only", async () => {
  await withStore(async (store) => {
    await store.report(report(1, [cluster(1, 1)]));
    const token = "a-nodehosts-token-of-at-least-32-characters";
    const operatorToken = "an-operators-token-of-32-characters";
    const master = masterOver({ store, token, operatorToken });
    const get = (secret: string) =>
      master.request("/v1/export", {
        headers: { authorization: `Bearer ${secret}` },
      });
    assert.equal((await get(token)).status, 403);
    const response = await get(operatorToken);
    const lines = (await response.text()).trimEnd().split("\n");
    assert.deepEqual(lines, await linesOf(store));
  });
});
