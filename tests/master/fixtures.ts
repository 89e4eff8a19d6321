/** Reports, stores and clocks for the tests of the master. */
import type {
  Kv,
  KvAtomic,
  KvEntry,
  KvKey,
  KvListOptions,
  KvSelector,
} from "../../master/kv.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type {
  ClusterInfo,
  NodeHostInfo,
  ReportReply,
} from "../../master/protocol.ts";
import type { Timer } from "../../raft/ports.ts";
import { openEmptyKv, type Place, storeOver } from "./instances.ts";

/** A record of a cluster with three members, of which `nodeId` reports. */
export function cluster(
  clusterId: number,
  nodeId: number,
  rest: Partial<ClusterInfo> = {},
): ClusterInfo {
  return {
    clusterId,
    nodeId,
    isLeader: nodeId === 1,
    nodes: { 1: "h1:7001", 2: "h2:7001", 3: "h3:7001" },
    configChangeIndex: 3,
    pending: false,
    incomplete: false,
    ...rest,
  };
}

/** The report of NodeHost `n`. */
export function report(
  n: number,
  clusters: ClusterInfo[] = [],
  rest: Partial<NodeHostInfo> = {},
): NodeHostInfo {
  return {
    nodeHostId: `host-${n}`,
    nodeHostAddress: `h${n}:7001`,
    nodeHostApiAddress: "",
    region: "north",
    clusterInfoList: clusters,
    clusterIdList: clusters.map((info) => info.clusterId),
    logInfoIncluded: false,
    logInfo: [],
    ...rest,
  };
}

/** What a reply says about the report itself. */
export function brief({ accepted, want }: ReportReply): Partial<ReportReply> {
  return { accepted, want };
}

/** Time that passes only when told to. */
export class ManualClock {
  /** Milliseconds since 1970. */
  nowMs = 1_000_000;
  #timers = new Set<{ atMs: number; callback: () => void }>();

  /** Milliseconds since 1970. */
  wallTime(): number {
    return this.nowMs;
  }

  /** As {@link Clock.setTimer}. */
  setTimer(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  /** How many timers are set. */
  get timerCount(): number {
    return this.#timers.size;
  }

  /** Lets time pass, and fires what falls due. */
  advance(ms: number): void {
    this.nowMs += ms;
    for (const timer of [...this.#timers]) {
      if (timer.atMs > this.nowMs) continue;
      this.#timers.delete(timer);
      timer.callback();
    }
  }
}

/** What happens to a commit: `lies` happens and reports a conflict, `lost` happens and throws, `fails` only throws. */
export type Fault = "lies" | "lost" | "fails" | "hangs";

/** A store that does to commits what a network does to them, in the order of `faults`, then nothing. */
export class FaultyKv implements Kv {
  /** Of the next commits; `undefined` for none. */
  faults: (Fault | undefined)[] = [];
  /** Runs before each commit, as another master would. */
  beforeCommit: (() => Promise<void>) | undefined;
  /** So much time passes in each commit, in milliseconds: see {@link letCommitsTake}. */
  commitMs = 0;
  /** Commits that hang: each call makes one happen late. */
  late: (() => Promise<{ ok: boolean }>)[] = [];
  /** How often each was called, and what was set. */
  readonly counts = { get: 0, getMany: 0, list: 0, commit: 0, set: 0 };
  /** What it wraps. */
  readonly inner: Kv;
  /** Calls that somebody waits for. */
  readonly open = { calls: 0 };

  constructor(kv: Kv) {
    this.inner = kv;
  }

  /** Nobody waits for it. */
  get isQuiet(): boolean {
    return this.open.calls === 0;
  }

  /** Every commit comes so much later than the one before, so that the history has an order. */
  letCommitsTake(ms: number, clock: ManualClock): void {
    this.commitMs = ms;
    this.beforeCommit = ms === 0 ? undefined : () => {
      clock.nowMs += ms;
      return Promise.resolve();
    };
  }

  get(key: KvKey): Promise<KvEntry> {
    this.counts.get++;
    return during(this.open, this.inner.get(key));
  }

  getMany(keys: readonly KvKey[]): Promise<KvEntry[]> {
    this.counts.getMany++;
    return during(this.open, this.inner.getMany(keys));
  }

  list(selector: KvSelector, options?: KvListOptions): AsyncIterable<KvEntry> {
    this.counts.list++;
    return listed(this.open, this.inner.list(selector, options));
  }

  atomic(): KvAtomic {
    const inner = this.inner.atomic();
    const wrapper: KvAtomic = {
      check: (check) => (inner.check(check), wrapper),
      set: (key, value, options) => {
        this.counts.set++;
        inner.set(key, value, options);
        return wrapper;
      },
      delete: (key) => (inner.delete(key), wrapper),
      commit: () => during(this.open, this.#commit(inner)),
    };
    return wrapper;
  }

  close(): void {
    this.inner.close();
  }

  async #commit(inner: KvAtomic): Promise<{ ok: boolean }> {
    this.counts.commit++;
    await this.beforeCommit?.();
    switch (this.faults.shift()) {
      case "lies":
        await inner.commit();
        return { ok: false };
      case "lost":
        await inner.commit();
        throw new Error("the connection was lost");
      case "fails":
        throw new Error("the connection was refused");
      case "hangs":
        this.late.push(() => inner.commit());
        return await new Promise(() => {});
      default:
        return await inner.commit();
    }
  }
}

async function during<T>(
  open: { calls: number },
  call: Promise<T>,
): Promise<T> {
  open.calls++;
  try {
    return await call;
  } finally {
    open.calls--;
  }
}

/** Between two of them nobody waits: who reads may have gone. */
async function* listed(
  open: { calls: number },
  entries: AsyncIterable<KvEntry>,
): AsyncGenerator<KvEntry> {
  const iterator = entries[Symbol.asyncIterator]();
  for (;;) {
    const step = await during(open, iterator.next());
    if (step.done === true) return;
    yield step.value;
  }
}

/** Gives `work` a store that is empty, and its faulty wrapper. */
export async function withStore(
  work: (store: KvStore, kv: FaultyKv, clock: ManualClock) => Promise<void>,
  place: Place = {},
): Promise<void> {
  const kv = new FaultyKv(await openEmptyKv());
  const clock = new ManualClock();
  try {
    await work(storeOver({ kv, clock }, place), kv, clock);
  } finally {
    kv.close();
  }
}

/** Everything stored under a prefix: key as text, value. */
export async function dump(
  kv: Kv,
  prefix: KvKey,
): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for await (const { key, value } of kv.list({ prefix })) {
    all[key.join("/")] = value;
  }
  return all;
}
