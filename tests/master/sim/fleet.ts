/** What an operator of a simulated world knows, and how orders are given there. */
import { type Command, CommandError } from "../../../master/operator.ts";
import { eventKind } from "../../../testing/sim/clock.ts";
import type { RaftMachine } from "../../../testing/master/raft_machine.ts";
import type { RaftWorld } from "../../../testing/master/raft_world.ts";
import { RaftError } from "../../../raft/errors.ts";
import type { NodeHost } from "../../../raft/nodehost.ts";
import type { ClusterRecord, HostRecord } from "../../../master/schema.ts";
import { told } from "../world_checks.ts";

/** A world, and what somebody wants of it. */
export interface Fleet {
  readonly world: RaftWorld;
  /** Clusters that are to be there. */
  readonly alive: Set<number>;
  /** Clusters that are to be gone. */
  readonly deleted: Set<number>;
  /** The next new cluster. */
  nextId: number;
}

/** What all clusters of a simulation have in common. */
export const wish = { app: "ledger", size: 3, config: { heartbeatTicks: 2 } };

/** An operator says it until it is done, or makes no sense; returns why it does not. */
export async function order(
  world: RaftWorld,
  command: Command,
): Promise<CommandError | undefined> {
  const operator = world.operator();
  const key = `order ${world.now()} ${JSON.stringify(command)}`.replace(
    /[^!-~]/g,
    "_",
  );
  try {
    await told(world, () => operator.command(command, { key }));
  } catch (error) {
    if (error instanceof CommandError) return error;
    throw error;
  }
  return undefined;
}

/** Has a new cluster made, which nobody waits for. */
export async function create(
  fleet: Fleet,
  size: number = wish.size,
): Promise<number> {
  const { world, alive } = fleet;
  const clusterId = fleet.nextId++;
  const refusal = await order(world, {
    type: "createCluster",
    clusterId,
    wish: { ...wish, size },
  });
  if (refusal !== undefined) world.problem(`create: ${refusal.message}`);
  alive.add(clusterId);
  return clusterId;
}

/** What masters know of a cluster. */
export function recordOf(
  world: RaftWorld,
  clusterId: number,
): ClusterRecord | undefined {
  const { value } = world.kv.peek(["c", clusterId]);
  return value === null ? undefined : value as ClusterRecord;
}

/** What masters know of a NodeHost. */
export function hostOf(
  world: RaftWorld,
  hostId: string | undefined,
): HostRecord | undefined {
  const { value } = world.kv.peek(["h", hostId ?? ""]);
  return value === null ? undefined : value as HostRecord;
}

/** Whether every machine is up. */
export function areAllUp(world: RaftWorld): boolean {
  return world.machines.every((one) => one.isUp);
}

/** Every machine is started. */
export function startAll(world: RaftWorld): void {
  world.stopped.clear();
  for (const machine of world.machines) machine.start();
}

/** Whether a machine may be lost for good: all else that carries something serves, so no majority goes with it. */
export function canLose({ world, alive }: Fleet, index: number): boolean {
  return areAllUp(world) && world.canLoseMachine(index) &&
    [...alive].every((id) => allServe(world, id));
}

/** Whether all voters of a cluster serve: one that was never admitted needs the others yet (I2). */
function allServe(world: RaftWorld, clusterId: number): boolean {
  const voters = world.membershipOf(clusterId)?.members ?? [];
  return voters.length > 0 && voters.every(({ nodeId }) => {
    const clusters = world.machineOf(clusterId, nodeId)?.info()?.clusters;
    return clusters?.some((one) => one.clusterId === clusterId && one.isReady);
  });
}

/** A disk is replaced by an empty one; returns the NodeHost that is no more. */
export function loseMachine(fleet: Fleet, index: number): string | undefined {
  const { world } = fleet;
  if (!canLose(fleet, index)) return undefined;
  const hostId = world.machines[index]!.host?.nodeHostId;
  if (hostId === undefined) return undefined;
  world.replaceDisk(index);
  return hostId;
}

/** Lets time pass until something is so; returns whether it is. */
export async function until(
  world: RaftWorld,
  ms: number,
  isSo: () => boolean,
): Promise<boolean> {
  await world.run(ms, isSo);
  return isSo();
}

/** Asks the NodeHost of a machine for something; `undefined` if it fails, or nobody answers in time. */
export async function ask<T>(
  world: RaftWorld,
  machine: RaftMachine,
  work: (host: NodeHost) => Promise<T>,
): Promise<T | undefined> {
  let answer: T | undefined;
  let isOver = false;
  machine.ask((host) => {
    work(host).then((value) => {
      answer = value;
      isOver = true;
    }, (error) => {
      if (!(error instanceof RaftError)) world.problem(String(error));
      isOver = true;
    });
  });
  await world.run(5_000, () => isOver);
  return answer;
}

/** Begins something in an event of the world, as everything that touches a disk does, and waits for it. */
export async function inEvent<T>(
  world: RaftWorld,
  work: () => Promise<T>,
): Promise<T> {
  const { timeline } = world;
  const begun = timeline.wait(timeline.world, 0, eventKind.world).then(work);
  return await world.during(begun);
}
