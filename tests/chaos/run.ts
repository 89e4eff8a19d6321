/** One run: harm, healing, and the checks of what clients were told. */
import { judge } from "./checks.ts";
import type { Judgement, Violation } from "./checks.ts";
import { Clients } from "./clients.ts";
import { copyFolder } from "./deps.ts";
import { canInjectErrors, SmallFileSystem } from "./disk.ts";
import { Faults, smallDiskMachine } from "./faults.ts";
import type { Means } from "./faults.ts";
import { Fleet } from "./fleet.ts";
import type { Machine } from "./fleet.ts";
import { ChaosHistory } from "./history.ts";
import type { Status } from "./history.ts";
import type { Lists } from "./machine.ts";
import { clusters, planOf } from "./plan.ts";
import type { NodeState } from "./protocol.ts";
import type { ProxyCounts } from "./proxy.ts";

/** What to run. */
export interface ChaosOptions {
  /** Chooses the plan. */
  readonly seed: number;
  /** How long faults are injected. */
  readonly harmMs: number;
  /** An empty folder; what is in it afterwards is the caller's to keep or to remove. */
  readonly dir: string;
  /** Ends the run early; it rejects with its reason. */
  readonly signal: AbortSignal;
  /** Gets a line for each fault. */
  readonly note: (line: string) => void;
}

/** What a run was worth. */
export interface ChaosReport {
  /** The seed. */
  readonly seed: number;
  /** Seconds of harm. */
  readonly harmSeconds: number;
  /** What does not hold; nothing, if all is well. */
  readonly violations: readonly Violation[];
  /** Calls of clients, by how they ended. */
  readonly calls: Readonly<Record<Status, number>>;
  /** Calls in sessions. */
  readonly sessionCalls: number;
  /** Keys whose histories were searched to the end, and the others. */
  readonly keys: { readonly decided: number; readonly undecided: number };
  /** The most calls of unknown outcome on one key. */
  readonly unknownsMax: number;
  /** Faults, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Steps of the plan for which there was nobody to meet, or no means. */
  readonly skipped: number;
  /** Kinds of fault that cannot be made here, with why. */
  readonly leftOut: readonly string[];
  /** What the proxy did. */
  readonly proxy: Readonly<ProxyCounts>;
}

const startTimeoutMs = 60_000;
/** After the harm everything must serve again within this time. */
const healTimeoutMs = 60_000;
const lookMs = 200;

/** Runs a seed. What it finds is in the report; it rejects only if it cannot run, or is ended early. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const run = new ChaosRun(options);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #fleet: Fleet;
  readonly #history = new ChaosHistory();
  readonly #clients: Clients;
  readonly #violations: Violation[] = [];
  #smallDisk: SmallFileSystem | string = "";

  constructor(options: ChaosOptions) {
    const { dir, seed } = options;
    this.#options = options;
    this.#fleet = new Fleet(dir, seed, (violation) => {
      this.#violations.push(violation);
      this.#note(`VIOLATION ${violation.check}: ${violation.message}`);
    });
    this.#clients = new Clients(this.#fleet, this.#history, seed);
    // Killing everything is what ends every wait.
    options.signal.addEventListener("abort", () => this.#fleet.close());
  }

  async run(): Promise<ChaosReport> {
    const { seed, harmMs, signal } = this.#options;
    const means = await this.#means();
    const faults = new Faults(this.#fleet, means, (line) => this.#note(line));
    await this.#fleet.start(startTimeoutMs);
    this.#clients.start();
    await faults.run(planOf(seed, harmMs), signal);
    await faults.settle();
    signal.throwIfAborted();
    this.#note("healed");
    const finals = await this.#recover();
    signal.throwIfAborted();
    return this.#report(faults, means, judge(this.#history.calls, finals));
  }

  async close(): Promise<void> {
    await this.#fleet.close();
    const history = this.#history.calls.map((call) => JSON.stringify(call));
    Deno.writeTextFileSync(
      `${this.#options.dir}/history.jsonl`,
      history.join("\n") + "\n",
    );
    if (typeof this.#smallDisk === "string") return;
    const { path } = this.#smallDisk;
    if (this.#violations.length > 0) copyOut(path);
    await this.#smallDisk.close();
  }

  async #means(): Promise<Means> {
    const { home } = this.#fleet.machine(smallDiskMachine);
    this.#smallDisk = await SmallFileSystem.mount(home);
    return {
      smallDisk: this.#smallDisk,
      canFailSyncs: await canInjectErrors(),
    };
  }

  /**
   * Every cluster takes a command at every machine again, every node comes to the same state, and once more after all
   * processes were killed. Returns the lists of each cluster.
   */
  async #recover(): Promise<Map<number, Lists>> {
    await this.#progress();
    await this.#clients.stop();
    await this.#statesEqual();
    await Promise.all(this.#fleet.machines.map((machine) => machine.kill()));
    await Promise.all(this.#fleet.machines.map((machine) => machine.start()));
    await this.#progress();
    await this.#statesEqual();
    const finals = new Map<number, Lists>();
    for (const clusterId of clusters.keys()) {
      for (const machine of this.#fleet.carriers(clusterId)) {
        const lists = await this.#readAll(machine, clusterId);
        if (lists !== undefined) finals.set(clusterId, lists);
      }
    }
    return finals;
  }

  async #progress(): Promise<void> {
    const endsAt = performance.now() + healTimeoutMs;
    for (const clusterId of clusters.keys()) {
      for (const machine of this.#fleet.machines) {
        if (!machine.nodes.has(clusterId)) continue;
        const isDone = async () =>
          machine.isUp && await this.#clients.probe(machine, clusterId);
        if (await this.#until(isDone, endsAt)) continue;
        this.#fail(
          "progress resumes",
          `cluster ${clusterId} takes no command at ${machine.name}`,
        );
      }
    }
  }

  /** Nothing is proposed any more, so all nodes must come to the same entry and the same state. */
  async #statesEqual(): Promise<void> {
    const endsAt = performance.now() + healTimeoutMs;
    for (const clusterId of clusters.keys()) {
      let seen: NodeState[] = [];
      const isDone = async () => {
        seen = await this.#statesOf(clusterId);
        const [first] = seen;
        return first !== undefined &&
          seen.length === clusters.get(clusterId)!.length &&
          seen.every((one) =>
            one.applied === first.applied && one.hash === first.hash
          );
      };
      if (await this.#until(isDone, endsAt)) continue;
      this.#fail(
        "states equal",
        `cluster ${clusterId}: ${JSON.stringify(seen)}`,
      );
    }
  }

  async #statesOf(clusterId: number): Promise<NodeState[]> {
    const states = await Promise.all(
      this.#fleet.carriers(clusterId).map((machine) =>
        machine.call("states", null).catch(() => [])
      ),
    );
    return states.flat().filter((one) => one.clusterId === clusterId);
  }

  async #readAll(
    machine: Machine,
    clusterId: number,
  ): Promise<Lists | undefined> {
    const calledAt = this.#history.now();
    try {
      const lists = await machine.call("readAll", {
        clusterId,
        timeoutMs: healTimeoutMs,
      });
      const keys = new Set(
        this.#history.calls.filter((call) => call.clusterId === clusterId)
          .map((call) => call.input.key),
      );
      this.#history.addReads(
        { clusterId, machine: machine.name, calledAt },
        new Map([...keys].map((key) => [key, lists[key] ?? []])),
      );
      return lists;
    } catch (error) {
      this.#fail(
        "progress resumes",
        `cluster ${clusterId} cannot be read at ${machine.name}: ${
          (error as Error).message
        }`,
      );
      return undefined;
    }
  }

  async #until(
    isDone: () => Promise<boolean>,
    endsAt: number,
  ): Promise<boolean> {
    for (;;) {
      this.#options.signal.throwIfAborted();
      if (await isDone()) return true;
      if (performance.now() >= endsAt) return false;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
  }

  #fail(check: Violation["check"], message: string): void {
    this.#fleet.report({ check, message });
  }

  #note(line: string): void {
    const seconds = (this.#history.now() / 1_000).toFixed(1).padStart(6);
    this.#options.note(`${seconds} s  ${line}`);
  }

  #report(faults: Faults, means: Means, judgement: Judgement): ChaosReport {
    const { calls } = this.#history;
    const leftOut: string[] = [];
    if (typeof means.smallDisk === "string") {
      leftOut.push(`fullDisk: ${means.smallDisk}`);
    }
    if (means.canFailSyncs !== true) {
      leftOut.push(`failSync: ${means.canFailSyncs}`);
    }
    return {
      seed: this.#options.seed,
      harmSeconds: this.#options.harmMs / 1_000,
      violations: [...this.#violations, ...judgement.violations],
      calls: this.#history.counts(),
      sessionCalls: calls.filter((call) => call.isInSession).length,
      keys: {
        decided: judgement.keysDecided,
        undecided: judgement.keysUndecided,
      },
      unknownsMax: judgement.unknownsMax,
      faults: Object.fromEntries([...faults.counts].sort()),
      skipped: faults.skipped,
      leftOut,
      proxy: this.#fleet.proxy.counts,
    };
  }
}

/** What is mounted there would be gone; it stays beside. */
function copyOut(path: string): void {
  try {
    copyFolder(path, `${path}-was`);
  } catch {
    // Files may vanish while they are copied; what was copied helps anyway.
  }
}
