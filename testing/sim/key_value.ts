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
import type { SimApplication } from "./application.ts";
import { digestOf } from "./digest.ts";
import { keyValueRowModel } from "./key_value_model.ts";
import type { SimRandom } from "./random.ts";

const commandBytes = 6;
const listLimit = 16;

/** What a query for a key answers. */
export interface KeyValueAnswer {
  /** The value last set, 0 if none. */
  readonly value: number;
  /** The values last appended, at most 16. */
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
  /** Of all of the above, and of the key. */
  low: number;
  high: number;
}

/** The state machine: every command carries a unique value, so that each answer tells which commands it has seen. */
export class KeyValueMachine implements StateMachine {
  readonly #rows = new Map<number, Row>();
  /** The hash: the sums of the rows' hashes, kept up to date, so that it may be asked for at any time. */
  #low = 0;
  #high = 0;

  /** See {@link StateMachine}. */
  update(entry: Entry): Result {
    const { command } = entry;
    const key = command[1]!;
    const value = (command[2]! | command[3]! << 8 | command[4]! << 16 |
      command[5]! << 24) >>> 0;
    const row = this.#rows.get(key) ?? this.#newRow(key);
    const previous = row.value;
    row.version++;
    row.digest = digestOf(command, row.digest);
    if (command[0] === 0) row.value = value;
    else {
      row.list.push(value);
      if (row.list.length > listLimit) row.list.shift();
    }
    this.#rehash(key, row);
    const data = new Uint8Array(commandBytes);
    for (let i = 0; i < commandBytes; i++) data[i] = command[i]!;
    return { value: previous, data };
  }

  #newRow(key: number): Row {
    const row: Row = {
      value: 0,
      list: [],
      version: 0,
      digest: 0,
      low: 0,
      high: 0,
    };
    this.#rows.set(key, row);
    return row;
  }

  #rehash(key: number, row: Row): void {
    let low = mix(mix(0x9e3779b9, key), row.value);
    low = mix(mix(low, row.version), row.digest);
    for (let i = 0; i < row.list.length; i++) low = mix(low, row.list[i]!);
    const high = mix(mix(low, row.list.length), row.digest);
    this.#low = (this.#low - row.low + low) | 0;
    this.#high = (this.#high - row.high + high) | 0;
    row.low = low;
    row.high = high;
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
    this.#low = 0;
    this.#high = 0;
    let at = 0;
    const next = () => view.getUint32((at += 4) - 4, true);
    while (at < bytes.length) {
      const key = next();
      const row = this.#newRow(key);
      row.value = next();
      row.version = next();
      row.digest = next();
      for (let left = next(); left > 0; left--) row.list.push(next());
      this.#rehash(key, row);
    }
  }

  /** See {@link StateMachine}. */
  hash(): bigint {
    return BigInt(this.#high >>> 0) << 32n | BigInt(this.#low >>> 0);
  }

  #encode(): Uint8Array {
    const keys = [...this.#rows.keys()].sort((a, b) => a - b);
    let length = 0;
    for (const row of this.#rows.values()) length += 5 + row.list.length;
    const bytes = new Uint8Array(length * 4);
    const view = new DataView(bytes.buffer);
    let at = 0;
    const put = (value: number) => view.setUint32((at += 4) - 4, value, true);
    for (const key of keys) {
      const row = this.#rows.get(key)!;
      put(key);
      put(row.value);
      put(row.version);
      put(row.digest);
      put(row.list.length);
      for (const value of row.list) put(value);
    }
    return bytes;
  }
}

/** One step of a hash: integer arithmetic. */
function mix(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x85ebca6b);
  return mixed ^ mixed >>> 15;
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
      const noiseEnd = Math.min(command.length, commandBytes + 16);
      for (let i = commandBytes; i < noiseEnd; i++) command[i] = chance.next();
      command[0] = chance.below(2);
      command[1] = chance.below(keyCount);
      command[2] = unique;
      command[3] = unique >>> 8;
      command[4] = unique >>> 16;
      command[5] = unique >>> 24;
      return command;
    },
    query: (chance: SimRandom) => chance.below(keyCount),
    model: keyValueRowModel,
  };
}
