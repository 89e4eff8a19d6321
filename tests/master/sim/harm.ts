/** What can go wrong with masters, their store and NodeHosts, one thing at a time. */
import { type Command, CommandError } from "../../../master/operator.ts";
import type { RaftWorld } from "../../../testing/master/raft_world.ts";
import { told } from "../world_checks.ts";

/** Everything that is done to a world, by name. */
export const harmNames = [
  "processKilled",
  "powerCut",
  "diskLost",
  "declaredDead",
  "revoked",
  "isolated",
  "cutFromMasters",
  "syncFails",
  "writeFails",
  "diskFull",
  "mastersOut",
  "storeOut",
  "clockJump",
  "order",
] as const;

/** One of them. */
export type HarmName = (typeof harmNames)[number];

/** Machines are stopped more often than all else. */
const drawn: readonly HarmName[] = [
  ...harmNames,
  "processKilled",
  "powerCut",
];

/**
 * Does one thing, and lets the time pass that it lasts. Returns what it was; undefined if the world was in no state for
 * it, because more at once is promised by nobody.
 */
export async function harm(
  world: RaftWorld,
  ids: readonly number[],
): Promise<HarmName | undefined> {
  const name = world.random.pick(drawn);
  return await doHarm(world, ids, name) ? name : undefined;
}

async function doHarm(
  world: RaftWorld,
  ids: readonly number[],
  name: HarmName,
): Promise<boolean> {
  const { random, machines } = world;
  const index = random.below(machines.length);
  const machine = machines[index]!;
  switch (name) {
    case "processKilled":
    case "powerCut":
      if (!areAllUp(world)) return false;
      world.stopped.add(machine);
      machine.stop(name === "powerCut" ? "powerLoss" : "kill");
      return true;
    case "diskLost":
      return loseMachine(world, index) !== undefined;
    case "declaredDead":
    case "revoked": {
      // An operator who knows that a machine is gone does not wait until it was silent for long enough.
      const hostId = loseMachine(world, index);
      if (hostId === undefined) return false;
      const type = name === "revoked" ? "revokeHost" : "declareHostDead";
      await order(world, { type, hostId });
      return true;
    }
    case "isolated":
      world.setIsolated(index, true);
      await world.run(random.between(500, 5_000));
      world.setIsolated(index, false);
      return true;
    case "cutFromMasters":
      machine.isCutFromMasters = true;
      await world.run(random.between(500, 8_000));
      machine.isCutFromMasters = false;
      return true;
    case "syncFails":
      machine.disk.syncsUntilFailure = random.below(20);
      return true;
    case "writeFails":
      machine.disk.writesUntilFailure = random.below(20);
      return true;
    case "diskFull":
      machine.disk.limitSpace(random.below(100_000));
      await world.run(random.between(500, 8_000));
      machine.disk.limitSpace(undefined);
      return true;
    case "mastersOut":
      await withoutMasters(world);
      return true;
    case "storeOut":
      await withoutStore(world);
      return true;
    case "clockJump": {
      const { clock } = random.pick(world.masters);
      clock.wallSkewMs = random.between(-3_600_000, 3_600_000);
      return true;
    }
    case "order":
      await order(world, anyOrder(world, ids));
      return true;
  }
}

function areAllUp(world: RaftWorld): boolean {
  return world.machines.every((one) => one.isUp);
}

/** A disk is replaced by an empty one; returns the NodeHost that is no more. */
function loseMachine(world: RaftWorld, index: number): string | undefined {
  if (!areAllUp(world) || !world.canLoseMachine(index)) return undefined;
  const hostId = world.machines[index]!.host?.nodeHostId;
  if (hostId === undefined) return undefined;
  world.replaceDisk(index);
  return hostId;
}

/** All masters die, and nobody reaches those that take their places for a while. */
async function withoutMasters(world: RaftWorld): Promise<void> {
  const { random, machines, masters } = world;
  for (let i = 0; i < masters.length; i++) world.killMaster(i);
  for (const machine of machines) machine.isCutFromMasters = true;
  await world.run(random.between(1_000, 15_000));
  for (const machine of machines) machine.isCutFromMasters = false;
}

/** Masters can neither read nor write for a while. */
async function withoutStore(world: RaftWorld): Promise<void> {
  const { kv, random } = world;
  const { faults } = kv;
  kv.faults = { ...faults, fails: 1_000, failsToRead: 1_000 };
  await world.run(random.between(1_000, 15_000));
  kv.faults = faults;
}

function anyOrder(world: RaftWorld, ids: readonly number[]): Command {
  const { random } = world;
  const clusterId = random.pick(ids);
  const hosts = world.kv.peekAll(["h"]).map(({ key }) => String(key[1]));
  const hostId = random.pick(hosts);
  return random.pick<Command>([
    { type: "changeCluster", clusterId, wish: { size: random.pick([3, 5]) } },
    { type: "drainHost", hostId },
    { type: "uncordonHost", hostId },
    { type: "cancelPlan", clusterId },
  ]);
}

/** An operator says it until it is done, or makes no sense. */
export async function order(world: RaftWorld, command: Command): Promise<void> {
  const operator = world.operator();
  const key = `order ${world.now()} ${JSON.stringify(command)}`.replace(
    /[^!-~]/g,
    "_",
  );
  try {
    await told(world, () => operator.command(command, { key }));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
}
