/**
 * The state machine as the simulator watches it: every command carries a header that says which operation it belongs
 * to, every apply is told to the checks, and every answer says up to where the log had been applied.
 *
 * ```text
 * command   0 operation id (4B)   4 cluster id (4B)   8 the application's command
 * snapshot  0 commands applied (8B)   8 index of the last one (8B)   16 the application's snapshot
 * ```
 */
import { getUint64, setUint64 } from "../../raft/core/entry_batch.ts";
import type {
  Entry,
  RecoveredSnapshot,
  Result,
  SnapshotWriter,
  StateMachine,
} from "../../raft/state_machine.ts";

/** Bytes before the application's command. */
export const commandHeaderBytes = 8;
const snapshotHeaderBytes = 16;

/** A node's state machine, as the checks know it. */
export interface ObservedNode {
  readonly clusterId: number;
  readonly nodeId: number;
  /** Which run of which machine, for people. */
  readonly incarnation: string;
  /** Commands applied. */
  position: number;
  /** Log index of the last of them. */
  lastIndex: number;
}

/** Who is told. None of it throws: a failed check must not look like a failed state machine. */
export interface MachineObserver {
  /** A node has applied a command. */
  onApply(node: ObservedNode, entry: Entry, operationId: number): void;
  /** What the state machine answered. */
  onResult(node: ObservedNode, result: Result): void;
  /** A node has replaced its state by a snapshot's. */
  onRecover(node: ObservedNode): void;
  /** The state as of `node.position` goes into a snapshot, or came from one. */
  onState(node: ObservedNode, hash: bigint): void;
  /** A snapshot brought a file; `wrong` says what is not as it was when it was added. */
  onFile(node: ObservedNode, wrong: string | undefined): void;
  /** A command is not one that a client made, or belongs to another cluster. */
  onForeign(node: ObservedNode, entry: Entry): void;
}

/** What `lookup` answers through the simulator. */
export interface ObservedAnswer {
  /** Log index of the last command applied. */
  readonly index: number;
  /** The application's answer. */
  readonly answer: unknown;
}

/** How many commands the state reflects that {@link ObservedMachine.saveSnapshot} wrote, from its first piece. */
export function positionIn([header]: readonly Uint8Array[]): number {
  return header === undefined
    ? 0
    : getUint64(new DataView(header.buffer, header.byteOffset), 0);
}

/** Puts the header before a command. */
export function markCommand(
  command: Uint8Array,
  operationId: number,
  clusterId: number,
): Uint8Array {
  const marked = new Uint8Array(commandHeaderBytes + command.length);
  const view = new DataView(marked.buffer);
  view.setUint32(0, operationId, true);
  view.setUint32(4, clusterId, true);
  marked.set(command, commandHeaderBytes);
  return marked;
}

/** The operation whose command this is. */
export function operationOf(command: Uint8Array): number {
  return command.length < commandHeaderBytes ? 0 : uint32At(command, 0);
}

function uint32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 |
    bytes[at + 3]! << 24) >>> 0;
}

/** Wraps an application's state machine. */
export class ObservedMachine implements StateMachine {
  /** Present only if the application has one. */
  readonly hash?: () => bigint;
  /** How far it is. */
  readonly node: ObservedNode;
  readonly #inner: StateMachine;
  readonly #observer: MachineObserver;

  /** Wraps `inner`, the machine of one node. */
  constructor(
    inner: StateMachine,
    observer: MachineObserver,
    id: Pick<ObservedNode, "clusterId" | "nodeId" | "incarnation">,
  ) {
    this.#inner = inner;
    this.#observer = observer;
    this.node = { ...id, position: 0, lastIndex: 0 };
    if (inner.hash !== undefined) this.hash = () => inner.hash!();
  }

  /** See {@link StateMachine}. */
  update(entry: Entry): Result {
    const { command } = entry;
    if (
      command.length < commandHeaderBytes ||
      uint32At(command, 4) !== this.node.clusterId
    ) {
      this.#observer.onForeign(this.node, entry);
      return { value: 0 };
    }
    this.#observer.onApply(this.node, entry, uint32At(command, 0));
    const result = this.#inner.update({
      index: entry.index,
      term: entry.term,
      command: command.subarray(commandHeaderBytes),
    });
    this.#observer.onResult(this.node, result);
    return result;
  }

  /** See {@link StateMachine}. */
  lookup(query: unknown): ObservedAnswer {
    return { index: this.node.lastIndex, answer: this.#inner.lookup(query) };
  }

  /** See {@link StateMachine}. */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    const header = new Uint8Array(snapshotHeaderBytes);
    const view = new DataView(header.buffer);
    setUint64(view, 0, this.node.position);
    setUint64(view, 8, this.node.lastIndex);
    if (this.hash !== undefined) this.#observer.onState(this.node, this.hash());
    await writer.write(header);
    await this.#inner.saveSnapshot(writer);
  }

  /** See {@link StateMachine}. */
  async recoverFromSnapshot(
    stream: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void> {
    const reader = stream.getReader();
    const header = new Uint8Array(snapshotHeaderBytes);
    let filled = 0;
    let rest = new Uint8Array(0);
    while (filled < snapshotHeaderBytes) {
      const { value, done } = await reader.read();
      if (done) {
        throw new Error(
          "Cannot recover: the snapshot ends inside the simulator's header",
        );
      }
      const taken = Math.min(value.length, snapshotHeaderBytes - filled);
      header.set(value.subarray(0, taken), filled);
      filled += taken;
      rest = value.slice(taken);
    }
    await this.#inner.recoverFromSnapshot(
      new ReadableStream<Uint8Array>({
        start(controller) {
          if (rest.length > 0) controller.enqueue(rest);
        },
        async pull(controller) {
          const { value, done } = await reader.read();
          if (done) controller.close();
          else controller.enqueue(value);
        },
      }),
      snapshot,
    );
    const view = new DataView(header.buffer);
    this.node.position = getUint64(view, 0);
    this.node.lastIndex = getUint64(view, 8);
    this.#observer.onRecover(this.node);
    if (this.hash !== undefined) this.#observer.onState(this.node, this.hash());
  }

  /** See {@link StateMachine}. */
  close(): void {
    this.#inner.close?.();
  }
}
