import { denoPorts } from "../../raft/deno_ports.ts";
import { inspectDirectory } from "../../raft/inspect.ts";
import { NodeHost } from "../../mod.ts";
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";
import { assert } from "../deps.ts";

const dir = "data/1";

/** A directory in which two clusters were at work, one of them with a snapshot, closed in order. */
async function usedDirectory(): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  const raftAddress = "127.0.0.1:7001";
  const host = await NodeHost.open(
    { dir, raftAddress, storage: disk, segmentBytes: 1024 * 1024 },
    { ...denoPorts(), network: new MemoryNetwork() },
  );
  for (const clusterId of [1, 2]) {
    await host.startCluster({
      clusterId,
      nodeId: 7,
      initialMembers: { 7: raftAddress },
      stateMachine: () => new Total(),
    });
    await host.waitReady(clusterId);
    for (let i = 0; i < 10; i++) {
      await host.propose(clusterId, new Uint8Array([i]));
    }
  }
  await host.takeSnapshot(1);
  await host.close();
  return disk;
}

Deno.test("inspectDirectory() tells identity, segments, nodes and snapshots, and changes nothing", async () => {
  const disk = await usedDirectory();
  const before = contentsOf(disk);
  const report = await inspectDirectory({ fileSystem: disk, dir });
  assert.deepEqual(contentsOf(disk), before);
  assert.deepEqual(report.damage, []);
  assert.equal(report.identity?.raftAddress, "127.0.0.1:7001");
  assert.equal(report.identity?.incarnation, 1);
  assert.equal(report.tornBytes, 0);
  assert.ok(report.records > 20);
  assert.equal(report.segments.length, 1);
  const [first, second] = report.nodes;
  assert.deepEqual([first!.clusterId, second!.clusterId], [1, 2]);
  assert.equal(first!.nodeId, 7);
  assert.equal(first!.hardState?.votedFor, 7);
  assert.ok(first!.lastIndex >= 11);
  assert.equal(first!.lastIndex, first!.hardState?.commit);
  assert.ok(first!.snapshotIndex >= 11);
  assert.equal(first!.snapshots[0]?.isCurrent, true);
  assert.equal(second!.snapshotIndex, 0);
  assert.equal(second!.bootstrap?.admitted, true);
});

Deno.test("inspectDirectory() names the first damage, and tells what stands before it (rule L1)", async () => {
  const disk = await usedDirectory();
  const whole = await inspectDirectory({ fileSystem: disk, dir });
  const { path, end } = whole.segments[0]!;
  flip(disk, path, Math.floor(end / 2));
  const report = await inspectDirectory({ fileSystem: disk, dir });
  assert.equal(report.damage.length, 1);
  assert.match(report.damage[0]!.message, /00000001\.log is damaged at offset/);
  assert.equal(report.nodes[0]?.clusterId, 1);
});

Deno.test("inspectDirectory() reads every snapshot to its end, and the identity", async () => {
  const disk = await usedDirectory();
  const whole = await inspectDirectory({ fileSystem: disk, dir });
  const { index, bytes } = whole.nodes[0]!.snapshots[0]!;
  flip(disk, `${dir}/snapshots/1-7/${index}.snap`, Math.floor(bytes / 2));
  flip(disk, `${dir}/identity`, 20);
  const report = await inspectDirectory({ fileSystem: disk, dir });
  assert.equal(report.identity, undefined);
  assert.equal(report.damage.length, 2);
  assert.match(report.damage[0]!.message, /checksum/);
  assert.match(report.damage[1]!.message, /\.snap/);
});

Deno.test("inspectDirectory() of a folder that no NodeHost ever opened says so", async () => {
  const disk = new MemoryFileSystem();
  disk.makeDirectory(dir);
  const report = await inspectDirectory({ fileSystem: disk, dir });
  assert.equal(report.identity, undefined);
  assert.deepEqual(report.nodes, []);
  assert.deepEqual(report.damage, []);
  await assert.rejects(
    inspectDirectory({ fileSystem: disk, dir: "none" }),
    { code: "ENOENT" },
  );
});

function flip(disk: MemoryFileSystem, path: string, offset: number): void {
  const file = disk.open(path);
  const byte = new Uint8Array(1);
  file.readAt(byte, offset);
  byte[0]! ^= 0xff;
  file.writeAt(byte, offset);
  file.close();
}

/** Every file below the directory, by its path. */
function contentsOf(disk: MemoryFileSystem): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const visit = (folder: string) => {
    for (const name of disk.list(folder)) {
      const path = `${folder}/${name}`;
      if (disk.stat(path)!.isDirectory) visit(path);
      else {
        const file = disk.open(path);
        const bytes = new Uint8Array(file.size());
        file.readAt(bytes, 0);
        file.close();
        found.set(path, bytes);
      }
    }
  };
  visit(dir);
  return found;
}

class Total {
  #total = 0;
  update(entry: { command: Uint8Array }): { value: number } {
    this.#total += entry.command[0] ?? 0;
    return { value: this.#total };
  }
  lookup(): number {
    return this.#total;
  }
  async saveSnapshot(
    writer: { write(bytes: Uint8Array): Promise<void> },
  ): Promise<void> {
    await writer.write(new TextEncoder().encode(String(this.#total)));
  }
  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    this.#total = Number(await new Response(reader).text());
  }
}
