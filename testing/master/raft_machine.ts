/**
 * A machine with the real NodeHost on it: its log on a simulated disk, its messages over a simulated network, and the
 * client's own code towards the masters. Only the way to them is simulated.
 */
import { ClientTasks } from "../../master/client_tasks.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type {
  IMasterClient,
  NodeHostInfo,
  NodeInfo,
  ReportReply,
} from "../../master/protocol.ts";
import { readReport, writeReport } from "../../master/wire/mod.ts";
import type { HostInfo } from "../../raft/host_info.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import type { Membership } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import {
  type ClockTraits,
  eventKind,
  HostClock,
  type Scope,
  type Timeline,
} from "../sim/clock.ts";
import { simCompression } from "../sim/compression.ts";
import type { SimDisk } from "../sim/disk.ts";
import type { SimNetwork } from "../sim/network.ts";
import type { SimRandom } from "../sim/random.ts";
import { LedgerMachine } from "./ledger.ts";

/** A master as a client reaches it. */
export interface ReachedMaster {
  readonly scope: Scope;
  readonly store: KvStore;
  /** Its machine's, which can be set wrong. */
  readonly clock: HostClock;
}

/** What a machine stands in. */
export interface MachineWorld {
  readonly timeline: Timeline;
  readonly random: SimRandom;
  readonly network: SimNetwork;
  readonly periodMs: number;
  readonly retentionMs: number;
  readonly clockTraits: ClockTraits;
  /** Addresses of masters, for `masterServers`. */
  readonly servers: readonly string[];
  /** The master that listens at an address now. */
  masterAt(url: string): ReachedMaster;
  /** Lets a message travel between a machine and a master; false if it is lost. */
  travel(machine: RaftMachine, way: "there" | "back"): Promise<boolean>;
  /** Whether the next message is sent twice. */
  isRepeated(): boolean;
  /** A node of the process has a membership. */
  sawMembership(clusterId: number, membership: Membership): void;
  /** A node of the process took part. */
  sawNode(clusterId: number, nodeId: number, machine: RaftMachine): void;
  /** Something is wrong. */
  problem(text: string): void;
}

/** A machine, and one process after the other on it. */
export class RaftMachine {
  host: NodeHost | undefined;
  scope: Scope;
  /** Nobody hears it but its neighbours. */
  isCutFromMasters = false;
  /** Nodes that it has data of, as last reported. */
  kept: readonly NodeInfo[] = [];
  /** Its disk is gone for good, or it never comes back. */
  isLost = false;
  readonly #world: MachineWorld;
  #runs = 0;

  /** Off. */
  constructor(
    world: MachineWorld,
    /** Its place in the network. */
    readonly index: number,
    readonly address: string,
    readonly region: string,
    readonly disk: SimDisk,
  ) {
    this.#world = world;
    this.scope = world.timeline.scope(address);
    this.scope.kill();
  }

  /** Whether a process runs. */
  get isUp(): boolean {
    return this.scope.isAlive;
  }

  /** What the NodeHost tells, if one is open. */
  info(): HostInfo | undefined {
    return this.isUp && !this.disk.hasFailed ? this.host?.info() : undefined;
  }

  /** Whether a node of a cluster runs here. */
  runs(clusterId: number, nodeId?: number): boolean {
    return this.info()?.clusters.some((one) =>
      one.clusterId === clusterId && one.failure === undefined &&
      (nodeId === undefined || one.nodeId === nodeId)
    ) === true;
  }

  /** Starts a process. */
  start(): void {
    if (this.isUp || this.isLost) return;
    const { timeline, network } = this.#world;
    const scope = timeline.scope(`${this.address} ${++this.#runs}`);
    this.scope = scope;
    this.disk.attach(scope);
    network.machineStarted(this.index);
    timeline.schedule(scope, 0, eventKind.world, () => {
      this.#open(scope).catch((error) => {
        // A master that cannot be reached, or a disk that is full or fails, ends a process; another one is started.
        if (!(error instanceof RaftError)) {
          this.#world.problem(`${this.address}: ${textOf(error)}`);
        }
        timeline.schedule(timeline.world, 0, eventKind.world, () => {
          if (this.scope === scope) this.stop("kill");
        });
      });
    });
  }

  /** Ends the process at once. */
  stop(how: "kill" | "powerLoss"): void {
    if (!this.isUp) return;
    this.scope.kill();
    this.host = undefined;
    const { network } = this.#world;
    network.processDied(this.index, this.scope, how === "powerLoss");
    if (how === "kill") this.disk.processDied();
    else this.disk.powerLost();
  }

  /** Runs `work` as a client inside the process would. */
  ask(work: (host: NodeHost) => void): void {
    const { host, scope } = this;
    if (host === undefined) return;
    this.#world.timeline.schedule(
      scope,
      0,
      eventKind.client,
      () => work(host),
    );
  }

  async #open(scope: Scope): Promise<void> {
    const world = this.#world;
    const { timeline, random } = world;
    const clock = new HostClock(
      timeline,
      scope,
      random.fork("clock"),
      world.clockTraits,
    );
    const host = await NodeHost.open({
      dir: "/data",
      raftAddress: this.address,
      region: this.region,
      tickMs: 100,
      segmentBytes: 1024 * 1024,
      reportPeriodMs: world.periodMs,
      masterServers: [...world.servers],
      masterClientFactory: (one) =>
        new SimMasterClient(world, this, one, clock),
      stateMachines: { ledger: () => new LedgerMachine() },
      logger: silentLogger,
    }, {
      fileSystem: this.disk.fileSystem,
      network: world.network.host(this.index, scope),
      clock,
      random: random.fork("host"),
      compression: simCompression,
    });
    this.host = host;
    this.#follow(host);
    this.#look();
  }

  async #follow(host: NodeHost): Promise<void> {
    for await (const event of host.events()) {
      if (event.type === "nodeReady" || event.type === "membershipChanged") {
        this.#look();
      }
    }
  }

  #look(): void {
    // What an event told of may be over: a log that failed tells nothing more.
    for (const one of this.info()?.clusters ?? []) {
      const { clusterId, nodeId, failure, membership } = one;
      if (failure !== undefined) continue;
      this.#world.sawNode(clusterId, nodeId, this);
      this.#world.sawMembership(clusterId, membership);
    }
  }
}

const silentLogger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
};

function textOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

/** What `httpMasterClient` does, without HTTP. */
class SimMasterClient implements IMasterClient {
  readonly #world: MachineWorld;
  readonly #machine: RaftMachine;
  readonly #tasks: ClientTasks;

  constructor(
    world: MachineWorld,
    machine: RaftMachine,
    host: NodeHost,
    clock: HostClock,
  ) {
    this.#world = world;
    this.#machine = machine;
    const { retentionMs } = world;
    const now = () => clock.wallTime();
    this.#tasks = new ClientTasks(host, { now, retentionMs });
  }

  name(): string {
    return "sim";
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  getDeploymentId(url: string): Promise<bigint> {
    return this.#call(url, (store) => store.deploymentId());
  }

  async sendNodeHostInfo(
    url: string,
    info: NodeHostInfo,
  ): Promise<ReportReply> {
    const tasks = this.#tasks;
    if (tasks.known.isBehind(info)) {
      const known = await this.#call(
        url,
        (store) => store.configChangeIndexes(),
      );
      tasks.known.learn(known);
    }
    if (info.logInfoIncluded) this.#machine.kept = info.logInfo;
    const report = tasks.prepare(info);
    const sent = readReport(writeReport(report.info));
    if (this.#world.isRepeated()) {
      this.#call(url, (store) => store.report(sent)).catch(() => {});
    }
    const reply = await this.#call(url, (store) => store.report(sent));
    tasks.delivered(report, reply);
    return reply;
  }

  async handleMasterRequests(): Promise<void> {
    await this.#tasks.handleRequests();
  }

  /** There and back; what is lost, or asked of a master that dies, is never answered. */
  async #call<T>(
    url: string,
    work: (store: KvStore) => Promise<T>,
  ): Promise<T> {
    const { scope } = this.#machine;
    const world = this.#world;
    const never = new Promise<never>(() => {});
    if (!await world.travel(this.#machine, "there")) return await never;
    const master = world.masterAt(url);
    let answer: T;
    try {
      answer = await work(master.store);
    } catch (error) {
      if (!(error instanceof RaftError)) world.problem(textOf(error));
      throw error;
    }
    const arrives = await world.travel(this.#machine, "back");
    if (!arrives || !master.scope.isAlive || !scope.isAlive) return await never;
    return answer;
  }
}
