/**
 * How proposals of one node go in: refused at once if they cannot be taken, else into the next batch of this node as
 * leader, or into the next record for the leader elsewhere (rules B3, R1).
 */
import type { EntryBatch } from "./core/types.ts";
import type { Peer, Refusal } from "./core/peer.ts";
import type { ResolvedClusterConfig } from "./config.ts";
import type { SessionFields } from "./entries.ts";
import { RaftError } from "./errors.ts";
import type { HostContext } from "./host_context.ts";
import type { ProposalTable } from "./proposals.ts";
import { abortable, requestError, requestOverheadBytes } from "./requests.ts";
import type { ProposalGroup, Settle } from "./requests.ts";
import type { Routes } from "./routes.ts";
import type { Result } from "./state_machine.ts";

/** How long a proposal may wait. */
export interface ProposeOptions {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/** What {@link NodeProposals} need of their node. */
export interface ProposalsOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly config: ResolvedClusterConfig;
  readonly host: HostContext;
  readonly peer: Peer;
  readonly routes: Routes;
  /** Whether the engine knows that there is something to do. */
  readonly isDirty: boolean;
  /** Why callers are refused, if they are. */
  readonly refusal: RaftError | undefined;
  /** Reads that wait: they count too. */
  readCount(): number;
  /** Ticks since the NodeHost opened. */
  tickNow(): number;
  /** The tick at which a request ends as timed out. */
  deadline(timeoutMs: number): number;
  /** The next batch was given to the core, or refused by it. */
  sealed(taken: EntryBatch | Refusal): void;
  schedule(): void;
}

/** The way in for proposals. */
export class NodeProposals {
  /** Those that have not ended. */
  readonly table: ProposalTable;
  readonly #node: ProposalsOwner;
  #busyError: RaftError | undefined;
  #busyRejection: Promise<never> | undefined;
  #busySince = 0;

  /** Nothing was proposed yet. */
  constructor(node: ProposalsOwner, table: ProposalTable) {
    this.#node = node;
    this.table = table;
  }

  /** Proposes a command, in a session if one is given; see `NodeHost.propose`. */
  propose(
    command: Uint8Array,
    options: ProposeOptions,
    session?: SessionFields,
  ): Promise<Result> {
    const refusal = this.#refusalOf(command.length);
    if (refusal !== undefined) {
      this.#node.host.counters.refused(refusal.code);
      return refusal === this.#busyError
        ? this.refuseBusy()
        : Promise.reject(refusal);
    }
    const deadline = this.#node.deadline(options.timeoutMs);
    const signal = options.signal;
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

  /** Why a proposal of `bytes` cannot be taken now. */
  #refusalOf(bytes: number): RaftError | undefined {
    const refusal = this.#node.refusal;
    if (refusal !== undefined) return refusal;
    if (bytes > this.#node.host.maxPayloadBytes) {
      return new RaftError(
        "payloadTooBig",
        `Cannot propose ${bytes} bytes: the limit is ${this.#node.host.maxPayloadBytes}`,
      );
    }
    if (this.#node.peer.leaderId === 0) {
      return requestError(
        "notReady",
        `Cannot propose: cluster ${this.#node.clusterId} has no leader now`,
      );
    }
    return this.overload(bytes);
  }

  /** Why entries of so many bytes are too much for now. */
  overload(bytes: number): RaftError | undefined {
    if (this.isOverloaded(bytes)) return this.#busy();
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
        `Cannot take more work for cluster ${this.#node.clusterId}: proposals and reads of ` +
          `${this.#node.config.maxInMemLogBytes} bytes wait`,
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
    const group = this.#node.peer.isLeader()
      ? this.table.add(command, settle, deadline, session)
      : this.table.addForward(command, settle, deadline, session);
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
    this.#node.routes.send(leader, {
      kind: "forward",
      clusterId: this.#node.clusterId,
      from: this.#node.nodeId,
      to: leader,
      firstCounter: group.firstCounter,
      entryCount: group.settles.length,
      entries,
    });
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
