/** The master as an operator's program sees it: over HTTP, with a token. */
import { DemoFailure } from "./failure.ts";

/** A NodeHost as `GET /v1/nodehosts` shows it; the part that the demo looks at. */
export interface KnownHost {
  /** Its identity. */
  readonly nodeHostId: string;
  /** Where it talks to the others. */
  readonly nodeHostAddress: string;
  /** Where it runs. */
  readonly region: string;
  /** How old its last report is. */
  readonly ageMs: number;
  /** The clusters it carries, as it last said. */
  readonly clusters: readonly number[];
  /** Those of them that it leads. */
  readonly leaders: readonly number[];
  /** What the master thinks of it; absent while it is well. */
  readonly state?: string;
}

/** A cluster as `GET /v1/clusters` shows it; the part that the demo looks at. */
export interface KnownCluster {
  /** Its id. */
  readonly clusterId: number;
  /** Addresses by node id. */
  readonly members: Readonly<Record<string, string>>;
  /** Who leads it. */
  readonly leader: {
    readonly nodeId: number;
    readonly nodeHostId: string;
  } | null;
}

/** A cluster's record, from `GET /v1/clusters/ID`; the part that the demo looks at. */
export interface ClusterRecord {
  /** `"ok"` once it was launched. */
  readonly life: string;
  /** Its nodes by id. */
  readonly members: Readonly<
    Record<string, {
      readonly role: string;
      readonly host?: string;
      /** It runs, as its NodeHost says. */
      readonly since?: number;
      /** It does not run any more, as its NodeHost says. */
      readonly missingSince?: number;
    }>
  >;
  /** Something is being done in several steps. */
  readonly plan?: { readonly kind: string };
  /** One of these steps. */
  readonly step?: { readonly kind: string };
}

/** Something that the master decided, from `GET /v1/events`. */
export interface Decision {
  /** The cluster that it is about, if any. */
  readonly cluster?: number;
  /** What, in a word. */
  readonly what: string;
  /** The NodeHost, if it is about one. */
  readonly host?: string;
  /** Why, for people. */
  readonly why: string;
  /** When, in milliseconds since 1970. */
  readonly atMs: number;
}

/** What a cluster should be. */
export interface Wish {
  /** Its id. */
  readonly clusterId: number;
  /** Name of its state machine. */
  readonly app: string;
  /** How many nodes. */
  readonly size: number;
  /** How many of them where. */
  readonly regions: readonly {
    readonly region: string;
    readonly count: number;
  }[];
}

/** A master that does not answer for this long is stuck. */
const timeoutMs = 5_000;

/** Asks a master, and tells it what to do. */
export class MasterApi {
  readonly #url: string;
  readonly #token: string;
  readonly #signal: AbortSignal;

  /** Talks to the master at `url` with an operator's token until `signal` is aborted. */
  constructor(url: string, token: string, signal: AbortSignal) {
    this.#url = url;
    this.#token = token;
    this.#signal = signal;
  }

  /** All NodeHosts that ever reported. */
  async nodeHosts(): Promise<KnownHost[]> {
    const answer = await this.#ask<{ nodeHosts: KnownHost[] }>("nodehosts");
    return answer.nodeHosts;
  }

  /** All clusters. */
  async clusters(): Promise<KnownCluster[]> {
    return (await this.#ask<{ clusters: KnownCluster[] }>("clusters")).clusters;
  }

  /** One cluster. */
  cluster(clusterId: number): Promise<ClusterRecord> {
    return this.#ask(`clusters/${clusterId}`);
  }

  /** The latest decisions, oldest first. */
  async decisions(): Promise<Decision[]> {
    const { events } = await this.#ask<{ events: Decision[] }>(
      "events?limit=200",
    );
    return events.toReversed();
  }

  /** Creates a cluster. The key makes a repetition harmless: the master does once what has the same key. */
  async create(wish: Wish): Promise<void> {
    await this.#ask("clusters", {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "idempotency-key": `demo-cluster-${wish.clusterId}`,
        "x-operator": "demo",
      },
      body: JSON.stringify(wish),
    });
  }

  async #ask<T>(path: string, init: RequestInit = {}): Promise<T> {
    const url = `${this.#url}/v1/${path}`;
    const headers = new Headers(init.headers);
    headers.set("accept", "application/json");
    headers.set("authorization", `Bearer ${this.#token}`);
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([this.#signal, timeout]);
    let response: Response;
    try {
      response = await fetch(url, { ...init, headers, signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      const why = error instanceof Error ? error.message : String(error);
      throw new DemoFailure(`The master did not answer to ${url}: ${why}`);
    }
    if (response.ok) return await response.json();
    throw new DemoFailure(
      `The master answered ${response.status} to ${url}: ${await response
        .text()}`,
    );
  }
}
