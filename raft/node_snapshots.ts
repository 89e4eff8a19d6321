/**
 * Snapshots of one node: saves them by itself and on request, sends them to a follower that is behind, judges and
 * installs received ones. A snapshot is recorded in the log only when its file is durable, and the log below it goes
 * only with that record (paper 7).
 */
import type { Message, SnapshotMeta } from "./core/types.ts";
import type { Applier } from "./applier.ts";
import { memberOf } from "./core/members.ts";
import type { Peer } from "./core/peer.ts";
import { RaftError } from "./errors.ts";
import type { HostContext } from "./host_context.ts";
import type { Timer } from "./ports.ts";
import type { Routes } from "./routes.ts";
import { readSessions } from "./session_snapshot.ts";
import type { SnapshotOffer } from "./snapshotter.ts";
import type { Connection } from "./transport/transport.ts";
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
  };
  readonly host: HostContext;
  readonly peer: Peer;
  readonly log: NodeLog;
  readonly applier: Applier;
  readonly routes: Routes;
  /** Why the node stopped; undefined while it runs. */
  readonly failure: RaftError | undefined;
  /** Why callers are refused, if they are. */
  readonly refusal: RaftError | undefined;
  bootstrap(): Bootstrap;
  stageOther(
    write: { snapshot: SnapshotMeta; compactTo: number },
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
  readonly #aborter = new AbortController();
  readonly #sending = new Set<number>();
  readonly #retries = new Set<Timer>();
  /** Index of the last attempt: a failed one is not repeated at once. */
  #lastTried: number;
  #lastTriedMs = Number.NEGATIVE_INFINITY;
  #saving: Promise<number> | undefined;
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
      host.logger.warn("a snapshot could not be saved", {
        clusterId: this.#node.clusterId,
        error: error instanceof Error ? error.message : String(error),
      });
    }).finally(() => pacer.end());
  }

  /** Saves a snapshot now; resolves with its index. */
  take(): Promise<number> {
    const { applier, host, clusterId, log, refusal } = this.#node;
    if (refusal !== undefined) return Promise.reject(refusal);
    if (this.#saving !== undefined) return this.#saving;
    if (this.isRestoring) {
      return Promise.reject(
        new RaftError(
          "busy",
          `Cannot save a snapshot: cluster ${clusterId} is being restored from one`,
        ),
      );
    }
    if (applier.applied === 0) {
      return Promise.reject(
        new RaftError(
          "rejected",
          `Cannot save a snapshot: nothing was applied in cluster ${clusterId}`,
        ),
      );
    }
    if (host.log.isDiskFull) {
      return Promise.reject(
        new RaftError("diskFull", "Cannot save a snapshot: the disk is full"),
      );
    }
    const latest = log.snapshot()?.index ?? 0;
    if (latest === applier.applied) return Promise.resolve(latest);
    return this.#save();
  }

  /** Sends the latest snapshot to a follower that needs what the log no longer has. */
  send(message: Extract<Message, { type: "snapshot" }>): void {
    const { host, clusterId, nodeId, peer } = this.#node;
    const to = message.to;
    if (this.#sending.has(to)) return;
    const address = memberOf(peer.membership(), to)?.address;
    if (address === undefined) return peer.reportSnapshot(to, false);
    this.#sending.add(to);
    const bootstrap = this.#node.bootstrap();
    const { index } = message.snapshot;
    const about = { clusterId, nodeId, index };
    if (host.events.isHeard) {
      host.events.emit({ type: "snapshotSendStarted", ...about, to });
    }
    host.snapshotter.send({
      open: () => this.#connect(address, to),
      clusterId,
      from: nodeId,
      to,
      term: message.term,
      meta: message.snapshot,
      fingerprint: bootstrap.fingerprint,
      generation: bootstrap.generation,
      signal: this.#aborter.signal,
    }).then(
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
        host.logger.warn("a snapshot could not be sent", {
          clusterId,
          to,
          error: reason,
        });
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

  /** Makes a connection for one snapshot to member `to`. */
  async #connect(address: string, to: number): Promise<Connection> {
    const { events, counters, links } = this.#node.host;
    const { signal } = this.#aborter;
    counters.transport.snapshotDials++;
    try {
      const opened = await links.openSnapshotConnection(address, signal);
      const known = this.#node.routes.knownNodeHost(to);
      if (known !== "" && known !== opened.remote.nodeHostId) {
        opened.connection.close();
        throw new Error(`another NodeHost answers at ${address}`);
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

  /** Why an offered snapshot is not wanted; undefined if it is. */
  judge(offer: SnapshotOffer, remote: HostIdentity): string | undefined {
    const node = this.#node;
    if (node.failure !== undefined) return "the node has stopped";
    if (offer.to !== node.nodeId) return `node ${offer.to} is not here`;
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
    if (this.#installation === undefined) this.#node.applier.pause();
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
    if (this.#saving === undefined && this.#restoring === undefined) {
      return true;
    }
    const { host, clusterId, nodeId } = this.#node;
    const ended = Promise.all([this.#saving?.catch(() => {}), this.#restoring]);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = host.clock.setTimer(patienceMs, () => {
      host.logger.warn("a state machine does not end its snapshot", {
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
    for (const timer of this.#retries) timer.cancel();
    this.#retries.clear();
    this.#aborter.abort(
      new RaftError(
        "clusterClosed",
        `Cannot go on with a snapshot of cluster ${clusterId}: its node stopped`,
      ),
    );
    host.snapshotter.abortReceives(clusterId, nodeId, "the node stopped");
    this.#abandonRecord?.(); // Written or not: with a full disk that may take for ever.
  }

  /** Lets some time pass before the core asks for it again: whoever refused it, or is away, will not want it at once. */
  #retryLater(to: number): void {
    const { host, config, failure } = this.#node;
    if (failure !== undefined) return;
    const delayMs = config.electionTimeoutTicks * host.tickMs;
    const timer = host.clock.setTimer(delayMs, () => {
      this.#retries.delete(timer);
      this.#sent(to, false);
    });
    this.#retries.add(timer);
  }

  #sent(to: number, delivered: boolean): void {
    this.#sending.delete(to);
    if (this.#node.failure !== undefined) return;
    this.#node.peer.reportSnapshot(to, delivered);
    this.#node.schedule();
  }

  #save(): Promise<number> {
    const { counters } = this.#node.host;
    this.#saving = this.#saveNow().then((index) => {
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

  async #saveNow(): Promise<number> {
    const { applier, host, clusterId, nodeId, peer } = this.#node;
    this.#lastTried = applier.applied;
    this.#lastTriedMs = host.clock.now();
    const resume = () => {
      applier.resume();
      this.#node.schedule();
    };
    const saved = await host.snapshotter.save({
      clusterId,
      nodeId,
      signal: this.#aborter.signal,
      begin: () => {
        if (this.isRestoring) return undefined;
        applier.pause(); // Until the state is written; that it becomes durable need not hold anybody up.
        const meta: SnapshotMeta = {
          index: applier.applied,
          term: applier.appliedTerm,
          membership: peer.membership(),
        };
        this.#lastTried = meta.index;
        const { sessions } = applier;
        const { generation } = this.#node.bootstrap();
        return {
          meta,
          ...(sessions.isPristine ? {} : {
            sessions: { table: sessions.encode(generation), generation },
          }),
          write: (writer) => applier.save(writer).finally(resume),
        };
      },
    });
    if (saved === undefined) {
      throw new RaftError(
        "busy",
        `Cannot save a snapshot: cluster ${clusterId} is being restored from one`,
      );
    }
    await this.#record(saved.meta);
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

  /** Makes the log know the snapshot and forget what lies far below it. */
  #record(meta: SnapshotMeta): Promise<void> {
    const node = this.#node;
    return new Promise((resolve, reject) => {
      const latest = node.log.snapshot()?.index ?? 0;
      if (node.failure !== undefined) return reject(node.failure);
      if (latest >= meta.index) return resolve(); // A received one overtook it.
      const compactTo = Math.max(
        0,
        meta.index - node.config.compactionOverhead,
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
        if (compactTo > 0 && node.host.events.isHeard) {
          const { clusterId, nodeId } = node;
          node.host.events.emit({
            type: "logCompacted",
            clusterId,
            nodeId,
            index: compactTo,
          });
        }
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
    const { host, clusterId, nodeId, applier } = node;
    while (this.#installation !== undefined && this.#isInstallable) {
      const { meta } = this.#installation;
      await this.#saving?.catch(() => {}); // Its writer must not see the state change.
      if (node.failure !== undefined) return;
      const file = host.snapshotStore.open(clusterId, nodeId, meta.index);
      try {
        const { generation } = node.bootstrap();
        const sessions = await readSessions(file, generation);
        await applier.restore(meta, file.body(), sessions);
      } finally {
        file.close();
      }
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

  #retain(index: number): void {
    const { host, clusterId, nodeId } = this.#node;
    const removed = host.snapshotStore.retain(clusterId, nodeId, index);
    if (removed > 0 && host.events.isHeard) {
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
