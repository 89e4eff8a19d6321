/** No operator acts on a view that is stale (M19): what is ordered about NodeHosts and about everything. */
import { assert } from "../deps.ts";
import type { HostCommand } from "../../master/operator.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type { ClockRecord, HostRecord } from "../../master/schema.ts";
import { runCommandLine } from "../../master/cli/run.ts";
import { cluster, dump, report, withStore } from "./fixtures.ts";
import { masterOver } from "./instances.ts";

async function genOf(store: KvStore, hostId: string): Promise<number> {
  const hosts = await store.nodeHosts();
  return hosts.find(({ nodeHostId }) => nodeHostId === hostId)!.gen;
}

Deno.test("A command about a NodeHost that changed since it was shown is refused, and writes nothing (M19)", async () => {
  await withStore(async (store, kv) => {
    await store.report(report(1, [cluster(1, 1)]));
    const hostId = "host-1";
    const shown = await genOf(store, hostId);
    await store.command({ type: "cordonHost", hostId, expectedGen: shown });
    const types: HostCommand["type"][] = [
      "cordonHost",
      "uncordonHost",
      "drainHost",
      "revokeHost",
      "forgetHostSecret",
      "declareHostDead",
    ];
    const before = await dump(kv, []);
    for (const type of types) {
      await assert.rejects(
        store.command({ type, hostId, expectedGen: shown }),
        { name: "CommandError", code: "conflict" },
        type,
      );
    }
    assert.deepEqual(await dump(kv, []), before);
    const dry = await store.command({ type: "drainHost", hostId }, {
      isDryRun: true,
    });
    const expectedGen = dry.expectedGen as number;
    assert.equal(expectedGen, await genOf(store, hostId));
    await store.command({ type: "drainHost", hostId, expectedGen });
  });
});

Deno.test("A NodeHost that returned since it was shown as silent is not given up by whoever saw that (M19)", async () => {
  await withStore(async (store, _kv, clock) => {
    let seq = 0;
    const tell = async (n: number, boot = 1) => {
      clock.nowMs += 1_000;
      await store.report(report(n, [], { boot, seq: ++seq }));
    };
    await tell(1);
    await tell(2);
    const hostId = "host-1";
    const shown = await genOf(store, hostId);
    for (let i = 0; i < 3; i++) {
      clock.nowMs += 20_000;
      await tell(2);
    }
    assert.equal((await store.status()).tick, 4);
    assert.equal(await genOf(store, hostId), shown, "silence is no news");
    await tell(1);
    const dead = { type: "declareHostDead", hostId } as const;
    await assert.rejects(
      store.command({ ...dead, expectedGen: shown }),
      /look again/,
    );
    const back = await genOf(store, hostId);
    await tell(1);
    assert.equal(await genOf(store, hostId), back, "reports are no news");
    await tell(1, 2);
    assert.equal(await genOf(store, hostId), back + 1, "it was opened anew");
    await store.command({ ...dead, expectedGen: back + 1 });
  });
});

Deno.test("The brake is released as it was shown, and pause and resume rest on what was shown (M19)", async () => {
  await withStore(async (store, kv, clock) => {
    let seq = 0;
    const tick = async (hosts: number[]) => {
      clock.nowMs += 20_000;
      for (const n of hosts) {
        await store.report(report(n, [], { boot: 1, seq: ++seq }));
      }
    };
    await tick([1, 2, 3, 4, 5]);
    await tick([1, 2, 3, 4, 5]);
    const { gen: quiet } = await store.status();
    for (let i = 0; i < 8; i++) await tick([4, 5]);
    const braked = await store.status();
    assert.deepEqual(braked.brake?.hosts, ["host-1", "host-2", "host-3"]);
    assert.ok(braked.gen > quiet);
    const release = { type: "releaseBrake" } as const;
    await assert.rejects(
      store.command({ ...release, expectedGen: quiet }),
      { code: "conflict" },
    );
    // One more falls silent: what was shown is not what would be released.
    for (let i = 0; i < 8; i++) await tick([5]);
    await assert.rejects(
      store.command({ ...release, expectedGen: braked.gen }),
      { code: "conflict" },
    );
    const { brake, gen } = await store.status();
    assert.equal(brake?.hosts.length, 4);
    await store.command({ ...release, expectedGen: gen });
    for (const type of ["pause", "resume"] as const) {
      await assert.rejects(store.command({ type, expectedGen: gen }));
      const { gen: now } = await store.status();
      await store.command({ type, expectedGen: now });
    }
    const records = await dump(kv, []);
    assert.equal((records.clock as ClockRecord).gen, gen + 3);
  });
});

Deno.test("What is shown before the id is typed again binds the command (M19)", async () => {
  await withStore(async (store) => {
    await store.report(report(1));
    const master = masterOver({ store });
    const err: string[] = [];
    const code = await runCommandLine(
      ["dead", "host-1", "--master", "http://up"],
      {
        out: () => {},
        err: (text) => err.push(text),
        env: () => undefined,
        readFile: () => Promise.reject(new Error("there is none")),
        ask: () => "host-1",
        fetch: async (url, init) => {
          const response = await master.fetch(new Request(url, init));
          if (url.search === "?dryRun=true") {
            await store.command({ type: "cordonHost", hostId: "host-1" });
          }
          return response;
        },
        newKey: () => "key",
      },
    );
    assert.equal(code, 1);
    assert.match(err.join("\n"), /number 2 by now, not 1: look again/);
    const [host] = await store.nodeHosts();
    assert.equal((host as { state?: HostRecord["state"] }).state, undefined);
  });
});
