import { assert } from "../deps.ts";
import type { KvStore } from "../../master/kv_store.ts";
import { createApp } from "../../master/server.ts";
import { encodeCbor } from "../../master/wire/mod.ts";
import {
  cluster,
  type FaultyKv,
  type ManualClock,
  report,
  withStore,
} from "./fixtures.ts";
import { masterOver, storeOver } from "./instances.ts";
import { Reader } from "./openapi_reader.ts";

const operatorToken = "an-operators-token-of-32-characters";
const token = "a-nodehosts-token-of-at-least-32-characters";
const secret = "a-secret-of-one-nodehost-of-32-characters";

async function documentOf(store: KvStore): Promise<Reader> {
  const master = masterOver({ store, token });
  const response = await master.request("/v1/openapi.json");
  assert.equal(response.status, 200, "it is open to everybody");
  return new Reader(await response.json());
}

Deno.test("Every route of the app is in the OpenAPI document, and every operation has its route", async () => {
  await withStore(async (store) => {
    const { operations } = await documentOf(store);
    const routes = createApp({ store }).routes
      .filter(({ method, path }) =>
        method !== "ALL" && (path.startsWith("/v1") || path === "/healthz")
      )
      .map(({ method, path }) =>
        `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`
      );
    const documented = operations.map(({ method, path }) =>
      `${method} ${path}`
    );
    assert.ok(documented.length > 25);
    assert.deepEqual(documented.sort(), [...new Set(routes)].sort());
    assert.equal(routes.length, new Set(routes).size, "a route twice");
    const names = operations.map(({ operationId }) => operationId);
    assert.equal(new Set(names).size, names.length);
    for (const { path, parameters } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(
        parameters.filter((one) => one.in === "path").map(({ name }) => name),
        inPath,
      );
    }
  });
});

/** Does something that every operation can answer with 200. */
async function prepare(
  store: KvStore,
  kv: FaultyKv,
  clock: ManualClock,
): Promise<void> {
  kv.letCommitsTake(1, clock);
  const log = { logInfoIncluded: true, logInfo: [{ clusterId: 1, nodeId: 1 }] };
  const full = {
    apps: ["kv"],
    failureDomain: "rack",
    boot: 1,
    seq: 1,
    ...log,
  };
  await store.report(report(1, [cluster(1, 1), cluster(2, 1)], full));
  await store.report(report(2, [cluster(1, 2), cluster(2, 2)]));
  await store.report(report(3, [cluster(1, 3)], { apps: ["kv"] }));
  await store.command({
    type: "createCluster",
    clusterId: 7,
    wish: {
      app: "kv",
      size: 3,
      regions: [{ region: "north", count: 2, isRequired: true }],
      config: { snapshotEntries: 100 },
    },
  });
  await store.command({ type: "pauseCluster", clusterId: 7 });
  await store.command({
    type: "adoptCluster",
    clusterId: 2,
    wish: { app: "kv" },
  });
  await store.command({ type: "deleteCluster", clusterId: 2, waitTicks: 9 });
}

const confirmHost = { confirm: "host-3" };

/** In an order in which each can be done. */
const calls: [string, Record<string, string>, unknown?][] = [
  ["getHealth", {}],
  ["getDocument", {}],
  ["getDeployment", {}],
  ["init", { dryRun: "true" }, {}],
  ["init", {}, {}],
  ["report", {}, report(4, [cluster(1, 1)], { boot: 1, seq: 1 })],
  ["listNodeHosts", {}],
  ["getNodeHostLog", { nodeHostId: "host-1" }],
  ["listClusters", {}],
  ["getCluster", { clusterId: "1" }],
  ["getCluster", { clusterId: "2" }],
  ["getCluster", { clusterId: "7" }],
  ["listConfigChangeIndexes", {}],
  ["createCluster", { dryRun: "true" }, { clusterId: 8, app: "kv" }],
  ["createCluster", {}, { clusterId: 8, app: "kv", size: 1 }],
  ["changeCluster", { clusterId: "7" }, { size: 5, expectedGen: 1 }],
  ["adoptCluster", { clusterId: "1" }, { app: "kv", regions: [] }],
  ["pauseCluster", { clusterId: "1" }, {}],
  ["resumeCluster", { clusterId: "1" }, {}],
  ["keepCluster", { clusterId: "2" }, {}],
  ["deleteCluster", { clusterId: "8" }, { confirm: "8" }],
  ["getPlan", {}],
  ["cordonHost", { nodeHostId: "host-3" }, {}],
  ["drainHost", { nodeHostId: "host-3" }, {}],
  ["uncordonHost", { nodeHostId: "host-3" }, {}],
  ["forgetHostSecret", { nodeHostId: "host-3" }, confirmHost],
  ["revokeHost", { nodeHostId: "host-3" }, confirmHost],
  ["declareHostDead", { nodeHostId: "host-3" }, confirmHost],
  ["getRecovery", { clusterId: "1" }],
  ["recoverCluster", { clusterId: "1" }, { condemned: [3], confirm: "1" }],
  ["setAdoption", {}, { rules: [{ app: "kv" }] }],
  ["setAdoption", {}, { rules: [] }],
  ["pause", {}, {}],
  ["resume", {}, {}],
  ["getStatus", {}],
  ["listEvents", { limit: "50" }],
  ["exportStore", {}],
  ["getMetrics", {}],
  ["getSession", {}],
  ["signIn", {}, { token: operatorToken }],
  ["signOut", {}],
  ["getBoard", {}],
  ["listBoardClusters", { state: "trouble", text: "1", limit: "5" }],
  ["watchBoard", {}],
];

/** Operations that a state of its own is needed for. */
const elsewhere = ["cancelPlan", "releaseBrake", "importStore"];

Deno.test("What the master answers is what its OpenAPI document says, in JSON and CBOR", async () => {
  for (const type of ["application/json", "application/cbor"]) {
    await withStore(async (store, kv, clock) => {
      await store.init();
      await prepare(store, kv, clock);
      const master = masterOver({ store, token, operatorToken });
      master.close(); // A stream of events would have no end.
      const reader = await documentOf(store);
      for (const [operationId, values, body] of calls) {
        const operation = reader.find(operationId);
        const { method, parameters } = operation;
        const path = operation.path.replaceAll(
          /\{(\w+)\}/g,
          (_, name) => values[name]!,
        );
        const query = parameters.filter((one) =>
          one.in === "query" && values[one.name] !== undefined
        ).map(({ name }) => `${name}=${values[name]}`).join("&");
        if (body !== undefined) reader.matches(operation.body!, body, path);
        const response = await master.request(`${path}?${query}`, {
          method,
          headers: {
            authorization: `Bearer ${operatorToken}`,
            accept: type,
            "x-drakkar-secret": secret,
            ...(body === undefined ? {} : { "content-type": type }),
          },
          ...(body === undefined ? {} : {
            body: type === "application/cbor"
              ? encodeCbor(body)
              : JSON.stringify(body),
          }),
        });
        assert.equal(
          response.status,
          200,
          `${operationId}: ${response.status === 200 || await response.text()}`,
        );
        await reader.judge(operation, response);
      }
      const called = new Set(calls.map(([name]) => name));
      const missing = reader.operations.map((one) => one.operationId)
        .filter((name) => !called.has(name) && !elsewhere.includes(name));
      assert.deepEqual(missing, []);
    });
  }
});

Deno.test("Refusals are problem details that the document knows", async () => {
  await withStore(async (store, kv) => {
    const reader = await documentOf(store);
    const master = masterOver({ store, token, operatorToken });
    for (const operation of reader.operations) {
      const { method, responses } = operation;
      const path = operation.path.replaceAll(/\{\w+\}/g, "7");
      const ask = async (
        status: number,
        headers: Record<string, string>,
        more: { body?: BodyInit; path?: string } = {},
      ) => {
        const response = await master.request(more.path ?? path, {
          method,
          headers: { "content-type": "application/json", ...headers },
          ...(method === "GET" ? {} : { body: more.body ?? "{}" }),
        });
        const answer = await reader.judge(operation, response);
        assert.equal(response.status, status, `${method} ${path}`);
        assert.equal((answer as { status: number }).status, status);
      };
      const right = { authorization: `Bearer ${operatorToken}` };
      if ("401" in responses && path !== "/v1/session") {
        const before = { ...kv.counts };
        await ask(401, {});
        await ask(401, { authorization: `Bearer ${token}x` });
        await ask(401, { authorization: "NodeHost x.host-1" });
        const forged = `operator.9999999999999.${"0".repeat(64)}`;
        await ask(401, { cookie: `drakkar=${forged}` });
        assert.deepEqual(kv.counts, before, "it costs the store nothing (M12)");
      }
      await ask(400, right, { path: `${path}?nonsense=1` });
      if (operation.body === undefined) continue;
      await ask(400, right, { body: "{" });
      await ask(400, right, { body: "[]" });
      await ask(400, right, { body: "" });
      await ask(415, { ...right, "content-type": "text/plain" });
      await ask(413, right, { body: " ".repeat(4_194_305) });
      await ask(403, { ...right, origin: "https://elsewhere.example" });
    }
  });
});

Deno.test("CBOR is answered to those who like it as much as JSON; a query is not guessed at", async () => {
  await withStore(async (store) => {
    const master = masterOver({ store });
    const typeFor = async (accept: string) =>
      (await master.request("/v1/status", { headers: { accept } })).headers
        .get("content-type")?.split("/")[1];
    assert.equal(await typeFor("application/cbor"), "cbor");
    assert.equal(await typeFor("application/json, application/cbor"), "cbor");
    assert.equal(
      await typeFor("application/cbor;q=0.5, application/json"),
      "json",
    );
    assert.equal(await typeFor("application/cbor;q=0, */*"), "json");
    assert.equal(await typeFor("text/html"), "json");
    assert.equal(await typeFor(""), "json");
    const create = async (query: string) =>
      (await master.request(`/v1/clusters?${query}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ clusterId: 7, app: "kv" }),
      })).status;
    for (
      const query of ["dryrun=true", "dryRun=yes", "dryRun=true&dryRun=false"]
    ) {
      assert.equal(await create(query), 400, query);
    }
    assert.equal(await store.cluster(7), undefined);
    assert.equal(await create("dryRun=false"), 200);
  });
});

Deno.test("A dry run of init makes no deployment (M19)", async () => {
  await withStore(async (_store, kv, clock) => {
    const store = storeOver({ kv, clock, makesDeployment: false });
    const master = masterOver({ store });
    const init = async (query = "") =>
      await (await master.request(`/v1/init${query}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: "{}",
      })).json();
    const dry = "?dryRun=true";
    assert.deepEqual(await init(dry), { deploymentId: null, isDryRun: true });
    assert.equal(await store.knownDeploymentId(), undefined);
    const made = await init();
    assert.deepEqual(await init(), made);
    assert.deepEqual(await init(dry), { ...made, isDryRun: true });
  });
});
