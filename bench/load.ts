/** Loads: what proposes and reads inside a NodeHost's process, through the public API. */
import { type NodeHost, RaftError, type Result, type Session } from "../mod.ts";
import { Histogram } from "./figures.ts";
import { mix, putValue } from "./machine.ts";
import type {
  Acknowledged,
  FloodRequest,
  LoadReport,
  LoadRequest,
  SteadyStatus,
} from "./protocol.ts";
import { pause } from "./system.ts";

/** A proposer whose call failed waits so long before the next. */
const busyPauseMs = 5;
/** An open loop offers for so long at the most before it lets the event loop turn. */
const floodSliceMs = 5;

/** Every command of this process says another number. */
let nextValue = 0;

/** What became of the calls of one load. */
class Tally {
  readonly latencies = new Histogram();
  readonly errors: Record<string, number> = {};
  readonly #acknowledged: Record<number, Acknowledged> = {};
  readonly #begin = performance.now();
  #lastSuccess = this.#begin;
  offered = 0;
  unknown = 0;
  longestGapMs = 0;
  mostPending = 0;

  /** Where a cluster's acknowledged commands are counted. */
  acknowledged(clusterId: number): Acknowledged {
    return this.#acknowledged[clusterId] ??= { count: 0, sum: 0 };
  }

  /** Counts a failed call; anything but the library's own errors ends the benchmark. */
  fail(error: unknown): void {
    if (!(error instanceof RaftError)) throw error;
    this.errors[error.code] = (this.errors[error.code] ?? 0) + 1;
    if (error.outcome === "unknown") this.unknown++;
  }

  /** Notes that something succeeded at `now`. */
  succeed(now: number): void {
    this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastSuccess);
    this.#lastSuccess = now;
  }

  /** The time since the last success. */
  quietMs(now: number): number {
    return now - this.#lastSuccess;
  }

  report(): LoadReport {
    const seconds = (performance.now() - this.#begin) / 1000;
    const all = Object.values(this.#acknowledged);
    const completed = all.reduce((sum, { count }) => sum + count, 0);
    return {
      ops: completed / seconds,
      offered: this.offered,
      acknowledged: this.#acknowledged,
      latencies: this.latencies.toSparse(),
      errors: this.errors,
      unknown: this.unknown,
      longestGapMs: this.longestGapMs,
      mostPending: this.mostPending,
    };
  }
}

function mistaken(value: number, result: number): Error {
  return new Error(`Cannot trust results: ${value} was answered as ${result}`);
}

/** Proposes in a closed loop. The loop does what the raw pipeline's does, and no more. */
async function proposeLoop(
  host: NodeHost,
  to: { clusterId: number; target: number | Session },
  options: { command: Uint8Array; isEachTimed: boolean; end: number },
  run: { tally: Tally; left: { count: number } },
): Promise<void> {
  const { command, isEachTimed, end } = options;
  const { tally, left } = run;
  const { target } = to;
  const acknowledged = tally.acknowledged(to.clusterId);
  while (left.count > 0 && performance.now() < end) {
    try {
      for (let round = 0;; round++) {
        const start = performance.now();
        if (start >= end || left.count <= 0) return;
        left.count--;
        const value = putValue(command, nextValue++);
        const result = await host.propose(target, command);
        if (result.value !== value) throw mistaken(value, result.value);
        acknowledged.count++;
        acknowledged.sum = (acknowledged.sum + mix(value)) | 0;
        if (isEachTimed || round % 16 === 0) {
          tally.latencies.add(performance.now() - start);
        }
      }
    } catch (error) {
      left.count++;
      tally.fail(error);
      await pause(busyPauseMs);
    }
  }
}

/** Reads in a closed loop. No command is proposed meanwhile, so every read must give the same. */
async function readLoop(
  host: NodeHost,
  clusterId: number,
  options: { expected: number; isEachTimed: boolean; end: number },
  tally: Tally,
): Promise<void> {
  const { expected, isEachTimed, end } = options;
  const acknowledged = tally.acknowledged(clusterId);
  while (performance.now() < end) {
    try {
      for (let round = 0;; round++) {
        const start = performance.now();
        if (start >= end) return;
        const count = await host.read<number>(clusterId, "count");
        if (count !== expected) {
          throw new Error(
            `Cannot trust reads: one gave ${count}, ${expected} were applied`,
          );
        }
        acknowledged.count++;
        if (isEachTimed || round % 16 === 0) {
          tally.latencies.add(performance.now() - start);
        }
      }
    } catch (error) {
      tally.fail(error);
      await pause(busyPauseMs);
    }
  }
}

/** So many sessions of each cluster. */
async function openSessions(
  host: NodeHost,
  clusterIds: readonly number[],
  count: number,
): Promise<Map<number, Session[]>> {
  const sessions = new Map<number, Session[]>();
  for (const clusterId of clusterIds) {
    const opening = Array.from(
      { length: count },
      () => host.openSession(clusterId),
    );
    sessions.set(clusterId, await Promise.all(opening));
  }
  return sessions;
}

/** Runs a closed loop to its end. */
export async function runLoad(
  host: NodeHost,
  request: LoadRequest,
): Promise<LoadReport> {
  const { clusterIds, outstanding, payload, isRead } = request;
  const isEachTimed = outstanding < 64;
  const counts = new Map<number, number>();
  for (const clusterId of clusterIds) {
    if (isRead) counts.set(clusterId, await host.read(clusterId, "count"));
  }
  const sessions = await openSessions(host, clusterIds, request.sessions);
  const tally = new Tally();
  const left = { count: request.count };
  const end = performance.now() + request.seconds * 1000;
  const loops: Promise<void>[] = [];
  for (const clusterId of clusterIds) {
    const command = new Uint8Array(payload).fill(7); // Shared: `propose` copies it before it returns (rule B4).
    const expected = counts.get(clusterId) ?? 0;
    for (let i = 0; i < outstanding; i++) {
      loops.push(
        isRead
          ? readLoop(host, clusterId, { expected, isEachTimed, end }, tally)
          : proposeLoop(
            host,
            {
              clusterId,
              target: sessions.get(clusterId)?.[i] ?? clusterId,
            },
            { command, isEachTimed, end },
            { tally, left },
          ),
      );
    }
  }
  await Promise.all(loops);
  const report = tally.report();
  const opened = [...sessions.values()].flat();
  await Promise.all(
    opened.filter((session) => !session.isUnfinished && !session.isClosed)
      .map((session) => host.closeSession(session)),
  );
  return report;
}

/** Proposes at a fixed rate, whatever becomes of it, and waits for the last result. */
export async function runFlood(
  host: NodeHost,
  request: FloodRequest,
): Promise<LoadReport> {
  const { clusterId, rate } = request;
  const tally = new Tally();
  const acknowledged = tally.acknowledged(clusterId);
  const command = new Uint8Array(request.payload).fill(7);
  let pending = 0;
  let failure: unknown;
  const succeed = (result: Result) => {
    pending--;
    acknowledged.count++;
    acknowledged.sum = (acknowledged.sum + mix(result.value)) | 0;
  };
  const fail = (error: unknown) => {
    pending--;
    if (error instanceof RaftError) tally.fail(error);
    else failure = error;
  };
  const offerTimed = () => {
    const start = performance.now();
    putValue(command, nextValue++);
    host.propose(clusterId, command).then((result) => {
      tally.latencies.add(performance.now() - start);
      succeed(result);
    }, fail);
  };
  const offer = () => {
    pending++;
    if (tally.offered++ % 16 === 0) return offerTimed();
    putValue(command, nextValue++);
    host.propose(clusterId, command).then(succeed, fail);
  };
  const begin = performance.now();
  const end = begin + request.seconds * 1000;
  for (let now = begin; now < end; now = performance.now()) {
    const due = (now - begin) / 1000 * rate;
    // Callers that share the event loop let it turn: what is late is offered in the next turns.
    const sliceEnd = now + floodSliceMs;
    while (tally.offered < due && performance.now() < sliceEnd) {
      for (let i = 0; i < 64 && tally.offered < due; i++) offer();
    }
    tally.mostPending = Math.max(tally.mostPending, pending);
    await pause(0); // Not an immediate: with one always pending Deno hardly looks at its sockets.
  }
  const report = tally.report();
  while (pending > 0) await pause(5);
  if (failure !== undefined) throw failure;
  // The rate is that of the measured time; what was still under way then must be counted all the same.
  return { ...tally.report(), ops: report.ops };
}

/**
 * A load that goes on through failures: some proposers in a closed loop, and one that proposes every few milliseconds
 * whether its last proposal has ended or not, so that a proposal nobody answers hides no recovery.
 */
export class SteadyLoad {
  readonly #tally = new Tally();
  readonly #acknowledged: Acknowledged;
  readonly #host: NodeHost;
  readonly #clusterId: number;
  readonly #command: Uint8Array;
  readonly #loops: Promise<void>[] = [];
  #successes = 0;
  #isStopped = false;

  /** Begins the load. */
  constructor(
    host: NodeHost,
    options: { clusterId: number; outstanding: number; payload: number },
  ) {
    this.#host = host;
    this.#clusterId = options.clusterId;
    this.#acknowledged = this.#tally.acknowledged(options.clusterId);
    this.#command = new Uint8Array(options.payload).fill(7);
    for (let i = 0; i < options.outstanding; i++) {
      this.#loops.push(this.#runProposer());
    }
    this.#loops.push(this.#runProbes());
  }

  /** Forgets successes and gaps so far. */
  mark(): void {
    this.#tally.succeed(performance.now());
    this.#tally.longestGapMs = 0;
    this.#successes = 0;
  }

  /** How it is doing. */
  status(): SteadyStatus {
    const quietMs = this.#tally.quietMs(performance.now());
    return {
      successes: this.#successes,
      longestGapMs: Math.max(this.#tally.longestGapMs, quietMs),
      quietMs,
    };
  }

  /** Ends it, and waits for the last result. */
  async stop(): Promise<LoadReport> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    return this.#tally.report();
  }

  async #propose(): Promise<boolean> {
    const value = putValue(this.#command, nextValue++);
    const start = performance.now();
    try {
      const result = await this.#host.propose(this.#clusterId, this.#command, {
        timeoutMs: 2_000,
      });
      if (result.value !== value) throw mistaken(value, result.value);
    } catch (error) {
      this.#tally.fail(error);
      return false;
    }
    this.#acknowledged.count++;
    this.#acknowledged.sum = (this.#acknowledged.sum + mix(value)) | 0;
    const now = performance.now();
    this.#tally.latencies.add(now - start);
    if (!this.#isStopped) {
      this.#tally.succeed(now);
      this.#successes++;
    }
    return true;
  }

  async #runProposer(): Promise<void> {
    while (!this.#isStopped) {
      if (!await this.#propose()) await pause(2);
    }
  }

  async #runProbes(): Promise<void> {
    const probes: Promise<boolean>[] = [];
    while (!this.#isStopped) {
      probes.push(this.#propose());
      await pause(2);
    }
    await Promise.all(probes);
  }
}
