/** An operator who asks every master until one answers. */
import type {
  ClusterRecord,
  Decision,
} from "../../../examples/demo/master_api.ts";

const attemptTimeoutMs = 3_000;
/** Somebody answers by then, or nothing works. */
const patienceMs = 30_000;

/** Talks to masters that come and go. */
export class Operator {
  readonly #urls: readonly string[];
  readonly #token: string;
  #turn = 0;

  /** Knows the masters' addresses, and their operators' token. */
  constructor(urls: readonly string[], token: string) {
    this.#urls = urls;
    this.#token = token;
  }

  /** The deployment. */
  async deploymentId(): Promise<bigint> {
    const { deploymentId } = await this.#ask<{ deploymentId: string }>(
      "deployment",
    );
    return BigInt(deploymentId);
  }

  /** The masters' own time: it grows by one at most once a period, and more slowly where reports are late. */
  async tick(): Promise<number> {
    return (await this.#ask<{ tick: number }>("status")).tick;
  }

  /** What masters think of NodeHosts, by identity. */
  async hostStates(): Promise<Map<string, string>> {
    const { nodeHosts } = await this.#ask<
      { nodeHosts: { nodeHostId: string; state?: string }[] }
    >("nodehosts");
    return new Map(
      nodeHosts.map(({ nodeHostId, state }) => [nodeHostId, state ?? "ok"]),
    );
  }

  /** The history, newest first. */
  async events(): Promise<Decision[]> {
    return (await this.#ask<{ events: Decision[] }>("events?limit=1000"))
      .events;
  }

  /** A cluster's record. */
  cluster(clusterId: number): Promise<ClusterRecord> {
    return this.#ask(`clusters/${clusterId}`);
  }

  /** Creates a cluster. */
  async create(
    clusterId: number,
    app: string,
    config: Record<string, number>,
  ): Promise<void> {
    await this.#ask("clusters", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "idempotency-key": `create-${clusterId}`,
      },
      body: JSON.stringify({ clusterId, app, size: 3, config }),
    });
  }

  async #ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    const headers = new Headers(init.headers);
    headers.set("accept", "application/json");
    headers.set("authorization", `Bearer ${this.#token}`);
    const deadline = performance.now() + patienceMs;
    let why = "";
    while (performance.now() < deadline) {
      const url = this.#urls[this.#turn++ % this.#urls.length]!;
      try {
        const signal = AbortSignal.timeout(attemptTimeoutMs);
        const response = await fetch(`${url}/v1/${path}`, {
          ...init,
          headers,
          signal,
        });
        if (response.ok) return await response.json();
        why = `${response.status} ${await response.text()}`;
        if (response.status < 500) break;
      } catch (error) {
        why = (error as Error).message;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`No master answers to ${path}: ${why}`);
  }
}
