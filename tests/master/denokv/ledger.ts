/** A state machine that knows whether a writer's numbers came one after the other, each of them once. */
import type {
  Entry,
  Result,
  SnapshotWriter,
  StateMachine,
} from "../../../mod.ts";

/** What a ledger says of itself. */
export interface LedgerState {
  /** The last number that was written. */
  readonly last: number;
  /** Numbers that came twice, or too early. */
  readonly wrong: number;
}

/** By this name NodeHosts have it. */
export const ledgerName = "ledger";

/** A number as a command. */
export function encodeNumber(number: number): Uint8Array {
  const command = new Uint8Array(8);
  new DataView(command.buffer).setFloat64(0, number);
  return command;
}

/** One writer's numbers, from 1. */
export class Ledger implements StateMachine {
  #last = 0;
  #wrong = 0;

  /** Takes a number. */
  update({ command }: Entry): Result {
    const view = new DataView(command.buffer, command.byteOffset);
    if (view.getFloat64(0) === this.#last + 1) this.#last++;
    else this.#wrong++;
    return { value: this.#last };
  }

  /** The state. */
  lookup(): LedgerState {
    return { last: this.#last, wrong: this.#wrong };
  }

  /** As JSON. */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    const text = JSON.stringify(this.lookup());
    await writer.write(new TextEncoder().encode(text));
  }

  /** As it was saved. */
  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    const { last, wrong }: LedgerState = await new Response(
      reader as ReadableStream<Uint8Array<ArrayBuffer>>,
    ).json();
    this.#last = last;
    this.#wrong = wrong;
  }

  /** Of both numbers. */
  hash(): bigint {
    return BigInt(this.#last) * 1_000_003n + BigInt(this.#wrong);
  }
}
