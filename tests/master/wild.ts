/** Everything at once: NodeHosts, disks, masters, the store and operators, all of them wild. */
import { assert } from "../deps.ts";
import type { Command } from "../../master/operator.ts";
import { CommandError } from "../../master/operator.ts";
import type { ClusterRecord, HostRecord } from "../../master/schema.ts";
import { MasterWorld } from "../../testing/master/world.ts";
import { badRoads, create, settle, storeFaults, told } from "./world_checks.ts";

/** A run of harm and orders, then peace; everything must be as it was last ordered. */
export async function wild(seed: number): Promise<MasterWorld> {
  const world = new MasterWorld({
    seed,
    masterCount: 3,
    regions: ["a", "a", "b", "b", "c", "c", "d"],
    faults: storeFaults,
  });
  const { random, roads } = world;
  const peace = { ...roads };
  Object.assign(roads, badRoads);
  await world.run(10_000);
  const ids = await create(world, 6);
  await world.run(20_000);
  const operator = world.operator();
  let count = 0;
  const order = async (command: Command) => {
    try {
      await told(
        world,
        () => operator.command(command, { key: `order-${++count}` }),
      );
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
    }
  };
  for (let step = 0; step < 14; step++) {
    world.killMaster(random.below(3));
    harm(world);
    await order(anyOrder(world, ids));
    await world.run(random.between(1_000, 25_000));
  }
  for (const host of world.hosts) {
    if (!host.isUp) host.restart();
    host.cannotStart = false;
    const hostId = host.id;
    const isKnown = world.kv.peek(["h", hostId]).value !== null;
    if (isKnown) await order({ type: "uncordonHost", hostId });
  }
  for (const clusterId of ids) {
    await order({ type: "resumeCluster", clusterId });
  }
  await order({ type: "resume" });
  Object.assign(roads, peace);
  world.kv.faults = {
    ...world.kv.faults,
    lies: 0,
    lost: 0,
    twice: 0,
    late: 0,
    fails: 0,
    failsToRead: 0,
  };
  await world.run(30_000);
  await order({ type: "releaseBrake" });
  const left = ids.filter((id) =>
    world.kv.peek(["tomb", id]).value === null && !isDeleting(world, id)
  );
  const alive = left.filter((id) => !isLost(world, id));
  const isDiskLost = world.hosts.some(({ id }) => id.endsWith("x"));
  if (!isDiskLost) assert.deepEqual(alive, left, "a majority was given away");
  await settle(world, alive, 600_000);
  await world.run(60_000, () => ids.every((id) => !isDeleting(world, id)));
  assertDeleted(world, ids);
  return world;
}

/** More disks were lost than the cluster can stand: nothing but an operator can help it. */
function isLost(world: MasterWorld, id: number): boolean {
  const cluster = world.clusters.get(id);
  return cluster !== undefined && !cluster.hasQuorum();
}

function isDeleting(world: MasterWorld, id: number): boolean {
  const record = world.kv.peek(["c", id]).value as ClusterRecord | null;
  return record?.life === "deleting";
}

function assertDeleted(world: MasterWorld, ids: readonly number[]): void {
  for (const id of ids) {
    if (world.kv.peek(["tomb", id]).value === null) continue;
    assert.equal(world.kv.peek(["c", id]).value, null);
    for (const prefix of ["m", "q"]) {
      const left = world.kv.peekAll([prefix]).filter(({ key }) =>
        key[2] === id
      );
      assert.deepEqual(left, []);
    }
  }
}

function harm(world: MasterWorld): void {
  const { random } = world;
  const down = world.hosts.filter((host) => !host.isUp);
  const host = random.pick(world.hosts);
  const what = random.below(10);
  if (what < 4 && host.isUp && down.length < 2) host.crash();
  else if (what < 8) {
    for (const one of down) if (random.below(2) === 0) one.restart();
  } else if (what === 8 && down.length === 0) {
    const state = (world.kv.peek(["h", host.id]).value as HostRecord | null)
      ?.state;
    if (state === "ok" && random.below(2) === 0) world.replaceDisk(host);
  } else host.cannotStart = !host.cannotStart;
}

function anyOrder(world: MasterWorld, ids: readonly number[]): Command {
  const { random } = world;
  const clusterId = random.pick(ids);
  const hostId = random.pick(world.hosts).id;
  return random.pick<Command>([
    {
      type: "changeCluster",
      clusterId,
      wish: { size: random.pick([1, 2, 3, 4, 5]) },
    },
    {
      type: "changeCluster",
      clusterId,
      wish: { regions: [{ region: "d", count: 1 }] },
    },
    { type: "drainHost", hostId },
    { type: "cordonHost", hostId },
    { type: "uncordonHost", hostId },
    { type: "pauseCluster", clusterId },
    { type: "resumeCluster", clusterId },
    { type: "cancelPlan", clusterId },
    { type: "pause" },
    { type: "resume" },
    { type: "releaseBrake" },
    { type: "deleteCluster", clusterId: ids[0]! },
  ]);
}
