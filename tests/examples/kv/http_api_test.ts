import { assert } from "../../deps.ts";
import { memoryStorage, NodeHost } from "../../../mod.ts";
import { MemoryNetwork } from "../../../mod.ts";
import { denoPorts } from "../../../raft/mod.ts";
import { kvApi, valueBytesMax } from "../../../examples/kv/http_api.ts";
import { KvStateMachine } from "../../../examples/kv/state_machine.ts";

type Ask = (
  method: string,
  path: string,
  body?: BodyInit,
) => Promise<Response>;

/** The API over a NodeHost in memory: cluster 1 works, cluster 2 waits for members that never come. */
async function withApi(test: (ask: Ask) => Promise<void>): Promise<void> {
  const raftAddress = "127.0.0.1:7001";
  await using host = await NodeHost.open(
    { dir: "data", raftAddress, storage: memoryStorage(), tickMs: 5 },
    { ...denoPorts(), network: new MemoryNetwork() },
  );
  const stateMachine = () => new KvStateMachine();
  await host.startCluster({
    clusterId: 1,
    nodeId: 1,
    initialMembers: { 1: raftAddress },
    stateMachine,
  });
  await host.startCluster({
    clusterId: 2,
    nodeId: 1,
    initialMembers: { 1: raftAddress, 2: "127.0.0.1:7002" },
    stateMachine,
  });
  await host.waitReady(1);
  const answer = kvApi(host);
  await test((method, path, body) =>
    answer(
      new Request(`http://127.0.0.1${path}`, {
        method,
        ...(body === undefined ? {} : { body }),
      }),
    )
  );
}

async function assertRefused(
  response: Response,
  status: number,
  message: RegExp,
): Promise<void> {
  const { error } = await response.json();
  assert.equal(response.status, status, error.message);
  assert.match(error.message, message);
  assert.equal(error.outcome, "notApplied");
}

Deno.test("kvApi() puts, gets, lists and deletes", () =>
  withApi(async (ask) => {
    const key = "/clusters/1/keys/a%2Fb%20%23%C3%A4";
    const value = new Uint8Array([0, 255, 10]);
    const put = await ask("PUT", key, value);
    assert.deepEqual(await put.json(), { effect: "created" });
    const again = await ask("PUT", key, value);
    assert.deepEqual(await again.json(), { effect: "replaced" });
    const got = await ask("GET", key);
    assert.equal(got.status, 200);
    assert.deepEqual(await got.bytes(), value);
    const stale = await ask("GET", `${key}?stale=1`);
    assert.deepEqual(await stale.bytes(), value);
    const listed = await ask("GET", "/clusters/1/keys?prefix=a%2F");
    assert.deepEqual(await listed.json(), {
      keys: [{ key: "a/b #ä", bytes: 3 }],
      more: false,
    });
    const deleted = await ask("DELETE", key);
    assert.deepEqual(await deleted.json(), { effect: "deleted" });
    await assertRefused(await ask("GET", key), 404, /has no such key/);
    const absent = await ask("DELETE", key);
    assert.deepEqual(await absent.json(), { effect: "absent" });
  }));

Deno.test("kvApi() keeps an empty value apart from a missing key", () =>
  withApi(async (ask) => {
    assert.equal((await ask("PUT", "/clusters/1/keys/e")).status, 200);
    const got = await ask("GET", "/clusters/1/keys/e");
    assert.equal(got.status, 200);
    assert.equal((await got.bytes()).length, 0);
  }));

Deno.test("kvApi() shows the hash of the state and the NodeHost", () =>
  withApi(async (ask) => {
    const before = await (await ask("GET", "/clusters/1/hash")).json();
    await (await ask("PUT", "/clusters/1/keys/k", "v")).json();
    const after = await (await ask("GET", "/clusters/1/hash")).json();
    assert.equal(before.hash, "0000000000000000");
    assert.match(after.hash, /^[0-9a-f]{16}$/);
    assert.notEqual(after.hash, before.hash);
    assert.ok(after.applied > before.applied);
    const status = await (await ask("GET", "/status")).json();
    assert.equal(status.raftAddress, "127.0.0.1:7001");
    assert.equal(status.clusters[0].leaderId, 1);
    assert.equal(status.clusters[0].hash, after.hash, "one notation");
    assert.equal(status.clusters[1].leaderId, 0);
  }));

Deno.test("kvApi() refuses what it cannot use", () =>
  withApi(async (ask) => {
    const refused = async (
      asked: [string, string, BodyInit?],
      status: number,
      message: RegExp,
    ) => assertRefused(await ask(...asked), status, message);
    await refused(["GET", "/"], 404, /nothing at/);
    await refused(["GET", "/clusters/1/other"], 404, /nothing at/);
    await refused(["POST", "/clusters/1/keys/k"], 405, /Only GET, PUT, DELETE/);
    await refused(["PUT", "/status"], 405, /Only GET/);
    await refused(["GET", "/clusters/0/keys"], 400, /cluster id/);
    await refused(
      ["GET", "/clusters/9007199254740992/keys"],
      400,
      /cluster id/,
    );
    await refused(["GET", "/clusters/1/keys?limit=0"], 400, /limit/);
    await refused(["GET", "/clusters/1/keys/k?timeoutMs=x"], 400, /timeoutMs/);
    await refused(["GET", "/clusters/1/keys/%FF"], 400, /UTF-8/);
    await refused(
      ["PUT", "/clusters/1/keys/", "v"],
      400,
      /Cannot use this key/,
    );
    await refused(["GET", "/clusters/9/keys/k"], 404, /9/);
    await refused(["GET", "/clusters/9/hash"], 404, /no node of cluster 9/);
    const big = new Uint8Array(valueBytesMax + 1);
    await refused(["PUT", "/clusters/1/keys/k", big], 413, /at most/);
    const stream = ReadableStream.from([big.subarray(1), big.subarray(0, 1)]);
    await refused(["PUT", "/clusters/1/keys/k", stream], 413, /at most/);
  }));

Deno.test("kvApi() answers in time when a cluster cannot", () =>
  withApi(async (ask) => {
    const put = await ask("PUT", "/clusters/2/keys/k?timeoutMs=50", "v");
    assert.ok([503, 504].includes(put.status));
    assert.equal((await put.json()).error.outcome, "notApplied");
    const get = await ask("GET", "/clusters/2/keys/k?timeoutMs=50");
    assert.ok([503, 504].includes(get.status));
    await get.body?.cancel();
    // What is there can still be read from this node alone.
    const stale = await ask("GET", "/clusters/2/keys/k?stale=1");
    assert.equal(stale.status, 404);
    await stale.body?.cancel();
  }));

Deno.test("kvApi() serves the metrics of its NodeHost", () =>
  withApi(async (ask) => {
    await ask("PUT", "/clusters/1/keys/a", "value");
    const response = await ask("GET", "/metrics");
    assert.match(
      response.headers.get("content-type")!,
      /^text\/plain; version/,
    );
    const page = await response.text();
    assert.match(page, /^drakkar_proposals_total 1$/m);
    assert.match(page, /^drakkar_nodes 2$/m);
    assert.equal((await ask("PUT", "/metrics", "x")).status, 405);
  }));
