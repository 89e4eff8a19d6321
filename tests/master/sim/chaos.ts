/**
 * A seed of masters and real NodeHosts on virtual time: harm, then peace. In the end what is desired is what runs, and
 * nothing that was written is lost.
 */
import { noFaults } from "../../../testing/master/memory_kv.ts";
import { RaftWorld } from "../../../testing/master/raft_world.ts";
import { badRoads, storeFaults } from "../world_checks.ts";
import { disorder } from "./end_checks.ts";
import { create, type Fleet, order, startAll } from "./fleet.ts";
import { harm, harmNames } from "./harm.ts";
import { makeGood } from "./lost_store.ts";
import { removeStuck } from "./orders.ts";

/** What a seed is. */
export interface ChaosOptions {
  /** Everything follows from it. */
  readonly seed: number;
  /** How many things go wrong. */
  readonly steps: number;
}

/** What came of a seed. */
export interface ChaosReport {
  readonly seed: number;
  /** What was not as it must be; nothing: all is well. */
  readonly problems: readonly string[];
  /** How often everything went wrong that can, by name, with those that never did. */
  readonly faults: Readonly<Record<string, number>>;
  /** Membership changes. */
  readonly changes: number;
  /** Values that clients were told are written. */
  readonly written: number;
  readonly simulatedSeconds: number;
  /** The same for the same seed. */
  readonly hash: string;
}

const peace = { lostRequests: 0, lostReplies: 0, repeated: 0, delayMs: 5 };
const clusterCount = 4;

/** Plays a seed. What goes wrong is in the report, and never thrown. */
export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed } = options;
  const world = new RaftWorld({
    seed,
    masterCount: 3,
    regions: ["a", "a", "b", "b", "c"],
    faults: { ...storeFaults, delayMs: 5, lateMs: 1_500 },
  });
  const harms = new Map<string, number>(harmNames.map((name) => [name, 0]));
  let problems: string[];
  try {
    problems = await play(world, options.steps, harms);
  } catch (error) {
    problems = [
      ...world.problems,
      error instanceof Error ? error.stack! : `${error}`,
    ];
  }
  const { happened } = world.kv;
  const store = Object.entries(happened).map(([name, count]) =>
    [`store ${name}`, count] as const
  );
  const sizes = [...world.written.values()].map(({ size }) => size);
  return {
    seed,
    problems,
    faults: {
      ...Object.fromEntries(harms),
      ...Object.fromEntries(store),
      messageLost: world.messages.lost,
      messageRepeated: world.messages.repeated,
    },
    changes: world.changeCount,
    written: sizes.reduce((sum, size) => sum + size, 0),
    simulatedSeconds: world.now() / 1_000,
    hash: world.hash,
  };
}

async function play(
  world: RaftWorld,
  steps: number,
  harms: Map<string, number>,
): Promise<string[]> {
  const fleet: Fleet = {
    world,
    alive: new Set(),
    deleted: new Set(),
    nextId: 1,
  };
  Object.assign(world.roads, badRoads, { delayMs: 200 });
  world.start();
  await world.run(3_000);
  for (let i = 0; i < clusterCount; i++) await create(fleet);
  await world.run(8_000);
  for (let step = 0; step < steps && world.problems.length === 0; step++) {
    world.killMaster(world.random.below(3));
    const name = await harm(fleet);
    if (name !== undefined) harms.set(name, harms.get(name)! + 1);
    await world.run(world.random.between(500, 6_000));
    if (world.random.chance(0.6)) startAll(world);
  }
  const stuck = await makePeace(fleet);
  harms.set("launchStuck", harms.get("launchStuck")! + stuck);
  const troubles = await settle(fleet);
  if (troubles.length > 0) return troubles;
  return [...await world.verify([...fleet.alive]), ...disorder(fleet)];
}

/** Nothing goes wrong any more. Returns how many clusters could never begin. */
async function makePeace(fleet: Fleet): Promise<number> {
  const { world } = fleet;
  startAll(world);
  Object.assign(world.roads, peace);
  const { delayMs, lateMs } = world.kv.faults;
  world.kv.faults = { ...noFaults, delayMs, lateMs };
  for (const { disk } of world.machines) disk.disarm();
  await world.run(3_000);
  for (const { key } of world.kv.peekAll(["h"])) {
    await order(world, { type: "uncordonHost", hostId: String(key[1]) });
  }
  await order(world, { type: "releaseBrake" });
  await makeGood(fleet);
  return await removeStuck(fleet);
}

/** Waits until all is as desired, and then until nothing is moved for balance any more. Returns what is not so. */
async function settle(fleet: Fleet): Promise<string[]> {
  const { world } = fleet;
  let troubles = await waitFor(fleet, 240_000);
  world.stopWriting();
  for (let attempt = 0; attempt < 5 && troubles.length === 0; attempt++) {
    await order(world, { type: "pause" });
    await world.run(3_000);
    if (disorder(fleet).length === 0) break;
    await order(world, { type: "resume" });
    troubles = await waitFor(fleet, 120_000);
  }
  return troubles;
}

async function waitFor(fleet: Fleet, ms: number): Promise<string[]> {
  const { world } = fleet;
  // Asking all NodeHosts what they are costs more than an event.
  for (let i = 0; i * 500 < ms; i++) {
    await world.run(500, () => world.problems.length > 0);
    if (world.problems.length > 0) return world.problems;
    if (disorder(fleet).length === 0) return [];
  }
  return disorder(fleet);
}
