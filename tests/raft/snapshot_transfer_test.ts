/** What snapshots bring along through whole NodeHosts: files, packed blocks; and how fast. */
import { assert } from "../deps.ts";
import type { ClusterConfig } from "../../raft/config.ts";
import type {
  RecoveredSnapshot,
  SnapshotWriter,
} from "../../raft/state_machine.ts";
import { Throttle } from "../../raft/throttle.ts";
import type { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { Counter, Hosts, until } from "../support/hosts.ts";
import { ManualClock } from "./snapshot_world.ts";

function writeFile(disk: MemoryFileSystem, path: string, bytes: Uint8Array) {
  disk.makeDirectory(path.slice(0, path.lastIndexOf("/")));
  const file = disk.open(path, { create: true });
  file.truncate(0);
  file.writeAt(bytes, 0);
  file.close();
}

function readFile(disk: MemoryFileSystem, path: string): Uint8Array {
  const file = disk.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

/** A counter with a file beside it. */
class Filed extends Counter {
  readonly disk: MemoryFileSystem;
  recovered: RecoveredSnapshot | undefined;
  brought: Uint8Array | undefined;

  constructor(disk: MemoryFileSystem) {
    super();
    this.disk = disk;
  }

  override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    const bytes = new Uint8Array(700_000).fill(this.total & 0xff);
    writeFile(this.disk, "/app/file", bytes);
    await writer.addFile(7, "/app/file", Uint8Array.of(1, 2, 3));
    this.disk.remove("/app/file");
    await super.saveSnapshot(writer);
  }

  override async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot?: RecoveredSnapshot,
  ): Promise<void> {
    this.recovered = snapshot;
    this.brought = readFile(this.disk, snapshot!.files[0]!.path);
    await super.recoverFromSnapshot(reader);
  }
}

async function laggardOf(
  config: (n: number, hosts: Hosts) => Partial<ClusterConfig>,
): Promise<{ hosts: Hosts; laggard: number; other: number }> {
  const hosts = new Hosts();
  const cluster = (n: number) =>
    hosts.cluster(n, 3, {
      snapshotEntries: 0,
      compactionOverhead: 2,
      ...config(n, hosts),
    });
  for (const n of [1, 2, 3]) {
    await hosts.open(n);
    await hosts.host(n).startCluster(cluster(n));
  }
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  const laggard = hosts.leader() === 1 ? 2 : 1;
  const other = [1, 2, 3].find((n) => n !== laggard)!;
  await hosts.close(laggard);
  await hosts.host(other).waitReady(1);
  for (let i = 0; i < 100; i++) {
    await hosts.host(other).propose(1, new Uint8Array(4_096).fill(1));
  }
  for (const n of [1, 2, 3]) {
    if (n !== laggard) await hosts.host(n).takeSnapshot(1);
  }
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(cluster(laggard));
  await hosts.host(laggard).waitReady(1);
  return { hosts, laggard, other };
}

Deno.test("A file that a state machine adds comes to a follower with its snapshot, and goes when it has recovered", async () => {
  const machines = new Map<number, Filed>();
  const { hosts, laggard, other } = await laggardOf((n, hosts) => ({
    stateMachine: () => {
      const machine = new Filed(hosts.disk(n));
      machines.set(n, machine);
      return machine;
    },
  }));
  await using _ = hosts;
  const check = () => {
    const { recovered, brought } = machines.get(laggard)!;
    const [file] = recovered!.files;
    assert.equal(file!.id, 7);
    assert.deepEqual([...file!.metadata], [1, 2, 3]);
    assert.deepEqual(brought, new Uint8Array(700_000).fill(100));
    assert.equal(hosts.disk(laggard).stat(file!.path), undefined);
  };
  check();
  assert.equal(await hosts.host(laggard).read(1, "total"), 100);
  // And again after a restart, from its own disk.
  await hosts.close(laggard);
  await hosts.open(laggard);
  await hosts.host(laggard).startCluster(hosts.cluster(laggard, 3, {
    stateMachine: () => {
      const machine = new Filed(hosts.disk(laggard));
      machines.set(laggard, machine);
      return machine;
    },
  }));
  check();
  assert.equal(await hosts.host(other).read(1, "total"), 100);
});

Deno.test("A member that packs its snapshots and one that does not restore each other's", async () => {
  class Blank extends Counter {
    override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
      await super.saveSnapshot(writer);
      await writer.write(new Uint8Array(2_000_000).fill(0x20));
    }
  }
  for (const isPacked of [true, false]) {
    const { hosts, laggard } = await laggardOf((n) => ({
      snapshotCompression: (n === 1) === isPacked,
      stateMachine: () => new Blank(),
    }));
    await using _ = hosts;
    assert.equal(await hosts.host(laggard).read(1, "total"), 100);
    for (const n of [1, 2, 3]) {
      await hosts.host(n).takeSnapshot(1);
      const [name] = hosts.disk(n).list(`/data/snapshots/1-${n}`);
      const { size } = hosts.disk(n).stat(`/data/snapshots/1-${n}/${name}`)!;
      // The laggard has what it was sent.
      if (n === laggard) continue;
      const isSmall = (n === 1) === isPacked;
      assert.ok(isSmall ? size < 100_000 : size > 2_000_000, `${n}: ${size}`);
    }
  }
});

Deno.test("Throttle lets so many bytes through a second, whoever they belong to", async () => {
  const clock = new ManualClock();
  const throttle = new Throttle(clock, 1_000);
  const done: string[] = [];
  const take = async (name: string, bytes: number) => {
    await throttle.take(bytes);
    done.push(name);
  };
  const all = [take("a", 500), take("b", 1_000), take("c", 1)];
  const turn = async () => {
    for (let i = 0; i < 5; i++) await Promise.resolve();
    return done.join("");
  };
  assert.equal(await turn(), "a", "the first need not wait");
  clock.advance(499);
  assert.equal(await turn(), "a");
  clock.advance(1);
  assert.equal(await turn(), "ab");
  clock.advance(999);
  assert.equal(await turn(), "ab");
  clock.advance(1);
  assert.equal(await turn(), "abc");
  await Promise.all(all);
  // Nobody saves up what was not used.
  clock.advance(1_000_000);
  await throttle.take(10_000);
  const late = take("d", 1);
  assert.equal(await turn(), "abc");
  throttle.close();
  await late;
  assert.equal(clock.timerCount, 0);
});

Deno.test("A snapshot arrives under a bandwidth limit of both sides, and limits that are too low are refused", async () => {
  const hosts = new Hosts();
  await using _ = hosts;
  const limits = {
    maxSnapshotSendBytesPerSecond: 4_000_000,
    maxSnapshotReceiveBytesPerSecond: 4_000_000,
  };
  class Big extends Counter {
    override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
      await super.saveSnapshot(writer);
      await writer.write(new Uint8Array(1_200_000).fill(0x20));
    }
  }
  const config = {
    snapshotEntries: 0,
    compactionOverhead: 0,
    stateMachine: () => new Big(),
  };
  await hosts.open(1, limits);
  await hosts.host(1).startCluster(hosts.cluster(1, 1, config));
  await hosts.host(1).waitReady(1);
  for (let i = 0; i < 80; i++) {
    await hosts.host(1).propose(1, new Uint8Array(4_096).fill(1));
  }
  await hosts.host(1).takeSnapshot(1);
  await hosts.open(2, limits);
  await hosts.host(1).addNode(1, { nodeId: 2, address: hosts.address(2) });
  const begun = performance.now();
  await hosts.host(2).startCluster({
    ...hosts.cluster(2, 2, { ...config, join: true }),
    nodeId: 2,
  });
  await hosts.host(2).waitReady(1, { timeoutMs: 20_000 });
  await until("applied", () => hosts.host(2).info().clusters[0]!.applied > 0);
  // Five chunks of 256 KiB, of which the first is free, at 4 MB a second.
  assert.ok(performance.now() - begun > 200);
  await assert.rejects(
    hosts.open(3, { maxSnapshotSendBytesPerSecond: 1_000 }),
    RangeError,
  );
});

Deno.test("A node that stops ends the recovery under way, and then closes its state machine", async () => {
  const reading = Promise.withResolvers<void>();
  const errors: unknown[] = [];
  class Slow extends Counter {
    override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
      await super.saveSnapshot(writer);
      await writer.write(new Uint8Array(1_000_000).fill(0x20));
    }
    override async recoverFromSnapshot(
      stream: ReadableStream<Uint8Array>,
    ): Promise<void> {
      const reader = stream.getReader();
      try {
        await reader.read();
        reading.resolve();
        // Reads on when the node has stopped.
        await until("the stop", () => stopped);
        for (;;) if ((await reader.read()).done) return;
      } catch (error) {
        errors.push(error);
        throw error;
      }
    }
  }
  let stopped = false;
  const hosts = new Hosts();
  await using _ = hosts;
  const machines: Slow[] = [];
  const config = {
    snapshotEntries: 0,
    compactionOverhead: 0,
    stateMachine: () => {
      const machine = new Slow();
      machines.push(machine);
      return machine;
    },
  };
  await hosts.open(1);
  await hosts.host(1).startCluster(hosts.cluster(1, 1, config));
  await hosts.host(1).waitReady(1);
  for (let i = 0; i < 80; i++) {
    await hosts.host(1).propose(1, new Uint8Array(4_096).fill(1));
  }
  await hosts.host(1).takeSnapshot(1);
  await hosts.open(2);
  await hosts.host(1).addObserver(1, { nodeId: 2, address: hosts.address(2) });
  await hosts.host(2).startCluster(
    hosts.cluster(2, 2, { ...config, join: true }),
  );
  await reading.promise;
  const stopping = hosts.host(2).stopCluster(1);
  stopped = true;
  await stopping;
  assert.equal(errors.length, 1);
  assert.ok(machines[1]!.isClosed);
});
