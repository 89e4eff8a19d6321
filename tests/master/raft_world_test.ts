/** Real NodeHosts, with Raft and logs, and several masters in one process on virtual time (issue: simulation). */
import { assert } from "../deps.ts";
import type { Command } from "../../master/operator.ts";
import { CommandError } from "../../master/operator.ts";
import type { HostRecord } from "../../master/schema.ts";
import { RaftWorld } from "../../testing/master/raft_world.ts";
import { badRoads, storeFaults, told } from "./world_checks.ts";

const peace = { lostRequests: 0, lostReplies: 0, repeated: 0, delayMs: 5 };

async function create(
  world: RaftWorld,
  count: number,
  size = 3,
): Promise<number[]> {
  const operator = world.operator();
  const ids = Array.from({ length: count }, (_, i) => i + 1);
  for (const clusterId of ids) {
    const wish = { app: "ledger", size, config: { heartbeatTicks: 2 } };
    await told(
      world,
      () =>
        operator.command({ type: "createCluster", clusterId, wish }, {
          key: `create ${clusterId}`,
        }),
    );
  }
  return ids;
}

async function settle(
  world: RaftWorld,
  ids: readonly number[],
  ms: number,
): Promise<void> {
  // Asking all NodeHosts what they are costs more than an event.
  for (let i = 0; i * 500 < ms; i++) {
    await world.run(500, () => world.problems.length > 0);
    if (world.unsettled(ids).length === 0) break;
  }
  assert.deepEqual(world.problems, []);
  assert.deepEqual(world.unsettled(ids), []);
}

/** One thing that goes wrong, or is ordered. */
async function harm(world: RaftWorld, ids: readonly number[]): Promise<void> {
  const { random, machines } = world;
  const index = random.below(machines.length);
  const machine = machines[index]!;
  const areAllUp = machines.every((one) => one.isUp);
  switch (random.below(7)) {
    case 0:
    case 1:
      if (!areAllUp) return;
      world.stopped.add(machine);
      return machine.stop(random.chance(0.5) ? "kill" : "powerLoss");
    case 2:
      if (areAllUp && world.canLoseMachine(index)) world.replaceDisk(index);
      return;
    case 3:
      world.setIsolated(index, true);
      await world.run(random.between(500, 5_000));
      return world.setIsolated(index, false);
    case 4:
      machine.isCutFromMasters = true;
      await world.run(random.between(500, 8_000));
      machine.isCutFromMasters = false;
      return;
    case 5:
      machine.disk.syncsUntilFailure = random.below(20);
      return;
    default:
      return await order(world, anyOrder(world, ids));
  }
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

async function order(world: RaftWorld, command: Command): Promise<void> {
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

/** Harm, then peace: what is ordered is what is, and nothing was lost. */
async function chaos(seed: number, steps: number): Promise<RaftWorld> {
  const world = new RaftWorld({
    seed,
    masterCount: 3,
    regions: ["a", "a", "b", "b", "c"],
    faults: { ...storeFaults, delayMs: 5, lateMs: 1_500 },
  });
  Object.assign(world.roads, badRoads, { delayMs: 200 });
  world.start();
  await world.run(3_000);
  const ids = await create(world, 4);
  const doomed = 4;
  await world.run(8_000);
  for (let step = 0; step < steps; step++) {
    if (step === steps >> 1) {
      await order(world, { type: "deleteCluster", clusterId: doomed });
    }
    world.killMaster(world.random.below(3));
    await harm(world, ids);
    await world.run(world.random.between(500, 6_000));
    if (world.random.chance(0.6)) {
      for (const machine of world.stopped) machine.start();
      world.stopped.clear();
    }
  }
  world.stopped.clear();
  for (const machine of world.machines) machine.start();
  Object.assign(world.roads, peace);
  world.kv.faults = {
    ...world.kv.faults,
    lies: 0,
    lost: 0,
    twice: 0,
    late: 0,
    fails: 0,
    failsToRead: 0,
  };
  await world.run(3_000);
  for (const { key, value } of world.kv.peekAll(["h"])) {
    if ((value as HostRecord).state !== "ok") continue;
    await order(world, { type: "uncordonHost", hostId: String(key[1]) });
  }
  await order(world, { type: "releaseBrake" });
  const left = ids.filter((id) => id !== doomed);
  await settle(world, left, 120_000);
  world.stopWriting();
  // Nothing is moved for balance while it is compared.
  for (let attempt = 0; attempt < 5; attempt++) {
    await order(world, { type: "pause" });
    await world.run(3_000);
    if (world.unsettled(left).length === 0) break;
    await order(world, { type: "resume" });
    await settle(world, left, 60_000);
  }
  assert.deepEqual(await world.verify(left), []);
  assert.equal(world.kv.peek(["c", doomed]).value, null);
  return world;
}

for (let seed = 1; seed <= 3; seed++) {
  Deno.test(`Masters and real NodeHosts on virtual time: after everything that can fail, desired is actual, no id is used twice, no majority was given away, nothing written is lost, seed ${seed}`, async () => {
    const world = await chaos(seed, 12);
    assert.ok(world.changeCount > 0);
    let written = 0;
    for (const values of world.written.values()) written += values.size;
    assert.ok(written > 100, `only ${written} values were written`);
  });
}

Deno.test("The same seed of masters and real NodeHosts does the same", async () => {
  const hashes: string[] = [];
  for (let run = 0; run < 2; run++) {
    hashes.push((await chaos(11, 3)).hash);
  }
  assert.equal(hashes[0], hashes[1]);
});
