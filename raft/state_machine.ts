/** What an application implements, and what it is given. */
import type { SnapshotExternalFile } from "../storage/snapshot_files.ts";

/** One committed command. A new object for every call; `command` is a view of a batch: `slice()` what you keep (rule B4). */
export interface Entry {
  /** Position in the cluster's log; grows, with gaps where the log holds entries of its own. */
  readonly index: number;
  /** Term in which the entry was proposed. */
  readonly term: number;
  /** What was proposed. */
  readonly command: Uint8Array;
}

/** What applying a command gives back to the proposer. */
export interface Result {
  /** A number of the application's choosing. */
  value: number;
  /** Bytes of the application's choosing. */
  data?: Uint8Array;
}

/** Takes the bytes of a snapshot, and files. */
export interface SnapshotWriter {
  /** Writes the next bytes; they are copied before the call returns. Await it: that is the back-pressure. */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Adds a file, which is copied into the snapshot: it must not change before the promise settled, and may be removed
   * then. `recoverFromSnapshot` finds it by `id`, any integer from 0 on that no other file of this snapshot has.
   */
  addFile(id: number, path: string, metadata?: Uint8Array): Promise<void>;
}

/** What a state machine is told of the snapshot that it is to be restored from. */
export interface RecoveredSnapshot {
  /** Index of the last entry in it: what a state machine on disk has applied from now on. */
  readonly index: number;
  /** Term of that entry. */
  readonly term: number;
  /** The files that `saveSnapshot` added, in the order in which it did. */
  readonly files: readonly SnapshotExternalFile[];
}

/**
 * Thrown by a state machine's `saveSnapshot` or `prepareSnapshot` to give a snapshot up for reasons of its own. The
 * node goes on, and `takeSnapshot` rejects with code `aborted`.
 */
export class SnapshotAborted extends Error {
  /** Always `"SnapshotAborted"`. */
  override readonly name = "SnapshotAborted";

  /** `message` tells why. */
  constructor(message = "the state machine gave the snapshot up") {
    super(message);
  }
}

/**
 * A replicated state machine that lives in memory. It must be deterministic: the same commands in the same order
 * give the same state and the same results on every node. A method that throws stops this node, and only this node.
 *
 * One that must take commands while a snapshot is being saved is a {@link ConcurrentStateMachine}; one that keeps its
 * state on a disk of its own is an {@link OnDiskStateMachine}.
 */
export interface StateMachine {
  /** What it is; without it a state machine is regular. */
  readonly kind?: "regular";
  /** Applies one command. Must not keep `entry.command` without a `slice()`. */
  update(entry: Entry): Result;
  /** Answers a query from the current state, without changing it. */
  lookup(query: unknown): unknown;
  /**
   * Writes the whole state. Commands are applied only after the promise settled, so the state does not change
   * meanwhile.
   */
  saveSnapshot(writer: SnapshotWriter): Promise<void>;
  /** Replaces the whole state by one that `saveSnapshot` wrote, perhaps on another node. */
  recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void>;
  /** A hash of the whole state, compared between nodes by tests and tools. */
  hash?(): bigint;
  /** Called once when the node stops. */
  close?(): void;
}

/**
 * A replicated state machine in memory that takes commands while its snapshot is being saved: `prepareSnapshot` fixes a
 * point in time, and `saveSnapshot` writes the state as it was then. It takes commands in batches, and may take its time
 * with them: other clusters go on. It must be deterministic like any {@link StateMachine}.
 */
export interface ConcurrentStateMachine<Context = unknown> {
  /** Says that it is one. */
  readonly kind: "concurrent";
  /**
   * Applies commands, in order, and returns as many results, in the same order. How commands are divided into batches
   * differs from node to node and must make no difference. Never called before the call before has settled.
   */
  update(entries: readonly Entry[]): Result[] | Promise<Result[]>;
  /** Answers a query; it may return a promise. Called at any time, also while `update` is under way. */
  lookup(query: unknown): unknown;
  /**
   * Returns what `saveSnapshot` needs to write the state as it is now. Not called while `update` is under way. Each result is
   * given to `saveSnapshot` once, whatever happens.
   */
  prepareSnapshot(): Context | Promise<Context>;
  /** Writes the state as it was when `context` was made, while commands are applied. */
  saveSnapshot(context: Context, writer: SnapshotWriter): Promise<void>;
  /** Replaces the whole state by one that `saveSnapshot` wrote. Nothing else is called meanwhile. */
  recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void>;
  /** See {@link StateMachine.hash}. */
  hash?(): bigint;
  /** Called once when the node stops; it may return a promise. */
  close?(): void | Promise<void>;
}

/**
 * A replicated state machine that keeps its state on a disk of its own, say in a database, together with the index of
 * the last entry it applied. It is asked for that index at the start and gets what follows. Periodic snapshots hold no
 * state then: the log is only shortened, after `sync`. The whole state is written when a follower needs it, straight to
 * that follower, and when a snapshot is exported.
 */
export interface OnDiskStateMachine<Context = unknown> {
  /** Says that it is one. */
  readonly kind: "onDisk";
  /**
   * Opens the state and returns the index of the last entry applied, 0 for a new one. Called once, before anything else.
   * What it returns must have been durable together with that entry's changes: an index without them loses them.
   */
  open(): Promise<number>;
  /**
   * Applies commands, in order, and returns as many results. The index of the last one must be stored together with the
   * changes, in one transaction. They need not be durable before `sync`; but if a crash loses one entry it must lose all
   * that follow. Never called before the call before has settled.
   */
  update(entries: readonly Entry[]): Result[] | Promise<Result[]>;
  /** Makes everything applied durable. Called before the log is shortened, and not while `update` is under way. */
  sync(): void | Promise<void>;
  /** Answers a query; it may return a promise. Called at any time, also while `update` is under way. */
  lookup(query: unknown): unknown;
  /** See {@link ConcurrentStateMachine.prepareSnapshot}. */
  prepareSnapshot(): Context | Promise<Context>;
  /** See {@link ConcurrentStateMachine.saveSnapshot}. */
  saveSnapshot(context: Context, writer: SnapshotWriter): Promise<void>;
  /**
   * Replaces the whole state by one that `saveSnapshot` wrote; `open` returns `snapshot.index` from now on. A crash in
   * the middle must leave the state before or the one after: the snapshot stays until `sync` has settled.
   */
  recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void>;
  /** See {@link StateMachine.hash}. */
  hash?(): bigint;
  /** Called once when the node stops; it may return a promise. */
  close?(): void | Promise<void>;
}

/** A state machine of any kind. */
export type AnyStateMachine =
  | StateMachine
  | ConcurrentStateMachine
  | OnDiskStateMachine;

/** The kinds of state machines. */
export type StateMachineKind = "regular" | "concurrent" | "onDisk";

/** Of which kind a state machine is. */
export function kindOf(machine: AnyStateMachine): StateMachineKind {
  return machine.kind ?? "regular";
}

/** Makes the state machine of one node. */
export type StateMachineFactory = (
  node: { clusterId: number; nodeId: number },
) => AnyStateMachine;

/** What to say of an `update()` that did not return a {@link Result}. Without it the caller of `propose` would get it. */
export function notAResult(index: number, returned: unknown): TypeError {
  const what = returned instanceof Promise
    ? "a Promise: it must not be async"
    : typeof returned === "object" && returned !== null
    ? wrongPart(returned as { value?: unknown; data?: unknown })
    : describe(returned);
  if (returned instanceof Promise) returned.catch(() => {}); // It is of no use, whatever becomes of it.
  return new TypeError(
    `Cannot apply entry ${index}: update() returned ${what}; ` +
      "it must return { value: number, data?: Uint8Array }",
  );
}

/** Whether `data` may be that of a {@link Result}. */
export function isResultData(data: unknown): boolean {
  return data === undefined || data instanceof Uint8Array;
}

function wrongPart({ value, data }: { value?: unknown; data?: unknown }) {
  return typeof value === "number"
    ? `an object whose data is ${describe(data)}`
    : `an object whose value is ${describe(value)}`;
}

function describe(value: unknown): string {
  const isShort = value === undefined || value === null ||
    typeof value === "number" || typeof value === "boolean";
  return isShort ? String(value) : `of type ${typeof value}`;
}

const regularMethods = [
  "update",
  "lookup",
  "saveSnapshot",
  "recoverFromSnapshot",
];
const concurrentMethods = [...regularMethods, "prepareSnapshot"];
const requiredMethods: Readonly<Record<string, readonly string[]>> = {
  regular: regularMethods,
  concurrent: concurrentMethods,
  onDisk: [...concurrentMethods, "open", "sync"],
};

/**
 * Calls a factory and checks what it made, so that a mistake shows when the node is started and not with its first
 * command.
 *
 * @throws {TypeError} if it is no state machine; whatever the factory throws.
 */
export function makeMachine(
  factory: StateMachineFactory,
  node: { clusterId: number; nodeId: number },
): AnyStateMachine {
  if (/^class[\s{]/.test(Function.prototype.toString.call(factory))) {
    throw new TypeError(
      "Cannot use stateMachine: it is a class; write () => new YourClass()",
    );
  }
  const machine: unknown = factory(node);
  if (typeof machine !== "object" || machine === null) {
    throw new TypeError(
      `Cannot use stateMachine: it returned ${String(machine)}, not an object`,
    );
  }
  if (machine instanceof Promise) {
    machine.catch(() => {}); // It is of no use, whatever becomes of it.
    throw new TypeError(
      "Cannot use stateMachine: it returned a Promise; it must not be async",
    );
  }
  const kind = (machine as { kind?: unknown }).kind ?? "regular";
  const methods =
    typeof kind === "string" && Object.hasOwn(requiredMethods, kind)
      ? requiredMethods[kind]!
      : undefined;
  if (methods === undefined) {
    throw new TypeError(
      `Cannot use stateMachine: its kind is ${
        String(kind)
      }, not "regular", "concurrent" or "onDisk"`,
    );
  }
  for (const method of methods) {
    if (typeof (machine as Record<string, unknown>)[method] === "function") {
      continue;
    }
    throw new TypeError(
      `Cannot use stateMachine: what it returned has no method ${method}` +
        (kind === "regular" ? "" : `, which kind "${kind}" needs`),
    );
  }
  return machine as AnyStateMachine;
}
