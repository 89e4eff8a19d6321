/**
 * The port to a key-value store: those parts of `Deno.Kv` that a master uses, so that another store, or a faulty
 * one, can take its place. `Deno.Kv` fits as it is. No type of Deno's unstable API is named here.
 */
import { RaftError } from "../raft/errors.ts";

/** Part of a key. */
export type KvKeyPart = string | number | bigint | boolean | Uint8Array;

/** A key. Keys are ordered part by part. */
export type KvKey = readonly KvKeyPart[];

/** What is stored at a key. */
export interface KvEntry {
  /** The key. */
  readonly key: KvKey;
  /** The value, or `null` if there is none. */
  readonly value: unknown;
  /** Grows with every write of the key; `null` if there is no value. */
  readonly versionstamp: string | null;
}

/** How fresh a read must be. */
export interface KvReadOptions {
  /** `"strong"` by default; `"eventual"` may be older, and cheaper. */
  consistency?: "strong" | "eventual";
}

/** Writes that happen together, if the checks hold. At most ten checks. */
export interface KvAtomic {
  /** The key must still have this versionstamp; `null`: no value. */
  check(check: { key: KvKey; versionstamp: string | null }): KvAtomic;
  /** Sets a value of at most 64 KiB, which may go by itself after `expireIn` milliseconds. */
  set(key: KvKey, value: unknown, options?: { expireIn?: number }): KvAtomic;
  /** Removes a value. */
  delete(key: KvKey): KvAtomic;
  /** `ok: false` says that a check failed; it also comes when the writes happened and only the answer was lost. */
  commit(): Promise<{ ok: boolean; versionstamp?: string }>;
}

/** Which values are listed: those under a prefix, from a key on. */
export interface KvSelector {
  /** Keys begin with it. */
  prefix: KvKey;
  /** The first key; it begins with `prefix`. */
  start?: KvKey;
}

/** How values are listed. */
export interface KvListOptions extends KvReadOptions {
  /** At most so many. */
  limit?: number;
  /** From the last key to the first. */
  reverse?: boolean;
  /** So many at once; 100 by default, 1,000 at most. */
  batchSize?: number;
}

/** A key-value store with atomic commits. */
export interface Kv {
  /** Reads one value. */
  get(key: KvKey, options?: KvReadOptions): Promise<KvEntry>;
  /** Reads at most ten values. */
  getMany(keys: readonly KvKey[], options?: KvReadOptions): Promise<KvEntry[]>;
  /** Reads the values under a prefix, in the order of their keys. No snapshot across batches. */
  list(selector: KvSelector, options?: KvListOptions): AsyncIterable<KvEntry>;
  /** Begins an atomic commit. */
  atomic(): KvAtomic;
  /** Closes the store. */
  close(): void;
}

/** Opens a store: `":memory:"`, a file, or the `https:` URL of a database (KV Connect). */
export type KvOpener = (path: string | undefined) => Promise<Kv>;

/**
 * Throws where Deno KV is switched off.
 *
 * @throws {TypeError} where there is no `Deno.openKv`.
 */
export function requireDenoKv(): (path?: string) => Promise<unknown> {
  const { Deno: runtime } = globalThis as {
    Deno?: { openKv?: (path?: string) => Promise<unknown> };
  };
  if (typeof runtime?.openKv !== "function") {
    throw new TypeError(
      'Cannot open Deno KV: Deno.openKv is switched off; run with --unstable-kv or set "unstable": ["kv"] in deno.json',
    );
  }
  return runtime.openKv;
}

/** Whether a store in a file failed only because another process was writing it at that moment. */
export function isLocked(error: unknown): boolean {
  return error instanceof Error && error.message === "database is locked";
}

/**
 * Opens Deno KV. Without a path it is the platform's own database: the app's on Deno Deploy, and elsewhere one that
 * Deno keeps for this program. A URL needs its token in `DENO_KV_ACCESS_TOKEN`.
 *
 * @throws {TypeError} where there is no `Deno.openKv`.
 * @throws {RaftError} with code `notReady` if the store cannot be opened.
 */
export async function openDenoKv(path?: string): Promise<Kv> {
  const open = requireDenoKv();
  try {
    return await open(path) as Kv;
  } catch (error) {
    const what = path === undefined ? "the default database" : path;
    const reason = error instanceof Error ? error.message : String(error);
    throw new RaftError(
      "notReady",
      `Cannot open Deno KV at ${what}: ${reason}`,
      { cause: error },
    );
  }
}
