import { assert } from "../deps.ts";
import { openDenoKv } from "../../master/kv.ts";
import { type KvStore, openStore } from "../../master/kv_store.ts";
import { RaftError } from "../../raft/errors.ts";
import { type HostRecord, schemaVersion } from "../../master/schema.ts";
import {
  brief,
  cluster,
  dump,
  type Fault,
  type ManualClock,
  report,
  withStore,
} from "./fixtures.ts";
import {
  alone,
  inThisProcess,
  isFar,
  needsDisk,
  storeOver,
} from "./instances.ts";

const byCode = (code: string) => (error: unknown) =>
  error instanceof RaftError && error.code === code;

Deno.test("KvStore.deploymentId() is set once, whoever asks first", async () => {
  await withStore(async (store, kv) => {
    const others = Array.from({ length: 50 }, () => storeOver({ kv }));
    const ids = await Promise.all(
      [store, ...others].map((each) => each.deploymentId()),
    );
    assert.equal(new Set(ids).size, 1);
    assert.ok(ids[0]! > 1n && ids[0]! < 1n << 64n);
    const meta = (await kv.get(["meta"])).value as Record<string, unknown>;
    assert.equal(meta.deploymentId, ids[0]);
    assert.equal(meta.v, schemaVersion);
    assert.match(String(meta.w), /^[0-9a-f]{16}$/);
  });
});

Deno.test("KvStore.deploymentId() reads again when the outcome is in doubt (M4)", async () => {
  for (const fault of ["lies", "lost"] satisfies Fault[]) {
    await withStore(async (store, kv) => {
      kv.faults = [fault];
      const id = await store.deploymentId();
      assert.equal(kv.counts.commit, 1);
      assert.equal(await storeOver({ kv }).deploymentId(), id);
    });
  }
});

Deno.test("KvStore.deploymentId() tells a failure, and succeeds after it (M4)", async () => {
  await withStore(async (store, kv) => {
    kv.faults = ["fails"];
    await assert.rejects(store.deploymentId(), byCode("notReady"));
    const id = await store.deploymentId();
    assert.equal(await storeOver({ kv }).deploymentId(), id);
  });
});

Deno.test("KvStore.deploymentId() survives a commit that lands after its timeout (M4)", async () => {
  await withStore(async (store, kv, clock) => {
    kv.faults = ["hangs"];
    const first = store.deploymentId();
    const failed = assert.rejects(first, byCode("timeout"));
    while (kv.late.length === 0) await kv.get(["nothing"]);
    clock.advance(10_000);
    await failed;
    const id = await store.deploymentId();
    assert.deepEqual(await kv.late[0]!(), { ok: false }); // Fenced by its check.
    assert.equal(await storeOver({ kv }).deploymentId(), id);
    assert.equal(clock.timerCount, 0);
  }, inThisProcess("a commit hangs, and lands when told to"));
});

Deno.test(
  "KvStore.deploymentId() never changes once it was read",
  async () => {
    await withStore(async (store, kv, clock) => {
      await store.deploymentId();
      await kv.atomic().delete(["meta"]).commit();
      clock.advance(60_001);
      await assert.rejects(store.deploymentId(), byCode("deploymentMismatch"));
      assert.equal((await kv.get(["meta"])).value, null); // None is made in its place.
      await storeOver({ kv }).deploymentId();
      await assert.rejects(store.deploymentId(), byCode("deploymentMismatch"));
    }, alone);
  },
);

Deno.test(
  "KvStore in a file keeps its deployment id, and two openings share it",
  needsDisk,
  async () => {
    const dir = await Deno.makeTempDir();
    try {
      const path = `${dir}/master.kv`;
      const [a, b] = [await openStore({ path }), await openStore({ path })];
      const [idA, idB] = await Promise.all([
        a.deploymentId(),
        b.deploymentId(),
      ]);
      await a.report(report(1, [cluster(1, 1)]));
      assert.deepEqual([...await b.configChangeIndexes()], [[1, 3]]);
      a.close();
      b.close();
      const again = await openStore({ path });
      assert.equal(idA, idB);
      assert.equal(await again.deploymentId(), idA);
      again.close();
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
);

Deno.test("KvStore.report() keeps what a NodeHost says, and its age", async () => {
  await withStore(async (store, kv, clock) => {
    const info = report(1, [cluster(7, 1), cluster(4, 3)], {
      nodeHostApiAddress: "h1:80",
      boot: 2,
      seq: 5,
    });
    assert.deepEqual(brief(await store.report(info)), {
      accepted: true,
      want: [],
    });
    clock.advance(1_500);
    assert.deepEqual(await store.nodeHosts(), [{
      nodeHostId: "host-1",
      nodeHostAddress: "h1:7001",
      nodeHostApiAddress: "h1:80",
      region: "north",
      ageMs: 1_500,
      lastHeardMs: 1_000_000,
      boot: 2,
      gen: 1,
      clusters: [4, 7],
      leaders: [7],
    }]);
    const h = (await kv.get(["h", "host-1"])).value as Record<string, unknown>;
    assert.equal(h.v, schemaVersion);
    assert.match(String(h.w), /^[0-9a-f]{16}$/);
  });
});

Deno.test("KvStore.report() changes nothing for an older pair of boot and seq (M10)", async () => {
  await withStore(async (store, kv) => {
    await store.report(report(1, [cluster(1, 1)], { boot: 2, seq: 5 }));
    const before = await dump(kv, ["h"]);
    const olds = [{ boot: 2, seq: 5 }, { boot: 2, seq: 4 }, {
      boot: 1,
      seq: 9,
    }];
    for (const pair of olds) {
      const old = report(1, [cluster(2, 1)], { region: "south", ...pair });
      assert.deepEqual(brief(await store.report(old)), {
        accepted: false,
        want: [],
      });
    }
    assert.deepEqual(await dump(kv, ["h"]), before);
    assert.deepEqual([...await store.configChangeIndexes()], [[1, 3]]);
    for (const pair of [{ boot: 2, seq: 6 }, { boot: 3, seq: 1 }]) {
      const newer = report(1, [], pair);
      assert.equal((await store.report(newer)).accepted, true);
    }
    assert.equal((await store.report(report(1))).accepted, true);
  });
});

Deno.test(
  "KvStore.report() writes one record when nothing changed",
  async () => {
    await withStore(async (store, kv) => {
      const info = report(1, [cluster(1, 1, { incomplete: true, nodes: {} })]);
      await store.report(report(1, [cluster(1, 1)]));
      await store.report(info);
      const before = { ...kv.counts };
      await store.report(info);
      assert.deepEqual(kv.counts, {
        ...before,
        getMany: before.getMany + 1, // Of the clock and its record: two read units.
        commit: before.commit + 1,
        set: before.set + 1,
      });
    }, alone);
  },
);

Deno.test("KvStore.report() moves memberships forward only, and only by a member's word", async () => {
  await withStore(async (store) => {
    const at = (n: number, configChangeIndex: number, ids: number[]) =>
      report(n, [
        cluster(1, n, {
          configChangeIndex,
          nodes: Object.fromEntries(ids.map((id) => [id, `h${id}:7001`])),
        }),
      ]);
    const members = async () =>
      Object.keys((await store.clusters())[0]!.members).map(Number);
    await store.report(at(1, 3, [1, 2, 3]));
    await store.report(at(2, 9, [1, 2, 4]));
    assert.deepEqual(await members(), [1, 2, 4]);
    await store.report(at(1, 5, [1, 2, 3])); // Behind: old news.
    assert.deepEqual(await members(), [1, 2, 4]);
    await store.report(at(3, 12, [1, 2])); // Node 3 is not a member of what it tells.
    assert.deepEqual(await members(), [1, 2, 4]);
    assert.equal((await store.clusters())[0]!.life, "unmanaged");
  });
});

Deno.test("KvStore.report() puts a cluster with two memberships under one index into quarantine (M8)", async () => {
  await withStore(async (store) => {
    await store.report(report(1, [cluster(1, 1)]));
    const other = { 2: "h2:7001", 5: "h5:7001" };
    await store.report(report(2, [cluster(1, 2, { nodes: other })]));
    const [known] = await store.clusters();
    assert.equal(known!.life, "quarantine");
    assert.deepEqual(Object.keys(known!.members), ["1", "2", "3"]);
  });
});

Deno.test("KvStore.report() asks for memberships that it lacks until it has them", async () => {
  await withStore(async (store) => {
    const incomplete = report(1, [
      cluster(1, 1, { incomplete: true, nodes: {} }),
      cluster(2, 1, { pending: true, nodes: {}, configChangeIndex: 0 }),
    ]);
    assert.deepEqual((await store.report(incomplete)).want, [1]);
    assert.deepEqual((await store.report(incomplete)).want, [1]);
    const full = report(1, [cluster(1, 1), incomplete.clusterInfoList[1]!]);
    assert.deepEqual((await store.report(full)).want, []);
    assert.deepEqual((await store.report(incomplete)).want, []);
    const states = (await store.clusters()).map((each) =>
      each.nodes.map((node) => node.pending)
    );
    assert.deepEqual(states, [[false], [true]]);
  });
});

Deno.test("KvStore.report() replaces the log it knows only by a report that includes it", async () => {
  await withStore(async (store) => {
    const logInfo = [{ clusterId: 2, nodeId: 1 }, { clusterId: 1, nodeId: 1 }];
    assert.equal(await store.logInfo("host-1"), undefined);
    await store.report(report(1, [], { logInfoIncluded: true, logInfo }));
    await store.report(report(1));
    assert.deepEqual(await store.logInfo("host-1"), logInfo.toReversed());
    await store.report(report(1, [], { logInfoIncluded: true }));
    assert.deepEqual(await store.logInfo("host-1"), []);
  });
});

Deno.test("KvStore.report() tells each NodeHost what it is asked for, in each reply until that is seen, and no other (master-reference 12)", async () => {
  await withStore(async (store, _kv, clock) => {
    const hosts = [1, 2, 3, 4];
    const tell = async () => {
      const asked: string[][] = [];
      for (const n of hosts) {
        const rest = { apps: ["kv"], region: `r${n}` };
        const { requests = [] } = await store.report(report(n, [], rest));
        asked.push(
          requests.map(({ kind, nodeId, members = {} }) =>
            `${kind} ${members[nodeId]}`
          ),
        );
      }
      clock.advance(20_000);
      return asked;
    };
    for (let i = 0; i < 3; i++) await tell();
    const regions = [1, 2, 3].map((n) => ({ region: `r${n}`, count: 1 }));
    await store.command({
      type: "createCluster",
      clusterId: 1,
      wish: { app: "kv", size: 3, regions },
    });
    await tell();
    const each = [1, 2, 3].map((n) => [`launch h${n}:7001`]);
    assert.deepEqual(await tell(), [...each, []]);
    assert.deepEqual(await tell(), [...each, []]);
  });
});

Deno.test("KvStore.report() finds out whether its write happened (M4)", async () => {
  for (const fault of ["lies", "lost"] satisfies Fault[]) {
    await withStore(async (store, kv) => {
      await store.deploymentId();
      // The first commit stores the membership, the second the NodeHost.
      kv.faults = [fault, fault];
      const info = report(1, [cluster(1, 1)], { boot: 1, seq: 1 });
      assert.deepEqual(brief(await store.report(info)), {
        accepted: true,
        want: [],
      });
      assert.equal(kv.counts.commit, 3);
      assert.deepEqual([...await store.configChangeIndexes()], [[1, 3]]);
    });
  }
});

Deno.test("KvStore.report() makes good what failed with the next report (M4)", async () => {
  for (const faults of [["fails"], [undefined, "fails"]] as Fault[][]) {
    await withStore(async (store, kv) => {
      await store.deploymentId();
      kv.faults = [...faults];
      const clusters = [cluster(1, 1)];
      await assert.rejects(
        store.report(report(1, clusters, { boot: 1, seq: 1 })),
        byCode("notReady"),
      );
      const next = await store.report(report(1, clusters, { boot: 1, seq: 2 }));
      assert.deepEqual(brief(next), { accepted: true, want: [] });
      assert.deepEqual([...await store.configChangeIndexes()], [[1, 3]]);
    });
  }
});

Deno.test("KvStore knows a NodeHost that names no region, and what older versions stored of one, as unknown", async () => {
  await withStore(async (store, kv) => {
    await store.deploymentId();
    await store.report(report(1, [], { boot: 1, seq: 1, region: "" }));
    const key = ["h", (await store.nodeHosts())[0]!.nodeHostId];
    const value = (await kv.get(key)).value as HostRecord;
    assert.equal(value.region, "unknown");
    await kv.atomic().set(key, { ...value, region: "" }).commit();
    assert.equal((await store.nodeHosts())[0]!.region, "unknown");
  });
});

Deno.test("KvStore.report() yields to a newer report that overtook it", async () => {
  await withStore(async (store, kv) => {
    await store.deploymentId();
    kv.beforeCommit = async () => {
      kv.beforeCommit = undefined;
      await store.report(report(1, [], { boot: 1, seq: 2, region: "new" }));
    };
    const old = await store.report(
      report(1, [], { boot: 1, seq: 1, region: "old" }),
    );
    assert.equal(old.accepted, false);
    assert.equal((await store.nodeHosts())[0]!.region, "new");
  }, inThisProcess("another report comes between two steps"));
});

Deno.test("KvStore.report() does not undo a newer membership that overtook it", async () => {
  await withStore(async (store, kv) => {
    await store.deploymentId();
    const at = (n: number, configChangeIndex: number) =>
      report(n, [cluster(1, n, { configChangeIndex })]);
    kv.beforeCommit = async () => {
      kv.beforeCommit = undefined;
      await store.report(at(2, 9));
    };
    await store.report(at(1, 5));
    assert.deepEqual([...await store.configChangeIndexes()], [[1, 9]]);
  }, inThisProcess("another report comes between two steps"));
});

Deno.test("KvStore.report() that is overtaken for ever ends with busy", async () => {
  await withStore(async (store, kv) => {
    let isNested = false;
    kv.beforeCommit = async () => {
      if (isNested) return;
      isNested = true;
      await store.report(report(1));
      isNested = false;
    };
    await store.deploymentId();
    await assert.rejects(store.report(report(1)), byCode("busy"));
  }, inThisProcess("another report comes between two steps"));
});

Deno.test("KvStore.report() takes 1,000 clusters from three NodeHosts at once", async () => {
  await withStore(async (store, kv) => {
    const clusters = (n: number) =>
      Array.from({ length: 1_000 }, (_, i) => cluster(i + 1, n));
    const replies = await Promise.all([1, 2, 3].map((n) => {
      const list = clusters(n);
      return store.report(report(n, list, {
        logInfoIncluded: true,
        logInfo: list.map(({ clusterId, nodeId }) => ({ clusterId, nodeId })),
      }));
    }));
    assert.deepEqual(
      replies.map(brief),
      Array.from({ length: 3 }, () => ({ accepted: true, want: [] })),
    );
    assert.equal((await store.configChangeIndexes()).size, 1_000);
    const known = await store.clusters();
    assert.ok(known.every((each) => each.nodes.length === 3));
    assert.equal(known[999]!.leader!.nodeHostId, "host-1");
    assert.equal((await store.logInfo("host-2"))!.length, 1_000);
    const hosts = await dump(kv, ["h"]);
    assert.equal(Object.keys(hosts).length, 3);
  });
});

Deno.test(
  "KvStore.report() cuts many nodes into slices, and removes those that are left over",
  async () => {
    await withStore(async (store, kv) => {
      const of = (count: number) => {
        const list = Array.from(
          { length: count },
          (_, i) => cluster(i + 1, 1, { pending: true, nodes: {} }),
        );
        return report(1, list, {
          logInfoIncluded: true,
          logInfo: Array.from(
            { length: count * 1.6 },
            (_, i) => ({ clusterId: i + 1, nodeId: 1 }),
          ),
        });
      };
      // The most that a report may hold; a store that is far away is asked about each of them, too.
      const most = isFar ? 5_000 : 25_000;
      await store.report(of(most));
      assert.equal((await store.logInfo("host-1"))!.length, most * 1.6);
      const slices = await dump(kv, ["hl"]) as Record<
        string,
        { rows: Uint8Array }
      >;
      assert.equal(Object.keys(slices).length, most / 1_250);
      for (const { rows } of Object.values(slices)) {
        assert.ok(rows.length <= 32 * 1024);
      }
      await store.report(of(2_000));
      assert.equal(Object.keys(await dump(kv, ["hl"])).length, 2);
      assert.equal((await store.nodeHosts())[0]!.clusters.length, 2_000);
      assert.equal((await store.logInfo("host-1"))!.length, 3_200);
    });
  },
);

Deno.test(
  "KvStore.report() writes only the slices that changed",
  async () => {
    await withStore(async (store, kv) => {
      const count = isFar ? 1_500 : 3_000;
      const list = Array.from(
        { length: count },
        (_, i) => cluster(i + 1, 2, { pending: true, nodes: {} }),
      );
      await store.report(report(1, list));
      const before = kv.counts.set;
      list[count - 1] = { ...list[count - 1]!, isLeader: true };
      await store.report(report(1, list));
      assert.equal(kv.counts.set - before, 2); // The record, and one slice of several.
      assert.deepEqual((await store.nodeHosts())[0]!.leaders, [count]);
    });
  },
);

/** Reports of NodeHost 9 until so many ticks have passed. */
async function pass(
  store: KvStore,
  clock: ManualClock,
  ticks: number,
): Promise<void> {
  for (let i = 0; i <= ticks; i++) {
    await store.report(report(9));
    clock.advance(20_000);
  }
}

Deno.test("KvStore.report() says where NodeHosts are that the reporting one seeks (M17)", async () => {
  await withStore(async (store) => {
    const at = (n: number, nodeHostAddress: string, boot: number) =>
      store.report(report(n, [], { nodeHostAddress, boot, seq: 1 }));
    await at(1, "h1:7001", 1);
    await at(2, "h2:7001", 6);
    await at(2, "moved:2", 7);
    const ask = async (...seeks: string[]) =>
      (await store.report(report(1, [], { seeks }))).addresses;
    const moved = {
      nodeHostId: "host-2",
      nodeHostAddress: "moved:2",
      boot: 7,
    };
    assert.deepEqual(await ask("host-2"), [moved]);
    assert.deepEqual(await ask("host-9", "host-2"), [moved]);
    assert.equal(await ask("host-9"), undefined);
    assert.equal((await store.report(report(1))).addresses, undefined);
    // A report that is late gets an answer as well, as everything else.
    const late = await store.report(
      report(2, [], { boot: 6, seq: 9, seeks: ["host-1"] }),
    );
    assert.equal(late.accepted, false);
    assert.equal(late.addresses?.[0]?.nodeHostAddress, "h1:7001");
    await store.command({ type: "revokeHost", hostId: "host-2" });
    assert.equal(await ask("host-2"), undefined, "nobody believes it any more");
  });
});

Deno.test("KvStore.report() does not send anybody to a NodeHost that is not believed to be there (M17)", async () => {
  await withStore(async (store) => {
    await store.report(report(1, [], { boot: 1, seq: 1 }));
    await store.report(report(2, [], { boot: 1, seq: 1 }));
    // It claims the address of one that is alive.
    await store.report(
      report(2, [], { boot: 2, seq: 1, nodeHostAddress: "h1:7001" }),
    );
    const asked = report(3, [], { seeks: ["host-1", "host-2"] });
    assert.deepEqual((await store.report(asked)).addresses, [
      { nodeHostId: "host-1", nodeHostAddress: "h1:7001", boot: 1 },
    ]);
  });
});

Deno.test("KvStore takes a new NodeHost at a silent one's address, which is gone then (M17)", async () => {
  await withStore(async (store, kv, clock) => {
    const at = (n: number, nodeHostAddress: string) =>
      store.report(report(n, [], { nodeHostAddress }));
    await at(1, "a:1");
    await pass(store, clock, 5);
    await at(2, "a:1");
    let [first, second] = await store.nodeHosts();
    assert.equal(first!.replacedBy, "host-2");
    assert.equal(second!.replacedBy, undefined);
    const { value } = await kv.get(["h", "host-1"]);
    assert.equal((value as Record<string, unknown>).state, "gone");
    await at(2, "b:1");
    await at(1, "c:1");
    [first, second] = await store.nodeHosts();
    assert.equal(first!.replacedBy, undefined);
    assert.deepEqual(Object.keys(await dump(kv, ["addr"])), [
      "addr/b:1",
      "addr/c:1",
      "addr/h9:7001",
    ]);
  });
});

Deno.test("KvStore does not believe a NodeHost at the address of one that is alive (M17)", async () => {
  await withStore(async (store, kv) => {
    await store.report(report(1, [cluster(1, 1)]));
    const intruder = report(2, [cluster(1, 1, { configChangeIndex: 9 })], {
      nodeHostAddress: "h1:7001",
    });
    assert.equal((await store.report(intruder)).accepted, false);
    assert.deepEqual([...await store.configChangeIndexes()], [[1, 3]]);
    const { value } = await kv.get(["h", "host-2"]);
    assert.equal((value as Record<string, unknown>).conflict, "host-1");
  });
});

Deno.test("KvStore.clusters() believes the later of two leaders", async () => {
  await withStore(async (store, _kv, clock) => {
    await store.report(report(1, [cluster(1, 1, { isLeader: true })]));
    clock.advance(1_000);
    await store.report(report(2, [cluster(1, 2, { isLeader: true })]));
    assert.deepEqual((await store.clusters())[0]!.leader, {
      nodeId: 2,
      nodeHostId: "host-2",
    });
  });
});

Deno.test("KvStore keeps fields that it does not know (M20)", async () => {
  await withStore(async (store, kv) => {
    await store.report(report(1, [cluster(1, 1)]));
    for (const key of [["h", "host-1"], ["c", 1]]) {
      const { value } = await kv.get(key);
      const newer = { ...value as Record<string, unknown>, cordon: true };
      await kv.atomic().set(key, newer).commit();
    }
    await store.report(report(1, [cluster(1, 1, { configChangeIndex: 8 })]));
    for (const key of [["h", "host-1"], ["c", 1]]) {
      const { value } = await kv.get(key);
      assert.equal((value as Record<string, unknown>).cordon, true);
    }
  });
});

Deno.test("KvStore.report() writes nothing into a store that wants a newer master (M20)", async () => {
  await withStore(async (store, kv) => {
    await store.deploymentId();
    const { value } = await kv.get(["meta"]);
    const newer = {
      ...value as Record<string, unknown>,
      minWriter: schemaVersion + 1,
    };
    await kv.atomic().set(["meta"], newer).commit();
    const other = storeOver({ kv });
    await assert.rejects(other.report(report(1)), byCode("notReady"));
    assert.deepEqual(await other.nodeHosts(), []);
  });
});

Deno.test("A master that runs gives way to a newer one within a minute: NodeHosts are to try again (M20)", async () => {
  await withStore(async (store, kv, clock) => {
    await store.report(report(1));
    const { value } = await kv.get(["meta"]);
    const newer = {
      ...value as Record<string, unknown>,
      minWriter: schemaVersion + 1,
    };
    await kv.atomic().set(["meta"], newer).commit();
    clock.advance(60_000);
    const before = (await kv.get(["h", "host-1"])).versionstamp;
    await assert.rejects(store.report(report(1)), byCode("notReady"));
    const order = { type: "pause" } as const;
    await assert.rejects(store.command(order), byCode("notReady"));
    await assert.rejects(store.tick(), byCode("notReady"));
    assert.equal((await kv.get(["h", "host-1"])).versionstamp, before);
    assert.equal((await store.nodeHosts()).length, 1, "it still tells");
  });
});

Deno.test("KvStore.report() refuses a NodeHost of another deployment", async () => {
  await withStore(async (store) => {
    const deploymentId = await store.deploymentId();
    await store.report(report(1, [], { deploymentId }));
    await assert.rejects(
      store.report(report(1, [], { deploymentId: deploymentId ^ 1n })),
      byCode("deploymentMismatch"),
    );
  });
});

Deno.test("KvStore ends a read that hangs", async () => {
  await withStore(async (_store, kv, clock) => {
    const hanging = Object.create(kv, {
      get: { value: () => new Promise(() => {}) },
    });
    const place = inThisProcess("a read hangs");
    const store = storeOver({ kv: hanging, clock, timeoutMs: 100 }, place);
    const failed = assert.rejects(store.deploymentId(), byCode("timeout"));
    clock.advance(100);
    await failed;
  });
});

Deno.test("openDenoKv() tells what is wrong with a store that cannot be opened", async () => {
  await assert.rejects(
    openDenoKv("/nonexistent/folder/master.kv"),
    (error) =>
      error instanceof RaftError && error.code === "notReady" &&
      error.message.startsWith(
        "Cannot open Deno KV at /nonexistent/folder/master.kv: ",
      ),
  );
});
