/** What can go wrong with masters, their store and NodeHosts, one thing at a time. */
import type { RaftWorld } from "../../../testing/master/raft_world.ts";
import {
  areAllUp,
  canLose,
  type Fleet,
  hostOf,
  loseMachine,
  order,
  until,
} from "./fleet.ts";
import { loseQuorum } from "./lost_quorum.ts";
import { loseStore } from "./lost_store.ts";
import { loseNeverMet, orders } from "./orders.ts";

/**
 * Returns whether it was done, or what was done, if that has a name of its own: a world may be in no state for it, because
 * more at once is promised by nobody.
 */
type Harm = (
  fleet: Fleet,
) => Promise<string | boolean | undefined> | string | boolean | undefined;

const harms: Readonly<Record<string, Harm>> = {
  processKilled: (fleet) => stop(fleet, "kill"),
  powerCut: (fleet) => stop(fleet, "powerLoss"),
  diskLost: (fleet) => loseMachine(fleet, anyIndex(fleet)) !== undefined,
  declaredDead: (fleet) => giveUpLost(fleet, "declareHostDead"),
  revoked: (fleet) => giveUpLost(fleet, "revokeHost"),
  declaredDeadAlive,
  revokedAlive,
  neverMetLost: loseNeverMet,
  unmetLost,
  quorumLost: loseQuorum,
  isolated,
  cutFromMasters,
  syncFails({ world }) {
    world.random.pick(world.machines).disk.syncsUntilFailure = world.random
      .below(20);
    return true;
  },
  writeFails({ world }) {
    world.random.pick(world.machines).disk.writesUntilFailure = world.random
      .below(20);
    return true;
  },
  diskFull,
  mastersOut,
  storeOut,
  storeLost: loseStore,
  clockJump({ world }) {
    const { clock } = world.random.pick(world.masters);
    clock.wallSkewMs = world.random.between(-3_600_000, 3_600_000);
    return true;
  },
  periodChanged,
  ...orders,
};

/** Everything that is done to a world, by name. */
export const harmNames: readonly string[] = [
  ...Object.keys(harms),
  "launchStuck",
  "condemnedReturn",
];

/** Machines are stopped more often than all else. */
const drawn = [
  ...Object.keys(harms),
  "processKilled",
  "powerCut",
  "processKilled",
];
const drawsMax = 5;

/** Does one thing, and lets the time pass that it lasts. Returns what it was, if there was anything that could be done. */
export async function harm(fleet: Fleet): Promise<string | undefined> {
  for (let draw = 0; draw < drawsMax; draw++) {
    const name = fleet.world.random.pick(drawn);
    const done = await harms[name]!(fleet);
    if (typeof done === "string") return done;
    if (done === true) return name;
  }
  return undefined;
}

function anyIndex({ world }: Fleet): number {
  return world.random.below(world.machines.length);
}

// ---- Machines ----

function stop({ world }: Fleet, how: "kill" | "powerLoss"): boolean {
  if (!areAllUp(world)) return false;
  const machine = world.random.pick(world.machines);
  world.stopped.add(machine);
  machine.stop(how);
  return true;
}

/** An operator who knows that a machine is gone does not wait until it was silent for long enough. */
async function giveUpLost(
  fleet: Fleet,
  type: "declareHostDead" | "revokeHost",
): Promise<boolean> {
  const hostId = loseMachine(fleet, anyIndex(fleet));
  if (hostId === undefined) return false;
  await order(fleet.world, { type, hostId });
  return true;
}

/** An operator is mistaken: the NodeHost returns with its next report. */
async function declaredDeadAlive({ world }: Fleet): Promise<boolean> {
  const { host } = world.random.pick(world.machines);
  if (hostOf(world, host?.nodeHostId) === undefined) return false;
  const hostId = host!.nodeHostId;
  return await order(world, { type: "declareHostDead", hostId }) === undefined;
}

/** A NodeHost that runs is refused from now on; when its nodes were replaced, or could be spared, its power is taken. */
async function revokedAlive(fleet: Fleet): Promise<boolean> {
  const { world } = fleet;
  const index = anyIndex(fleet);
  const hostId = world.machines[index]!.host?.nodeHostId;
  if (!canLose(fleet, index) || hostOf(world, hostId) === undefined) {
    return false;
  }
  await order(world, { type: "revokeHost", hostId: hostId! });
  await world.run(world.random.between(500, 15_000));
  const isSpared = await until(world, 60_000, () => canLose(fleet, index));
  if (!isSpared) world.problem(`${hostId} was revoked, and is still needed`);
  world.replaceDisk(index);
  return true;
}

/** A disk is lost, and all others begin anew: no leader was ever in touch with who was there (I6). */
function unmetLost(fleet: Fleet): boolean {
  const { machines } = fleet.world;
  const index = anyIndex(fleet);
  if (loseMachine(fleet, index) === undefined) return false;
  for (const [i, machine] of machines.entries()) {
    if (i === index) continue;
    machine.stop("kill");
    machine.start();
  }
  return true;
}

async function isolated(fleet: Fleet): Promise<boolean> {
  const { world } = fleet;
  const index = anyIndex(fleet);
  world.setIsolated(index, true);
  await world.run(world.random.between(500, 5_000));
  world.setIsolated(index, false);
  return true;
}

async function cutFromMasters({ world }: Fleet): Promise<boolean> {
  const machine = world.random.pick(world.machines);
  machine.isCutFromMasters = true;
  await world.run(world.random.between(500, 8_000));
  machine.isCutFromMasters = false;
  return true;
}

async function diskFull({ world }: Fleet): Promise<boolean> {
  const { disk } = world.random.pick(world.machines);
  disk.limitSpace(world.random.below(100_000));
  await world.run(world.random.between(500, 8_000));
  disk.limitSpace(undefined);
  return true;
}

// ---- Masters and their store ----

/** Now and then longer than masters believe what they have read of the store. */
function anyOutage({ random }: RaftWorld): number {
  return random.chance(0.2)
    ? random.between(60_000, 90_000)
    : random.between(1_000, 15_000);
}

/** All masters die, and nobody reaches those that take their places for a while. */
async function mastersOut({ world }: Fleet): Promise<boolean> {
  const { machines, masters } = world;
  for (let i = 0; i < masters.length; i++) world.killMaster(i);
  for (const machine of machines) machine.isCutFromMasters = true;
  await world.run(anyOutage(world));
  for (const machine of machines) machine.isCutFromMasters = false;
  return true;
}

/** Masters can neither read nor write for a while. */
async function storeOut({ world }: Fleet): Promise<boolean> {
  const { kv } = world;
  const { faults } = kv;
  kv.faults = { ...faults, fails: 1_000, failsToRead: 1_000 };
  await world.run(anyOutage(world));
  kv.faults = faults;
  return true;
}

/** One master is deployed with another period, beside those that keep theirs. */
function periodChanged({ world }: Fleet): boolean {
  const { random, masterPeriodsMs } = world;
  const index = random.below(masterPeriodsMs.length);
  const others = [250, 500, 1_000, 2_000].filter((ms) =>
    ms !== masterPeriodsMs[index]
  );
  masterPeriodsMs[index] = random.pick(others);
  world.killMaster(index);
  return true;
}
