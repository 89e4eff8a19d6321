/** Does what a plan says. */
import { failSyncs, pauseProcess } from "./disk.ts";
import type { SmallFileSystem } from "./disk.ts";
import type { Fleet, Machine } from "./fleet.ts";
import { Losses } from "./losses.ts";
import type { FaultKind, Step } from "./plan.ts";
import type { FlowFaults } from "./proxy.ts";

/** What a run can break, and why it cannot break the rest. */
export interface Means {
  /** The small file system that machine 5 lives on, or why there is none. */
  readonly smallDisk: SmallFileSystem | string;
  /** Whether syncs can be made to fail, or why not. */
  readonly canFailSyncs: true | string;
}

/** The machine on the small file system. */
export const smallDiskMachine = 5;

const closeTimeoutMs = 10_000;
const healthy: FlowFaults = {
  isHeld: false,
  delayMs: 0,
  jitterMs: 0,
  bytesAtATime: 0,
  breaksOneIn: 0,
  refuses: false,
};

/** Injects faults into a fleet. */
export class Faults {
  /** Faults that happened, by kind. */
  readonly counts = new Map<FaultKind, number>();
  /** Steps for which there was nobody to meet. */
  skipped = 0;
  readonly #fleet: Fleet;
  readonly #means: Means;
  readonly #losses: Losses;
  readonly #running = new Set<Promise<void>>();
  readonly #note: (what: string) => void;

  /** `note` gets a line for each fault. */
  constructor(fleet: Fleet, means: Means, note: (what: string) => void) {
    this.#fleet = fleet;
    this.#means = means;
    this.#note = note;
    this.#losses = new Losses(fleet, note);
  }

  /** Runs a plan: each step at its time, or later if one must be alone. Rejects with `signal.reason`. */
  async run(steps: readonly Step[], signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    let lateMs = 0;
    for (const step of steps) {
      await pause(startedAt + step.atMs + lateMs - performance.now());
      signal.throwIfAborted();
      if (isAlone(step.kind)) {
        const from = performance.now();
        await this.settle();
        await this.#one(step);
        lateMs += performance.now() - from;
      } else this.#begin(step);
      signal.throwIfAborted();
    }
  }

  /** Ends what lasts: resolves when every machine is up. */
  async settle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#fleet.proxy.heal();
  }

  #begin(step: Step): void {
    const running = this.#one(step);
    this.#running.add(running);
    running.finally(() => this.#running.delete(running)).catch(() => {});
  }

  async #one(step: Step): Promise<void> {
    try {
      const happened = await this.#apply(step, this.#target(step));
      if (happened) this.#count(step.kind);
      else this.skipped++;
    } catch (error) {
      if (this.#fleet.isClosed) return;
      this.#fleet.report({
        check: "comes back",
        message: `after ${step.kind}: ${(error as Error).message}`,
      });
    }
  }

  #count(kind: FaultKind): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  /** Whom a step meets: who leads, or who comes first, of those that are up and in nobody's hands. */
  #target({ machines, leaderOf }: Step): Machine | undefined {
    const free = machines.map((number) => this.#fleet.machine(number))
      .filter((one) => one.isUp && !one.isBusy);
    const leader = this.#leaders.get(leaderOf);
    return free.find((one) => one.nodes.get(leaderOf) === leader) ?? free[0];
  }

  /** Leaders by cluster, as last heard. */
  readonly #leaders = new Map<number, number>();

  /** Asks a machine who leads what. */
  async look(): Promise<void> {
    const machine = this.#fleet.machines.find((one) => one.isUp && !one.isBusy);
    const states = await machine?.call("states", null).catch(() => []) ?? [];
    for (const { clusterId, leaderId } of states) {
      if (leaderId > 0) this.#leaders.set(clusterId, leaderId);
    }
  }

  async #apply(step: Step, target: Machine | undefined): Promise<boolean> {
    if (target === undefined) return false;
    const { kind, forMs, variant } = step;
    this.look();
    switch (kind) {
      case "kill":
        return await this.#killFor([target], forMs);
      case "killMajority":
        return await this.#killFor(this.#free(step).slice(0, 3), forMs);
      case "killAll":
        return await this.#killFor(this.#free(step), forMs / 2);
      case "restart":
        return await this.#hold(target, async () => {
          this.#note(`restart ${target.name}`);
          await target.close(closeTimeoutMs);
          await target.start();
        });
      case "pause":
        return await this.#hold(target, async () => {
          this.#note(`pause ${target.name} for ${forMs} ms`);
          await pauseProcess(target.process!.pid, forMs);
        });
      case "transfer":
      case "snapshot":
        return await this.#ask(kind, target, variant);
      case "strangeFolder":
        return await this.#hold(
          target,
          () => this.#losses.strangeFolder(target, variant),
        );
      case "wipe":
        return await this.#hold(
          target,
          () => this.#losses.wipe(target, variant < 0.6),
        );
      case "fullDisk":
        return await this.#fillDisk(forMs);
      case "failSync":
        return await this.#failSync(target, forMs);
      default:
        return await this.#disturb(step, target);
    }
  }

  #free({ machines }: Step): Machine[] {
    return machines.map((number) => this.#fleet.machine(number))
      .filter((one) => one.isUp && !one.isBusy);
  }

  async #hold(machine: Machine, work: () => Promise<void>): Promise<boolean> {
    machine.isBusy = true;
    try {
      await work();
    } finally {
      machine.isBusy = false;
    }
    return true;
  }

  async #killFor(machines: Machine[], forMs: number): Promise<boolean> {
    if (machines.length === 0) return false;
    const names = machines.map(({ name }) => name).join(", ");
    this.#note(`kill ${names} for ${forMs} ms`);
    await Promise.all(
      machines.map((machine) =>
        this.#hold(machine, async () => {
          await machine.kill();
          await pause(forMs);
          await machine.start();
        })
      ),
    );
    return true;
  }

  async #ask(
    kind: "transfer" | "snapshot",
    machine: Machine,
    variant: number,
  ): Promise<boolean> {
    const places = [...machine.nodes.keys()];
    const clusterId = places[Math.floor(variant * places.length)];
    if (clusterId === undefined) return false;
    this.#note(`${kind} of cluster ${clusterId} at ${machine.name}`);
    const targetNodeId = machine.nodes.get(clusterId)!;
    const asked = kind === "snapshot"
      ? machine.call("snapshot", { clusterId })
      : machine.call("transfer", { clusterId, targetNodeId });
    await asked.catch(() => {}); // It need not be possible now.
    return true;
  }

  async #fillDisk(forMs: number): Promise<boolean> {
    const { smallDisk } = this.#means;
    if (typeof smallDisk === "string") return false;
    this.#note(`no space on machine${smallDiskMachine} for ${forMs} ms`);
    smallDisk.fill();
    await pause(forMs);
    smallDisk.empty();
    return true;
  }

  async #failSync(machine: Machine, forMs: number): Promise<boolean> {
    if (this.#means.canFailSyncs !== true) return false;
    let hasFailed = false;
    await this.#hold(machine, async () => {
      this.#note(`failing syncs on ${machine.name} for ${forMs} ms`);
      machine.mayLoseDisk = true;
      const process = machine.process!;
      hasFailed = await failSyncs(process.pid, forMs);
      // Its log may have closed in the last moment; if it has not, it goes on.
      await Promise.race([process.ended, pause(1_000)]);
      await machine.kill();
      machine.mayLoseDisk = false;
      await machine.start();
    });
    return hasFailed;
  }

  /** Everything between machines that lasts for a while. */
  async #disturb(step: Step, target: Machine): Promise<boolean> {
    const { proxy, all } = this.#fleet;
    const { kind, forMs, variant } = step;
    const names = all.map(({ name }) => name);
    const others = names.filter((name) => name !== target.name);
    const pairs: [from: string, to: string][] = [];
    const outOf = () =>
      others.forEach((name) => pairs.push([target.name, name]));
    const into = () =>
      others.forEach((name) => pairs.push([name, target.name]));
    let faults: Partial<FlowFaults> = { isHeld: true };
    let breaks = false;
    switch (kind) {
      case "partition": {
        const side = new Set(
          step.machines.slice(0, 2).map((one) => this.#fleet.machine(one).name),
        );
        for (const from of names) {
          for (const to of names) {
            if (side.has(from) !== side.has(to)) pairs.push([from, to]);
          }
        }
        // Some networks lose what is under way, others say no.
        if (variant < 0.5) {
          faults = { refuses: true };
          breaks = true;
        }
        break;
      }
      case "isolate":
        outOf();
        into();
        break;
      case "isolateOneWay":
        if (variant < 0.5) outOf();
        else into();
        break;
      case "stallOneWay":
        pairs.push([target.name, others[Math.floor(variant * others.length)]!]);
        break;
      case "delay":
        outOf();
        into();
        faults = { delayMs: 20 + 200 * variant, jitterMs: 100 };
        break;
      case "slowBytes":
        outOf();
        faults = { bytesAtATime: 10 + Math.floor(500 * variant) };
        break;
      case "breakOften":
        outOf();
        into();
        faults = { breaksOneIn: 5 + Math.floor(60 * variant) };
        break;
      case "refuse":
        outOf();
        into();
        faults = { refuses: true };
        breaks = true;
        break;
      default:
        this.#note(`reset ${target.name}`);
        proxy.break(target.name);
        return true;
    }
    this.#note(`${kind} ${target.name} for ${forMs} ms`);
    for (const [from, to] of pairs) proxy.set(from, to, faults);
    if (breaks) { for (const [from, to] of pairs) proxy.break(from, to); }
    await pause(forMs);
    const ended = Object.fromEntries(
      Object.keys(faults).map((name) => [
        name,
        healthy[name as keyof FlowFaults],
      ]),
    );
    for (const [from, to] of pairs) proxy.set(from, to, ended);
    return true;
  }
}

/** Whether nothing else may happen meanwhile: what is lost for good must not be what others were about to lose. */
function isAlone(kind: FaultKind): boolean {
  return kind === "wipe";
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));
}
