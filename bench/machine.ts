/** The replicated state machine of the benchmark: it counts commands, and hashes what they say. */
import type { Entry, Result, SnapshotWriter, StateMachine } from "../mod.ts";

/** What a machine knows, as `lookup("state")` answers it. */
export interface MachineState {
  /** Commands applied. */
  readonly count: number;
  /** A sum over the commands' values that does not depend on their order, so that proposers can compute it too. */
  readonly sum: number;
  /** A hash of the commands' values in their order, equal on all replicas. */
  readonly order: number;
  /** The value of the last command. */
  readonly last: number;
}

/**
 * Writes `value` into the first four bytes of a command, or as many as it has; returns what `valueOf` will read.
 */
export function putValue(command: Uint8Array, value: number): number {
  const length = command.length;
  for (let i = 0; i < length && i < 4; i++) command[i] = value >>> (8 * i);
  return length < 4 ? value & ((1 << (8 * length)) - 1) : value | 0;
}

/** What `putValue` wrote, as a signed 32-bit integer. */
export function valueOf(command: Uint8Array): number {
  if (command.length >= 4) {
    return command[0]! | command[1]! << 8 | command[2]! << 16 |
      command[3]! << 24;
  }
  let value = 0;
  for (let i = 0; i < command.length; i++) value |= command[i]! << (8 * i);
  return value;
}

/** Spreads a value over 32 bits, so that sums of few values seldom agree by chance. */
export function mix(value: number): number {
  const spread = Math.imul(value ^ (value >>> 15), 0x2c1b_3c6d);
  return spread ^ (spread >>> 12);
}

/** Counts and hashes. */
export class BenchMachine implements StateMachine {
  #count = 0;
  #sum = 0;
  #order = 0;
  #last = 0;

  /** Counts one command; the result is its value, by which the proposer knows that it got the result of its own. */
  update(entry: Entry): Result {
    const value = valueOf(entry.command);
    this.#count++;
    this.#sum = (this.#sum + mix(value)) | 0;
    this.#order = Math.imul(this.#order ^ value, 0x0100_0193);
    this.#last = value;
    return { value };
  }

  /** Answers `"count"` and `"state"`. */
  lookup(query: unknown): number | MachineState {
    if (query === "count") return this.#count;
    return {
      count: this.#count,
      sum: this.#sum,
      order: this.#order,
      last: this.#last,
    };
  }

  /** Writes the state as JSON. */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await writer.write(
      new TextEncoder().encode(JSON.stringify(this.lookup("state"))),
    );
  }

  /** Reads what `saveSnapshot` wrote. */
  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    const text = await new Response(reader)
      .text();
    const state: MachineState = JSON.parse(text);
    this.#count = state.count;
    this.#sum = state.sum;
    this.#order = state.order;
    this.#last = state.last;
  }

  /** A hash of the whole state. */
  hash(): bigint {
    const sum = BigInt(this.#sum >>> 0);
    const order = BigInt(this.#order >>> 0);
    return sum << 96n | order << 64n | BigInt(this.#count);
  }
}
