/** What operators order while everything fails, one order at a time. */
import type { Command } from "../../../master/operator.ts";
import type { RegionWish } from "../../../master/schema.ts";
import {
  canLose,
  create,
  type Fleet,
  hostOf,
  order,
  recordOf,
  until,
  wish,
} from "./fleet.ts";

/** Where voters may be wished. */
const regionWishes: readonly (readonly RegionWish[])[] = [
  [],
  [{ region: "c", count: 1 }],
  [{ region: "a", count: 2 }],
  [{ region: "b", count: 2 }, { region: "c", count: 1 }],
  [{ region: "c", count: 1, isRequired: true }],
];

const mostClusters = 6;
const fewestClusters = 3;

/** All orders by name; each returns whether it was carried out. */
export const orders = {
  sizeChanged: (fleet) =>
    change(fleet, (clusterId) => ({
      type: "changeCluster",
      clusterId,
      wish: { size: fleet.world.random.pick([1, 3, 5]) },
    })),
  regionsChanged: (fleet) =>
    change(fleet, (clusterId) => ({
      type: "changeCluster",
      clusterId,
      wish: { regions: [...fleet.world.random.pick(regionWishes)] },
    })),
  planCancelled,
  drained: (fleet) => aboutHost(fleet, "drainHost"),
  cordoned: (fleet) => aboutHost(fleet, "cordonHost"),
  uncordoned: (fleet) => aboutHost(fleet, "uncordonHost"),
  created,
  deleted,
  recreated,
  keptAfterAll,
  paused,
} satisfies Record<string, (fleet: Fleet) => Promise<boolean>>;

async function change(
  { world, alive }: Fleet,
  command: (clusterId: number) => Command,
): Promise<boolean> {
  const clusterId = world.random.pick([...alive]);
  return await order(world, command(clusterId)) === undefined;
}

async function aboutHost(
  { world }: Fleet,
  type: "drainHost" | "cordonHost" | "uncordonHost",
): Promise<boolean> {
  const { host } = world.random.pick(world.machines);
  if (hostOf(world, host?.nodeHostId) === undefined) return false;
  return await order(world, { type, hostId: host!.nodeHostId }) === undefined;
}

async function created(fleet: Fleet): Promise<boolean> {
  if (fleet.alive.size >= mostClusters) return false;
  await create(fleet);
  return true;
}

async function deleted(fleet: Fleet): Promise<boolean> {
  const { world, alive } = fleet;
  if (alive.size <= fewestClusters) return false;
  const clusterId = world.random.pick([...alive]);
  return await remove(fleet, clusterId);
}

/** Has a cluster deleted. */
async function remove(fleet: Fleet, clusterId: number): Promise<boolean> {
  const { world, alive, deleted } = fleet;
  const refusal = await order(world, { type: "deleteCluster", clusterId });
  if (refusal !== undefined) return false;
  alive.delete(clusterId);
  deleted.add(clusterId);
  return true;
}

/**
 * A launch fixes the first members for ever (M8). If the machine of one was lost before masters knew, the others may wait
 * for its welcome for ever (I2), and an operator deletes the cluster. Returns how many that were.
 */
export async function removeStuck(fleet: Fleet): Promise<number> {
  const { world, alive } = fleet;
  const hosts = world.machines.map(({ host }) => host?.nodeHostId);
  const stuck = [...alive].filter((id) => {
    const record = recordOf(world, id);
    return record?.life === "launching" &&
      Object.values(record.members).some(({ host }) => !hosts.includes(host));
  });
  for (const clusterId of stuck) await remove(fleet, clusterId);
  return stuck.length;
}

/** Deletes a cluster, and makes one under its id: while it is there and afterwards that is refused (M8). */
async function recreated(fleet: Fleet): Promise<boolean> {
  const { world, deleted, alive } = fleet;
  let clusterId = world.random.pick([...deleted, ...alive]);
  if (alive.has(clusterId)) {
    if (alive.size <= fewestClusters) clusterId = [...deleted][0] ?? 0;
    else if (!await remove(fleet, clusterId)) return false;
  }
  if (clusterId === 0) return false;
  if (recordOf(world, clusterId) === undefined) {
    // Masters may have lost a store that knew of it.
    if (world.kv.peek(["tomb", clusterId]).value === null) return false;
  }
  const refusal = await order(world, {
    type: "createCluster",
    clusterId,
    wish,
  });
  if (refusal?.code !== "conflict") {
    world.problem(`cluster ${clusterId} was deleted, and made again`);
  }
  return true;
}

/** A deletion that waits is undone in time. */
async function keptAfterAll({ world, alive }: Fleet): Promise<boolean> {
  const clusterId = world.random.pick([...alive]);
  const waits = {
    type: "deleteCluster",
    clusterId,
    waitTicks: 10_000,
  } as const;
  if (await order(world, waits) !== undefined) return false;
  await world.run(world.random.between(100, 5_000));
  const refusal = await order(world, { type: "keepCluster", clusterId });
  if (refusal !== undefined) {
    world.problem(`cluster ${clusterId} could not be kept: ${refusal.message}`);
  }
  return true;
}

/** A NodeHost is drained, and then the first plan that there is given up. */
async function planCancelled(fleet: Fleet): Promise<boolean> {
  const { world, alive } = fleet;
  if (!await aboutHost(fleet, "drainHost")) return false;
  const planned = () =>
    [...alive].find((id) => recordOf(world, id)?.plan !== undefined);
  await until(world, 10_000, () => planned() !== undefined);
  const clusterId = planned();
  if (clusterId === undefined) return false;
  return await order(world, { type: "cancelPlan", clusterId }) === undefined;
}

/** No decisions for a while. */
async function paused({ world }: Fleet): Promise<boolean> {
  await order(world, { type: "pause" });
  await world.run(world.random.between(500, 5_000));
  await order(world, { type: "resume" });
  return true;
}

/**
 * A new cluster loses the machine of an initial member that never ran. One of five repairs that; one of three cannot even
 * begin, since new members vote only when a majority of the others knows of nobody else under their ids (I2): masters
 * leave it alone, and an operator deletes it. Returns what came of it.
 */
export async function loseNeverMet(
  fleet: Fleet,
): Promise<"neverMetLost" | "launchStuck" | undefined> {
  const { world, alive } = fleet;
  const { machines } = world;
  if (alive.size >= mostClusters) return undefined;
  if (!machines.every((_, index) => canLose(fleet, index))) return undefined;
  const size = world.random.pick([3, 5]);
  const clusterId = await create(fleet, size);
  const membersOf = () => recordOf(world, clusterId)?.members ?? {};
  await until(world, 20_000, () => Object.keys(membersOf()).length > 0);
  const victim = Object.entries(membersOf()).map(([id, { host }]) => ({
    id: Number(id),
    index: machines.findIndex((one) => one.host?.nodeHostId === host),
  })).find(({ id, index }) =>
    index >= 0 && world.machineOf(clusterId, id) === undefined
  );
  if (victim === undefined) return undefined;
  // Its power is gone before it hears of the cluster.
  const machine = machines[victim.index]!;
  world.stopped.add(machine);
  machine.stop("powerLoss");
  const others = Object.keys(membersOf()).map(Number)
    .filter((id) => id !== victim.id);
  const areSeen = () =>
    others.every((id) => world.machineOf(clusterId, id) !== undefined);
  const isLaunched = await until(world, 60_000, areSeen);
  world.stopped.delete(machine);
  world.replaceDisk(victim.index);
  if (!isLaunched) {
    world.problem(`cluster ${clusterId} was not launched without one machine`);
  }
  if (size === 5) return "neverMetLost";
  await world.run(5_000);
  if (!await remove(fleet, clusterId)) {
    world.problem(`cluster ${clusterId} cannot begin, nor be deleted`);
  }
  return "launchStuck";
}
