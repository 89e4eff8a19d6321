/** A whole deployment in one process: machines with disks, the network between them, clients, faults and checks. */
import { RaftError } from "../../raft/errors.ts";
import type { SimApplication } from "./application.ts";
import { DamageAtlas } from "./atlas.ts";
import { Checks } from "./checks.ts";
import { eventKind, Timeline } from "./clock.ts";
import type { Scope } from "./clock.ts";
import { SimDisk } from "./disk.ts";
import { SimulationFailure } from "./failure.ts";
import { FaultInjector } from "./faults.ts";
import { Addresses } from "./addresses.ts";
import { FolderFaults } from "./folders.ts";
import { History } from "./history.ts";
import { judgeHistory } from "./linearizable.ts";
import { describeError, Machine } from "./machine.ts";
import { MembershipChurn } from "./membership_churn.ts";
import { SimNetwork } from "./network.ts";
import type { ClusterPlan, FaultPlan, SimPlan } from "./plan.ts";
import { rebuildCluster } from "./rebuild.ts";
import { Recovery } from "./recovery.ts";
import { SimRandom } from "./random.ts";
import { SideReads } from "./side_reads.ts";
import { StallWatch } from "./stalls.ts";
import { DataRemovals } from "./removals.ts";
import type { Trace } from "./trace.ts";
import { Workload } from "./workload.ts";

const secondUs = 1_000_000;
/** A run goes on for this many times the harm it needs, if that is what the operations and the rests take. */
const harmStretch = 3;

/** One world. */
export class World {
  readonly plan: SimPlan;
  readonly application: SimApplication;
  readonly trace: Trace;
  readonly timeline: Timeline;
  readonly random: SimRandom;
  readonly history = new History();
  readonly checks: Checks;
  readonly network: SimNetwork;
  readonly machines: readonly Machine[];
  readonly workload: Workload;
  /** Stale reads, and queries of logs. */
  readonly sideReads: SideReads;
  readonly membership: MembershipChurn;
  readonly faults: FaultInjector;
  /** What is damaged, and what must stay whole. */
  readonly atlas: DamageAtlas;
  /** Folders that are wiped, restored and copied. */
  readonly folders: FolderFaults;
  /** Disks that stall for longer than elections take. */
  readonly stalls: StallWatch;
  /** Data of removed nodes. */
  readonly removals: DataRemovals;
  /** Where its machines are. */
  readonly addresses: Addresses;
  /** Clusters whose history has a linearization, for the report. */
  historiesJudged = 0;
  /** Clusters that were rebuilt from an image, for the report. */
  rebuildCount = 0;
  #restartCount = 0;
  /** Operations that had completed before the phase began. */
  #completedBefore = 0;

  /** Builds what the plan says; nothing has happened yet. */
  constructor(plan: SimPlan, application: SimApplication, trace: Trace) {
    this.plan = plan;
    this.application = application;
    this.atlas = new DamageAtlas(
      plan,
      (machine) => this.#areAdmittedWithout(machine),
    );
    this.trace = trace;
    this.timeline = new Timeline(trace);
    this.random = new SimRandom(plan.seed, "world");
    this.checks = new Checks(
      plan.clusters.map(({ clusterId }) => clusterId),
      this.history,
      () => this.timeline.nowUs,
    );
    const { timeline, random } = this;
    const addresses = Array.from(
      { length: plan.machineCount },
      (_, i) => addressOf(i),
    );
    this.network = new SimNetwork({
      timeline,
      trace,
      random: random.fork("network"),
      traits: plan.network,
      addresses,
      watcher: this.checks.wire,
    });
    this.machines = addresses.map((address, index) =>
      this.#makeMachine(index, address)
    );
    for (const cluster of plan.clusters) this.#place(cluster);
    this.workload = new Workload(this, random.fork("workload"));
    this.sideReads = new SideReads(this);
    this.membership = new MembershipChurn(this, random.fork("membership"));
    this.faults = new FaultInjector(this, random.fork("faults"));
    this.folders = new FolderFaults(this);
    this.stalls = new StallWatch(this);
    this.removals = new DataRemovals(this);
    this.addresses = new Addresses(this);
    this.checks.onElection = (clusterId, leaderId) => {
      this.faults.electionWon(clusterId, leaderId);
      this.workload.elected(clusterId, leaderId);
    };
    this.checks.onDisk = (machine, event) => this.stalls.told(machine, event);
    this.checks.wire.onVote = (clusterId, nodeId) =>
      this.faults.voted(clusterId, nodeId);
    this.checks.wire.onRemovedTold = (clusterId, nodeId) =>
      this.membership.told(clusterId, nodeId);
    timeline.afterEvent = (scope) => this.#afterEvent(scope);
  }

  /** How often a machine was started again. */
  get restartCount(): number {
    return this.#restartCount;
  }

  /** Runs everything: phases of harm and recovery, each with a power cut of all and a clean end. Rejects with the first failure. */
  async run(): Promise<void> {
    const { faults, laterFaults } = this.plan;
    this.#scheduleUpgrades();
    this.#everySecond();
    for (const phase of [faults, ...laterFaults]) {
      await this.#runPhase(phase);
      if (laterFaults.length > 0) this.history.settle();
    }
    this.#checkRate();
    this.sideReads.stop();
    if (this.plan.rebuilds && await rebuildCluster(this)) this.rebuildCount++;
    for (const { clusterId } of this.plan.clusters) this.judge(clusterId);
  }

  #scheduleUpgrades(): void {
    const { timeline } = this;
    for (const machine of this.machines) {
      const olderUs = this.plan.olderUntilUs[machine.index] ?? 0;
      if (olderUs === 0) continue;
      timeline.schedule(
        timeline.world,
        olderUs,
        eventKind.world,
        () => machine.upgrade(),
      );
    }
  }

  async #runPhase(faults: FaultPlan): Promise<void> {
    const { timeline, plan, history } = this;
    const beganAtUs = timeline.nowUs;
    this.#completedBefore = history.completedCount;
    for (const machine of this.machines) machine.start();
    this.workload.start();
    this.faults.start(faults);
    await timeline.run(
      beganAtUs + plan.harmUs * harmStretch,
      () => this.#isHarmEnough(),
    );
    if (!this.#isHarmEnough()) {
      const { phaseHarmedUs } = this.faults;
      throw new SimulationFailure(
        "counts as a seed",
        `${this.#completedInPhase} operations completed, of at least ${plan.operationCount}, and faults were ` +
          `injected for ${phaseHarmedUs / secondUs} s, of at least ${
            plan.harmUs / secondUs
          }, within ${(timeline.nowUs - beganAtUs) / secondUs} s`,
      );
    }
    this.note("harm is over");
    this.faults.heal();
    for (const machine of this.machines) machine.disk.disarm();
    for (const machine of this.machines) {
      if (machine.state === "down") this.restartLater(machine);
    }
    await new Recovery(this).run();
  }

  /** Something does not hold. */
  fail(failure: SimulationFailure): void {
    this.checks.fail(failure);
  }

  /** A machine that is down starts again after a while. */
  restartLater(machine: Machine): void {
    const { timeline } = this;
    const { plan } = this.faults;
    const downUs = this.random.longTail(
      1_000,
      Math.max(1_000, plan.downUs / 4),
      plan.downUs + 1_000,
    );
    timeline.schedule(timeline.world, downUs, eventKind.world, () => {
      if (machine.state !== "down") return;
      this.#restartCount++;
      machine.start();
    });
  }

  /** A process runs all its nodes. */
  machineUp(machine: Machine): void {
    this.trace.note(this.timeline.nowUs, machine.label, "up");
    this.removals.machineUp(machine);
  }

  /** Whether it is a fault's doing that a process cannot start. */
  mayFailToStart(machine: Machine, error: unknown): boolean {
    if (machine.disk.hasFailed) return true;
    const code = error instanceof Error && "code" in error ? error.code : "";
    return machine.disk.isLimited && (code === "diskFull" || code === "ENOSPC");
  }

  /** The addresses that a cluster begins with. */
  initialMembers(cluster: ClusterPlan): Record<number, string> {
    return Object.fromEntries(
      cluster.machines.map((machine, i) => [i + 1, addressOf(machine)]),
    );
  }

  /** Ids of the nodes that are placed somewhere. */
  nodeIds(clusterId: number): number[] {
    return this.machines.flatMap((machine) =>
      machine.placements.get(clusterId)?.nodeId ?? []
    );
  }

  /** The machine that carries a node. */
  machineOf(clusterId: number, nodeId: number): Machine | undefined {
    return this.machines.find((machine) =>
      machine.placements.get(clusterId)?.nodeId === nodeId
    );
  }

  /** A request that may well be refused; only an error that is no refusal is a failure. */
  expectRefusals(request: Promise<unknown>): void {
    request.catch((error) => {
      if (error instanceof RaftError) return;
      this.fail(
        new SimulationFailure(
          "stops only when told",
          `a request failed with ${describeError(error)}`,
          {
            cause: error,
          },
        ),
      );
    });
  }

  /** Whether some order explains what the clients of a cluster saw, and what the application says. @throws {SimulationFailure} */
  judge(clusterId: number): void {
    const { model } = this.application;
    const operations = this.history.ofCluster(clusterId);
    if (model !== undefined) {
      const { verdict, message } = judgeHistory(model, operations);
      if (verdict === "illegal") {
        throw new SimulationFailure(
          "linearizable",
          `cluster ${clusterId}: ${message}`,
        );
      }
      if (verdict === "ok") this.historiesJudged++;
    }
    const wrong = this.application.check?.(clusterId, operations);
    if (wrong !== undefined) {
      throw new SimulationFailure(
        "application",
        `cluster ${clusterId}: ${wrong}`,
      );
    }
  }

  /** Rule F1: enough time of harm, and enough that clients got out of it. */
  #isHarmEnough(): boolean {
    const { plan, faults } = this;
    return this.#completedInPhase >= plan.operationCount &&
      faults.phaseHarmedUs >= plan.harmUs;
  }

  get #completedInPhase(): number {
    return this.history.completedCount - this.#completedBefore;
  }

  /** A long run counts only if clients got enough out of it, rests and recoveries included. */
  #checkRate(): void {
    const { plan, history, timeline } = this;
    const rate = history.completedCount / (timeline.nowUs / secondUs);
    if (rate >= plan.operationsPerSecond) return;
    throw new SimulationFailure(
      "counts as a seed",
      `${
        rate.toFixed(1)
      } operations completed in a simulated second, of at least ${plan.operationsPerSecond}`,
    );
  }

  /** Whether all members that began their clusters, but for a machine's own, have been admitted (rule I2). */
  #areAdmittedWithout(machine: Machine): boolean {
    return this.machines.every((other) =>
      other === machine ||
      [...other.placements.values()].every(({ cluster, nodeId, join }) =>
        join || this.checks.wire.hasVoted(cluster.clusterId, nodeId)
      )
    );
  }

  #makeMachine(index: number, address: string): Machine {
    const { timeline, trace, random } = this;
    const disk = new SimDisk({
      timeline,
      trace,
      random: random.fork(`disk${index}`),
      traits: this.plan.disk,
      machine: index,
    });
    disk.shortWrites = this.plan.shortWrites;
    const machine = new Machine(
      this,
      index,
      address,
      disk,
      random.fork(`machine${index}`),
    );
    // What a supervisor does with a process whose disk failed under it: ends it after a while, and starts another.
    disk.onFailure = () => {
      const { scope } = machine;
      trace.note(timeline.nowUs, machine.label, "disk error (injected)");
      timeline.schedule(
        timeline.world,
        random.below(secondUs),
        eventKind.world,
        () => {
          if (machine.scope !== scope || machine.state === "down") return;
          machine.stop("kill");
          this.restartLater(machine);
        },
      );
    };
    return machine;
  }

  #place(cluster: ClusterPlan): void {
    cluster.machines.forEach((machine, i) => {
      this.machines[machine]!.placements.set(cluster.clusterId, {
        cluster,
        nodeId: i + 1,
        join: false,
      });
    });
  }

  #afterEvent(scope: Scope): void {
    scope.afterEvent();
    if (this.checks.failure !== undefined) throw this.checks.failure;
  }

  #everySecond(): void {
    const { timeline } = this;
    timeline.schedule(timeline.world, secondUs, eventKind.world, () => {
      for (const machine of this.machines) {
        if (!machine.scope.isPaused) this.checks.compareStates(machine);
      }
      this.workload.check();
      this.sideReads.second();
      this.#everySecond();
    });
  }

  /** Remembers something for a person to read. */
  note(what: string): void {
    this.trace.note(this.timeline.nowUs, "world", what);
  }
}

function addressOf(machine: number): string {
  return `machine-${machine}:7000`;
}
