/**
 * What stands behind a `NodeHost`: opens its folder, log and port in their order, starts and stops its nodes, and shuts
 * everything down again.
 */
import type { AddressBook } from "./address_book.ts";
import { closeMachine } from "./applier.ts";
import {
  bootstrapFor,
  configOf,
  requireOwnAddress,
  withMachineKind,
} from "./bootstrap.ts";
import { type CertificateWatch, openNetwork } from "./certificate_watch.ts";
import type {
  ResolvedClusterConfig,
  ResolvedNodeHostConfig,
  WaitOptions,
} from "./config.ts";
import type { OpenWait } from "./deployment.ts";
import { zlibCompression } from "./compression.ts";
import { crc32 } from "./deps.ts";
import { ConnectionWatch, listenError } from "./connection_watch.ts";
import { Engine } from "./engine.ts";
import { RaftError } from "./errors.ts";
import { EventHub } from "./events.ts";
import { HealthWatch } from "./health.ts";
import type { HostContext } from "./host_context.ts";
import { clusterExists, clusterNotFound } from "./host_errors.ts";
import { openStorage } from "./host_storage.ts";
import { openIdentity } from "./identity.ts";
import type { OpenedIdentity } from "./identity.ts";
import { handOver, makeSpread } from "./leaders.ts";
import type { LeaderSpread } from "./leaders.ts";
import { consoleLogger, harmless } from "./logger.ts";
import { Counters } from "./metrics/counters.ts";
import { addIgnored, gatherGauges, noIgnored } from "./metrics/gauges.ts";
import { HostMetrics } from "./metrics/host_metrics.ts";
import { Masters } from "./masters.ts";
import { Mending } from "./mending.ts";
import { Neighbours } from "./neighbours.ts";
import { Node } from "./node.ts";
import { Pauses } from "./pauses.ts";
import { makePeer, randomInteger } from "./peer_maker.ts";
import type { Logger, Ports } from "./ports.ts";
import type { CallableMethod } from "./remote/calls.ts";
import { Remote } from "./remote/remote.ts";
import { removeNodeData } from "./remove_data.ts";
import { unreached } from "./seeking.ts";
import type { SessionTable } from "./sessions.ts";
import { SnapshotPacer } from "./snapshot_pacer.ts";
import { Snapshotter } from "./snapshotter.ts";
import { Starting } from "./starting.ts";
import { findFactory } from "./machine_factory.ts";
import { startMachine } from "./machine_start.ts";
import { kindOf, makeMachine } from "./state_machine.ts";
import type { AnyStateMachine, StateMachineFactory } from "./state_machine.ts";
import { LinkPool } from "./transport/link_pool.ts";
import type { Link, WireRecord } from "./transport/link_pool.ts";
import { Notices } from "./transport/notices.ts";
import type { IMasterClient, NodeHostInfo } from "../master/protocol.ts";
import type { Bootstrap, NodeLog } from "../storage/log_store.ts";
import type { SnapshotStore } from "../storage/snapshots.ts";
import { validateId } from "./validation.ts";
import { HostVersions } from "./versions.ts";
import type { Wal } from "../storage/wal/wal.ts";

/** Of clusters that lost their leader while they were quiet, so many begin an election in one tick on average (C10). */
const wokenPerTick = 256;
/** Nodes that are started again at a time when a NodeHost opens. */
const restartedAtOnce = 32;
const maxQueuedBytes = 64 * 1024 * 1024;

/** What a {@link HostRuntime} needs of its NodeHost. */
export interface RuntimeOwner {
  /** Makes the client that talks to masters. */
  makeMasterClient(): IMasterClient;
  /** The next report to a master. */
  report(includeLog: boolean): NodeHostInfo;
  /** Calls one of its methods for another NodeHost. */
  call(
    method: CallableMethod,
    clusterId: number,
    args: readonly unknown[],
    options: WaitOptions,
  ): Promise<unknown>;
}

/** The working parts of one NodeHost. */
export class HostRuntime {
  /** Its configuration. */
  readonly config: ResolvedNodeHostConfig;
  /** The world. */
  readonly ports: Ports;
  readonly #owner: RuntimeOwner;
  readonly #logger: Logger;
  readonly #nodes = new Map<number, Node>();
  readonly #starting: Starting;
  /** Nodes on their way out, by cluster: the next one of a cluster waits for the end of the one before. */
  readonly #stopping = new Map<number, Promise<void>>();
  #identity: OpenedIdentity | undefined;
  #context: HostContext | undefined;
  #engine: Engine | undefined;
  readonly #spread: LeaderSpread | undefined;
  #mending: Mending | undefined;
  #snapshots: SnapshotStore | undefined;
  #links: LinkPool | undefined;
  #remote: Remote | undefined;
  #neighbours: Neighbours | undefined;
  #certificates: CertificateWatch | undefined;
  #wal: Wal | undefined;
  #masters: Masters | undefined;
  /** Who listens to what happens. */
  readonly events = new EventHub();
  /** What is counted. */
  readonly counters = new Counters();
  /** What is measured. */
  readonly metrics = new HostMetrics(this.counters, () =>
    gatherGauges({
      nodes: this.#nodes.values(),
      ignoredBefore: this.#ignoredBefore,
      links: this.#links?.links() ?? [],
      log: this.#wal,
      health: this.#health,
      incarnation: this.#identity?.incarnation ?? 0,
    }));
  /** What nodes that are gone did not heed. */
  readonly #ignoredBefore = noIgnored();
  readonly #health: HealthWatch;
  readonly #versions: HostVersions;
  readonly #connections: ConnectionWatch;
  readonly #pauses: Pauses;
  #failure: RaftError | undefined;
  #closing: Promise<void> | undefined;

  /** Nothing is opened yet. */
  constructor(
    config: ResolvedNodeHostConfig,
    ports: Ports,
    owner: RuntimeOwner,
  ) {
    this.config = config;
    this.ports = config.storage === undefined
      ? ports
      : { ...ports, fileSystem: config.storage };
    this.#owner = owner;
    this.#pauses = new Pauses(ports.clock);
    this.#starting = new Starting(ports.clock);
    this.#logger = config.logger === undefined
      ? consoleLogger
      : harmless(config.logger);
    this.#versions = new HostVersions(ports.highestWireVersion);
    this.#connections = new ConnectionWatch(this.#logger, this.events);
    this.#health = new HealthWatch({
      clock: ports.clock,
      logger: this.#logger,
      events: this.events,
      counters: this.counters,
      tickMs: config.tickMs,
    });
    this.#spread = makeSpread(this, this.#logger);
  }

  /** The folder's identity, once it is open. */
  get identity(): OpenedIdentity | undefined {
    return this.#identity;
  }

  /** Where other NodeHosts are; only while open. */
  get addresses(): AddressBook {
    return this.#neighbours!.book;
  }

  /** The log; only while open. */
  get log(): Wal {
    return this.#wal!;
  }

  /** The certificates, if there are any. */
  get certificates(): CertificateWatch | undefined {
    return this.#certificates;
  }

  /** The connections; only while open. */
  get links(): LinkPool {
    return this.#links!;
  }

  /** Opens everything; on failure {@link release} undoes what was opened. */
  async open(wait?: OpenWait): Promise<void> {
    const config = this.config;
    const { fileSystem, random } = this.ports;
    const isManaged = config.masterServers.length > 0;
    this.#identity = await openIdentity({
      fileSystem,
      dir: config.dir,
      raftAddress: config.raftAddress,
      raftAddressChanged: config.raftAddressChanged,
      adoptCopiedDir: config.adoptCopiedDir,
      deploymentId: isManaged ? undefined : config.deploymentId,
      random,
    });
    if (isManaged) {
      this.#masters = this.#makeMasters();
      await this.#masters.join(this.#identity, wait);
    }
    await this.#openLog();
    await this.#listen();
    this.#engine!.start();
    await this.#restartNodes();
    this.#masters?.start();
  }

  #makeMasters(): Masters {
    return new Masters({
      servers: this.config.masterServers,
      reportPeriodMs: this.config.reportPeriodMs,
      clock: this.ports.clock,
      random: this.ports.random,
      logger: this.#logger,
      client: this.#owner.makeMasterClient(),
      report: (includeLog) => this.#owner.report(includeLog),
      unreached: () =>
        unreached(
          [...this.#nodes.values()],
          (id) => this.#links?.linkOf(id) !== undefined,
        ),
      found: (hosts) => this.#neighbours?.learn(hosts),
    });
  }

  async #openLog(): Promise<void> {
    const { ports } = this;
    const logger = this.#logger;
    const { dir, segmentBytes, onDamage } = this.config;
    const { snapshots } = await openStorage(
      { ports, dir, segmentBytes, onDamage, logger },
      (opened) => this.#wal = opened,
    );
    this.#snapshots = snapshots;
  }

  async #listen(): Promise<void> {
    const { clock, random } = this.ports;
    const opened = await openNetwork(this.ports.network, this.config, {
      clock,
      logger: this.#logger,
    });
    this.#certificates = opened.certificates;
    const self = {
      nodeHostId: this.#identity!.nodeHostId,
      incarnation: this.#identity!.incarnation,
      raftAddress: this.config.raftAddress,
    };
    const links = new LinkPool({
      network: opened.network,
      clock,
      random,
      logger: this.#logger,
      self,
      deploymentId: this.#identity!.deploymentId!,
      listenAddress: this.config.listenAddress,
      maxFrameBytes: Math.floor(this.config.segmentBytes / 4),
      maxQueuedBytes,
      maxConnections: this.config.maxConnections,
      counters: this.counters.transport,
      highestVersion: this.ports.highestWireVersion,
      handlers: {
        onRecord: (link, record) => this.#receive(link, record),
        onFrameEnd: () => this.#engine?.requestTurn(),
        onLinkUp: (link) => {
          this.#versions.met(link.remote!.nodeHostId, link.version);
          this.#connections.up(link.address);
          this.#neighbours?.linkUp(link); // It may have moved.
          this.#spread?.linkUp(link.address);
          this.#eachNode((node) => node.linkUp());
          this.#remote?.linkUp(link);
        },
        onLinkDown: (link, reason) => {
          this.#connections.down(link.address, reason);
          this.#linkDown(link.address);
          this.#remote?.linkDown(link, reason);
        },
        onRefused: (refusal) => this.#connections.refused(refusal),
        onSnapshotConnection: (remote, connection) =>
          this.#context?.snapshotter.accept(connection, {
            onOffer: (offer) => {
              const node = this.#nodes.get(offer.clusterId);
              return node === undefined
                ? "the cluster is not here"
                : node.snapshots.judge(offer, remote);
            },
            onReceived: (offer) =>
              this.#nodes.get(offer.clusterId)?.snapshots.received(offer),
          }),
      },
    });
    this.#links = links;
    this.#engine = new Engine({
      clock,
      log: this.#wal!,
      links,
      logger: this.#logger,
      tickMs: this.config.tickMs,
      health: this.#health,
      onDiskFailure: (error) => this.#diskFailed(error),
      onTick: (now) => this.#spread?.tick(now),
    });
    const engine = this.#engine;
    const neighbours = new Neighbours({
      self,
      fileSystem: this.ports.fileSystem,
      dir: this.config.dir,
      logger: this.#logger,
      hints: this.config.nodeHostAddresses,
      nodes: () => this.sortedNodes(),
      links: () => links.links(),
      requestTurn: () => engine.requestTurn(),
    });
    this.#neighbours = neighbours;
    this.#mending = new Mending({
      addresses: neighbours.book,
      links,
      engine: this.#engine,
      log: this.#wal!,
      logger: this.#logger,
      tickMs: this.config.tickMs,
      maxBytes: this.#batchBytes(),
      pause: (ms) => this.pause(ms),
      failure: () => this.#failure,
    });
    const notices = new Notices(this.#logger, clock);
    this.#context = {
      addresses: neighbours.book,
      notices,
      self,
      versions: this.#versions,
      proposer: randomInteger(random),
      tickMs: this.config.tickMs,
      maxPayloadBytes: this.config.maxPayloadBytes,
      batchBytes: this.#batchBytes(),
      clock,
      compression: this.ports.compression ?? zlibCompression,
      logger: this.#logger,
      events: this.events,
      counters: this.counters,
      links,
      log: this.#wal!,
      snapshotStore: this.#snapshots!,
      snapshotPacer: new SnapshotPacer(clock),
      snapshotter: new Snapshotter({
        store: this.#snapshots!,
        clock,
        logger: notices.limited(this.#logger),
        crc32,
        maxSendBytesPerSecond: this.config.maxSnapshotSendBytesPerSecond,
        maxReceiveBytesPerSecond: this.config.maxSnapshotReceiveBytesPerSecond,
      }),
    };
    this.#remote = new Remote({
      clock,
      logger: this.#logger,
      tickMs: this.config.tickMs,
      maxPayloadBytes: this.config.maxPayloadBytes,
      self,
      peers: this.config.peers,
      links,
      findNode: (clusterId) => this.#nodes.get(clusterId),
      troubleWith: (address) => this.troubleWith(address),
      call: (...call) => this.#owner.call(...call),
      learnAddresses: (link, hosts) => neighbours.receive(link, hosts),
      requestTurn: () => engine.requestTurn(),
    });
    try {
      await links.listen();
    } catch (error) {
      throw listenError(this.config.listenAddress, error);
    }
  }

  #linkDown(address: string): void {
    this.#spread?.linkDown(address);
    const nodes = this.sortedNodes();
    const quiet = nodes.filter((node) => node.isQuietUnder(address));
    const withinTicks = Math.ceil(quiet.length / wokenPerTick);
    this.#eachNode((node) => node.linkDown(address, withinTicks));
  }

  /** Why the NodeHost at `address` cannot be reached, as far as known; `""` if it can, or was not tried. */
  troubleWith(address: string): string {
    return this.#connections.troubleWith(address);
  }

  /** Starts again the nodes that the log names and whose state machine has a name here (rule I5). */
  async #restartNodes(): Promise<void> {
    let restarting: Promise<void>[] = [];
    for (const { clusterId, nodeId } of this.#wal!.nodes()) {
      // Of several nodes of a cluster, only the one started last has kept its name.
      const bootstrap = this.#wal!.node(clusterId, nodeId).bootstrap();
      if (bootstrap === undefined) continue;
      if (
        !Object.hasOwn(this.config.stateMachines, bootstrap.stateMachineName)
      ) {
        continue;
      }
      const started = this.start({
        ...configOf({ clusterId, nodeId }, bootstrap),
        initialMembers: {},
        join: false,
      }).catch((error) => {
        // One cluster's trouble stays its own.
        this.#logger.error("a node could not be started again", {
          clusterId,
          nodeId,
          error: String(error),
        });
      });
      // One that is mended waits for others, and they may wait for this NodeHost.
      if (this.#wal!.node(clusterId, nodeId).damage()) continue;
      // Several at a time share a sync; all at once would restore all their states at once.
      if (restarting.push(started) < restartedAtOnce) continue;
      await Promise.all(restarting);
      restarting = [];
    }
    await Promise.all(restarting);
  }

  /** Hands leadership over, then closes everything. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      if (this.events.isHeard) this.events.emit({ type: "hostClosing" });
      this.#closing = this.#close();
    }
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#failure === undefined) {
      await handOver(
        this.sortedNodes(),
        () => this.pause(this.config.tickMs),
      );
    }
    await this.release();
  }

  /** Closes what is open. */
  async release(): Promise<void> {
    this.#failure ??= new RaftError(
      "closed",
      "Cannot use the NodeHost: it is closed",
    );
    const failure = this.#failure;
    this.#pauses.endAll();
    await this.#masters?.stop();
    this.#eachNode((node) => node.stop(failure));
    this.#remote?.close(failure);
    this.#links?.close();
    this.#certificates?.close();
    this.#engine?.close();
    if (this.#wal?.failure === undefined) await this.#engine?.idle();
    this.#engine?.abandon(); // What the full disk had no room for.
    this.#pauses.endAll();
    await Promise.all(this.sortedNodes().map((node) => node.ended));
    await Promise.all(this.#stopping.values());
    this.#context?.snapshotter.close();
    await this.#wal?.close();
    await this.#neighbours?.idle();
    this.#identity?.release();
    this.events.close();
  }

  /** The log is closed for good: this NodeHost must not go on leading (rule L2). */
  #diskFailed(error: unknown): void {
    this.#links?.close();
    this.#failure = new RaftError(
      "diskFailed",
      `Cannot use the NodeHost: its log failed: ${
        error instanceof Error ? error.message : String(error)
      }`,
      { cause: error },
    );
    const failure = this.#failure;
    if (this.events.isHeard) {
      const reason = error instanceof Error ? error.message : String(error);
      this.events.emit({ type: "diskFailed", reason });
    }
    this.#eachNode((node) => node.stop(failure));
    this.#remote?.close(failure);
  }

  /** Starts a node. */
  async start(config: ResolvedClusterConfig): Promise<void> {
    const { clusterId, nodeId } = config;
    const factory = findFactory(config, this.config.stateMachines);
    const running = this.#nodes.get(clusterId);
    if (running?.refusal?.code === "nodeRemoved" && running.nodeId !== nodeId) {
      running.removed();
      this.#leave(running);
    }
    const failed = running?.failure?.code;
    if (failed !== undefined && failed !== "nodeRemoved") this.#leave(running!);
    if (this.#nodes.has(clusterId) || this.#starting.has(clusterId)) {
      throw running?.refusal ??
        clusterExists(clusterId, nodeId, running?.nodeId);
    }
    this.#starting.begin(clusterId);
    try {
      await this.#stopping.get(clusterId);
      this.#enter(await this.#makeNode(config, factory));
    } finally {
      this.#starting.end(clusterId);
    }
  }

  /** Lets a node take part. @throws {RaftError} why it cannot. */
  #enter(node: Node): void {
    const { clusterId } = node;
    this.#nodes.set(clusterId, node);
    try {
      this.requireOpen();
      this.#engine!.add(node);
      node.membershipChanged(node.peer.membership());
      node.linkUp();
      for (const { link, hello } of this.#starting.heldFor(clusterId)) {
        node.receive(link, hello);
      }
    } catch (error) {
      node.fail(error);
    }
    this.#entered(node);
    // A removed node goes on voting until it may go; who starts it is told all the same.
    if (node.failure !== undefined) this.#leave(node);
    if (node.refusal !== undefined) throw node.refusal;
  }

  #entered(node: Node): void {
    this.counters.nodesStarted++;
    this.#health.nodeAdded(node.config.electionTimeoutTicks);
    if (node.failure !== undefined || !this.events.isHeard) return;
    const { clusterId, nodeId } = node;
    const { applied } = node.applier;
    this.events.emit({ type: "nodeReady", clusterId, nodeId, applied });
  }

  /** Takes out a node that was stopped; resolves when nothing of it is under way. */
  #leave(node: Node): Promise<void> {
    const { clusterId } = node;
    this.#nodes.delete(clusterId);
    this.#health.nodeRemoved(node.config.electionTimeoutTicks);
    addIgnored(this.#ignoredBefore, node.peer.ignoredMessages());
    const before = this.#stopping.get(clusterId);
    const ended: Promise<void> = this.#end(node, before).finally(() => {
      if (this.#stopping.get(clusterId) === ended) {
        this.#stopping.delete(clusterId);
      }
    });
    this.#stopping.set(clusterId, ended);
    return ended;
  }

  async #end(node: Node, before: Promise<void> | undefined): Promise<void> {
    await before;
    await node.ended;
    await this.#engine!.idle();
  }

  async #makeNode(
    config: ResolvedClusterConfig,
    factory: StateMachineFactory,
  ): Promise<Node> {
    const { clusterId, nodeId } = config;
    const log = this.#wal!.node(clusterId, nodeId);
    await this.#mending!.whole({ clusterId, nodeId }, log);
    this.requireOpen();
    const existing = log.bootstrap();
    if (existing === undefined) {
      requireOwnAddress(config, this.config.raftAddress);
    }
    const isBlank = log.lastIndex() === 0 && log.snapshot() === undefined;
    const checked = bootstrapFor(config, existing, isBlank);
    const machine = makeMachine(factory, { clusterId, nodeId });
    try {
      const isNew = existing === undefined;
      const node = { clusterId, nodeId, isNew };
      const bootstrap = withMachineKind(checked, kindOf(machine), node);
      await this.#saveBootstrap({ clusterId, nodeId }, bootstrap);
      await this.#starting.turn();
      this.requireOpen();
      const store = this.#snapshots!;
      const { generation, witness } = bootstrap;
      const restored = await startMachine(
        { nodeId, machine, store, generation, isWitness: witness === true },
        log,
      );
      this.requireOpen();
      return this.#assemble({ config, log, bootstrap, machine, ...restored });
    } catch (error) {
      await closeMachine(machine, clusterId, this.#logger);
      throw error;
    }
  }

  #assemble(
    parts: {
      config: ResolvedClusterConfig;
      log: NodeLog;
      bootstrap: Bootstrap;
      machine: AnyStateMachine;
      sessions: SessionTable;
      opened: number;
    },
  ): Node {
    const { config, log, bootstrap } = parts;
    const snapshot = log.snapshot();
    const start = { index: snapshot?.index ?? 0, term: snapshot?.term ?? 0 };
    const peer = makePeer({
      config,
      log,
      bootstrap,
      tickMs: this.config.tickMs,
      batchBytes: this.#batchBytes(),
      random: this.ports.random,
      counters: this.counters.core,
    });
    return new Node({
      host: this.#context!,
      engine: this.#engine!,
      ...parts,
      peer,
      start,
    });
  }

  #batchBytes(): number {
    return Math.min(1024 * 1024, Math.floor(this.config.segmentBytes / 16));
  }

  #saveBootstrap(
    node: { clusterId: number; nodeId: number },
    bootstrap: Bootstrap,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#forgetNames(node);
      this.#engine!.stageOther(
        { ...node, bootstrap },
        true,
        resolve,
        () => reject(this.#failure),
      );
    });
  }

  /**
   * A NodeHost carries one node of a cluster. Those it carried before keep their data, and lose the name by which they
   * would be started again by themselves (rule I5).
   */
  #forgetNames(node: { clusterId: number; nodeId: number }): void {
    const { clusterId } = node;
    for (const nodeId of this.#wal!.nodesOf(clusterId)) {
      if (nodeId === node.nodeId) continue;
      const other = this.#wal!.node(clusterId, nodeId).bootstrap();
      if (other === undefined || other.stateMachineName === "") continue;
      const bootstrap = { ...other, stateMachineName: "" };
      this.#engine!.stageOther(
        { clusterId, nodeId, bootstrap },
        true,
        () => {},
      );
    }
  }

  #receive(link: Link, record: WireRecord): void {
    if (record.kind === "remote") return this.#remote?.receive(link, record);
    if (record.kind === "fetchedEntries") {
      return this.#mending!.receive(record);
    }
    const node = this.#nodes.get(record.clusterId);
    if (node === undefined) {
      if (record.kind === "hello") this.#starting.hold(link, record);
      return;
    }
    try {
      if (record.kind === "fetchEntries") {
        this.#mending!.answer(node, link, record);
      } else node.receive(link, record);
    } catch (error) {
      node.fail(error);
    }
  }

  #eachNode(action: (node: Node) => void): void {
    for (const node of this.sortedNodes()) {
      try {
        action(node);
      } catch (error) {
        node.fail(error);
      }
    }
  }

  /** All nodes, by cluster id. */
  sortedNodes(): Node[] {
    return [...this.#nodes.values()].sort((a, b) => a.clusterId - b.clusterId);
  }

  /** The node of a cluster. @throws {RaftError} if there is none. */
  node(clusterId: number): Node {
    const node = this.#nodes.get(clusterId);
    if (node === undefined) throw this.noNode(clusterId);
    return node;
  }

  /** What makes requests to other NodeHosts for a cluster that has no node here; undefined if this one asks none. */
  remoteFor(clusterId: number): Remote | undefined {
    validateId("clusterId", clusterId);
    const isOn = this.#failure === undefined && this.#remote?.isOn === true;
    return isOn ? this.#remote : undefined;
  }

  /** Why there is no node of a cluster. */
  noNode(clusterId: number): RaftError {
    validateId("clusterId", clusterId);
    return this.#failure ??
      clusterNotFound(clusterId, this.#remote?.isOn === true);
  }

  /** @throws {RaftError} if the NodeHost is closed or its log failed. */
  requireOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /**
   * Waits by the clock, or until the NodeHost closes. Rejects with the signal's reason as soon as that is aborted, and at
   * once if the NodeHost is closed already.
   */
  pause(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#pauses.pause(ms, signal);
  }

  /** A random integer from 1 to 2^52. */
  randomId(): number {
    return randomInteger(this.ports.random);
  }

  /** The node of a cluster, or undefined. */
  findNode(clusterId: number): Node | undefined {
    return this.#nodes.get(clusterId);
  }

  /** See `NodeHost.removeData`. */
  async removeData(clusterId: number, nodeId: number): Promise<void> {
    const isHere = this.#nodes.get(clusterId)?.nodeId === nodeId;
    if (isHere || this.#starting.has(clusterId)) {
      throw new RaftError(
        "rejected",
        `Cannot remove the data of node ${nodeId} of cluster ${clusterId}: it runs here; remove it from the cluster and ` +
          "stop it first",
      );
    }
    // Nobody starts it meanwhile.
    this.#starting.begin(clusterId);
    try {
      await this.#stopping.get(clusterId);
      this.requireOpen();
      await removeNodeData({
        engine: this.#engine!,
        log: this.#wal!,
        store: this.#snapshots!,
        failure: () => this.#failure,
      }, { clusterId, nodeId });
      if (this.events.isHeard) {
        this.events.emit({ type: "nodeDeleted", clusterId, nodeId });
      }
    } finally {
      this.#starting.end(clusterId);
    }
  }

  /** Stops a node; its data stays. */
  async stop(clusterId: number): Promise<void> {
    const node = this.node(clusterId);
    node.stop(
      new RaftError(
        "clusterClosed",
        `Cannot use cluster ${clusterId}: its node on this NodeHost was stopped`,
      ),
    );
    await this.#leave(node);
  }
}
