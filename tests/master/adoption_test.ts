/** Clusters that NodeHosts report are adopted by policy, or by nobody (M7). */
import { assert } from "../deps.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type { ClusterInfo } from "../../master/protocol.ts";
import {
  cluster,
  dump,
  type ManualClock,
  report,
  withStore,
} from "./fixtures.ts";

const rules = [{ app: "kv", config: { heartbeatTicks: 2 } }];

function teller(store: KvStore, clock: ManualClock) {
  let seq = 0;
  return async (
    hosts: readonly number[],
    rest: Partial<ClusterInfo> = { app: "kv" },
    clusterId = 1,
  ) => {
    clock.nowMs += 20_000;
    for (const n of hosts) {
      const info = cluster(clusterId, n, rest);
      await store.report(report(n, [info], { boot: 1, seq: ++seq }));
    }
  };
}

async function lifeOf(store: KvStore, clusterId = 1) {
  return (await store.cluster(clusterId))?.life;
}

Deno.test("A reported cluster is adopted by policy when a majority of its voters reports it, not sooner (M7, M9)", async () => {
  await withStore(async (store, kv, clock) => {
    const tell = teller(store, clock);
    await store.command({ type: "setAdoption", rules });
    for (let i = 0; i < 4; i++) await tell([1]);
    assert.equal(await lifeOf(store), "unmanaged", "one alone says so");
    const [planned] = await store.plan();
    assert.match(planned!.why, /to be adopted: 1 of its 3 voters report it/);
    for (let i = 0; i < 4; i++) await tell([1, 2]);
    const record = (await store.cluster(1))!;
    assert.equal(record.life, "ok");
    assert.deepEqual(record.def, {
      gen: 1,
      app: "kv",
      size: 3,
      regions: [],
      config: { heartbeatTicks: 2 },
    });
    const told = (await store.events(20)).filter(({ what }) =>
      what === "adopted"
    );
    assert.equal(told.length, 1);
    assert.ok(Object.keys(await dump(kv, ["m"])).length >= 2);
  });
});

Deno.test("A rule is for the clusters that were known before as well; without one, or with another app, nobody adopts them (M7)", async () => {
  await withStore(async (store, _kv, clock) => {
    const tell = teller(store, clock);
    const all = [1, 2, 3];
    for (let i = 0; i < 3; i++) await tell(all);
    assert.equal(await lifeOf(store), "unmanaged");
    const other = { type: "setAdoption", rules: [{ app: "sql" }] } as const;
    await store.command({ ...other, rules: [...other.rules] });
    for (let i = 0; i < 3; i++) await tell(all);
    assert.equal(await lifeOf(store), "unmanaged");
    assert.deepEqual((await store.status()).adopt, [{ app: "sql" }]);
    await store.command({ type: "pause" });
    await store.command({ type: "setAdoption", rules });
    for (let i = 0; i < 3; i++) await tell(all);
    assert.equal(await lifeOf(store), "unmanaged", "decisions are paused");
    await store.command({ type: "resume" });
    for (let i = 0; i < 4; i++) await tell(all);
    assert.equal(await lifeOf(store), "ok");
  });
});

Deno.test("A cluster whose NodeHosts do not say what its state machine is waits for an operator, who has to say it (M7, M20)", async () => {
  await withStore(async (store, _kv, clock) => {
    const tell = teller(store, clock);
    await store.command({ type: "setAdoption", rules });
    for (let i = 0; i < 4; i++) await tell([1, 2, 3], {});
    assert.equal(await lifeOf(store), "unmanaged");
    const adopt = { type: "adoptCluster", clusterId: 1 } as const;
    await assert.rejects(
      store.command({ ...adopt, wish: {} }),
      { code: "invalid", message: /give the app/ },
    );
    // Its memberships are asked for in full until somebody said it.
    assert.deepEqual([...await store.configChangeIndexes()], []);
    await store.command({ type: "setAdoption", rules: [] });
    await tell([1, 2, 3], { app: "kv" });
    assert.deepEqual([...await store.configChangeIndexes()], [[1, 3]]);
    await assert.rejects(
      store.command({ ...adopt, wish: { app: "sql" } }),
      { code: "conflict", message: /is "kv", not "sql"/ },
    );
    await store.command({ ...adopt, wish: {} });
    assert.equal((await store.cluster(1))!.def!.app, "kv");
  });
});

Deno.test("Rules rest on what was shown (M19), and one that wants more voters than there are is for no cluster (M7)", async () => {
  await withStore(async (store, _kv, clock) => {
    const tell = teller(store, clock);
    const { gen } = await store.status();
    const regions = [{ region: "north", count: 4 }];
    const wide = { type: "setAdoption", rules: [{ app: "kv", regions }] };
    await store.command({ ...wide, type: "setAdoption", expectedGen: gen });
    await assert.rejects(
      store.command({ type: "setAdoption", rules, expectedGen: gen }),
      { code: "conflict" },
    );
    for (let i = 0; i < 4; i++) await tell([1, 2, 3]);
    assert.equal(await lifeOf(store), "unmanaged");
  });
});

Deno.test("What one NodeHost alone says of a cluster's state machine is not believed: no rule adopts it (M7)", async () => {
  await withStore(async (store, _kv, clock) => {
    const tell = teller(store, clock);
    await store.command({ type: "setAdoption", rules });
    for (let i = 0; i < 4; i++) {
      await tell([3], { app: "kv" });
      await tell([1, 2], {});
    }
    assert.equal(await lifeOf(store), "unmanaged");
    const [planned] = await store.plan();
    assert.match(planned!.why, /1 of its 3 voters report it as "kv"/);
    assert.equal((await store.cluster(1))!.app, undefined);
    for (let i = 0; i < 4; i++) await tell([1, 2], { app: "sql" });
    assert.equal(await lifeOf(store), "unmanaged");
    const record = (await store.cluster(1))!;
    assert.equal(record.app, "sql");
    assert.deepEqual(record.apps, { 1: "sql", 2: "sql", 3: "kv" });
    // One of them was mistaken, and is opened again with the other state machine.
    for (let i = 0; i < 4; i++) await tell([2, 3], { app: "kv" });
    assert.equal((await store.cluster(1))!.def!.app, "kv");
    assert.equal((await store.cluster(1))!.apps, undefined);
  });
});

Deno.test("What a NodeHost that carries no voter says of a cluster's state machine is not believed (M7, M9)", async () => {
  await withStore(async (store, _kv, clock) => {
    const tell = teller(store, clock);
    let seq = 0;
    const lie = async (n: number, rest: Partial<ClusterInfo>) => {
      const info = cluster(1, n, { app: "kv", ...rest });
      await store.report(report(9, [info], { boot: 1, seq: ++seq }));
    };
    await store.command({ type: "setAdoption", rules });
    for (let i = 0; i < 3; i++) {
      await tell([1, 2, 3], {});
      await lie(77, {}); // Of nobody.
      await lie(2, {}); // Of another one.
      await lie(2, { nodes: {}, incomplete: true });
    }
    const record = (await store.cluster(1))!;
    assert.equal(record.life, "unmanaged");
    assert.equal(record.app, undefined);
    assert.equal(record.apps, undefined);
  });
});

Deno.test("A cluster with one voter is left to operators: a NodeHost could invent it (M7)", async () => {
  await withStore(async (store, _kv, clock) => {
    const tell = teller(store, clock);
    await store.command({ type: "setAdoption", rules });
    const alone = { app: "kv", nodes: { 1: "h1:7001" } };
    for (let i = 0; i < 4; i++) await tell([1], alone);
    assert.equal(await lifeOf(store), "unmanaged");
    const adopt = { type: "adoptCluster", clusterId: 1, wish: {} } as const;
    await store.command({ ...adopt });
    assert.equal((await store.cluster(1))!.def!.app, "kv");
  });
});
