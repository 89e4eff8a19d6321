/**
 * Snapshots of one node: saves them by itself and on request, sends them to a follower that is behind, judges and
 * installs received ones. A snapshot is recorded in the log only when its file is durable, and the log below it goes
 * only with that record (paper 7).
 */
import type { Message, SnapshotMeta } from "./core/types.ts";
import type { AnyApplier } from "./batch_applier.ts";
import { memberKindOf } from "./core/members.ts";
import type { Peer } from "./core/peer.ts";
import { RaftError } from "./errors.ts";
import type { HostContext } from "./host_context.ts";
import { beginSnapshot, type BegunSnapshot } from "./machine_snapshots.ts";
import { recoverMachine } from "./machine_start.ts";
import type { Timer } from "./ports.ts";
import type { Routes } from "./routes.ts";
import { SessionTable } from "./sessions.ts";
import type { SnapshotOffer } from "./snapshotter.ts";
import { type AnyStateMachine, SnapshotAborted } from "./state_machine.ts";
import type { Connection } from "./transport/transport.ts";
import { witnessNoteEntries } from "./witness.ts";
import type { MemberVersions } from "./versions.ts";
import { wireVersions } from "./transport/handshake.ts";
import type { HostIdentity } from "./transport/link_pool.ts";
import type { Bootstrap, NodeLog } from "../storage/log_store.ts";
import type { Membership } from "./core/types.ts";

/** Automatic snapshots of one node are at least so far apart. */
const minIntervalMs = 1_000;
/** How long a stopped node waits for its state machine to end what it does with a snapshot. */
const patienceMs = 5_000;

/** What a {@link NodeSnapshots} needs of its node. */
export interface SnapshotsOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly config: {
    readonly snapshotEntries: number;
    readonly compactionOverhead: number;
    readonly electionTimeoutTicks: number;
    readonly snapshotCompression: boolean;
    readonly witness: boolean;
  };
  readonly host: HostContext;
  readonly peer: Peer;
  readonly log: NodeLog;
  readonly machine: AnyStateMachine;
  readonly applier: AnyApplier;
  readonly routes: Routes;
  readonly versions: MemberVersions;
  /** Why the node stopped; undefined while it runs. */
  readonly failure: RaftError | undefined;
  /** Why callers who want work done are refused, if they are. */
  readonly workRefusal: RaftError | undefined;
  bootstrap(): Bootstrap;
  stageOther(
    write: { snapshot?: SnapshotMeta; compactTo: number },
    done: () => void,
    abandoned: () => void,
  ): void;
  stepSnapshot(message: Message): void;
  membershipChanged(membership: Membership): void;
  appliedTo(index: number): void;
  schedule(): void;
  fail(error: unknown): void;
}

/** A snapshot whose record is being written, after which the state machine is restored from it. */
interface Installation {
  readonly meta: SnapshotMeta;
  readonly writeId: number;
}

/** The snapshots of one node. */
export class NodeSnapshots {
  readonly #node: SnapshotsOwner;
  /** Why the node stopped. */
  #stopReason: RaftError | undefined;
  /** Ends what is under way then. Made when it is needed, as another below: a NodeHost has thousands of nodes. */
  #aborter: AbortController | undefined;
  #sending: Set<number> | undefined;
  #retries: Set<Timer> | undefined;
  /** Index of the last attempt: a failed one is not repeated at once. */
  #lastTried: number;
  #lastTriedMs = Number.NEGATIVE_INFINITY;
  #saving: Promise<number> | undefined;
  /** Snapshots that the state machine writes for others. */
  #others: Set<Promise<unknown>> | undefined;
  /** Ends them, since the state machine is to be replaced. */
  #othersAborter: AbortController | undefined;
  /** Ends the wait for the record of a saved snapshot. */
  #abandonRecord: (() => void) | undefined;
  #installation: Installation | undefined;
  /** Writes up to here are done. */
  #writtenTo = 0;
  #restoring: Promise<void> | undefined;

  /** Starts from what the log remembers. */
  constructor(node: SnapshotsOwner) {
    this.#node = node;
    this.#lastTried = node.log.snapshot()?.index ?? 0;
  }

  /** Whether the state machine is being replaced. */
  get isRestoring(): boolean {
    return this.#installation !== undefined || this.#restoring !== undefined;
  }

  /** Saves a snapshot if enough was applied since the last one. */
  maybeSave(): void {
    const { config, applier, host } = this.#node;
    if (config.witness) return this.#note();
    if (config.snapshotEntries === 0) return;
    if (applier.applied - this.#lastTried < config.snapshotEntries) return;
    // At full speed that many entries take milliseconds, and saving would take all of the disk's time.
    const sinceMs = host.clock.now() - this.#lastTriedMs;
    if (sinceMs < minIntervalMs) return;
    if (this.#saving !== undefined || this.isRestoring) return;
    if (host.log.isDiskFull || this.#node.failure !== undefined) return;
    const pacer = host.snapshotPacer;
    if (!pacer.mayBegin()) return;
    pacer.begin();
    this.#save().catch((error) => {
      if (error instanceof RaftError && error.code === "aborted") return;
      const { clusterId } = this.#node;
      host.notices.warn(
        `save ${clusterId}`,
        "a snapshot could not be saved",
        {
          clusterId,
          error: error instanceof Error ? error.message : String(error),
        },
      );
    }).finally(() => pacer.end());
  }

  /**
   * Saves a snapshot now, and keeps so many entries behind it, if that is not the cluster's setting; resolves with its
   * index.
   */
  take(compactionOverhead?: number): Promise<number> {
    const { applier, host, log } = this.#node;
    const refusal = this.#refusal;
    if (refusal !== undefined) return Promise.reject(refusal);
    if (this.#saving !== undefined) return this.#saving;
    if (host.log.isDiskFull) {
      return Promise.reject(
        new RaftError("diskFull", "Cannot save a snapshot: the disk is full"),
      );
    }
    const latest = log.snapshot()?.index ?? 0;
    if (latest !== applier.applied) return this.#save(compactionOverhead);
    if (compactionOverhead === undefined) return Promise.resolve(latest);
    return this.compact(compactionOverhead).then(() => latest);
  }

  /**
   * Removes entries from the log that the latest snapshot contains, except the last `overhead` of them; resolves with the
   * index of the first that is left.
   */
  compact(overhead: number): Promise<number> {
    const node = this.#node;
    const { log, workRefusal } = node;
    if (workRefusal !== undefined) return Promise.reject(workRefusal);
    const compactTo = (log.snapshot()?.index ?? 0) - overhead;
    if (compactTo < log.firstIndex()) return Promise.resolve(log.firstIndex());
    return new Promise((resolve, reject) =>
      node.stageOther(
        { compactTo },
        () => {
          resolve(log.firstIndex());
          this.#tellCompacted(compactTo);
        },
        () => reject(node.failure ?? closedEarly(node)),
      )
    );
  }

  /** Writes the whole state as of now to `pathOf(meta)`. */
  async export(
    pathOf: (meta: SnapshotMeta) => string,
    signal: AbortSignal | undefined,
  ): Promise<{ meta: SnapshotMeta; bytes: number }> {
    const { host, clusterId, nodeId } = this.#node;
    if (this.#refusal !== undefined) throw this.#refusal;
    const saved = await this.#forOthers((own) =>
      host.snapshotter.save({
        clusterId,
        nodeId,
        signal: signal === undefined ? own : AbortSignal.any([own, signal]),
        begin: () => this.#begin("whole"),
        pathOf,
      })
    );
    if (saved === undefined) throw this.#restoringError();
    return saved;
  }

  /** Sends the latest snapshot to a follower that needs what the log no longer has. */
  send(message: Extract<Message, { type: "snapshot" }>): void {
    const { host, clusterId, nodeId, peer } = this.#node;
    const to = message.to;
    if (memberKindOf(peer.membership(), to) === "witness") {
      return this.#sendNote(message);
    }
    this.#sending ??= new Set();
    if (this.#sending.has(to)) return;
    const address = this.#node.routes.addressOf(to);
    if (address === undefined) return peer.reportSnapshot(to, false);
    this.#sending.add(to);
    const { index } = message.snapshot;
    const about = { clusterId, nodeId, index };
    if (host.events.isHeard) {
      host.events.emit({ type: "snapshotSendStarted", ...about, to });
    }
    this.#sendTo(to, address, message).then(
      () => {
        host.counters.snapshotsSent++;
        if (host.events.isHeard) {
          host.events.emit({ type: "snapshotSendCompleted", ...about, to });
        }
        this.#sent(to, true);
      },
      (error) => {
        const reason = error instanceof Error ? error.message : String(error);
        host.counters.snapshotSendFailures++;
        host.notices.warn(
          `send ${clusterId} ${to}`,
          "a snapshot could not be sent",
          { clusterId, to, error: reason },
        );
        if (host.events.isHeard) {
          host.events.emit({
            type: "snapshotSendAborted",
            ...about,
            to,
            reason,
          });
        }
        this.#retryLater(to);
      },
    );
  }

  /** To a witness a snapshot is where it stands and who the members are there: a message like any other (rule C9). */
  #sendNote(message: Extract<Message, { type: "snapshot" }>): void {
    const { clusterId, peer, routes } = this.#node;
    const record = { kind: "message", clusterId, message } as const;
    peer.reportSnapshot(message.to, routes.send(message.to, record));
    this.#node.schedule();
  }

  /** A witness notes in its log how far it has come, and forgets the headers before. */
  #note(): void {
    const { applier, host, failure, peer } = this.#node;
    if (applier.applied - this.#lastTried < witnessNoteEntries) return;
    if (this.isRestoring || host.log.isDiskFull) return;
    if (failure !== undefined) return;
    this.#lastTried = applier.applied;
    this.#record({
      index: applier.applied,
      term: applier.appliedTerm,
      membership: peer.membership(),
    }).catch(() => {}); // The node ended, and so did its log.
  }

  /** Makes a connection for one snapshot to member `to`. */
  async #connect(
    address: string,
    to: number,
    index: number,
  ): Promise<Connection> {
    const { events, counters, links } = this.#node.host;
    const signal = this.#signal;
    counters.transport.snapshotDials++;
    try {
      const opened = await links.openSnapshotConnection(address, signal);
      const known = this.#node.routes.knownNodeHost(to);
      if (known !== "" && known !== opened.remote.nodeHostId) {
        opened.connection.close();
        throw new Error(`another NodeHost answers at ${address}`);
      }
      const objection = this.#refuseVersion(opened.version, index);
      if (objection !== undefined) {
        opened.connection.close();
        throw new RaftError(
          "rejected",
          `Cannot send snapshot ${index} of cluster ${this.#node.clusterId} to node ${to} at ${address}: NodeHost ` +
            `${opened.remote.nodeHostId} still speaks wire version ${opened.version}, which ${objection}`,
        );
      }
      if (events.isHeard) {
        events.emit({ type: "connectionUp", address, snapshot: true });
      }
      return opened.connection;
    } catch (error) {
      counters.transport.snapshotDialFailures++;
      if (events.isHeard) {
        const reason = error instanceof Error ? error.message : String(error);
        events.emit({
          type: "connectionFailed",
          address,
          snapshot: true,
          reason,
        });
      }
      throw error;
    }
  }

  /** Why a NodeHost that speaks a wire version cannot take a snapshot, as the end of a sentence (rule I6). */
  #refuseVersion(version: number, index: number): string | undefined {
    if (version === wireVersions.highest) return undefined;
    const { host, clusterId, nodeId, machine } = this.#node;
    if (machine.kind === "onDisk") {
      return "has no state machines on disk; upgrade it";
    }
    const file = host.snapshotStore.open(clusterId, nodeId, index);
    const { formatVersion } = file;
    file.close();
    return formatVersion === 1
      ? undefined
      : `does not read snapshots of format version ${formatVersion}; upgrade it`;
  }

  async #sendTo(
    to: number,
    address: string,
    message: Extract<Message, { type: "snapshot" }>,
  ): Promise<void> {
    const { host, clusterId, nodeId, machine } = this.#node;
    const { fingerprint, generation } = this.#node.bootstrap();
    const request = {
      open: () => this.#connect(address, to, message.snapshot.index),
      clusterId,
      from: nodeId,
      to,
      term: message.term,
      fingerprint,
      generation,
    };
    if (machine.kind !== "onDisk") {
      const signal = this.#signal;
      const { snapshot: meta } = message;
      return await host.snapshotter.send({ ...request, meta, signal });
    }
    // Its snapshots hold no state: that goes straight from the state machine to the other host.
    const sent = await this.#forOthers((signal) =>
      host.snapshotter.stream({
        ...request,
        signal,
        begin: () => this.#begin("whole"),
      })
    );
    if (sent === undefined) throw this.#restoringError();
  }

  /** Why an offered snapshot is not wanted; undefined if it is. */
  judge(offer: SnapshotOffer, remote: HostIdentity): string | undefined {
    const node = this.#node;
    if (node.failure !== undefined) return "the node has stopped";
    if (offer.to !== node.nodeId) return `node ${offer.to} is not here`;
    if (node.config.witness) return `node ${offer.to} is a witness`;
    const own = node.bootstrap();
    if (own.fingerprint !== "" && own.fingerprint !== offer.fingerprint) {
      return "the cluster began with other members";
    }
    if (own.fingerprint !== "" && own.generation !== offer.generation) {
      return `the cluster is of generation ${own.generation} here`;
    }
    const known = node.routes.knownNodeHost(offer.from);
    if (known !== "" && known !== remote.nodeHostId) {
      return `node ${offer.from} lives on another NodeHost`;
    }
    return undefined;
  }

  /** The file of an accepted offer lies durable on this disk. */
  received(offer: SnapshotOffer): void {
    if (this.#node.failure !== undefined) return;
    const { host, clusterId, nodeId } = this.#node;
    host.counters.snapshotsReceived++;
    if (host.events.isHeard) {
      host.events.emit({
        type: "snapshotReceived",
        clusterId,
        nodeId,
        index: offer.meta.index,
        from: offer.from,
      });
    }
    this.#node.stepSnapshot({
      type: "snapshot",
      from: offer.from,
      to: offer.to,
      term: offer.term,
      snapshot: offer.meta,
    });
  }

  /** The core accepted a snapshot; its record is part of write `writeId`. */
  install(meta: SnapshotMeta, writeId: number): void {
    const { applier } = this.#node;
    if (this.#installation === undefined) applier.pause();
    applier.overtaken();
    this.#installation = { meta, writeId };
  }

  /** Writes up to `writeId` are done. */
  written(writeId: number): void {
    this.#writtenTo = writeId;
    if (!this.#isInstallable) return;
    if (this.#restoring !== undefined) return; // The newer one follows when this one is done.
    this.#restoring = this.#restore().catch((error) => this.#node.fail(error));
  }

  /** Resolves with true when nothing is under way; with false if the state machine does not come to an end with it. */
  async idle(): Promise<boolean> {
    const { host, clusterId, nodeId, applier } = this.#node;
    const ended = Promise.all([
      this.#saving?.catch(() => {}),
      this.#restoring,
      applier.quiet(),
      ...this.#others ?? [],
    ]);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = host.clock.setTimer(patienceMs, () => {
      host.logger.warn("a state machine does not end what it does", {
        clusterId,
        nodeId,
      });
      resolve(false);
    });
    ended.then(() => resolve(true));
    try {
      return await promise;
    } finally {
      timer.cancel();
    }
  }

  /** The node stopped. */
  stop(): void {
    const { host, clusterId, nodeId } = this.#node;
    for (const timer of this.#retries ?? []) timer.cancel();
    this.#retries?.clear();
    const reason = new RaftError(
      "clusterClosed",
      `Cannot go on with a snapshot of cluster ${clusterId}: its node stopped`,
    );
    this.#stopReason = reason;
    this.#aborter?.abort(reason);
    this.#othersAborter?.abort(reason);
    host.snapshotter.abortReceives(clusterId, nodeId, "the node stopped");
    this.#abandonRecord?.(); // Written or not: with a full disk that may take for ever.
  }

  /** Aborted when the node stops. */
  get #signal(): AbortSignal {
    this.#aborter ??= this.#newAborter();
    return this.#aborter.signal;
  }

  #newAborter(): AbortController {
    const aborter = new AbortController();
    if (this.#stopReason !== undefined) aborter.abort(this.#stopReason);
    return aborter;
  }

  /** Lets some time pass before the core asks for it again: whoever refused it, or is away, will not want it at once. */
  #retryLater(to: number): void {
    const { host, config, failure } = this.#node;
    if (failure !== undefined) return;
    const delayMs = config.electionTimeoutTicks * host.tickMs;
    const timer = host.clock.setTimer(delayMs, () => {
      this.#retries?.delete(timer);
      this.#sent(to, false);
    });
    this.#retries ??= new Set();
    this.#retries.add(timer);
  }

  #sent(to: number, delivered: boolean): void {
    this.#sending?.delete(to);
    if (this.#node.failure !== undefined) return;
    this.#node.peer.reportSnapshot(to, delivered);
    this.#node.schedule();
  }

  #save(compactionOverhead?: number): Promise<number> {
    const { counters } = this.#node.host;
    this.#saving = this.#saveNow(compactionOverhead).then((index) => {
      counters.snapshotsSaved++;
      return index;
    }, (error) => {
      counters.snapshotSaveFailures++;
      throw error;
    }).finally(() => {
      this.#saving = undefined;
    });
    return this.#saving;
  }

  async #saveNow(compactionOverhead?: number): Promise<number> {
    const { applier, host, clusterId, nodeId } = this.#node;
    this.#lastTried = applier.applied;
    this.#lastTriedMs = host.clock.now();
    const saved = await host.snapshotter.save({
      clusterId,
      nodeId,
      signal: this.#signal,
      begin: async () => {
        const begun = await this.#begin("kept");
        if (begun !== undefined) this.#lastTried = begun.meta.index;
        return begun;
      },
    }).catch((error) => {
      throw error instanceof SnapshotAborted
        ? abortedError(clusterId, error)
        : error;
    });
    if (saved === undefined) throw this.#restoringError();
    await this.#record(saved.meta, compactionOverhead);
    const { index } = saved.meta;
    if (host.events.isHeard) {
      const { bytes } = saved;
      host.events.emit({
        type: "snapshotCreated",
        clusterId,
        nodeId,
        index,
        bytes,
      });
    }
    return index;
  }

  /** Fixes the state as of now; undefined if it is about to be replaced. */
  async #begin(
    purpose: "kept" | "whole",
  ): Promise<BegunSnapshot | undefined> {
    const node = this.#node;
    if (this.isRestoring || node.failure !== undefined) return undefined;
    const { machine, applier, peer, config } = node;
    // The state is that of a later index, until the log was replayed up to there.
    if (purpose === "whole" && applier.isAhead) return undefined;
    const { generation, fingerprint } = node.bootstrap();
    try {
      return await beginSnapshot({
        machine,
        applier,
        peer,
        // A member of an older release could not read it.
        isPacked: config.snapshotCompression && node.versions.isNewest,
        generation,
        fingerprint,
        resumed: () => node.schedule(),
      }, purpose);
    } catch (error) {
      // A state machine that cannot tell where it stands, or cannot sync, is of no more use.
      if (!(error instanceof SnapshotAborted)) node.fail(error);
      throw error;
    }
  }

  /** Runs what lets the state machine write its state for somebody else. */
  async #forOthers<T>(
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clusterId } = this.#node;
    this.#othersAborter ??= this.#newAborter();
    const running = work(this.#othersAborter.signal);
    const ended = running.catch(() => {});
    this.#others ??= new Set();
    this.#others.add(ended);
    try {
      return await running;
    } catch (error) {
      throw error instanceof SnapshotAborted
        ? abortedError(clusterId, error)
        : error;
    } finally {
      this.#others?.delete(ended);
    }
  }

  /** Why no snapshot can be made now. */
  get #refusal(): RaftError | undefined {
    const { clusterId, applier, workRefusal } = this.#node;
    if (workRefusal !== undefined) return workRefusal;
    if (this.isRestoring) return this.#restoringError();
    if (applier.applied > 0) return undefined;
    return new RaftError(
      "rejected",
      `Cannot save a snapshot: nothing was applied in cluster ${clusterId}`,
    );
  }

  #restoringError(): RaftError {
    const { clusterId, failure } = this.#node;
    return failure ?? new RaftError(
      "busy",
      `Cannot save a snapshot: cluster ${clusterId} is being restored from one`,
    );
  }

  /** Makes the log know the snapshot and forget what lies far below it. */
  #record(meta: SnapshotMeta, overhead?: number): Promise<void> {
    const node = this.#node;
    return new Promise((resolve, reject) => {
      const latest = node.log.snapshot()?.index ?? 0;
      if (node.failure !== undefined) return reject(node.failure);
      if (latest >= meta.index) return resolve(); // A received one overtook it.
      const compactTo = Math.max(
        0,
        meta.index - (overhead ?? node.config.compactionOverhead),
      );
      const abandon = () => {
        this.#abandonRecord = undefined;
        reject(node.failure ?? closedEarly(node));
      };
      this.#abandonRecord = abandon;
      node.stageOther({ snapshot: meta, compactTo }, () => {
        this.#abandonRecord = undefined;
        resolve();
        this.#retain(meta.index);
        if (compactTo > 0) this.#tellCompacted(compactTo);
      }, abandon);
    });
  }

  /** Whether there is a snapshot to install whose record is durable. */
  get #isInstallable(): boolean {
    return this.#installation !== undefined &&
      this.#installation.writeId <= this.#writtenTo;
  }

  async #restore(): Promise<void> {
    const node = this.#node;
    const { applier } = node;
    while (this.#installation !== undefined && this.#isInstallable) {
      const { meta } = this.#installation;
      // Whoever writes the state must not see it change. For others it is written anew when they ask again.
      this.#othersAborter?.abort(this.#restoringError());
      this.#othersAborter = undefined;
      await this.#saving?.catch(() => {});
      await Promise.all(this.#others ?? []);
      if (node.failure !== undefined) return;
      await applier.restore(meta, () => this.#recover(meta));
      if (node.failure !== undefined) return;
      this.#lastTried = meta.index;
      this.#retain(meta.index);
      if (this.#installation.meta === meta) this.#installation = undefined;
    }
    this.#restoring = undefined;
    // A newer one came meanwhile, and is not recorded yet: the older file must stay, and this state is of no use.
    if (this.#installation !== undefined) return;
    applier.resume();
    node.routes.setMembership(node.peer.membership());
    node.routes.removedForGood(node.peer.membership().removed);
    node.membershipChanged(node.peer.membership());
    node.appliedTo(applier.applied);
    node.schedule();
    this.#recovered(applier.applied);
  }

  #recovered(index: number): void {
    const { host, clusterId, nodeId, peer } = this.#node;
    host.counters.snapshotsRecovered++;
    if (!host.events.isHeard) return;
    host.events.emit({ type: "snapshotRecovered", clusterId, nodeId, index });
    const membership = peer.membership();
    host.events.emit({
      type: "membershipChanged",
      clusterId,
      nodeId,
      membership,
    });
  }

  async #recover(meta: SnapshotMeta): Promise<SessionTable> {
    const { host, clusterId, nodeId, machine, config } = this.#node;
    if (config.witness) return new SessionTable(); // There is no file, and nothing to restore.
    const store = host.snapshotStore;
    const file = store.open(clusterId, nodeId, meta.index);
    // A node that stops ends the reading, and so the state machine's work.
    const close = () => file.close();
    const signal = this.#signal;
    signal.addEventListener("abort", close, { once: true });
    try {
      const { generation } = this.#node.bootstrap();
      return await recoverMachine({ nodeId, machine, store, generation }, file);
    } finally {
      signal.removeEventListener("abort", close);
      file.close();
    }
  }

  /** The log lost entries up to `index`. A node that has stopped meanwhile tells nothing more. */
  #tellCompacted(index: number): void {
    const { host, clusterId, nodeId, failure } = this.#node;
    if (failure !== undefined || !host.events.isHeard) return;
    host.events.emit({ type: "logCompacted", clusterId, nodeId, index });
  }

  #retain(index: number): void {
    const { host, clusterId, nodeId, failure } = this.#node;
    const removed = host.snapshotStore.retain(clusterId, nodeId, index);
    if (removed > 0 && failure === undefined && host.events.isHeard) {
      host.events.emit({
        type: "snapshotCompacted",
        clusterId,
        nodeId,
        index,
      });
    }
  }
}

function closedEarly(node: SnapshotsOwner): RaftError {
  return new RaftError(
    "closed",
    `Cannot record a snapshot of cluster ${node.clusterId}: the log is closed`,
  );
}

function abortedError(clusterId: number, cause: SnapshotAborted): RaftError {
  return new RaftError(
    "aborted",
    `Cannot save a snapshot of cluster ${clusterId}: ${cause.message}`,
    { cause },
  );
}
