/** The public class: checks arguments and delegates; what stands behind it is `host_runtime.ts`. */
import { memberKindOf } from "./core/members.ts";
import type { Membership } from "./core/types.ts";
import { queryLog, validateQuery } from "./log_query.ts";
import type { LogQuery, LogQueryResult } from "./log_query.ts";
import {
  defaultTimeoutMs,
  resolveClusterConfig,
  resolveNodeHostConfig,
  validateWaitOptions,
} from "./config.ts";
import type {
  ClusterConfig,
  NodeHostConfig,
  ProposeOptions,
  WaitOptions,
} from "./config.ts";
import { denoPorts } from "./deno_ports.ts";
import { requireClient } from "./deployment.ts";
import { RaftError } from "./errors.ts";
import type { EventsOptions, EventStream } from "./events.ts";
import { hostInfo, reportOf } from "./host_info.ts";
import { damagedNodes } from "./host_storage.ts";
import type { HostInfo } from "./host_info.ts";
import { HostRuntime } from "./host_runtime.ts";
import {
  addMember,
  removeMember,
  validateChange,
  validateTarget,
} from "./membership_calls.ts";
import type {
  ChangeOptions,
  NodeToAdd,
  NodeToRemove,
} from "./membership_calls.ts";
import type { HostMetrics } from "./metrics/host_metrics.ts";
import type { Node } from "./node.ts";
import type { Session } from "./session.ts";
import { SessionRequests } from "./session_requests.ts";
import type { ProposalWait } from "./node_proposals.ts";
import type { Ports } from "./ports.ts";
import { readOpenArguments } from "./open_arguments.ts";
import { waitReady } from "./readiness.ts";
import type { Remote } from "./remote/remote.ts";
import {
  replaceMember,
  replaceTimeoutMs,
  validateReplacement,
} from "./replacement.ts";
import type { NodeReplacement } from "./replacement.ts";
import { abortable, settleError } from "./requests.ts";
import type { Result } from "./state_machine.ts";
import { typedCluster } from "./typed.ts";
import type { TypedCluster, TypedFactory } from "./typed.ts";
import { validateId } from "./validation.ts";

/** How a snapshot is taken on request. */
export interface SnapshotOptions extends WaitOptions {
  /** Entries kept behind it; the cluster's `compactionOverhead` by default. */
  compactionOverhead?: number;
}

/** How a log is compacted on request. */
export interface CompactionOptions extends WaitOptions {
  /** Entries kept behind the latest snapshot; 0 by default. */
  keepEntries?: number;
}

/** What {@link NodeHost.exportSnapshot} wrote. */
export interface ExportedSnapshot {
  /** The file. */
  readonly path: string;
  /** Last entry in it. */
  readonly index: number;
  /** Term of that entry. */
  readonly term: number;
  /** Its size. */
  readonly bytes: number;
}

/**
 * Carries nodes of many clusters in one process, with one log and one port for all of them.
 *
 * With `peers`, requests for clusters that have no node here are carried out by a NodeHost that has one.
 *
 * Methods throw `TypeError` and `RangeError` at once for wrong arguments, and reject with a `RaftError` for what goes
 * wrong in the world; its `outcome` says whether the request may have been applied.
 */
export class NodeHost implements AsyncDisposable {
  readonly #runtime: HostRuntime;
  readonly #sessions: SessionRequests;

  private constructor(config: NodeHostConfig, ports: Ports) {
    const resolved = resolveNodeHostConfig(config, ports.environment);
    this.#runtime = new HostRuntime(resolved, ports, {
      makeMasterClient: () =>
        requireClient(resolved.masterClientFactory!(this)),
      report: (includeLog) =>
        reportOf(this, { ...this.#parts(), includeLog, config: resolved }),
      call: (method, clusterId, args, options) =>
        (this[method] as (...given: unknown[]) => Promise<unknown>)
          .call(this, clusterId, ...args, options),
    });
    const runtime = this.#runtime;
    this.#sessions = new SessionRequests({
      clock: ports.clock,
      tickMs: resolved.tickMs,
      randomId: () => runtime.randomId(),
      node: (clusterId) =>
        runtime.findNode(clusterId) ??
          this.#elsewhere(clusterId).sessionNode(clusterId),
      pause: (ms, signal) => runtime.pause(ms, signal),
    });
  }

  /**
   * Opens a NodeHost: locks its folder, reads its log, listens, and starts again the nodes of named state machines that
   * the log names. With `masterServers` and a new folder it waits until a master has told its deployment id.
   *
   * @param config Where and how; see {@link NodeHostConfig}.
   * @param options How long to wait for a master; without them, for as long as it takes.
   * @throws {TypeError} if a field of the configuration has the wrong type.
   * @throws {RangeError} if a value of it is out of range.
   * @throws {RaftError} `dirLocked`, `dirMismatch`, `deploymentMismatch`, `corruption`, `diskFull`, `diskFailed`; or
   * `rejected` if the port cannot be listened on.
   */
  static open(
    config: NodeHostConfig,
    options?: WaitOptions,
  ): Promise<NodeHost>;
  /** The same with files, network, time and randomness other than Deno's: a simulator gives its own. */
  static open(
    config: NodeHostConfig,
    ports: Ports | undefined,
    options?: WaitOptions,
  ): Promise<NodeHost>;
  static async open(
    config: NodeHostConfig,
    ...more: unknown[]
  ): Promise<NodeHost> {
    const { ports, wait } = readOpenArguments(more);
    const host = new NodeHost(config, ports ?? denoPorts());
    try {
      await host.#runtime.open(wait);
    } catch (error) {
      await host.#runtime.release();
      throw error;
    }
    return host;
  }

  /** The NodeHost's identity: random, made with its folder. */
  get nodeHostId(): string {
    return this.#runtime.identity?.nodeHostId ?? "";
  }

  /** How often its folder was opened. */
  get incarnation(): number {
    return this.#runtime.identity?.incarnation ?? 0;
  }

  /** Where other NodeHosts reach it. */
  get raftAddress(): string {
    return this.#runtime.config.raftAddress;
  }

  /** The deployment it belongs to, 0n before a master told it. */
  get deploymentId(): bigint {
    return this.#runtime.identity?.deploymentId ?? 0n;
  }

  /** Region it runs in, or `""`. */
  get region(): string {
    return this.#runtime.config.region;
  }

  /** What this NodeHost measures: counters, gauges and latencies. {@link prometheus} makes a page of them. */
  get metrics(): HostMetrics {
    return this.#runtime.metrics;
  }

  /**
   * What happens on this NodeHost from now on: leaders, memberships, connections, snapshots, a slow disk and more. Any
   * number of streams are independent of each other, and none holds up the NodeHost: who is too slow gets
   * `eventsDropped`. It ends when the NodeHost has closed, when the loop over it is left, or with `signal`.
   *
   * @throws {TypeError} if an option has the wrong type.
   * @throws {RangeError} if `maxBuffered` is out of range.
   */
  events(options?: EventsOptions): EventStream {
    return this.#runtime.events.subscribe(options);
  }

  /**
   * Reads the certificates of `tls` again if their files have changed; true if there were new ones. New connections use
   * them; those that stand stay as they are. A NodeHost looks by itself every ten seconds.
   *
   * @throws {RaftError} `rejected`, with what is wrong with the new ones, or because there is no `tls`.
   */
  async reloadCertificates(): Promise<boolean> {
    this.#runtime.requireOpen();
    const { certificates } = this.#runtime;
    if (certificates !== undefined) return await certificates.reload();
    throw new RaftError(
      "rejected",
      "Cannot reload certificates: this NodeHost was opened without tls",
    );
  }

  /**
   * Starts a node: of a new cluster (`initialMembers`, the same on every member), one added by `addNode` (`join`), or
   * one with data here (neither is needed). Resolves when its state is restored; {@link waitReady} waits for a leader.
   *
   * @throws {RaftError} `clusterExists`, `notBootstrapped`, `nodeRemoved`, `corruption`; `rejected` if the
   * configuration contradicts what the log remembers; `notReady` for a state machine that the NodeHost does not name.
   */
  async startCluster(config: ClusterConfig): Promise<void> {
    const resolved = resolveClusterConfig(config);
    this.#runtime.requireOpen();
    await this.#runtime.start(resolved);
  }

  /**
   * Stops the node of a cluster. Its data stays; requests under way end with `clusterClosed`.
   *
   * @throws {RaftError} `clusterNotFound`.
   */
  async stopCluster(clusterId: number): Promise<void> {
    validateId("clusterId", clusterId);
    this.#runtime.requireOpen();
    await this.#runtime.stop(clusterId);
  }

  /**
   * Waits until the cluster has a leader and everything committed before is applied here, so that proposals and reads
   * may be made.
   *
   * @throws {RaftError} `timeout`; `rejected` if another member refuses this node (the message says why);
   * `clusterNotFound`, `nodeRemoved`, `clusterClosed`.
   */
  async waitReady(clusterId: number, options?: WaitOptions): Promise<void> {
    validateId("clusterId", clusterId);
    const wait = this.#wait(options);
    this.#runtime.requireOpen();
    const node = this.#runtime.findNode(clusterId);
    if (node !== undefined) return await waitReady(this.#runtime, node, wait);
    await this.#elsewhere(clusterId).call(clusterId, "waitReady", [], wait);
  }

  /**
   * Proposes a command and resolves with what the state machine's `update` returned for it here, when it is replicated,
   * committed and applied. The command is copied before the call returns.
   *
   * `target` is a cluster, or a {@link Session} with one. With a session the command is applied exactly once: where the
   * leader changes or an answer is lost it is sent again until `timeoutMs` is over, and what comes twice is told by the
   * session's number. If even then nobody knows, the session is _unfinished_, and {@link retry} goes on.
   *
   * @throws {RaftError} with a session also `invalidSession`: another of its proposals is under way or unfinished, or the
   * cluster has forgotten it.
   * @throws {RaftError} at once: `busy`, `notReady`, `dropped`, `diskFull`, `payloadTooBig`, `clusterNotFound`,
   * `nodeRemoved` (never applied); later: `timeout`, `dropped`, `clusterClosed`, `diskFailed`, whose `outcome` tells.
   */
  propose(
    target: number | Session,
    command: Uint8Array,
    options?: ProposeOptions,
  ): Promise<Result> {
    if (!(command instanceof Uint8Array)) {
      throw new TypeError("Cannot propose: the command must be a Uint8Array");
    }
    const wait = options === undefined ? noOptions : this.#proposal(options);
    if (typeof target !== "number") {
      return this.#sessions.propose(target, command, wait);
    }
    const node = this.#runtime.findNode(target) ??
      this.#runtime.remoteFor(target)?.sessionNode(target);
    if (node === undefined) {
      return Promise.reject(this.#runtime.noNode(target));
    }
    return node.propose(command, wait);
  }

  /**
   * Registers a client session with a cluster, in which each proposal is applied exactly once. The cluster keeps
   * `maxSessions` of them, and forgets the one least recently used when there are more. Close it when it is done with.
   *
   * @throws {RaftError} `timeout`, `busy`, `diskFull`, `clusterNotFound`, `nodeRemoved`, `clusterClosed`, `closed`.
   */
  async openSession(
    clusterId: number,
    options?: WaitOptions,
  ): Promise<Session> {
    validateId("clusterId", clusterId);
    const wait = this.#wait(options);
    this.#runtime.requireOpen();
    return await this.#sessions.open(clusterId, wait);
  }

  /**
   * Proposes the unfinished proposal of a session again, and resolves with its first result if it was applied already.
   *
   * @throws {RaftError} as {@link propose}; `invalidSession` also if the session has no unfinished proposal.
   */
  retry(session: Session, options?: WaitOptions): Promise<Result> {
    const wait = options === undefined ? noOptions : this.#wait(options);
    return this.#sessions.retry(session, wait);
  }

  /**
   * Ends a session: the cluster forgets it.
   *
   * @throws {RaftError} `invalidSession` if the cluster has forgotten it already, or a proposal of it is under way;
   * `timeout`, `busy`, `diskFull`, `clusterNotFound`, `nodeRemoved`, `clusterClosed`, `closed`.
   */
  async closeSession(session: Session, options?: WaitOptions): Promise<void> {
    const wait = this.#wait(options);
    this.#runtime.requireOpen();
    await this.#sessions.close(session, wait);
  }

  /**
   * Asks the state machine of this NodeHost, after everything that was committed anywhere before the call is applied
   * here: a linearizable read (thesis 6.4). Without a node here, and with `peers`, both happens at a member.
   *
   * @throws {TypeError} if the query, or its answer, must travel to another NodeHost and cannot.
   * @throws {RaftError} `notReady`, `dropped`, `timeout`, `clusterNotFound`, `clusterClosed`; what `lookup` throws.
   */
  read<T = unknown>(
    clusterId: number,
    query: unknown,
    options?: WaitOptions,
  ): Promise<T> {
    const wait = options === undefined ? noOptions : this.#wait(options);
    const node = this.#runtime.findNode(clusterId);
    if (node !== undefined) {
      return node.read(() => node.machine.lookup(query) as T, wait);
    }
    const remote = this.#runtime.remoteFor(clusterId);
    return remote === undefined
      ? Promise.reject(this.#runtime.noNode(clusterId))
      : remote.read(clusterId, query, wait);
  }

  /**
   * Asks the state machine of this NodeHost as it is now: fast, and possibly out of date.
   *
   * @throws {RaftError} `clusterNotFound`, `clusterClosed`; what `lookup` throws.
   */
  staleRead<T = unknown>(clusterId: number, query: unknown): Promise<T> {
    const node = this.#runtime.findNode(clusterId);
    if (node === undefined) {
      return Promise.reject(this.#runtime.noNode(clusterId));
    }
    const { workRefusal } = node;
    if (workRefusal !== undefined) return Promise.reject(workRefusal);
    if (node.snapshots.isRestoring) {
      return Promise.reject(
        new RaftError(
          "notReady",
          `Cannot read: cluster ${clusterId} is being restored from a snapshot`,
        ),
      );
    }
    try {
      return Promise.resolve(node.machine.lookup(query) as T);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * A cluster in the types of its commands, queries and answers; `factory` is what {@link typed} returned, and what the
   * cluster was started with.
   */
  cluster<Command, Query, Answer>(
    clusterId: number,
    factory: TypedFactory<Command, Query, Answer>,
  ): TypedCluster<Command, Query, Answer> {
    validateId("clusterId", clusterId);
    return typedCluster(this, clusterId, factory);
  }

  /**
   * Adds a voting member, or promotes an observer (same id, same address), and resolves with the membership that has it.
   * A new one is then started on its NodeHost with `join: true`; {@link addObserver} first is safer, since a member that
   * does not start is missed from the moment it has a vote. Its NodeHost must be open, unless its `nodeHostId` is given.
   *
   * @throws {RaftError} `rejected` (a removed id, an id or address in use, an outdated `expectedConfigChangeIndex`, or
   * a majority of the new members was not heard from lately), `timeout`, `dropped`, `clusterNotFound`.
   */
  async addNode(
    clusterId: number,
    node: NodeToAdd,
    options?: ChangeOptions,
  ): Promise<Membership> {
    return await this.#add("addNode", clusterId, node, options);
  }

  /**
   * Adds an observer: a member that follows with its log and state machine and serves proposals and reads, and has no
   * vote, so that nothing waits for it. Start it on its NodeHost with `join: true`; {@link addNode} with the same id and
   * address promotes it.
   *
   * @throws {RaftError} as {@link addNode}.
   */
  async addObserver(
    clusterId: number,
    node: NodeToAdd,
    options?: ChangeOptions,
  ): Promise<Membership> {
    return await this.#add("addObserver", clusterId, node, options);
  }

  /**
   * Adds a witness: a member that votes, and stores which entries there are but nothing of what is in them, so that two
   * voters survive the loss of one of them with little on a third machine. It never leads. Start it on its NodeHost with
   * `join: true` and `witness: true`, and without a state machine.
   *
   * @throws {RaftError} as {@link addNode}.
   */
  async addWitness(
    clusterId: number,
    node: NodeToAdd,
    options?: ChangeOptions,
  ): Promise<Membership> {
    return await this.#add("addWitness", clusterId, node, options);
  }

  /**
   * Removes a member of any kind for ever and resolves with the membership without it.
   *
   * @throws {RaftError} `rejected` (the only voter, an outdated `expectedConfigChangeIndex`, or a majority of the
   * remaining members was not heard from lately), `timeout`, `dropped`, `clusterNotFound`.
   */
  async removeNode(
    clusterId: number,
    node: NodeToRemove,
    options?: ChangeOptions,
  ): Promise<Membership> {
    validateChange(clusterId, node, options);
    const wait = this.#wait(options);
    const force = options?.force === true;
    if (!this.#isHere(clusterId)) {
      const remote = this.#elsewhere(clusterId);
      return await remote.call(clusterId, "removeNode", [node], wait, {
        force,
      });
    }
    const change = { ...node, force };
    return await removeMember(this.#runtime, clusterId, change, wait);
  }

  /**
   * Replaces a member by a new one, by way of an observer, so that the cluster never waits for a node that does not run:
   * adds the new one as an observer, waits until its log has caught up, promotes it, and then removes the old one, which
   * may be dead. Start the new one on its NodeHost with `join: true`, before this call or during it. Any NodeHost of the
   * cluster will do, and after a failure the same call goes on where it was. It takes 60 seconds at most by default. A
   * new node that is not heard from by then is removed again, and so is one that is not promoted when the call is aborted.
   *
   * @throws {RaftError} `rejected` (the old one is no member, the new id was removed), `timeout`, `aborted`,
   * `clusterNotFound`, `nodeRemoved`; the message tells which steps were done.
   */
  async replaceNode(
    clusterId: number,
    replacement: NodeReplacement,
    options?: WaitOptions,
  ): Promise<Membership> {
    validateChange(clusterId, replacement, undefined);
    validateTarget(replacement);
    validateReplacement(replacement);
    const timeoutMs = options?.timeoutMs ?? replaceTimeoutMs;
    const wait = this.#wait({ ...options, timeoutMs });
    if (!this.#isHere(clusterId)) {
      const remote = this.#elsewhere(clusterId);
      return await remote.call(clusterId, "replaceNode", [replacement], wait);
    }
    return await replaceMember(this.#runtime, clusterId, replacement, wait);
  }

  /**
   * Moves leadership to a member and resolves when it leads (thesis 3.10).
   *
   * @throws {RaftError} `invalidTarget`, `dropped` (it did not take over), `timeout`, `clusterNotFound`.
   */
  async transferLeadership(
    clusterId: number,
    targetNodeId: number,
    options?: WaitOptions,
  ): Promise<void> {
    validateId("clusterId", clusterId);
    validateId("targetNodeId", targetNodeId);
    const wait = this.#wait(options);
    this.#runtime.requireOpen();
    if (!this.#isHere(clusterId)) {
      const remote = this.#elsewhere(clusterId);
      const method = "transferLeadership";
      return await remote.call(clusterId, method, [targetNodeId], wait);
    }
    const node = this.#runtime.node(clusterId);
    if (memberKindOf(node.peer.membership(), targetNodeId) !== "voter") {
      throw new RaftError(
        "invalidTarget",
        `Cannot transfer leadership of cluster ${clusterId}: node ${targetNodeId} is not a voter of it`,
      );
    }
    await node.transfer(targetNodeId, wait);
  }

  /**
   * The members as of now: a linearizable read.
   *
   * @throws {RaftError} as {@link read}.
   */
  async getMembership(
    clusterId: number,
    options?: WaitOptions,
  ): Promise<Membership> {
    validateId("clusterId", clusterId);
    const wait = this.#wait(options);
    this.#runtime.requireOpen();
    const node = this.#runtime.findNode(clusterId);
    return node === undefined
      ? await this.#elsewhere(clusterId)
        .call(clusterId, "getMembership", [], wait)
      : await node.read(() => node.peer.membership(), wait);
  }

  /**
   * The leader as far as this NodeHost knows, and the term it leads in; `leaderId` 0 if it knows none.
   *
   * @throws {RaftError} `clusterNotFound`.
   */
  getLeader(clusterId: number): { leaderId: number; term: number } {
    validateId("clusterId", clusterId);
    this.#runtime.requireOpen();
    const { peer } = this.#runtime.node(clusterId);
    return { leaderId: peer.leaderId, term: peer.term };
  }

  /**
   * Saves a snapshot now, and resolves with its index when it is durable.
   *
   * @throws {RaftError} `rejected` if nothing was applied yet, `busy` while a snapshot is being restored, `diskFull`,
   * `aborted` if the state machine gave it up, `timeout` (the snapshot may still be saved), `clusterNotFound`; what
   * `saveSnapshot` throws.
   */
  async takeSnapshot(
    clusterId: number,
    options?: SnapshotOptions,
  ): Promise<number> {
    validateId("clusterId", clusterId);
    const wait = this.#wait(options);
    const overhead = validateCount(
      "compactionOverhead",
      options?.compactionOverhead,
    );
    this.#runtime.requireOpen();
    const node = this.#runtime.node(clusterId);
    wait.signal?.throwIfAborted();
    const taken = node.snapshots.take(overhead);
    return await this.#within(wait, "save a snapshot", taken);
  }

  /**
   * Writes the whole state as of now into a new file in `dir`, from which `importSnapshot` rebuilds the cluster if it ever
   * loses its quorum. It works without one, too: it is this node's state.
   *
   * @throws {RaftError} as {@link takeSnapshot}; after `timeout`, and if the signal is aborted, nothing is left of it.
   */
  async exportSnapshot(
    clusterId: number,
    dir: string,
    options?: WaitOptions,
  ): Promise<ExportedSnapshot> {
    validateId("clusterId", clusterId);
    if (typeof dir !== "string" || dir === "") {
      throw new TypeError("Cannot export a snapshot: give dir as a text");
    }
    const wait = this.#wait(options);
    this.#runtime.requireOpen();
    const node = this.#runtime.node(clusterId);
    wait.signal?.throwIfAborted();
    const pathOf = (index: number) =>
      `${dir.replace(/\/+$/, "")}/snapshot-${clusterId}-${index}.snap`;
    const giveUp = new AbortController();
    const work = node.snapshots.export(
      (meta) => pathOf(meta.index),
      giveUp.signal,
    );
    try {
      const { meta, bytes } = await this.#within(
        wait,
        "export a snapshot",
        work,
        "it was given up",
      );
      const { index, term } = meta;
      return { path: pathOf(index), index, term, bytes };
    } finally {
      giveUp.abort();
    }
  }

  /**
   * Removes from this NodeHost's log what the latest snapshot contains, and resolves with the index of the first entry that
   * is left. Members that need more than that get a snapshot.
   *
   * @throws {RaftError} `timeout`, `clusterNotFound`, `clusterClosed`, `diskFailed`.
   */
  async compactLog(
    clusterId: number,
    options?: CompactionOptions,
  ): Promise<number> {
    validateId("clusterId", clusterId);
    const wait = this.#wait(options);
    const keep = validateCount("keepEntries", options?.keepEntries) ?? 0;
    this.#runtime.requireOpen();
    const node = this.#runtime.node(clusterId);
    wait.signal?.throwIfAborted();
    const compacted = node.snapshots.compact(keep);
    return await this.#within(wait, "compact the log", compacted);
  }

  /**
   * Reads applied entries back from the log of this NodeHost's node: all that is not compacted yet. `maxBytes` bounds what
   * comes at once; whoever wants more asks again from behind the last entry.
   *
   * @throws {RangeError} if the log does not hold an entry that was asked for; the message tells what it holds.
   * @throws {RaftError} `clusterNotFound`, `clusterClosed`, `rejected` on a witness, `corruption`.
   */
  queryLog(clusterId: number, query: LogQuery): LogQueryResult {
    validateId("clusterId", clusterId);
    validateQuery(query);
    this.#runtime.requireOpen();
    const node = this.#runtime.node(clusterId);
    if (node.workRefusal !== undefined) throw node.workRefusal;
    const { log, applier, host } = node;
    return queryLog(log, applier.applied, query, host.compression);
  }

  /**
   * Removes everything that this NodeHost keeps of a node, which must not run here: log, votes and snapshots. The id can
   * never start here again. Only for a node that was removed from its cluster: the others count on what it had stored.
   *
   * @throws {RaftError} `rejected` if the node runs here, `clusterNotFound` if there is nothing of it here, `diskFailed`.
   */
  async removeData(clusterId: number, nodeId: number): Promise<void> {
    validateId("clusterId", clusterId);
    validateId("nodeId", nodeId);
    this.#runtime.requireOpen();
    await this.#runtime.removeData(clusterId, nodeId);
  }

  /**
   * Says where another NodeHost is reached now; believed until that says otherwise itself. For masters, and for whoever
   * keeps such a list.
   *
   * @throws {TypeError} if an argument is no text.
   * @throws {RangeError} if the address is not `host:port`.
   * @throws {RaftError} `closed`, `diskFailed`.
   */
  learnAddress(nodeHostId: string, raftAddress: string): void {
    validateTarget({ nodeHostId, address: raftAddress });
    this.#runtime.requireOpen();
    this.#runtime.addresses.hint(nodeHostId, raftAddress);
  }

  /** Describes the NodeHost and its clusters as they are now. */
  info(): HostInfo {
    this.#runtime.requireOpen();
    return hostInfo(this, {
      ...this.#parts(),
      damaged: damagedNodes(this.#runtime.log),
      links: this.#runtime.links.links(),
    });
  }

  /**
   * Hands leadership over where that is possible, ends what waits with `closed`, and closes log, port and folder.
   * Calling it again gives the same promise.
   */
  close(): Promise<void> {
    return this.#runtime.close();
  }

  /** Closes at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #isHere(clusterId: number): boolean {
    return this.#runtime.findNode(clusterId) !== undefined;
  }

  /** What asks other NodeHosts for a cluster that has no node here. @throws {RaftError} if this one does not. */
  #elsewhere(clusterId: number): Remote {
    const remote = this.#runtime.remoteFor(clusterId);
    if (remote === undefined) throw this.#runtime.noNode(clusterId);
    return remote;
  }

  #parts(): {
    region: string;
    apiAddress: string;
    nodes: Node[];
    log: HostRuntime["log"];
  } {
    const { region, apiAddress } = this.#runtime.config;
    const nodes = this.#runtime.sortedNodes();
    return { region, apiAddress, nodes, log: this.#runtime.log };
  }

  #wait(
    options: WaitOptions | undefined,
  ): { signal: AbortSignal | undefined; timeoutMs: number } {
    const timeoutMs = validateWaitOptions(options);
    return { signal: options?.signal, timeoutMs };
  }

  /** As {@link #wait}, with what a proposal has beside. */
  #proposal(options: ProposeOptions): ProposalWait {
    const wait = this.#wait(options);
    const { onCommitted } = options;
    if (onCommitted === undefined) return wait;
    if (typeof onCommitted !== "function") {
      throw new TypeError("Cannot use onCommitted: it must be a function");
    }
    return { ...wait, onCommitted };
  }

  #within<T>(
    wait: { signal: AbortSignal | undefined; timeoutMs: number },
    what: string,
    work: Promise<T>,
    after = "it goes on",
  ): Promise<T> {
    return abortable<T>(wait.signal, (settle) => {
      let isOver = false;
      // An error made for nobody would end the process as an unhandled rejection.
      const finish = (end: () => void) => {
        if (isOver) return;
        isOver = true;
        timer.cancel();
        end();
      };
      const timer = this.#runtime.ports.clock.setTimer(wait.timeoutMs, () => {
        const message = `Cannot ${what} in time: ${after}`;
        const error = new RaftError("timeout", message, { outcome: "unknown" });
        finish(() => settleError(settle, error));
      });
      work.then(
        (result) => finish(() => settle(result)),
        (error) => finish(() => settleError(settle, error)),
      );
      return () => finish(() => {});
    });
  }

  async #add(
    type: "addNode" | "addObserver" | "addWitness",
    clusterId: number,
    node: NodeToAdd,
    options: ChangeOptions | undefined,
  ): Promise<Membership> {
    validateChange(clusterId, node, options);
    validateTarget(node);
    const wait = this.#wait(options);
    const force = options?.force === true;
    if (!this.#isHere(clusterId)) {
      const remote = this.#elsewhere(clusterId);
      return await remote.call(clusterId, type, [node], wait, { force });
    }
    const change = { ...node, type, force };
    return await addMember(this.#runtime, clusterId, change, wait);
  }
}

function validateCount(
  name: string,
  value: number | undefined,
): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "number") {
    throw new TypeError(
      `Cannot use ${name}: it must be a number, got ${typeof value}`,
    );
  }
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(
      `Cannot use ${name}: ${value} is not an integer from 0 on`,
    );
  }
  return value;
}

const noOptions = { signal: undefined, timeoutMs: defaultTimeoutMs };
