/** Decides when which fault happens, and takes all of them back when harm is over. */
import { eventKind } from "./clock.ts";
import { faultKinds } from "./fault_kinds.ts";
import type { FaultKind } from "./fault_kinds.ts";
import type { FaultName } from "./fault_names.ts";
import type { Machine } from "./machine.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

const secondUs = 1_000_000;
/**
 * After so many seconds in which clients got hardly anything, harm rests for a while: what nobody can use shows nothing.
 * A rest is no harm: the run goes on until there was as much harm without it (rule F1).
 */
const patienceSeconds = 5;
const restUs = 3 * secondUs;

/** The injector of one world. */
export class FaultInjector {
  /** How often each kind happened. */
  readonly counts = new Map<FaultName, number>();
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #kinds: readonly FaultKind[];
  readonly #lasting = new Set<() => void>();
  #isStopped = false;
  #restsUntilUs = 0;
  #restedUs = 0;
  #healedAtUs: number | undefined;
  #poorSeconds = 0;
  #lastCompleted = 0;

  /** Nothing happens yet. */
  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
    const enabled = new Set(world.plan.faults.kinds);
    this.#kinds = faultKinds.filter((kind) => enabled.has(kind.name));
  }

  /** Simulated time of harm so far: since the beginning until {@link heal}, without the time in which harm rested. */
  get harmedUs(): number {
    const now = this.#healedAtUs ?? this.#world.timeline.nowUs;
    return now - this.#restedUs + Math.max(0, this.#restsUntilUs - now);
  }

  /** Lets harm begin. */
  start(): void {
    if (this.#kinds.length === 0) return;
    this.#wait();
    this.#everySecond();
  }

  /** Harm is over: every lasting fault ends. */
  heal(): void {
    this.#isStopped = true;
    this.#healedAtUs = this.#world.timeline.nowUs;
    this.#endAll();
  }

  #endAll(): void {
    for (const undo of [...this.#lasting]) undo();
    this.#lasting.clear();
  }

  /** An election was won: sometimes that is when the next fault comes. */
  electionWon(clusterId: number, leaderId: number): void {
    const { timeline, plan } = this.#world;
    if (this.#isStopped || !this.#random.chance(plan.faults.afterElection)) {
      return;
    }
    const kinds = this.#kinds.filter((kind) => kind.followsElection);
    if (kinds.length === 0) return;
    const delayUs = this.#random.longTail(0, 5_000, 200_000);
    timeline.schedule(timeline.world, delayUs, eventKind.world, () => {
      if (this.#isStopped) return;
      const leader = this.#world.machineOf(clusterId, leaderId);
      this.#inject(
        this.#choose(kinds),
        this.#random.chance(0.7) ? leader : undefined,
      );
    });
  }

  #wait(): void {
    const { timeline, plan } = this.#world;
    timeline.schedule(
      timeline.world,
      this.#random.below(plan.faults.gapUs),
      eventKind.world,
      () => {
        if (this.#isStopped) return;
        this.#inject(this.#choose(this.#kinds), undefined);
        this.#wait();
      },
    );
  }

  #everySecond(): void {
    const { timeline, plan, history } = this.#world;
    timeline.schedule(timeline.world, secondUs, eventKind.world, () => {
      if (this.#isStopped) return;
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
      this.#everySecond();
    });
  }

  #inject(kind: FaultKind, wanted: Machine | undefined): void {
    const { timeline, trace, plan } = this.#world;
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
      this.#random.below(plan.faults.durationUs),
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

  #choose(kinds: readonly FaultKind[]): FaultKind {
    let left = this.#random.below(
      kinds.reduce((sum, kind) => sum + kind.weight, 0),
    );
    for (const kind of kinds) {
      left -= kind.weight;
      if (left < 0) return kind;
    }
    throw new RangeError("Cannot choose a fault: there are no kinds");
  }
}
