/**
 * Membership changes and leadership transfers that callers wait for. Neither is sent twice once it may be in a log
 * (rule R1); while the leader says "not now", the request waits for the next tick.
 */
import type { ConfigChange, EntryBatch, Membership } from "./core/types.ts";
import type { Peer, Refusal } from "./core/peer.ts";
import { proposerKey } from "./entries.ts";
import { RaftError } from "./errors.ts";
import type { RaftErrorCode } from "./errors.ts";
import { isGivenUp, isPassedOver } from "./outlook.ts";
import type { Outlook, SentRequest } from "./outlook.ts";
import { requestError, settleError } from "./requests.ts";
import type { Settle } from "./requests.ts";
import { refusalOf } from "./versions.ts";
import type { WireRecord } from "./transport/link_pool.ts";

/** They come one at a time; who asks for so many at once is out of control. */
const pendingMax = 64;

/** Counters of changes and transfers begin here, so that no answer is taken for that of a proposal. */
export const firstChangeCounter = 2 ** 52;

/** What a {@link ChangeTable} needs of its node. */
export interface ChangesOwner {
  /** The cluster. */
  readonly clusterId: number;
  /** The node. */
  readonly nodeId: number;
  /** Names this incarnation of the NodeHost in proposer keys. */
  readonly proposer: number;
  /** The core. */
  readonly peer: Peer;
  /** So many numbers in a row that no other node got, in this life of it or before; returns the first. */
  takeCounters(count: number): number;
  /** Why the leader cannot take a change, as it would answer itself: a member does not know it (rule I6). */
  refuseChange(change: ConfigChange): string | undefined;
  /** Sends a record to a node; false if there is no way to it now. */
  send(to: number, record: WireRecord): boolean;
}

interface PendingChange extends SentRequest {
  readonly counter: number;
  readonly change: ConfigChange;
  readonly settle: Settle<Membership>;
  readonly deadline: number;
  /** It may be in a log; index and term once that is known. */
  isSent: boolean;
  index: number;
  term: number;
  /** It was not tried since the last tick. */
  mayTry: boolean;
  lastRefusal: string;
  /** Hears of each refusal, passing or not. */
  readonly onRefusal: ((refusal: string) => void) | undefined;
}

interface PendingTransfer {
  readonly counter: number;
  readonly target: number;
  readonly settle: Settle<void>;
  readonly deadline: number;
  isSent: boolean;
  /** It was not tried since the last tick. */
  mayTry: boolean;
  /** Term in which it was asked for. */
  term: number;
  lastRefusal: string;
}

const passingRefusals: ReadonlySet<string> = new Set<Refusal | "busy">([
  "notLeader",
  "transferring",
  "pendingChange",
  "noCommitInTerm",
  "notHeard",
  "notCaughtUp",
  "busy",
]);

const refusalTexts: Record<string, string> = {
  unsafeChange:
    "the leader has not lately heard from a majority of the members that there would be (remove a dead member before " +
    "adding another, or add another as an observer first; force: true insists)",
  notHeard: "the leader has not heard from it: was it started with join: true?",
  notCaughtUp: "its log has not caught up with the leader's yet",
  invalidTarget: "the target is not another voter",
  notLeader: "no leader took it",
  transferring: "leadership is being transferred",
  pendingChange: "another membership change is under way",
  noCommitInTerm: "the leader has not committed an entry of its term yet",
  busy: "the leader is overloaded",
};

function refusalText(refusal: string): string {
  return refusalTexts[refusal] ?? refusalOf(refusal)?.reason ??
    `it was refused (${refusal})`;
}

function mayPass(refusal: string): boolean {
  return passingRefusals.has(refusal) ||
    refusalOf(refusal)?.code === "notReady";
}

function refusalError(what: string, refusal: string): RaftError {
  const code: RaftErrorCode = refusal === "invalidTarget"
    ? "invalidTarget"
    : "rejected";
  return new RaftError(code, `Cannot ${what}: ${refusalText(refusal)}`);
}

const changeNames: Record<ConfigChange["type"], string> = {
  addNode: "add node",
  addObserver: "add observer",
  addWitness: "add witness",
  removeNode: "remove node",
  identify: "identify node",
};

function describe({ type, nodeId }: ConfigChange): string {
  return `${changeNames[type]} ${nodeId}`;
}

/** Changes and transfers of one node. */
export class ChangeTable {
  readonly #owner: ChangesOwner;
  #changes: PendingChange[] = [];
  #transfers: PendingTransfer[] = [];

  /** An empty table. */
  constructor(owner: ChangesOwner) {
    this.#owner = owner;
  }

  /** Whether so many wait that another is refused. */
  get isFull(): boolean {
    return this.#changes.length + this.#transfers.length >= pendingMax;
  }

  /** Whether anything waits. */
  get hasWork(): boolean {
    return this.#changes.length > 0 || this.#transfers.length > 0;
  }

  /** Adds a membership change; returns what forgets it. `onRefusal` hears each time why the leader did not take it. */
  addChange(
    change: ConfigChange,
    settle: Settle<Membership>,
    deadline: number,
    onRefusal?: (refusal: string) => void,
  ): () => void {
    const pending: PendingChange = {
      counter: firstChangeCounter + this.#owner.takeCounters(1),
      change,
      settle,
      deadline,
      isSent: false,
      sentTo: 0,
      sentTerm: 0,
      isCut: false,
      doubtTicks: 0,
      mayTry: true,
      index: 0,
      term: 0,
      lastRefusal: "",
      onRefusal,
    };
    this.#changes.push(pending);
    return () => {
      this.#changes = this.#changes.filter((other) => other !== pending);
    };
  }

  /** Adds a transfer; returns what forgets it. */
  addTransfer(
    target: number,
    settle: Settle<void>,
    deadline: number,
  ): () => void {
    const pending: PendingTransfer = {
      counter: firstChangeCounter + this.#owner.takeCounters(1),
      target,
      settle,
      deadline,
      isSent: false,
      mayTry: true,
      term: 0,
      lastRefusal: "",
    };
    this.#transfers.push(pending);
    return () => {
      this.#transfers = this.#transfers.filter((other) => other !== pending);
    };
  }

  /** Tries what has not been taken yet, and ends transfers that are decided. */
  turn(): void {
    for (const pending of this.#changes) {
      if (!pending.isSent && pending.mayTry) this.#tryChange(pending);
    }
    this.#transfers = this.#transfers.filter((pending) =>
      !this.#isTransferOver(pending)
    );
  }

  /** The link to a node was lost, and with it, maybe, a change that was sent there or its answer. */
  linkLost(nodeId: number): void {
    for (const pending of this.#changes) {
      if (pending.sentTo === nodeId) pending.isCut = true;
    }
  }

  /** Ends what is past its deadline, and changes that were lost with their leader or on the way to it (rule R1). */
  tick(now: number, outlook: Outlook): void {
    this.#changes = this.#changes.filter((pending) => {
      pending.mayTry = true;
      if (pending.isSent && this.#isLost(pending, outlook)) return false;
      if (pending.deadline > now) return true;
      const what = `Cannot ${describe(pending.change)} in time`;
      settleError(
        pending.settle,
        pending.isSent
          ? requestError(
            "timeout",
            `${what}: it may still be applied`,
            "unknown",
          )
          : requestError(
            "timeout",
            `${what}: ${refusalText(pending.lastRefusal || "notLeader")}`,
          ),
      );
      return false;
    });
    this.#transfers = this.#transfers.filter((pending) => {
      pending.mayTry = true;
      if (pending.deadline > now) return true;
      settleError(
        pending.settle,
        requestError(
          "timeout",
          `Cannot transfer leadership to node ${pending.target} in time: ` +
            refusalText(pending.lastRefusal || "transferring"),
          pending.isSent ? "unknown" : "notApplied",
        ),
      );
      return false;
    });
  }

  /** Ends a change that never will be applied, or of which nothing will be heard any more. */
  #isLost(pending: PendingChange, outlook: Outlook): boolean {
    const { index, term, settle } = pending;
    const what = describe(pending.change);
    if (isPassedOver(index, term, outlook)) {
      settleError(
        settle,
        requestError(
          "dropped",
          `Cannot ${what}: it was lost with the leader that took it, and another leads now`,
        ),
      );
      return true;
    }
    if (term > 0 || !isGivenUp(pending, outlook)) return false;
    settleError(
      settle,
      requestError(
        "dropped",
        `Cannot ${what}: the leader that it was sent to never answered; it may still be applied`,
        "unknown",
      ),
    );
    return true;
  }

  /** The leader's answer to a forwarded change or transfer. */
  answered(
    counter: number,
    answer: { firstIndex: number; term: number; refusal: string },
  ): void {
    const change = this.#changes.find((pending) => pending.counter === counter);
    if (change !== undefined) return this.#changeAnswered(change, answer);
    const transfer = this.#transfers.find((pending) =>
      pending.counter === counter
    );
    if (transfer === undefined || answer.term > 0) return;
    this.#transferRefused(transfer, answer.refusal);
  }

  /** The change that this NodeHost made as `counter` was decided on while it was applied. */
  decided(
    counter: number,
    decision: { membership: Membership; accepted: boolean; reason: string },
  ): void {
    const pending = this.#changes.find((other) => other.counter === counter);
    if (pending === undefined) return;
    this.#changes = this.#changes.filter((other) => other !== pending);
    if (decision.accepted) pending.settle(decision.membership);
    else {
      settleError(
        pending.settle,
        new RaftError(
          "rejected",
          `Cannot ${describe(pending.change)}: ${decision.reason}`,
        ),
      );
    }
  }

  /** `batch` was applied: changes that had its place in another term never will be. */
  settleOverwritten(batch: EntryBatch): void {
    this.#changes = this.#changes.filter((pending) => {
      const isOverwritten = pending.index >= batch.firstIndex &&
        pending.index <= batch.lastIndex && pending.term !== batch.term;
      if (!isOverwritten) return true;
      settleError(
        pending.settle,
        requestError(
          "dropped",
          `Cannot ${
            describe(pending.change)
          }: another leader's entry took its place in the log`,
        ),
      );
      return false;
    });
  }

  /** Ends all: `isUnknown` for what may be in a log. */
  failAll(makeError: (isUnknown: boolean) => unknown): void {
    const all = [...this.#changes, ...this.#transfers];
    this.#changes = [];
    this.#transfers = [];
    for (const pending of all) {
      settleError(pending.settle as Settle<never>, makeError(pending.isSent));
    }
  }

  #tryChange(pending: PendingChange): void {
    const { peer, clusterId, nodeId, proposer } = this.#owner;
    const key = proposerKey(proposer, pending.counter);
    pending.mayTry = false;
    const refusal = this.#owner.refuseChange(pending.change);
    if (refusal !== undefined) {
      const answer = { firstIndex: 0, term: 0, refusal };
      return this.#changeAnswered(pending, answer);
    }
    if (peer.isLeader()) {
      const taken = peer.proposeChange(pending.change, key);
      if (typeof taken === "string") {
        return this.#changeAnswered(pending, {
          firstIndex: 0,
          term: 0,
          refusal: taken,
        });
      }
      pending.isSent = true;
      pending.index = taken.firstIndex;
      pending.term = taken.term;
    } else if (peer.leaderId !== 0) {
      pending.sentTo = peer.leaderId;
      pending.sentTerm = peer.term;
      pending.isCut = false;
      pending.doubtTicks = 0;
      pending.isSent = this.#owner.send(peer.leaderId, {
        kind: "forwardChange",
        clusterId,
        from: nodeId,
        to: peer.leaderId,
        counter: pending.counter,
        change: pending.change,
        proposerKey: key,
      });
    }
  }

  #changeAnswered(
    pending: PendingChange,
    answer: { firstIndex: number; term: number; refusal: string },
  ): void {
    if (answer.term > 0) {
      pending.index = answer.firstIndex;
      pending.term = answer.term;
      return;
    }
    pending.isSent = false;
    pending.lastRefusal = answer.refusal;
    pending.onRefusal?.(answer.refusal);
    if (mayPass(answer.refusal)) return; // Tried again at the next tick.
    this.#changes = this.#changes.filter((other) => other !== pending);
    settleError(
      pending.settle,
      refusalError(describe(pending.change), answer.refusal),
    );
  }

  /** Moves a transfer on; true if it ended. */
  #isTransferOver(pending: PendingTransfer): boolean {
    const { peer } = this.#owner;
    if (peer.leaderId === pending.target) {
      pending.settle(undefined);
      return true;
    }
    if (!pending.isSent) return pending.mayTry && this.#tryTransfer(pending);
    if (peer.leaderId !== 0 && peer.term > pending.term) {
      // Somebody else was elected meanwhile, and has not been asked.
      pending.isSent = false;
      return false;
    }
    const isAborted = peer.isLeader() && peer.status().transferTarget === 0;
    if (!isAborted) return false;
    settleError(
      pending.settle,
      requestError(
        "dropped",
        `Cannot transfer leadership to node ${pending.target}: it did not take over in time`,
      ),
    );
    return true;
  }

  #tryTransfer(pending: PendingTransfer): boolean {
    const { peer, clusterId, nodeId } = this.#owner;
    pending.term = peer.term;
    pending.mayTry = false;
    if (peer.isLeader()) {
      const answer = peer.transferLeadership(pending.target);
      if (answer === "started") pending.isSent = true;
      else return this.#transferRefused(pending, answer);
    } else if (peer.leaderId !== 0) {
      pending.isSent = this.#owner.send(peer.leaderId, {
        kind: "forwardTransfer",
        clusterId,
        from: nodeId,
        to: peer.leaderId,
        counter: pending.counter,
        target: pending.target,
      });
    }
    return false;
  }

  /** True if the refusal ended the transfer. */
  #transferRefused(pending: PendingTransfer, refusal: string): boolean {
    pending.isSent = false;
    pending.lastRefusal = refusal;
    if (passingRefusals.has(refusal)) return false;
    this.#transfers = this.#transfers.filter((other) => other !== pending);
    settleError(
      pending.settle,
      refusalError(
        `transfer leadership to node ${pending.target}`,
        refusal,
      ),
    );
    return true;
  }
}
