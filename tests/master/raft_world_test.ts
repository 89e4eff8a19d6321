/** Real NodeHosts, with Raft and logs, and several masters in one process on virtual time (issue: simulation). */
import { assert } from "../deps.ts";
import type { EventRecord } from "../../master/schema.ts";
import { RaftWorld } from "../../testing/master/raft_world.ts";
import { chaos } from "./sim/chaos.ts";
import { create, type Fleet, recordOf, until } from "./sim/fleet.ts";

for (let seed = 1; seed <= 6; seed++) {
  Deno.test(`Masters and real NodeHosts on virtual time: after everything that can fail, desired is actual, no id is used twice, no majority was given away, nothing written is lost, seed ${seed}`, async () => {
    const { problems, changes, written } = await chaos({ seed, steps: 12 });
    assert.deepEqual(problems, []);
    assert.ok(changes > 0);
    assert.ok(written > 100, `only ${written} values were written`);
  });
}

Deno.test("The same seed of masters and real NodeHosts does the same", async () => {
  const first = await chaos({ seed: 11, steps: 3 });
  assert.deepEqual(await chaos({ seed: 11, steps: 3 }), first);
});

/** A calm world of seven machines. */
function calmFleet(seed: number): Fleet {
  const world = new RaftWorld({
    seed,
    masterCount: 2,
    regions: ["a", "a", "b", "b", "c", "c", "c"],
  });
  world.start();
  return { world, alive: new Set(), deleted: new Set(), nextId: 1 };
}

/** What masters did about a cluster because its leader never met a member. */
function unmetSteps(world: RaftWorld): string[] {
  return world.kv.peekAll(["ev"]).map(({ value }) => value as EventRecord)
    .filter(({ why }) => why.includes("never met it"))
    .map(({ what }) => what);
}

/** Demands five voters that run, none of which is `node`; `unmet` is what masters did because its leader never met it. */
async function assertReplaced(
  world: RaftWorld,
  { clusterId, node, unmet }: {
    clusterId: number;
    node: number;
    unmet: string[];
  },
): Promise<void> {
  const isWell = () => {
    const record = recordOf(world, clusterId)!;
    const ids = Object.keys(record.members).map(Number);
    const run = ids.filter((id) =>
      world.machineOf(clusterId, id)?.runs(clusterId, id) === true
    );
    return record.life === "ok" && record.plan === undefined &&
      ids.length === 5 && run.length === 5 && !ids.includes(node);
  };
  assert.ok(
    await until(world, 60_000, isWell),
    JSON.stringify(recordOf(world, clusterId)),
  );
  assert.deepEqual(world.problems, []);
  assert.deepEqual(unmetSteps(world), unmet);
  world.stopWriting();
  await world.run(3_000);
  const troubles = await world.verify([clusterId]);
  // The machine that is lost stays away.
  const { address } = world.machines.find(({ isLost }) => isLost)!;
  assert.deepEqual(troubles.filter((one) => !one.startsWith(address)), []);
  assert.ok(world.written.get(clusterId)!.size > 10);
}

Deno.test("A member that never reported is replaced: of a real cluster, by masters, with logs and Raft (M1, rule I6)", async () => {
  const fleet = calmFleet(3);
  const { world } = fleet;
  await world.run(3_000);
  const clusterId = await create(fleet, 5);
  const membersOf = () => recordOf(world, clusterId)?.members ?? {};
  await until(world, 20_000, () => Object.keys(membersOf()).length > 0);
  const [node, member] = Object.entries(membersOf()).find(([id]) =>
    world.machineOf(clusterId, Number(id)) === undefined
  )!;
  const machine = world.machines.find((one) => one.address === member.address)!;
  machine.stop("powerLoss");
  machine.isLost = true;
  await assertReplaced(world, {
    clusterId,
    node: Number(node),
    unmet: ["remove"],
  });
  assert.equal(world.machineOf(clusterId, Number(node)), undefined);
});

Deno.test("A member that no leader met since all others began anew is replaced (M1, rule I6)", async () => {
  const fleet = calmFleet(4);
  const { world } = fleet;
  await world.run(3_000);
  const clusterId = await create(fleet, 5);
  await until(
    world,
    30_000,
    () => (world.written.get(clusterId)?.size ?? 0) > 10,
  );
  const { nodeId } = world.membershipOf(clusterId)!.members[0]!;
  const lost = world.machineOf(clusterId, nodeId)!;
  for (const machine of world.machines) machine.stop("kill");
  lost.isLost = true;
  for (const machine of world.machines) machine.start();
  // What all members speak was written down when they had told it, so nobody has to go first.
  await assertReplaced(world, { clusterId, node: nodeId, unmet: [] });
});
