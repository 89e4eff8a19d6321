import { assert } from "../deps.ts";
import type { Master } from "../../master/server.ts";
import { decodeCbor, encodeCbor } from "../../master/wire/mod.ts";
import { brief, cluster, report, withStore } from "./fixtures.ts";
import { inThisProcess, masterOver, storeOver } from "./instances.ts";

const token = "a token of at least thirty-two characters".replaceAll(" ", "-");

async function post(
  master: Master,
  body: BodyInit,
  type = "application/json",
  headers: Record<string, string> = {},
): Promise<Response> {
  return await master.request("/v1/report", {
    method: "POST",
    body,
    headers: { "content-type": type, ...headers },
  });
}

async function problemOf(response: Response): Promise<[number, string]> {
  assert.equal(
    response.headers.get("content-type"),
    "application/problem+json",
  );
  const body = await response.json();
  assert.equal(body.status, response.status);
  assert.equal(typeof body.detail, "string");
  return [response.status, body.code];
}

Deno.test("The master tells one deployment id, from any instance, in JSON and CBOR", async () => {
  await withStore(async (store, kv) => {
    const apps = [store, storeOver({ kv }), storeOver({ kv })].map((each) =>
      masterOver({ store: each })
    );
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const response = await apps[i % 3]!.request("/v1/deployment");
        assert.equal(response.headers.get("cache-control"), "no-store");
        return (await response.json()).deploymentId;
      }),
    );
    assert.equal(new Set(answers).size, 1);
    assert.equal(answers[0], (await store.deploymentId()).toString());
    const cbor = await apps[0]!.request("/v1/deployment", {
      headers: { accept: "application/cbor" },
    });
    assert.equal(cbor.headers.get("content-type"), "application/cbor");
    assert.deepEqual(decodeCbor(await cbor.bytes()), {
      deploymentId: answers[0],
    });
  });
});

Deno.test("A master outside production enrols nobody: it tells no deployment id, and makes none (M20)", async () => {
  await withStore(async (store) => {
    const preview = masterOver({ store, takesReports: false });
    const ask = () => preview.request("/v1/deployment");
    const refused = [503, "not-production"];
    assert.deepEqual(await problemOf(await ask()), refused);
    assert.equal(await store.knownDeploymentId(), undefined);
    // Nor where there is one: a NodeHost would keep it for ever.
    await store.init();
    assert.deepEqual(await problemOf(await ask()), refused);
  });
});

Deno.test("The master shows on one instance what was reported to another", async () => {
  await withStore(async (store, kv, clock) => {
    const [a, b] = [store, storeOver({ kv, clock })].map((each) =>
      masterOver({ store: each })
    );
    const log = {
      logInfoIncluded: true,
      logInfo: [{ clusterId: 1, nodeId: 1 }],
    };
    const json = await post(
      a!,
      JSON.stringify(report(1, [cluster(1, 1)], log)),
    );
    assert.deepEqual(brief(await json.json()), { accepted: true, want: [] });
    const cbor = await post(
      b!,
      encodeCbor({ ...report(2, [cluster(1, 2)]) }),
      "application/cbor",
    );
    assert.equal(cbor.status, 200);
    clock.advance(700);
    const get = async (path: string) => await (await b!.request(path)).json();
    const { nodeHosts } = await get("/v1/nodehosts");
    assert.deepEqual(
      nodeHosts.map((
        host: { nodeHostId: string; ageMs: number; leaders: number[] },
      ) => [host.nodeHostId, host.ageMs, host.leaders]),
      [["host-1", 700, [1]], ["host-2", 700, []]],
    );
    const { clusters } = await get("/v1/clusters");
    assert.deepEqual(clusters[0].leader, { nodeId: 1, nodeHostId: "host-1" });
    assert.equal(clusters[0].members[3], "h3:7001");
    assert.deepEqual(await get("/v1/cci"), { cci: { 1: 3 } });
    assert.deepEqual(await get("/v1/nodehosts/host-1/log"), {
      logInfo: log.logInfo,
    });
  });
});

Deno.test("The master refuses bad reports with problem details", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({ store });
    const good = JSON.stringify(report(1));
    const cases: [Promise<Response>, [number, string]][] = [
      [post(master, "{"), [400, "bad-report"]],
      [post(master, ""), [400, "bad-report"]],
      [post(master, "[]"), [400, "bad-report"]],
      [post(master, new Uint8Array([0xff, 0xfe])), [400, "bad-report"]],
      [post(master, good, "application/cbor"), [400, "bad-report"]],
      [post(master, good, "text/plain"), [415, "unsupported-type"]],
      [post(master, " ".repeat(4_194_305)), [413, "too-large"]],
    ];
    for (const [response, expected] of cases) {
      assert.deepEqual(await problemOf(await response), expected);
    }
    assert.equal(kv.counts.commit, 0);
    const spaced = await post(
      master,
      good.padEnd(4_194_304),
      "Application/JSON; charset=utf-8",
    );
    assert.equal(spaced.status, 200);
  });
});

Deno.test("The master stops reading a report without a length that is too large", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store });
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536));
      },
    });
    const response = await master.fetch(
      new Request("http://master/v1/report", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      }),
    );
    assert.deepEqual(await problemOf(response), [413, "too-large"]);
    assert.ok(sent < 6 * 1024 * 1024);
  }, inThisProcess("the body has no end"));
});

Deno.test("The master refuses unknown paths and methods on each route", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({ store });
    for (const path of ["/v1", "/v2/report", "/v1/nodehosts/x"]) {
      assert.deepEqual(await problemOf(await master.request(path)), [
        404,
        "not-found",
      ]);
    }
    const routes = [
      "/v1/deployment",
      "/v1/nodehosts",
      "/v1/nodehosts/a/log",
      "/v1/status",
      "/v1/cci",
      "/healthz",
      "/",
    ];
    for (const path of routes) {
      const response = await master.request(path, { method: "POST" });
      assert.equal(response.headers.get("allow"), "GET, HEAD", path);
      assert.deepEqual(await problemOf(response), [405, "method-not-allowed"]);
    }
    const response = await master.request("/v1/report");
    assert.equal(response.headers.get("allow"), "POST");
    assert.equal((await problemOf(response))[0], 405);
    assert.deepEqual(
      await problemOf(await master.request("/v1/nodehosts/nobody/log")),
      [404, "not-found"],
    );
    assert.equal(kv.counts.commit, 0);
  });
});

Deno.test("The master answers an older report with accepted: false, and another deployment's with 409", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store });
    const send = (rest: Record<string, unknown>) =>
      post(master, JSON.stringify({ ...report(1), ...rest }));
    await send({ boot: 1, seq: 2 });
    const old = await send({ boot: 1, seq: 1 });
    assert.deepEqual(brief(await old.json()), { accepted: false, want: [] });
    assert.deepEqual(await problemOf(await send({ deploymentId: "1" })), [
      409,
      "deployment-mismatch",
    ]);
  });
});

Deno.test("A stranger's reports about someone else's cluster change nothing of it, over HTTP (M9)", async () => {
  await withStore(async (store, _kv, clock) => {
    const master = masterOver({ store });
    const send = async (info: ReturnType<typeof report>) => {
      const response = await post(master, JSON.stringify(info));
      assert.equal(response.status, 200);
      return await response.json();
    };
    for (const n of [1, 2, 3]) await send(report(n, [cluster(1, n)]));
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId: 1, wish });
    for (const n of [1, 2, 3]) await send(report(n, [cluster(1, n)]));
    const before = await store.cluster(1);
    const nodes = { 9: "h9:7001" };
    const lies = [
      cluster(1, 9, { nodes, configChangeIndex: 99 }),
      cluster(1, 9, { nodes }),
      cluster(1, 9, { pending: true, nodes: {}, configChangeIndex: 0 }),
      // In the name of a member that is elsewhere.
      cluster(1, 1, { nodes: { 1: "h9:7001" }, configChangeIndex: 99 }),
      cluster(1, 1, { nodes: { 1: "h9:7001", 2: "h2:7001" } }),
      cluster(1, 1, { incomplete: true, nodes: {}, configChangeIndex: 99 }),
    ];
    for (const lie of lies) {
      const { requests = [] } = await send(report(9, [lie]));
      assert.deepEqual(requests, []);
      assert.deepEqual(await store.cluster(1), before);
    }
    await send(report(9)); // It lists the node no longer.
    clock.advance(20_000);
    for (const n of [1, 2, 3]) await send(report(n, [cluster(1, n)]));
    assert.deepEqual(await store.cluster(1), before);
  });
});

Deno.test("The master answers 503 while its store fails, and tells its log", async () => {
  await withStore(async (store, kv) => {
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    const logger = { debug() {}, info() {}, warn, error: warn };
    const master = masterOver({ store, logger });
    kv.faults = ["fails"];
    const response = await master.request("/v1/deployment");
    assert.equal(response.headers.get("retry-after"), "1");
    assert.deepEqual(await problemOf(response), [503, "store-unavailable"]);
    assert.equal(warnings.length, 1);
    assert.equal((await master.request("/healthz")).status, 200);
    assert.equal((await master.request("/v1/deployment")).status, 200);
  });
});

Deno.test("A fault of the master itself is a 500 that tells nothing", async () => {
  await withStore(async (store) => {
    const errors: unknown[] = [];
    const error = (_: string, fields?: Record<string, unknown>) =>
      void errors.push(fields?.reason);
    const logger = { debug() {}, info() {}, warn() {}, error };
    store.clusters = () => Promise.reject(new Error("secret"));
    const master = masterOver({ store, logger });
    const response = await master.request("/v1/clusters");
    const text = await response.text();
    assert.equal(response.status, 500);
    assert.ok(!text.includes("secret"));
    assert.match(String(errors[0]), /secret/);
  }, inThisProcess("a method is replaced"));
});

Deno.test("The master wants its token on each route, and reads no store without it", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({ store, token });
    const routes = [
      "/v1/deployment",
      "/v1/nodehosts",
      "/v1/nodehosts/a/log",
      "/v1/clusters",
      "/v1/cci",
      "/v1/nothing",
      "/v1/board",
      "/v1/board/clusters",
      "/v1/board/stream",
    ];
    const wrong = [
      undefined,
      "Bearer",
      `Bearer ${token}x`,
      `Bearer ${token.slice(1)}`,
      `Basic ${btoa(`me:${token}x`)}`,
      "Basic ?",
      token,
    ];
    for (const path of routes) {
      for (const authorization of wrong) {
        const headers = authorization === undefined ? {} : { authorization };
        const response = await master.request(path, { headers });
        assert.deepEqual(await problemOf(response), [401, "unauthorized"]);
        assert.equal(response.headers.get("www-authenticate"), "Bearer");
      }
    }
    const body = JSON.stringify(report(1));
    assert.equal((await post(master, body)).status, 401);
    const basic = { authorization: `Basic ${btoa(`me:${token}`)}` };
    assert.equal(
      (await post(master, body, "application/json", basic)).status,
      401,
    );
    const { get, getMany, list, commit } = kv.counts;
    assert.deepEqual([get, getMany, list, commit], [0, 0, 0, 0]);
    assert.equal((await master.request("/healthz")).status, 200);
    assert.equal((await master.request("/", { headers: basic })).status, 200);
    const bearer = { authorization: `Bearer ${token}` };
    assert.equal(
      (await post(master, body, "application/json", bearer)).status,
      200,
    );
  });
});

Deno.test("Two tokens of a kind are valid at once, while one takes the other's place (M12)", async () => {
  await withStore(async (store) => {
    const make = (letter: string) => letter.repeat(32);
    const [old, next, oldOperator, nextOperator] = ["a", "b", "c", "d"].map(
      make,
    );
    const statusOf = async (master: Master, bearer: string, path: string) => {
      const response = await master.request(path, {
        method: path === "/v1/pause" ? "POST" : "GET",
        headers: {
          authorization: `Bearer ${bearer}`,
          "content-type": "application/json",
        },
        ...(path === "/v1/pause" ? { body: "{}" } : {}),
      });
      await response.body?.cancel();
      return response.status;
    };
    const both = masterOver({
      store,
      token: [next!, old!],
      operatorToken: [nextOperator!, oldOperator!],
    });
    for (const bearer of [old!, next!]) {
      assert.equal(await statusOf(both, bearer, "/v1/deployment"), 200);
      assert.equal(await statusOf(both, bearer, "/v1/pause"), 403);
    }
    for (const bearer of [oldOperator!, nextOperator!]) {
      assert.equal(await statusOf(both, bearer, "/v1/pause"), 200);
    }
    const after = masterOver({
      store,
      token: next!,
      operatorToken: nextOperator!,
    });
    assert.equal(await statusOf(after, old!, "/v1/deployment"), 401);
    assert.equal(await statusOf(after, oldOperator!, "/v1/pause"), 401);
    assert.equal(await statusOf(after, next!, "/v1/deployment"), 200);
  });
});

Deno.test("The master refuses a token that is too short to be a secret (M12)", async () => {
  await withStore((store) => {
    for (const bad of ["", "short", "x".repeat(31), `${token} `]) {
      assert.throws(
        () => masterOver({ store, token: bad }),
        (error) =>
          error instanceof RangeError &&
          (bad === "" || !error.message.includes(bad)),
      );
    }
    return Promise.resolve();
  });
});
