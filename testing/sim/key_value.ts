/**
 * The application that the simulator runs unless it is given another: registers and lists by key.
 *
 * ```text
 * command  0 kind (1B: 0 set, 1 append)   1 key (1B)   2 unique value (4B)   6 padding
 * ```
 */
import type {
  Entry,
  Result,
  SnapshotWriter,
  StateMachine,
} from "../../raft/state_machine.ts";
import { crc32 } from "../deps.ts";
import type { SimApplication } from "./application.ts";
import { keyValueRowModel } from "./key_value_model.ts";
import type { SimRandom } from "./random.ts";

const commandBytes = 6;
const listLimit = 64;

/** What a query for a key answers. */
export interface KeyValueAnswer {
  /** The value last set, 0 if none. */
  readonly value: number;
  /** The values last appended, at most 64. */
  readonly list: readonly number[];
  /** How often the key was written. */
  readonly version: number;
}

interface Row {
  value: number;
  list: number[];
  version: number;
  /** Of the command last applied, padding included: a damaged byte changes it. */
  digest: number;
}

/** The state machine: every command carries a unique value, so that each answer tells which commands it has seen. */
export class KeyValueMachine implements StateMachine {
  readonly #rows = new Map<number, Row>();

  /** See {@link StateMachine}. */
  update(entry: Entry): Result {
    const { command } = entry;
    const view = new DataView(
      command.buffer,
      command.byteOffset,
      command.byteLength,
    );
    const key = view.getUint8(1);
    const value = view.getUint32(2, true);
    const row = this.#rows.get(key) ??
      { value: 0, list: [], version: 0, digest: 0 };
    this.#rows.set(key, row);
    const previous = row.value;
    row.version++;
    row.digest = crc32(command, row.digest);
    if (view.getUint8(0) === 0) row.value = value;
    else {
      row.list.push(value);
      if (row.list.length > listLimit) row.list.shift();
    }
    return { value: previous, data: command.slice(0, commandBytes) };
  }

  /** See {@link StateMachine}; the query is a key. */
  lookup(query: unknown): KeyValueAnswer {
    const row = this.#rows.get(Number(query));
    return row === undefined
      ? { value: 0, list: [], version: 0 }
      : { value: row.value, list: [...row.list], version: row.version };
  }

  /** See {@link StateMachine}. */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await writer.write(this.#encode());
  }

  /** See {@link StateMachine}. */
  async recoverFromSnapshot(reader: ReadableStream<Uint8Array>): Promise<void> {
    const bytes = await readAll(reader);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#rows.clear();
    let at = 0;
    const next = () => view.getUint32((at += 4) - 4, true);
    while (at < bytes.length) {
      const key = next();
      const row: Row = {
        value: next(),
        list: [],
        version: next(),
        digest: next(),
      };
      for (let left = next(); left > 0; left--) row.list.push(next());
      this.#rows.set(key, row);
    }
  }

  /** See {@link StateMachine}. */
  hash(): bigint {
    const bytes = this.#encode();
    return BigInt(crc32(bytes)) << 32n | BigInt(crc32(bytes, 0x5eed));
  }

  #encode(): Uint8Array {
    const keys = [...this.#rows.keys()].sort((a, b) => a - b);
    const numbers: number[] = [];
    for (const key of keys) {
      const row = this.#rows.get(key)!;
      numbers.push(
        key,
        row.value,
        row.version,
        row.digest,
        row.list.length,
        ...row.list,
      );
    }
    const bytes = new Uint8Array(numbers.length * 4);
    const view = new DataView(bytes.buffer);
    numbers.forEach((number, i) => view.setUint32(i * 4, number, true));
    return bytes;
  }
}

/** Collects a stream. */
export async function readAll(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The default application, with `keyCount` keys. */
export function keyValueApplication(keyCount: number): SimApplication {
  return {
    name: "key-value",
    stateMachine: () => new KeyValueMachine(),
    command(chance: SimRandom, unique: number, bytes: number): Uint8Array {
      const command = new Uint8Array(Math.max(bytes, commandBytes));
      chance.fill(
        command.subarray(
          commandBytes,
          Math.min(command.length, commandBytes + 16),
        ),
      );
      const view = new DataView(command.buffer);
      view.setUint8(0, chance.below(2));
      view.setUint8(1, chance.below(keyCount));
      view.setUint32(2, unique, true);
      return command;
    },
    query: (chance: SimRandom) => chance.below(keyCount),
    model: keyValueRowModel,
  };
}
