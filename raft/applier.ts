/**
 * Applies committed entries to one node's state machine, in order and once, and saves and restores its snapshots.
 * Applying yields to the event loop after a few milliseconds, so that heartbeats and acknowledgements go out (C6).
 */
import type { Compression } from "../storage/compression.ts";
import { assert } from "./core/assert.ts";
import { entryKind, hasPayloads } from "./core/entry_batch.ts";
import type { CommittedRange, EntryBatch, SnapshotMeta } from "./core/types.ts";
import { EntryCursor } from "./entries.ts";
import { commandOf } from "./packed_commands.ts";
import type { Counters } from "./metrics/counters.ts";
import type { Clock, Logger } from "./ports.ts";
import type { ProposalTable } from "./proposals.ts";
import { requestError, settleError } from "./requests.ts";
import type { ProposalGroup, Settle } from "./requests.ts";
import type { SessionOutcome, SessionTable } from "./sessions.ts";
import { isResultData, notAResult } from "./state_machine.ts";
import type {
  AnyStateMachine,
  Entry,
  Result,
  StateMachine,
} from "./state_machine.ts";

/** Entries between two looks at the clock. */
const entriesPerLook = 256;

/** What an {@link Applier} needs of its node. */
export interface ApplierOwner {
  /** A membership change is applied at `index`; `key` is its proposer and counter. */
  applyChange(
    command: Uint8Array,
    index: number,
    key: { proposer: number; counter: number },
  ): void;
  /** `batch` was applied to its end, or as far as it is committed. */
  batchApplied(batch: EntryBatch): void;
  /** Everything up to `index` is applied. */
  appliedTo(index: number): void;
}

/** One entry as the state machine gets it. */
export class AppliedEntry implements Entry {
  /** See {@link Entry}. */
  readonly index: number;
  /** See {@link Entry}. */
  readonly term: number;
  /** See {@link Entry}. */
  readonly command: Uint8Array;

  /** As it stands in the log. */
  constructor(index: number, term: number, command: Uint8Array) {
    this.index = index;
    this.term = term;
    this.command = command;
  }
}

/** Feeds one state machine. */
export class Applier {
  /** Index of the last entry applied. */
  applied: number;
  /** Term of that entry, 0 at index 0. */
  appliedTerm: number;
  /** The sessions of the cluster's clients as of that entry. */
  sessions: SessionTable;
  readonly #machine: StateMachine;
  readonly #proposals: ProposalTable;
  readonly #proposer: number;
  readonly #clock: Clock;
  readonly #compression: Compression;
  readonly #owner: ApplierOwner;
  #range: CommittedRange | undefined;
  #position = 0;
  #pauses = 0;
  #isStopped = false;
  readonly #counters: Counters | undefined;
  #takenAt = 0;

  /** Begins behind `start`: a restored snapshot, or index 0. */
  constructor(options: {
    machine: StateMachine;
    proposals: ProposalTable;
    proposer: number;
    clock: Clock;
    compression: Compression;
    owner: ApplierOwner;
    counters?: Counters;
    start: { index: number; term: number };
    sessions: SessionTable;
  }) {
    this.#machine = options.machine;
    this.#proposals = options.proposals;
    this.#proposer = options.proposer;
    this.#clock = options.clock;
    this.#compression = options.compression;
    this.#owner = options.owner;
    this.#counters = options.counters;
    this.sessions = options.sessions;
    this.applied = options.start.index;
    this.appliedTerm = options.start.term;
  }

  /** Whether a range waits and may be applied. */
  get hasWork(): boolean {
    return this.#range !== undefined && this.#pauses === 0;
  }

  /** Whether applying is held up by a snapshot. */
  get isPaused(): boolean {
    return this.#pauses > 0;
  }

  /** Such a state machine begins with nothing. */
  get isAhead(): boolean {
    return false;
  }

  /** Of no use to such a state machine. */
  get given(): number {
    return 0;
  }

  /** Whether the state machine holds what is applied, and nothing else. */
  get isSettled(): boolean {
    return true;
  }

  /** Takes the next range; the core hands out one at a time. */
  take(range: CommittedRange): void {
    assert(this.#range === undefined, "one committed range at a time");
    assert(
      range.firstIndex === this.applied + 1,
      "a committed range must follow what was applied",
    );
    this.#range = range;
    this.#position = 0;
    if (this.#counters !== undefined) this.#takenAt = this.#clock.now();
  }

  /** Applies until all is done or the clock shows `deadline`. Throws what the state machine throws. */
  run(deadline: number): void {
    const range = this.#range;
    if (range === undefined || this.#pauses > 0 || this.#isStopped) return;
    const before = this.applied;
    let now = this.#takenAt;
    while (this.#position < range.batches.length) {
      const batch = range.batches[this.#position]!;
      if (!this.#applyBatch(batch, range.lastIndex, deadline)) break;
      this.#position++;
      now = this.#clock.now();
      if (now >= deadline) break;
    }
    if (this.#counters !== undefined) {
      this.#counters.entriesApplied += this.applied - before;
      if (this.applied >= range.lastIndex) {
        this.#counters.apply.record(now - this.#takenAt);
      }
    }
    if (this.applied >= range.lastIndex) this.#range = undefined;
    if (this.#isStopped) return;
    this.#owner.appliedTo(this.applied);
  }

  /** Applies nothing more, even in the midst of a batch: the node was removed, or failed. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Keeps entries from being applied until the matching {@link resume}. */
  pause(): void {
    this.#pauses++;
  }

  /** Ends a pause. */
  resume(): void {
    assert(this.#pauses > 0, "a pause must have begun");
    this.#pauses--;
  }

  /** Resolves at once: this state machine is never in the midst of something. */
  quiet(): Promise<void> {
    return Promise.resolve();
  }

  /** A snapshot will replace the state. */
  overtaken(): void {}

  /** Replaces the state by a snapshot's: `recover` does it. Applying must be paused. */
  async restore(
    meta: SnapshotMeta,
    recover: () => Promise<SessionTable>,
  ): Promise<void> {
    assert(this.#pauses > 0, "a snapshot is restored while nothing is applied");
    this.#range = undefined; // The core took back what it had handed out below the snapshot.
    this.sessions = await recover();
    this.applied = meta.index;
    this.appliedTerm = meta.term;
  }

  /** Applies one batch, or the part of it in the range; false if time ran out inside it. */
  #applyBatch(
    batch: EntryBatch,
    lastIndex: number,
    deadline: number,
  ): boolean {
    const proposals = this.#proposals;
    if (!hasPayloads(batch)) {
      this.applied = Math.min(batch.lastIndex, lastIndex);
      this.appliedTerm = batch.term;
      this.#owner.batchApplied(batch);
      return true;
    }
    const group = proposals.groupOf(batch);
    const cursor = new EntryCursor(batch);
    let untilLook = entriesPerLook;
    while (cursor.next()) {
      const index = cursor.index;
      if (index <= this.applied) continue;
      if (index > lastIndex) break;
      assert(index === this.applied + 1, "entries are applied without a gap");
      this.#applyEntry(cursor, batch.term, group);
      this.applied = index;
      if (this.#isStopped) return false;
      if (--untilLook === 0) {
        untilLook = entriesPerLook;
        if (this.#clock.now() >= deadline && index < batch.lastIndex) {
          this.appliedTerm = batch.term;
          return false;
        }
      }
    }
    this.appliedTerm = batch.term;
    this.#owner.batchApplied(batch);
    if (this.applied < batch.lastIndex) return true; // The rest is not committed yet.
    if (group !== undefined) proposals.finished(group);
    return true;
  }

  #applyEntry(
    cursor: EntryCursor,
    term: number,
    group: ProposalGroup | undefined,
  ): void {
    if (
      cursor.kind === entryKind.application || cursor.kind === entryKind.packed
    ) {
      if (cursor.clientId !== 0) {
        return this.#applyInSession(cursor, term, group);
      }
      const result = this.#update(
        cursor.index,
        term,
        commandOf(cursor, this.#compression),
      );
      takeSettle(this.#proposals, this.#proposer, cursor, group)?.(result);
    } else if (cursor.kind === entryKind.configChange) {
      this.#owner.applyChange(cursor.command().slice(), cursor.index, {
        proposer: cursor.proposer,
        counter: cursor.counter,
      });
    } else {
      assert(
        cursor.kind === entryKind.empty,
        "an entry must be of a known kind",
      );
    }
  }

  /** Applies the entry unless its session has done so before; either way the proposer gets the same (rule R2). */
  #applyInSession(
    cursor: EntryCursor,
    term: number,
    group: ProposalGroup | undefined,
  ): void {
    const command = commandOf(cursor, this.#compression);
    const outcome = this.sessions.apply(
      cursor,
      command,
      () => this.#update(cursor.index, term, command),
    );
    const settle = takeSettle(this.#proposals, this.#proposer, cursor, group);
    if (settle !== undefined) settleOutcome(settle, outcome);
  }

  #update(index: number, term: number, command: Uint8Array): Result {
    const entry = new AppliedEntry(index, term, command);
    const result = this.#machine.update(entry);
    if (typeof result?.value !== "number" || !isResultData(result.data)) {
      throw notAResult(index, result);
    }
    return result;
  }
}

/** Who waits for an entry of this node, or one that it forwarded, if anybody still does; it is told once. */
export function takeSettle(
  proposals: ProposalTable,
  ownProposer: number,
  entry: { readonly index: number; proposer: number; counter: number },
  group: ProposalGroup | undefined,
): Settle<Result> | undefined {
  if (group !== undefined) {
    const slot = entry.index - group.firstIndex;
    const settle = group.settles[slot];
    if (settle !== undefined) {
      group.settles[slot] = undefined;
      return settle;
    }
  }
  return entry.proposer !== 0 && entry.proposer === ownProposer
    ? proposals.takeForwarded(entry.counter)
    : undefined;
}

/** Tells what became of a proposal in a session. */
export function settleOutcome(
  settle: Settle<Result>,
  { result, refusal }: SessionOutcome,
): void {
  if (refusal === undefined) return settle(result);
  const { code, message, isApplied } = refusal;
  const outcome = isApplied ? "unknown" : "notApplied";
  settleError(settle, requestError(code, message, outcome));
}

/** Closes a state machine that nobody uses any more. Never rejects. */
export async function closeMachine(
  machine: AnyStateMachine,
  clusterId: number,
  logger: Logger,
): Promise<void> {
  try {
    await machine.close?.();
  } catch (error) {
    logger.warn("a state machine failed to close", {
      clusterId,
      error: String(error),
    });
  }
}
