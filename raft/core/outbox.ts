/**
 * What a core wants its driver to do, collected until the next update, and what it knows of the writes it asked for
 * (rules C1, C2). The order that makes Raft safe is kept here: what promises something waits for the write that
 * carries the state behind it.
 */
import { assert } from "./assert.ts";
import type { RaftLog } from "./log.ts";
import type {
  HardState,
  Message,
  ReadContext,
  ReadState,
  Records,
  SnapshotMeta,
} from "./types.ts";

/** Term and vote: what must be durable before anything is promised in their name. */
interface Ballot {
  readonly term: number;
  readonly votedFor: number;
}

const noMessages: Message[] = [];
const noReadStates: ReadState[] = [];
const noReads: ReadContext[] = [];

/** The outputs of one node. */
export class Outbox {
  /** A snapshot that was accepted and not yet handed to the driver. */
  snapshot: SnapshotMeta | undefined = undefined;

  #appends = noMessages;
  #promises = noMessages;
  #readStates = noReadStates;
  #droppedReads = noReads;
  /** What was last handed out to be written. */
  #handedOut: { term: number; votedFor: number; commit: number };
  /** What is known to be durable. */
  #durable: { term: number; votedFor: number };
  #lastWriteId = 0;
  #lastSyncedWriteId = 0;

  /** Nothing is to be done; `state` is on disk. */
  constructor(state: HardState) {
    this.#handedOut = { ...state };
    this.#durable = { term: state.term, votedFor: state.votedFor };
  }

  /** The write that promises wait for: the last one that had to be synced. */
  get lastSyncedWriteId(): number {
    return this.#lastSyncedWriteId;
  }

  /** Queues a message that must not leave before the state behind it is durable. */
  send(message: Message): void {
    if (this.#promises === noMessages) {
      this.#promises = [message]; // An empty array would make room for seventeen, for each cluster in each tick.
      return;
    }
    const promises = this.#promises;
    const last = promises[promises.length - 1];
    // One turn may accept many appends; the last acknowledgement speaks for those before it.
    if (last !== undefined && isCoveredBy(last, message)) promises.pop();
    promises.push(message);
  }

  /** Queues a message that promises nothing, and may leave before the disk is done. */
  sendEarly(message: Message): void {
    const appends = this.#appends;
    if (appends.length === 0) this.#appends = [message];
    else if (appends.length === 1) this.#appends = [appends[0]!, message];
    else appends.push(message);
  }

  /** A read is confirmed. */
  confirmRead(read: ReadState): void {
    if (this.#readStates === noReadStates) this.#readStates = [];
    this.#readStates.push(read);
  }

  /** A read will not be confirmed. */
  dropRead(context: ReadContext): void {
    if (this.#droppedReads === noReads) this.#droppedReads = [];
    this.#droppedReads.push(context);
  }

  /** Whether there is something to do. */
  hasOutput(ballot: Ballot, log: RaftLog): boolean {
    return this.#appends.length > 0 || this.#promises.length > 0 ||
      log.hasUnwritten() || this.#handedOut.commit !== log.commit ||
      this.#mustSyncBallot(ballot) || this.snapshot !== undefined ||
      this.#readStates.length > 0 || this.#droppedReads.length > 0;
  }

  /** Whether there is something to do beside messages and records. */
  get hasMore(): boolean {
    return this.snapshot !== undefined || this.#readStates.length > 0 ||
      this.#droppedReads.length > 0;
  }

  /** The queued early messages. */
  takeAppends(): readonly Message[] {
    const appends = this.#appends;
    this.#appends = noMessages;
    return appends;
  }

  /** The queued promises. */
  takePromises(): readonly Message[] {
    const promises = this.#promises;
    this.#promises = noMessages;
    return promises;
  }

  /** The confirmed reads. */
  takeReadStates(): readonly ReadState[] {
    const readStates = this.#readStates;
    this.#readStates = noReadStates;
    return readStates;
  }

  /** The reads given up. */
  takeDroppedReads(): readonly ReadContext[] {
    const droppedReads = this.#droppedReads;
    this.#droppedReads = noReads;
    return droppedReads;
  }

  /** The accepted snapshot; its record was taken before. */
  takeSnapshot(): SnapshotMeta | undefined {
    const { snapshot } = this;
    this.snapshot = undefined;
    return snapshot;
  }

  /**
   * What must be written now. A record with batches carries a changed commit index too, so that no entry reaches the
   * disk before the commit index that was known when it arrived (rule L3, which rule C4 builds on).
   */
  takeRecords(ballot: Ballot, log: RaftLog): Records | undefined {
    const handedOut = this.#handedOut;
    const isRestoring = this.snapshot !== undefined;
    const mustSyncBallot = this.#mustSyncBallot(ballot);
    const hasNewState = mustSyncBallot || handedOut.commit !== log.commit;
    const batches = log.takeUnwritten();
    if (!hasNewState && batches.length === 0) return undefined;
    assert(!isRestoring || batches.length === 0, "a snapshot is written alone");
    handedOut.term = ballot.term;
    handedOut.votedFor = ballot.votedFor;
    handedOut.commit = log.commit;
    const writeId = ++this.#lastWriteId;
    const mustSync = mustSyncBallot || isRestoring || batches.length > 0;
    if (mustSync) {
      // A commit index alone proves nothing when it is durable, and nothing is promised in its name.
      this.#lastSyncedWriteId = writeId;
      log.recordWrite(ballot, writeId);
    }
    return {
      writeId,
      hardState: hasNewState
        ? {
          term: ballot.term,
          votedFor: ballot.votedFor,
          commit: log.commit,
        }
        : undefined,
      batches,
      mustSync,
    };
  }

  /** The write `writeId` and all before it are durable. Tells whether that is news. */
  persisted(writeId: number, log: RaftLog): boolean {
    const write = log.persistedTo(writeId);
    if (write === undefined) return false;
    this.#durable.term = write.term;
    this.#durable.votedFor = write.votedFor;
    return true;
  }

  /** Whether a term and a vote are on disk. */
  isDurable(ballot: Ballot): boolean {
    return this.#durable.term === ballot.term &&
      this.#durable.votedFor === ballot.votedFor;
  }

  /** Everything that decides what happens next, as plain values: for tests that look whether two states are the same. */
  fingerprint(): unknown[] {
    return [
      this.snapshot,
      this.#appends.length + this.#promises.length,
      this.#readStates.length + this.#droppedReads.length,
      this.#handedOut,
      this.#durable,
      this.#lastWriteId,
      this.#lastSyncedWriteId,
    ];
  }

  #mustSyncBallot(ballot: Ballot): boolean {
    return this.#handedOut.term !== ballot.term ||
      this.#handedOut.votedFor !== ballot.votedFor;
  }
}

/** Whether `next` acknowledges all that `last` does, to the same leader. */
function isCoveredBy(last: Message, next: Message): boolean {
  return next.type === "appendResponse" && !next.rejected &&
    last.type === "appendResponse" && !last.rejected &&
    last.to === next.to && last.term === next.term && last.index <= next.index;
}
