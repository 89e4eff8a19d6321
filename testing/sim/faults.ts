/** Decides when which fault happens, and takes all of them back when harm is over. */
import { eventKind } from "./clock.ts";
import { addressKind, faultKinds, folderKinds } from "./fault_kinds.ts";
import type { FaultKind } from "./fault_kinds.ts";
import type { FaultName } from "./fault_names.ts";
import type { Machine } from "./machine.ts";
import type { FaultPlan } from "./plan.ts";
import { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

const secondUs = 1_000_000;
/**
 * After so many seconds in which clients got hardly anything, harm rests for a while: what nobody can use shows nothing.
 * A rest is no harm: the run goes on until there was as much harm without it (rule F1).
 */
const patienceSeconds = 5;
const restUs = 3 * secondUs;
/** Between two faults that befall whole folders passes half of this on average, or more where faults are rare. */
const folderGapUs = 12 * secondUs;
/** Of the chance that an election is answered by a fault, the part that a vote has. */
const voteParts = 20;
/** A vote is on the disk, or should be: within so long after it left the power is cut. */
const afterVoteUs = 1_000;

/** The injector of one world. */
export class FaultInjector {
  /** How often each kind happened. */
  readonly counts = new Map<FaultName, number>();
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #voteRandom: SimRandom;
  readonly #folderRandom: SimRandom;
  readonly #addressRandom: SimRandom;
  #plan: FaultPlan;
  #kinds: readonly FaultKind[] = [];
  #folderKinds: readonly FaultKind[] = [];
  readonly #lasting = new Set<() => void>();
  /** Counts phases: what was scheduled in one does not happen in the next. */
  #phase = 0;
  #isStopped = true;
  /** Harm in the phases before. */
  #harmedBeforeUs = 0;
  #beganAtUs = 0;
  #restsUntilUs = 0;
  #restedUs = 0;
  #poorSeconds = 0;
  #lastCompleted = 0;

  /** Nothing happens yet. */
  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
    this.#voteRandom = new SimRandom(world.plan.seed, "faults after votes");
    this.#folderRandom = new SimRandom(world.plan.seed, "faults of folders");
    this.#addressRandom = new SimRandom(world.plan.seed, "new addresses");
    this.#plan = world.plan.faults;
  }

  /** Faults of the phase that goes on, or of the last one. */
  get plan(): FaultPlan {
    return this.#plan;
  }

  /** Simulated time of harm in all phases so far, each until {@link heal}, without the time in which harm rested. */
  get harmedUs(): number {
    return this.#harmedBeforeUs + this.phaseHarmedUs;
  }

  /** That of the phase that goes on; 0 if none does. */
  get phaseHarmedUs(): number {
    if (this.#isStopped) return 0;
    const now = this.#world.timeline.nowUs;
    return now - this.#beganAtUs - this.#restedUs +
      Math.max(0, this.#restsUntilUs - now);
  }

  /** Lets a phase of harm begin. */
  start(plan: FaultPlan): void {
    const enabled = new Set(plan.kinds);
    this.#plan = plan;
    this.#kinds = faultKinds.filter((kind) => enabled.has(kind.name));
    this.#folderKinds = folderKinds.filter((kind) => enabled.has(kind.name));
    this.#phase++;
    this.#isStopped = false;
    this.#beganAtUs = this.#world.timeline.nowUs;
    this.#restsUntilUs = 0;
    this.#restedUs = 0;
    this.#poorSeconds = 0;
    this.#lastCompleted = this.#world.history.completedCount;
    const phase = this.#phase;
    const seldomUs = Math.max(folderGapUs, 4 * plan.gapUs);
    if (this.#folderKinds.length > 0) {
      const delayUs = () => this.#folderRandom.below(seldomUs);
      this.#again(phase, delayUs, () => this.#harmFolder());
    }
    const mayMove = enabled.has(addressKind.name);
    if (mayMove) {
      const delayUs = () => this.#addressRandom.below(seldomUs);
      this.#again(phase, delayUs, () => this.#moveMachines());
    }
    if (enabled.has("restoredFolder")) this.#world.folders.keepBackups();
    if (this.#kinds.length + this.#folderKinds.length === 0 && !mayMove) return;
    if (this.#kinds.length > 0) {
      const delayUs = () => this.#random.below(plan.gapUs);
      this.#again(phase, delayUs, () => this.#harmAnything());
    }
    this.#everySecond(phase);
  }

  /** Harm is over: every lasting fault ends. */
  heal(): void {
    this.#harmedBeforeUs += this.phaseHarmedUs;
    this.#isStopped = true;
    this.#endAll();
  }

  #isOver(phase: number): boolean {
    return this.#isStopped || phase !== this.#phase;
  }

  #endAll(): void {
    for (const undo of [...this.#lasting]) undo();
    this.#lasting.clear();
  }

  /** An election was won: sometimes that is when the next fault comes. */
  electionWon(clusterId: number, leaderId: number): void {
    const { timeline } = this.#world;
    if (this.#isStopped || !this.#random.chance(this.#plan.afterElection)) {
      return;
    }
    const phase = this.#phase;
    const kinds = this.#kinds.filter((kind) => kind.followsElection);
    if (kinds.length === 0) return;
    const delayUs = this.#random.longTail(0, 5_000, 200_000);
    timeline.schedule(timeline.world, delayUs, eventKind.world, () => {
      if (this.#isOver(phase)) return;
      const leader = this.#world.machineOf(clusterId, leaderId);
      this.#inject(
        choose(kinds, this.#random),
        this.#random.chance(0.7) ? leader : undefined,
      );
    });
  }

  /** A node asks for votes, or has given its own: sometimes its machine loses its power before long (rule C2). */
  voted(clusterId: number, nodeId: number): void {
    const { timeline } = this.#world;
    const random = this.#voteRandom;
    const powerLoss = this.#kinds.find(({ name }) => name === "powerLoss");
    if (this.#isStopped || powerLoss === undefined) return;
    if (!random.chance(this.#plan.afterElection / voteParts)) return;
    const phase = this.#phase;
    const delayUs = random.below(afterVoteUs);
    timeline.schedule(timeline.world, delayUs, eventKind.world, () => {
      const voter = this.#world.machineOf(clusterId, nodeId);
      if (voter !== undefined && !this.#isOver(phase)) {
        this.#inject(powerLoss, voter);
      }
    });
  }

  /** Does harm again and again, each time after a delay that is drawn when the one before is done. */
  #again(phase: number, delayUs: () => number, harm: () => void): void {
    const { timeline } = this.#world;
    timeline.schedule(timeline.world, delayUs(), eventKind.world, () => {
      if (this.#isOver(phase)) return;
      harm();
      this.#again(phase, delayUs, harm);
    });
  }

  #harmAnything(): void {
    this.#inject(choose(this.#kinds, this.#random), undefined);
  }

  #harmFolder(): void {
    const random = this.#folderRandom;
    const kind = choose(this.#folderKinds, random);
    this.#inject(kind, random.pick(this.#world.machines));
  }

  /** Now and then several at once, so that nobody is left where the others look. */
  #moveMachines(): void {
    const { machines } = this.#world;
    const random = this.#addressRandom;
    const count = random.pick([1, 1, 2, machines.length]);
    for (const machine of random.shuffle(machines).slice(0, count)) {
      this.#inject(addressKind, machine);
    }
  }

  #everySecond(phase: number): void {
    const { timeline, plan, history } = this.#world;
    timeline.schedule(timeline.world, secondUs, eventKind.world, () => {
      if (this.#isOver(phase)) return;
      const completed = history.completedCount - this.#lastCompleted;
      this.#lastCompleted = history.completedCount;
      const fair = plan.operationCount / (plan.harmUs / secondUs);
      this.#poorSeconds = completed < fair / 2 ? this.#poorSeconds + 1 : 0;
      if (this.#poorSeconds >= patienceSeconds) {
        this.#poorSeconds = 0;
        this.#restsUntilUs = timeline.nowUs + restUs;
        this.#restedUs += restUs;
        this.#world.note("harm rests");
        this.#endAll();
      }
      this.#everySecond(phase);
    });
  }

  #inject(kind: FaultKind, wanted: Machine | undefined): void {
    const { timeline, trace } = this.#world;
    if (timeline.nowUs < this.#restsUntilUs) return;
    const target = wanted ?? this.#chooseTarget();
    const started = kind.start(this.#world, this.#random, target);
    if (started === "notNow") return;
    this.counts.set(kind.name, (this.counts.get(kind.name) ?? 0) + 1);
    trace.note(timeline.nowUs, "fault", kind.name, `at m${target.index}`);
    if (started === "over") return;
    const undo = () => {
      this.#lasting.delete(undo);
      trace.note(
        timeline.nowUs,
        "fault",
        `${kind.name} ends`,
        `at m${target.index}`,
      );
      started();
    };
    this.#lasting.add(undo);
    timeline.schedule(
      timeline.world,
      this.#random.below(this.#plan.durationUs),
      eventKind.world,
      () => {
        if (this.#lasting.has(undo)) undo();
      },
    );
  }

  /** A third of the faults hit a leader. */
  #chooseTarget(): Machine {
    const { machines, plan, checks } = this.#world;
    if (this.#random.chance(0.35)) {
      const { clusterId } = this.#random.pick(plan.clusters);
      const leader = this.#world.machineOf(
        clusterId,
        checks.record(clusterId).latestLeader().nodeId,
      );
      if (leader !== undefined) return leader;
    }
    return this.#random.pick(machines);
  }
}

function choose(kinds: readonly FaultKind[], random: SimRandom): FaultKind {
  let left = random.below(
    kinds.reduce((sum, kind) => sum + kind.weight, 0),
  );
  for (const kind of kinds) {
    left -= kind.weight;
    if (left < 0) return kind;
  }
  throw new RangeError("Cannot choose a fault: there are no kinds");
}
