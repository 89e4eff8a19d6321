/**
 * Clusters lose their majority for good, and an operator does what masters say (M15): gives up what is lost, exports an
 * image at the survivor that is furthest, imports it at all that stay, and opens their NodeHosts again. What the image
 * lacks is lost; all else is demanded as ever.
 */
import { RaftError } from "../../../raft/errors.ts";
import { importSnapshot } from "../../../raft/import_snapshot.ts";
import type { Recovery } from "../../../master/recovery.ts";
import { simCompression } from "../../../testing/sim/compression.ts";
import type { RaftMachine } from "../../../testing/master/raft_machine.ts";
import type { RaftWorld } from "../../../testing/master/raft_world.ts";
import { told } from "../world_checks.ts";
import {
  areAllUp,
  ask,
  canLose,
  type Fleet,
  inEvent,
  order,
  recordOf,
  until,
} from "./fleet.ts";

const exportDir = "/export";
const imageDir = "/image";

/** What is left to be done by hand, as masters print it. */
interface Steps {
  /** Where the image comes from. */
  readonly from: RaftMachine;
  /** Who stays: node by address. */
  readonly members: Record<number, string>;
  readonly deploymentId: bigint;
  readonly stateMachine: string;
}

/**
 * A majority of a cluster's machines is lost at once; sometimes one of them comes back when all is recovered, with nodes
 * that were condemned. Returns what it was, if the world was in a state for it.
 */
export async function loseQuorum(
  fleet: Fleet,
): Promise<"quorumLost" | "condemnedReturn" | undefined> {
  const { world, alive } = fleet;
  const { random, machines } = world;
  const lost = chooseLost(fleet);
  if (lost === undefined) return undefined;
  const hostIds = lost.map((index) => machines[index]!.host!.nodeHostId);
  const returning = random.chance(0.5) ? machines[lost[0]!] : undefined;
  for (const index of lost) {
    const machine = machines[index]!;
    if (machine !== returning) world.replaceDisk(index);
    else {
      machine.stop("powerLoss");
      machine.isLost = true;
    }
  }
  for (const hostId of hostIds) {
    await order(world, { type: "declareHostDead", hostId });
  }
  for (const clusterId of [...alive]) {
    if (!world.hasLostMajority(clusterId)) continue;
    world.killMaster(random.below(world.masters.length));
    await recover(world, clusterId);
  }
  if (returning === undefined) return "quorumLost";
  returning.isLost = false;
  returning.start();
  return "condemnedReturn";
}

/** A majority of some cluster, of which somebody survives in every other one, too. */
function chooseLost(fleet: Fleet): number[] | undefined {
  const { world, alive } = fleet;
  const { random, machines } = world;
  const isCalm = areAllUp(world) &&
    machines.every((_, index) => canLose(fleet, index)) &&
    [...alive].every((id) => recordOf(world, id)?.life === "ok");
  if (!isCalm) return undefined;
  const placesOf = (clusterId: number) =>
    world.membershipOf(clusterId)!.members.map(({ nodeId }) =>
      machines.indexOf(world.machineOf(clusterId, nodeId)!)
    );
  const target = placesOf(random.pick([...alive]));
  const lost = random.shuffle(target).slice(0, (target.length + 1) >> 1);
  const hasSurvivor = [...alive].every((id) =>
    placesOf(id).some((index) => !lost.includes(index))
  );
  return lost.length > 0 && hasSurvivor ? lost : undefined;
}

async function recover(world: RaftWorld, clusterId: number): Promise<void> {
  const steps = await decideIt(world, clusterId);
  if (steps === undefined) return;
  const image = await exported(world, clusterId, steps.from);
  if (image === undefined) {
    world.problem(`cluster ${clusterId}: no survivor exports a snapshot`);
    return;
  }
  const stay = Object.entries(steps.members).map(([id, address]) => ({
    nodeId: Number(id),
    machine: machineAt(world, address)!,
  }));
  for (const { machine } of stay) {
    world.stopped.add(machine);
    machine.stop(world.random.pick(["kill", "powerLoss"]));
  }
  const { index, values } = image;
  const nodeIds = stay.map(({ nodeId }) => nodeId);
  world.rebuilt(clusterId, { index, nodeIds, values });
  for (const { machine, nodeId } of stay) {
    await importAt(world, machine, { nodeId, steps, bytes: image.bytes });
  }
  for (const { machine } of stay) {
    world.stopped.delete(machine);
    machine.start();
  }
  const isBack = await until(
    world,
    60_000,
    () => recordOf(world, clusterId)?.life !== "recovering",
  );
  if (isBack) return;
  world.problem(
    `cluster ${clusterId} was rebuilt, and is not taken over: ${
      JSON.stringify(recordOf(world, clusterId))
    }`,
  );
}

/** Looks until masters know who is lost, and how far a survivor is; then gives up what is lost. */
async function decideIt(
  world: RaftWorld,
  clusterId: number,
): Promise<Steps | undefined> {
  let shown: Recovery | undefined;
  for (let attempt = 0; attempt < 120; attempt++) {
    await world.run(500);
    shown = await look(world, clusterId) ?? shown;
    if (shown === undefined || shown.hasMajority || shown.survivor === null) {
      continue;
    }
    const silent = shown.members.some((one) =>
      one.role === "voter" && !one.isGivenUp && one.lastIndex === undefined
    );
    if (!silent) break;
  }
  if (shown === undefined || shown.hasMajority || shown.survivor === null) {
    world.problem(
      `cluster ${clusterId} lost its majority, and masters say ${
        JSON.stringify(shown)
      }`,
    );
    return undefined;
  }
  const condemned = shown.members.filter((one) => one.isGivenUp)
    .map(({ nodeId }) => nodeId);
  const operator = world.operator();
  const command = {
    type: "recoverCluster",
    clusterId,
    condemned,
    expectedConfigChangeIndex: shown.configChangeIndex,
  } as const;
  const key = `recover ${clusterId} ${world.now()}`;
  const result = await told(world, () => operator.command(command, { key }));
  return readSteps(world, result.steps as string[]);
}

async function look(
  world: RaftWorld,
  clusterId: number,
): Promise<Recovery | undefined> {
  const operator = world.operator();
  try {
    return await world.during(operator.recovery(clusterId));
  } catch (error) {
    if (error instanceof RaftError) return undefined;
    throw error;
  }
}

function machineAt(world: RaftWorld, address: string): RaftMachine | undefined {
  return world.machines.find((one) => one.address === address);
}

/** Reads what masters print as somebody does who then types it. */
function readSteps(world: RaftWorld, steps: readonly string[]): Steps {
  const text = steps.join("\n");
  const [, from = ""] = /^# At (\S+): /m.exec(text) ?? [];
  const [line = ""] = steps.filter((one) => one.startsWith("deno task import"));
  const members = [...line.matchAll(/--member (\d+)=(\S+)/g)]
    .map(([, id, address]) => [Number(id), address!] as const);
  const [, deployment = ""] = /--deployment (\d+)/.exec(line) ?? [];
  const [, stateMachine = ""] = /--state-machine (\S+)/.exec(line) ?? [];
  return {
    from: machineAt(world, from)!,
    members: Object.fromEntries(members),
    deploymentId: BigInt(deployment),
    stateMachine,
  };
}

interface Image {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly values: ReadonlySet<number>;
}

async function exported(
  world: RaftWorld,
  clusterId: number,
  machine: RaftMachine,
): Promise<Image | undefined> {
  const { disk } = machine;
  for (let attempt = 0; attempt < 20; attempt++) {
    const image = await ask(world, machine, async (host) => {
      const { path, index } = await host.exportSnapshot(clusterId, exportDir);
      // Nothing is decided any more, so the state is still that of the image.
      const values = await host.staleRead<readonly number[]>(clusterId, "all");
      return { path, index, values: new Set(values) };
    });
    if (image === undefined) continue;
    const { path, ...rest } = image;
    const bytes = disk.readFolder(exportDir)?.files
      .get(path.slice(exportDir.length));
    disk.changeFolders((fileSystem) => fileSystem.remove(exportDir));
    if (bytes !== undefined) return { ...rest, bytes };
  }
  return undefined;
}

async function importAt(
  world: RaftWorld,
  machine: RaftMachine,
  { nodeId, steps, bytes }: { nodeId: number; steps: Steps; bytes: Uint8Array },
): Promise<void> {
  const { timeline, random } = world;
  const { disk, address } = machine;
  disk.writeFolder(imageDir, {
    folders: [""],
    files: new Map([["/image.snap", bytes]]),
  });
  const { members, deploymentId, stateMachine } = steps;
  const begin = () => {
    disk.attach(timeline.scope(`operator at ${address}`));
    return importSnapshot({
      path: `${imageDir}/image.snap`,
      dir: "/data",
      raftAddress: address,
      nodeId,
      members,
      deploymentId,
      stateMachine,
      segmentBytes: 1024 * 1024,
    }, { fileSystem: disk.fileSystem, random, compression: simCompression });
  };
  try {
    await inEvent(world, begin);
  } catch (error) {
    world.problem(`the import at ${address} failed: ${error}`);
  }
  disk.changeFolders((fileSystem) => fileSystem.remove(imageDir));
}
