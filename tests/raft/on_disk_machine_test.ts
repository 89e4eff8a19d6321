import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { ClusterConfig } from "../../raft/config.ts";
import { SnapshotAborted } from "../../raft/state_machine.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";
import { type CounterDisk, OnDiskCounter } from "../support/machines.ts";

/** Hosts whose nodes keep their state on disks of their own. */
class DiskHosts extends Hosts {
  readonly stateDisks = new Map<number, CounterDisk>();
  readonly counters = new Map<number, OnDiskCounter>();
  padding = 0;

  stateDisk(n: number): CounterDisk {
    const disk = this.stateDisks.get(n) ??
      { durable: { total: 0, count: 0, index: 0 } };
    this.stateDisks.set(n, disk);
    return disk;
  }

  override cluster(
    n: number,
    size: number,
    config: Partial<ClusterConfig> = {},
  ): ClusterConfig {
    return super.cluster(n, size, {
      snapshotEntries: 0,
      compactionOverhead: 2,
      stateMachine: () => {
        const counter = new OnDiskCounter(this.stateDisk(n));
        counter.padding = this.padding;
        this.counters.set(n, counter);
        return counter;
      },
      ...config,
    });
  }

  counter(n: number): OnDiskCounter {
    return this.counters.get(n)!;
  }
}

async function started(size: number): Promise<DiskHosts> {
  const hosts = new DiskHosts();
  for (let n = 1; n <= size; n++) {
    const host = await hosts.open(n);
    await host.startCluster(hosts.cluster(n, size));
  }
  for (let n = 1; n <= size; n++) await hosts.host(n).waitReady(1);
  return hosts;
}

/** Three hosts; one was away until the logs of the others began behind what it has. */
async function withLaggard(
  padding: number,
): Promise<{ hosts: DiskHosts; laggard: number; other: number }> {
  const hosts = await started(3);
  hosts.padding = padding;
  for (const counter of hosts.counters.values()) counter.padding = padding;
  const laggard = hosts.leader() === 1 ? 2 : 1;
  const other = [1, 2, 3].find((n) => n !== laggard)!;
  await hosts.close(laggard);
  await hosts.host(other).waitReady(1);
  for (let i = 0; i < 100; i++) {
    await hosts.host(other).propose(1, new Uint8Array(4_096).fill(3));
  }
  for (const n of [1, 2, 3]) {
    if (n !== laggard) await hosts.host(n).takeSnapshot(1);
  }
  return { hosts, laggard, other };
}

function isCode(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
}

Deno.test("An on-disk state machine is asked where it stands, and is not given entries again", async () => {
  const hosts = await started(1);
  await using _ = hosts;
  for (let i = 0; i < 10; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(1));
  }
  await hosts.counter(1).sync();
  const synced = hosts.stateDisk(1).durable.index;
  for (let i = 0; i < 5; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(2));
  }
  await hosts.close(1); // What was not synced is lost, as in a crash.
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(1).waitReady(1);
  const { given } = hosts.counter(1);
  assert.ok(given.every((index) => index > synced));
  assert.equal(given.length, 5);
  assert.equal(await hosts.host(1).read(1, "total"), 20);
  assert.equal(await hosts.host(1).read(1, "count"), 15);
});

Deno.test("Periodic snapshots of an on-disk state machine hold no state, after a sync", async () => {
  const hosts = await started(1);
  await using _ = hosts;
  for (let i = 0; i < 10; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(1));
  }
  const index = await hosts.host(1).takeSnapshot(1);
  const counter = hosts.counter(1);
  assert.equal(counter.syncs, 1);
  assert.equal(counter.saved + counter.prepared, 0);
  assert.equal(hosts.stateDisk(1).durable.index, index);
  assert.ok(
    hosts.disk(1).stat(`/data/snapshots/1-1/${index}.snap`)!.size < 400,
  );
  await hosts.close(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(1).waitReady(1);
  assert.deepEqual(hosts.counter(1).given, []);
  assert.equal(await hosts.host(1).read(1, "total"), 10);
});

Deno.test("A follower that needs it gets the whole state straight from the leader's state machine", async () => {
  const { hosts, laggard } = await withLaggard(3_000_000);
  await using _ = hosts;
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3));
  await hosts.host(laggard).waitReady(1);
  assert.equal(await hosts.host(laggard).read(1, "total"), 300);
  const counter = hosts.counter(laggard);
  assert.equal(counter.recovered.length, 1);
  const { index } = counter.recovered[0]!;
  assert.equal(hosts.stateDisk(laggard).durable.index, index, "synced");
  // The state is on its own disk now, so the file is made small.
  const path = `/data/snapshots/1-${laggard}/${index}.snap`;
  await until("shrunk", () => hosts.disk(laggard).stat(path)!.size < 1_000);
  const writers = [...hosts.counters.values()].filter((one) => one.saved > 0);
  assert.equal(writers.length, 1);
  // And it starts again from what it has.
  await hosts.close(laggard);
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3));
  await hosts.host(laggard).waitReady(1);
  assert.equal(hosts.counter(laggard).recovered.length, 0);
  assert.equal(await hosts.host(laggard).read(1, "total"), 300);
});

Deno.test("A state machine that writes for a follower ends when that goes, and begins again when it is back", async () => {
  const { hosts, laggard } = await withLaggard(3_000_000);
  await using _ = hosts;
  const gate = Promise.withResolvers<void>();
  for (const counter of hosts.counters.values()) {
    counter.saveGate = gate.promise;
  }
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3));
  const writer = () =>
    [...hosts.counters.values()].find((one) => one.saved > 0);
  await until("a stream", () => writer() !== undefined);
  await hosts.close(laggard);
  gate.resolve();
  await until("its end", () => writer()!.saveErrors.length > 0);
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3));
  await hosts.host(laggard).waitReady(1);
  assert.equal(await hosts.host(laggard).read(1, "total"), 300);
  for (const counter of hosts.counters.values()) {
    assert.equal(counter.saved, counter.prepared);
  }
});

Deno.test("A state machine that gives up what it writes for a follower is asked again", async () => {
  const { hosts, laggard } = await withLaggard(3_000_000);
  await using _ = hosts;
  const gate = Promise.reject(new SnapshotAborted("not now"));
  gate.catch(() => {});
  for (const counter of hosts.counters.values()) counter.saveGate = gate;
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3));
  const all = () => [...hosts.counters.values()];
  await until(
    "a refusal",
    () => all().some((one) => one.saveErrors.length > 0),
  );
  for (const counter of all()) counter.saveGate = undefined;
  await hosts.host(laggard).waitReady(1);
  assert.equal(await hosts.host(laggard).read(1, "total"), 300);
});

Deno.test("A node does not start with a state machine that lost what the log no longer has", async () => {
  const hosts = await started(1);
  await using _ = hosts;
  for (let i = 0; i < 10; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(1));
  }
  await hosts.host(1).takeSnapshot(1);
  await hosts.close(1);
  const { durable } = hosts.stateDisk(1);
  hosts.stateDisk(1).durable = { total: 0, count: 0, index: 0 };
  await hosts.open(1);
  await assert.rejects(
    hosts.host(1).startCluster(hosts.cluster(1, 1)),
    isCode("corruption", /has applied index 0, and had made index \d+ durable/),
  );
  assert.ok(hosts.counter(1).isClosed);
  hosts.stateDisk(1).durable = durable; // Its files were brought back.
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 10);
});

Deno.test("A node does not start with a state machine that is ahead of its log", async () => {
  const hosts = new DiskHosts();
  await using _ = hosts;
  hosts.stateDisk(1).durable = { total: 9, count: 9, index: 90 };
  await hosts.open(1);
  await assert.rejects(
    hosts.host(1).startCluster(hosts.cluster(1, 1)),
    isCode("corruption", /has applied index 90, and its log ends at 0/),
  );
});

Deno.test("open() must return an index, and what it throws is told", async () => {
  const hosts = new DiskHosts();
  await using _ = hosts;
  await hosts.open(1);
  class Bad extends OnDiskCounter {
    override open(): Promise<number> {
      return Promise.resolve(undefined as unknown as number);
    }
  }
  class Worse extends OnDiskCounter {
    override open(): Promise<number> {
      return Promise.reject(new Error("the database is locked"));
    }
  }
  const start = (stateMachine: () => OnDiskCounter) =>
    hosts.host(1).startCluster(hosts.cluster(1, 1, { stateMachine }));
  await assert.rejects(
    start(() => new Bad(hosts.stateDisk(1))),
    (error) =>
      error instanceof TypeError && /open returned/.test(error.message),
  );
  await assert.rejects(
    start(() => new Worse(hosts.stateDisk(1))),
    /the database is locked/,
  );
});

Deno.test("A failed sync stops the node, and the log keeps what it would have let go", async () => {
  const hosts = await started(1);
  await using _ = hosts;
  for (let i = 0; i < 10; i++) {
    await hosts.host(1).propose(1, Uint8Array.of(1));
  }
  hosts.counter(1).sync = () => Promise.reject(new Error("EIO"));
  await assert.rejects(hosts.host(1).takeSnapshot(1));
  await until("the end", () => hosts.counter(1).isClosed);
  await hosts.close(1);
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1));
  await hosts.host(1).waitReady(1);
  assert.equal(await hosts.host(1).read(1, "total"), 10);
});

Deno.test("A member of another kind refuses the snapshot of an on-disk state machine", async () => {
  const { hosts, laggard } = await withLaggard(0);
  await using _ = hosts;
  hosts.disks.delete(laggard);
  await hosts.open(laggard);
  // Its disk was lost, so it comes back under a new id, and with a regular state machine by mistake.
  const other = [1, 2, 3].find((n) => n !== laggard)!;
  await hosts.host(other).removeNode(1, { nodeId: laggard });
  await hosts.host(other).addNode(1, {
    nodeId: 9,
    address: hosts.address(laggard),
  });
  await hosts.host(laggard).startCluster({
    clusterId: 1,
    nodeId: 9,
    join: true,
    stateMachine: () => new Counter(),
  });
  await until(
    "its end",
    () => hosts.host(laggard).info().clusters[0]?.failure !== undefined,
  );
  assert.match(
    hosts.host(laggard).info().clusters[0]!.failure!,
    /kind "onDisk" wrote it, and this one is "regular"/,
  );
});

Deno.test("A cluster with a state machine on disk opens no sessions (rule R2)", async () => {
  const hosts = await started(1);
  await using _ = hosts;
  await assert.rejects(
    hosts.host(1).openSession(1),
    isCode("invalidSession", /has a state machine on disk/),
  );
});
