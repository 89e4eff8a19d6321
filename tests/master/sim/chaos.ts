/**
 * A seed of masters and real NodeHosts on virtual time: harm, then peace. In the end what is desired is what runs, and
 * nothing that was written is lost.
 */
import type { HostRecord } from "../../../master/schema.ts";
import { noFaults } from "../../../testing/master/memory_kv.ts";
import { RaftWorld } from "../../../testing/master/raft_world.ts";
import { badRoads, storeFaults, told } from "../world_checks.ts";
import { harm, harmNames, order } from "./harm.ts";

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
/** It is deleted halfway. */
const doomed = 4;

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
  Object.assign(world.roads, badRoads, { delayMs: 200 });
  world.start();
  await world.run(3_000);
  const ids = await create(world);
  await world.run(8_000);
  for (let step = 0; step < steps; step++) {
    if (step === steps >> 1) {
      await order(world, { type: "deleteCluster", clusterId: doomed });
    }
    world.killMaster(world.random.below(3));
    const name = await harm(world, ids);
    if (name !== undefined) harms.set(name, harms.get(name)! + 1);
    await world.run(world.random.between(500, 6_000));
    if (world.random.chance(0.6)) startAll(world);
  }
  await makePeace(world);
  const left = ids.filter((id) => id !== doomed);
  const troubles = await settle(world, left);
  if (troubles.length > 0) return troubles;
  const isKnown = world.kv.peek(["c", doomed]).value !== null;
  return [
    ...await world.verify(left),
    ...(isKnown ? [`cluster ${doomed} is still known`] : []),
  ];
}

async function create(world: RaftWorld): Promise<number[]> {
  const operator = world.operator();
  const ids = Array.from({ length: clusterCount }, (_, i) => i + 1);
  for (const clusterId of ids) {
    const wish = { app: "ledger", size: 3, config: { heartbeatTicks: 2 } };
    const key = `create ${clusterId}`;
    await told(
      world,
      () =>
        operator.command({ type: "createCluster", clusterId, wish }, { key }),
    );
  }
  return ids;
}

function startAll(world: RaftWorld): void {
  world.stopped.clear();
  for (const machine of world.machines) machine.start();
}

/** Nothing goes wrong any more. */
async function makePeace(world: RaftWorld): Promise<void> {
  startAll(world);
  Object.assign(world.roads, peace);
  const { delayMs, lateMs } = world.kv.faults;
  world.kv.faults = { ...noFaults, delayMs, lateMs };
  for (const { disk } of world.machines) disk.disarm();
  await world.run(3_000);
  for (const { key, value } of world.kv.peekAll(["h"])) {
    if ((value as HostRecord).state !== "ok") continue;
    await order(world, { type: "uncordonHost", hostId: String(key[1]) });
  }
  await order(world, { type: "releaseBrake" });
}

/** Waits until all is as desired, and then until nothing is moved for balance any more. Returns what is not so. */
async function settle(
  world: RaftWorld,
  ids: readonly number[],
): Promise<string[]> {
  let troubles = await waitFor(world, ids, 120_000);
  world.stopWriting();
  for (let attempt = 0; attempt < 5 && troubles.length === 0; attempt++) {
    await order(world, { type: "pause" });
    await world.run(3_000);
    if (world.unsettled(ids).length === 0) break;
    await order(world, { type: "resume" });
    troubles = await waitFor(world, ids, 60_000);
  }
  return troubles;
}

async function waitFor(
  world: RaftWorld,
  ids: readonly number[],
  ms: number,
): Promise<string[]> {
  // Asking all NodeHosts what they are costs more than an event.
  for (let i = 0; i * 500 < ms; i++) {
    await world.run(500, () => world.problems.length > 0);
    if (world.problems.length > 0) return world.problems;
    if (world.unsettled(ids).length === 0) return [];
  }
  return world.unsettled(ids);
}
