/**
 * How proposals of one node go in: refused at once if they cannot be taken, else into the next batch of this node as
 * leader, or into the next record for the leader elsewhere (rules B3, R1).
 */
import type { EntryBatch } from "./core/types.ts";
import type { Peer, Refusal } from "./core/peer.ts";
import { CommitWatch } from "./commit_watch.ts";
import type { ResolvedClusterConfig } from "./config.ts";
import { entryKind } from "./core/entry_batch.ts";
import type { CommandKind, SessionFields } from "./entries.ts";
import { RaftError } from "./errors.ts";
import type { HostContext } from "./host_context.ts";
import { LogLimit } from "./log_limit.ts";
import { packCommand } from "./packed_commands.ts";
import type { Outlook } from "./outlook.ts";
import type { ProposalTable } from "./proposals.ts";
import { abortable, requestError, requestOverheadBytes } from "./requests.ts";
import type { ProposalGroup, Settle } from "./requests.ts";
import type { Routes } from "./routes.ts";
import type { MemberVersions } from "./versions.ts";
import type { WireRecord } from "./transport/link_pool.ts";
import type { Result } from "./state_machine.ts";

/** How long a proposal may wait. */
export interface ProposalWait {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
  /** Called once when it is committed, before it is applied. */
  readonly onCommitted?: () => void;
}

/** What {@link NodeProposals} need of their node. */
export interface ProposalsOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly config: ResolvedClusterConfig;
  readonly host: HostContext;
  readonly peer: Peer;
  readonly routes: Routes;
  readonly versions: MemberVersions;
  /** What is applied. */
  readonly applier: { readonly applied: number; readonly appliedTerm: number };
  /** Whether the engine knows that there is something to do. */
  readonly isDirty: boolean;
  /** Why callers who want work done are refused, if they are. */
  readonly workRefusal: RaftError | undefined;
  /** Reads that wait: they count too. */
  readCount(): number;
  /** Ticks since the NodeHost opened. */
  tickNow(): number;
  /** The tick at which a request ends as timed out. */
  deadline(timeoutMs: number): number;
  /** Sends a record to a node of the cluster; false if there is no way to it now. */
  send(to: number, record: WireRecord): boolean;
  /** The next batch was given to the core, or refused by it. */
  sealed(taken: EntryBatch | Refusal): void;
  schedule(): void;
}

/** What the limit looks at in a tick of any node; each in turn writes it anew. */
const looked = { ownBytes: 0, term: 0, now: 0 };

/** The way in for proposals. */
export class NodeProposals {
  /** Those that have not ended. */
  readonly table: ProposalTable;
  /** Who wants to know when theirs are committed. */
  readonly commits: CommitWatch = new CommitWatch();
  readonly #limit: LogLimit;
  readonly #node: ProposalsOwner;
  #busyError: RaftError | undefined;
  #busyRejection: Promise<never> | undefined;
  #busySince = 0;

  /** Nothing was proposed yet. */
  constructor(node: ProposalsOwner, table: ProposalTable) {
    this.#node = node;
    this.table = table;
    const { maxInMemLogBytes, electionTimeoutTicks } = node.config;
    this.#limit = new LogLimit(maxInMemLogBytes, electionTimeoutTicks);
  }

  /** A tick has passed: is too much of the log in memory, here or on a follower? */
  tick(now: number): void {
    const { peer, clusterId, nodeId } = this.#node;
    const { term, leaderId } = peer;
    if (this.table.hasForwarded) this.table.endForwarded(this.outlook());
    const ownBytes = peer.unappliedBytes;
    looked.ownBytes = ownBytes;
    looked.term = term;
    looked.now = now;
    this.#limit.look(looked);
    if (peer.isLeader() || leaderId === 0) return;
    if (!this.#limit.isReportDue(looked)) return;
    this.#node.send(leaderId, {
      kind: "logHeld",
      clusterId,
      from: nodeId,
      to: leaderId,
      term,
      bytes: ownBytes,
    });
    this.#node.schedule();
  }

  /** How things stand, for requests that a leader took or was sent. */
  outlook(): Outlook {
    const { peer, routes, applier, config } = this.#node;
    const { leaderId } = peer;
    return {
      applied: applier.applied,
      appliedTerm: applier.appliedTerm,
      leaderId: leaderId !== 0 && routes.isReachable(leaderId) ? leaderId : 0,
      patience: config.electionTimeoutTicks,
    };
  }

  /** A follower says how much of the log it holds. */
  receiveHeld(record: Extract<WireRecord, { kind: "logHeld" }>): void {
    const { peer } = this.#node;
    const { from, bytes, term } = record;
    if (!peer.isLeader() || term !== peer.term) return;
    const now = this.#node.tickNow();
    this.#limit.report(from, { bytes, term, now });
    this.#limit.look({ ownBytes: peer.unappliedBytes, term, now });
  }

  /** Proposes a command, in a session if one is given; see `NodeHost.propose`. */
  propose(
    command: Uint8Array,
    options: ProposalWait,
    session?: SessionFields,
  ): Promise<Result> {
    const refusal = this.#refusalOf(command.length) ??
      (session === undefined ? undefined : this.#refuseSessions());
    if (refusal !== undefined) {
      this.#node.host.counters.refused(refusal.code);
      return refusal === this.#busyError
        ? this.refuseBusy()
        : Promise.reject(refusal);
    }
    const deadline = this.#node.deadline(options.timeoutMs);
    const { signal, onCommitted } = options;
    if (onCommitted !== undefined) {
      return this.#proposeWatched(
        command,
        { ...options, onCommitted },
        session,
      );
    }
    if (signal === undefined) {
      return new Promise((resolve) => {
        this.#enqueue(command, resolve, deadline, session);
      });
    }
    if (signal.aborted) return Promise.reject(signal.reason);
    return abortable<Result>(signal, (settle) => {
      const group = this.#enqueue(command, settle, deadline, session);
      const slot = group.settles.length - 1;
      return () => {
        group.settles[slot] = undefined;
      };
    });
  }

  /** As `propose`, for a caller that wants to know when the proposal is committed. */
  #proposeWatched(
    command: Uint8Array,
    options: ProposalWait & { onCommitted: () => void },
    session: SessionFields | undefined,
  ): Promise<Result> {
    const { signal, timeoutMs, onCommitted } = options;
    let isOpen = true;
    const tell = () => {
      if (!isOpen) return;
      isOpen = false;
      try {
        onCommitted();
      } catch (error) {
        this.#node.host.logger.error("an onCommitted callback failed", {
          clusterId: this.#node.clusterId,
          error: error instanceof Error ? error.message : String(error),
        });
      }
    };
    return abortable<Result>(signal, (settle) => {
      const group = this.#enqueue(
        command,
        (result) => {
          // What has a result is committed, whether that was seen before or not.
          if (!(result instanceof Promise)) tell();
          isOpen = false;
          settle(result);
        },
        this.#node.deadline(timeoutMs),
        session,
      );
      const slot = group.settles.length - 1;
      this.commits.add(group, slot, tell);
      return () => {
        isOpen = false;
        group.settles[slot] = undefined;
      };
    });
  }

  /** Why a proposal of `bytes` cannot be taken now. */
  #refusalOf(bytes: number): RaftError | undefined {
    const refusal = this.#node.workRefusal;
    if (refusal !== undefined) return refusal;
    if (bytes > this.#node.host.maxPayloadBytes) {
      return new RaftError(
        "payloadTooBig",
        `Cannot propose ${bytes} bytes: maxPayloadBytes is ${this.#node.host.maxPayloadBytes}`,
      );
    }
    if (this.#node.peer.leaderId === 0) {
      return requestError(
        "notReady",
        `Cannot propose: cluster ${this.#node.clusterId} has no leader now; waitReady waits for one`,
      );
    }
    return this.overload(bytes);
  }

  #refuseSessions(): RaftError | undefined {
    const { peer, versions } = this.#node;
    return versions.refuseSessions(peer.isLeader());
  }

  /** Why entries of so many bytes are too much for now. */
  overload(bytes: number): RaftError | undefined {
    if (this.isOverloaded(bytes) || this.#limit.isLimited) return this.#busy();
    if (this.#node.host.log.isDiskFull) {
      return requestError(
        "diskFull",
        "Cannot propose: the disk has no room for the log",
      );
    }
    return undefined;
  }

  /** Ends the next batch and gives it to the core. */
  seal(): void {
    const { builder } = this.table;
    const { count, hasSessions } = builder;
    if (count === 0) return;
    const taken = this.#node.peer.propose(builder.take(), count, hasSessions);
    if (typeof taken === "string") {
      this.table.refused(() => this.#dropped(taken));
    } else {
      this.table.sealed(taken);
      this.#node.host.counters.proposals += count;
    }
    this.#node.sealed(taken);
  }

  /** Whether what waits, and `bytes` more, is too much. */
  isOverloaded(bytes: number): boolean {
    const waiting = this.table.bytes +
      this.#node.readCount() * requestOverheadBytes;
    return waiting > 0 &&
      waiting + bytes + requestOverheadBytes >
        this.#node.config.maxInMemLogBytes;
  }

  /** A rejected promise that says so. */
  refuseBusy(): Promise<never> {
    this.#busy();
    return this.#busyRejection!;
  }

  /**
   * One error, and one rejected promise, for all refusals of a tick: under overload there are millions a second, and
   * making either is dear. Whoever awaits it gets the error all the same.
   */
  #busy(): RaftError {
    if (
      this.#busyError === undefined || this.#busySince !== this.#node.tickNow()
    ) {
      this.#busySince = this.#node.tickNow();
      this.#busyError = requestError(
        "busy",
        `Cannot take more work for cluster ${this.#node.clusterId}: proposals and reads, or entries that are not ` +
          `applied yet here or on a follower, of ${this.#node.config.maxInMemLogBytes} bytes wait`,
      );
      this.#busyRejection = Promise.reject(this.#busyError);
      this.#busyRejection.catch(() => {}); // Nobody may be there to handle it.
    }
    return this.#busyError;
  }

  #enqueue(
    command: Uint8Array,
    settle: Settle<Result>,
    deadline: number,
    session: SessionFields | undefined,
  ): ProposalGroup {
    let kind: CommandKind = entryKind.application;
    const { config, versions } = this.#node;
    if (config.entryCompression && versions.isNewest) {
      const packed = packCommand(command, this.#node.host.compression);
      if (packed !== undefined) {
        command = packed;
        kind = entryKind.packed;
      }
    }
    const group = this.#node.peer.isLeader()
      ? this.table.add(command, settle, deadline, session, kind)
      : this.table.addForward(command, settle, deadline, session, kind);
    const { builder, forwardBuilder } = this.table;
    if (builder.bytes > this.#node.host.batchBytes) this.seal();
    else if (forwardBuilder.bytes > this.#node.host.batchBytes) this.forward();
    if (!this.#node.isDirty) this.#node.schedule();
    return group;
  }

  #dropped(refusal: Refusal): RaftError {
    return requestError(
      "dropped",
      refusal === "transferring"
        ? "Cannot propose: leadership is being transferred"
        : "Cannot propose: this node no longer leads",
    );
  }

  /** Sends what is meant for the leader elsewhere. */
  forward(): void {
    if (this.table.forwardBuilder.count === 0) return;
    this.#node.peer.stir(); // Somebody waits for an answer, which may not come.
    const leader = this.#node.peer.leaderId;
    const unreachable = () =>
      requestError("notReady", "Cannot propose: the leader is out of reach");
    if (leader === this.#node.nodeId) {
      // Became leader within this turn: what was meant for another goes the same way, by its keys.
      const { entries, group, hasSessions } = this.table.takeForward();
      const taken = this.#proposeEncoded(
        entries,
        group.settles.length,
        hasSessions,
      );
      this.table.answered(
        group.firstCounter,
        typeof taken === "string" ? { firstIndex: 0, term: 0 } : {
          firstIndex: taken.firstIndex,
          term: taken.term,
        },
        () => this.#dropped("notLeader"),
      );
      return;
    }
    if (leader === 0 || !this.#node.routes.isReachable(leader)) {
      return this.table.refusedForward(unreachable);
    }
    const { entries, group } = this.table.takeForward();
    this.#node.host.counters.proposalsForwarded += group.settles.length;
    const isSent = this.#node.routes.send(leader, {
      kind: "forward",
      clusterId: this.#node.clusterId,
      from: this.#node.nodeId,
      to: leader,
      firstCounter: group.firstCounter,
      entryCount: group.settles.length,
      entries,
    });
    group.sentTo = leader;
    group.sentTerm = this.#node.peer.term;
    if (!isSent) { // Too much waits for that NodeHost already: nothing of it left.
      this.table.answered(
        group.firstCounter,
        { firstIndex: 0, term: 0 },
        unreachable,
      );
    }
  }

  #proposeEncoded(
    entries: Uint8Array,
    entryCount: number,
    hasSessions: boolean,
  ): EntryBatch | Refusal {
    this.table.addForeign(entries, entryCount, hasSessions);
    const { builder } = this.table;
    const total = builder.count;
    const hasAny = builder.hasSessions;
    const taken = this.#node.peer.propose(builder.take(), total, hasAny);
    if (typeof taken === "string") {
      this.table.refused(() => this.#dropped(taken));
    } else this.table.sealed(taken);
    return taken;
  }
}
