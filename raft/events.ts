/**
 * What happens on a NodeHost, as a stream for whoever wants to know. Each subscriber has a buffer of its own with a
 * bound: when it is full the oldest event goes, and the subscriber is told how many did. So nobody who listens can hold
 * up the engine, whatever he does with an event, and nothing is made while nobody listens.
 */
import { requireKnownFields } from "./validation.ts";
import type { Membership } from "./core/types.ts";

/** One node of one cluster. */
export interface NodeEvent {
  /** The cluster. */
  readonly clusterId: number;
  /** The node of it that the event is about; it is on this NodeHost. */
  readonly nodeId: number;
}

/** A node knows another leader than before, or the same in another term; or none any more. */
export interface LeaderChangedEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "leaderChanged";
  /** Who leads as far as this node knows, or undefined. */
  readonly leaderId: number | undefined;
  /** In which term. Never smaller than in an earlier event of this node. */
  readonly term: number;
}

/** A node's state is restored, and it takes part from now on. It may not know a leader yet: see `leaderChanged`. */
export interface NodeReadyEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "nodeReady";
  /** Where its state machine stands. */
  readonly applied: number;
}

/** A node runs no longer: it was stopped, was removed, or failed. Its data stay. */
export interface NodeUnloadedEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "nodeUnloaded";
  /** Why, for people. */
  readonly reason: string;
  /** Why, as the code that callers get: `clusterClosed` or `closed` if it was stopped, else what went wrong. */
  readonly code: string;
}

/** A node has learnt that it was removed from its cluster for good. */
export interface NodeRemovedEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "nodeRemoved";
}

/** What was kept of a node was removed for good: `removeData`. */
export interface NodeDeletedEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "nodeDeleted";
}

/**
 * A leader here sees that a follower no longer holds what it had acknowledged: its disk lost what was synced, or its folder
 * is an old copy. It may vote and acknowledge twice: remove it, and add a new node id.
 */
export interface EntriesLostEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "entriesLost";
  /** The follower. */
  readonly followerId: number;
  /** What it had acknowledged, as an index. */
  readonly acknowledged: number;
  /** The term of this leader, in which it is told once. */
  readonly term: number;
}

/** A node has applied another membership. */
export interface MembershipChangedEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "membershipChanged";
  /** The members from now on. */
  readonly membership: Membership;
}

/** A connection to another NodeHost was made, in either direction, and both sides know each other. */
export interface ConnectionUpEvent {
  /** Tells the events apart. */
  readonly type: "connectionUp";
  /** The other's `raftAddress`. */
  readonly address: string;
  /** Whether it is a connection for one snapshot only. */
  readonly snapshot: boolean;
}

/** A connection that was up has ended. */
export interface ConnectionDownEvent {
  /** Tells the events apart. */
  readonly type: "connectionDown";
  /** The other's `raftAddress`. */
  readonly address: string;
  /** Why, for people. */
  readonly reason: string;
}

/** A connection could not be made. It is tried again, at most about once a second for each address. */
export interface ConnectionFailedEvent {
  /** Tells the events apart. */
  readonly type: "connectionFailed";
  /** The address that was dialled. */
  readonly address: string;
  /** Whether it was to carry a snapshot. */
  readonly snapshot: boolean;
  /** Why, for people. */
  readonly reason: string;
}

/** Somebody who connected to this NodeHost was turned away, or this NodeHost turned away whom it had dialled. */
export interface ConnectionRefusedEvent {
  /** Tells the events apart. */
  readonly type: "connectionRefused";
  /** Where the other came from, or what was dialled. */
  readonly address: string;
  /** Whether this NodeHost had dialled. */
  readonly isDialledHere: boolean;
  /** What kind of trouble it is, such as `tls`, `deployment`, `identity`, `malformed`, `silent`, `busy`. */
  readonly code: string;
  /** Why, for people. */
  readonly reason: string;
}

/** Something happened to a snapshot of a node. */
export interface SnapshotEvent extends NodeEvent {
  /** Everything up to this index is in the snapshot. */
  readonly index: number;
}

/** A snapshot was saved and is durable. */
export interface SnapshotCreatedEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotCreated";
  /** Bytes of its file. */
  readonly bytes: number;
}

/** A snapshot is on its way to another member. */
export interface SnapshotSendStartedEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotSendStarted";
  /** The member that is to have it. */
  readonly to: number;
}

/** Another member has a snapshot durably. */
export interface SnapshotSendCompletedEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotSendCompleted";
  /** The member that has it. */
  readonly to: number;
}

/** A snapshot did not reach another member. It is tried again. */
export interface SnapshotSendAbortedEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotSendAborted";
  /** The member that was to have it. */
  readonly to: number;
  /** Why, for people. */
  readonly reason: string;
}

/** A snapshot from another member lies durable here. */
export interface SnapshotReceivedEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotReceived";
  /** The member that sent it. */
  readonly from: number;
}

/** The state machine was restored from a snapshot while the node ran. */
export interface SnapshotRecoveredEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotRecovered";
}

/** Snapshots older than this one were deleted. */
export interface SnapshotCompactedEvent extends SnapshotEvent {
  /** Tells the events apart. */
  readonly type: "snapshotCompacted";
}

/** The log of a node up to this index may go: a snapshot holds it. */
export interface LogCompactedEvent extends NodeEvent {
  /** Tells the events apart. */
  readonly type: "logCompacted";
  /** Entries up to here are given up, in whole batches. */
  readonly index: number;
}

/** A write to the log takes longer than the shortest election timeout of the clusters here, or has at last ended. */
export interface DiskSlowEvent {
  /** Tells the events apart. */
  readonly type: "diskSlow";
  /** How long it has taken. */
  readonly stalledMs: number;
  /** Whether it has ended. */
  readonly isOver: boolean;
}

/** The disk has no room for the log: proposals are refused until it has. Or it has again. */
export interface DiskFullEvent {
  /** Tells the events apart. */
  readonly type: "diskFull";
  /** Whether there is room again. */
  readonly isOver: boolean;
}

/** The log failed and is closed for good: this NodeHost can only be closed. */
export interface DiskFailedEvent {
  /** Tells the events apart. */
  readonly type: "diskFailed";
  /** What the disk said. */
  readonly reason: string;
}

/**
 * Something held the event loop for longer than half an election timeout, so that no heartbeat could leave (rule C6): a
 * state machine, other code of this program, or the machine itself.
 */
export interface LoopHeldEvent {
  /** Tells the events apart. */
  readonly type: "loopHeld";
  /** How long. */
  readonly heldMs: number;
  /** The cluster whose state machine did it; undefined if it was something else. */
  readonly clusterId: number | undefined;
}

/** `close` was called: leadership is handed over, then everything ends. */
export interface HostClosingEvent {
  /** Tells the events apart. */
  readonly type: "hostClosing";
}

/** This subscriber was too slow: so many events before the next one are missing for it. */
export interface EventsDroppedEvent {
  /** Tells the events apart. */
  readonly type: "eventsDropped";
  /** How many. */
  readonly count: number;
}

/** Anything that a NodeHost tells, told apart by `type`. */
export type HostEvent =
  | LeaderChangedEvent
  | NodeReadyEvent
  | NodeUnloadedEvent
  | NodeRemovedEvent
  | NodeDeletedEvent
  | EntriesLostEvent
  | MembershipChangedEvent
  | ConnectionUpEvent
  | ConnectionDownEvent
  | ConnectionFailedEvent
  | ConnectionRefusedEvent
  | SnapshotCreatedEvent
  | SnapshotSendStartedEvent
  | SnapshotSendCompletedEvent
  | SnapshotSendAbortedEvent
  | SnapshotReceivedEvent
  | SnapshotRecoveredEvent
  | SnapshotCompactedEvent
  | LogCompactedEvent
  | DiskSlowEvent
  | DiskFullEvent
  | DiskFailedEvent
  | LoopHeldEvent
  | HostClosingEvent
  | EventsDroppedEvent;

/** The names of all events. */
export type HostEventType = HostEvent["type"];

/** What a subscriber wants. */
export interface EventsOptions {
  /** Ends the stream. */
  signal?: AbortSignal;
  /** Events that may wait for this subscriber, 1 to 1,000,000; 1,024 by default. Beyond it the oldest is dropped. */
  maxBuffered?: number;
  /** Only events of these types; all by default. `eventsDropped` comes in any case. */
  types?: readonly HostEventType[];
}

/** The events of a NodeHost from the moment of the call on, in their order. It ends when the NodeHost has closed. */
export interface EventStream
  extends AsyncIterableIterator<HostEvent>, AsyncDisposable {
  /** Ends the stream. */
  return(): Promise<IteratorResult<HostEvent, undefined>>;
}

const optionNames: ReadonlySet<string> = new Set<keyof EventsOptions>([
  "signal",
  "maxBuffered",
  "types",
]);

const defaultMaxBuffered = 1_024;
const mostBuffered = 1_000_000;

/** Hands events to whoever subscribed. */
export class EventHub {
  readonly #streams = new Set<Subscription>();
  #isClosed = false;

  /** Whether anybody listens. Ask before an event is made, so that nothing is made for nobody. */
  get isHeard(): boolean {
    return this.#streams.size > 0;
  }

  /** Hands an event to every subscriber. None of their code runs before this returns. */
  emit(event: HostEvent): void {
    for (const stream of this.#streams) stream.push(event);
  }

  /**
   * Makes a stream of what happens from now on.
   *
   * @throws {TypeError} if an option has the wrong type.
   * @throws {RangeError} if `maxBuffered` is out of range.
   */
  subscribe(options: EventsOptions = {}): EventStream {
    requireKnownFields("the options of events", { ...options }, optionNames);
    const { signal, types } = options;
    const maxBuffered = options.maxBuffered ?? defaultMaxBuffered;
    validate(signal, maxBuffered, types);
    const stream = new Subscription(
      maxBuffered,
      types === undefined ? undefined : new Set(types),
      () => {
        this.#streams.delete(stream);
        signal?.removeEventListener("abort", onAbort);
      },
    );
    const onAbort = () => stream.end(true);
    if (this.#isClosed) stream.end(false);
    else if (signal?.aborted === true) stream.end(true);
    else {
      this.#streams.add(stream);
      signal?.addEventListener("abort", onAbort, { once: true });
    }
    return stream;
  }

  /** Ends every stream behind what waits in it. */
  close(): void {
    this.#isClosed = true;
    for (const stream of [...this.#streams]) stream.end(false);
  }
}

type Result = IteratorResult<HostEvent, undefined>;

const ended: Result = { done: true, value: undefined };

/** One subscriber's buffer: a queue whose oldest element goes when it is full. */
class Subscription implements EventStream {
  readonly #maxBuffered: number;
  readonly #types: ReadonlySet<HostEventType> | undefined;
  readonly #onEnd: () => void;
  #events: HostEvent[] = [];
  /** Where the oldest event stands in `#events`. */
  #first = 0;
  #dropped = 0;
  #waiting: ((result: Result) => void)[] = [];
  #isEnded = false;

  constructor(
    maxBuffered: number,
    types: ReadonlySet<HostEventType> | undefined,
    onEnd: () => void,
  ) {
    this.#maxBuffered = maxBuffered;
    this.#types = types;
    this.#onEnd = onEnd;
  }

  push(event: HostEvent): void {
    if (this.#types !== undefined && !this.#types.has(event.type)) return;
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) return waiter({ done: false, value: event });
    this.#events.push(event);
    if (this.#events.length - this.#first <= this.#maxBuffered) return;
    this.#first++;
    this.#dropped++;
    // Moved only now and then, so that a full buffer costs the same as one with room.
    if (this.#first < this.#maxBuffered) return;
    this.#events.splice(0, this.#first);
    this.#first = 0;
  }

  /** Ends it, behind what waits or without that. */
  end(isAtOnce: boolean): void {
    if (isAtOnce) {
      this.#events = [];
      this.#first = 0;
      this.#dropped = 0;
    }
    if (this.#isEnded) return;
    this.#isEnded = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) waiter(ended);
    this.#onEnd();
  }

  next(): Promise<Result> {
    if (this.#dropped > 0) {
      const value: HostEvent = { type: "eventsDropped", count: this.#dropped };
      this.#dropped = 0;
      return Promise.resolve({ done: false, value });
    }
    const value = this.#events[this.#first];
    if (value !== undefined) {
      this.#first++;
      if (this.#first === this.#events.length) {
        this.#events = [];
        this.#first = 0;
      }
      return Promise.resolve({ done: false, value });
    }
    if (this.#isEnded) return Promise.resolve(ended);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<Result> {
    this.end(true);
    return Promise.resolve(ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

const allTypes: Readonly<Record<HostEventType, true>> = {
  leaderChanged: true,
  nodeReady: true,
  nodeUnloaded: true,
  nodeRemoved: true,
  nodeDeleted: true,
  entriesLost: true,
  membershipChanged: true,
  connectionUp: true,
  connectionDown: true,
  connectionFailed: true,
  connectionRefused: true,
  snapshotCreated: true,
  snapshotSendStarted: true,
  snapshotSendCompleted: true,
  snapshotSendAborted: true,
  snapshotReceived: true,
  snapshotRecovered: true,
  snapshotCompacted: true,
  logCompacted: true,
  diskSlow: true,
  diskFull: true,
  diskFailed: true,
  loopHeld: true,
  hostClosing: true,
  eventsDropped: true,
};

function validate(
  signal: unknown,
  maxBuffered: unknown,
  types: unknown,
): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("Cannot use signal: it must be an AbortSignal");
  }
  if (typeof maxBuffered !== "number") {
    throw new TypeError(
      `Cannot use maxBuffered: it must be a number, got ${typeof maxBuffered}`,
    );
  }
  if (
    !Number.isSafeInteger(maxBuffered) || maxBuffered < 1 ||
    maxBuffered > mostBuffered
  ) {
    throw new RangeError(
      `Cannot use maxBuffered: ${maxBuffered} is not an integer from 1 to ${mostBuffered}`,
    );
  }
  if (types === undefined) return;
  if (!Array.isArray(types)) {
    throw new TypeError("Cannot use types: it must be an array");
  }
  for (const type of types) {
    if (typeof type !== "string" || !Object.hasOwn(allTypes, type)) {
      throw new TypeError(
        `Cannot use types: there is no event "${String(type)}"`,
      );
    }
  }
}
