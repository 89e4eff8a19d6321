/**
 * Applies committed entries to a concurrent or on-disk state machine: in batches, and in its own time, since `update` may
 * return a promise; other clusters go on meanwhile (C6). What the engine and the node see of it is what they see of
 * `applier.ts`, which serves regular state machines.
 */
import { AppliedEntry, settleOutcome, takeSettle } from "./applier.ts";
import type { Applier, ApplierOwner } from "./applier.ts";
import { assert } from "./core/assert.ts";
import { entryKind } from "./core/entry_batch.ts";
import type { CommittedRange, EntryBatch, SnapshotMeta } from "./core/types.ts";
import { EntryCursor, type SessionFields } from "./entries.ts";
import type { Counters } from "./metrics/counters.ts";
import type { Clock } from "./ports.ts";
import type { ProposalTable } from "./proposals.ts";
import type { ProposalGroup } from "./requests.ts";
import type { SessionOutcome, SessionTable } from "./sessions.ts";
import { notAResult } from "./state_machine.ts";
import type {
  ConcurrentStateMachine,
  Entry,
  OnDiskStateMachine,
  Result,
} from "./state_machine.ts";

/** A call of `update` gets at most so many entries, and stops growing at so many bytes. */
const maxEntries = 1_024;
const maxBytes = 1024 * 1024;

/** Who waits for the result of an entry. */
interface Receiver {
  readonly group: ProposalGroup | undefined;
  readonly index: number;
  readonly proposer: number;
  readonly counter: number;
}

/**
 * What one step applies: entries for one call of `update`, then perhaps one membership change. An entry of a session has a
 * step of its own: whether it is applied follows from the results of all before it (rule R2).
 */
interface Step {
  readonly entries: Entry[];
  readonly receivers: Receiver[];
  /** Of the only entry. */
  session: SessionFields | undefined;
  /** Batches that end with this step. */
  readonly ended: {
    readonly batch: EntryBatch;
    readonly group: ProposalGroup | undefined;
  }[];
  /** Batches whose rest is not committed yet. */
  readonly cut: EntryBatch[];
  change:
    | {
      readonly command: Uint8Array;
      readonly index: number;
      readonly proposer: number;
      readonly counter: number;
    }
    | undefined;
  lastIndex: number;
  term: number;
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
  readonly #owner: BatchApplierOwner;
  /** Entries up to here are in the state machine already. */
  #opened: number;
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
    this.#owner = options.owner;
    this.#counters = options.counters;
    this.sessions = options.sessions;
    this.#opened = options.opened;
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
      if (known !== undefined) this.#finishSession(step, known);
      else {
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
    this.#opened = Math.max(this.#opened, meta.index);
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
      receivers: [],
      session: undefined,
      ended: [],
      cut: [],
      change: undefined,
      lastIndex: this.applied,
      term: this.appliedTerm,
    };
    let bytes = 0;
    for (; this.#position < range.batches.length; this.#position++) {
      const batch = range.batches[this.#position]!;
      const group = this.#proposals.groupOf(batch);
      const cursor = this.#cursor ??= new EntryCursor(batch);
      while (
        this.#isHeld || (cursor.index < range.lastIndex && cursor.next())
      ) {
        if (cursor.index <= this.#taken) continue;
        this.#isHeld = cursor.clientId !== 0 && step.entries.length > 0;
        if (this.#isHeld) return step;
        bytes += this.#takeEntry(step, cursor, batch.term, group);
        if (cursor.index === batch.lastIndex) break;
        if (isFull(step, bytes)) return step;
      }
      this.#cursor = undefined;
      if (this.#taken < batch.lastIndex) step.cut.push(batch);
      else step.ended.push({ batch, group });
      if (isFull(step, bytes)) {
        this.#position++;
        return step;
      }
    }
    return step;
  }

  /** Adds the entry at the cursor, and returns its size. */
  #takeEntry(
    step: Step,
    cursor: EntryCursor,
    term: number,
    group: ProposalGroup | undefined,
  ): number {
    const { index, kind, proposer, counter } = cursor;
    assert(index === this.#taken + 1, "entries are applied without a gap");
    this.#taken = index;
    step.lastIndex = index;
    step.term = term;
    switch (kind) {
      case entryKind.application: {
        if (index <= this.#opened) return 0;
        const command = cursor.command();
        step.entries.push(new AppliedEntry(index, term, command));
        step.receivers.push({ group, index, proposer, counter });
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

  #finishSession(step: Step, outcome: SessionOutcome): void {
    const to = step.receivers[0]!;
    const settle = takeSettle(this.#proposals, this.#proposer, to, to.group);
    if (settle !== undefined) settleOutcome(settle, outcome);
    this.#conclude(step);
  }

  #finish(step: Step, results: Result[]): void {
    requireResults(step.entries, results);
    if (this.#isStopped) return;
    if (step.session !== undefined) {
      const outcome = this.sessions.complete(step.session, results[0]!);
      return this.#finishSession(step, outcome);
    }
    for (let i = 0; i < results.length; i++) {
      const to = step.receivers[i]!;
      takeSettle(this.#proposals, this.#proposer, to, to.group)?.(results[i]!);
    }
    this.#conclude(step);
  }

  /** The entries of a step are applied. */
  #conclude(step: Step): void {
    if (this.#isOvertaken) return; // The core knows of the snapshot already, and of its members.
    const proposals = this.#proposals;
    const { change } = step;
    if (change !== undefined) {
      this.#owner.applyChange(change.command, change.index, change);
    }
    const before = this.applied;
    this.applied = step.lastIndex;
    this.appliedTerm = step.term;
    for (const { batch, group } of step.ended) {
      this.#owner.batchApplied(batch);
      if (group !== undefined) proposals.finished(group);
    }
    for (const batch of step.cut) this.#owner.batchApplied(batch);
    const isDone = this.applied >= (this.#range?.lastIndex ?? 0);
    if (isDone) this.#range = undefined;
    if (this.#counters !== undefined) {
      this.#counters.entriesApplied += this.applied - before;
      const tookMs = this.#clock.now() - this.#takenAt;
      if (isDone) this.#counters.apply.record(tookMs);
    }
    if (this.#isStopped) return; // A membership change removed this node.
    this.#owner.appliedTo(this.applied);
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
    if (typeof results[i]?.value === "number") continue;
    throw notAResult(entries[i]!.index, results[i]);
  }
}
