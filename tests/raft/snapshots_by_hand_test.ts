import { assert } from "../deps.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import { RaftError } from "../../raft/errors.ts";
import { importSnapshot } from "../../raft/import_snapshot.ts";
import type { ImportOptions } from "../../raft/import_snapshot.ts";
import { Prng } from "../../raft/core/prng.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import type { AnyStateMachine } from "../../raft/state_machine.ts";
import { memoryStorage } from "../../storage/memory_file_system.ts";
import type { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { Counter, freePort, Hosts, until } from "../support/hosts.ts";
import {
  ConcurrentCounter,
  type CounterDisk,
  OnDiskCounter,
} from "../support/machines.ts";

function isCode(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
}

/** The NodeHost's own disks, as if the network had brought a file from one to the other. */
function copyFile(
  from: MemoryFileSystem,
  to: MemoryFileSystem,
  path: string,
): void {
  const source = from.open(path);
  const bytes = new Uint8Array(source.size());
  source.readAt(bytes, 0);
  source.close();
  to.makeDirectory(path.slice(0, path.lastIndexOf("/")));
  const target = to.open(path, { create: true });
  target.writeAt(bytes, 0);
  target.close();
}

async function propose(host: NodeHost, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await host.propose(1, Uint8Array.of(1));
}

Deno.test("takeSnapshot() keeps as many entries as it is told, and compactLog() none", async () => {
  await using hosts = await Hosts.started(1, {
    snapshotEntries: 0,
    compactionOverhead: 1_000,
  });
  const host = hosts.host(1);
  await propose(host, 50);
  const firstIndex = () => host.compactLog(1, { keepEntries: 1_000_000 });
  const index = await host.takeSnapshot(1);
  assert.equal(await firstIndex(), 1);
  // The same snapshot still, but the log is made shorter.
  assert.equal(await host.takeSnapshot(1, { compactionOverhead: 20 }), index);
  assert.equal(await firstIndex(), index - 19);
  await propose(host, 10);
  assert.equal(
    await host.takeSnapshot(1, { compactionOverhead: 5 }),
    index + 10,
  );
  assert.equal(await firstIndex(), index + 6);
  assert.equal(await host.compactLog(1), index + 11);
  assert.equal(await host.compactLog(1), index + 11, "nothing is left to go");
  await propose(host, 3);
  assert.equal(await host.compactLog(1, { keepEntries: 4 }), index + 11);
});

Deno.test("takeSnapshot(), compactLog() and exportSnapshot() refuse arguments that cannot be", async () => {
  await using hosts = await Hosts.started(1, { snapshotEntries: 0 });
  const host = hosts.host(1);
  await assert.rejects(
    host.takeSnapshot(1, { compactionOverhead: -1 }),
    RangeError,
  );
  await assert.rejects(
    host.compactLog(1, { keepEntries: "5" as unknown as number }),
    TypeError,
  );
  await assert.rejects(host.exportSnapshot(1, ""), TypeError);
  await assert.rejects(host.takeSnapshot(9), isCode("clusterNotFound", /9/));
});

/** Three hosts, of which two are lost for good, and an image of what the third has. */
async function afterLoss(
  machines: () => AnyStateMachine,
): Promise<{ hosts: Hosts; image: string; index: number }> {
  const config = { snapshotEntries: 0, stateMachine: machines };
  const hosts = await Hosts.started(3, config);
  await propose(hosts.host(1), 20);
  const exported = await hosts.host(1).exportSnapshot(1, "/backup/");
  await propose(hosts.host(1), 5);
  for (const n of [1, 2, 3]) await hosts.close(n);
  return { hosts, image: exported.path, index: exported.index };
}

function importOn(
  hosts: Hosts,
  n: number,
  options: Partial<ImportOptions> & Pick<ImportOptions, "path" | "members">,
) {
  return importSnapshot({
    dir: "/data",
    raftAddress: hosts.address(n),
    nodeId: n,
    segmentBytes: 1024 * 1024,
    ...options,
  }, { ...denoPorts(), fileSystem: hosts.disk(n) });
}

Deno.test("A cluster that lost its quorum goes on from an exported snapshot (rule I3)", async () => {
  const kinds: (() => AnyStateMachine)[] = [
    () => new Counter(),
    () => new ConcurrentCounter(),
    () => new OnDiskCounter({ durable: { total: 0, count: 0, index: 0 } }),
  ];
  for (const stateMachine of kinds) {
    const { hosts, image, index } = await afterLoss(stateMachine);
    await using _ = hosts;
    // Hosts 2 and 3 are lost; 4 and 5 are new.
    const members = {
      1: hosts.address(1),
      4: hosts.address(4),
      5: hosts.address(5),
    };
    for (const n of [4, 5]) copyFile(hosts.disk(1), hosts.disk(n), image);
    for (const n of [1, 4, 5]) {
      const report = await importOn(hosts, n, { path: image, members });
      assert.equal(report.isDone, true);
      assert.equal(report.index, index);
      assert.equal(report.generation, 2);
      assert.deepEqual(report.membership.removed, [2, 3]);
      assert.equal(report.found.length, n === 1 ? 1 : 0);
    }
    for (const n of [1, 4, 5]) {
      await hosts.open(n);
      await hosts.host(n).startCluster({
        clusterId: 1,
        nodeId: n,
        stateMachine,
      });
    }
    for (const n of [1, 4, 5]) await hosts.host(n).waitReady(1);
    assert.equal(await hosts.host(4).read(1, "total"), 20, "as in the image");
    assert.equal((await hosts.host(5).propose(1, Uint8Array.of(7))).value, 27);
    const { members: now } = await hosts.host(1).getMembership(1);
    assert.deepEqual(now.map((member) => member.nodeId), [1, 4, 5]);
    // One that comes back after all cannot take part: it is of the generation before.
    await hosts.open(2);
    await hosts.host(2).startCluster({ clusterId: 1, nodeId: 2, stateMachine });
    await assert.rejects(hosts.host(2).waitReady(1, { timeoutMs: 300 }));
    assert.equal((await hosts.host(1).propose(1, Uint8Array.of(1))).value, 28);
  }
});

Deno.test("A node that joins a cluster which was rebuilt gets its state, and votes (rule I3)", async () => {
  const { hosts, image } = await afterLoss(() => new Counter());
  await using _ = hosts;
  const members = { 1: hosts.address(1) };
  await importOn(hosts, 1, { path: image, members });
  const host = await hosts.open(1);
  const { initialMembers: _1, ...rest } = hosts.cluster(1, 1, {});
  await host.startCluster({ ...rest, join: true });
  await host.waitReady(1);
  const newcomer = await hosts.open(4);
  await host.addObserver(1, {
    nodeId: 4,
    address: hosts.address(4),
    nodeHostId: newcomer.nodeHostId,
  });
  const { initialMembers: _2, ...joining } = hosts.cluster(4, 1, {});
  await newcomer.startCluster({ ...joining, join: true });
  await newcomer.waitReady(1, { timeoutMs: 5_000 });
  await host.addNode(1, { nodeId: 4, address: hosts.address(4) });
  await propose(newcomer, 1);
  assert.equal(await newcomer.read(1, "total"), 21);
  // And again, when both begin anew.
  for (const n of [1, 4]) await hosts.close(n);
  for (const n of [1, 4]) {
    await hosts.open(n);
    const { initialMembers: _3, ...again } = hosts.cluster(n, 1, {});
    await hosts.host(n).startCluster({ ...again, join: true });
  }
  await hosts.host(4).waitReady(1, { timeoutMs: 5_000 });
  assert.equal(await hosts.host(4).read(1, "total"), 21);
});

Deno.test("What a state machine on disk had behind the image is replaced by an import, and only once", async () => {
  const disks = new Map<number, CounterDisk>();
  const machine = (n: number) => {
    const disk = disks.get(n) ?? { durable: { total: 0, count: 0, index: 0 } };
    disks.set(n, disk);
    return new OnDiskCounter(disk);
  };
  const hosts = await Hosts.started(1, { stateMachine: () => machine(1) });
  await using _ = hosts;
  await propose(hosts.host(1), 20);
  const { path } = await hosts.host(1).exportSnapshot(1, "/backup");
  await propose(hosts.host(1), 5);
  await hosts.host(1).takeSnapshot(1);
  await hosts.close(1);
  const before = disks.get(1)!.durable;
  assert.equal(before.total, 25);
  await importOn(hosts, 1, { path, members: { 1: hosts.address(1) } });
  await hosts.open(1);
  const config = hosts.cluster(1, 1, { stateMachine: () => machine(1) });
  await hosts.host(1).startCluster(config);
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 20);
  assert.ok(
    disks.get(1)!.durable.index < before.index,
    "synced before it goes on",
  );
  await propose(hosts.host(1), 1);
  await hosts.host(1).takeSnapshot(1);
  await hosts.close(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(config);
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 21);
});

Deno.test("A dry run says what would be lost, and changes nothing", async () => {
  const { hosts, image, index } = await afterLoss(() => new Counter());
  await using _ = hosts;
  const members = { 1: hosts.address(1) };
  const before = await hosts.open(1);
  const { incarnation } = before;
  await assert.rejects(
    importOn(hosts, 1, { path: image, members, dryRun: true }),
    isCode("dirLocked", /has it open/),
  );
  await hosts.close(1);
  const report = await importOn(hosts, 1, {
    path: image,
    members,
    dryRun: true,
  });
  assert.equal(report.isDone, false);
  const [found] = report.found;
  assert.equal(found!.nodeId, 1);
  // Five commands, and what a change of leaders adds.
  const behind = found!.entriesBehindImage;
  assert.ok(behind >= 5 && behind < 10, String(behind));
  assert.equal(found!.lastIndex, index + behind);
  assert.equal(
    found!.committedBehindImage,
    Math.max(0, found!.commit - index),
  );
  assert.ok(found!.committedBehindImage >= 1, "the last but one is known");
  assert.equal(found!.generation, 1);
  // A folder that is not there is not made.
  copyFile(hosts.disk(1), hosts.disk(7), image);
  const other = { 7: hosts.address(7) };
  await importOn(hosts, 7, { path: image, members: other, dryRun: true });
  assert.equal(hosts.disk(7).stat("/data"), undefined);
  const again = await hosts.open(1);
  assert.equal(again.incarnation, incarnation + 1);
  await again.startCluster(hosts.cluster(1, 3));
  assert.equal(again.info().clusters[0]!.lastIndex, index + behind);
});

Deno.test("An import refuses options that it does not know: a misspelt dryRun does not import", async () => {
  const { hosts, image } = await afterLoss(() => new Counter());
  await using _ = hosts;
  const given = { path: image, members: { 1: hosts.address(1) } };
  const wrong: [object, string, RegExp][] = [
    [{ dryrun: true }, "TypeError", /there is no field dryrun/],
    [{ dryRun: "yes" }, "TypeError", /dryRun: it must be a boolean/],
    [{ deploymentId: 1 }, "TypeError", /deploymentId: it must be a bigint/],
    [{ nodeId: 9 }, "RangeError", /node 9, .* is not among them/],
  ];
  for (const [options, name, text] of wrong) {
    await assert.rejects(
      importOn(hosts, 1, { ...given, ...options }),
      (error: Error) => error.name === name && text.test(error.message),
      String(text),
    );
  }
  await hosts.open(1); // Nothing was imported: the node is of the first generation.
  await hosts.host(1).startCluster(hosts.cluster(1, 3));
});

Deno.test("An import refuses what would harm: damage, dummies, removed ids, moved members, an old generation", async () => {
  const { hosts, image } = await afterLoss(() => new Counter());
  await using _ = hosts;
  const address = hosts.address(1);
  const members = { 1: address };
  const refused = async (
    options: Partial<ImportOptions>,
    code: string,
    text: RegExp,
  ) => {
    for (const dryRun of [true, false]) {
      await assert.rejects(
        importOn(hosts, 1, { path: image, members, dryRun, ...options }),
        isCode(code, text),
      );
    }
  };
  await refused(
    { members: { 1: address, 2: "elsewhere:1" } },
    "rejected",
    /node 2 is at host-2:7000 in it/,
  );
  await refused({ generation: 1 }, "rejected", /must be higher/);
  await refused({ path: "/nowhere" }, "corruption", /is missing/);
  await refused({ deploymentId: 9n }, "deploymentMismatch", /deployment/);
  await assert.rejects(
    importOn(hosts, 1, { path: image, members: { 1: "elsewhere:1" } }),
    RangeError,
  );
  await assert.rejects(
    importOn(hosts, 1, { path: image, members: { 1: address, 4: address } }),
    RangeError,
  );
  const twice = { ...members, "01": "elsewhere:1" }; // One disk would count as two (rule I3).
  await assert.rejects(
    importOn(hosts, 1, { path: image, members: twice }),
    (error) =>
      error instanceof RangeError && /write it as 1$/.test(error.message),
  );
  // A flipped byte, wherever it is.
  const file = hosts.disk(1).open(image);
  const byte = new Uint8Array(1);
  for (let at = 0; at < file.size(); at += 37) {
    file.readAt(byte, at);
    byte[0]! ^= 1;
    file.writeAt(byte, at);
    await assert.rejects(
      importOn(hosts, 1, { path: image, members }),
      isCode("corruption", /Cannot read snapshot/),
    );
    byte[0]! ^= 1;
    file.writeAt(byte, at);
  }
  file.close();
  await importOn(hosts, 1, { path: image, members });
  await refused({}, "rejected", /has node 1 of generation 2/);
  await refused({ members: { 1: address }, generation: 2 }, "rejected", /2/);
  await importOn(hosts, 1, { path: image, members, generation: 3 });
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 3));
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 20);
  // Removed by the import, so it never comes back.
  const { path } = await hosts.host(1).exportSnapshot(1, "/second");
  await hosts.close(1);
  await refused(
    { path, members: { 1: address, 2: hosts.address(2) } },
    "rejected",
    /node 2 was removed/,
  );
});

/** A file system whose power goes at its `failAt`th change of names. */
function failing(disk: MemoryFileSystem, failAt: number): MemoryFileSystem {
  const changes = ["rename", "remove", "syncDirectory", "syncDirectoryLater"];
  let count = 0;
  return new Proxy(disk, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (changes.includes(String(name)) && ++count >= failAt) {
          throw Object.assign(new Error("the power went"), { code: "EIO" });
        }
        return value.apply(target, args);
      };
    },
  });
}

Deno.test("An import that a crash cuts short leaves the node as it was, or rebuilt", async () => {
  const outcomes = new Set<number>();
  let isDone = false;
  for (let failAt = 1; !isDone; failAt++) {
    const hosts = await Hosts.started(1, { snapshotEntries: 0 });
    await using _ = hosts;
    await propose(hosts.host(1), 20);
    const { path } = await hosts.host(1).exportSnapshot(1, "/backup");
    await propose(hosts.host(1), 5);
    await hosts.close(1);
    isDone = await importSnapshot({
      dir: "/data",
      raftAddress: hosts.address(1),
      nodeId: 1,
      segmentBytes: 1024 * 1024,
      path,
      members: { 1: hosts.address(1) },
    }, { ...denoPorts(), fileSystem: failing(hosts.disk(1), failAt) })
      .then(() => true, () => false);
    hosts.disk(1).crash(new Prng(failAt));
    await hosts.open(1);
    await hosts.host(1).startCluster(hosts.cluster(1, 1));
    await hosts.host(1).waitReady(1);
    const total = await hosts.host(1).read<number>(1, "total");
    assert.ok(total === 25 || total === 20, String(total));
    if (isDone) assert.equal(total, 20);
    outcomes.add(total);
    assert.ok(failAt < 60, "it must end");
  }
  assert.deepEqual([...outcomes].sort(), [20, 25]);
});

Deno.test("removeData() leaves nothing of a node, and its id never starts here again", async () => {
  await using hosts = await Hosts.started(3, { snapshotEntries: 0 });
  const leader = hosts.leader();
  const gone = leader === 1 ? 2 : 1;
  await propose(hosts.host(leader), 10);
  await hosts.host(gone).takeSnapshot(1);
  await assert.rejects(
    hosts.host(gone).removeData(1, gone),
    isCode("rejected", /it runs here/),
  );
  await assert.rejects(
    hosts.host(gone).removeData(1, 77),
    isCode("clusterNotFound", /nothing of it/),
  );
  await hosts.host(leader).removeNode(1, { nodeId: gone });
  await until(
    "its end",
    () => hosts.host(gone).info().clusters[0]?.failure !== undefined,
  );
  await hosts.host(gone).stopCluster(1).catch(() => {});
  const events = hosts.host(gone).events({ types: ["nodeDeleted"] });
  await hosts.host(gone).removeData(1, gone);
  assert.deepEqual((await events.next()).value, {
    type: "nodeDeleted",
    clusterId: 1,
    nodeId: gone,
  });
  await hosts.host(gone).removeData(1, gone); // It is so already.
  assert.equal(hosts.disk(gone).stat(`/data/snapshots/1-${gone}`), undefined);
  for (const _ of ["at once", "after a restart"]) {
    for (const config of [{}, { join: true }]) {
      await assert.rejects(
        hosts.host(gone).startCluster(hosts.cluster(gone, 3, config)),
        isCode("nodeRemoved", /its data was removed here for good/),
      );
    }
    await hosts.close(gone);
    await hosts.open(gone);
  }
  // Another node of the cluster may live here.
  await hosts.host(leader).addNode(1, {
    nodeId: 9,
    address: hosts.address(gone),
  });
  await hosts.host(gone).startCluster({
    clusterId: 1,
    nodeId: 9,
    join: true,
    stateMachine: () => new Counter(),
  });
  await hosts.host(gone).waitReady(1);
  assert.equal(await hosts.host(gone).read(1, "total"), 10);
});

Deno.test("removeData() that a crash cuts short leaves the node whole, or nothing of it, and others alone", async () => {
  const outcomes = new Set<string>();
  let isDone = false;
  for (let failAt = 0; !isDone; failAt++) {
    assert.ok(failAt < 60, "it must end");
    const hosts = await Hosts.started(1, { snapshotEntries: 0 });
    await using _ = hosts;
    const host = hosts.host(1);
    await host.startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
    await host.waitReady(2);
    await host.propose(2, Uint8Array.of(7));
    await propose(host, 10);
    await host.takeSnapshot(1);
    await propose(host, 5);
    await host.stopCluster(1);
    let count = 0;
    const step = () => {
      if (count++ >= failAt) {
        throw Object.assign(new Error("the power went"), { code: "EIO" });
      }
    };
    const disk = hosts.disk(1);
    disk.faults = { beforeWrite: step, beforeSync: step, beforeChange: step };
    isDone = await host.removeData(1, 1).then(() => true, () => false);
    disk.faults = {};
    disk.crash(new Prng(failAt));
    await hosts.close(1).catch(() => {});
    await hosts.open(1);
    await hosts.host(1).startCluster(hosts.cluster(1, 1, { clusterId: 2 }));
    await hosts.host(1).waitReady(2);
    assert.equal(await hosts.host(1).read(2, "total"), 7);
    const outcome = await hosts.host(1).startCluster(hosts.cluster(1, 1)).then(
      () => "there",
      (error) => error.code,
    );
    outcomes.add(outcome);
    if (outcome === "there") {
      assert.equal(isDone, false);
      await hosts.host(1).waitReady(1);
      assert.equal(await hosts.host(1).read(1, "total"), 15);
    } else {
      assert.equal(outcome, "nodeRemoved");
      assert.equal(disk.stat("/data/snapshots/1-1"), undefined);
    }
  }
  assert.deepEqual([...outcomes].sort(), ["nodeRemoved", "there"]);
});

Deno.test("An export that is given up leaves nothing, and the node goes on", async () => {
  const gate = Promise.withResolvers<void>();
  const machines: ConcurrentCounter[] = [];
  const storage = memoryStorage();
  await using host = await NodeHost.open({
    dir: "/data",
    raftAddress: "127.0.0.1:7001",
    storage,
    tickMs: 5,
  });
  await host.startCluster({
    clusterId: 1,
    nodeId: 1,
    initialMembers: { 1: "127.0.0.1:7001" },
    stateMachine: () => {
      const machine = new ConcurrentCounter();
      machine.saveGate = gate.promise;
      machines.push(machine);
      return machine;
    },
  });
  await host.waitReady(1);
  await propose(host, 3);
  const abort = new AbortController();
  const exporting = host.exportSnapshot(1, "/backup", { signal: abort.signal });
  await until("saving", () => machines[0]!.saved === 1);
  abort.abort(new Error("enough"));
  await assert.rejects(exporting, /enough/);
  await assert.rejects(
    host.exportSnapshot(1, "/backup", { timeoutMs: 20 }),
    isCode("timeout", /it was given up/),
  );
  gate.resolve();
  await propose(host, 1);
  await until("no files", () => storage.list("/backup").length === 0);
  const { path, bytes } = await host.exportSnapshot(1, "/backup");
  assert.equal(storage.stat(path)!.size, bytes);
});

Deno.test("deno task import-snapshot rebuilds a cluster on real files, and explains itself", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const address = `127.0.0.1:${freePort()}`;
    const cluster = {
      clusterId: 1,
      nodeId: 1,
      stateMachine: () => new Counter(),
    };
    const open = () =>
      NodeHost.open({
        dir: `${dir}/host`,
        raftAddress: address,
        segmentBytes: 1024 * 1024,
      });
    let host = await open();
    await host.startCluster({ ...cluster, initialMembers: { 1: address } });
    await host.waitReady(1);
    await propose(host, 4);
    const { path } = await host.exportSnapshot(1, `${dir}/backup`);
    await propose(host, 3);
    await host.close();
    const run = async (...args: string[]) => {
      const command = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--allow-read",
          "--allow-write",
          new URL("../../raft/cli/import_snapshot.ts", import.meta.url).href,
          ...args,
        ],
        env: { NO_COLOR: "1" },
      });
      const { code, stdout, stderr } = await command.output();
      const decoder = new TextDecoder();
      return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
    };
    const args = [
      ...["--image", path, "--dir", `${dir}/host`, "--address", address],
      ...["--node", "1", "--member", `1=${address}`],
    ];
    const help = await run("--help");
    assert.equal(help.code, 0);
    assert.match(help.text, /--dry-run/);
    const dry = await run(...args, "--dry-run");
    assert.equal(dry.code, 0, dry.text);
    assert.match(
      dry.text,
      /3 entries behind the image, of which \d are known as committed/,
    );
    assert.match(dry.text, /client sessions would be void/);
    assert.match(dry.text, /nothing was changed/);
    const bad = await run(...args, "--member", "nonsense");
    assert.equal(bad.code, 1);
    assert.match(bad.text, /give ID=HOST:PORT/);
    const spelled = await run(...args, "--member", "01=elsewhere:1");
    assert.equal(spelled.code, 1);
    assert.match(spelled.text, /01 is not a node id; write it as 1/);
    const twice = await run(...args, "--member", "1=elsewhere:1");
    assert.equal(twice.code, 1);
    assert.match(twice.text, /node 1 has one/);
    const done = await run(...args);
    assert.equal(done.code, 0, done.text);
    assert.match(done.text, /imported as node 1, generation 2/);
    host = await open();
    await host.startCluster(cluster);
    await host.waitReady(1);
    assert.equal(await host.read(1, "total"), 4);
    await host.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
