/**
 * Several masters over one store, and NodeHosts that report to any of them, on virtual time in one process. Everything
 * that can fail fails: the store lies, masters die in the middle of a request, reports are lost, repeated and delayed,
 * NodeHosts die, return and lose their disks. After every commit the store's indexes must agree with its truth.
 */
import { during } from "./during.ts";
import { KvStore, type KvStoreOptions } from "../../master/kv_store.ts";
import type { KvKey } from "../../master/kv.ts";
import type { NodeHostInfo, ReportReply } from "../../master/protocol.ts";
import { eventKind, HostClock, type Scope, Timeline } from "../sim/clock.ts";
import { SimRandom } from "../sim/random.ts";
import { Trace } from "../sim/trace.ts";
import type { FakeCluster } from "./fake_cluster.ts";
import { FakeHost, type FakeWorld } from "./fake_host.ts";
import { type KvFaults, MemoryKv } from "./memory_kv.ts";
import { checkIndexes } from "./index_check.ts";
import { ScopedKv } from "./scoped_kv.ts";

/** What a world is made of. */
export interface WorldOptions {
  readonly seed: number;
  readonly masterCount: number;
  /** Region of each NodeHost. */
  readonly regions: readonly string[];
  /** Milliseconds between reports; 2,000 by default. */
  readonly periodMs?: number;
  readonly faults?: Partial<KvFaults>;
  /** Further options of each master's store. */
  readonly store?: Partial<KvStoreOptions>;
}

interface Master {
  scope: Scope;
  store: KvStore;
}

/** How the way between NodeHosts and masters is now, in thousandths. */
export interface Roads {
  lostRequests: number;
  lostReplies: number;
  repeated: number;
  delayMs: number;
}

/** A world of masters and NodeHosts. */
export class MasterWorld implements FakeWorld {
  readonly timeline: Timeline;
  readonly random: SimRandom;
  kv: MemoryKv;
  readonly hosts: FakeHost[];
  readonly masters: Master[] = [];
  readonly clusters = new Map<number, FakeCluster>();
  readonly roads: Roads = {
    lostRequests: 0,
    lostReplies: 0,
    repeated: 0,
    delayMs: 20,
  };
  /** Reports that were answered. */
  answered = 0;
  /** What a check found, or a master threw that it must not throw. */
  readonly problems: string[] = [];
  /** Masters that the operator stopped: nobody is heard. */
  areMastersOut = false;
  readonly #options: WorldOptions;
  readonly #trace = new Trace();

  /** Masters and NodeHosts run at once. */
  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = new SimRandom(options.seed, "masters");
    this.timeline = new Timeline(this.#trace);
    this.kv = this.#makeKv();
    for (let i = 0; i < options.masterCount; i++) {
      this.masters.push(this.#makeMaster());
    }
    this.hosts = options.regions.map((region, i) =>
      new FakeHost(`host-${i + 1}`, `h${i + 1}:7001`, region, this)
    );
    for (const host of this.hosts) this.#reportLater(host, this.#periodMs);
  }

  /** The store is lost: masters have an empty one. */
  loseStore(): void {
    this.kv = this.#makeKv();
    for (const index of this.masters.keys()) this.killMaster(index);
  }

  #makeKv(): MemoryKv {
    const { timeline } = this;
    const { faults } = this.#options;
    const kv = new MemoryKv({
      wait: (delayMs) =>
        timeline.wait(timeline.world, delayMs * 1_000, eventKind.disk),
      now: () => this.now(),
      random: this.random.fork("store"),
      ...(faults === undefined ? {} : { faults }),
    });
    kv.afterCommit = (keys) => this.#check(keys);
    return kv;
  }

  get #periodMs(): number {
    return this.#options.periodMs ?? 2_000;
  }

  /** See {@link FakeWorld}. */
  now(): number {
    return Math.floor(this.timeline.nowUs / 1_000);
  }

  /** Names everything that happened: the same for the same seed. */
  get hash(): string {
    return this.#trace.hash();
  }

  /** See {@link FakeWorld}. */
  isRunning(clusterId: number, nodeId: number): boolean {
    return this.hosts.some((host) =>
      host.isUp && host.nodes.get(clusterId)?.nodeId === nodeId
    );
  }

  /** A store over the same data, for operators and for looking. */
  operator(): KvStore {
    return this.#makeMaster().store;
  }

  /** Lets time pass. */
  async run(ms: number, isDone?: () => boolean): Promise<void> {
    await this.timeline.run(this.timeline.nowUs + ms * 1_000, isDone);
  }

  /** Awaits `work` while time passes. */
  async during<T>(work: Promise<T>): Promise<T> {
    return await during(this.timeline, work);
  }

  /** A master's process ends in the middle of whatever it does; another one takes its place. */
  killMaster(index: number): void {
    this.masters[index]!.scope.kill();
    this.masters[index] = this.#makeMaster();
  }

  /** A NodeHost comes back with an empty disk, and so as another one. */
  replaceDisk(host: FakeHost): FakeHost {
    const { region, address, apps } = host;
    const next = new FakeHost(`${host.id}x`, address, region, this, apps);
    this.hosts[this.hosts.indexOf(host)] = next;
    this.#reportLater(next, this.#periodMs);
    return next;
  }

  /** One NodeHost more. */
  addHost(region: string): FakeHost {
    const n = this.hosts.length + 1;
    const host = new FakeHost(`host-${n}`, `h${n}:7001`, region, this);
    this.hosts.push(host);
    this.#reportLater(host, this.#periodMs);
    return host;
  }

  #makeMaster(): Master {
    const { timeline } = this;
    const scope = timeline.scope("master");
    const random = this.random.fork("master");
    const clock = new HostClock(timeline, scope, random, {
      driftPpm: random.between(-200, 200),
      timerSlackUs: 100,
      turnUs: 1,
    });
    clock.wallSkewMs = random.between(-5_000, 5_000);
    const store = new KvStore({
      kv: new ScopedKv(this.kv, scope),
      clock,
      random,
      timeoutMs: 1_000,
      periodMs: this.#periodMs,
      busyPeriodMs: this.#periodMs,
      ...this.#options.store,
    });
    return { scope, store };
  }

  // ---- Reports ----

  #reportLater(host: FakeHost, withinMs: number): void {
    const delayUs = this.random.below(withinMs * 1_000);
    const { timeline } = this;
    timeline.schedule(timeline.world, delayUs, eventKind.client, () => {
      this.#reportLoop(host);
    });
  }

  #reportLoop(host: FakeHost): void {
    if (!this.hosts.includes(host)) return;
    const { timeline } = this;
    const jitterUs = this.random.below(this.#periodMs * 20);
    const delayUs = this.#periodMs * 990 + jitterUs;
    timeline.schedule(
      timeline.world,
      delayUs,
      eventKind.client,
      () => this.#reportLoop(host),
    );
    if (!host.isUp || this.areMastersOut) return;
    const { boot } = host;
    const info = host.report();
    this.#send(host, boot, info);
    if (this.#happens(this.roads.repeated)) this.#send(host, boot, info);
  }

  async #send(
    host: FakeHost,
    boot: number,
    info: NodeHostInfo,
  ): Promise<void> {
    await this.#travel();
    if (this.#happens(this.roads.lostRequests)) return;
    const { scope, store } = this.random.pick(this.masters);
    let reply: ReportReply;
    try {
      reply = await store.report(info);
    } catch (error) {
      if (!isExpected(error)) this.problems.push(textOf(error));
      return;
    }
    if (!scope.isAlive || this.#happens(this.roads.lostReplies)) return;
    await this.#travel();
    if (!host.isUp || host.boot !== boot) return;
    this.answered++;
    await host.receive(info, reply);
  }

  async #travel(): Promise<void> {
    const delayUs = this.random.longTail(0, 2, this.roads.delayMs) * 1_000;
    await this.timeline.wait(this.timeline.world, delayUs, eventKind.network);
  }

  #happens(thousandths: number): boolean {
    return this.random.below(1_000) < thousandths;
  }

  #check(keys: readonly KvKey[]): void {
    const problem = checkIndexes(this.kv, keys);
    if (problem !== undefined && this.problems.length < 10) {
      this.problems.push(`at ${this.now()} ms: ${problem}`);
    }
  }
}

/** Stores fail, and say so with a `RaftError`; anything else is a fault of the program. */
function isExpected(error: unknown): boolean {
  return error instanceof Error && error.name === "RaftError";
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}
