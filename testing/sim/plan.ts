/** What one seed means: sizes, timings, workload and which faults happen, all drawn before the first event. */
import type { ClockTraits } from "./clock.ts";
import type { DiskTraits } from "./disk.ts";
import { faultNames, folderFaultNames } from "./fault_names.ts";
import type { FaultName } from "./fault_names.ts";
import type { NetworkTraits } from "./network.ts";
import { SimRandom } from "./random.ts";

/** One cluster of a world. */
export interface ClusterPlan {
  readonly clusterId: number;
  /** Initial members: node id i + 1 lives on machine `machines[i]`. */
  readonly machines: readonly number[];
  readonly electionTimeoutTicks: number;
  readonly heartbeatTicks: number;
  readonly snapshotEntries: number;
  readonly compactionOverhead: number;
  /** Whether it may fall quiet. */
  readonly quiesce: boolean;
  readonly maxSessions: number;
  readonly maxInMemLogBytes: number;
  /** Whether its leader answers reads by its lease. */
  readonly leaseReads: boolean;
  /** Of which kind its state machines are. */
  readonly machineKind: "regular" | "concurrent" | "onDisk";
  /** Whether its snapshots have files of their own; those of regular state machines never have. */
  readonly snapshotFiles: boolean;
  readonly snapshotCompression: boolean;
  readonly entryCompression: boolean;
}

/** What clients do. */
export interface WorkloadPlan {
  readonly clientCount: number;
  /** Longest pause between two operations of a client. */
  readonly thinkUs: number;
  /**
   * If it is not 0, clients ask in bursts: all that have nothing under way begin an operation at the same time, each burst
   * at one machine, and so long apart on average.
   */
  readonly pulseUs: number;
  /** Share of reads. */
  readonly readShare: number;
  /** Most commands are at most this long. */
  readonly commandBytes: number;
  /** One in twenty is up to this long. */
  readonly bigCommandBytes: number;
  readonly keyCount: number;
  /** Now and then all clients do nothing for at most so long, so that clusters fall quiet; 0 for never. */
  readonly lullUs: number;
  /** So many clients propose in sessions. */
  readonly sessionClientCount: number;
  /** Share of requests made at a machine that has no node of their cluster (rule C7). */
  readonly routedShare: number;
  /** Of the nodes that are removed from their cluster, the share whose data is removed as well. */
  readonly removedDataShare: number;
}

/** Which faults happen, and how often. */
export interface FaultPlan {
  readonly kinds: readonly FaultName[];
  /** Longest pause between two faults. */
  readonly gapUs: number;
  /** Longest duration of a fault that lasts. */
  readonly durationUs: number;
  /** Longest time that a machine stays down. */
  readonly downUs: number;
  /** How often an election is answered by a fault at once; a vote by a power cut a twentieth as often. */
  readonly afterElection: number;
}

/** A world, before it is made. */
export interface SimPlan {
  readonly seed: number;
  readonly machineCount: number;
  readonly clusters: readonly ClusterPlan[];
  readonly tickMs: number;
  readonly segmentBytes: number;
  readonly network: NetworkTraits;
  readonly disk: DiskTraits;
  readonly clocks: readonly ClockTraits[];
  readonly shortWrites: number;
  /** Whether slow disks now and then stall for longer than any cluster's elections take. */
  readonly longStalls: boolean;
  /**
   * Until when each machine runs an older release, which speaks the wire version before: simulated microseconds, 0 for
   * never. A process that ends before is followed by one of the newest release (rule I6).
   */
  readonly olderUntilUs: readonly number[];
  /** Limit for snapshots that are sent, and for those received; undefined for none. */
  readonly snapshotBytesPerSecond: number | undefined;
  readonly workload: WorkloadPlan;
  readonly faults: FaultPlan;
  /** The faults of further phases: after each phase everything heals, and is compared. */
  readonly laterFaults: readonly FaultPlan[];
  /** Whether one cluster loses its quorum for good when all phases are over, and is rebuilt from an exported snapshot. */
  readonly rebuilds: boolean;
  /** Simulated microseconds of harm in each phase, at least: time in which faults are being injected, rests left out. */
  readonly harmUs: number;
  /** Completed operations in each phase, at least. */
  readonly operationCount: number;
  /** Completed operations in each simulated second of the whole run, on average, at least. */
  readonly operationsPerSecond: number;
}

/** What a caller may fix instead of leaving it to the seed. */
export interface PlanOptions {
  /** Simulated seconds of harm, 60 by default (F1); in each phase of a long run, 600 by default. */
  readonly harmSeconds?: number;
  /** Operations that must complete, 500 by default (F1). */
  readonly operationCount?: number;
  /** Only these kinds of fault; all that the seed enables by default. */
  readonly faults?: readonly FaultName[];
  /**
   * A long run of at least so many simulated seconds, instead of one hostile minute: three NodeHosts with ticks of 100 ms,
   * phases of harm and healing one after the other, and at least 20 operations in each simulated second on average.
   */
  readonly longSeconds?: number;
  /** Whether a cluster loses its quorum in the end and is rebuilt from an exported snapshot; the seed says by default. */
  readonly rebuilds?: boolean;
}

/** Draws the plan of a seed. */
export function planOf(seed: number, options: PlanOptions = {}): SimPlan {
  const random = new SimRandom(seed, "plan");
  const sessions = new SimRandom(seed, "plan of sessions");
  const machineCount = random.pick([3, 3, 4, 5, 5]);
  const tickMs = random.pick([10, 20, 20, 50]);
  const clusters = drawClusters(random, machineCount, seed, sessions);
  const mayBeQuiet = clusters.some((cluster) => cluster.quiesce);
  return {
    seed,
    machineCount,
    clusters,
    tickMs,
    segmentBytes: 1024 * 1024,
    ...drawMachines(random, machineCount),
    longStalls: new SimRandom(seed, "long stalls").chance(0.3),
    olderUntilUs: drawOlder(new SimRandom(seed, "upgrades"), machineCount),
    snapshotBytesPerSecond: new SimRandom(seed, "bandwidth").chance(0.3)
      ? 256 * 1024
      : undefined,
    workload: {
      ...drawWorkload(random, mayBeQuiet, sessions),
      routedShare: new SimRandom(seed, "routing").pick([0, 0, 0.2]),
      removedDataShare: new SimRandom(seed, "removed data").pick([0, 0.5, 1]),
    },
    faults: drawFaults({
      random,
      rot: new SimRandom(seed, "rot"),
      folders: new SimRandom(seed, "folders"),
      addresses: new SimRandom(seed, "addresses"),
    }, options.faults),
    laterFaults: [],
    rebuilds: drawRebuilding(seed, options),
    harmUs: (options.harmSeconds ?? 60) * 1_000_000,
    operationCount: options.operationCount ?? 500,
    operationsPerSecond: 0,
  };
}

/** In one of six worlds a cluster is rebuilt. */
export function drawRebuilding(
  seed: number,
  { rebuilds }: PlanOptions,
): boolean {
  return rebuilds ?? new SimRandom(seed, "quorums").chance(1 / 6);
}

/** What the machines and the network between them are like. */
export function drawMachines(
  random: SimRandom,
  machineCount: number,
): Pick<SimPlan, "network" | "disk" | "clocks" | "shortWrites"> {
  return {
    network: {
      latencyUs: random.pick(
        [[50, 200, 2_000], [200, 1_000, 10_000], [20, 100, 500]] as const,
      ),
      roundUs: random.pick([1, 20, 200]),
      bytesPerUs: random.pick([10, 100, 1_000]),
    },
    disk: {
      syncUs: random.pick(
        [[100, 300, 3_000], [200, 2_000, 20_000], [20, 100, 10_000]] as const,
      ),
    },
    clocks: Array.from({ length: machineCount }, () => ({
      driftPpm: random.pick([0, 0, -200, 200, 20_000, -20_000]),
      timerSlackUs: random.pick([0, 100, 2_000]),
      turnUs: random.pick([0, 20, 300]),
    })),
    shortWrites: random.pick([0, 0, 0.05]),
  };
}

/** In a third of the worlds some machines, or all, are of an older release, and are upgraded one by one. */
function drawOlder(random: SimRandom, machineCount: number): number[] {
  const isMixed = random.chance(0.3);
  const share = random.pick([0.4, 1]);
  return Array.from(
    { length: machineCount },
    () =>
      isMixed && random.chance(share)
        ? random.between(2_000_000, 20_000_000)
        : 0,
  );
}

function drawClusters(
  random: SimRandom,
  machineCount: number,
  seed: number,
  sessions: SimRandom,
): ClusterPlan[] {
  const options = new SimRandom(seed, "cluster options");
  const kinds = new SimRandom(seed, "kinds of state machines");
  const files = new SimRandom(seed, "files in snapshots");
  const count = random.pick([1, 1, 2, 3]);
  return Array.from({ length: count }, (_, i) => {
    const size = machineCount === 5 && random.chance(0.5) ? 5 : 3;
    const electionTimeoutTicks = random.pick([5, 8, 10, 20]);
    return {
      clusterId: i + 1,
      machines: random.shuffle(
        Array.from({ length: machineCount }, (_, machine) => machine),
      ).slice(0, size),
      electionTimeoutTicks,
      heartbeatTicks: random.pick([1, 1, 2]),
      snapshotEntries: random.pick([0, 20, 50, 100, 400]),
      compactionOverhead: random.pick([0, 5, 30, 100]),
      quiesce: options.chance(0.4),
      maxSessions: sessions.pick([2, 3, 4_096, 4_096]),
      maxInMemLogBytes: sessions.pick([256 * 1024, 64 * 1024 * 1024]),
      leaseReads: options.chance(0.5),
      machineKind: kinds.pick(
        ["regular", "regular", "concurrent", "onDisk"] as const,
      ),
      snapshotFiles: files.chance(0.5),
      snapshotCompression: kinds.chance(0.3),
      entryCompression: kinds.chance(0.3),
    };
  });
}

function drawWorkload(
  random: SimRandom,
  mayBeQuiet: boolean,
  sessions: SimRandom,
): Omit<WorkloadPlan, "routedShare" | "removedDataShare"> {
  const clientCount = random.between(2, 6);
  return {
    clientCount,
    thinkUs: random.pick([20_000, 80_000, 150_000, 250_000]),
    pulseUs: 0,
    readShare: random.pick([0.1, 0.3, 0.5]),
    commandBytes: random.pick([32, 256, 2_048, 8_192]),
    bigCommandBytes: random.pick([512, 16_384, 100_000]),
    keyCount: random.pick([1, 5, 20]),
    lullUs: mayBeQuiet ? 5_000_000 : 0,
    // Not all: a proposal in a session waits for a leader, so under the worst plans too few would complete.
    sessionClientCount: Math.min(
      sessions.pick([0, 1, 2, 3, 6]),
      clientCount - 1,
    ),
  };
}

/** Draws the faults of one phase: swarm testing (Groce et al., "Swarm Testing", ISSTA 2012). */
export function drawFaults(
  { random, rot, folders, addresses }: {
    random: SimRandom;
    rot: SimRandom;
    folders: SimRandom;
    addresses: SimRandom;
  },
  only: readonly FaultName[] | undefined,
): FaultPlan {
  // Swarm testing: a kind that is off lets others go further. Most runs have half of the kinds.
  const share = random.pick([0.3, 0.5, 0.8]);
  const drawn = faultNames.filter((name) => {
    if (folderFaultNames.includes(name)) return folders.chance(share);
    if (name === "newAddress") return addresses.chance(0.25);
    return (name === "bitRot" ? rot : random).chance(share);
  });
  return {
    kinds: only ?? (drawn.length > 0 ? drawn : ["powerLoss"]),
    gapUs: random.pick([300_000, 1_000_000, 3_000_000]),
    durationUs: random.pick([500_000, 2_000_000, 6_000_000]),
    downUs: random.pick([50_000, 500_000, 3_000_000]),
    afterElection: random.pick([0, 0.2, 0.6]),
  };
}
