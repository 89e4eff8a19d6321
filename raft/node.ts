/**
 * Drives one Peer, one member of one cluster: what callers and other NodeHosts bring goes in, what the core wants done
 * goes to the log, the network and the state machine, in the order that `engine.ts` keeps.
 */
import { assert } from "./core/assert.ts";
import type {
  ConfigChange,
  EntryBatch,
  Membership,
  Message,
  ReadContext,
  SnapshotMeta,
  Update,
} from "./core/types.ts";
import type { Peer, Refusal } from "./core/peer.ts";
import { Admission } from "./admission.ts";
import { Applier, closeMachine } from "./applier.ts";
import { type AnyApplier, BatchApplier } from "./batch_applier.ts";
import { ChangeTable } from "./changes.ts";
import type { ResolvedClusterConfig } from "./config.ts";
import type { SessionFields } from "./entries.ts";
import type { Engine, EngineNode } from "./engine.ts";
import { RaftError } from "./errors.ts";
import { Forwarding } from "./forwarding.ts";
import { Greetings } from "./greetings.ts";
import type { HostContext } from "./host_context.ts";
import { KeptPromises } from "./kept_promises.ts";
import { MembershipWatch, removedError } from "./membership_watch.ts";
import { NodeProposals } from "./node_proposals.ts";
import type { ProposalWait } from "./node_proposals.ts";
import { ProposalTable } from "./proposals.ts";
import { abortable, ReadTable, requestError } from "./requests.ts";
import type { PendingRead, Settle } from "./requests.ts";
import { removedReason, Routes } from "./routes.ts";
import { NodeEvents } from "./node_events.ts";
import { NodeSnapshots } from "./node_snapshots.ts";
import type { SessionTable } from "./sessions.ts";
import type { AnyStateMachine, Result } from "./state_machine.ts";
import { MemberVersions } from "./versions.ts";
import { witnessRefusal } from "./witness.ts";
import type { Link, WireRecord } from "./transport/link_pool.ts";
import type {
  Bootstrap,
  NodeLog,
  NodeWrite,
  PeerIdentity,
} from "../storage/log_store.ts";

/** What a node is made of. */
export interface NodeParts {
  readonly host: HostContext;
  readonly engine: Engine;
  readonly config: ResolvedClusterConfig;
  readonly log: NodeLog;
  readonly bootstrap: Bootstrap;
  readonly machine: AnyStateMachine;
  /** Makes the core, which reads the log. */
  readonly peer: Peer;
  /** Where the restored snapshot stands, or index 0. */
  readonly start: { readonly index: number; readonly term: number };
  /** The clients' sessions there. */
  readonly sessions: SessionTable;
  /** Entries up to here are in the state machine already. */
  readonly opened: number;
}

const noMessage: Message = { type: "timeoutNow", from: 0, to: 0, term: 0 };
/** Every message leaves in this one: a record is encoded, or dropped, before `send` returns. */
const messageRecord: { kind: "message"; clusterId: number; message: Message } =
  { kind: "message", clusterId: 0, message: noMessage };

/** One node. */
export class Node implements EngineNode {
  /** Whether the engine knows that there is something to do. */
  isDirty = false;
  /** Whether the engine ticks it. */
  isTicking = false;
  /** Why the node stopped; undefined while it runs. */
  failure: RaftError | undefined;
  /** Resolves when a node that was stopped has let go of its files and its state machine. */
  ended: Promise<void> = Promise.resolve();
  /** The cluster. */
  readonly clusterId: number;
  /** The node. */
  readonly nodeId: number;
  /** The core. */
  readonly peer: Peer;
  /** Its state machine. */
  readonly machine: AnyStateMachine;
  /** Its part of the log. */
  readonly log: NodeLog;
  /** Names this incarnation of the NodeHost in proposer keys. */
  readonly proposer: number;
  /** Limits and sizes. */
  readonly config: ResolvedClusterConfig;
  /** Ports and services of the NodeHost. */
  readonly host: HostContext;
  /** Applies what is committed. */
  readonly applier: AnyApplier;
  /** Paths to the other members. */
  readonly routes: Routes;
  /** Whether the node may vote (rule I2). */
  readonly admission: Admission;
  /** Saves, sends and receives snapshots. */
  readonly snapshots: NodeSnapshots;
  /** What the members' NodeHosts speak (rule I6). */
  readonly versions: MemberVersions;
  /** Tells what becomes of it. */
  readonly events: NodeEvents;
  readonly #engine: Engine;
  readonly #proposals: ProposalTable;
  readonly #proposing: NodeProposals;
  readonly #reads = new ReadTable();
  readonly #changes: ChangeTable;
  readonly #forwarding: Forwarding;
  readonly #greetings: Greetings;
  readonly #watch: MembershipWatch;
  readonly #witnessRefusal: RaftError | undefined;
  #bootstrap: Bootstrap;
  #tickedAt = 0;
  readonly #promises = new KeptPromises((message) =>
    this.#sendMessage(message)
  );

  /** A node that is ready for its first turn. */
  constructor(parts: NodeParts) {
    this.host = parts.host;
    this.config = parts.config;
    this.clusterId = parts.config.clusterId;
    this.nodeId = parts.config.nodeId;
    this.#witnessRefusal = parts.config.witness
      ? witnessRefusal(this.clusterId, this.nodeId)
      : undefined;
    this.peer = parts.peer;
    this.machine = parts.machine;
    this.log = parts.log;
    this.proposer = parts.host.proposer;
    this.#engine = parts.engine;
    this.#bootstrap = parts.bootstrap;
    this.#proposals = new ProposalTable(
      this.proposer,
      (count) => this.takeCounters(count),
      { clock: this.host.clock, histogram: this.host.counters.propose },
    );
    this.events = new NodeEvents(this);
    this.#proposing = new NodeProposals(this, this.#proposals);
    this.#changes = new ChangeTable(this);
    this.#watch = new MembershipWatch(this, this.#changes);
    this.#greetings = new Greetings(this, parts.engine);
    this.#forwarding = new Forwarding(this, this.#proposals, this.#changes);
    this.applier = this.#applierOf(parts);
    this.routes = new Routes(this, this.peer.membership(), parts.log.peers());
    this.versions = new MemberVersions(this);
    this.admission = new Admission(this);
    this.snapshots = new NodeSnapshots(this);
  }

  #applierOf(parts: NodeParts): AnyApplier {
    const { machine, start, opened } = parts;
    const options = {
      proposals: this.#proposals,
      proposer: this.proposer,
      clock: parts.host.clock,
      compression: parts.host.compression,
      owner: this,
      counters: parts.host.counters,
      sessions: parts.sessions,
      start,
    };
    return machine.kind === "concurrent" || machine.kind === "onDisk"
      ? new BatchApplier({ ...options, machine, opened })
      : new Applier({ ...options, machine });
  }

  // ---- What callers ask ----

  /** Proposes a command, in a session if one is given; see `NodeHost.propose`. */
  propose(
    command: Uint8Array,
    options: ProposalWait,
    session?: SessionFields,
  ): Promise<Result> {
    return this.#proposing.propose(command, options, session);
  }

  /** Answers once everything that was committed before the call is applied here (thesis 6.4). */
  read<T>(
    answer: () => T,
    options: { signal: AbortSignal | undefined; timeoutMs: number },
  ): Promise<T> {
    if (this.workRefusal !== undefined) return Promise.reject(this.workRefusal);
    if (this.#proposing.isOverloaded(0)) return this.#proposing.refuseBusy();
    this.host.counters.reads++;
    const deadline = this.deadline(options.timeoutMs);
    return abortable<T>(options.signal, (settle) => {
      const read: PendingRead = {
        answer,
        settle: settle as Settle<unknown>,
        deadline,
        isForgotten: false,
      };
      this.#reads.add(read);
      this.#engine.schedule(this);
      return () => {
        read.isForgotten = true;
      };
    });
  }

  /** Answers once the node can do what its kind does: a witness then counts for its cluster, others may be read. */
  ready(
    options: { signal: AbortSignal | undefined; timeoutMs: number },
  ): Promise<void> {
    if (!this.config.witness) return this.read(() => undefined, options);
    const { peer } = this;
    if (peer.leaderId !== 0 && peer.memberKind() === "witness") {
      return Promise.resolve();
    }
    return Promise.reject(
      requestError("notReady", "Cannot count yet: the witness has no leader"),
    );
  }

  /** Changes the membership; see `NodeHost.addNode`. */
  change(
    change: ConfigChange,
    options: { signal: AbortSignal | undefined; timeoutMs: number },
    onRefusal?: (refusal: string) => void,
  ): Promise<Membership> {
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    if (this.#changes.isFull) return this.#proposing.refuseBusy();
    const deadline = this.deadline(options.timeoutMs);
    return abortable<Membership>(options.signal, (settle) => {
      const forget = this.#changes.addChange(
        change,
        settle,
        deadline,
        onRefusal,
      );
      this.#engine.schedule(this);
      return forget;
    });
  }

  /** Moves leadership; see `NodeHost.transferLeadership`. */
  transfer(
    target: number,
    options: { signal: AbortSignal | undefined; timeoutMs: number },
  ): Promise<void> {
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    if (this.#changes.isFull) return this.#proposing.refuseBusy();
    const deadline = this.deadline(options.timeoutMs);
    return abortable<void>(options.signal, (settle) => {
      const forget = this.#changes.addTransfer(target, settle, deadline);
      this.#engine.schedule(this);
      return forget;
    });
  }

  // ---- What the engine calls ----

  /** Whether it needs no ticks (rule C10). */
  get isQuiet(): boolean {
    return this.peer.isQuiet;
  }

  /** One tick has passed. */
  tick(): void {
    const now = this.#engine.tickNow;
    const { electionTimeoutTicks } = this.config;
    if (this.config.leaseReads) this.#readClocks(now);
    if (this.config.quiesce && this.#isBusy) this.peer.stir();
    this.peer.setDiskStalled(this.#engine.writingTicks >= electionTimeoutTicks);
    this.peer.tick();
    this.#proposing.tick(now);
    this.host.counters.proposalsTimedOut += this.#proposals.tick(now);
    if (this.#reads.count > 0) {
      this.#reads.tick(
        now,
        2 * this.config.electionTimeoutTicks,
        () => this.#timeout("read"),
      );
    }
    if (this.#changes.hasWork) {
      this.#changes.tick(now, this.#proposing.outlook());
    }
    this.admission.tick();
    this.#watch.tick();
    this.events.look();
    if (
      this.peer.hasUpdate() || this.#reads.hasWaiting ||
      this.#changes.hasWork ||
      (this.#watch.wantsIdentify && this.peer.isLeader())
    ) this.#engine.schedule(this);
  }

  /** Leases are as good as these readings. A process that missed half an election timeout was paused (rule C8). */
  #readClocks(tickNow: number): void {
    const { clock } = this.host;
    this.peer.readClocks(
      Math.floor(clock.now() * 1_000),
      clock.wallTime() * 1_000,
    );
    if (!this.isTicking) this.#tickedAt = 0; // It was quiet: that is no pause.
    if (tickNow === 0) return;
    const missed = tickNow - this.#tickedAt;
    if (this.#tickedAt > 0 && 2 * missed > this.config.electionTimeoutTicks) {
      this.peer.paused();
    }
    this.#tickedAt = tickNow;
  }

  /** Whether something here waits for time to pass, so that the cluster must not fall quiet. */
  get #isBusy(): boolean {
    return this.#proposals.isWaiting || this.#reads.count > 0 ||
      this.#changes.hasWork || this.admission.isNewcomer() ||
      this.#watch.leaving !== undefined || this.applier.hasWork ||
      this.snapshots.isRestoring;
  }

  /** Hands on what came in since the last turn. */
  turn(): void {
    if (this.failure !== undefined) return;
    if (this.config.leaseReads) this.#readClocks(0);
    if (this.#proposals.hasWork) {
      this.seal();
      this.#proposing.forward();
    }
    if (this.#reads.hasWaiting) this.#issueReads();
    if (this.#changes.hasWork) {
      this.peer.stir();
      this.#changes.turn();
    }
    this.#watch.identify();
    if (this.peer.hasUpdate()) this.#carryOut(this.peer.update());
    const { commits } = this.#proposing;
    if (commits.hasWork) commits.look(this.peer); // Before what is committed is applied.
    this.events.look();
  }

  /** Whether there is something to apply. */
  get hasToApply(): boolean {
    return this.failure === undefined && this.applier.hasWork;
  }

  /** Applies committed entries until there are none, or the clock shows `deadline`. */
  apply(deadline: number): void {
    this.applier.run(deadline);
    this.snapshots.maybeSave();
  }

  /** A state machine that takes its time has applied what it was given. */
  stepDone(): void {
    if (this.failure !== undefined) return;
    this.snapshots.maybeSave();
    this.#engine.schedule(this);
  }

  /** The log has written up to `writeId`. */
  written(writeId: number): void {
    if (this.failure !== undefined) return;
    this.peer.persisted({ writeId });
    this.#promises.durable(writeId);
    this.snapshots.written(writeId);
    this.#engine.schedule(this);
  }

  /** Stops this node, and only this node. */
  fail(error: unknown): void {
    if (this.failure !== undefined) return;
    const message = error instanceof Error ? error.message : String(error);
    this.host.counters.nodesFailed++;
    this.host.logger.error("a node stopped", {
      clusterId: this.clusterId,
      nodeId: this.nodeId,
      error: message,
      stack: error instanceof Error ? error.stack : undefined,
    });
    // What is asked of a stopped node from here on is not applied; what it has in a log ends as unknown.
    this.stop(
      error instanceof RaftError
        ? new RaftError(error.code, message, { cause: error })
        : new RaftError(
          "clusterClosed",
          `Cannot go on with cluster ${this.clusterId}: its node stopped: ${message}; startCluster starts it again`,
          { cause: error },
        ),
    );
  }

  /** Stops the node for `reason`; what waits ends with it. */
  stop(reason: RaftError): void {
    if (this.failure !== undefined) return;
    this.failure = reason;
    for (const message of this.peer.farewell()) this.#sendMessage(message);
    this.#engine.remove(this);
    this.endRequests(reason);
    this.admission.stop();
    this.applier.stop();
    this.snapshots.stop();
    this.events.stopped(reason);
    this.ended = this.#end();
  }

  /** Ends what callers wait for. */
  endRequests(reason: RaftError): void {
    const ended = (outcome: "unknown" | "notApplied") => () =>
      requestError(reason.code, reason.message, outcome);
    this.#proposals.failAll(ended("unknown"), ended("notApplied"));
    this.#reads.failAll(ended("notApplied"));
    this.#changes.failAll((isUnknown) =>
      ended(isUnknown ? "unknown" : "notApplied")()
    );
  }

  /** Closes the state machine once it saves and restores nothing any more; one that does not come back stays as it is. */
  async #end(): Promise<void> {
    if (await this.snapshots.idle()) {
      await closeMachine(this.machine, this.clusterId, this.host.logger);
    }
  }

  // ---- What the network brings ----

  /** A record for this cluster came in. */
  receive(link: Link, record: WireRecord): void {
    if (this.failure !== undefined) return;
    if (record.kind === "hello") {
      if (this.#greetings.receiveHello(link, record)) {
        // It was out of touch, and may not be able to campaign: an observer has nobody else to wake (rules C9, C10).
        if (this.peer.isQuiet && this.peer.isLeader()) this.peer.stir();
        this.#watch.wantsIdentify = true;
        this.versions.look();
      }
      return;
    }
    if (record.kind === "refused") {
      return this.#greetings.receiveRefused(link, record);
    }
    const sender = record.kind === "message" ? record.message : record;
    if (sender.to !== this.nodeId) return;
    if (!this.routes.isBelieved(link, sender.from)) {
      return this.#greetings.askForHello(link, sender.from);
    }
    switch (record.kind) {
      case "message":
        this.#receiveMessage(link, record.message);
        return;
      case "welcome":
        return this.admission.welcomed(record.from);
      case "forward":
        return this.#forwarding.receive(record);
      case "forwarded":
        return this.#forwarding.answered(record);
      case "forwardChange":
        return this.#forwarding.receiveChange(record);
      case "forwardTransfer":
        return this.#forwarding.receiveTransfer(record);
      case "logHeld":
        return this.#proposing.receiveHeld(record);
    }
  }

  /** Whether the cluster is quiet, or was just woken in vain, and led from `address`. */
  isQuietUnder(address: string): boolean {
    return this.peer.heedsSilence && !this.peer.isLeader() &&
      this.routes.membersAt(address).includes(this.peer.leaderId);
  }

  /** The link to `address` was lost. A node that was quiet under a leader there campaigns within so many ticks. */
  linkDown(address: string, withinTicks: number): void {
    if (this.failure !== undefined) return;
    if (this.isQuietUnder(address)) {
      this.peer.leaderSilent(withinTicks);
      this.schedule();
    }
    for (const nodeId of this.routes.membersAt(address)) {
      if (nodeId === this.nodeId) continue;
      this.#proposals.linkLost(nodeId);
      this.#changes.linkLost(nodeId);
      this.peer.reportUnreachable(nodeId);
    }
  }

  /** A link came up, or this node has just started. */
  linkUp(): void {
    if (this.failure !== undefined) return;
    this.#watch.wantsIdentify = true;
    this.versions.look();
    this.routes.helloAll();
    this.admission.linkUp();
  }

  /** Asks for a turn. */
  schedule(): void {
    this.#engine.schedule(this);
  }

  // ---- For the parts of this node ----

  /** This NodeHost's identity. */
  get self(): HostContext["self"] {
    return this.host.self;
  }

  /** A link to an address. */
  linkTo(address: string): Link {
    return this.host.links.linkTo(address);
  }

  /** Where a NodeHost is reached. */
  addressOf(nodeHostId: string, otherwise: string): string {
    return this.host.addresses.addressOf(nodeHostId, otherwise);
  }

  /** The bootstrap record as it stands. */
  bootstrap(): Bootstrap {
    return this.#bootstrap;
  }

  /** Replaces the bootstrap record; `done` is called when it is durable. */
  saveBootstrap(bootstrap: Bootstrap, done: () => void): void {
    this.#bootstrap = bootstrap;
    this.#stageProfile({ bootstrap }, true, done);
  }

  /** See `VersionsOwner`. */
  noteBootstrap(bootstrap: Bootstrap): void {
    this.#bootstrap = bootstrap;
    this.#stageProfile({ bootstrap }, false, () => {});
  }

  /** See `ChangesOwner`. */
  refuseChange(change: ConfigChange): string | undefined {
    return this.versions.refuseChange(change);
  }

  /** See `RoutesOwner`. */
  refuseHost(version: number): string | undefined {
    return this.versions.refuseHost(version);
  }

  /** Whether the node still wants to be admitted. */
  isNewcomer(): boolean {
    return this.admission.isNewcomer();
  }

  /** See `RoutesOwner`. */
  saveIdentities(
    peers: readonly PeerIdentity[],
    mustSync: boolean,
    done: () => void,
  ): void {
    this.#stageProfile({ peers }, mustSync, done);
  }

  #stageProfile(
    profile: Pick<NodeWrite, "bootstrap" | "peers">,
    mustSync: boolean,
    done: () => void,
  ): void {
    const { clusterId, nodeId } = this;
    const write = { clusterId, nodeId, ...profile };
    this.#engine.stageProfile(write, mustSync, done);
  }

  /** Stages a record that is not the core's. */
  stageOther(
    write: { snapshot?: SnapshotMeta; compactTo: number },
    done: () => void,
    abandoned: () => void,
  ): void {
    this.#engine.stageOther(
      { clusterId: this.clusterId, nodeId: this.nodeId, ...write },
      true,
      done,
      abandoned,
    );
  }

  /** So many numbers in a row that no other node got, in this life of it or before; returns the first. */
  takeCounters(count: number): number {
    return this.#engine.takeCounters(count);
  }

  /** Sends a record to a node of the cluster; false if there is no way to it now. */
  send(to: number, record: WireRecord): boolean {
    return this.routes.send(to, record);
  }

  /** A membership change is applied. */
  applyChange(
    command: Uint8Array,
    index: number,
    key: { proposer: number; counter: number },
  ): void {
    this.#watch.apply(command, index, key);
    this.versions.look();
  }

  /** The membership was changed by a snapshot, or is that of the start. */
  membershipChanged(membership: Membership): void {
    this.#watch.follow(membership);
    this.versions.look();
  }

  /** Another member says that this node is none any more: it may go. */
  removed(): void {
    this.stop(removedError(this.clusterId, this.nodeId));
  }

  /** Why callers are refused: the node has stopped, or was removed. */
  get refusal(): RaftError | undefined {
    return this.failure ?? this.#watch.leaving;
  }

  /** Why callers who want something proposed, read or saved are refused: a witness can do none of it (rule C9). */
  get workRefusal(): RaftError | undefined {
    return this.refusal ?? this.#witnessRefusal;
  }

  /** `batch` was applied: requests that had its place in the log in another term never will be (rule R1). */
  batchApplied(batch: EntryBatch): void {
    this.versions.applied(batch);
    if (this.#proposals.hasForwarded) {
      this.#proposals.settleOverwrittenForwards(batch);
    }
    if (this.#changes.hasWork) this.#changes.settleOverwritten(batch);
  }

  /** Everything up to `index` is applied. */
  appliedTo(index: number): void {
    if (this.failure !== undefined) return;
    this.peer.applied(index);
    this.#serveReads();
    if (this.peer.hasUpdate()) this.#engine.schedule(this);
  }

  /** See `ForwardingOwner`. */
  overload(bytes: number): RaftError | undefined {
    return this.#proposing.overload(bytes);
  }

  /** Ends the next batch and gives it to the core. */
  seal(): void {
    this.#proposing.seal();
  }

  /** See `ProposalsOwner`. */
  sealed(taken: EntryBatch | Refusal): void {
    this.#forwarding.sealed(taken);
  }

  /** See `ProposalsOwner`. */
  readCount(): number {
    return this.#reads.count;
  }

  /** See `ProposalsOwner`. */
  tickNow(): number {
    return this.#engine.tickNow;
  }

  // ---- Inside ----

  /** The tick at which a request ends as timed out. */
  deadline(timeoutMs: number): number {
    return this.#engine.tickNow + Math.ceil(timeoutMs / this.host.tickMs) + 1;
  }

  #timeout(what: string): RaftError {
    return requestError(
      "timeout",
      `Cannot ${what} in time: cluster ${this.clusterId} has ${
        this.peer.leaderId === 0 ? "no leader" : "not answered"
      }`,
    );
  }

  #issueReads(): void {
    const counter = this.takeCounters(1);
    this.#reads.beginRound(counter, this.#engine.tickNow);
    this.host.counters.readRounds++;
    this.peer.readIndex({
      nodeId: this.nodeId,
      incarnation: this.host.self.incarnation,
      counter,
    });
  }

  #carryOut(update: Update): void {
    for (const message of update.appends) {
      if (message.type === "snapshot") this.snapshots.send(message);
      else this.#sendMessage(message);
    }
    if (update.records !== undefined) this.#stageRecords(update);
    if (update.promises.length > 0) {
      this.#promises.keep(update.promises, update.promisesAfter);
    }
    if (update.snapshot !== undefined) {
      assert(update.records !== undefined, "a snapshot comes with its record");
      this.#proposals.overtaken(update.snapshot.index);
      this.snapshots.install(update.snapshot, update.records.writeId);
    }
    if (update.committed !== undefined) this.applier.take(update.committed);
    for (const read of update.readStates) {
      this.#confirmRead(read.context, read.index);
    }
    for (const context of update.droppedReads) {
      this.host.counters.readRoundsDropped++;
      this.#reads.drop(
        context.counter,
        () =>
          requestError(
            "notReady",
            `Cannot read: cluster ${this.clusterId} has no leader now; waitReady waits for one`,
          ),
      );
    }
  }

  #confirmRead(context: ReadContext, index: number): void {
    if (context.incarnation !== this.host.self.incarnation) return;
    this.#reads.confirm(context.counter, index);
    this.#serveReads();
  }

  /** Answers reads, unless the state machine is being replaced. */
  #serveReads(): void {
    if (!this.snapshots.isRestoring) {
      this.#reads.serve(this.applier.applied);
    }
  }

  #stageRecords(update: Update): void {
    const records = update.records!;
    this.#engine.stage(
      this,
      {
        clusterId: this.clusterId,
        nodeId: this.nodeId,
        ...(records.hardState === undefined
          ? {}
          : { hardState: records.hardState }),
        ...(records.batches.length === 0 ? {} : { batches: records.batches }),
        ...(update.snapshot === undefined ? {} : { snapshot: update.snapshot }),
      },
      records,
    );
  }

  #sendMessage(message: Message): void {
    messageRecord.clusterId = this.clusterId;
    messageRecord.message = message;
    const isSent = this.routes.send(message.to, messageRecord);
    messageRecord.message = noMessage;
    if (!isSent && message.type === "append") {
      this.peer.reportUnreachable(message.to);
    }
  }

  #receiveMessage(link: Link, message: Message): void {
    if (!this.admission.mayListen()) return;
    if (this.routes.isKnownRemoved(message.from)) {
      return this.#greetings.refuse(link, message.from, removedReason);
    }
    // Comes over a connection of its own, but for a witness, to which there is nothing to stream.
    if (message.type === "snapshot" && !this.config.witness) return;
    if (
      message.type === "append" && message.batches.length > 0 &&
      this.host.log.isDiskFull
    ) {
      return; // There is no room, and votes must not wait behind it (L5). The leader sends it again.
    }
    this.peer.step(message);
    this.#engine.schedule(this);
  }

  /** Steps a snapshot message whose file lies durable on this disk. */
  stepSnapshot(message: Message): void {
    if (this.failure !== undefined) return;
    try {
      this.peer.step(message);
    } catch (error) {
      this.fail(error);
      throw error;
    }
    this.#engine.schedule(this);
  }
}
