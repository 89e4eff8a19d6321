import { assert } from "../deps.ts";
import { type HistoryEvent, isAlarm } from "../../master/history.ts";
import type { Master } from "../../master/server.ts";
import { decodeCbor, encodeCbor } from "../../master/wire/mod.ts";
import {
  cluster,
  dump,
  type Fault,
  type FaultyKv,
  type ManualClock,
  report,
  withStore,
} from "./fixtures.ts";
import type { KvStore } from "../../master/kv_store.ts";
import { inThisProcess, masterOver, storeOver } from "./instances.ts";

const operatorToken = "an-operators-token-of-32-characters";
const token = "a-nodehosts-token-of-at-least-32-characters";

interface Answer {
  status: number;
  body: Record<string, unknown>;
}

type Send = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

function sender(master: Master): Send {
  return async (method, path, body, headers = {}) => {
    const response = await master.request(path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.equal(response.headers.get("cache-control"), "no-store");
    return { status: response.status, body: await response.json() };
  };
}

async function withMaster(
  work: (
    parts: {
      send: Send;
      store: KvStore;
      kv: FaultyKv;
      master: Master;
      clock: ManualClock;
    },
  ) => Promise<void>,
): Promise<void> {
  await withStore(async (store, kv, clock) => {
    kv.letCommitsTake(1, clock);
    const master = masterOver({ store });
    await work({ send: sender(master), store, kv, master, clock });
  });
}

const wish = { clusterId: 7, app: "kv", size: 3 };

Deno.test("Operators create, change, pause and delete clusters over HTTP, and see them", async () => {
  await withMaster(async ({ send }) => {
    const made = await send("POST", "/v1/clusters", wish);
    assert.deepEqual(made.body, { clusterId: 7, life: "defined", gen: 1 });
    assert.equal((await send("POST", "/v1/clusters", wish)).status, 409);
    const changed = await send("PATCH", "/v1/clusters/7", {
      size: 5,
      expectedGen: 1,
    });
    assert.equal(changed.body.gen, 2);
    const old = await send("PATCH", "/v1/clusters/7", {
      size: 1,
      expectedGen: 1,
    });
    assert.deepEqual([old.status, old.body.code], [409, "conflict"]);
    assert.equal((await send("POST", "/v1/clusters/7/pause", {})).status, 200);
    const seen = await send("GET", "/v1/clusters/7");
    assert.equal(seen.body.isPaused, true);
    assert.deepEqual(seen.body.def, {
      gen: 2,
      regions: [],
      config: {},
      app: "kv",
      size: 5,
    });
    assert.equal((await send("POST", "/v1/clusters/7/resume", {})).status, 200);
    assert.equal(
      (await send("DELETE", "/v1/clusters/7", { confirm: "8" })).status,
      422,
    );
    const gone = await send("DELETE", "/v1/clusters/7", {
      confirm: "7",
      waitTicks: 0,
    });
    assert.equal(gone.body.life, "deleting");
    assert.equal((await send("GET", "/v1/clusters/8")).status, 404);
    const { events } = (await send("GET", "/v1/events?limit=2")).body as {
      events: Record<string, unknown>[];
    };
    assert.deepEqual(
      events.map(({ what }) => what),
      ["deleteCluster", "resumeCluster"],
    );
    assert.ok(
      events.every((event) => event.cluster === 7 && event.who === "operator"),
    );
  });
});

Deno.test("A command with an idempotency key is done once, whatever its answer's fate (M19)", async () => {
  await withMaster(async ({ send, kv }) => {
    const headers = { "idempotency-key": "k1", "x-operator": "Ada" };
    const first = await send("POST", "/v1/clusters", wish, headers);
    const again = await send("POST", "/v1/clusters", wish, headers);
    assert.deepEqual(again, first);
    const other = await send(
      "POST",
      "/v1/clusters",
      { ...wish, clusterId: 8 },
      headers,
    );
    assert.equal(other.status, 409);
    kv.faults = ["lost"];
    const lost = await send("POST", "/v1/clusters/7/pause", {}, {
      "idempotency-key": "k2",
    });
    assert.equal(lost.status, 200);
    const events = Object.values(await dump(kv, ["ev"])) as Record<
      string,
      unknown
    >[];
    assert.deepEqual(events.map(({ what }) => what).sort(), [
      "createCluster",
      "pauseCluster",
    ]);
    assert.ok(events.some(({ who }) => who === "Ada"));
    const bad = await send("POST", "/v1/clusters/7/pause", {}, {
      "idempotency-key": "ä",
    });
    assert.equal(bad.status, 400);
  });
});

Deno.test("A dry run says what would be done, and writes nothing (M19)", async () => {
  await withMaster(async ({ send, kv }) => {
    const dry = await send("POST", "/v1/clusters?dryRun=true", wish);
    assert.deepEqual(dry.body, {
      clusterId: 7,
      life: "defined",
      gen: 1,
      isDryRun: true,
    });
    assert.deepEqual(await dump(kv, ["c"]), {});
    assert.deepEqual(await dump(kv, ["ev"]), {});
  });
});

Deno.test("Operators cordon, drain and give up NodeHosts, and pause everything", async () => {
  await withMaster(async ({ send, store }) => {
    await store.report(report(1, [cluster(1, 1)]));
    const at = (action: string, body: unknown = {}) =>
      send("POST", `/v1/nodehosts/host-1/${action}`, body);
    assert.deepEqual((await at("cordon")).body, {
      hostId: "host-1",
      state: "ok",
      cordon: true,
      drain: false,
      revoked: false,
      gen: 2,
    });
    assert.equal((await at("drain")).body.drain, true);
    assert.equal((await at("uncordon")).body.drain, false);
    assert.equal((await at("dead")).status, 400);
    assert.equal((await at("dead", { confirm: "host-1" })).body.state, "gone");
    assert.equal(
      (await at("revoke", { confirm: "host-1" })).body.revoked,
      true,
    );
    await assert.rejects(store.report(report(1)), /an operator revoked it/);
    assert.equal((await at("sing")).status, 404);
    const other = await send("POST", "/v1/nodehosts/nobody/drain", {});
    assert.equal(other.status, 404);
    assert.equal((await send("POST", "/v1/release-brake", {})).status, 409);
    assert.equal((await send("POST", "/v1/pause", {})).body.paused, true);
    assert.deepEqual((await send("GET", "/v1/status")).body, {
      tick: 1,
      busy: false,
      paused: true,
      gen: 1,
      silent: [],
      brake: null,
      adopt: [],
    });
    assert.equal((await send("POST", "/v1/resume", {})).body.paused, false);
  });
});

Deno.test("The plan says what the next round would do, and why not (M19)", async () => {
  await withMaster(async ({ send, store, kv }) => {
    await send("POST", "/v1/clusters", wish);
    const plan = async () =>
      ((await send("GET", "/v1/plan")).body as { decisions: unknown[] })
        .decisions;
    assert.deepEqual(await plan(), [{
      clusterId: 7,
      do: "nothing",
      what: "",
      why: 'waits for another NodeHost with the app "kv"',
    }]);
    for (const n of [1, 2, 3]) {
      await store.report(report(n, [], { apps: ["kv"], region: `r${n}` }));
    }
    assert.deepEqual(await plan(), [{
      clusterId: 7,
      do: "change",
      what: "launch",
      step: "launch",
      why: "its 3 nodes start on host-1, host-2, host-3",
    }]);
    assert.deepEqual(await dump(kv, ["q"]), {});
  });
});

Deno.test("An unmanaged cluster is adopted as it is, or left alone (M7)", async () => {
  await withMaster(async ({ send, store }) => {
    await store.report(report(1, [cluster(1, 1)]));
    assert.equal(
      (await send("PATCH", "/v1/clusters/1", { size: 5 })).status,
      409,
    );
    const adopted = await send("POST", "/v1/clusters/1/adopt", { app: "kv" });
    assert.deepEqual(adopted.body, { clusterId: 1, life: "ok", gen: 1 });
    const { def } = (await store.cluster(1))!;
    assert.equal(def!.size, 3);
    assert.equal(
      (await send("POST", "/v1/clusters/1/adopt", { app: "kv" })).status,
      409,
    );
  });
});

Deno.test("A cluster is recovered only when the lost NodeHosts are given up (M15)", async () => {
  await withMaster(async ({ send, store }) => {
    for (const n of [1, 2, 3]) await store.report(report(n, [cluster(1, n)]));
    await send("POST", "/v1/clusters/1/adopt", { app: "kv" });
    const recover = () =>
      send("POST", "/v1/clusters/1/recover", {
        condemned: [2, 3],
        confirm: "1",
      });
    // Which NodeHosts carry them, their addresses tell.
    const early = await recover();
    assert.match(String(early.body.detail), /host-2 of node 2 is neither/);
    for (const id of ["host-2", "host-3"]) {
      await send("POST", `/v1/nodehosts/${id}/dead`, { confirm: id });
    }
    const done = await recover();
    assert.equal(done.body.life, "recovering");
    assert.deepEqual((await store.cluster(1))!.condemned, [2, 3]);
    const alive = await send("POST", "/v1/clusters/1/recover", {
      condemned: [9],
      confirm: "1",
    });
    assert.equal(alive.status, 422);
  });
});

Deno.test("Bodies that are missing, wrong, too big or hostile are refused by name, and nothing is written", async () => {
  await withMaster(async ({ send, kv, master }) => {
    const bad: unknown[] = [
      [],
      null,
      "text",
      {},
      { ...wish, clusterId: 0 },
      { ...wish, clusterId: 1.5 },
      { ...wish, clusterId: "7" },
      { ...wish, size: 0 },
      { ...wish, size: 10 },
      { ...wish, app: "" },
      { ...wish, app: "a\u0000b" },
      { ...wish, app: "x".repeat(300) },
      { ...wish, nonsense: 1 },
      { ...wish, regions: {} },
      { ...wish, regions: [{ region: "a", count: 1, isRequired: "yes" }] },
      { ...wish, config: { snapshotEntries: -1 } },
      { ...wish, config: { stateMachine: 1 } },
      { ...wish, config: JSON.parse('{"__proto__":{"x":1}}') },
    ];
    for (const body of bad) {
      const { status, body: answer } = await send("POST", "/v1/clusters", body);
      assert.equal(status, 400, JSON.stringify(body));
      assert.match(String(answer.detail), /^Cannot read the body/);
    }
    const senseless: unknown[] = [
      { ...wish, regions: [{ region: "a", count: 4 }] },
      {
        ...wish,
        regions: [{ region: "a", count: 1 }, { region: "a", count: 1 }],
      },
    ];
    for (const body of senseless) {
      const { status, body: answer } = await send("POST", "/v1/clusters", body);
      assert.deepEqual([status, answer.code], [422, "contradiction"]);
    }
    const raw = async (body: BodyInit, type: string) =>
      (await master.request("/v1/clusters", {
        method: "POST",
        body,
        headers: { "content-type": type },
      })).status;
    assert.equal(await raw("{", "application/json"), 400);
    assert.equal(await raw("{}", "text/plain"), 415);
    assert.equal(await raw(new Uint8Array([0xff]), "application/cbor"), 400);
    assert.equal(await raw(`"${"x".repeat(70_000)}"`, "application/json"), 413);
    for (
      const path of [
        "/v1/clusters/0/pause",
        "/v1/clusters/x/pause",
        "/v1/clusters/99999999999999999/pause",
      ]
    ) {
      assert.equal((await send("POST", path, {})).status, 400, path);
    }
    assert.equal((await send("POST", "/v1/clusters/7/dance", {})).status, 404);
    assert.equal((await send("GET", "/v1/events?limit=0")).status, 400);
    assert.equal((await send("PUT", "/v1/clusters/7", {})).status, 405);
    assert.deepEqual(await dump(kv, ["c"]), {});
  });
});

Deno.test("Commands are taken in CBOR as well", async () => {
  await withMaster(async ({ master }) => {
    const response = await master.request("/v1/clusters", {
      method: "POST",
      body: encodeCbor(wish),
      headers: {
        "content-type": "application/cbor",
        accept: "application/cbor",
      },
    });
    assert.deepEqual(decodeCbor(await response.bytes()), {
      clusterId: 7,
      life: "defined",
      gen: 1,
    });
  });
});

Deno.test("Commands want an operator's token, which NodeHosts do not have; neither costs a store anything (M12)", async () => {
  await withStore(async (store, kv) => {
    const master = masterOver({
      store,
      token: [token, `${token}-new`],
      operatorToken: [operatorToken],
    });
    const send = sender(master);
    const before = { ...kv.counts };
    const by = (secret?: string) =>
      send(
        "POST",
        "/v1/clusters",
        wish,
        secret === undefined ? {} : { authorization: `Bearer ${secret}` },
      );
    assert.deepEqual([(await by()).status, (await by(`${token}x`)).status], [
      401,
      401,
    ]);
    assert.deepEqual([
      (await by(token)).status,
      (await by(`${token}-new`)).status,
    ], [403, 403]);
    assert.deepEqual(kv.counts, before);
    assert.equal((await by(operatorToken)).status, 200);
    for (const secret of [token, `${token}-new`, operatorToken]) {
      const headers = { authorization: `Bearer ${secret}` };
      assert.equal(
        (await send("GET", "/v1/status", undefined, headers)).status,
        200,
      );
    }
    const alone = sender(masterOver({ store, token }));
    const headers = { authorization: `Bearer ${token}` };
    assert.equal((await alone("POST", "/v1/pause", {}, headers)).status, 403);
  });
});

Deno.test("Commands of another origin's page are refused (M13)", async () => {
  await withMaster(async ({ send }) => {
    const foreign: Record<string, string>[] = [
      { origin: "http://evil.example" },
      { "sec-fetch-site": "cross-site" },
    ];
    for (const headers of foreign) {
      assert.equal((await send("POST", "/v1/pause", {}, headers)).status, 403);
    }
    const own = { origin: "http://localhost", "sec-fetch-site": "same-origin" };
    assert.equal((await send("POST", "/v1/pause", {}, own)).status, 200);
  });
});

Deno.test("An empty store that may be a lost one answers 503 until an operator makes a deployment (M11)", async () => {
  await withStore(async (_store, kv, clock) => {
    const store = storeOver({ kv, clock, makesDeployment: false });
    const master = masterOver({ store });
    const send = sender(master);
    const views = ["deployment", "plan", "status", "metrics", "events"];
    const lists = ["nodehosts", "clusters", "clusters/1", "cci"];
    for (const name of [...views, ...lists]) {
      const path = `/v1/${name}`;
      const { status, body } = await send("GET", path);
      assert.deepEqual(
        [status, body.code],
        [503, "store-not-initialised"],
        path,
      );
    }
    const reported = await send("POST", "/v1/report", report(1));
    assert.equal(reported.body.code, "store-not-initialised");
    assert.deepEqual(await dump(kv, ["h"]), {});
    const { deploymentId } = (await send("POST", "/v1/init", {})).body;
    assert.deepEqual((await send("POST", "/v1/init", {})).body, {
      deploymentId,
    });
    assert.deepEqual((await send("GET", "/v1/deployment")).body, {
      deploymentId,
    });
  });
});

Deno.test("A command about a cluster that changed since it was shown is refused, and writes nothing (M19)", async () => {
  await withMaster(async ({ send, store, kv }) => {
    await send("POST", "/v1/clusters", wish);
    await send("PATCH", "/v1/clusters/7", { size: 5 }); // Its number is 2 now.
    await store.report(report(1, [cluster(5, 1)])); // Unmanaged: it has none.
    const of7 = (expectedGen: number) =>
      [
        ["PATCH", "/v1/clusters/7", { size: 1, expectedGen }],
        ["POST", "/v1/clusters/7/pause", { expectedGen }],
        ["POST", "/v1/clusters/7/resume", { expectedGen }],
        ["POST", "/v1/clusters/7/cancel-plan", { expectedGen }],
        ["POST", "/v1/clusters/7/recover", {
          condemned: [1],
          confirm: "7",
          expectedGen,
        }],
        ["DELETE", "/v1/clusters/7", { confirm: "7", expectedGen }],
        ["POST", "/v1/clusters/7/keep", { expectedGen }],
      ] as const;
    const before = await dump(kv, []);
    for (const [method, path, body] of of7(1)) {
      const { status, body: said } = await send(method, path, body);
      assert.equal(status, 409, path);
      assert.match(String(said.detail), /number 2, not 1/);
    }
    const adopt = { app: "kv", expectedGen: 1 };
    const refused = await send("POST", "/v1/clusters/5/adopt", adopt);
    assert.match(String(refused.body.detail), /number 0, not 1/);
    assert.deepEqual(await dump(kv, []), before);
    for (const [method, path, body] of of7(2).slice(1, 3)) {
      assert.equal((await send(method, path, body)).status, 200, path);
    }
    for (const [method, path, body] of of7(2).slice(5)) {
      assert.equal((await send(method, path, body)).status, 200, path);
    }
    const adopted = await send("POST", "/v1/clusters/5/adopt", {
      ...adopt,
      expectedGen: 0,
    });
    assert.equal(adopted.body.gen, 1);
  });
});

Deno.test("A store without its sentinel schedules nothing, and gets no other one over the records that it holds (M11)", async () => {
  for (const makesDeployment of [true, false]) {
    await withStore(async (store, kv, clock) => {
      await store.report(report(1));
      const copy: string[] = [];
      for await (const line of store.exportLines()) copy.push(line);
      await kv.atomic().delete(["meta"]).commit();
      const before = await dump(kv, []);
      const another = storeOver({ kv, clock, makesDeployment });
      const send = sender(masterOver({ store: another }));
      const answers = [
        await send("GET", "/v1/deployment"),
        await send("GET", "/v1/status"),
        await send("POST", "/v1/report", report(1, [], { seq: 2 })),
        await send("POST", "/v1/pause", {}),
        await send("POST", "/v1/init", {}),
      ];
      for (const { status, body } of answers) {
        assert.deepEqual([status, body.code], [503, "store-not-initialised"]);
      }
      assert.match(String(answers[4]!.body.detail), /it holds records/);
      await assert.rejects(another.importLines(copy), /holds records/);
      assert.deepEqual(await dump(kv, []), before);
    });
  }
});

Deno.test("A timer of the platform makes time grow when nobody did for two periods, and not sooner (M5)", async () => {
  await withStore(async (store, kv, clock) => {
    const tick = async () =>
      ((await kv.get(["clock"])).value as { tick: number }).tick;
    assert.equal(await store.tick(), false, "nobody ever reported");
    await store.report(report(1));
    clock.advance(39_999);
    assert.deepEqual([await store.tick(), await tick()], [false, 1]);
    clock.advance(1);
    assert.deepEqual([await store.tick(), await tick()], [true, 2]);
    assert.deepEqual([await store.tick(), await tick()], [false, 2]);
  });
});

Deno.test("Metrics count NodeHosts, nodes and what is waited for", async () => {
  await withMaster(async ({ send, store, master }) => {
    await store.report(report(1, [cluster(1, 1), cluster(2, 1)]));
    await store.report(report(2, [cluster(1, 2)]));
    await send("POST", "/v1/clusters", wish);
    await send("POST", "/v1/nodehosts/host-2/dead", { confirm: "host-2" });
    const text = await (await master.request("/v1/metrics")).text();
    const value = (name: string) =>
      text.split("\n").find((line) =>
        line.startsWith(`drakkar_master_${name} `)
      )?.split(" ")[1];
    assert.equal(value('nodehosts{state="ok"}'), "1");
    assert.equal(value('nodehosts{state="gone"}'), "1");
    assert.equal(value("nodes"), "3");
    assert.equal(value("clusters_waiting"), "1");
    assert.equal(
      text.match(/# TYPE drakkar_master_nodehosts gauge/g)?.length,
      1,
    );
  });
});

Deno.test("A quarantined cluster is taken up again by an operator who adopts it (M8)", async () => {
  await withMaster(async ({ send, store }) => {
    await store.report(report(1, [cluster(1, 1)]));
    const other = { 2: "h2:7001", 5: "h5:7001" };
    await store.report(report(2, [cluster(1, 2, { nodes: other })]));
    assert.equal((await store.cluster(1))!.life, "quarantine");
    assert.equal(
      (await send("DELETE", "/v1/clusters/1", { confirm: "1" })).status,
      409,
    );
    const adopted = await send("POST", "/v1/clusters/1/adopt", { app: "kv" });
    assert.equal(adopted.body.life, "ok");
  });
});

Deno.test("Whoever listens hears of what was stored: deaths, quarantine, orders; and which of it is an alarm (M19)", async () => {
  await withStore(async (_store, kv, clock) => {
    const heard: HistoryEvent[] = [];
    const onEvent = (event: HistoryEvent) => heard.push(event);
    const store = storeOver({ kv, clock, onEvent });
    await store.report(report(1, [cluster(1, 1)]));
    await store.report(report(2, [cluster(1, 2, { nodes: { 2: "h2:7001" } })]));
    await store.report(report(3));
    for (let i = 0; i < 7; i++) {
      for (const n of [1, 3]) {
        const known = n === 1
          ? [cluster(1, 1, { incomplete: true, nodes: {} })]
          : [];
        await store.report(report(n, known));
      }
      clock.advance(20_000);
    }
    await store.report(report(4, [], { nodeHostAddress: "h2:7001" }));
    await store.command({ type: "pause" }, { who: "Ada" });
    const told = heard.map(({ what, host = "", who = "" }) =>
      `${what} ${host}${who}`
    );
    assert.deepEqual(told, [
      "quarantine host-2",
      "failed host-2",
      "replaced host-2",
      "pause Ada",
    ]);
    assert.deepEqual(heard.map(isAlarm), [true, true, true, false]);
    assert.deepEqual((await store.events(10)).map(({ what }) => what).sort(), [
      "failed",
      "pause",
      "quarantine",
      "replaced",
    ]);
  });
});

Deno.test("Whoever listens hears of a death, of the brake and of orders once, also where the store lies about its commits (M4, M19)", async () => {
  const lies = Array<Fault>(50).fill("lies");
  const lost = Array<Fault>(50).fill("lost");
  for (const faults of [lies, lost, [undefined, ...lies]]) {
    await withStore(async (_store, kv, clock) => {
      const heard: string[] = [];
      const onEvent = ({ what, host = "" }: HistoryEvent) =>
        void heard.push(`${what} ${host}`);
      const place = inThisProcess("its commits are answered wrongly");
      const store = storeOver({ kv, clock, onEvent }, place);
      const rounds = async (count: number, hosts: number[]) => {
        for (let i = 0; i < count; i++) {
          for (const n of hosts) {
            kv.faults = [...faults];
            await store.report(report(n));
          }
          clock.advance(20_000);
        }
      };
      await rounds(3, [1, 2, 3, 4, 5]);
      await rounds(12, [1, 2, 3, 4]);
      await rounds(8, [1]);
      await rounds(3, [1, 2, 3, 4]);
      kv.faults = [faults.at(-1)];
      await store.command({ type: "pause" });
      kv.faults = [];
      const all = ["failed host-5", "brake ", "brake-off ", "pause "];
      assert.deepEqual(heard, all, faults.slice(0, 2).join());
      const stored = (await store.events(10)).map(({ what }) => what);
      assert.equal(stored.length, all.length);
    });
  }
});

Deno.test("Two processes under one id are an alarm, once; late reports of the older one are none (M10)", async () => {
  await withStore(async (_store, kv, clock) => {
    const heard: HistoryEvent[] = [];
    const onEvent = (event: HistoryEvent) => void heard.push(event);
    const store = storeOver({ kv, clock, onEvent });
    const send = (boot: number, seq: number) =>
      store.report(report(1, [], { boot, seq }));
    const rival = async () => (await store.nodeHosts())[0]?.rivalBoot;
    await send(1, 1);
    await send(1, 5);
    await send(2, 1);
    const before = kv.counts.commit;
    // What was under way when the machine was restarted.
    for (const seq of [5, 6, 7, 6]) await send(1, seq);
    assert.equal(kv.counts.commit, before);
    await send(1, 8);
    assert.deepEqual(heard.map(({ what, host }) => [what, host]), [
      ["interleaved", "host-1"],
    ]);
    assert.ok(heard.every(isAlarm));
    assert.equal(await rival(), 1);
    await send(2, 2);
    const after = kv.counts.commit;
    for (const seq of [9, 10, 11]) {
      assert.equal((await send(1, seq)).accepted, false);
    }
    assert.equal(kv.counts.commit, after, "it is told once, and costs no more");
    // Opened again: if the other goes on, that is an alarm anew.
    await send(3, 1);
    assert.equal(await rival(), undefined);
    assert.equal(heard.length, 1);
  });
});

Deno.test("An address changes only by opening a folder anew: a copy of it is refused, and is an alarm, once (M10, M17)", async () => {
  await withStore(async (_store, kv, clock) => {
    const heard: HistoryEvent[] = [];
    const onEvent = (event: HistoryEvent) => void heard.push(event);
    const store = storeOver({ kv, clock, onEvent });
    const send = (boot: number, seq: number, at: string) =>
      store.report(report(1, [], { boot, seq, nodeHostAddress: at }));
    const where = async () => (await store.nodeHosts())[0]!.nodeHostAddress;
    await send(1, 1, "h1:7001");
    for (const seq of [1, 2, 7]) {
      await assert.rejects(send(1, seq, "h9:7001"), /is its folder a copy/);
    }
    await send(1, 2, "h1:7001");
    assert.equal(await where(), "h1:7001");
    assert.deepEqual(heard.map(({ what }) => what), ["interleaved"]);
    await send(2, 1, "h9:7001");
    assert.equal(await where(), "h9:7001");
  });
});

Deno.test("A deleted cluster can be kept while it waits; then its nodes are stopped (M19)", async () => {
  await withMaster(async ({ send, store, kv, clock }) => {
    kv.letCommitsTake(0, clock);
    const tick = async () =>
      ((await kv.get(["clock"])).value as { tick: number }).tick;
    const life = async () => (await store.cluster(1))?.life;
    for (const n of [1, 2, 3]) {
      await store.report(report(n, [cluster(1, n)], { apps: ["kv"] }));
    }
    await send("POST", "/v1/clusters/1/adopt", { app: "kv" });
    const asked = { confirm: "1", waitTicks: 5 };
    const { deleteAt } = (await send("DELETE", "/v1/clusters/1", asked)).body;
    assert.equal(deleteAt, await tick() + 5);
    assert.equal((await send("POST", "/v1/clusters/1/keep", {})).status, 200);
    assert.equal((await send("POST", "/v1/clusters/1/keep", {})).status, 409);
    await send("DELETE", "/v1/clusters/1", asked);
    const asks = new Set<string>();
    for (let i = 0; i < 30 && asks.size === 0; i++) {
      assert.ok(await tick() <= Number(deleteAt) + 2, "late");
      clock.advance(20_000);
      for (const n of [1, 2, 3]) {
        const known = cluster(1, n, { incomplete: true, nodes: {} });
        const { requests } = await store.report(report(n, [known]));
        for (const { kind } of requests ?? []) asks.add(kind);
      }
    }
    assert.equal(await life(), "deleting");
    assert.deepEqual([...asks], ["kill"]);
    assert.ok(
      (await store.events(10)).some(({ what }) => what === "deleting"),
    );
  });
});
