/** The masters' store is lost in mid-life, and comes back as a copy that is older than what happened since (M11). */
import { RaftError } from "../../../raft/errors.ts";
import type { MetaRecord } from "../../../master/schema.ts";
import type { RaftWorld } from "../../../testing/master/raft_world.ts";
import { type Fleet, order, recordOf, until, wish } from "./fleet.ts";
import { orders } from "./orders.ts";

const attemptsMax = 60;

/** Exports, goes on for a while, loses the store, imports what was exported, and makes good what the copy lacks. */
export async function loseStore(fleet: Fleet): Promise<boolean> {
  const { world } = fleet;
  const { random } = world;
  const lines = await exported(world);
  await world.run(random.below(4_000));
  if (random.chance(0.5)) {
    // What the copy does not know.
    const since = random.pick(["created", "deleted", "sizeChanged"] as const);
    await orders[since](fleet);
    await world.run(random.below(8_000));
  }
  world.loseStore();
  await world.run(random.below(3_000));
  await importInto(world, lines);
  if (random.chance(0.5)) {
    await until(world, 20_000, () => !isBraked(world));
  } else await world.run(random.below(5_000));
  await order(world, { type: "releaseBrake" });
  await makeGood(fleet);
  return true;
}

function isBraked(world: RaftWorld): boolean {
  const clock = world.kv.peek(["clock"]).value as { brake?: unknown } | null;
  return clock?.brake !== undefined;
}

async function exported(world: RaftWorld): Promise<string[]> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const operator = world.operator();
    const read = async () => {
      const lines: string[] = [];
      for await (const line of operator.exportLines()) lines.push(line);
      return lines;
    };
    try {
      return await world.during(read());
    } catch (error) {
      if (!(error instanceof RaftError)) throw error;
    }
  }
  throw new Error("Cannot export the store: it fails always");
}

async function importInto(world: RaftWorld, lines: string[]): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const meta = world.kv.peek(["meta"]).value as MetaRecord | null;
    // Its last commit happened, and nobody said so.
    if (meta !== null && meta.minWriter !== Number.MAX_SAFE_INTEGER) return;
    const operator = world.operator();
    try {
      await world.during(operator.importLines(lines));
      return;
    } catch (error) {
      if (!(error instanceof RaftError)) throw error;
    }
  }
  throw new Error("Cannot import the store: it fails always");
}

/**
 * What happened since the copy is told by NodeHosts, or by the operator: who was made is adopted, or made once more
 * under its own id if it never ran; who was deleted is deleted again.
 */
export async function makeGood(fleet: Fleet): Promise<void> {
  const { world, alive, deleted } = fleet;
  for (const clusterId of [...alive]) {
    const record = recordOf(world, clusterId);
    if (record === undefined && world.membershipOf(clusterId) === undefined) {
      await order(world, { type: "createCluster", clusterId, wish });
    }
    if (record?.life === "unmanaged") {
      const { config } = wish;
      const command = { clusterId, wish: { app: wish.app, config } };
      await order(world, { type: "adoptCluster", ...command });
    }
  }
  for (const clusterId of [...deleted]) {
    const life = recordOf(world, clusterId)?.life;
    if (life === undefined || life === "deleting") continue;
    if (life === "unmanaged") {
      const command = { clusterId, wish: { app: wish.app } };
      await order(world, { type: "adoptCluster", ...command });
    }
    await order(world, { type: "deleteCluster", clusterId });
  }
}
