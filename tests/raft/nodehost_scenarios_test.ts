/** Scenarios that others' NodeHosts learnt from (docs/NODEHOST_SCENARIOS.md), as far as no other file has them. */
import { RaftError } from "../../raft/errors.ts";
import type { RaftErrorCode } from "../../raft/errors.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import { NodeSnapshots } from "../../raft/node_snapshots.ts";
import type { SnapshotsOwner } from "../../raft/node_snapshots.ts";
import type { SnapshotOffer } from "../../raft/snapshotter.ts";
import type { SnapshotWriter } from "../../raft/state_machine.ts";
import type { Session } from "../../raft/session.ts";
import { jsonCodec, typed } from "../../raft/typed.ts";
import { assert } from "../deps.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";

const patience = { timeoutMs: 20_000 };
const five = Uint8Array.of(5);

const isCode = (code: RaftErrorCode, text = /./) => (error: unknown) => {
  assert.ok(error instanceof RaftError, `not a RaftError: ${error}`);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, text);
  return true;
};

// ---- API

const typedCounter = typed(jsonCodec<number>(), () => new Counter() as never);

/** A call of each method that asks something of host 1. */
function everyCall(
  hosts: Hosts,
  host: NodeHost,
  session: Session,
): Record<string, () => unknown> {
  const member = { nodeId: 2, address: "b:1", nodeHostId: "b".repeat(32) };
  return {
    startCluster: () => host.startCluster(hosts.cluster(1, 1)),
    stopCluster: () => host.stopCluster(1),
    waitReady: () => host.waitReady(1),
    propose: () => host.propose(1, five),
    openSession: () => host.openSession(1),
    // A session that has nothing unfinished is told so; this one would get it.
    retry: () => host.propose(session, five),
    closeSession: () => host.closeSession(session),
    read: () => host.read(1, "total"),
    staleRead: () => host.staleRead(1, "total"),
    cluster: () => host.cluster(1, typedCounter).read("total" as never),
    addNode: () => host.addNode(1, member),
    addObserver: () => host.addObserver(1, member),
    addWitness: () => host.addWitness(1, member),
    removeNode: () => host.removeNode(1, { nodeId: 2 }),
    replaceNode: () =>
      host.replaceNode(1, { nodeId: 1, newNodeId: 2, address: "b:1" }),
    transferLeadership: () => host.transferLeadership(1, 1),
    getMembership: () => host.getMembership(1),
    getLeader: () => host.getLeader(1),
    takeSnapshot: () => host.takeSnapshot(1),
    exportSnapshot: () => host.exportSnapshot(1, "/exported"),
    compactLog: () => host.compactLog(1),
    queryLog: () => host.queryLog(1, { firstIndex: 1 }),
    removeData: () => host.removeData(1, 1),
    learnAddress: () => host.learnAddress("b".repeat(32), "b:1"),
    info: () => host.info(),
    reloadCertificates: () => host.reloadCertificates(),
  };
}

Deno.test("Whatever is asked of a NodeHost that is closed, or whose log failed, is refused with that, at once", async () => {
  for (const code of ["closed", "diskFailed"] as const) {
    await using hosts = await Hosts.started(1);
    const host = hosts.host(1);
    const session = await host.openSession(1);
    const calls = everyCall(hosts, host, session);
    const others = ["constructor", "close", "events"];
    const methods = Object.entries(
      Object.getOwnPropertyDescriptors(NodeHost.prototype),
    ).filter(([, { value }]) => typeof value === "function");
    assert.deepEqual(
      methods.map(([name]) => name).filter((name) => !others.includes(name))
        .sort(),
      Object.keys(calls).sort(),
    );
    if (code === "closed") await host.close();
    else {
      hosts.disk(1).faults = {
        beforeSync: () => {
          throw Object.assign(new Error("EIO: injected"), { code: "EIO" });
        },
      };
      await assert.rejects(host.propose(1, five), isCode("diskFailed"));
    }
    for (const [name, call] of Object.entries(calls)) {
      await assert.rejects(async () => await call(), (error) => {
        assert.ok(error instanceof RaftError, `${name}: ${error}`);
        assert.equal(error.code, code, `${name}: ${error.message}`);
        return true;
      }, `${name} of a NodeHost that is ${code}`);
    }
    // What happens is told to the end, and there is an end.
    await host.close();
    assert.equal((await host.events().next()).done, true);
  }
});

Deno.test("A node that joined starts again with join, or with nothing, and never with initialMembers", async () => {
  await using hosts = await Hosts.started(3);
  await hosts.open(4);
  await hosts.host(1).addNode(1, { nodeId: 4, address: hosts.address(4) });
  const joining = hosts.cluster(4, 0, { join: true });
  const { join: _, ...plain } = joining;
  await hosts.host(4).startCluster(joining);
  await hosts.host(4).waitReady(1, patience);
  for (const config of [joining, plain, joining]) {
    await hosts.close(4);
    await hosts.host(1).propose(1, five, patience);
    await hosts.open(4);
    await hosts.host(4).startCluster(config);
    await hosts.host(4).waitReady(1, patience);
  }
  assert.equal(await hosts.host(4).read(1, "total", patience), 15);
  await hosts.host(4).stopCluster(1);
  await assert.rejects(
    hosts.host(4).startCluster(hosts.cluster(4, 4)),
    isCode("rejected", /joined/),
  );
});

Deno.test("A node that is starting answers nobody, not even a stale read, and counts as started", async () => {
  const gate = Promise.withResolvers<void>();
  let isSlow = false;
  class Slow extends Counter {
    override async recoverFromSnapshot(
      reader: ReadableStream<Uint8Array>,
    ): Promise<void> {
      if (isSlow) await gate.promise;
      await super.recoverFromSnapshot(reader);
    }
  }
  const config = { stateMachine: () => new Slow() };
  await using hosts = await Hosts.started(1, config);
  const host = hosts.host(1);
  await host.propose(1, five);
  await host.takeSnapshot(1);
  await host.stopCluster(1);
  isSlow = true;
  const starting = host.startCluster(hosts.cluster(1, 1, config));
  for (
    const ask of [
      () => host.staleRead(1, "total"),
      () => host.read(1, "total"),
      () => host.propose(1, five),
      () => host.waitReady(1),
      () => Promise.try(() => host.getLeader(1)),
    ]
  ) await assert.rejects(ask, isCode("clusterNotFound"));
  await assert.rejects(
    host.startCluster(hosts.cluster(1, 1, config)),
    isCode("clusterExists"),
  );
  gate.resolve();
  await starting;
  assert.equal(await host.staleRead(1, "total"), 5);
});

// ---- Flow

Deno.test("Proposals are busy while the disk stalls, so that memory is bounded, and taken again when it does not", async () => {
  await using hosts = await Hosts.started(1, {
    maxInMemLogBytes: 128 * 1024,
    electionTimeoutTicks: 200, // Nor does it end its leadership meanwhile.
  });
  const host = hosts.host(1);
  const stalled = Promise.withResolvers<void>();
  hosts.disk(1).faults = { beforeSync: () => stalled.promise };
  const command = new Uint8Array(16 * 1024).fill(1);
  const taken: Promise<unknown>[] = [];
  let refused: unknown;
  for (let i = 0; i < 100 && refused === undefined; i++) {
    const proposed = host.propose(1, command, { timeoutMs: 60_000 });
    proposed.catch((error) => refused ??= error);
    taken.push(proposed);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.ok(isCode("busy")(refused));
  assert.equal((refused as RaftError).outcome, "notApplied");
  assert.ok(taken.length < 20, `${taken.length} were taken`);
  hosts.disk(1).faults = {};
  stalled.resolve();
  const ends = await Promise.allSettled(taken);
  const applied = ends.filter(({ status }) => status === "fulfilled").length;
  assert.equal(applied, taken.length - 1);
  await host.propose(1, five, patience);
  assert.equal(await host.read(1, "count", patience), applied + 1);
});

// ---- Snapshots

Deno.test("A node that stops ends the snapshot that its state machine is writing, and leaves nothing of it", async () => {
  const ends: unknown[] = [];
  class Endless extends Counter {
    override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
      try {
        for (;;) await writer.write(new Uint8Array(100_000));
      } catch (error) {
        ends.push(error);
        throw error;
      }
    }
  }
  await using hosts = await Hosts.started(1, {
    snapshotEntries: 0,
    stateMachine: () => new Endless(),
  });
  const host = hosts.host(1);
  await host.propose(1, five);
  const folder = "/data/snapshots/1-1";
  const taken = assert.rejects(
    host.takeSnapshot(1, patience),
    isCode("clusterClosed"),
  );
  await until("bytes on the disk", () => hosts.disk(1).usedBytes > 3_000_000);
  await host.stopCluster(1);
  await taken;
  assert.equal(ends.length, 1, "the state machine was told, once");
  assert.deepEqual(hosts.disk(1).list(folder), []);
});

Deno.test("A snapshot whose saving ends after a newer one was received is dropped, and the newer one stays", async () => {
  const gate = Promise.withResolvers<void>();
  let slow = 0;
  class Slow extends Counter {
    readonly #isSlow: boolean;
    constructor(isSlow: boolean) {
      super();
      this.#isSlow = isSlow;
    }
    override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
      if (this.#isSlow) await gate.promise;
      await super.saveSnapshot(writer);
    }
  }
  await using hosts = new Hosts();
  const config = (n: number) =>
    hosts.cluster(n, 3, {
      snapshotEntries: 0,
      compactionOverhead: 0,
      stateMachine: () => new Slow(n === slow),
    });
  for (const n of [1, 2, 3]) {
    const host = await hosts.open(n);
    await host.startCluster(config(n));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1, patience);
  slow = [1, 2, 3].find((n) => n !== hosts.leader())!;
  const others = [1, 2, 3].filter((n) => n !== slow);
  // Each entry makes it durable that the one before is committed.
  for (let i = 0; i < 3; i++) {
    await hosts.host(slow).propose(1, five, patience);
  }
  await hosts.close(slow);
  const host = hosts.host(others[0]!);
  await host.waitReady(1, patience);
  for (let i = 0; i < 90; i++) {
    await host.propose(1, new Uint8Array(4_096), patience);
  }
  const newest = await Promise.all(
    others.map((n) => hosts.host(n).takeSnapshot(1)),
  );
  let isHeldOff = true;
  hosts.disk(slow).faults = {
    beforeCreate: (path) => {
      if (isHeldOff && newest.some((index) => path.includes(`/${index}.`))) {
        throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      }
    },
  };
  const late = await hosts.open(slow);
  const received = late.events({ types: ["snapshotReceived"] });
  await late.startCluster(config(slow));
  let count = 0;
  for (let turn = 0; turn < 10_000 && count === 0; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    count = await late.staleRead<number>(1, "count");
  }
  assert.ok(count > 0, "nothing of its log was applied");
  const taken = late.takeSnapshot(1, patience).then(
    () => "saved",
    (error) => error.code,
  );
  isHeldOff = false;
  const newer = (await received.next()).value;
  assert.equal(newer?.type, "snapshotReceived");
  gate.resolve();
  assert.ok(["saved", "busy"].includes(await taken));
  await late.waitReady(1, patience);
  assert.equal(await late.read(1, "count", patience), 93);
  const [status] = late.info().clusters;
  const index = newer?.type === "snapshotReceived" ? newer.index : 0;
  assert.ok(status!.snapshotIndex >= index);
  assert.deepEqual(
    hosts.disk(slow).list(`/data/snapshots/1-${slow}`),
    [`${status!.snapshotIndex}.snap`],
  );
});

Deno.test("A snapshot that cannot be sent is told with the reason, and sent again until it arrives", async () => {
  await using hosts = await Hosts.started(3, {
    snapshotEntries: 0,
    compactionOverhead: 0,
  });
  const away = [1, 2, 3].find((n) => n !== hosts.leader())!;
  const others = [1, 2, 3].filter((n) => n !== away);
  await hosts.close(away);
  const host = hosts.host(others[0]!);
  await host.waitReady(1, patience);
  for (let i = 0; i < 90; i++) {
    await host.propose(1, new Uint8Array(4_096), patience);
  }
  for (const n of others) await hosts.host(n).takeSnapshot(1);
  let isFull = true;
  hosts.disk(away).faults = {
    beforeCreate: (path) => {
      if (isFull && path.includes("/snapshots/")) {
        throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
      }
    },
  };
  const told = others.map((n) =>
    hosts.host(n).events({
      types: ["snapshotSendAborted", "snapshotSendCompleted"],
    })
  );
  await hosts.open(away);
  await hosts.host(away).startCluster(hosts.cluster(away, 3));
  const [first, ...more] = told.map((events) => events.next());
  const { value: failed } = await Promise.race([first!, ...more]);
  assert.equal(failed?.type, "snapshotSendAborted");
  assert.match(
    failed?.type === "snapshotSendAborted" ? failed.reason : "",
    /disk is full/,
  );
  isFull = false;
  await hosts.host(away).waitReady(1, patience);
  assert.equal(await hosts.host(away).read(1, "count", patience), 90);
});

Deno.test("A snapshot is refused from who may not send it, and by who cannot take it, by name", () => {
  const owner = {
    clusterId: 1,
    nodeId: 2,
    failure: undefined as RaftError | undefined,
    config: { witness: false },
    log: { snapshot: () => undefined },
    routes: { knownNodeHost: (id: number) => id === 1 ? "host-1" : "" },
    bootstrap: () => ({ fingerprint: "f", generation: 2 }),
  };
  const offer = {
    clusterId: 1,
    from: 1,
    to: 2,
    term: 3,
    fingerprint: "f",
    generation: 2,
  };
  const remote = { nodeHostId: "host-1", incarnation: 1, raftAddress: "a:1" };
  const judge = (
    more: Partial<SnapshotOffer> = {},
    nodeHostId = remote.nodeHostId,
    change: Partial<typeof owner> = {},
  ) =>
    new NodeSnapshots(
      { ...owner, ...change } as unknown as SnapshotsOwner,
    ).judge(
      { ...offer, ...more } as SnapshotOffer,
      { ...remote, nodeHostId },
    );
  assert.equal(judge(), undefined);
  assert.equal(judge({ from: 9 }, "host-9"), undefined, "nobody knows it yet");
  assert.equal(judge({ to: 3 }), "node 3 is not here");
  assert.equal(judge({}, "host-9"), "node 1 lives on another NodeHost");
  assert.match(judge({ fingerprint: "g" })!, /began with other members/);
  assert.match(judge({ generation: 1 })!, /is of generation 2 here/);
  const stopped = new RaftError("clusterClosed", "stopped");
  assert.match(judge({}, "host-1", { failure: stopped })!, /has stopped/);
  const witness = { config: { witness: true } };
  assert.match(judge({}, "host-1", witness)!, /is a witness/);
});

// ---- Masters

Deno.test("Without masterServers no client is made, and the deployment is the configuration's", async () => {
  await using hosts = new Hosts();
  let made = 0;
  const masterClientFactory = () => {
    made++;
    throw new Error("nobody asked for it");
  };
  const host = await hosts.open(1, { deploymentId: 7n, masterClientFactory });
  assert.equal(host.deploymentId, 7n);
  await host.startCluster(hosts.cluster(1, 1));
  await host.waitReady(1, patience);
  assert.equal(made, 0);
  await hosts.close(1);
  assert.equal((await hosts.open(2)).deploymentId, 1n);
});
