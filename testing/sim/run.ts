/** Runs seeds, and says what they were worth. */
import { keyValueApplication } from "./key_value.ts";
import type { SimApplication } from "./application.ts";
import { realTurn } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import { faultNames } from "./fault_names.ts";
import type { FaultName } from "./fault_names.ts";
import { longPlanOf } from "./long_plan.ts";
import { planOf } from "./plan.ts";
import type { PlanOptions } from "./plan.ts";
import { formatTraceEvent, Trace } from "./trace.ts";
import { World } from "./world.ts";

/** What to run. */
export interface SimulationOptions extends PlanOptions {
  /** The seed: a whole number. Everything follows from it. */
  readonly seed: number;
  /** The program under test; registers and lists by key unless given. */
  readonly application?: SimApplication;
  /** Gets one line for each noted event while the run goes on. */
  readonly onTrace?: (line: string) => void;
}

/** What a run was worth. */
export interface SimulationReport {
  /** The seed. */
  readonly seed: number;
  /** Of everything that happened; the same for the same seed. */
  readonly traceHash: string;
  /** Why it failed, or undefined. Its message begins with the seed. */
  readonly failure: SimulationFailure | undefined;
  /** The latest events, as lines, if it failed. */
  readonly recentTrace: readonly string[];
  /** Seconds that passed for the simulated machines. */
  readonly simulatedSeconds: number;
  /** Those of them in which faults were being injected: without the rests, and without the recovery (F1). */
  readonly harmSeconds: number;
  /** Events: timers, frames, syncs, turns. */
  readonly events: number;
  /** Calls of clients that gave a result. */
  readonly completedOperations: number;
  /** Calls that ended without effect. */
  readonly failedOperations: number;
  /** Calls of which nobody knows whether they had effect. */
  readonly unknownOperations: number;
  /** Proposals in sessions that were made again because nobody knew what became of them. */
  readonly sessionRetries: number;
  /** Elections won. */
  readonly elections: number;
  /** Processes started again. */
  readonly restarts: number;
  /** Members added or removed. */
  readonly membershipChanges: number;
  /** Removed nodes whose data was removed as well. */
  readonly dataRemovals: number;
  /** Clusters that lost their quorum for good and were rebuilt from an exported snapshot. */
  readonly rebuilds: number;
  /** Frames sent. */
  readonly frames: number;
  /** Bytes in them. */
  readonly frameBytes: number;
  /** Frames lost inside a connection that went on. */
  readonly lostFrames: number;
  /** Frames that arrived twice. */
  readonly duplicatedFrames: number;
  /** Frames that were overtaken. */
  readonly reorderedFrames: number;
  /** Commands applied, on all nodes together, each compared with what others applied. */
  readonly commandsApplied: number;
  /** Snapshots restored, after a restart or from a leader. */
  readonly snapshotsRestored: number;
  /** Files that came with those snapshots, each compared with what was added. */
  readonly filesRestored: number;
  /** Hashes of whole states compared. */
  readonly statesCompared: number;
  /** Clusters whose clients saw what one client alone could have seen. */
  readonly historiesJudged: number;
  /** Events of NodeHosts that a listener saw, and checked the order of. */
  readonly eventsHeard: number;
  /** Answers of `staleRead`, none of an older state than the one before. */
  readonly staleReads: number;
  /** Entries that `queryLog` gave, each compared with what was applied. */
  readonly entriesQueried: number;
  /** Nodes that did not lead, as it should be, when a write had not ended for two election timeouts. */
  readonly stalledNodes: number;
  /** Commands of which a client was told when they were committed. */
  readonly commitsTold: number;
  /** Syncs of files. */
  readonly syncs: number;
  /** Bytes written to files. */
  readonly bytesWritten: number;
  /** Faults by kind. */
  readonly faults: Readonly<Partial<Record<FaultName, number>>>;
  /** Records on the wire, by kind. */
  readonly messages: Readonly<Record<string, number>>;
}

/**
 * Runs one seed. Does not throw for what the simulation finds: that is in the report.
 *
 * Nothing else may run in the process meanwhile that the result should not depend on.
 */
export async function simulate(
  options: SimulationOptions,
): Promise<SimulationReport> {
  const { seed, longSeconds } = options;
  // Another application may hold against the library what an operator's step takes from it.
  const rebuilds = options.rebuilds ??
    (options.application === undefined ? undefined : false);
  const planOptions = rebuilds === undefined
    ? options
    : { ...options, rebuilds };
  const plan = longSeconds === undefined
    ? planOf(seed, planOptions)
    : longPlanOf(seed, longSeconds, planOptions);
  const { onTrace } = options;
  const trace = new Trace(
    onTrace && ((event) => onTrace(formatTraceEvent(event))),
  );
  const application = options.application ??
    keyValueApplication(plan.workload.keyCount);
  const world = new World(plan, application, trace);
  const guard = guardRejections(world);
  let failure: SimulationFailure | undefined;
  try {
    await world.run();
  } catch (error) {
    failure = failureOf(error).foundWith(seed);
  } finally {
    await realTurn();
    guard.release();
  }
  return reportOf(world, failure);
}

function failureOf(error: unknown): SimulationFailure {
  return error instanceof SimulationFailure ? error : new SimulationFailure(
    "stops only when told",
    `an event threw: ${String(error)}`,
    { cause: error },
  );
}

/** A promise that is rejected and that nobody looks at would end a real process. */
function guardRejections(world: World): { release(): void } {
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    world.fail(
      new SimulationFailure(
        "stops only when told",
        `nobody looks at a rejection: ${String(event.reason)}`,
        {
          cause: event.reason,
        },
      ),
    );
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    release: () =>
      globalThis.removeEventListener("unhandledrejection", onRejection),
  };
}

function reportOf(
  world: World,
  failure: SimulationFailure | undefined,
): SimulationReport {
  const { network, history, checks, machines, timeline, trace, plan } = world;
  const operations = history.counts();
  const sum = (of: (machine: World["machines"][number]) => number) =>
    machines.reduce((total, machine) => total + of(machine), 0);
  return {
    seed: plan.seed,
    traceHash: trace.hash(),
    failure,
    recentTrace: failure === undefined ? [] : [
      ...trace.recent().map(formatTraceEvent),
      ...machines.flatMap((machine) => machine.describe()),
    ],
    simulatedSeconds: timeline.nowUs / 1_000_000,
    harmSeconds: world.faults.harmedUs / 1_000_000,
    events: timeline.eventCount,
    completedOperations: operations.completed,
    failedOperations: operations.failed,
    unknownOperations: operations.unknown,
    sessionRetries: world.workload.sessions.retryCount,
    elections: plan.clusters.reduce(
      (total, { clusterId }) => total + checks.record(clusterId).electionCount,
      0,
    ),
    restarts: world.restartCount,
    membershipChanges: world.membership.changeCount,
    dataRemovals: world.removals.count,
    rebuilds: world.rebuildCount,
    frames: network.statistics.frames,
    frameBytes: network.statistics.bytes,
    lostFrames: network.statistics.lost,
    duplicatedFrames: network.statistics.duplicated,
    reorderedFrames: network.statistics.reordered,
    commandsApplied: checks.appliedCount,
    snapshotsRestored: checks.restoredCount,
    filesRestored: checks.filesRestoredCount,
    statesCompared: checks.statesCompared,
    historiesJudged: world.historiesJudged,
    eventsHeard: checks.watches.reduce((sum, { count }) => sum + count, 0),
    staleReads: world.sideReads.staleCount,
    entriesQueried: world.sideReads.entryCount,
    stalledNodes: world.stalls.lookedAtCount,
    commitsTold: world.workload.commits.toldCount,
    syncs: sum((machine) => machine.disk.statistics.syncs),
    bytesWritten: sum((machine) => machine.disk.statistics.bytesWritten),
    faults: Object.fromEntries(world.faults.counts),
    messages: Object.fromEntries([...checks.wire.messageCounts].sort()),
  };
}

type Counts = Readonly<Record<string, number>>;

/** The sum of many runs. */
export class SimulationTotals {
  /** Sums of the report's numbers, by name. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Faults by kind. */
  readonly faults: ReadonlyMap<string, number>;
  /** Records on the wire, by kind. */
  readonly messages: ReadonlyMap<string, number>;
  readonly #numbers = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  readonly #messages = new Map<string, number>();

  /** Nothing yet. */
  constructor() {
    this.numbers = this.#numbers;
    this.faults = this.#faults;
    this.messages = this.#messages;
  }

  /** Runs added. */
  get seeds(): number {
    return this.#numbers.get("seeds") ?? 0;
  }

  /** Seconds that passed for the simulated machines. */
  get simulatedSeconds(): number {
    return this.#numbers.get("simulatedSeconds") ?? 0;
  }

  /** Adds a run. */
  add(report: SimulationReport): void {
    const { seed: _, ...counted } = report;
    this.addTotals({ seeds: 1, ...counted });
  }

  /** Adds what {@link toJSON} of other totals gave. */
  addTotals(totals: Readonly<Record<string, unknown>>): void {
    for (const [name, value] of Object.entries(totals)) {
      if (typeof value === "number") addTo(this.#numbers, { [name]: value });
    }
    addTo(this.#faults, totals.faults as Counts);
    addTo(this.#messages, totals.messages as Counts);
  }

  /** Kinds of fault that no run had. */
  missingFaults(): FaultName[] {
    return faultNames.filter((name) => !this.#faults.has(name));
  }

  /** Everything, as plain values. */
  toJSON(): Record<string, unknown> {
    return {
      ...Object.fromEntries(this.#numbers),
      faults: Object.fromEntries([...this.#faults].sort()),
      messages: Object.fromEntries([...this.#messages].sort()),
    };
  }
}

function addTo(sums: Map<string, number>, counts: Counts): void {
  for (const [name, count] of Object.entries(counts)) {
    sums.set(name, (sums.get(name) ?? 0) + count);
  }
}
