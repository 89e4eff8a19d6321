/**
 * What runs on the NodeHosts: lists by key that only grow. A command is JSON: its `value` is another one for every call of
 * the run, so that a list tells what was applied, in which order, and what was applied twice.
 */
import type { Entry, Result, SnapshotWriter, StateMachine } from "../../mod.ts";
import type { ListInput } from "../../testing/linearizability.ts";
import { crc32 } from "./deps.ts";

/** A command: an addition, and bytes that only take room. */
export type ListCommand = Exclude<ListInput, { readonly op: "read" }> & {
  readonly padding: string;
};

/** All lists by key. */
export type Lists = Record<string, number[]>;

/** Asks for all lists instead of one. */
export const allKeys = "*";

/** The state machine of each node. */
export class ListMachine implements StateMachine {
  #lists = new Map<string, number[]>();

  /** Answers how long the list is after it, or 0 if the list had another length than `appendAt` asked for. */
  update(entry: Entry): Result {
    const command: ListCommand = JSON.parse(
      new TextDecoder().decode(entry.command),
    );
    const list = this.#lists.get(command.key) ?? [];
    if (command.op === "appendAt" && list.length !== command.length) {
      return { value: 0 };
    }
    this.#lists.set(command.key, list);
    return { value: list.push(command.value) };
  }

  /** The list of a key, or all of them. */
  lookup(query: unknown): number[] | Lists {
    if (query === allKeys) return Object.fromEntries(this.#lists);
    return this.#lists.get(String(query)) ?? [];
  }

  /** See {@link StateMachine}. */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await writer.write(this.#encode());
  }

  /** See {@link StateMachine}. */
  async recoverFromSnapshot(reader: ReadableStream<Uint8Array>): Promise<void> {
    const lists: [string, number[]][] = await new Response(reader).json();
    this.#lists = new Map(lists);
  }

  /** See {@link StateMachine}. */
  hash(): bigint {
    const bytes = this.#encode();
    return BigInt(crc32(bytes)) << 32n | BigInt(crc32(bytes, 0x5eed));
  }

  #encode(): Uint8Array {
    const sorted = [...this.#lists].sort(([a], [b]) => a < b ? -1 : 1);
    return new TextEncoder().encode(JSON.stringify(sorted));
  }
}
