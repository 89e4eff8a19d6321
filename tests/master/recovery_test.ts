/** A cluster that lost its majority: what is shown before, what it rests on, and what is left to do by hand (M15). */
import { assert } from "../deps.ts";
import { runCommandLine } from "../../master/cli/run.ts";
import type { ClusterCommand } from "../../master/operator.ts";
import type { KvStore } from "../../master/kv_store.ts";
import {
  rowsOf,
  slicePositions,
  unpackPositions,
} from "../../master/wire/mod.ts";
import type { LogPosition } from "../../master/protocol.ts";
import { cluster, dump, report, withStore } from "./fixtures.ts";
import { masterOver } from "./instances.ts";

const nodes = Object.fromEntries(
  [1, 2, 3, 4, 5].map((n) => [n, `h${n}:7001`]),
);

function at(lastTerm: number, lastIndex: number, appliedIndex = lastIndex) {
  return { lastTerm, lastIndex, appliedIndex };
}

/** Five members; NodeHosts 3, 4 and 5 are dead, and the others say how far their logs go, or do not. */
async function lose(
  store: KvStore,
  told: Record<number, LogPosition | undefined>,
): Promise<void> {
  for (const n of [1, 2, 3, 4, 5]) {
    await store.report(report(n, [cluster(1, n, { nodes })]));
  }
  const wish = { app: "kv" };
  await store.command({ type: "adoptCluster", clusterId: 1, wish });
  for (const n of [1, 2, 3, 4, 5]) {
    const position = told[n];
    const parts = { nodes, isLeader: false, isLagging: true };
    const one = cluster(1, n, {
      ...parts,
      ...(position === undefined ? {} : { position }),
    });
    await store.report(report(n, [one]));
  }
  for (const n of [3, 4, 5]) {
    await store.command({ type: "declareHostDead", hostId: `host-${n}` });
  }
}

const recover: ClusterCommand = {
  type: "recoverCluster",
  clusterId: 1,
  condemned: [3, 4, 5],
};

Deno.test("A recovery shows for each survivor its last term and index, which is furthest, and what would be lost (M15)", async () => {
  await withStore(async (store) => {
    await lose(store, { 1: at(4, 90), 2: at(5, 80, 77), 3: at(5, 85) });
    const known = (await store.recovery(1))!;
    assert.deepEqual(
      known.members.map((one) => [one.nodeId, one.lastTerm, one.lastIndex]),
      [
        [1, 4, 90],
        [2, 5, 80],
        [3, 5, 85],
        [4, undefined, undefined],
        [5, undefined, undefined],
      ],
    );
    // The later term wins, not the longer log (paper 5.4.1).
    assert.equal(known.survivor, 2);
    assert.match(known.lost, /index 80 \(term 5\), and its state to 77/);
    assert.match(known.lost, /still holds 3 entries/);
    assert.match(known.lost, /Node 3, which is given up, last told index 85/);
    assert.deepEqual([known.running, known.voters], [2, 5]);
    assert.equal(await store.recovery(9), undefined);
  });
});

Deno.test("A survivor that does not tell how far its log goes is named, and nothing is made up for it (M15, M20)", async () => {
  await withStore(async (store) => {
    await lose(store, { 1: at(4, 90) });
    const { lost, survivor } = (await store.recovery(1))!;
    assert.equal(survivor, 1);
    assert.match(lost, /How far node 2 goes is not known/);
  });
  await withStore(async (store) => {
    await lose(store, {});
    const { lost, survivor } = (await store.recovery(1))!;
    assert.equal(survivor, null);
    assert.match(lost, /What would be lost is not known/);
  });
});

Deno.test("A dry run of a recovery says what would be lost and writes nothing; only then are there steps, for the survivors (M15)", async () => {
  await withStore(async (store, kv) => {
    await lose(store, { 1: at(4, 90), 2: at(5, 80) });
    const before = await dump(kv, []);
    const dry = await store.command(recover, { isDryRun: true });
    assert.deepEqual(await dump(kv, []), before);
    assert.deepEqual(dry.steps, []);
    assert.match(String(dry.lost), /index 80/);
    const expectedGen = Number(dry.expectedGen);
    const expectedConfigChangeIndex = Number(dry.expectedConfigChangeIndex);
    assert.deepEqual([expectedGen, expectedConfigChangeIndex], [1, 3]);
    const done = await store.command({
      ...recover,
      ...{ expectedGen, expectedConfigChangeIndex },
    });
    const deployment = await store.deploymentId();
    const members = "--member 1=h1:7001 --member 2=h2:7001";
    const [image, ...imports] = done.steps as string[];
    assert.match(image!, /^# At h2:7001: await host.exportSnapshot\(1, DIR\)/);
    assert.deepEqual(
      imports.slice(0, 2),
      [1, 2].map((n) =>
        `deno task import-snapshot --image FILE --dir DIR --address h${n}:7001 --node ${n} ${members} --deployment ${deployment} --state-machine kv`
      ),
    );
    const again = (await store.cluster(1))!;
    assert.deepEqual([again.life, again.condemned], ["recovering", [3, 4, 5]]);
  });
});

Deno.test("A recovery of other members than those that were shown is refused, and so is one of a cluster that has its majority (M15, M19)", async () => {
  await withStore(async (store) => {
    await lose(store, { 1: at(4, 90) });
    await assert.rejects(
      store.command({ ...recover, expectedConfigChangeIndex: 2 }),
      { code: "conflict", message: /those of index 3, not 2/ },
    );
    await assert.rejects(
      store.command({ ...recover, expectedGen: 0 }),
      { code: "conflict" },
    );
    for (const n of [1, 2]) {
      await store.command({ type: "revokeHost", hostId: `host-${n}` });
    }
    await assert.rejects(
      store.command({ ...recover, condemned: [1, 2, 3, 4, 5] }),
      { code: "invalid", message: /No voter would be left/ },
    );
  });
  await withStore(async (store) => {
    for (const n of [1, 2, 3]) await store.report(report(n, [cluster(1, n)]));
    const wish = { app: "kv" };
    await store.command({ type: "adoptCluster", clusterId: 1, wish });
    for (const n of [1, 2, 3]) {
      await store.report(report(n, [cluster(1, n)], { boot: 1, seq: 1 }));
    }
    await store.command({ type: "declareHostDead", hostId: "host-3" });
    for (const n of [1, 2]) {
      const later = cluster(1, n, { configChangeIndex: 4 });
      await store.report(report(n, [later], { boot: 1, seq: 2 }));
    }
    await assert.rejects(
      store.command({ ...recover, condemned: [3] }),
      { code: "conflict", message: /2 of its 3 voters run/ },
    );
  });
});

Deno.test("Where a log ends is kept while no leader is known, and costs nothing else (M15)", async () => {
  await withStore(async (store, kv) => {
    const tell = async (seq: number, position?: LogPosition) => {
      const one = cluster(1, 1, position === undefined ? {} : { position });
      await store.report(report(1, [one], { boot: 1, seq }));
    };
    await tell(1, at(2, 7));
    const kept = await dump(kv, ["pos"]);
    assert.deepEqual(Object.keys(kept), ["pos/host-1/0"]);
    await tell(2, at(2, 7));
    assert.deepEqual(await dump(kv, ["pos"]), kept, "not written again");
    await tell(3, at(2, 9));
    assert.notDeepEqual(await dump(kv, ["pos"]), kept);
    await tell(4);
    assert.deepEqual(await dump(kv, ["pos"]), {});
    kv.counts.set = 0;
    await tell(5);
    assert.equal(kv.counts.set, 1);
  });
});

Deno.test("Positions are packed and read back, and other rows do not know them", () => {
  const position = at(2 ** 40, 2 ** 50, 3);
  const info = report(1, [
    cluster(9, 1),
    cluster(7, 2, { position }),
    cluster(5, 3, { position: at(0, 0) }),
  ]);
  assert.deepEqual(slicePositions(info).flatMap(unpackPositions), [
    { clusterId: 5, nodeId: 3, ...at(0, 0) },
    { clusterId: 7, nodeId: 2, ...position },
  ]);
  assert.deepEqual(slicePositions(report(1, [cluster(9, 1)])), []);
  assert.equal("position" in rowsOf(info)[0]!, false);
});

Deno.test("drakkar recover shows first, binds to what it showed, and prints the import commands only when it is done (M15)", async () => {
  await withStore(async (store) => {
    await lose(store, { 1: at(4, 90), 2: at(5, 80) });
    const master = masterOver({ store });
    const run = async (...args: string[]) => {
      const out: string[] = [];
      const err: string[] = [];
      const code = await runCommandLine([...args, "--master", "http://up"], {
        out: (text) => out.push(text),
        err: (text) => err.push(text),
        env: () => undefined,
        readFile: () => Promise.reject(new Error("there is none")),
        ask: () => "1",
        fetch: async (url, init) => await master.fetch(new Request(url, init)),
        newKey: () => crypto.randomUUID(),
      });
      return { code, out: out.join("\n"), err: err.join("\n") };
    };
    const look = await run("recover", "1");
    assert.equal(look.code, 0, look.err);
    assert.match(look.out, /furthest +2\n/);
    assert.match(look.out, /2 +voter +h2:7001 +host-2 +runs +5 +80 +80\n/);
    assert.match(
      look.out,
      /Then: deno task drakkar recover 1 --condemned 3,4,5 --expected-gen 1 --expected-cci 3$/,
    );
    assert.doesNotMatch(look.out, /import-snapshot/);
    const stale = await run(
      ...["recover", "1", "--condemned", "3,4,5", "--expected-cci", "2"],
    );
    assert.equal(stale.code, 1);
    const dry = await run("recover", "1", "--condemned", "3,4,5", "--dry-run");
    assert.match(dry.out, /lost +Node 2 is furthest/);
    assert.doesNotMatch(dry.out, /import-snapshot/);
    const done = await run("recover", "1", "--condemned", "3,4,5");
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /recover would give/);
    assert.match(done.out, /deno task import-snapshot --image FILE/);
    const missing = await run("recover", "1", "--yes", "1");
    assert.equal(missing.code, 2);
  });
});
