/**
 * The plan of a long run: hours in which a small deployment is harmed and heals again and again, rather than one hostile
 * minute (`plan.ts`). Three NodeHosts with slow ticks and few faults in between, as a real deployment has them, reach what
 * only comes with time: thousands of restarts, snapshots and segments on one and the same disk.
 */
import { drawFaults, drawMachines, drawRebuilding } from "./plan.ts";
import type {
  ClusterPlan,
  FaultPlan,
  PlanOptions,
  SimPlan,
  WorkloadPlan,
} from "./plan.ts";
import { SimRandom } from "./random.ts";

const secondUs = 1_000_000;
const machineCount = 3;
/** Harm goes on for so long before everything is healed and compared. */
const phaseSeconds = 600; // Unless a caller says otherwise.
/** Operations that must complete in a simulated second, on average over the whole run. */
export const longRunRate = 20;

/** Draws the plan of a long run of at least `seconds`. */
export function longPlanOf(
  seed: number,
  seconds: number,
  options: PlanOptions = {},
): SimPlan {
  const random = new SimRandom(seed, "long plan");
  const perPhase = options.harmSeconds ?? phaseSeconds;
  const phaseCount = Math.max(1, Math.round(seconds / perPhase));
  const harmUs = Math.ceil(seconds / phaseCount) * secondUs;
  const [faults, ...laterFaults] = drawPhases(random, phaseCount, {
    ...options,
    folders: new SimRandom(seed, "folders of a long run"),
    addresses: new SimRandom(seed, "addresses of a long run"),
  });
  return {
    seed,
    machineCount,
    clusters: drawClusters(random, seed),
    tickMs: 100,
    segmentBytes: 1024 * 1024,
    ...drawMachines(random, machineCount),
    longStalls: new SimRandom(seed, "long stalls").chance(0.3),
    olderUntilUs: Array.from({ length: machineCount }, () => 0),
    snapshotBytesPerSecond: undefined,
    workload: {
      ...drawWorkload(random),
      removedDataShare: new SimRandom(seed, "removed data").pick([0, 0.5, 1]),
    },
    faults: faults!,
    laterFaults,
    rebuilds: drawRebuilding(seed, options),
    harmUs,
    operationCount: Math.ceil(harmUs / secondUs * longRunRate / 2),
    operationsPerSecond: longRunRate,
  };
}

function drawClusters(random: SimRandom, seed: number): ClusterPlan[] {
  const files = new SimRandom(seed, "files in snapshots of a long run");
  return Array.from({ length: random.pick([1, 1, 1, 2]) }, (_, i) => ({
    clusterId: i + 1,
    machines: random.shuffle(
      Array.from({ length: machineCount }, (_, machine) => machine),
    ),
    electionTimeoutTicks: random.pick([10, 10, 15]),
    heartbeatTicks: random.pick([2, 3, 4]),
    // Never without: the log of hours must be compacted.
    snapshotEntries: random.pick([1_000, 4_000]),
    compactionOverhead: random.pick([0, 100, 1_000]),
    quiesce: random.chance(0.3),
    maxSessions: random.pick([3, 4_096]),
    maxInMemLogBytes: 64 * 1024 * 1024,
    leaseReads: random.chance(0.5),
    machineKind: random.pick(
      ["regular", "regular", "concurrent", "onDisk"] as const,
    ),
    snapshotFiles: files.chance(0.5),
    snapshotCompression: random.chance(0.3),
    entryCompression: random.chance(0.3),
  }));
}

/** Requests come in bursts, many at a time, so that a commit is shared as it is under load. */
function drawWorkload(
  random: SimRandom,
): Omit<WorkloadPlan, "removedDataShare"> {
  const clientCount = random.pick([16, 32]);
  return {
    clientCount,
    thinkUs: 0,
    // A little more than what is asked for; see `workload.ts` about what is made up for.
    pulseUs: Math.floor(clientCount * secondUs / (longRunRate * 1.1)),
    readShare: random.pick([0.3, 0.5]),
    commandBytes: random.pick([16, 32, 128]),
    bigCommandBytes: random.pick([256, 1_024, 4_096]),
    keyCount: random.pick([100, 250]),
    lullUs: 0,
    sessionClientCount: random.pick([0, 2, 4]),
    routedShare: 0,
  };
}

/** Every phase has a swarm of its own. */
function drawPhases(
  random: SimRandom,
  count: number,
  { faults: only, folders, addresses }: PlanOptions & {
    readonly folders: SimRandom;
    readonly addresses: SimRandom;
  },
): FaultPlan[] {
  // What rot takes for ever would be missed in all phases to come; and see `atlas.ts` about members.
  const mayRot = random.chance(0.5);
  return Array.from({ length: count }, (_, phase) => {
    const drawn = drawFaults(
      { random, rot: random, folders, addresses },
      only,
    );
    const isLast = phase === count - 1;
    const kinds = drawn.kinds.filter((name) =>
      only !== undefined ||
      (name === "bitRot" ? mayRot && isLast : true) &&
        (name === "changeMember" ? !mayRot : true) &&
        (name === "wipedFolder" ? mayRot : true)
    );
    return {
      kinds: kinds.length > 0 ? kinds : ["powerLoss"],
      gapUs: random.pick([20, 40, 60]) * secondUs,
      durationUs: random.pick([500_000, 2_000_000, 6_000_000]),
      downUs: random.pick([50_000, 500_000, 3_000_000]),
      afterElection: random.pick([0, 0.1, 0.2]),
    };
  });
}
