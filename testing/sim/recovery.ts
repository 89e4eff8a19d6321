/** What must hold once faults have ended: everything comes up, serves, and agrees; and again after a power cut of all. */
import { eventKind } from "./clock.ts";
import { compareDiskLogs } from "./disk_logs.ts";
import { SimulationFailure } from "./failure.ts";
import type { CheckName } from "./failure.ts";
import type { Machine } from "./machine.ts";
import type { ClusterPlan } from "./plan.ts";
import { isSpread } from "./spreading.ts";
import type { World } from "./world.ts";

const secondUs = 1_000_000;
/** How long each step may take. */
const recoveryUs = 60 * secondUs;
const retryUs = 50_000;
/**
 * How long leaders may move until they are spread: NodeHosts look every five seconds, and a cluster that could not be
 * handed over stays for eight looks.
 */
const spreadUs = 120 * secondUs;

/** The second part of a run. */
export class Recovery {
  readonly #world: World;

  /** Waits for nothing yet. */
  constructor(world: World) {
    this.#world = world;
  }

  /** All of it. Rejects with what does not hold. */
  async run(): Promise<void> {
    const { workload } = this.#world;
    await this.#serve("after the faults ended");
    workload.stop();
    await this.#until(
      "every call ends",
      "clients still wait",
      () => workload.isIdle,
    );
    await this.#converge("after the clients stopped");
    this.#world.note("power loss of all, at rest");
    for (const machine of this.#world.machines) {
      machine.stop("powerLoss");
      this.#world.restartLater(machine);
    }
    await this.#serve("after a power cut at rest");
    await this.#converge("after a power cut at rest");
    await this.#spread();
    await this.#close();
    await this.#compareDiskLogs();
  }

  /** Every machine is up, and every member can write and read where it is. */
  async #serve(when: string): Promise<void> {
    const { machines, membership, plan } = this.#world;
    await this.#until(
      "progress resumes",
      `not every machine is up ${when}`,
      () => machines.every((one) => one.isUp),
    );
    await this.#until(
      "every call ends",
      "a membership change has not ended",
      () => membership.isIdle,
    );
    await this.#until(
      "progress resumes",
      `a machine that lost its folder is not replaced ${when}`,
      () => this.#world.folders.isIdle && machines.every((one) => one.isUp),
    );
    for (const { clusterId } of plan.clusters) {
      await this.#settleMembership(clusterId, when);
      for (const machine of membership.fullCarriers(clusterId)) {
        await this.#probe(machine, clusterId, when);
      }
    }
  }

  /** Asks for the members until somebody answers, and stops nodes that are not among them. */
  #settleMembership(clusterId: number, when: string): Promise<void> {
    const { machines, membership, random } = this.#world;
    return this.#untilFine(
      `nobody tells the members of cluster ${clusterId} ${when}`,
      (done) => {
        const carriers = machines.filter((one) => one.serves(clusterId));
        if (carriers.length === 0) return done(false);
        const machine = random.pick(carriers);
        const onDeath = () => done(false);
        machine.onDeath.add(onDeath);
        machine.run((host) => {
          host.getMembership(clusterId, { timeoutMs: 2_000 }).then(
            (members) => {
              machine.onDeath.delete(onDeath);
              membership.settle(clusterId, members);
              done(true);
            },
            () => {
              machine.onDeath.delete(onDeath);
              done(false);
            },
          );
        });
      },
    );
  }

  #probe(machine: Machine, clusterId: number, when: string): Promise<void> {
    const what =
      `${machine.label} cannot write and read cluster ${clusterId} ${when}`;
    return this.#untilFine(what, (done) => {
      if (!machine.isUp || !machine.startedClusters.has(clusterId)) {
        return done(false);
      }
      this.#world.workload.probe(machine, clusterId, done);
    });
  }

  /** All nodes of each cluster have applied the same, and all that was ever applied. */
  async #converge(when: string): Promise<void> {
    const { machines, checks, membership, plan } = this.#world;
    // A removal that was under way when the members were asked for may have come since.
    for (const { clusterId } of plan.clusters) {
      await this.#settleMembership(clusterId, when);
    }
    const isEven = ({ clusterId }: ClusterPlan) =>
      membership.fullCarriers(clusterId).every((machine) =>
        machine.machines.get(clusterId)?.node.position ===
          checks.record(clusterId).position
      ) &&
      membership.witnessCarriers(clusterId).every((machine) =>
        machine.appliedIndex(clusterId) >= checks.record(clusterId).lastIndex
      );
    await this.#until(
      "progress resumes",
      `the nodes have not all applied the same ${when}`,
      () => plan.clusters.every(isEven),
    );
    for (const machine of machines) checks.compareStates(machine);
    this.#world.workload.commits.check();
    if (checks.failure !== undefined) throw checks.failure;
  }

  /** NodeHosts have spread leadership among themselves. */
  #spread(): Promise<void> {
    return this.#untilFine("leaders are not spread evenly", (done) => {
      done(isSpread(this.#world));
    }, { check: "leaders are spread", withinUs: spreadUs });
  }

  async #close(): Promise<void> {
    const { machines, checks } = this.#world;
    let left = machines.length;
    for (const machine of machines) machine.close(() => left--);
    await this.#until(
      "progress resumes",
      "the NodeHosts do not close",
      () => left === 0,
    );
    if (checks.failure !== undefined) throw checks.failure;
  }

  async #compareDiskLogs(): Promise<void> {
    let isOver = false;
    let failure: unknown;
    compareDiskLogs(this.#world)
      .catch((error) => failure = error)
      .finally(() => isOver = true);
    await this.#until(
      "progress resumes",
      "the logs cannot be read",
      () => isOver,
    );
    if (failure !== undefined) throw failure;
  }

  /** Asks again and again, with a pause, until the answer is fine. */
  #untilFine(
    what: string,
    ask: (done: (isFine: boolean) => void) => void,
    { check = "progress resumes", withinUs = recoveryUs }: {
      check?: CheckName;
      withinUs?: number;
    } = {},
  ): Promise<void> {
    const { timeline } = this.#world;
    let isFine = false;
    const tryOnce = () =>
      ask((wasFine) => {
        isFine = wasFine;
        if (!isFine) {
          timeline.schedule(timeline.world, retryUs, eventKind.world, tryOnce);
        }
      });
    timeline.schedule(timeline.world, 0, eventKind.world, tryOnce);
    return this.#until(check, what, () => isFine, withinUs);
  }

  async #until(
    check: CheckName,
    what: string,
    isDone: () => boolean,
    withinUs = recoveryUs,
  ): Promise<void> {
    const { timeline } = this.#world;
    let isReached = false;
    await timeline.run(
      timeline.nowUs + withinUs,
      () => (isReached = isDone()),
    );
    if (!isReached) {
      throw new SimulationFailure(
        check,
        `${what}, within ${withinUs / secondUs} s`,
      );
    }
  }
}
