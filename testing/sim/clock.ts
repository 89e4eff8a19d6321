/**
 * Virtual time: one queue of events for the whole world, and for every incarnation of a host a clock of its own
 * that can be paused and killed with it.
 *
 * After each event every promise job that it set off runs before the next event: promises alone are ordered the same way
 * every time. Where the runtime lets us, we have it run them there and then; else the real event loop takes a turn after
 * each event, which gives the same order at twice the price.
 */
import type { Clock, Timer } from "../../raft/ports.ts";
import { setImmediate } from "../deps.ts";
import { SimulationFailure } from "./failure.ts";
import type { SimRandom } from "./random.ts";
import type { Trace } from "./trace.ts";

/** More events than this without time going on are a loop. */
const instantCountMax = 100_000;

/** So many events at most happen in one turn of the real event loop, which tells of rejections that nobody looks at. */
const eventsPerTurn = 256;

/** Runs all promise jobs that wait; undefined if this runtime has no way to ask for it. */
const runPromiseJobs = findPromiseJobs();

/** Deno's own loop is driven by this function, which is no part of its public interface: so it is looked for, not relied on. */
function findPromiseJobs(): (() => void) | undefined {
  const deno = Deno as unknown as Record<string | symbol, unknown>;
  const internals = deno[deno.internal as symbol] as
    | { readonly core?: { readonly runMicrotasks?: () => void } }
    | undefined;
  const { core } = internals ?? {};
  return typeof core?.runMicrotasks === "function"
    ? () => core.runMicrotasks!()
    : undefined;
}

/** What an event is, for the trace and for the order of a host's backlog. */
export const eventKind = {
  world: 1,
  timer: 2,
  turn: 3,
  network: 4,
  disk: 5,
  client: 6,
} as const;

/** One of {@link eventKind}. */
export type EventKind = typeof eventKind[keyof typeof eventKind];

/** Something that will happen. */
export class SimEvent implements Timer {
  /** What happens, or undefined once it did or was cancelled. */
  callback: (() => void) | undefined;

  /** Made by {@link Timeline.schedule}. */
  constructor(
    /** When. */
    public timeUs: number,
    /** Order among events of one time. */
    public sequence: number,
    /** Whose. */
    readonly scope: Scope,
    /** What. */
    readonly kind: EventKind,
    callback: () => void,
  ) {
    this.callback = callback;
  }

  /** See {@link Timer}. */
  cancel(): void {
    if (this.callback === undefined) return;
    this.callback = undefined;
    if (this.kind === eventKind.timer) this.scope.pendingTimers--;
  }
}

/** Whose events they are: one incarnation of a host, or the world. Its events stop when it is paused or killed. */
export class Scope {
  /** Timers that will still fire, for finding what `close()` left behind. */
  pendingTimers = 0;
  /** What to look at after each of its events. */
  afterEvent: () => void = () => {};
  #state: "running" | "paused" | "dead" = "running";
  #backlog: SimEvent[] = [];
  readonly #timeline: Timeline;

  /** Made by {@link Timeline.scope}. */
  constructor(
    timeline: Timeline,
    /** A number for the trace. */
    readonly id: number,
    /** A name for people. */
    readonly name: string,
  ) {
    this.#timeline = timeline;
  }

  /** Whether its events still happen at some time. */
  get isAlive(): boolean {
    return this.#state !== "dead";
  }

  /** Whether its events wait. */
  get isPaused(): boolean {
    return this.#state === "paused";
  }

  /** The process is stopped: its events wait until {@link resume}. */
  pause(): void {
    if (this.#state === "running") this.#state = "paused";
  }

  /** The process continues: what waited happens now, in order, or its overdue timers first. */
  resume(timersFirst: boolean): void {
    if (this.#state !== "paused") return;
    this.#state = "running";
    const backlog = this.#backlog;
    this.#backlog = [];
    const isFirst = (event: SimEvent) =>
      timersFirst && event.kind === eventKind.timer;
    for (const event of backlog) {
      if (isFirst(event)) this.#timeline.requeue(event);
    }
    for (const event of backlog) {
      if (!isFirst(event)) this.#timeline.requeue(event);
    }
  }

  /** The process is gone: nothing of it ever happens again. */
  kill(): void {
    this.#state = "dead";
    this.#backlog = [];
    this.pendingTimers = 0;
  }

  /** Takes an event that came up while paused; returns whether it did. */
  holds(event: SimEvent): boolean {
    if (this.#state !== "paused") return false;
    this.#backlog.push(event);
    return true;
  }
}

/** The queue of events, and the loop that works it off. */
export class Timeline {
  /** The scope of what happens outside all hosts. */
  readonly world: Scope;
  /** Called after each event whose promise jobs have run, with the scope it belonged to. */
  afterEvent: (scope: Scope) => void = () => {};
  readonly #heap: SimEvent[] = [];
  readonly #trace: Trace;
  #nowUs = 0;
  #sequence = 0;
  #scopeCount = 0;
  #eventCount = 0;
  #instantCount = 0;

  /** Events enter `trace`. */
  constructor(trace: Trace) {
    this.#trace = trace;
    this.world = this.scope("world");
  }

  /** Simulated microseconds since the start. */
  get nowUs(): number {
    return this.#nowUs;
  }

  /** Events that have happened. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** A new scope. */
  scope(name: string): Scope {
    return new Scope(this, this.#scopeCount++, name);
  }

  /** Lets `callback` happen `delayUs` from now, in `scope`. */
  schedule(
    scope: Scope,
    delayUs: number,
    kind: EventKind,
    callback: () => void,
  ): SimEvent {
    const event = new SimEvent(
      this.#nowUs + Math.max(0, Math.round(delayUs)),
      this.#sequence++,
      scope,
      kind,
      callback,
    );
    if (!scope.isAlive) {
      event.callback = undefined;
      return event;
    }
    if (kind === eventKind.timer) scope.pendingTimers++;
    this.#push(event);
    return event;
  }

  /** Resolves `delayUs` from now, in `scope`; never if the scope is killed. */
  wait(scope: Scope, delayUs: number, kind: EventKind): Promise<void> {
    return new Promise((resolve) => {
      this.schedule(scope, delayUs, kind, resolve);
    });
  }

  /** Puts a held event back into the queue, for now. */
  requeue(event: SimEvent): void {
    event.timeUs = this.#nowUs;
    event.sequence = this.#sequence++;
    this.#push(event);
  }

  /**
   * Lets events happen until `untilUs`, or until `isDone` says so after one; time then stands at `untilUs`, or
   * at that event. Rejects with what an event or `afterEvent` threw: timers and handlers must not throw.
   */
  run(untilUs: number, isDone: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      let last: Scope | undefined;
      const turn = () => {
        try {
          let left = runPromiseJobs === undefined ? 1 : eventsPerTurn;
          for (; left > 0; left--) {
            if (last !== undefined) this.afterEvent(last);
            last = undefined;
            if (isDone()) return resolve();
            last = this.#next(untilUs);
            if (last === undefined) {
              this.#nowUs = Math.max(this.#nowUs, untilUs);
              return resolve();
            }
            runPromiseJobs?.();
          }
          setImmediate(turn);
        } catch (error) {
          reject(error);
        }
      };
      setImmediate(turn);
    });
  }

  /** Runs the next event that really happens, or returns undefined if there is none until `untilUs`. */
  #next(untilUs: number): Scope | undefined {
    for (;;) {
      const event = this.#heap[0];
      if (event === undefined || event.timeUs > untilUs) return undefined;
      this.#pop();
      const { scope, callback } = event;
      if (callback === undefined || !scope.isAlive) continue;
      if (event.timeUs > this.#nowUs) this.#instantCount = 0;
      else if (++this.#instantCount > instantCountMax) {
        throw new SimulationFailure(
          "time goes on",
          `${scope.name} is busy without an end, after ${instantCountMax} events in one instant`,
        );
      }
      this.#nowUs = event.timeUs;
      if (scope.holds(event)) continue;
      event.callback = undefined;
      if (event.kind === eventKind.timer) scope.pendingTimers--;
      this.#eventCount++;
      this.#trace.mix(event.timeUs | 0, scope.id * 8 + event.kind);
      callback();
      return scope;
    }
  }

  #push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = heap[above] as SimEvent;
      if (!isBefore(event, other)) break;
      heap[at] = other;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const event = heap.pop() as SimEvent;
    const length = heap.length;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= length) break;
      const right = heap[below + 1];
      if (right !== undefined && isBefore(right, heap[below] as SimEvent)) {
        below++;
      }
      const other = heap[below] as SimEvent;
      if (!isBefore(other, event)) break;
      heap[at] = other;
      at = below;
    }
    heap[at] = event;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.timeUs < b.timeUs ||
    (a.timeUs === b.timeUs && a.sequence < b.sequence);
}

/** Resolves when the real event loop has taken a turn, and so has told of every rejection that nobody looks at. */
export function realTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** How a host's clock differs from true time. */
export interface ClockTraits {
  /** How much faster than true time it runs, in millionths. */
  readonly driftPpm: number;
  /** Longest time by which a timer fires late. */
  readonly timerSlackUs: number;
  /** How long a turn of the host's event loop gathers input before its end. */
  readonly turnUs: number;
}

/** The clock of one incarnation of a host. */
export class HostClock implements Clock {
  readonly #timeline: Timeline;
  readonly #scope: Scope;
  readonly #random: SimRandom;
  readonly #traits: ClockTraits;
  readonly #startMs: number;
  /** Milliseconds by which the wall clock is wrong; a fault may change it at any time. */
  wallSkewMs = 0;

  /** Made for each incarnation anew: a monotonic clock starts anywhere. */
  constructor(
    timeline: Timeline,
    scope: Scope,
    random: SimRandom,
    traits: ClockTraits,
  ) {
    this.#timeline = timeline;
    this.#scope = scope;
    this.#random = random;
    this.#traits = traits;
    this.#startMs = random.below(1_000_000);
  }

  /** See {@link Clock}. */
  now(): number {
    return this.#startMs +
      this.#timeline.nowUs / 1000 * (1 + this.#traits.driftPpm / 1_000_000);
  }

  /** See {@link Clock}. */
  wallTime(): number {
    return 1_700_000_000_000 + Math.floor(this.#timeline.nowUs / 1000) +
      this.wallSkewMs;
  }

  /** See {@link Clock}. */
  setTimer(delayMs: number, callback: () => void): Timer {
    const trueUs = delayMs * 1000 / (1 + this.#traits.driftPpm / 1_000_000);
    const delayUs = Math.ceil(trueUs) +
      this.#random.below(this.#traits.timerSlackUs + 1);
    return this.#timeline.schedule(
      this.#scope,
      delayUs,
      eventKind.timer,
      callback,
    );
  }

  /** See {@link Clock}. */
  defer(callback: () => void): void {
    this.#timeline.schedule(
      this.#scope,
      this.#traits.turnUs,
      eventKind.turn,
      callback,
    );
  }
}
