/**
 * A twin of Deno KV in memory, for tests and simulations: it keeps Deno KV's limits, counts what would be billed, and
 * with faults it lies as the real one does over a network (M4): a commit that was applied is reported as a conflict or
 * as an error, is applied twice, or is applied long after its caller gave up; a list is torn between batches.
 */
import type {
  Kv,
  KvAtomic,
  KvEntry,
  KvKey,
  KvKeyPart,
  KvListOptions,
  KvReadOptions,
  KvSelector,
} from "../../master/kv.ts";
import type { SimRandom } from "../sim/random.ts";

/** Deno KV's limits. */
export const kvLimits = {
  keyBytes: 2_048,
  valueBytes: 65_536,
  checks: 10,
  mutations: 1_000,
  commitBytes: 819_200,
  keysPerGet: 10,
  batchSize: 1_000,
} as const;

/** Chances, in thousandths of all commits or reads, of what can happen. */
export interface KvFaults {
  /** Applied, and reported as a conflict. */
  readonly lies: number;
  /** Applied, and reported as an error. */
  readonly lost: number;
  /** Applied, and once more: what counts is told of the second time. */
  readonly twice: number;
  /** Not answered, and applied after {@link lateMs}. */
  readonly late: number;
  /** Not applied, and reported as an error. */
  readonly fails: number;
  /** A read that is reported as an error. */
  readonly failsToRead: number;
  /** Milliseconds that an operation takes, at most. */
  readonly delayMs: number;
  /** Milliseconds after which a late commit is applied, at most. */
  readonly lateMs: number;
}

/** A fault that either happens or not. */
export type KvFaultName = Exclude<keyof KvFaults, "delayMs" | "lateMs">;

/** A store that does as it is told. */
export const noFaults: KvFaults = {
  lies: 0,
  lost: 0,
  twice: 0,
  late: 0,
  fails: 0,
  failsToRead: 0,
  delayMs: 0,
  lateMs: 0,
};

/** What was done, and what Deno Deploy would bill for it: reads per 4 KiB, writes per 1 KiB. */
export interface KvUsage {
  gets: number;
  lists: number;
  commits: number;
  mutations: number;
  readUnits: number;
  writeUnits: number;
}

/** What a {@link MemoryKv} is made of. */
export interface MemoryKvOptions {
  /** Lets time pass; without it every operation is immediate. */
  readonly wait?: (delayMs: number) => Promise<void>;
  /** Milliseconds since 1970, for what expires; without it nothing does. */
  readonly now?: () => number;
  /** Chance; needed for faults. */
  readonly random?: SimRandom;
  /** What can happen; nothing by default. */
  readonly faults?: Partial<KvFaults>;
}

interface Stored {
  readonly key: KvKey;
  readonly value: unknown;
  readonly version: number;
  readonly size: number;
  readonly expiresAtMs: number;
}

interface Mutation {
  readonly key: KvKey;
  readonly id: string;
  readonly value?: unknown;
  readonly size: number;
  readonly expireIn?: number | undefined;
}

interface Commit {
  readonly checks: { id: string; versionstamp: string | null }[];
  readonly mutations: Mutation[];
}

/** The data, which any number of handles share. */
export class MemoryKv implements Kv {
  /** What can happen now. */
  faults: KvFaults;
  /** What was done so far. */
  readonly usage: KvUsage = {
    gets: 0,
    lists: 0,
    commits: 0,
    mutations: 0,
    readUnits: 0,
    writeUnits: 0,
  };
  /** How often each fault happened. */
  readonly happened: Record<KvFaultName, number> = {
    lies: 0,
    lost: 0,
    twice: 0,
    late: 0,
    fails: 0,
    failsToRead: 0,
  };
  /** Called after each commit that was applied, before anybody hears of it. */
  afterCommit: (keys: readonly KvKey[]) => void = () => {};
  readonly #options: MemoryKvOptions;
  readonly #data = new Map<string, Stored>();
  /** Sorted keys, or undefined if it has to be made anew. */
  #order: string[] | undefined = [];
  #version = 0;

  /** Empty. */
  constructor(options: MemoryKvOptions = {}) {
    this.#options = options;
    this.faults = { ...noFaults, ...options.faults };
  }

  /** See {@link Kv}. */
  async get(key: KvKey, options?: KvReadOptions): Promise<KvEntry> {
    const [entry] = await this.getMany([key], options);
    return entry!;
  }

  /** See {@link Kv}. */
  async getMany(
    keys: readonly KvKey[],
    _options?: KvReadOptions,
  ): Promise<KvEntry[]> {
    if (keys.length > kvLimits.keysPerGet) {
      throw new TypeError(`Too many ranges (max ${kvLimits.keysPerGet})`);
    }
    await this.#beforeRead();
    this.usage.gets++;
    const entries = keys.map((key) => this.peek(key));
    for (const key of keys) {
      const stored = this.#data.get(keyText(key));
      this.usage.readUnits += units(stored?.size ?? 0, 4_096);
    }
    return entries;
  }

  /** See {@link Kv}. */
  async *list(
    selector: KvSelector,
    options: KvListOptions = {},
  ): AsyncGenerator<KvEntry> {
    const batchSize = options.batchSize ?? Math.min(100, options.limit ?? 100);
    if (batchSize > kvLimits.batchSize) {
      throw new TypeError(`Too many entries (max ${kvLimits.batchSize})`);
    }
    this.usage.lists++;
    const prefix = keyText(selector.prefix);
    let from = selector.start === undefined ? prefix : keyText(selector.start);
    let left = options.limit ?? Infinity;
    if (options.reverse === true) {
      await this.#beforeRead();
      const all = this.#range(prefix, from, Infinity).reverse();
      for (const [, stored] of all.slice(0, left)) yield entryOf(stored);
      return;
    }
    for (;;) {
      await this.#beforeRead(); // Between two batches anything may be written: a list is no snapshot.
      const batch = this.#range(prefix, from, Math.min(batchSize, left));
      const bytes = batch.reduce((sum, [, stored]) => sum + stored.size, 0);
      this.usage.readUnits += units(bytes, 4_096);
      for (const [, stored] of batch) yield entryOf(stored);
      left -= batch.length;
      if (batch.length < batchSize || left <= 0) return;
      from = batch.at(-1)![0] + "\u0000";
    }
  }

  /** See {@link Kv}. */
  atomic(): KvAtomic {
    const commit: Commit = { checks: [], mutations: [] };
    const atomic: KvAtomic = {
      check: ({ key, versionstamp }) => {
        commit.checks.push({ id: keyText(key), versionstamp });
        return atomic;
      },
      set: (key, value, options) => {
        const size = keyText(key).length + sizeOf(value);
        if (sizeOf(value) > kvLimits.valueBytes) {
          throw new TypeError(
            `Value too large (max ${kvLimits.valueBytes} bytes)`,
          );
        }
        commit.mutations.push({
          key,
          id: keyText(key),
          value: structuredClone(value),
          size,
          expireIn: options?.expireIn,
        });
        return atomic;
      },
      delete: (key) => {
        const id = keyText(key);
        commit.mutations.push({ key, id, size: id.length });
        return atomic;
      },
      commit: () => this.#commit(commit),
    };
    return atomic;
  }

  /** The data stays: other handles may use it. */
  close(): void {}

  /** What is stored, at once and free of charge: for checks. */
  peek(key: KvKey): KvEntry {
    const stored = this.#data.get(keyText(key));
    if (stored === undefined || this.#isExpired(stored)) {
      return { key, value: null, versionstamp: null };
    }
    return entryOf(stored);
  }

  /** Everything under a prefix, at once and free of charge: for checks. */
  peekAll(prefix: KvKey): KvEntry[] {
    const text = keyText(prefix);
    return this.#range(text, text, Infinity).map(([, one]) => entryOf(one));
  }

  // ---- Reads ----

  async #beforeRead(): Promise<void> {
    await this.#delay();
    if (this.#happens("failsToRead")) {
      throw new Error("the connection was lost while reading");
    }
  }

  #range(prefix: string, from: string, limit: number): [string, Stored][] {
    const order = this.#order ??= [...this.#data.keys()].sort();
    const found: [string, Stored][] = [];
    for (let at = firstFrom(order, from); found.length < limit; at++) {
      const id = order[at];
      if (id === undefined || !id.startsWith(prefix)) break;
      const stored = this.#data.get(id)!;
      if (id !== prefix && !this.#isExpired(stored)) found.push([id, stored]);
    }
    return found;
  }

  #isExpired({ expiresAtMs }: Stored): boolean {
    const { now } = this.#options;
    return now !== undefined && expiresAtMs <= now();
  }

  // ---- Commits ----

  async #commit(
    commit: Commit,
  ): Promise<{ ok: boolean; versionstamp?: string }> {
    checkLimits(commit);
    await this.#delay();
    if (this.#happens("fails")) {
      throw new Error("the connection was refused");
    }
    if (this.#happens("late")) return await this.#commitLate(commit);
    const result = this.#apply(commit);
    if (this.#happens("twice")) return this.#apply(commit);
    if (this.#happens("lies")) return { ok: false };
    if (this.#happens("lost")) throw new Error("the connection was lost");
    await this.#delay();
    return result;
  }

  async #commitLate(commit: Commit): Promise<never> {
    const { wait, random } = this.#options;
    await wait?.(random?.below(this.faults.lateMs + 1) ?? 0);
    this.#apply(commit);
    return await new Promise(() => {});
  }

  #apply(commit: Commit): { ok: boolean; versionstamp?: string } {
    this.usage.commits++;
    for (const { id, versionstamp } of commit.checks) {
      const stored = this.#data.get(id);
      const isThere = stored !== undefined && !this.#isExpired(stored);
      const now = isThere ? versionText(stored.version) : null;
      if (now !== versionstamp) return { ok: false };
    }
    const version = ++this.#version;
    for (const mutation of commit.mutations) this.#mutate(mutation, version);
    this.afterCommit(commit.mutations.map(({ key }) => key));
    return { ok: true, versionstamp: versionText(version) };
  }

  #mutate({ key, id, value, size, expireIn }: Mutation, version: number): void {
    this.usage.mutations++;
    this.usage.writeUnits += units(size, 1_024);
    if (value === undefined) {
      if (this.#data.delete(id)) this.#order = undefined;
      return;
    }
    if (!this.#data.has(id)) this.#order = undefined;
    const expiresAtMs = expireIn === undefined
      ? Infinity
      : (this.#options.now?.() ?? 0) + expireIn;
    this.#data.set(id, { key, value, version, size, expiresAtMs });
  }

  #happens(fault: KvFaultName): boolean {
    const thousandths = this.faults[fault];
    if (thousandths === 0) return false;
    const happens = (this.#options.random?.below(1_000) ?? 1_000) < thousandths;
    if (happens) this.happened[fault]++;
    return happens;
  }

  async #delay(): Promise<void> {
    const { wait, random } = this.#options;
    if (wait === undefined || this.faults.delayMs === 0) return;
    await wait(random?.below(this.faults.delayMs + 1) ?? 0);
  }
}

function checkLimits({ checks, mutations }: Commit): void {
  if (checks.length > kvLimits.checks) {
    throw new TypeError(`Too many checks (max ${kvLimits.checks})`);
  }
  if (mutations.length > kvLimits.mutations) {
    throw new TypeError(`Too many mutations (max ${kvLimits.mutations})`);
  }
  const bytes = mutations.reduce((sum, { size }) => sum + size, 0);
  if (bytes > kvLimits.commitBytes) {
    throw new TypeError(
      `Total mutation size too large (max ${kvLimits.commitBytes} bytes)`,
    );
  }
}

function entryOf({ key, value, version }: Stored): KvEntry {
  return {
    key,
    value: structuredClone(value),
    versionstamp: versionText(version),
  };
}

function versionText(version: number): string {
  return version.toString(16).padStart(20, "0");
}

function units(bytes: number, unit: number): number {
  return Math.max(1, Math.ceil(bytes / unit));
}

/** Index of the first key at or after `from`. */
function firstFrom(order: readonly string[], from: string): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order[middle]! < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A key as text that sorts as Deno KV sorts keys: bytes, texts, numbers, bigints, booleans; each part ends with NUL. */
function keyText(key: KvKey): string {
  const text = key.map(partText).join("");
  if (text.length > kvLimits.keyBytes) {
    throw new TypeError(`Key too large (max ${kvLimits.keyBytes} bytes)`);
  }
  return text;
}

function partText(part: KvKeyPart): string {
  if (typeof part === "string") return `2${part}\u0000`;
  if (typeof part === "number") {
    if (!Number.isSafeInteger(part) || part < 0) {
      throw new TypeError("This twin takes numbers from 0 to 2^53 - 1 in keys");
    }
    return `3${part.toString(16).padStart(14, "0")}\u0000`;
  }
  if (typeof part === "bigint") return `4${part.toString().padStart(40)}\u0000`;
  if (typeof part === "boolean") return `5${part}\u0000`;
  return `1${[...part].map((byte) => byte.toString(16)).join()}\u0000`;
}

/** Roughly the bytes of a value as V8 serialises it. */
function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length + 2;
  if (typeof value === "number") return 5;
  if (typeof value === "bigint") return 12;
  if (value instanceof Uint8Array) return value.length + 8;
  if (Array.isArray(value)) {
    return value.reduce((sum: number, one) => sum + sizeOf(one), 4);
  }
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).reduce(
      (sum, [name, one]) => sum + name.length + 2 + sizeOf(one),
      4,
    );
  }
  return 1;
}
