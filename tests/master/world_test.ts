import { assert } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type {
  ClockRecord,
  ClusterRecord,
  HostRecord,
} from "../../master/schema.ts";
import { MasterWorld } from "../../testing/master/world.ts";

/** Clusters whose truth is not what it should be. */
function unsettled(world: MasterWorld, ids: readonly number[]): string[] {
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
async function told<T>(
  world: MasterWorld,
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

async function create(
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

async function settle(
  world: MasterWorld,
  ids: number[],
  ms = 200_000,
): Promise<void> {
  await world.run(ms, () => unsettled(world, ids).length === 0);
  assert.deepEqual(unsettled(world, ids), []);
  assert.deepEqual(world.problems, []);
}

const storeFaults = {
  lies: 20,
  lost: 20,
  twice: 10,
  late: 10,
  fails: 20,
  failsToRead: 10,
  delayMs: 20,
  lateMs: 5_000,
};

/** Ten steps of harm, then peace: everything must be as desired. */
async function chaos(seed: number): Promise<MasterWorld> {
  const world = new MasterWorld({
    seed,
    masterCount: 3,
    regions: ["a", "a", "b", "b", "c", "c"],
    faults: storeFaults,
  });
  const { random, roads } = world;
  Object.assign(roads, {
    lostRequests: 30,
    lostReplies: 30,
    repeated: 30,
    delayMs: 800,
  });
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

for (let seed = 1; seed <= 6; seed++) {
  Deno.test(`Masters over a lying store reach what is desired after ten steps of harm, seed ${seed} (M3, M4)`, async () => {
    const world = await chaos(seed);
    assertIdsAreNew(world);
  });
}

/** No node id was ever used in two clusters, and none that was removed is a member (M8). */
function assertIdsAreNew(world: MasterWorld): void {
  const all = [...world.clusters.values()].flatMap((one) => [...one.usedIds]);
  assert.equal(new Set(all).size, all.length);
  for (const { membership, removed } of world.clusters.values()) {
    for (const id of membership.voters.keys()) assert.ok(!removed.has(id));
  }
}

function calm(seed: number, regions = ["a", "b", "c", "d"]): MasterWorld {
  return new MasterWorld({ seed, masterCount: 2, regions });
}

/** Number of nodes that each NodeHost runs. */
function counts(world: MasterWorld): number[] {
  return world.hosts.map((host) => host.nodes.size);
}

Deno.test("The same seed does the same", async () => {
  const hashes = [];
  for (let i = 0; i < 2; i++) {
    const world = calm(5);
    await world.run(10_000);
    await settle(world, await create(world, 3), 40_000);
    hashes.push(world.hash);
  }
  assert.equal(hashes[0], hashes[1]);
});

Deno.test("A NodeHost that dies for good is replaced within 40 periods, and its return does no harm", async () => {
  const world = calm(1);
  await world.run(10_000);
  const ids = await create(world, 6);
  await settle(world, ids, 40_000);
  const [first] = world.hosts;
  first!.crash();
  const from = world.now();
  await world.run(10_000);
  await settle(world, ids, 70_000);
  assert.ok(world.now() - from <= 80_000);
  assert.ok(
    counts(world).every((count, i) => i === 0 ? count === 0 : count === 6),
  );
  first!.restart();
  await world.run(100_000);
  await settle(world, ids, 300_000);
  // What it still ran was stopped, and it took its share again.
  for (const [clusterId, node] of first!.nodes) {
    assert.ok(
      world.clusters.get(clusterId)!.membership.voters.has(node.nodeId),
    );
  }
});

Deno.test("A drained NodeHost ends up empty, and loses no cluster a vote on the way (M16)", async () => {
  const world = calm(2);
  await world.run(10_000);
  const ids = await create(world, 5);
  await settle(world, ids, 40_000);
  const operator = world.operator();
  const hostId = "host-2";
  await told(world, () => operator.command({ type: "drainHost", hostId }));
  let fewest = 3;
  const look = () => {
    for (const cluster of world.clusters.values()) {
      fewest = Math.min(fewest, cluster.runningVoters().length);
    }
    return world.hosts[1]!.nodes.size === 0;
  };
  await world.run(300_000, look);
  assert.equal(world.hosts[1]!.nodes.size, 0);
  await settle(world, ids, 60_000);
  assert.equal(fewest, 3);
  assert.deepEqual(world.kv.peekAll(["m", hostId]), []);
});

Deno.test("A cluster grows, shrinks and is deleted as an operator says; its id is never used again (M8)", async () => {
  const world = calm(3, ["a", "b", "c", "d", "e"]);
  await world.run(10_000);
  const ids = await create(world, 1);
  await settle(world, ids, 40_000);
  const operator = world.operator();
  for (const size of [5, 3, 1]) {
    const command = {
      type: "changeCluster",
      clusterId: 1,
      wish: { size },
    } as const;
    await told(world, () => operator.command(command));
    await world.run(4_000);
    await settle(world, ids, 100_000);
    assert.equal(world.clusters.get(1)!.membership.voters.size, size);
  }
  await told(
    world,
    () => operator.command({ type: "deleteCluster", clusterId: 1 }),
  );
  await world.run(60_000, () => world.kv.peek(["c", 1]).value === null);
  assert.deepEqual(counts(world), [0, 0, 0, 0, 0]);
  for (const prefix of ["c", "m", "q", "att", "slot"]) {
    assert.deepEqual(world.kv.peekAll([prefix]), [], prefix);
  }
  const again = {
    type: "createCluster",
    clusterId: 1,
    wish: { app: "kv", size: 1 },
  } as const;
  await assert.rejects(
    world.during(operator.command(again)),
    /never used again/,
  );
});

Deno.test("Masters that were out for long kill nobody when they return (M5)", async () => {
  const world = calm(4);
  await world.run(10_000);
  const ids = await create(world, 4);
  await settle(world, ids, 40_000);
  const before = JSON.stringify(
    [...world.clusters].map(([, one]) => one.history),
  );
  world.areMastersOut = true;
  await world.run(600_000);
  world.areMastersOut = false;
  await world.run(60_000);
  await settle(world, ids, 60_000);
  const after = JSON.stringify(
    [...world.clusters].map(([, one]) => one.history),
  );
  assert.equal(after, before);
});

Deno.test("Mass silence is not mass death: the brake holds until they return, or an operator releases it (M5)", async () => {
  const world = calm(6, ["a", "a", "b", "b", "c"]);
  await world.run(10_000);
  const ids = await create(world, 4);
  await settle(world, ids, 40_000);
  const [one, two] = world.hosts;
  for (const host of [one!, two!]) host.crash();
  await world.run(120_000);
  const clock = () => world.kv.peek(["clock"]).value as ClockRecord;
  assert.match(clock().brake!.why, /region "a"/);
  assert.deepEqual(world.kv.peekAll(["slot"]), []);
  for (const cluster of world.clusters.values()) {
    assert.equal(cluster.history.length, 1);
  }
  one!.restart();
  two!.restart();
  await world.run(30_000);
  assert.equal(clock().brake, undefined);
  await settle(world, ids, 60_000);
  for (const host of [one!, two!]) host.crash();
  await world.run(60_000);
  const operator = world.operator();
  await told(world, () => operator.command({ type: "releaseBrake" }));
  await settle(world, ids, 200_000);
});

Deno.test("A new disk is another NodeHost: the old one is gone, and its nodes are replaced (M17)", async () => {
  const world = calm(7);
  await world.run(10_000);
  const ids = await create(world, 4);
  await settle(world, ids, 40_000);
  world.replaceDisk(world.hosts[0]!);
  await world.run(10_000);
  await settle(world, ids, 200_000);
  const { value } = world.kv.peek(["h", "host-1"]);
  assert.equal((value as HostRecord).state, "gone");
});

Deno.test("Balancing comes to an end (M14)", async () => {
  const world = calm(8, ["a", "a", "a"]);
  await world.run(10_000);
  const ids = await create(world, 8, 1);
  await settle(world, ids, 40_000);
  world.addHost("a");
  await world.run(400_000);
  await settle(world, ids, 60_000);
  assert.ok(Math.max(...counts(world)) - Math.min(...counts(world)) <= 1);
  const changes = () =>
    [...world.clusters.values()].map((one) => one.history.length).join();
  const leaders = () =>
    [...world.clusters.values()].map((one) => one.leader).join();
  const before = [changes(), leaders()];
  await world.run(2_000_000); // A thousand rounds.
  assert.deepEqual([changes(), leaders()], before);
});
