/**
 * Requests that wait for their result: proposals, reads, membership changes and transfers. Each ends exactly once
 * (rule R1). Deadlines are ticks of the NodeHost, so that a hundred thousand requests need no timer.
 */
import { RaftError } from "./errors.ts";
import type { Outcome, RaftErrorCode } from "./errors.ts";
import type { SentRequest } from "./outlook.ts";
import type { Result } from "./state_machine.ts";

/** Ends a request: with its result, or with a rejected promise. */
export type Settle<T> = (result: T | Promise<never>) => void;

/**
 * What a request costs beside its bytes, counted against `maxInMemLogBytes`: promise, closures and slot, and the work of
 * the garbage collector on everything that waits. With less, requests only grow old in the queue: measured with three
 * times the capacity offered, 1,024 gave 0.8 of the throughput, 3,072 all of it.
 */
export const requestOverheadBytes = 3_072;

/**
 * An error without a stack trace: under overload they are made by the hundred thousand a second, and the trace of
 * the event loop's turn would tell nothing.
 */
export function requestError(
  code: RaftErrorCode,
  message: string,
  outcome: Outcome = "notApplied",
): RaftError {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return new RaftError(code, message, { outcome });
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** Ends a request with an error. */
export function settleError<T>(settle: Settle<T>, error: unknown): void {
  settle(Promise.reject(error));
}

/**
 * Makes the promise of a request that an `AbortSignal` may end early. `start` gets the function that ends it; what
 * `start` returns is called if the signal was first, so that the request is forgotten.
 */
export function abortable<T>(
  signal: AbortSignal | undefined,
  start: (settle: Settle<T>) => () => void,
): Promise<T> {
  if (signal === undefined) {
    return new Promise((resolve) => {
      start(resolve);
    });
  }
  if (signal.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve) => {
    let isSettled = false;
    const onAbort = () => {
      isSettled = true;
      forget();
      resolve(Promise.reject(signal.reason));
    };
    const forget = start((result) => {
      isSettled = true;
      signal.removeEventListener("abort", onAbort);
      resolve(result);
    });
    // It may have been refused while it was made; nobody would ever take the listener away then.
    if (!isSettled) signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Proposals that share a batch, or one record of forwarded ones. Arrays run parallel: slot i is entry i. */
export class ProposalGroup implements SentRequest {
  /** Index of the first entry once the log has it, else 0. */
  firstIndex = 0;
  /** Term of the batch, once known. */
  term = 0;
  /** Counter of the first forwarded proposal, else 0. */
  firstCounter = 0;
  /** See {@link SentRequest}. */
  sentTo = 0;
  /** See {@link SentRequest}. */
  sentTerm = 0;
  /** See {@link SentRequest}. */
  isCut = false;
  /** See {@link SentRequest}. */
  doubtTicks = 0;
  /** Who waits for each entry; undefined for somebody else's entry, and for a request that has ended. */
  readonly settles: (Settle<Result> | undefined)[] = [];
  /** Tick at which each one ends as timed out. */
  readonly deadlines: number[] = [];
  /** The earliest deadline. */
  soonest: number = Number.MAX_SAFE_INTEGER;
  /** What the group counts against the limit of memory. */
  bytes = 0;
  /** When its first request of this NodeHost was made, in milliseconds of the clock; -1 if there is none. */
  since = -1;
  /** Slots of entries that others wait for. */
  foreignCount = 0;

  /** Adds a request of this NodeHost. */
  add(settle: Settle<Result>, deadline: number, bytes: number): void {
    if (deadline < this.soonest) this.soonest = deadline;
    this.bytes += bytes + requestOverheadBytes;
    this.deadlines.push(deadline);
    this.settles.push(settle);
  }

  /** Leaves room for `count` entries that others wait for. */
  skip(count: number, bytes: number): void {
    this.bytes += bytes;
    this.foreignCount += count;
    for (let i = 0; i < count; i++) {
      this.settles.push(undefined);
      this.deadlines.push(Number.MAX_SAFE_INTEGER);
    }
  }

  /** Ends all that still wait, with one error for all: making one is dear, and they say the same. */
  fail(makeError: () => unknown): void {
    let rejected: Promise<never> | undefined;
    for (let i = 0; i < this.settles.length; i++) {
      const settle = this.settles[i];
      if (settle === undefined) continue;
      this.settles[i] = undefined;
      settle(rejected ??= Promise.reject(makeError()));
    }
    this.soonest = Number.MAX_SAFE_INTEGER;
  }

  /** Ends those whose deadline has passed; returns how many. */
  expire(now: number, makeError: () => unknown): number {
    if (now < this.soonest) return 0;
    let count = 0;
    this.soonest = Number.MAX_SAFE_INTEGER;
    let rejected: Promise<never> | undefined;
    for (let i = 0; i < this.settles.length; i++) {
      const settle = this.settles[i];
      if (settle === undefined) continue;
      if (this.deadlines[i]! <= now) {
        this.settles[i] = undefined;
        settle(rejected ??= Promise.reject(makeError()));
        count++;
      } else if (this.deadlines[i]! < this.soonest) {
        this.soonest = this.deadlines[i]!;
      }
    }
    return count;
  }
}

/** One request with a deadline that is not a proposal: a read, a membership change, a transfer. */
export interface PendingRequest<T> {
  /** Ends it. */
  readonly settle: Settle<T>;
  /** Tick at which it ends as timed out. */
  readonly deadline: number;
  /** It has ended, by its signal or otherwise: skip it. */
  isForgotten: boolean;
}

/** A linearizable read that waits for its turn. */
export interface PendingRead extends PendingRequest<unknown> {
  /** Answers it once the state machine has caught up. */
  readonly answer: () => unknown;
}

/** Reads that share one ReadIndex round. */
interface ReadRound {
  readonly reads: PendingRead[];
  readonly issuedAt: number;
}

/** Reads of one node, from the call until the answer (thesis 6.4). */
export class ReadTable {
  #waiting: PendingRead[] = [];
  readonly #rounds = new Map<number, ReadRound>();
  #confirmed: { index: number; reads: PendingRead[] }[] = [];
  #count = 0;

  /** Reads that have not ended. */
  get count(): number {
    return this.#count;
  }

  /** Whether reads wait for a round. */
  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Adds a read to the next round. */
  add(read: PendingRead): void {
    this.#waiting.push(read);
    this.#count++;
  }

  /** Starts round `counter` with all reads that wait. */
  beginRound(counter: number, now: number): void {
    this.#rounds.set(counter, { reads: this.#waiting, issuedAt: now });
    this.#waiting = [];
  }

  /** Round `counter` was confirmed: its reads may be answered once `index` is applied. */
  confirm(counter: number, index: number): void {
    const round = this.#rounds.get(counter);
    if (round === undefined) return; // Given up, or asked again under a new context.
    this.#rounds.delete(counter);
    this.#confirmed.push({ index, reads: round.reads });
  }

  /** Round `counter` will not be confirmed. */
  drop(counter: number, makeError: () => unknown): void {
    const round = this.#rounds.get(counter);
    if (round === undefined) return;
    this.#rounds.delete(counter);
    for (const read of round.reads) this.#end(read, makeError);
  }

  /** Answers what may be answered with everything up to `applied` applied. */
  serve(applied: number): void {
    if (this.#confirmed.length === 0) return;
    const later: { index: number; reads: PendingRead[] }[] = [];
    for (const group of this.#confirmed) {
      if (group.index > applied) {
        later.push(group);
        continue;
      }
      for (const read of group.reads) this.#answer(read);
    }
    this.#confirmed = later;
  }

  /** Ends reads past their deadline, and asks again for those whose round is older than `patience` ticks. */
  tick(now: number, patience: number, makeError: () => unknown): void {
    if (this.#count === 0) return;
    const isOver = (read: PendingRead): boolean => {
      if (!read.isForgotten && read.deadline > now) return false;
      this.#end(read, makeError);
      return true;
    };
    this.#waiting = this.#waiting.filter((read) => !isOver(read));
    for (const [counter, round] of this.#rounds) {
      const alive = round.reads.filter((read) => !isOver(read));
      const isStale = now - round.issuedAt >= patience;
      if (alive.length < round.reads.length || isStale) {
        this.#rounds.delete(counter);
        if (isStale) this.#waiting = this.#waiting.concat(alive);
        else if (alive.length > 0) {
          this.#rounds.set(counter, { ...round, reads: alive });
        }
      }
    }
    for (const group of this.#confirmed) {
      group.reads = group.reads.filter((read) => !isOver(read));
    }
  }

  /** Ends all. */
  failAll(makeError: () => unknown): void {
    const groups = [
      this.#waiting,
      ...[...this.#rounds.values()].map((round) => round.reads),
      ...this.#confirmed.map((group) => group.reads),
    ];
    this.#waiting = [];
    this.#rounds.clear();
    this.#confirmed = [];
    for (const reads of groups) {
      for (const read of reads) this.#end(read, makeError);
    }
  }

  #answer(read: PendingRead): void {
    this.#count--;
    if (read.isForgotten) return;
    read.isForgotten = true; // The answer may stop the node, which ends every read that has not ended.
    try {
      read.settle(read.answer() as Promise<never>);
    } catch (error) {
      settleError(read.settle, error);
    }
  }

  #end(read: PendingRead, makeError: () => unknown): void {
    this.#count--;
    if (read.isForgotten) return;
    read.isForgotten = true;
    settleError(read.settle, makeError());
  }
}
