/**
 * What the tests of the master run on, as three variables say: `DRAKKAR_TEST_INSTANCES=3` makes every store and every
 * master three instances over one handle, of which each call goes to the next; `DRAKKAR_TEST_KV=http://…` keeps what is
 * stored in that database, each test under a prefix of its own; and with `DRAKKAR_TEST_MASTERS=http://…` stores and
 * masters are in other processes on it (`tests/edge`). Without them it is one instance, and memory.
 */
import { openDenoKv } from "../../master/kv.ts";
import type {
  Kv,
  KvAtomic,
  KvEntry,
  KvKey,
  KvListOptions,
  KvReadOptions,
  KvSelector,
} from "../../master/kv.ts";
import { KvStore, type KvStoreOptions } from "../../master/kv_store.ts";
import {
  createMaster,
  type Master,
  type MasterOptions,
} from "../../master/server.ts";
import {
  canBeFar,
  FarMaster,
  type FarRoom,
  farStore,
} from "../edge/far_masters.ts";
import {
  MemoryKv,
  type MemoryKvOptions,
} from "../../testing/master/memory_kv.ts";
import type { FaultyKv, ManualClock } from "./fixtures.ts";

function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** Whether the database is a server that takes its time: then less of the same is enough. */
export const isFar: boolean = variable("DRAKKAR_TEST_KV") !== undefined;

/** For tests that write files: at the edge there is no permission for it. */
export const needsDisk: { ignore: boolean } = {
  ignore: Deno.permissions.querySync({ name: "write" }).state !== "granted",
};

/** Where the parts of a test are. */
export interface Place {
  /** Why its stores and masters must be in its own process. */
  readonly inThisProcess?: string;
  /** There is one instance of the store. */
  readonly isAlone?: boolean;
}

/**
 * For tests whose stores and masters must be in this process, whatever the variables say, and why: they look into it, or
 * fire its timers. What these tests store is where the others' is.
 */
export function inThisProcess(why: string): Place {
  return { inThisProcess: why };
}

/** For tests that count what one instance reads, or look at what it remembers: each of several does that for itself. */
export const alone: Place = {
  inThisProcess: "it looks at what one instance does",
  isAlone: true,
};

const farUrl = variable("DRAKKAR_TEST_MASTERS");
/** Stores that look like one, by that one. */
const instancesOf = new WeakMap<KvStore, readonly KvStore[]>();
/** Where a store is that is elsewhere. */
const roomOf = new WeakMap<KvStore, FarRoom>();

/** A store over `kv`, or several that look like one, here or elsewhere. */
export function storeOver(
  options: KvStoreOptions,
  { inThisProcess, isAlone = false }: Place = {},
): KvStore {
  const { kv } = options;
  const inner = (kv as { inner?: Kv }).inner ?? kv;
  if (
    farUrl !== undefined && inThisProcess === undefined && canBeFar(options) &&
    inner instanceof PrefixedKv
  ) {
    const { kv: _, clock, ...plain } = options;
    const room: FarRoom = {
      url: farUrl,
      name: inner.prefix,
      kv: inner === kv ? undefined : kv as FaultyKv,
      clock: clock as ManualClock | undefined,
      store: plain,
      newest: new Map(),
    };
    const store = farStore(room, new KvStore(options));
    roomOf.set(store, room);
    return store;
  }
  const count = isAlone ? 1 : Number(variable("DRAKKAR_TEST_INSTANCES") ?? "1");
  const stores = Array.from({ length: count }, () => new KvStore(options));
  if (stores.length === 1) return stores[0]!;
  let turn = 0;
  const all = new Proxy(stores[0]!, {
    get(_target, name) {
      const store = stores[turn++ % stores.length]!;
      const member = Reflect.get(store, name, store);
      return typeof member === "function" ? member.bind(store) : member;
    },
    // What a test puts in place of a method holds for whichever instance is asked next.
    set: (_target, name, value) =>
      stores.every((store) => Reflect.set(store, name, value)),
  });
  instancesOf.set(all, stores);
  return all;
}

/** A master over a store of {@link storeOver}: an app for each of its instances, of which each request goes to the next. */
export function masterOver(options: MasterOptions): Master {
  const room = roomOf.get(options.store);
  if (room !== undefined) return new FarMaster(room, options);
  const stores = instancesOf.get(options.store) ?? [options.store];
  const apps = stores.map((store) => createMaster({ ...options, store }));
  let turn = 0;
  const next = () => apps[turn++ % apps.length]!;
  return {
    fetch: (request) => next().fetch(request),
    request: (path, init) => next().request(path, init),
    close: () => apps.forEach((app) => app.close()),
  };
}

/**
 * A database in this process's memory that counts, or lies, for tests that are about that: `why` says why a real one, and
 * the one that the variables name, would not do. The store over it is of as many instances as ever.
 */
export function ownMemory(_why: string, options?: MemoryKvOptions): MemoryKv {
  return new MemoryKv(options);
}

/** An embedded database, whatever the variables say, and why. */
export function ownEmbedded(_why: string): Promise<Kv> {
  return openDenoKv(":memory:");
}

/** An empty database. */
export async function openEmptyKv(): Promise<Kv> {
  const url = variable("DRAKKAR_TEST_KV");
  if (url === undefined) return await openDenoKv(":memory:");
  return new PrefixedKv(await openDenoKv(url), crypto.randomUUID());
}

/** Everything under one key part. */
export class PrefixedKv implements Kv {
  /** The key part. */
  readonly prefix: string;
  readonly #kv: Kv;

  /** Whatever is in `kv` under `prefix`. */
  constructor(kv: Kv, prefix: string) {
    this.#kv = kv;
    this.prefix = prefix;
  }

  async get(key: KvKey, options?: KvReadOptions): Promise<KvEntry> {
    return this.#without(await this.#kv.get(this.#with(key), options));
  }

  async getMany(
    keys: readonly KvKey[],
    options?: KvReadOptions,
  ): Promise<KvEntry[]> {
    const all = keys.map((key) => this.#with(key));
    const entries = await this.#kv.getMany(all, options);
    return entries.map((entry) => this.#without(entry));
  }

  async *list(
    selector: KvSelector,
    options?: KvListOptions,
  ): AsyncGenerator<KvEntry> {
    const { start } = selector;
    const inner: KvSelector = {
      prefix: this.#with(selector.prefix),
      ...(start === undefined ? {} : { start: this.#with(start) }),
    };
    for await (const entry of this.#kv.list(inner, options)) {
      yield this.#without(entry);
    }
  }

  atomic(): KvAtomic {
    const inner = this.#kv.atomic();
    const outer: KvAtomic = {
      check: ({ key, versionstamp }) => {
        inner.check({ key: this.#with(key), versionstamp });
        return outer;
      },
      set: (key, value, options) => {
        inner.set(this.#with(key), value, options);
        return outer;
      },
      delete: (key) => {
        inner.delete(this.#with(key));
        return outer;
      },
      commit: () => inner.commit(),
    };
    return outer;
  }

  close(): void {
    this.#kv.close();
  }

  #with(key: KvKey): KvKey {
    return [this.prefix, ...key];
  }

  #without(entry: KvEntry): KvEntry {
    return { ...entry, key: entry.key.slice(1) };
  }
}
