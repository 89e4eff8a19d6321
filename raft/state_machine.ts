/** What an application implements, and what it is given. */

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

/** Takes the bytes of a snapshot. */
export interface SnapshotWriter {
  /** Writes the next bytes; they are copied before the call returns. Await it: that is the back-pressure. */
  write(bytes: Uint8Array): Promise<void>;
}

/**
 * A replicated state machine that lives in memory. It must be deterministic: the same commands in the same order
 * give the same state and the same results on every node. A method that throws stops this node, and only this node.
 */
export interface StateMachine {
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
  recoverFromSnapshot(reader: ReadableStream<Uint8Array>): Promise<void>;
  /** A hash of the whole state, compared between nodes by tests and tools. */
  hash?(): bigint;
  /** Called once when the node stops. */
  close?(): void;
}

/** Makes the state machine of one node. */
export type StateMachineFactory = (
  node: { clusterId: number; nodeId: number },
) => StateMachine;

/** What to say of an `update()` that did not return a {@link Result}. Without it the caller of `propose` would get it. */
export function notAResult(index: number, returned: unknown): TypeError {
  const what = returned instanceof Promise
    ? "a Promise: it must not be async"
    : typeof returned === "object" && returned !== null
    ? `an object whose value is ${
      describe((returned as { value?: unknown }).value)
    }`
    : describe(returned);
  if (returned instanceof Promise) returned.catch(() => {}); // It is of no use, whatever becomes of it.
  return new TypeError(
    `Cannot apply entry ${index}: update() returned ${what}; ` +
      "it must return { value: number, data?: Uint8Array }",
  );
}

function describe(value: unknown): string {
  const isShort = value === undefined || value === null ||
    typeof value === "number" || typeof value === "boolean";
  return isShort ? String(value) : `of type ${typeof value}`;
}

const requiredMethods = [
  "update",
  "lookup",
  "saveSnapshot",
  "recoverFromSnapshot",
] as const;

/**
 * Calls a factory and checks what it made, so that a mistake shows when the node is started and not with its first
 * command.
 *
 * @throws {TypeError} if it is no state machine; whatever the factory throws.
 */
export function makeMachine(
  factory: StateMachineFactory,
  node: { clusterId: number; nodeId: number },
): StateMachine {
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
  for (const method of requiredMethods) {
    if (typeof (machine as Record<string, unknown>)[method] === "function") {
      continue;
    }
    throw new TypeError(
      `Cannot use stateMachine: what it returned has no method ${method}`,
    );
  }
  return machine as StateMachine;
}
