/** A state of a gigabyte: saved, sent to a follower that is behind, and restored there, in bounded memory. */
import { assert } from "../deps.ts";
import { statfsSync } from "./deps.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import type { Result, SnapshotWriter } from "../../raft/state_machine.ts";
import { DenoFileSystem } from "../../storage/deno_file_system.ts";
import { Counter, freePort, Hosts } from "../support/hosts.ts";

const mebibyte = 1024 * 1024;
const stateBytes = 1024 * mebibyte;
/** How much the process may grow while the state goes through it twice: saved and sent, received and restored. */
const maxGrowthBytes = 250 * mebibyte;
/** It lies on the disk twice; while it is received, a third copy of it may be there from an attempt before. */
const neededBytes = 6 * 1024 * mebibyte;

/** What stands at the beginning of each mebibyte of the state. */
function mark(block: number, count: number): number {
  return (block * 7 + count) % 251;
}

/** Counts its commands; its state is a gigabyte that depends on their number, made and checked as it streams. */
class Bulk extends Counter {
  savedBytes = 0;
  restoredBytes = 0;

  override async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    const block = new Uint8Array(mebibyte);
    this.savedBytes = 0;
    new DataView(block.buffer).setUint32(4, this.count, true);
    while (this.savedBytes < stateBytes) {
      block[0] = mark(this.savedBytes / mebibyte, this.count);
      await writer.write(block);
      this.savedBytes += block.length;
    }
  }

  override async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    const head = new Uint8Array(8);
    let at = 0;
    for await (const bytes of reader) {
      if (at < head.length) {
        head.set(bytes.subarray(0, head.length - at), at);
        this.count = new DataView(head.buffer).getUint32(4, true);
      }
      const toMark = (mebibyte - at % mebibyte) % mebibyte;
      for (let i = toMark; i < bytes.length; i += mebibyte) {
        const block = (at + i) / mebibyte;
        if (block === 0) continue; // The count may not be here yet.
        assert.equal(bytes[i], mark(block, this.count), `block ${block}`);
      }
      at += bytes.length;
    }
    assert.equal(at, stateBytes);
    assert.equal(head[0], mark(0, this.count));
    this.restoredBytes = at;
  }

  override update(): Result {
    this.count++;
    return { value: this.count };
  }
}

/** Resident memory while something runs: how far it rose above where it began. */
class Memory implements Disposable {
  readonly #before = Deno.memoryUsage().rss;
  #highest = this.#before;
  readonly #timer = setInterval(() => this.look(), 20);

  look(): void {
    this.#highest = Math.max(this.#highest, Deno.memoryUsage().rss);
  }

  get growthBytes(): number {
    this.look();
    return this.#highest - this.#before;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

function hasRoom(dir: string): boolean {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize >= neededBytes;
}

Deno.test("A snapshot of 1 GiB is saved, sent to a follower that is behind and restored, and memory grows by less than 250 MiB", async () => {
  const root = Deno.makeTempDirSync({ prefix: "drakkar-gigabyte-" });
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => Deno.removeSync(root, { recursive: true }));
  if (!hasRoom(root)) {
    // deno-lint-ignore no-console -- whoever runs the tests must know that this one did not
    console.log(`skipped: less than 6 GiB are free in ${root}`);
    return;
  }
  const hosts = cleanUp.use(new Hosts());
  const { clock, network } = denoPorts();
  hosts.clock = clock;
  hosts.network = network;
  const machines = new Map<number, Bulk>();
  const open = async (n: number) => {
    await hosts.open(n, {
      dir: `${root}/${n}`,
      storage: new DenoFileSystem(),
      segmentBytes: 8 * mebibyte,
      tickMs: 50,
    });
    await hosts.host(n).startCluster(hosts.cluster(n, 3, {
      electionTimeoutTicks: 40, // Nobody else may lead: only the leader has the snapshot.
      snapshotEntries: 0,
      compactionOverhead: 0,
      stateMachine: () => {
        const machine = new Bulk();
        machines.set(n, machine);
        return machine;
      },
    }));
  };
  for (const n of [1, 2, 3]) {
    hosts.addresses.set(n, `127.0.0.1:${freePort()}`);
  }
  for (const n of [1, 2, 3]) await open(n);
  for (const n of [1, 2, 3]) await hosts.host(n).waitReady(1);
  await hosts.host(1).transferLeadership(1, 1);
  const host = hosts.host(1);
  await hosts.close(3);
  let applied = 0;
  for (; applied < 100; applied++) {
    // Together more than the leader keeps in memory for followers.
    await host.propose(1, new Uint8Array(16 * 1024));
  }

  using memory = new Memory();
  await host.takeSnapshot(1, { timeoutMs: 120_000 });
  assert.equal(machines.get(1)!.savedBytes, stateBytes);
  await open(3);
  await hosts.host(3).waitReady(1, { timeoutMs: 120_000 });
  assert.equal(await hosts.host(3).read(1, "count"), applied);
  const restored = machines.get(3)!;
  assert.equal(restored.restoredBytes, stateBytes, "it came by the snapshot");
  const { value } = await hosts.host(3).propose(1, Uint8Array.of(1));
  assert.equal(value, applied + 1);
  const growth = Math.round(memory.growthBytes / mebibyte);
  assert.ok(
    memory.growthBytes < maxGrowthBytes,
    `the process grew by ${growth} MiB`,
  );
});
