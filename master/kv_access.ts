/**
 * Reads and commits with what a store over a network does to them in mind (`kv.ts`): they hang, they fail, and they
 * report a conflict although the write happened. Every wait is bounded here, and every failure is a `RaftError`.
 */
import { RaftError } from "../raft/errors.ts";
import type { Random } from "../raft/ports.ts";
import {
  isLocked,
  type Kv,
  type KvAtomic,
  type KvEntry,
  type KvKey,
  type KvListOptions,
  type KvReadOptions,
  type KvSelector,
} from "./kv.ts";
import type { StoredRecord } from "./schema.ts";
import type { MasterClock } from "./system.ts";

/** How many keys one `getMany` takes, and how many checks one commit. */
export const maxKeysAtOnce = 10;

/** What a {@link KvAccess} works with. */
export interface KvAccessOptions {
  /** The store. */
  readonly kv: Kv;
  /** Bounds every wait. */
  readonly clock: MasterClock;
  /** Makes write ids. */
  readonly random: Random;
  /** Milliseconds that one read or commit may take. */
  readonly timeoutMs: number;
}

/** How a commit ended, as far as its answer says. */
export interface CommitResult {
  /** The writes happened. `false` is not the contrary: read again. */
  readonly ok: boolean;
  /** Of everything that was set, if the answer told it. */
  readonly versionstamp?: string;
  /** Why there was no answer. */
  readonly failure?: RaftError;
}

/** A store with bounded waits and known outcomes. */
export class KvAccess {
  readonly #options: KvAccessOptions;

  /** Wraps a store. */
  constructor(options: KvAccessOptions) {
    this.#options = options;
  }

  /** Milliseconds since 1970. */
  now(): number {
    return this.#options.clock.wallTime();
  }

  /** A random id for a node: 52 bits, never 0. */
  randomId(): number {
    return Number.parseInt(this.randomHex(7).slice(0, 13), 16) || 1;
  }

  /** Random bytes as hexadecimal text. */
  randomHex(byteCount: number): string {
    const bytes = new Uint8Array(byteCount);
    this.#options.random.fill(bytes);
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
      .join("");
  }

  /** Reads one value. */
  get(key: KvKey, options?: KvReadOptions): Promise<KvEntry> {
    return this.#bounded(() => this.#options.kv.get(key, options));
  }

  /** Reads any number of values, in the order of `keys`. */
  async getMany(
    keys: readonly KvKey[],
    options?: KvReadOptions,
  ): Promise<KvEntry[]> {
    const batches: (readonly KvKey[])[] = [];
    for (let i = 0; i < keys.length; i += maxKeysAtOnce) {
      batches.push(keys.slice(i, i + maxKeysAtOnce));
    }
    const entries = await inParallel(
      batches,
      (batch) => this.#bounded(() => this.#options.kv.getMany(batch, options)),
    );
    return entries.flat();
  }

  /** Reads everything under a prefix; may be eventual, so never decide by it. */
  list(prefix: KvKey, batchSize: number): AsyncGenerator<KvEntry> {
    return this.#list({ prefix }, { consistency: "eventual", batchSize });
  }

  /** Reads what is under a prefix as it is now; only one batch of it is a snapshot. */
  async listNow(
    selector: KvSelector,
    limit = Infinity,
    more: Pick<KvListOptions, "reverse"> = {},
  ): Promise<KvEntry[]> {
    const entries: KvEntry[] = [];
    const batchSize = Math.min(1_000, limit);
    const options = limit === Infinity
      ? { batchSize, ...more }
      : { batchSize, limit, ...more };
    for await (const entry of this.#list(selector, options)) {
      entries.push(entry);
    }
    return entries;
  }

  /** Reads what is under a prefix for people: it may be eventual, so never decide by it. */
  async look(
    selector: KvSelector,
    options: Pick<KvListOptions, "limit" | "reverse"> = {},
  ): Promise<KvEntry[]> {
    const entries: KvEntry[] = [];
    const batchSize = Math.min(1_000, options.limit ?? 1_000);
    const more: KvListOptions = { ...options, consistency: "eventual" };
    for await (const entry of this.#list(selector, { ...more, batchSize })) {
      entries.push(entry);
    }
    return entries;
  }

  async *#list(
    selector: KvSelector,
    options: KvListOptions,
  ): AsyncGenerator<KvEntry> {
    const iterator = this.#options.kv.list(selector, options)
      [Symbol.asyncIterator]();
    for (;;) {
      const step = await this.#bounded(() => iterator.next());
      if (step.done) return;
      yield step.value;
    }
  }

  /** Begins an atomic commit. */
  atomic(): KvAtomic {
    return this.#options.kv.atomic();
  }

  /** Commits once. */
  async tryCommit(atomic: KvAtomic): Promise<CommitResult> {
    try {
      return await this.#bounded(() => atomic.commit());
    } catch (error) {
      return { ok: false, failure: error as RaftError };
    }
  }

  /**
   * Commits, and finds out whether it happened: `key` is among the keys set, and `w` the write id set there. `false`
   * is a conflict that is certain.
   *
   * @throws {RaftError} if the store failed, and the write was not seen.
   */
  async commit(atomic: KvAtomic, key: KvKey, w: string): Promise<boolean> {
    const { ok, failure } = await this.tryCommit(atomic);
    if (ok) return true;
    const { value } = await this.get(key);
    if ((value as StoredRecord | null)?.w === w) return true;
    if (failure !== undefined) throw failure;
    return false;
  }

  /** Closes the store. */
  close(): void {
    this.#options.kv.close();
  }

  async #bounded<T>(work: () => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options;
    const late = Promise.withResolvers<never>();
    const timer = clock.setTimer(timeoutMs, () =>
      late.reject(
        new RaftError(
          "timeout",
          `Cannot reach the store: no answer within ${timeoutMs} ms`,
          { outcome: "unknown" },
        ),
      ));
    try {
      return await Promise.race([this.#whileLocked(work), late.promise]);
    } catch (error) {
      if (error instanceof RaftError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new RaftError("notReady", `Cannot reach the store: ${reason}`, {
        outcome: "unknown",
        cause: error,
      });
    } finally {
      timer.cancel();
    }
  }

  /** A file is locked while another process writes it; nothing happened then, so the same may be done again. */
  async #whileLocked<T>(work: () => Promise<T>): Promise<T> {
    const { clock, timeoutMs } = this.#options;
    const endMs = clock.wallTime() + timeoutMs;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isLocked(error) || clock.wallTime() >= endMs) throw error;
      }
      const byte = new Uint8Array(1);
      this.#options.random.fill(byte);
      await new Promise<void>((resolve) =>
        clock.setTimer(5 + (byte[0] ?? 0) / 8, resolve)
      );
    }
  }
}

/** Works on all items, a few at a time, and returns the results in their order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  lanes = 4,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  let next = 0;
  async function lane(): Promise<void> {
    for (let i = next++; i < items.length; i = next++) {
      results[i] = await work(items[i] as Item);
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}
