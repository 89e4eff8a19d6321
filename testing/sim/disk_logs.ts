/** Reads the logs of all machines after everything has closed, and compares them entry by entry (paper 5.3). */
import { hasPayloads } from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import type { NodeLog } from "../../storage/log_store.ts";
import { Wal } from "../../storage/wal/wal.ts";
import { crc32 } from "../deps.ts";
import { eventKind } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import type { Machine } from "./machine.ts";
import type { World } from "./world.ts";

/** Where a batch was seen first. */
interface SeenBatch {
  readonly term: number;
  readonly lastIndex: number;
  /** 0 if only witnesses were seen to hold it, who hold no payloads. */
  digest: number;
  readonly by: string;
}

/** Every log holds what was applied, and all hold the same. Rejects with a {@link SimulationFailure}. */
export async function compareDiskLogs(world: World): Promise<void> {
  const seen = new Map(
    world.plan.clusters.map((
      { clusterId },
    ) => [clusterId, new Map<number, SeenBatch>()]),
  );
  for (const machine of world.machines) {
    const log = await openLog(world, machine);
    world.removals.compare(machine, log);
    for (const { clusterId } of world.plan.clusters) {
      if (!world.membership.carriers(clusterId).includes(machine)) continue;
      const { nodeId } = machine.placements.get(clusterId)!;
      compareNode(world, seen.get(clusterId)!, {
        log: log.node(clusterId, nodeId),
        name:
          `machine ${machine.index}, node ${nodeId} of cluster ${clusterId},`,
      });
    }
    await log.close();
  }
}

async function openLog(world: World, machine: Machine): Promise<Wal> {
  const { timeline, plan } = world;
  const scope = timeline.scope(`inspector of m${machine.index}`);
  machine.disk.attach(scope);
  return await Wal.open({
    fileSystem: machine.disk.fileSystem,
    dir: "/data/log",
    segmentBytes: plan.segmentBytes,
    crc32,
    random: world.random,
    yield: () => timeline.wait(scope, 0, eventKind.turn),
  });
}

function compareNode(
  world: World,
  seen: Map<number, SeenBatch>,
  { log, name }: { log: NodeLog; name: string },
): void {
  const record = world.checks.record(log.clusterId);
  const end = record.lastIndex;
  const first = log.firstIndex();
  if (log.lastIndex() < end) {
    throw new SimulationFailure(
      "acknowledged never lost",
      `${name} ends at ${log.lastIndex()}, ${end} was applied`,
    );
  }
  for (let index = first; index <= end;) {
    const batch = log.batchAt(index);
    if (batch === undefined) {
      throw new SimulationFailure(
        "acknowledged never lost",
        `${name} has no entry ${index}, and begins at ${first}`,
      );
    }
    compareBatch(seen, batch, name);
    index = batch.lastIndex + 1;
  }
  for (const command of record.appliedFrom(first)) {
    if (log.termOf(command.index) === command.term) continue;
    throw new SimulationFailure(
      "logs match",
      `${name} has term ${
        log.termOf(command.index)
      } at index ${command.index}, applied was one of term ${command.term}`,
    );
  }
}

function compareBatch(
  seen: Map<number, SeenBatch>,
  batch: EntryBatch,
  name: string,
): void {
  const { firstIndex, lastIndex, term } = batch;
  const digest = hasPayloads(batch) ? crc32(batch.bytes) : 0;
  const known = seen.get(firstIndex);
  if (known === undefined) {
    seen.set(firstIndex, { term, lastIndex, digest, by: name });
  } else if (
    known.term !== term || known.lastIndex !== lastIndex ||
    (known.digest !== digest && known.digest !== 0 && digest !== 0)
  ) {
    throw new SimulationFailure(
      "logs match",
      `${name} holds entries ${firstIndex} to ${lastIndex} of term ${term} on its disk, ` +
        `${known.by} up to ${known.lastIndex} of term ${known.term}`,
    );
  } else if (known.digest === 0) known.digest = digest;
}
