/** A state machine that keeps every value it was ever given, so that a test can tell what was lost or done twice. */
import type {
  Entry,
  Result,
  SnapshotWriter,
  StateMachine,
} from "../../raft/state_machine.ts";
import { readAll } from "../sim/key_value.ts";

/** A command of {@link LedgerMachine}: a unique value from 1 on. */
export function ledgerCommand(value: number): Uint8Array {
  const command = new Uint8Array(4);
  new DataView(command.buffer).setUint32(0, value);
  return command;
}

/** The values in the order in which they were applied; the query is whatever you like, the answer all of them. */
export class LedgerMachine implements StateMachine {
  #values: number[] = [];
  #hash = 0;

  /** See {@link StateMachine}. */
  update({ command }: Entry): Result {
    const view = new DataView(command.buffer, command.byteOffset);
    this.#add(view.getUint32(0));
    return { value: this.#values.length };
  }

  /** See {@link StateMachine}. */
  lookup(_query: unknown): readonly number[] {
    return [...this.#values];
  }

  /** See {@link StateMachine}. */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    const bytes = new Uint8Array(4 * this.#values.length);
    const view = new DataView(bytes.buffer);
    this.#values.forEach((value, i) => view.setUint32(4 * i, value));
    await writer.write(bytes);
  }

  /** See {@link StateMachine}. */
  async recoverFromSnapshot(reader: ReadableStream<Uint8Array>): Promise<void> {
    const bytes = await readAll(reader);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#values = [];
    this.#hash = 0;
    for (let at = 0; at < bytes.length; at += 4) this.#add(view.getUint32(at));
  }

  /** See {@link StateMachine}. */
  hash(): bigint {
    return BigInt(this.#hash >>> 0) << 32n | BigInt(this.#values.length);
  }

  #add(value: number): void {
    this.#values.push(value);
    this.#hash = Math.imul(this.#hash ^ value, 0x85ebca6b) + 1 | 0;
  }
}
