/** Masters and NodeHosts in real time, in this process: NodeHosts without Raft, which report and do what they are asked to. */
import { KvStore } from "../../master/kv_store.ts";
import { RaftError } from "../../raft/errors.ts";
import type { FakeCluster } from "../../testing/master/fake_cluster.ts";
import { FakeHost, type FakeWorld } from "../../testing/master/fake_host.ts";
import { MemoryKv } from "../../testing/master/memory_kv.ts";

/** A world that lives as long as it is not closed. */
export class LiveWorld implements FakeWorld {
  readonly clusters = new Map<number, FakeCluster>();
  readonly kv = new MemoryKv();
  readonly store: KvStore;
  readonly hosts: FakeHost[] = [];
  readonly #periodMs: number;
  readonly #timers = new Map<
    FakeHost,
    ReturnType<typeof setTimeout>
  >();

  /** One NodeHost per region, `periodMs` between reports. */
  constructor(regions: readonly string[], periodMs: number) {
    this.#periodMs = periodMs;
    this.store = new KvStore({
      kv: this.kv,
      periodMs,
      busyPeriodMs: periodMs,
      timeoutMs: 1_000,
    });
    for (const region of regions) this.add(region);
  }

  /** One NodeHost more. */
  add(region: string): FakeHost {
    const n = this.hosts.length + 1;
    const address = `${region}-${n}.example:7001`;
    const host = new FakeHost(`nodehost-${n}`, address, region, this);
    this.hosts.push(host);
    this.#reportLater(host, (n * 37) % this.#periodMs);
    return host;
  }

  /** See {@link FakeWorld}. */
  now(): number {
    return Date.now();
  }

  /** See {@link FakeWorld}. */
  isRunning(clusterId: number, nodeId: number): boolean {
    return this.hosts.some((host) =>
      host.isUp && host.nodes.get(clusterId)?.nodeId === nodeId
    );
  }

  /** Nobody reports any more. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #reportLater(host: FakeHost, delayMs: number): void {
    this.#timers.set(
      host,
      setTimeout(async () => {
        if (host.isUp) await this.#report(host);
        if (this.#timers.has(host)) this.#reportLater(host, this.#periodMs);
      }, delayMs),
    );
  }

  async #report(host: FakeHost): Promise<void> {
    const { boot } = host;
    const info = host.report();
    try {
      const reply = await this.store.report(info);
      if (host.isUp && host.boot === boot) await host.receive(info, reply);
    } catch (error) {
      if (!(error instanceof RaftError)) throw error;
    }
  }
}
