import { assert } from "../deps.ts";
import type { Kv } from "../../master/kv.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type { ClockRecord, ClusterRecord } from "../../master/schema.ts";
import { RaftError } from "../../raft/errors.ts";
import { MasterWorld } from "../../testing/master/world.ts";
import { cluster, dump, report, withStore } from "./fixtures.ts";
import {
  inThisProcess,
  masterOver,
  openEmptyKv,
  type Place,
  storeOver,
} from "./instances.ts";
import { Reader } from "./openapi_reader.ts";
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
    await withStore(async (other) => {
      await other.importLines(lines);
      assert.equal(await other.deploymentId(), await store.deploymentId());
      const { isImported, ...adopted } = (await other.cluster(1))!;
      assert.equal(isImported, true);
      assert.deepEqual(adopted, {
        ...(await store.cluster(1))!,
        confirmedBy: [],
      });
      assert.deepEqual(await other.cluster(2), await store.cluster(2));
      const events = (await other.events(10)).map(({ what }) => what);
      assert.equal(events.length, 3, events.join());
      assert.ok(events.includes("imported"));
    });
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
      [
        [lines[0]!, '[["tomb",1],{"tick":1,"steps":1}]'],
        /the line of the store is missing/,
      ],
    ];
    for (const [text, message] of bad) {
      await withStore(async (empty) => {
        await assert.rejects(empty.importLines(text), message);
      });
    }
  });
});

Deno.test("An import that was cut off is repeated; until it is done nobody writes to the store", async () => {
  await withStore(async (store) => {
    for (const n of [1, 2]) await store.report(report(n, [cluster(1, n)]));
    const lines = await linesOf(store);
    await withStore(async (next, kv) => {
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
      const other = storeOver({ kv });
      await assert.rejects(
        other.report(report(1)),
        (error) => error instanceof RaftError && error.code === "notReady",
      );
      await next.importLines(lines);
      const { accepted } = await storeOver({ kv }).report(
        report(1, [cluster(1, 1)]),
      );
      assert.equal(accepted, true);
    }, inThisProcess("an import is cut off"));
  });
});

Deno.test("GET /v1/export streams the lines, to operators only", async () => {
  await withStore(async (store) => {
    await store.report(report(1, [cluster(1, 1)]));
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

const token = "a-nodehosts-token-of-at-least-32-characters";
const operatorToken = "an-operators-token-of-32-characters";

/** Gives `work` a master over an empty store, and how it is sent an import. */
async function withEmptyMaster(
  work: (parts: ReturnType<typeof emptyMaster>) => Promise<void>,
  place: Place = {},
): Promise<void> {
  const kv = await openEmptyKv();
  try {
    await work(emptyMaster(kv, place));
  } finally {
    kv.close();
  }
}

function emptyMaster(kv: Kv, place: Place) {
  const store = storeOver({ kv, makesDeployment: false }, place);
  const errors: unknown[] = [];
  const error = (...told: unknown[]) => void errors.push(told);
  const logger = { debug() {}, info() {}, warn() {}, error };
  const master = masterOver({ store, token, operatorToken, logger });
  const send = async (
    body: BodyInit,
    { query = "", secret = operatorToken, type = "application/x-ndjson" } = {},
  ) =>
    await master.request(`/v1/import${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": type },
      body,
    });
  return { kv, store, master, errors, send };
}

/** Bytes in pieces that have nothing to do with lines. */
function inPieces(text: string, size: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += size));
    },
  });
}

/** What a store with a few of everything exports. */
async function someLines(clusters = 3): Promise<string[]> {
  let lines: string[] = [];
  await withStore(async (store) => {
    const ids = Array.from({ length: clusters }, (_, i) => i + 1);
    for (const n of [1, 2, 3]) {
      const region = "nørd";
      await store.report(
        report(n, ids.map((id) => cluster(id, n)), { region }),
      );
    }
    await store.command({
      type: "adoptCluster",
      clusterId: 1,
      wish: { app: "kv" },
    });
    lines = await linesOf(store);
  });
  return lines;
}

Deno.test("POST /v1/import fills an empty store with what was exported, for operators only; a dry run writes nothing (M11)", async () => {
  const lines = await someLines(150);
  const body = lines.join("\n") + "\n";
  await withEmptyMaster(async ({ kv, store, master, send }) => {
    const document = await (await master.request("/v1/openapi.json")).json();
    const reader = new Reader(document);
    const operation = reader.find("importStore");
    const told = async (response: Response) =>
      await reader.judge(operation, response) as Record<string, unknown>;
    assert.equal((await send(body, { secret: token })).status, 403);
    assert.equal((await send(body, { type: "application/json" })).status, 415);
    const dry = await told(await send(body, { query: "?dryRun=true" }));
    assert.deepEqual(await dump(kv, []), {}, "a dry run writes nothing");
    const [, meta] = lines;
    const { $bigint } = JSON.parse(meta!)[1].deploymentId;
    const counts = { deploymentId: $bigint, clusters: 150, nodeHosts: 3 };
    assert.deepEqual(dry, { ...counts, isDryRun: true });
    const { epoch, ...rest } = await told(await send(inPieces(body, 7)));
    assert.deepEqual(rest, counts);
    assert.match(String(epoch), /^[0-9a-f]{16}$/);
    assert.equal((await store.deploymentId()).toString(), $bigint);
    assert.equal((await store.cluster(1))!.isImported, true);
    assert.equal((await store.events(1))[0]!.what, "imported");
    for (const query of ["", "?dryRun=true"]) {
      const again = await send(body, { query });
      assert.equal(again.status, 409, "the store is in use");
      await told(again);
    }
  });
});

Deno.test("Whatever is sent to be imported, it is refused by name and is no fault; the next import takes its leftovers away", async () => {
  const lines = await someLines();
  const [head, meta, clock] = lines;
  await withEmptyMaster(async ({ kv, store, master, errors, send }) => {
    const reader = new Reader(
      await (await master.request("/v1/openapi.json")).json(),
    );
    const after = (...more: unknown[]) =>
      [head, meta, clock, ...more.map((one) => JSON.stringify(one))].join("\n");
    const one = lines.find((line) => line.startsWith('[["c",1]'))!;
    const others = Array.from(
      { length: 99 },
      (_, i) => one.replace('["c",1]', `["c",${i + 9}]`),
    ).join("\n");
    const cut = new ReadableStream({
      start(controller) {
        const text = `${after()}\n${others}\n`;
        controller.enqueue(new TextEncoder().encode(text));
      },
      pull(controller) {
        controller.error(new Error("the line went dead"));
      },
    });
    const bad: [BodyInit, number, RegExp][] = [
      ["", 400, /it is empty/],
      ["\n\n", 400, /line 1: it is not JSON/],
      [`${head}\n{`, 400, /line 2: it is not JSON/],
      [new Uint8Array([0x22, 0xff, 0x22, 0x0a]), 400, /not UTF-8/],
      ["x".repeat(512 * 1024 + 1), 413, /A line has more than/],
      [`${head}\n${"[".repeat(100_000)}`, 400, /line 2: it is not JSON/],
      [[head, meta, meta].join("\n"), 400, /line 3: it is there twice/],
      [
        `${head}\n[["meta"],{"deploymentId":{"$bigint":"${"9".repeat(99)}"}}]`,
        400,
        /line 2: it is not JSON/,
      ],
      [`${head}\n[["meta"],{"deploymentId":5}]`, 400, /line 2/],
      [after([["h", 5], {}]), 400, /line 4: it is no record/],
      [after([["h", "x"], {}]), 400, /line 4: its record is not/],
      [after([["c", "1"], {}]), 400, /line 4: it is no record/],
      [after([["c", 1], { cci: 0, members: { 1: 5 } }]), 400, /line 4/],
      [after([["c", 1], { cci: 0 }]), 400, /line 4/],
      [after([["c", 1], { cci: 0, members: {}, life: "wild" }]), 400, /line 4/],
      [after([["tomb", 0], {}]), 400, /line 4/],
      [after([["q", "host-1", 1], {}]), 400, /line 4/],
      [after([["meta", 1], {}]), 400, /line 4/],
      [cut, 400, /it broke off/],
    ];
    for (const [body, status, words] of bad) {
      const response = await send(body);
      const at = String(words);
      assert.equal(response.status, status, at);
      const problem = await reader.judge(reader.find("importStore"), response);
      assert.match((problem as { detail: string }).detail, words, at);
    }
    assert.deepEqual(errors, []);
    assert.notEqual((await kv.get(["c", 9])).value, null);
    assert.equal((await send(lines.join("\n"))).status, 200);
    assert.equal(
      await store.cluster(9),
      undefined,
      "of the one that broke off",
    );
    assert.equal((await store.clusters()).length, 3);
  }, inThisProcess("a request breaks off"));
});

Deno.test("Of two imports into one store the later one wins, and nothing of the other is left", async () => {
  const lines = await someLines();
  await withStore(async (first, kv) => {
    const second = storeOver({ kv });
    const isWaiting = Promise.withResolvers<void>();
    const goesOn = Promise.withResolvers<void>();
    const slow = first.importLines({
      async *[Symbol.asyncIterator]() {
        yield* lines.slice(0, 3);
        isWaiting.resolve();
        await goesOn.promise;
        yield* lines.slice(3);
      },
    });
    await isWaiting.promise;
    const { epoch } = await second.importLines(lines);
    const before = await dump(kv, []);
    goesOn.resolve();
    await assert.rejects(
      slow,
      (error) => error instanceof RaftError && error.code === "rejected",
    );
    assert.deepEqual(await dump(kv, []), before);
    const { value } = await kv.get(["meta"]);
    assert.equal((value as { epoch: string }).epoch, epoch);
  }, inThisProcess("an import waits in its midst"));
});
