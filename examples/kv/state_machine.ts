/**
 * A key-value store as a state machine: the part of an application that Drakkar replicates.
 *
 * Its one duty is to be deterministic. Every node applies the same commands in the same order, so the same state must
 * come out: nothing here asks for the time, for randomness, or for anything else that could differ between nodes.
 */
import type { Entry, Result, SnapshotWriter, StateMachine } from "../../mod.ts";
import { decodeCommand, encodePut } from "./commands.ts";
import { createHash } from "./deps.ts";

/** What a command did: the `value` of its `Result`. */
export const effects = {
  /** The bytes were no command; nothing happened. */
  malformed: 0,
  /** A put made a new key. */
  created: 1,
  /** A put replaced a value. */
  replaced: 2,
  /** A delete removed a key. */
  deleted: 3,
  /** A delete found nothing to remove. */
  absent: 4,
} as const;

/** What may be asked of the store. */
export type Query =
  | { readonly type: "get"; readonly key: string }
  | {
    readonly type: "list";
    /** Only keys that begin with this. */
    readonly prefix: string;
    /** Only keys that sort behind this; `""` for all. */
    readonly after: string;
    /** At most this many. */
    readonly limit: number;
  };

/** Answer to a `list` query. */
export interface Listing {
  /** Keys in ascending order, with the length of each value. */
  readonly keys: { readonly key: string; readonly bytes: number }[];
  /** Whether there are more behind the last one. */
  readonly more: boolean;
}

interface Stored {
  readonly value: Uint8Array;
  /** What this key and value add to the hash of the whole state. */
  readonly digest: bigint;
}

/** Opens every snapshot; the digit is the version of the format. */
const snapshotMagic = new TextEncoder().encode("DKV1");
/** Snapshots are handed over in pieces of about this size. */
const pieceBytes = 64 * 1024;
/** No record of a snapshot is larger: a command cannot be, and a snapshot is a list of commands. */
const recordBytesMax = 256 * 1024 * 1024;

/** First eight bytes of the SHA-256 of a put: the share of one key and its value in the hash of the state. */
function digestOf(put: Uint8Array): bigint {
  return createHash("sha256").update(put).digest().readBigUInt64LE(0);
}

/** The replicated key-value store. One of these lives on each node of a cluster. */
export class KvStateMachine implements StateMachine {
  readonly #entries = new Map<string, Stored>();
  /** Sum of all digests modulo 2^64. A sum does not depend on the order in which keys were made. */
  #hash = 0n;
  /** All keys in order, made when somebody lists them and dropped when a key comes or goes. */
  #sortedKeys: string[] | undefined;

  /** Applies one command. Whatever a client may have proposed, it must not throw: a throw stops this node. */
  update(entry: Entry): Result {
    return { value: this.#apply(entry.command) };
  }

  /** Answers a query. */
  lookup(query: unknown): Uint8Array | Listing | undefined {
    const asked = query as Query; // Queries come from http_api.ts alone.
    return asked.type === "get"
      ? this.#entries.get(asked.key)?.value
      : this.#list(asked.prefix, asked.after, asked.limit);
  }

  /**
   * Writes all keys: the magic bytes, the number of records (4B, LE), and each record as the command that makes it,
   * behind its length:
   *
   *     +-- "DKV1" (4B) --+-- records (4B, LE) --+-- putBytes (4B, LE) --+-- put --+-- putBytes --+-- put --+-- ...
   *
   * Small records are gathered into pieces, and each `write` is awaited before the next piece is made. So a store of
   * any size is written through one small buffer, as fast as the disk or the network takes it.
   */
  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    const piece = new Uint8Array(pieceBytes);
    const view = new DataView(piece.buffer);
    piece.set(snapshotMagic, 0);
    view.setUint32(4, this.#entries.size, true);
    let used = 8;
    for (const [key, { value }] of this.#entries) {
      const put = encodePut(key, value);
      if (used > 0 && used + 4 + put.length > pieceBytes) {
        await writer.write(piece.subarray(0, used)); // Copied when this returns, so the buffer is ours again.
        used = 0;
      }
      view.setUint32(used, put.length, true);
      used += 4;
      if (used + put.length <= pieceBytes) {
        piece.set(put, used);
        used += put.length;
      } else { // Too big to be gathered: its length goes out, then the put itself.
        await writer.write(piece.subarray(0, used));
        await writer.write(put);
        used = 0;
      }
    }
    if (used > 0) await writer.write(piece.subarray(0, used));
  }

  /** Replaces the state by a snapshot's. Takes the stream as it comes and never holds more of it than one record. */
  async recoverFromSnapshot(reader: ReadableStream<Uint8Array>): Promise<void> {
    this.#entries.clear();
    this.#hash = 0n;
    this.#sortedKeys = undefined;
    const bytes = new ByteReader(reader);
    const header = await bytes.read(8);
    if (snapshotMagic.some((byte, i) => header[i] !== byte)) {
      throw new Error(
        "Cannot read the snapshot: it is not one of this store, or of another version",
      );
    }
    const records = new DataView(header.buffer, header.byteOffset)
      .getUint32(4, true);
    for (let i = 0; i < records; i++) {
      const length = await bytes.read(4);
      const putBytes = new DataView(length.buffer, length.byteOffset)
        .getUint32(0, true);
      if (putBytes > recordBytesMax) {
        throw new Error(
          `Cannot read the snapshot: record ${i} claims ${putBytes} bytes`,
        );
      }
      if (this.#apply(await bytes.read(putBytes)) !== effects.created) {
        throw new Error(
          `Cannot read the snapshot: record ${i} is not a put of a new key`,
        );
      }
    }
  }

  /** Hash of the whole state. It is kept up to date by every command, so that asking for it costs nothing. */
  hash(): bigint {
    return this.#hash;
  }

  #apply(bytes: Uint8Array): number {
    const command = decodeCommand(bytes);
    if (command === undefined) return effects.malformed;
    const before = this.#entries.get(command.key);
    if (before !== undefined) {
      this.#hash = BigInt.asUintN(64, this.#hash - before.digest);
    }
    if (command.type === "delete") {
      if (before === undefined) return effects.absent;
      this.#entries.delete(command.key);
      this.#sortedKeys = undefined;
      return effects.deleted;
    }
    // The command is a view of a batch of many: a copy, or the value would keep that whole batch in memory.
    const stored = { value: command.value.slice(), digest: digestOf(bytes) };
    this.#entries.set(command.key, stored);
    this.#hash = BigInt.asUintN(64, this.#hash + stored.digest);
    if (before !== undefined) return effects.replaced;
    this.#sortedKeys = undefined;
    return effects.created;
  }

  #list(prefix: string, after: string, limit: number): Listing {
    this.#sortedKeys ??= [...this.#entries.keys()].sort();
    const sorted = this.#sortedKeys;
    const keys: { key: string; bytes: number }[] = [];
    const first = firstNotBefore(sorted, after > prefix ? after : prefix);
    for (let i = first; i < sorted.length; i++) {
      const key = sorted[i]!;
      if (!key.startsWith(prefix)) break;
      if (key === after) continue;
      if (keys.length === limit) return { keys, more: true };
      keys.push({ key, bytes: this.#entries.get(key)!.value.length });
    }
    return { keys, more: false };
  }
}

/** Position of the first of `sorted` that is not smaller than `bound`. */
function firstNotBefore(sorted: readonly string[], bound: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Takes exact numbers of bytes from a stream whose pieces are cut anywhere. */
class ByteReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** The next `count` bytes, valid until the next call. */
  async read(count: number): Promise<Uint8Array> {
    if (this.#piece.length >= count) return this.#take(count);
    const whole = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.#piece.length === 0) {
        const { done, value } = await this.#reader.read();
        if (done) {
          throw new Error("Cannot read the snapshot: it ends too early");
        }
        this.#piece = value;
      }
      const part = this.#take(Math.min(count - filled, this.#piece.length));
      whole.set(part, filled);
      filled += part.length;
    }
    return whole;
  }

  #take(count: number): Uint8Array {
    const taken = this.#piece.subarray(0, count);
    this.#piece = this.#piece.subarray(count);
    return taken;
  }
}
