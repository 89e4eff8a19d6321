/**
 * What the tests of the master run on, as two variables say: `DRAKKAR_TEST_INSTANCES=3` makes every store three
 * instances over one handle, of which each call goes to the next, and `DRAKKAR_TEST_KV=http://…` keeps what is stored in
 * that database, each test under a prefix of its own. Without them it is one instance, and memory.
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

function variable(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** For tests that count operations, or look at what one instance remembers. */
export const ofOneInstance: { ignore: boolean } = {
  ignore: variable("DRAKKAR_TEST_INSTANCES") !== undefined,
};

/** For tests that read and write so much that a store far away would take minutes for it. */
export const ofManyOperations: { ignore: boolean } = {
  ignore: variable("DRAKKAR_TEST_KV") !== undefined,
};

/** For tests that write files: at the edge there is no permission for it. */
export const needsDisk: { ignore: boolean } = {
  ignore: Deno.permissions.querySync({ name: "write" }).state !== "granted",
};

/** A store over `kv`, or several that look like one. */
export function storeOver(options: KvStoreOptions): KvStore {
  const count = Number(variable("DRAKKAR_TEST_INSTANCES") ?? "1");
  const stores = Array.from({ length: count }, () => new KvStore(options));
  if (stores.length === 1) return stores[0]!;
  let turn = 0;
  return new Proxy(stores[0]!, {
    get(_target, name) {
      const store = stores[turn++ % stores.length]!;
      const member = Reflect.get(store, name, store);
      return typeof member === "function" ? member.bind(store) : member;
    },
    // What a test puts in place of a method holds for whichever instance is asked next.
    set: (_target, name, value) =>
      stores.every((store) => Reflect.set(store, name, value)),
  });
}

/** An empty database. */
export async function openEmptyKv(): Promise<Kv> {
  const url = variable("DRAKKAR_TEST_KV");
  if (url === undefined) return await openDenoKv(":memory:");
  return new PrefixedKv(await openDenoKv(url), crypto.randomUUID());
}

/** Everything under one key part. */
class PrefixedKv implements Kv {
  readonly #kv: Kv;
  readonly #prefix: string;

  constructor(kv: Kv, prefix: string) {
    this.#kv = kv;
    this.#prefix = prefix;
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
    return [this.#prefix, ...key];
  }

  #without(entry: KvEntry): KvEntry {
    return { ...entry, key: entry.key.slice(1) };
  }
}
