/** What the tests of masters on virtual time do and look at. */
import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { ClusterRecord } from "../../master/schema.ts";
import { MasterWorld } from "../../testing/master/world.ts";

/** Clusters whose truth is not what it should be. */
export function unsettled(
  world: MasterWorld,
  ids: readonly number[],
): string[] {
  return ids.flatMap((id) => {
    const record = world.kv.peek(["c", id]).value as ClusterRecord | null;
    const cluster = world.clusters.get(id);
    const size = record?.def?.size ?? 0;
    const running = cluster?.runningVoters().length ?? 0;
    const { voters, observers } = cluster?.membership ??
      { voters: new Map(), observers: new Map() };
    const isListed = world.kv.peek(["att", id]).value !== null;
    const isFine = record?.life === "ok" && running === size &&
      voters.size === size && observers.size === 0 && !isListed;
    return isFine ? [] : [
      `cluster ${id}: ${running} of ${voters.size} run, ${size} wanted; ${
        JSON.stringify(record)
      }`,
    ];
  });
}

/** An operator repeats a command until it is known to be done; its key makes that harmless. */
export async function told<T>(
  world: Pick<MasterWorld, "during">,
  command: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0;; attempt++) {
    try {
      return await world.during(command());
    } catch (error) {
      if (!(error instanceof RaftError) || attempt > 20) throw error;
    }
  }
}

export async function create(
  world: MasterWorld,
  count: number,
  size = 3,
): Promise<number[]> {
  const operator = world.operator();
  const ids = Array.from({ length: count }, (_, i) => i + 1);
  for (const clusterId of ids) {
    const command = {
      type: "createCluster",
      clusterId,
      wish: { app: "kv", size },
    } as const;
    await told(
      world,
      () => operator.command(command, { key: `create-${clusterId}` }),
    );
  }
  return ids;
}

export async function settle(
  world: MasterWorld,
  ids: number[],
  ms = 200_000,
): Promise<void> {
  await world.run(ms, () => unsettled(world, ids).length === 0);
  assert.deepEqual(unsettled(world, ids), []);
  assert.deepEqual(world.problems, []);
}

/** What a store over a bad network does. */
export const storeFaults = {
  lies: 20,
  lost: 20,
  twice: 10,
  late: 10,
  fails: 20,
  failsToRead: 10,
  delayMs: 20,
  lateMs: 5_000,
};

/** What the network does to masters and NodeHosts while harm is done. */
export const badRoads = {
  lostRequests: 30,
  lostReplies: 30,
  repeated: 30,
  delayMs: 800,
};

/** Ten steps of harm, then peace: everything must be as desired. */
export async function chaos(seed: number): Promise<MasterWorld> {
  const world = new MasterWorld({
    seed,
    masterCount: 3,
    regions: ["a", "a", "b", "b", "c", "c"],
    faults: storeFaults,
  });
  const { random, roads } = world;
  Object.assign(roads, badRoads);
  await world.run(10_000);
  const ids = await create(world, 8);
  await world.run(20_000);
  for (let step = 0; step < 10; step++) {
    world.killMaster(random.below(3));
    const down = world.hosts.filter((host) => !host.isUp);
    const host = random.pick(world.hosts);
    if (host.isUp && down.length < 1) host.crash();
    else for (const one of down) if (random.below(2) === 0) one.restart();
    await world.run(random.between(2_000, 25_000));
  }
  for (const host of world.hosts) if (!host.isUp) host.restart();
  Object.assign(roads, {
    lostRequests: 0,
    lostReplies: 0,
    repeated: 0,
    delayMs: 20,
  });
  world.kv.faults = {
    ...world.kv.faults,
    lies: 0,
    lost: 0,
    twice: 0,
    late: 0,
    fails: 0,
    failsToRead: 0,
  };
  await settle(world, ids, 400_000);
  return world;
}

/** No node id was ever used in two clusters, and none that was removed is a member (M8). */
export function assertIdsAreNew(world: MasterWorld): void {
  const all = [...world.clusters.values()].flatMap((one) => [...one.usedIds]);
  assert.equal(new Set(all).size, all.length);
  for (const { membership, removed } of world.clusters.values()) {
    for (const id of membership.voters.keys()) assert.ok(!removed.has(id));
  }
}
