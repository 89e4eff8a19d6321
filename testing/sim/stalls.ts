/**
 * Disks that stall for longer than elections take: a leader whose write has not ended for two election timeouts leads no
 * more, since it asked somebody else to take over after the first, and stepped down after the second (raft/core/election.ts).
 * Since when a write is under way is what the NodeHost tells (the event `diskSlow`).
 */
import { votingMembers } from "../../raft/core/members.ts";
import type { HostEvent } from "../../raft/events.ts";
import { eventKind } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import type { Machine } from "./machine.ts";
import type { ClusterPlan } from "./plan.ts";
import { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** Ticks beyond the timeouts: the first one that was begun before, the last one that is under way. */
const slackTicks = 3;

/** A write that has not ended. */
interface Stall {
  readonly scope: Machine["scope"];
  /** When it began, or when the process last went on after a pause: ticks that it missed do not count. */
  sinceUs: number;
}

/** What is looked at when a write has not ended for so many election timeouts. */
interface Watched {
  readonly machine: Machine;
  readonly stall: Stall;
  readonly cluster: ClusterPlan;
  readonly timeouts: number;
  /** The term that the machine led in when it was looked at before, or 0. */
  readonly term: number;
}

/** Watches the disks of a world, and says for how long they stall. */
export class StallWatch {
  /** Leaders that were looked at while their disk stalled, for the report. */
  lookedAtCount = 0;
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #stalls = new Map<Machine, Stall>();
  /** When each machine's process last went on after a pause. */
  readonly #resumedUs = new Map<Machine, number>();

  /** Nothing stalls yet. */
  constructor(world: World) {
    this.#world = world;
    this.#random = new SimRandom(world.plan.seed, "stalls");
  }

  /** How long syncs take while a disk is slow: in some worlds now and then longer than any cluster's elections. */
  draw(usualUs: number): number {
    const { longStalls, clusters, tickMs } = this.#world.plan;
    if (!longStalls || !this.#random.chance(0.5)) return usualUs;
    const ticks = Math.max(...clusters.map((one) => one.electionTimeoutTicks));
    return this.#random.between(25, 50) * ticks * tickMs * 100;
  }

  /** A NodeHost says that a write takes long, or that it ended. */
  told(
    machine: Machine,
    event: Extract<HostEvent, { type: "diskSlow" }>,
  ): void {
    if (event.isOver) {
      this.#stalls.delete(machine);
      return;
    }
    const { timeline, plan } = this.#world;
    const sinceUs = Math.max(
      timeline.nowUs - event.stalledMs * 1_000,
      this.#resumedUs.get(machine) ?? 0,
    );
    const stall = { scope: machine.scope, sinceUs };
    this.#stalls.set(machine, stall);
    for (const cluster of plan.clusters) {
      this.#lookLater({
        machine,
        stall,
        cluster,
        timeouts: 2,
        term: termLed(machine, cluster.clusterId),
      });
    }
  }

  /** A process was paused and goes on. */
  resumed(machine: Machine): void {
    const { nowUs } = this.#world.timeline;
    this.#resumedUs.set(machine, nowUs);
    const stall = this.#stalls.get(machine);
    if (stall !== undefined) stall.sinceUs = nowUs;
  }

  #lookLater(watched: Watched): void {
    const { machine, stall, cluster, timeouts } = watched;
    const { timeline, plan } = this.#world;
    const { timerSlackUs, turnUs } = plan.clocks[machine.index]!;
    const ticks = timeouts * cluster.electionTimeoutTicks + slackTicks;
    // Clocks are slow by 2 % at most, see `plan.ts`.
    const patienceUs = ticks * (plan.tickMs * 1_020 + timerSlackUs + turnUs);
    const leftUs = () => stall.sinceUs + patienceUs - timeline.nowUs;
    const look = () => {
      const { scope } = machine;
      if (this.#stalls.get(machine) !== stall || scope !== stall.scope) return;
      if (scope.isPaused || leftUs() > 0) later();
      else this.#look(watched);
    };
    const later = () => {
      const afterUs = Math.max(leftUs(), machine.scope.isPaused ? 100_000 : 0);
      timeline.schedule(timeline.world, afterUs, eventKind.world, look);
    };
    later();
  }

  #look(watched: Watched): void {
    const { machine, stall, cluster, timeouts, term } = watched;
    const { clusterId, quiesce } = cluster;
    this.lookedAtCount++;
    const ledTerm = termLed(machine, clusterId);
    if (ledTerm === 0) return;
    // It was elected, or woke, while the write was under way already: then it has as long again.
    if (timeouts === 2 && (term !== ledTerm || quiesce)) {
      return this.#lookLater({ ...watched, timeouts: 3, term: ledTerm });
    }
    if (term !== ledTerm) return;
    const stalledMs = (this.#world.timeline.nowUs - stall.sinceUs) / 1_000;
    this.#world.fail(
      new SimulationFailure(
        "a stalled leader leaves",
        `${machine.label} leads cluster ${clusterId} in term ${term}, and its disk has stalled for ${stalledMs} ms`,
      ),
    );
  }
}

/**
 * The term in which a machine's node leads, or 0. Who has no others leads on, since nobody could take over; who is
 * quiet has nothing to write.
 */
function termLed(machine: Machine, clusterId: number): number {
  const status = machine.info()?.clusters.find((one) =>
    one.clusterId === clusterId
  );
  if (status === undefined || status.failure !== undefined) return 0;
  const { leaderId, nodeId, isQuiet, term, membership } = status;
  const isAlone = votingMembers(membership).length < 2;
  return leaderId !== nodeId || isQuiet || isAlone ? 0 : term;
}
