/**
 * A store as one process sees it: when the process ends, nothing that it waited for ever comes back, so whatever it was
 * in the middle of stays half done.
 */
import type {
  Kv,
  KvAtomic,
  KvEntry,
  KvKey,
  KvListOptions,
  KvReadOptions,
  KvSelector,
} from "../../master/kv.ts";
import type { Scope } from "../sim/clock.ts";

/** A handle that dies with its scope. */
export class ScopedKv implements Kv {
  readonly #kv: Kv;
  readonly #scope: Scope;

  /** Over data that others use as well. */
  constructor(kv: Kv, scope: Scope) {
    this.#kv = kv;
    this.#scope = scope;
  }

  /** See {@link Kv}. */
  get(key: KvKey, options?: KvReadOptions): Promise<KvEntry> {
    return this.#whileAlive(() => this.#kv.get(key, options));
  }

  /** See {@link Kv}. */
  getMany(keys: readonly KvKey[], options?: KvReadOptions): Promise<KvEntry[]> {
    return this.#whileAlive(() => this.#kv.getMany(keys, options));
  }

  /** See {@link Kv}. */
  async *list(
    selector: KvSelector,
    options?: KvListOptions,
  ): AsyncGenerator<KvEntry> {
    const entries = this.#kv.list(selector, options)[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#whileAlive(() => entries.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  /** See {@link Kv}. */
  atomic(): KvAtomic {
    const inner = this.#kv.atomic();
    const atomic: KvAtomic = {
      check: (check) => (inner.check(check), atomic),
      set: (key, value, options) => (inner.set(key, value, options), atomic),
      delete: (key) => (inner.delete(key), atomic),
      // What is under way when the process ends arrives, or not.
      commit: () => this.#whileAlive(() => inner.commit()),
    };
    return atomic;
  }

  /** The data stays: others use it. */
  close(): void {}

  async #whileAlive<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#scope.isAlive) return await new Promise(() => {});
    try {
      return await work();
    } finally {
      if (!this.#scope.isAlive) await new Promise(() => {});
    }
  }
}
