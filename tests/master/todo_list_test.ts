/** Rounds with much to do: what is urgent does not wait for all the rest. */
import { assert } from "../deps.ts";
import type { KvStore, KvStoreOptions } from "../../master/kv_store.ts";
import type { ClusterRecord, HostRecord } from "../../master/schema.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import type { MemoryKv } from "../../testing/master/memory_kv.ts";
import { cluster, ManualClock, report } from "./fixtures.ts";
import { ownMemory, storeOver } from "./instances.ts";

interface Room {
  readonly kv: MemoryKv;
  readonly store: KvStore;
  /** These NodeHosts report, and a period passes. */
  tick(hosts: readonly number[], carried?: readonly number[]): Promise<void>;
}

/** Without a NodeHost that hears of them nodes never start: what is decided is what counts here. */
function room(options: Partial<KvStoreOptions> = {}): Room {
  const kv = ownMemory("looks at what is stored after each of many ticks");
  const clock = new ManualClock();
  const store = storeOver({
    kv,
    clock,
    random: new SimRandom(1),
    roundMs: 60_000,
    ...options,
  });
  return {
    kv,
    store,
    async tick(hosts, carried = []) {
      for (const n of hosts) {
        const here = n <= 3 ? carried.map((id) => cluster(id, n)) : [];
        await store.report(report(n, here, { apps: ["kv"], region: `r${n}` }));
      }
      clock.advance(20_000);
    },
  };
}

function recordOf({ kv }: Room, id: number): ClusterRecord {
  return kv.peek(["c", id]).value as ClusterRecord;
}

async function create(
  { store }: Room,
  clusterId: number,
  app: string,
): Promise<void> {
  const wish = { app, size: 3 };
  await store.command({ type: "createCluster", clusterId, wish });
}

Deno.test("A death is repaired in the midst of hundreds of launches (M14)", async () => {
  const all = room({ decisionsPerRound: 10 });
  const hosts = [1, 2, 3, 4, 5, 6];
  const carried = [1_001, 1_002, 1_003];
  await all.tick(hosts, carried);
  for (const clusterId of carried) {
    const wish = { app: "kv" };
    await all.store.command({ type: "adoptCluster", clusterId, wish });
  }
  for (let i = 0; i < 4; i++) await all.tick(hosts, carried);
  assert.deepEqual(all.kv.peekAll(["att"]), [], "all is well");
  const alive = hosts.filter((n) => n !== 3);
  const stateOf = () =>
    (all.kv.peek(["h", "host-3"]).value as HostRecord).state;
  for (let id = 1; id <= 300; id++) await create(all, id, "kv");
  const repaired = () =>
    carried.filter((id) => recordOf(all, id).plan?.kind === "repair").length;
  let rounds = 0;
  while (repaired() < carried.length) {
    await all.tick(alive, carried);
    if (stateOf() === "failed") rounds++;
    assert.ok(rounds < 6, "it takes as long as the launch of 300 clusters");
  }
});
