/**
 * Applies committed entries to a concurrent or on-disk state machine: in batches, and in its own time, since `update` may
 * return a promise; other clusters go on meanwhile (C6). What the engine and the node see of it is what they see of
 * `applier.ts`, which serves regular state machines.
 */
import { AppliedEntry, settleOutcome, takeSettle } from "./applier.ts";
import type { Applier, ApplierOwner } from "./applier.ts";
import type { Compression } from "../storage/compression.ts";
import { assert } from "./core/assert.ts";
import { entryKind } from "./core/entry_batch.ts";
import type { CommittedRange, EntryBatch, SnapshotMeta } from "./core/types.ts";
import { EntryCursor, type SessionFields } from "./entries.ts";
import { commandOf } from "./packed_commands.ts";
import type { Counters } from "./metrics/counters.ts";
import type { Clock } from "./ports.ts";
import type { ProposalTable } from "./proposals.ts";
import type { Settle } from "./requests.ts";
import type { SessionOutcome, SessionTable } from "./sessions.ts";
import { isResultData, notAResult } from "./state_machine.ts";
import type {
  ConcurrentStateMachine,
  Entry,
  OnDiskStateMachine,
  Result,
} from "./state_machine.ts";

/** A call of `update` gets at most so many entries, and stops growing at so many bytes. */
const maxEntries = 1_024;
const maxBytes = 1024 * 1024;

/** Where an entry that the state machine is given stands, and who proposed it. */
interface Receiver {
  readonly index: number;
  readonly proposer: number;
  readonly counter: number;
}

/** A batch, or the part of one, in a step. */
interface Part {
  readonly batch: EntryBatch;
  readonly receivers: Receiver[];
  /** Index of its last entry in the step. */
  lastIndex: number;
  /** Whether the step comes to the end of it, or as far as it is committed. */
  isEnd: boolean;
}

/**
 * What one step applies: entries for one call of `update`, then perhaps one membership change. An entry of a session has a
 * step of its own: whether it is applied follows from the results of all before it (rule R2).
 */
interface Step {
  readonly entries: Entry[];
  readonly parts: Part[];
  /** Of the only entry. */
  session: SessionFields | undefined;
  change:
    | {
      readonly command: Uint8Array;
      readonly index: number;
      readonly proposer: number;
      readonly counter: number;
    }
    | undefined;
}

/** What a {@link BatchApplier} needs of its node, beside what every applier does. */
export interface BatchApplierOwner extends ApplierOwner {
  /** A step that took its time is done. */
  stepDone(): void;
  /** The state machine failed. */
  fail(error: unknown): void;
}

/** What applies the entries of a node. */
export type AnyApplier = Applier | BatchApplier;

/** Feeds one state machine. */
export class BatchApplier {
  /** Index of the last entry applied. */
  applied: number;
  /** Term of that entry, 0 at index 0. */
  appliedTerm: number;
  /** The sessions of the cluster's clients as of that entry; none for a state machine on disk. */
  sessions: SessionTable;
  readonly #machine: ConcurrentStateMachine | OnDiskStateMachine;
  readonly #proposals: ProposalTable;
  readonly #proposer: number;
  readonly #clock: Clock;
  readonly #compression: Compression;
  readonly #owner: BatchApplierOwner;
  /** Entries up to here are in the state machine already. */
  #opened: number;
  /** The last entry that the state machine was given. */
  given: number;
  #range: CommittedRange | undefined;
  #position = 0;
  #cursor: EntryCursor | undefined;
  /** The entry at the cursor belongs to the next step. */
  #isHeld = false;
  /** Entries up to here are applied, or in the step under way. */
  #taken: number;
  #updating: Promise<void> | undefined;
  #pauses = 0;
  #isStopped = false;
  /** A snapshot was accepted that will replace the state. */
  #isOvertaken = false;
  readonly #counters: Counters | undefined;
  #takenAt = 0;

  /** Begins behind `start`; entries up to `opened` are in the state machine already. */
  constructor(options: {
    machine: ConcurrentStateMachine | OnDiskStateMachine;
    proposals: ProposalTable;
    proposer: number;
    clock: Clock;
    compression: Compression;
    owner: BatchApplierOwner;
    counters?: Counters;
    start: { index: number; term: number };
    sessions: SessionTable;
    opened: number;
  }) {
    this.#machine = options.machine;
    this.#proposals = options.proposals;
    this.#proposer = options.proposer;
    this.#clock = options.clock;
    this.#compression = options.compression;
    this.#owner = options.owner;
    this.#counters = options.counters;
    this.sessions = options.sessions;
    this.#opened = options.opened;
    this.given = options.opened;
    this.applied = options.start.index;
    this.appliedTerm = options.start.term;
    this.#taken = this.applied;
  }

  /** Whether a range waits and may be applied. */
  get hasWork(): boolean {
    return this.#range !== undefined && this.#pauses === 0 &&
      this.#updating === undefined;
  }

  /** Whether applying is held up by a snapshot. */
  get isPaused(): boolean {
    return this.#pauses > 0;
  }

  /** Whether the state machine has applied entries that the log has not replayed yet: it is on disk, and was started again. */
  get isAhead(): boolean {
    return this.applied < this.#opened;
  }

  /** Whether the state machine holds what is applied, and nothing else. */
  get isSettled(): boolean {
    return this.#updating === undefined && !this.isAhead;
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
    this.#cursor = undefined;
    this.#isHeld = false;
    if (this.#counters !== undefined) this.#takenAt = this.#clock.now();
  }

  /** Applies until all is done, the state machine takes its time, or the clock shows `deadline`. */
  run(deadline: number): void {
    while (this.hasWork && !this.#isStopped) {
      const step = this.#nextStep(this.#range!);
      const known = this.#knownOutcome(step);
      if (known !== undefined) {
        this.#conclude(step, (settle) => settleOutcome(settle, known));
      } else {
        const results = step.entries.length === 0
          ? []
          : this.#machine.update(step.entries);
        if (results instanceof Promise) {
          this.#updating = this.#await(step, results);
          return;
        }
        this.#finish(step, results);
      }
      if (this.#clock.now() >= deadline) return;
    }
  }

  /** Applies nothing more: the node was removed, or failed. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Keeps entries from being given out until the matching {@link resume}. */
  pause(): void {
    this.#pauses++;
  }

  /** Ends a pause. */
  resume(): void {
    assert(this.#pauses > 0, "a pause must have begun");
    this.#pauses--;
  }

  /** Resolves when no `update` is under way. While paused, none begins. */
  async quiet(): Promise<void> {
    await this.#updating;
  }

  /** A snapshot will replace the state: what is under way is of no consequence for the core. */
  overtaken(): void {
    this.#isOvertaken = true;
  }

  /** Replaces the state by a snapshot's: `recover` does it. Applying must be paused. */
  async restore(
    meta: SnapshotMeta,
    recover: () => Promise<SessionTable>,
  ): Promise<void> {
    assert(this.#pauses > 0, "a snapshot is restored while nothing is applied");
    await this.quiet();
    this.#range = undefined; // The core took back what it had handed out below the snapshot.
    this.#isOvertaken = false; // Before a newer one is accepted meanwhile.
    this.sessions = await recover();
    this.applied = meta.index;
    this.appliedTerm = meta.term;
    this.#taken = meta.index;
    this.#opened = meta.index;
    this.given = meta.index;
  }

  async #await(step: Step, results: Promise<Result[]>): Promise<void> {
    try {
      const settled = await results;
      this.#updating = undefined;
      this.#finish(step, settled);
      this.#owner.stepDone();
    } catch (error) {
      this.#updating = undefined;
      this.#owner.fail(error);
    }
  }

  /** Collects what the next call of `update` gets. */
  #nextStep(range: CommittedRange): Step {
    const step: Step = {
      entries: [],
      parts: [],
      session: undefined,
      change: undefined,
    };
    let bytes = 0;
    for (; this.#position < range.batches.length; this.#position++) {
      const batch = range.batches[this.#position]!;
      const cursor = this.#cursor ??= new EntryCursor(batch);
      const part = { batch, receivers: [], lastIndex: 0, isEnd: false };
      step.parts.push(part);
      while (
        this.#isHeld || (cursor.index < range.lastIndex && cursor.next())
      ) {
        if (cursor.index <= this.#taken) continue;
        this.#isHeld = cursor.clientId !== 0 && step.entries.length > 0;
        if (this.#isHeld) return step;
        bytes += this.#takeEntry(step, part, cursor);
        if (cursor.index === batch.lastIndex) break;
        if (isFull(step, bytes)) return step;
      }
      this.#cursor = undefined;
      part.isEnd = true;
      if (isFull(step, bytes)) {
        this.#position++;
        return step;
      }
    }
    return step;
  }

  /** Adds the entry at the cursor, and returns its size. */
  #takeEntry(step: Step, part: Part, cursor: EntryCursor): number {
    const { index, kind, proposer, counter } = cursor;
    assert(index === this.#taken + 1, "entries are applied without a gap");
    this.#taken = index;
    part.lastIndex = index;
    switch (kind) {
      case entryKind.application:
      case entryKind.packed: {
        if (index <= this.#opened) return 0;
        const command = commandOf(cursor, this.#compression);
        step.entries.push(new AppliedEntry(index, part.batch.term, command));
        part.receivers.push({ index, proposer, counter });
        if (cursor.clientId !== 0) {
          const { clientId, series, respondedTo } = cursor;
          step.session = { clientId, series, respondedTo };
        }
        return command.length;
      }
      case entryKind.configChange:
        step.change = {
          command: cursor.command().slice(),
          index,
          proposer,
          counter,
        };
        return 0;
      default:
        assert(kind === entryKind.empty, "an entry must be of a known kind");
        return 0;
    }
  }

  /** What becomes of an entry of a session that is not to be applied; undefined if there is none. */
  #knownOutcome(step: Step): SessionOutcome | undefined {
    const { session, entries } = step;
    if (session === undefined) return undefined;
    if (this.#machine.kind !== "onDisk") {
      return this.sessions.begin(session, entries[0]!.command);
    }
    const message =
      `Cannot use session ${session.clientId}: a state machine on disk has no sessions`;
    return { refusal: { code: "invalidSession", message, isApplied: false } };
  }

  #finish(step: Step, results: Result[]): void {
    requireResults(step.entries, results);
    if (this.#isStopped) return;
    if (step.session !== undefined) {
      const outcome = this.sessions.complete(step.session, results[0]!);
      return this.#conclude(step, (settle) => settleOutcome(settle, outcome));
    }
    this.#conclude(step, (settle, at) => settle(results[at]!));
  }

  /** The entries of a step are applied: tells who waits, and the core. `tell` is given the place of the entry. */
  #conclude(
    step: Step,
    tell: (settle: Settle<Result>, at: number) => void,
  ): void {
    const proposals = this.#proposals;
    const before = this.applied;
    this.given = Math.max(this.given, step.entries.at(-1)?.index ?? 0);
    let at = 0;
    for (const part of step.parts) {
      const { batch } = part;
      // One batch after the other: who waits for an earlier one must have been told.
      const group = proposals.groupOf(batch);
      for (const receiver of part.receivers) {
        const settle = takeSettle(proposals, this.#proposer, receiver, group);
        if (settle !== undefined) tell(settle, at);
        at++;
      }
      if (this.#isOvertaken) continue; // The core knows of the snapshot already, and of its members.
      this.#applyChange(step, part);
      if (part.lastIndex > 0) {
        this.applied = part.lastIndex;
        this.appliedTerm = batch.term;
      }
      if (!part.isEnd) continue;
      this.#owner.batchApplied(batch);
      if (group !== undefined && this.applied >= batch.lastIndex) {
        proposals.finished(group);
      }
    }
    if (this.#isOvertaken) return;
    this.#count(before);
    if (this.#isStopped) return; // A membership change removed this node.
    this.#owner.appliedTo(this.applied);
  }

  /** Applies the membership change of a step with the part that it is in: the last entry of both. */
  #applyChange({ change }: Step, part: Part): void {
    if (change === undefined || change.index !== part.lastIndex) return;
    this.#owner.applyChange(change.command, change.index, change);
  }

  /** Notes how far it came, and whether the range is done. */
  #count(before: number): void {
    const isDone = this.applied >= (this.#range?.lastIndex ?? 0);
    if (isDone) this.#range = undefined;
    if (this.#counters === undefined) return;
    this.#counters.entriesApplied += this.applied - before;
    const tookMs = this.#clock.now() - this.#takenAt;
    if (isDone) this.#counters.apply.record(tookMs);
  }
}

function isFull(step: Step, bytes: number): boolean {
  return step.entries.length >= maxEntries || bytes >= maxBytes ||
    step.change !== undefined || step.session !== undefined;
}

function requireResults(entries: readonly Entry[], results: unknown): void {
  if (!Array.isArray(results) || results.length !== entries.length) {
    throw new TypeError(
      `Cannot go on with the state machine: update returned ${
        Array.isArray(results) ? `${results.length} results` : "no array"
      } for ${entries.length} entries`,
    );
  }
  for (let i = 0; i < results.length; i++) {
    const result = results[i];
    if (typeof result?.value === "number" && isResultData(result.data)) {
      continue;
    }
    throw notAResult(entries[i]!.index, results[i]);
  }
}
