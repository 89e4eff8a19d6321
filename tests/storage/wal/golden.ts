/** The logs whose bytes lie in `tests/golden`. */
import { MemoryFileSystem } from "../../../storage/memory_file_system.ts";
import type { NodeWrite } from "../../../storage/log_store.ts";
import { withoutPayloads } from "../../../raft/core/entry_batch.ts";
import {
  batch,
  bootstrap,
  crc32,
  openLog,
  settle,
  snapshot,
} from "./fixture.ts";

/**
 * Writes the log of `wal_v1`, and ends the process: several segments, with a record, a section and a part of every kind.
 * What stands in which segment may change; that these bytes can be read may not.
 */
export async function writeGoldenLog(): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  const write = async (
    log: Awaited<ReturnType<typeof openLog>>,
    group: NodeWrite[],
    sync = true,
  ) => {
    await log.commitGroup(group, { sync });
    await settle(200);
  };
  let log = await openLog(disk, { segmentBytes: 4096, seed: 7 });
  await settle(200);
  await write(log, [
    { clusterId: 1, nodeId: 2 ** 53 - 1, bootstrap, batches: [batch(1, 3)] },
    {
      clusterId: 2,
      nodeId: 1,
      peers: [{ nodeId: 3, nodeHostId: "höst", incarnation: 2 }],
      hardState: { term: 2 ** 40, votedFor: 3, commit: 0 },
    },
    { clusterId: 3, nodeId: 1, batches: [batch(1)] },
  ]);
  for (let index = 1; index <= 12; index++) {
    await write(log, [{
      clusterId: 2,
      nodeId: 1,
      batches: [batch(index, 1, 1, 600)],
    }]);
    const meta = snapshot(index);
    const compaction = { snapshot: meta, compactTo: index };
    await write(log, [{ clusterId: 2, nodeId: 1, ...compaction }], false);
  }
  await log.idle();
  await log.close();
  log = await openLog(disk, { segmentBytes: 4096, seed: 8 });
  await settle(200);
  await write(log, [
    { clusterId: 3, nodeId: 1, remove: true },
    { clusterId: 2, nodeId: 1, snapshot: snapshot(100, 5) },
    { clusterId: 1, nodeId: 2 ** 53 - 1, batches: [batch(4, 2)] },
  ]);
  await log.idle();
  await settle(200);
  disk.halt();
  return disk;
}

/** Writes the log of `wal_witness` and closes it: a witness, and a node that knows of an observer and a witness. */
export async function writeWitnessGoldenLog(): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes: 8192, seed: 7 });
  const { members } = snapshot(3).membership;
  const meta = {
    index: 3,
    term: 1,
    membership: {
      configChangeIndex: 3,
      members,
      observers: [{ nodeId: 4, address: "10.0.0.4:7001", nodeHostId: "höst" }],
      witnesses: [{ nodeId: 5, address: "10.0.0.5:7001", nodeHostId: "" }],
      removed: [9],
    },
  };
  const witness = {
    ...bootstrap,
    join: true,
    initialMembers: [],
    stateMachineName: "",
    witness: true,
  };
  const groups: NodeWrite[][] = [
    [{ clusterId: 5, nodeId: 5, bootstrap: witness }],
    [{
      clusterId: 5,
      nodeId: 5,
      hardState: { term: 2, votedFor: 1, commit: 2 },
      batches: [
        withoutPayloads(batch(1, 3), crc32),
        withoutPayloads(batch(4, 2, 2), crc32),
      ],
    }],
    [
      { clusterId: 5, nodeId: 5, snapshot: meta, compactTo: 3 },
      { clusterId: 6, nodeId: 1, snapshot: meta },
    ],
  ];
  for (const group of groups) await log.commitGroup(group, { sync: true });
  await log.idle();
  await log.close();
  return disk;
}

/** Writes the log of `wal_v1_small` and closes it: one segment, so that what is written where follows from the format alone. */
export async function writeSmallGoldenLog(): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem();
  const log = await openLog(disk, { segmentBytes: 8192, seed: 7 });
  const ids = { clusterId: 5, nodeId: 2 ** 53 - 1 };
  const peers = [{ nodeId: 3, nodeHostId: "höst", incarnation: 2 }];
  const groups: NodeWrite[][] = [
    [{ ...ids, bootstrap, peers }, { clusterId: 6, nodeId: 1 }],
    [{
      ...ids,
      hardState: { term: 2 ** 40, votedFor: 3, commit: 2 },
      batches: [batch(1, 3), batch(4, 1, 2, 50)],
    }],
    [
      { ...ids, snapshot: snapshot(3), compactTo: 3 },
      { clusterId: 6, nodeId: 1, snapshot: snapshot(90, 4) },
      { clusterId: 7, nodeId: 1, remove: true },
    ],
  ];
  for (const group of groups) await log.commitGroup(group, { sync: true });
  await log.idle();
  await log.close();
  return disk;
}
