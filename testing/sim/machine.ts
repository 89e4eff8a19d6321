/**
 * One simulated machine: a disk that stays, and one process after the other that runs the real NodeHost on it until it
 * is killed, loses its power, or closes.
 */
import { allMembers } from "../../raft/core/members.ts";
import type { NodeHostConfig } from "../../raft/config.ts";
import { RaftError } from "../../raft/errors.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import type { HostInfo } from "../../raft/host_info.ts";
import type { Logger } from "../../raft/ports.ts";
import type { AnyStateMachine } from "../../raft/state_machine.ts";
import { eventKind, HostClock } from "./clock.ts";
import type { Scope } from "./clock.ts";
import type { SimDisk } from "./disk.ts";
import { SimulationFailure } from "./failure.ts";
import { simCompression } from "./compression.ts";
import { ObservedConcurrent, ObservedOnDisk } from "./observed_kinds.ts";
import type { MachineWhims, StateDisk } from "./observed_kinds.ts";
import { ObservedMachine } from "./observed_machine.ts";
import type { ClusterPlan } from "./plan.ts";
import type { SimRandom } from "./random.ts";
import { SnapshotFiles } from "./snapshot_files.ts";
import type { World } from "./world.ts";

/** A node that a machine is to run. */
export interface Placement {
  readonly cluster: ClusterPlan;
  readonly nodeId: number;
  /** Added to a running cluster, rather than an initial member. */
  readonly join: boolean;
  /** Added as a witness: it has no state machine (rule C9). */
  readonly witness?: boolean;
}

/** An operator tries again so much later, in microseconds. */
const retryUs = 100_000;

/** What the process on a machine is doing. `stopping`: it is closing by itself. */
export type MachineState = "down" | "starting" | "up" | "stopping";

/** A machine. */
export class Machine {
  /** What the process is doing. */
  state: MachineState = "down";
  /** The NodeHost, while the process runs and has opened it. */
  host: NodeHost | undefined;
  /** The process. */
  scope: Scope;
  /** Its clock. */
  clock: HostClock | undefined;
  /** Nodes that it is to run, by cluster. */
  readonly placements = new Map<number, Placement>();
  /** The state machines of the process, by cluster. */
  readonly machines = new Map<number, ObservedMachine>();
  /** What state machines on disk have there, by cluster and node: it stays when the process ends. */
  readonly #stateDisks = new Map<string, StateDisk>();
  /** Clusters whose node was started in this process. */
  readonly startedClusters = new Set<number>();
  /** Whom the nodes of the process took for the leader when that was looked at last, by cluster. */
  readonly leaders = new Map<number, { leaderId: number; term: number }>();
  /** Called when the process ends, with what it had not answered. */
  readonly onDeath = new Set<() => void>();
  readonly #world: World;
  readonly #random: SimRandom;
  #incarnation = 0;
  #startedUs = 0;

  /** A machine that is down. */
  constructor(
    world: World,
    /** Its number. */
    readonly index: number,
    /** Where it listens when it is started next; see `addresses.ts`. */
    public address: string,
    /** Its disk. */
    readonly disk: SimDisk,
    random: SimRandom,
  ) {
    this.#world = world;
    this.#random = random;
    this.scope = world.timeline.scope(`m${index}`);
    this.scope.kill();
  }

  /** Whether clients can ask it something. */
  get isUp(): boolean {
    return this.state === "up" && !this.scope.isPaused;
  }

  /** For people: machine and run. */
  get label(): string {
    return `m${this.index}.${this.#incarnation}`;
  }

  /** Whether clients can ask its node of a cluster something: a witness can do nothing for them. */
  serves(clusterId: number): boolean {
    return this.isUp && this.startedClusters.has(clusterId) &&
      this.placements.get(clusterId)?.witness !== true;
  }

  /** How long the process has been starting. */
  get startingUs(): number {
    return this.state === "starting"
      ? this.#world.timeline.nowUs - this.#startedUs
      : 0;
  }

  /** Starts a process. */
  start(): void {
    if (this.state !== "down") return;
    const { timeline, network, trace } = this.#world;
    this.state = "starting";
    this.#incarnation++;
    this.#startedUs = timeline.nowUs;
    const scope = timeline.scope(this.label);
    scope.afterEvent = () => {
      if (this.scope === scope) this.#world.checks.afterEvent(this);
    };
    this.scope = scope;
    this.clock = new HostClock(
      timeline,
      scope,
      this.#random.fork(`clock${this.#incarnation}`),
      this.#world.plan.clocks[this.index]!,
    );
    this.disk.attach(scope);
    network.machineStarted(this.index);
    trace.note(timeline.nowUs, this.label, "start");
    timeline.schedule(scope, 0, eventKind.world, () => {
      this.#open(scope).catch((error) => this.#startFailed(scope, error));
    });
  }

  /** Whether the process is of an older release. */
  get #isOlder(): boolean {
    const untilUs = this.#world.plan.olderUntilUs[this.index] ?? 0;
    return untilUs > 0 && this.#incarnation === 1;
  }

  /** Ends a process of an older release; the next one is of the newest. */
  upgrade(): void {
    if (!this.#isOlder || this.state === "down") return;
    this.stop("kill");
    this.#world.restartLater(this);
  }

  /** Ends the process at once: killed, or with the power of the whole machine. */
  stop(how: "kill" | "powerLoss"): void {
    if (this.state === "down") return;
    const { timeline, network, trace } = this.#world;
    trace.note(timeline.nowUs, this.label, how);
    this.#ended();
    network.processDied(this.index, this.scope, how === "powerLoss");
    if (how === "kill") this.disk.processDied();
    else this.disk.powerLost();
  }

  /** Closes the NodeHost in good order; `done` is called when the process has ended, however it did. */
  close(done: () => void): void {
    const { host, scope } = this;
    const { timeline, trace } = this.#world;
    if (this.state !== "up" || host === undefined) return done();
    this.state = "stopping";
    trace.note(timeline.nowUs, this.label, "close");
    const onDeath = () => done();
    this.onDeath.add(onDeath);
    timeline.schedule(scope, 0, eventKind.world, () => {
      host.close().then(
        () => this.#closed(scope),
        (error) => this.#closeFailed(scope, error),
      );
    });
  }

  /** Runs `work` as a client inside the process would. Not at all if the process ends before. */
  run(work: (host: NodeHost) => void): void {
    const { host, scope } = this;
    if (host === undefined) return;
    this.#world.timeline.schedule(scope, 0, eventKind.client, () => work(host));
  }

  /** What the NodeHost tells about itself, if it is open and its disk has not been made to fail. */
  info(): HostInfo | undefined {
    return this.state === "up" && !this.disk.hasFailed
      ? this.host?.info()
      : undefined;
  }

  /** How far the node of a cluster has come; 0 while there is none. */
  appliedIndex(clusterId: number): number {
    const nodes = this.info()?.clusters ?? [];
    return nodes.find((one) => one.clusterId === clusterId)?.applied ?? 0;
  }

  /** Whether the node of a cluster may stop by itself: somebody asked to remove it. */
  mayStop(clusterId: number): boolean {
    const placement = this.placements.get(clusterId);
    return placement === undefined ||
      this.#world.membership.mayBeRemoved(clusterId, placement.nodeId);
  }

  /** One line for each node, for a person who looks at a failed run. */
  describe(): string[] {
    const state = this.scope.isPaused ? "paused" : this.state;
    const { nodes, trouble } = this.#nodesForPeople();
    return [
      `${this.label} ${state}, to run ${
        [...this.placements.values()].map((one) =>
          `${one.cluster.clusterId}/${one.nodeId}`
        ).join(" ") || "nothing"
      }${trouble}`,
      ...nodes.map((one) =>
        `  cluster ${one.clusterId} node ${one.nodeId}: term ${one.term} leader ${one.leaderId} commit ${one.commit} ` +
        `applied ${one.applied} last ${one.lastIndex} snapshot ${one.snapshotIndex} members ` +
        allMembers(one.membership).map((member) =>
          `${member.nodeId}${member.nodeHostId === "" ? "?" : ""}`
        ).join(",") +
        (one.failure === undefined ? "" : ` FAILED ${one.failure}`)
      ),
    ];
  }

  /** A NodeHost whose log has failed, as it may in a run that does, tells nothing; whoever reports that must go on. */
  #nodesForPeople(): { nodes: HostInfo["clusters"]; trouble: string } {
    try {
      return { nodes: this.info()?.clusters ?? [], trouble: "" };
    } catch (error) {
      return { nodes: [], trouble: `, tells nothing: ${describeError(error)}` };
    }
  }

  /** Starts the node of a placement that came while the process runs. */
  startPlacement(placement: Placement): void {
    this.placements.set(placement.cluster.clusterId, placement);
    const { scope } = this;
    if (this.state !== "up") return;
    this.run((host) => {
      this.#startUnlessRemoved(host, placement).catch((error) =>
        this.#startFailed(scope, error)
      );
    });
  }

  /** The node of a cluster is not to run here any more. */
  dropPlacement(clusterId: number): void {
    this.placements.delete(clusterId);
    if (!this.startedClusters.delete(clusterId)) return;
    this.run((host) => this.#world.expectRefusals(host.stopCluster(clusterId)));
  }

  /** Stops the node of a cluster and starts it again; false if it does not run. */
  restartCluster(clusterId: number): boolean {
    const placement = this.placements.get(clusterId);
    if (placement === undefined || !this.startedClusters.delete(clusterId)) {
      return false;
    }
    const { scope } = this;
    this.run((host) => {
      host.stopCluster(clusterId)
        .then(() => {
          // Another one may have taken its place meanwhile.
          if (this.placements.get(clusterId) !== placement) return;
          return this.#startUnlessRemoved(host, placement);
        })
        .catch((error) => this.#startFailed(scope, error));
    });
    return true;
  }

  /** Runs another node of a cluster from now on, in place of the one that was to run. */
  placeAnew(placement: Placement): void {
    const { clusterId } = placement.cluster;
    this.placements.set(clusterId, placement);
    this.startedClusters.delete(clusterId);
    this.leaders.delete(clusterId);
    const { scope } = this;
    if (this.state !== "up") return;
    this.run((host) => {
      host.stopCluster(clusterId)
        .catch(() => {}) // There may be none.
        .then(() => this.#startUnlessRemoved(host, placement))
        .catch((error) => this.#startFailed(scope, error));
    });
  }

  /** State machines on disk have lost what they had there. */
  forgetStates(): void {
    this.#stateDisks.clear();
  }

  /** A cluster is rebuilt from an image: what its state machines on disk have there is of before. */
  outdateStates(clusterId: number): void {
    for (const [key, disk] of this.#stateDisks) {
      if (key.startsWith(`${clusterId}-`)) disk.isOfBefore = true;
    }
  }

  /** The process opens another folder on the same disk as well. */
  openAnother(dir: string, raftAddress: string): Promise<NodeHost> {
    return this.#openHost(this.scope, { dir, raftAddress });
  }

  async #openHost(
    scope: Scope,
    config: Pick<
      NodeHostConfig,
      "dir" | "raftAddress" | "raftAddressChanged" | "adoptCopiedDir"
    >,
  ): Promise<NodeHost> {
    const { plan, network, random } = this.#world;
    return await NodeHost.open({
      ...config,
      tickMs: plan.tickMs,
      segmentBytes: plan.segmentBytes,
      ...(this.disk.isRotten ? { onDamage: "mend" } as const : {}),
      logger: this.#logger(),
      peers: plan.workload.routedShare === 0 ? [] : this.#world.machines
        .map((other) => other.address)
        .filter((address) => address !== this.address),
      ...(plan.snapshotBytesPerSecond === undefined ? {} : {
        maxSnapshotSendBytesPerSecond: plan.snapshotBytesPerSecond,
        maxSnapshotReceiveBytesPerSecond: plan.snapshotBytesPerSecond,
      }),
    }, {
      ...(this.#isOlder ? { highestWireVersion: 1 } : {}),
      compression: simCompression,
      fileSystem: this.disk.fileSystem,
      network: network.host(this.index, scope),
      clock: this.clock!,
      random: random.fork(`host${this.index}.${this.#incarnation}`),
    });
  }

  async #open(scope: Scope): Promise<void> {
    const { folders, addresses } = this.#world;
    const host = await this.#openHost(scope, {
      dir: "/data",
      raftAddress: this.address,
      raftAddressChanged: addresses.hasMoved(this),
      adoptCopiedDir: folders.isAdopted(this),
    });
    folders.opened(this);
    this.host = host;
    this.#world.checks.listen(this, host);
    const damaged = new Set(host.info().damaged.map((one) => one.clusterId));
    for (const placement of [...this.placements.values()]) {
      const { clusterId } = placement.cluster;
      if (damaged.has(clusterId)) this.#startDamaged(scope, host, placement);
      else await this.#startUnlessRemoved(host, placement);
    }
    this.state = "up";
    this.#world.machineUp(this);
  }

  /** A node that is mended starts when others have sent what it misses; one that is lost says so. */
  #startDamaged(scope: Scope, host: NodeHost, placement: Placement): void {
    const { clusterId } = placement.cluster;
    this.#startUnlessRemoved(host, placement).catch((error) => {
      const isLost = error instanceof RaftError &&
        error.code === "corruption" &&
        host.info().damaged.some((one) =>
          one.clusterId === clusterId && one.state === "lost"
        );
      const isClosing = error instanceof RaftError && error.code === "closed";
      if (!isLost && !isClosing) this.#startFailed(scope, error);
    });
  }

  /**
   * A node may know from its own log that it was removed. It runs all the same, until a member tells it that it may go. It
   * waits while the data of one before it are removed.
   */
  async #startUnlessRemoved(
    host: NodeHost,
    placement: Placement,
  ): Promise<void> {
    const { clusterId } = placement.cluster;
    const { timeline, removals } = this.#world;
    while (removals.isUnderWay(this, clusterId)) {
      await timeline.wait(this.scope, retryUs, eventKind.client);
      if (this.placements.get(clusterId) !== placement) return;
    }
    try {
      await this.#startCluster(host, placement);
    } catch (error) {
      if (!(error instanceof RaftError) || error.code !== "nodeRemoved") {
        throw error;
      }
    }
  }

  async #startCluster(host: NodeHost, placement: Placement): Promise<void> {
    const { clusterId } = placement.cluster;
    if (placement.witness === true) await this.#startWitness(host, placement);
    else await this.#startWithMachine(host, placement);
    const status = host.info().clusters.find((one) =>
      one.clusterId === clusterId
    );
    if (status !== undefined) this.#world.checks.nodeStarted(this, status);
    if (this.placements.get(clusterId) === placement) {
      this.startedClusters.add(clusterId);
    }
  }

  async #startWitness(host: NodeHost, placement: Placement): Promise<void> {
    const { cluster, nodeId, join } = placement;
    await host.startCluster({
      clusterId: cluster.clusterId,
      nodeId,
      join,
      witness: true,
      electionTimeoutTicks: cluster.electionTimeoutTicks,
      heartbeatTicks: cluster.heartbeatTicks,
      quiesce: cluster.quiesce,
    });
  }

  async #startWithMachine(host: NodeHost, placement: Placement): Promise<void> {
    const { cluster, nodeId, join } = placement;
    const { clusterId } = cluster;
    await host.startCluster({
      clusterId,
      nodeId,
      ...(join
        ? { join }
        : { initialMembers: this.#world.initialMembers(cluster) }),
      electionTimeoutTicks: cluster.electionTimeoutTicks,
      heartbeatTicks: cluster.heartbeatTicks,
      snapshotEntries: cluster.snapshotEntries,
      quiesce: cluster.quiesce,
      leaseReads: cluster.leaseReads,
      maxClockDriftPpm: 45_000, // Clocks differ by 4 % at most, see `plan.ts`.
      compactionOverhead: cluster.compactionOverhead,
      maxSessions: cluster.maxSessions,
      maxInMemLogBytes: cluster.maxInMemLogBytes,
      snapshotCompression: cluster.snapshotCompression,
      entryCompression: cluster.entryCompression,
      stateMachine: (node) => this.#stateMachine(cluster, node),
    });
  }

  #stateMachine(
    { clusterId, machineKind, snapshotFiles }: ClusterPlan,
    node: { clusterId: number; nodeId: number },
  ): AnyStateMachine {
    const machine = new ObservedMachine(
      this.#world.application.stateMachine(node),
      this.#world.checks,
      { ...node, incarnation: this.label },
    );
    this.machines.set(clusterId, machine);
    if (machineKind === "regular") return machine;
    const random = this.#random.fork(`whims${clusterId}.${this.#incarnation}`);
    const whims: MachineWhims = {
      clock: this.clock!,
      random,
      ...(snapshotFiles ? { files: this.#snapshotFiles(node) } : {}),
    };
    if (machineKind === "concurrent") {
      return new ObservedConcurrent(machine, whims);
    }
    const key = `${clusterId}-${node.nodeId}`;
    const disk = this.#stateDisks.get(key) ?? {
      synced: undefined,
      isOfBefore: false,
    };
    this.#stateDisks.set(key, disk);
    return new ObservedOnDisk(machine, disk, whims);
  }

  #snapshotFiles(
    { clusterId, nodeId }: { clusterId: number; nodeId: number },
  ): SnapshotFiles {
    return new SnapshotFiles({
      disk: this.disk,
      dir: `/files/${clusterId}-${nodeId}`,
      random: this.#random.fork(`files${clusterId}.${this.#incarnation}`),
      observer: this.#world.checks,
    });
  }

  #startFailed(scope: Scope, error: unknown): void {
    if (this.state === "stopping") return; // The node of a cluster was to start while the NodeHost closes.
    this.#afterwards(scope, () => {
      if (this.#world.folders.refused(this, error)) return;
      if (!this.#world.mayFailToStart(this, error)) {
        return this.#failed("cannot start", error);
      }
      this.#world.trace.note(
        this.#world.timeline.nowUs,
        this.label,
        "cannot start",
        error,
      );
      this.stop("kill");
      this.#world.restartLater(this);
    });
  }

  #closed(scope: Scope): void {
    this.#afterwards(scope, () => {
      this.#world.checks.hostClosed(this);
      this.#world.network.processDied(this.index, scope, false);
      this.#ended();
      this.disk.processDied();
    });
  }

  #closeFailed(scope: Scope, error: unknown): void {
    if (!this.disk.hasFailed) this.#failed("cannot close", error);
    this.#closed(scope);
  }

  /** Lets the process end in an event of its own, when no job of it is left that could still reach the disk. */
  #afterwards(scope: Scope, callback: () => void): void {
    const { timeline } = this.#world;
    timeline.schedule(timeline.world, 0, eventKind.world, () => {
      if (scope === this.scope && scope.isAlive) callback();
    });
  }

  #failed(what: string, error: unknown): void {
    const message = `${this.label} ${what}: ${describeError(error)}`;
    this.#world.fail(
      new SimulationFailure("stops only when told", message, { cause: error }),
    );
  }

  #ended(): void {
    this.scope.kill();
    this.state = "down";
    this.host = undefined;
    this.machines.clear();
    this.leaders.clear();
    this.startedClusters.clear();
    const callbacks = [...this.onDeath];
    this.onDeath.clear();
    for (const callback of callbacks) callback();
  }

  #logger(): Logger {
    const { trace, timeline } = this.#world;
    const who = this.label;
    const log = (level: string) =>
    (
      message: string,
      fields?: Record<string, unknown>,
    ) => {
      trace.note(timeline.nowUs, who, `${level}: ${message}`, fields);
    };
    return {
      debug: log("debug"),
      info: log("info"),
      warn: log("warn"),
      error: log("error"),
    };
  }
}

/** An error as one line, with its code. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? ` (${String(error.code)})` : "";
  return `${error.name}${code}: ${error.message}`;
}
