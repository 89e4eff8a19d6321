/** The machines of a run: a folder, an address at the proxy, and a NodeHost process that comes and goes. */
import type { Violation } from "./checks.ts";
import { join } from "./deps.ts";
import { HostProcess } from "./host_process.ts";
import { clusters, machineCount } from "./plan.ts";
import { CallFailure, diskFailedStatus } from "./protocol.ts";
import type { Calls } from "./protocol.ts";
import { Proxy } from "./proxy.ts";

/** What the gateway is called: a NodeHost without nodes, whose clients' requests are carried out by others. */
export const gatewayName = "gateway";

/** With no space on its disk a NodeHost does not open; there is some again after a few seconds. */
const startsMax = 30;
const startPauseMs = 500;

/** What a fleet tells of what should not be. */
export type Report = (violation: Violation) => void;

/** One machine. */
export class Machine {
  /** `machine1` and so on. */
  readonly name: string;
  /** Where its folders are. */
  readonly home: string;
  /** What its processes say. */
  readonly log: string;
  /** The folder of its NodeHost, if that is not in memory. */
  dir: string | undefined;
  /** Where others reach it. */
  raftAddress: string;
  /** Where its NodeHost listens. */
  listenAddress: string;
  /** Its node of each cluster. */
  readonly nodes = new Map<number, number>();
  /** Clusters whose node of this machine came later than the cluster. */
  readonly joined = new Set<number>();
  /** Its NodeHost is open and its nodes are started. */
  isUp = false;
  /** Something is being done to its process. */
  isBusy = false;
  /** Its process may end by a failed disk. */
  mayLoseDisk = false;
  readonly #fleet: Fleet;
  #process: HostProcess | undefined;
  #generation = 0;

  /** Not running yet. */
  constructor(fleet: Fleet, name: string, home: string, hasDisk: boolean) {
    this.#fleet = fleet;
    this.name = name;
    this.home = home;
    this.log = `${home}.log`; // Not in it: there may be no space left in there.
    this.dir = hasDisk ? join(home, "data-0") : undefined;
    this.listenAddress = freeAddress();
    this.raftAddress = fleet.proxy.open(name, this.listenAddress);
  }

  /** Its process; undefined if it has none. */
  get process(): HostProcess | undefined {
    return this.#process;
  }

  /** Calls its NodeHost; rejects with a `CallFailure`. */
  call<K extends keyof Calls>(
    call: K,
    request: Calls[K]["request"],
  ): Promise<Calls[K]["reply"]> {
    if (this.#process === undefined) {
      return Promise.reject(
        new CallFailure({
          code: "notRunning",
          outcome: "notApplied",
          message: `Cannot call ${this.name}: it is not running`,
        }),
      );
    }
    return this.#process.call(call, request);
  }

  /** Starts a process, without opening a NodeHost. */
  spawn(): HostProcess {
    if (this.#fleet.isClosed) {
      throw new Error(`Cannot start ${this.name}: closing`);
    }
    const process = new HostProcess(this.log);
    this.#process = process;
    this.#watch(process);
    return process;
  }

  /**
   * Starts the process, opens the NodeHost, starts its nodes. Tries again while there is no space on its disk. Resolves
   * without all that if it is killed meanwhile.
   */
  async start(): Promise<void> {
    for (let tries = 1;; tries++) {
      const process = this.spawn();
      try {
        await this.open();
        for (const clusterId of this.nodes.keys()) {
          await this.startNode(clusterId);
        }
        this.isUp = this.#process === process;
        return;
      } catch (error) {
        if (this.#process !== process || process.hasEnded) return;
        const isFull = error instanceof CallFailure &&
          error.code === "diskFull";
        if (!isFull || tries === startsMax) throw error;
        await this.kill();
        await new Promise((resolve) => setTimeout(resolve, startPauseMs));
      }
    }
  }

  /** Opens the NodeHost on the machine's folder. */
  async open(
    changed: Partial<Calls["open"]["request"]> = {},
  ): Promise<string> {
    const { dir, raftAddress, listenAddress } = this;
    const peers = this.#fleet.peersOf(this);
    const { nodeHostId } = await this.call("open", {
      dir,
      raftAddress,
      listenAddress,
      peers,
      ...changed,
    });
    return nodeHostId;
  }

  /** Starts the node that the machine has of a cluster. */
  async startNode(clusterId: number): Promise<void> {
    await this.call("start", {
      clusterId,
      nodeId: this.nodes.get(clusterId)!,
      members: this.joined.has(clusterId)
        ? undefined
        : this.#fleet.firstMembers(clusterId),
    });
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    this.isUp = false;
    await process?.kill();
  }

  /** Closes in good order; kills what does not end. */
  async close(timeoutMs: number): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    this.isUp = false;
    if (process === undefined) return;
    const timer = setTimeout(() => process.kill(), timeoutMs);
    await process.call("close", null).catch(() => {});
    await process.ended;
    clearTimeout(timer);
  }

  /** An empty folder and another address: it is another machine now. */
  becomeAnother(): void {
    this.#generation++;
    this.dir = join(this.home, `data-${this.#generation}`);
    this.listenAddress = freeAddress();
    this.raftAddress = this.#fleet.proxy.open(this.name, this.listenAddress);
  }

  async #watch(process: HostProcess): Promise<void> {
    const { code, signal } = await process.ended;
    if (this.#process !== process) return; // Told to.
    this.#process = undefined;
    this.isUp = false;
    if (this.mayLoseDisk && code === diskFailedStatus) return;
    this.#fleet.report({
      check: "stops only when told",
      message: `${this.name} ended with ${
        signal ?? `status ${code}`
      }; see ${this.log}`,
    });
  }
}

/** All machines. */
export class Fleet {
  /** What stands between them. */
  readonly proxy: Proxy;
  /** The machines that carry clusters: machine `i` stands at `i - 1`. */
  readonly machines: readonly Machine[];
  /** A NodeHost without nodes. */
  readonly gateway: Machine;
  /** Told of what should not be. */
  readonly report: Report;
  /** No process is started any more. */
  isClosed = false;
  readonly #nextNodeId = new Map<number, number>();
  readonly #firstMembers = new Map<number, Record<number, string>>();

  /** Nothing runs yet; `dir` is an empty folder. */
  constructor(dir: string, seed: number, report: Report) {
    this.report = report;
    this.proxy = new Proxy(seed);
    const make = (name: string, hasDisk: boolean) => {
      const home = join(dir, name);
      Deno.mkdirSync(home);
      return new Machine(this, name, home, hasDisk);
    };
    this.machines = Array.from(
      { length: machineCount },
      (_, i) => make(`machine${i + 1}`, true),
    );
    this.gateway = make(gatewayName, false);
    for (const [clusterId, places] of clusters) {
      const members: Record<number, string> = {};
      places.forEach((place, i) => {
        const machine = this.machine(place);
        machine.nodes.set(clusterId, i + 1);
        members[i + 1] = machine.raftAddress;
      });
      this.#firstMembers.set(clusterId, members);
      this.#nextNodeId.set(clusterId, places.length + 1);
    }
  }

  /** Machine `number`, from 1 on. */
  machine(number: number): Machine {
    return this.machines[number - 1]!;
  }

  /** The machines, and the gateway. */
  get all(): readonly Machine[] {
    return [...this.machines, this.gateway];
  }

  /** Starts everything, and waits until every node is ready. */
  async start(timeoutMs: number): Promise<void> {
    await Promise.all(this.all.map((machine) => machine.start()));
    await Promise.all(
      this.machines.flatMap((machine) =>
        [...machine.nodes.keys()].map((clusterId) =>
          machine.call("ready", { clusterId, timeoutMs })
        )
      ),
    );
  }

  /** Addresses of a cluster's first members, by node id. */
  firstMembers(clusterId: number): Record<number, string> {
    return this.#firstMembers.get(clusterId)!;
  }

  /** An id that no node of the cluster ever had. */
  newNodeId(clusterId: number): number {
    const nodeId = this.#nextNodeId.get(clusterId)!;
    this.#nextNodeId.set(clusterId, nodeId + 1);
    return nodeId;
  }

  /** Whom a NodeHost asks about clusters that have no node there. */
  peersOf(machine: Machine): string[] {
    return this.machines.filter((one) => one !== machine)
      .map((one) => one.raftAddress);
  }

  /** Machines that serve a cluster, as far as is known. */
  carriers(clusterId: number): Machine[] {
    return this.machines.filter((one) => one.isUp && one.nodes.has(clusterId));
  }

  /** Kills all processes, and closes the proxy. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.all.map((machine) => machine.kill()));
    this.proxy.close();
  }
}

/** From below the range out of which the system serves outgoing connections, lest one of those takes it meanwhile. */
function freeAddress(): string {
  for (let tries = 0;; tries++) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return `127.0.0.1:${port}`;
    } catch (error) {
      if (tries > 1_000) throw error;
    }
  }
}
