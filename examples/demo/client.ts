/**
 * A client of the key-value store, as any program would be one: it knows the addresses of the NodeHosts, talks HTTP to
 * any of them, and tries another when one does not answer.
 */
import { DemoFailure } from "./failure.ts";

/** A NodeHost as its `/status` shows it; the part that the demo looks at. */
export interface HostStatus {
  /** Its identity. */
  readonly nodeHostId: string;
  /** The nodes it carries. */
  readonly clusters: readonly {
    readonly clusterId: number;
    readonly nodeId: number;
    readonly leaderId: number;
    readonly isReady: boolean;
    readonly failure?: string;
  }[];
}

/** A state machine's hash, and up to which index commands went into it. */
export interface StateHash {
  /** Applied index. */
  readonly applied: number;
  /** 16 hexadecimal digits. */
  readonly hash: string;
}

/** Timeout of one attempt. Those that the dead leader had taken wait for it to pass. */
const attemptTimeoutMs = 1_000;
/** A request that no NodeHost answers for this long will not be answered: something is stuck. */
const patienceMs = 60_000;
/** How long a NodeHost that refused a connection is asked last. */
const avoidMs = 500;

/** Talks to the NodeHosts at some addresses. */
export class KvClient {
  readonly #urls: readonly string[];
  readonly #signal: AbortSignal;
  readonly #avoidUntil = new Map<string, number>();
  #turn = 0;

  /** Talks to the NodeHosts at `urls` until `signal` is aborted. */
  constructor(urls: readonly string[], signal: AbortSignal) {
    this.#urls = urls;
    this.#signal = signal;
  }

  /**
   * Puts one key, and resolves when the cluster has acknowledged it.
   *
   * An attempt can end without telling whether the put was made: the NodeHost was killed, or its answer came too late.
   * It is then simply made again. That is right here, and only here, because this put is idempotent: nobody else
   * writes this key, and making it twice leaves the same value. A command like "add 5" must not be repeated so.
   */
  async put(clusterId: number, key: string, value: Uint8Array): Promise<void> {
    const path = `/clusters/${clusterId}/keys/${encodeURIComponent(key)}`;
    const response = await this.#anyHost(path, {
      method: "PUT",
      body: value as Uint8Array<ArrayBuffer>,
    });
    await response.body?.cancel();
  }

  /** Reads one key linearizably through one NodeHost; undefined if there is no such key. */
  async get(
    url: string,
    clusterId: number,
    key: string,
  ): Promise<Uint8Array | undefined> {
    const path = `/clusters/${clusterId}/keys/${encodeURIComponent(key)}`;
    const response = await this.#patiently(path, {}, () => url, true);
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    return await response.bytes();
  }

  /** Hash of the state machine of one NodeHost's node of a cluster. */
  async hash(url: string, clusterId: number): Promise<StateHash> {
    const path = `/clusters/${clusterId}/hash`;
    return await (await this.#patiently(path, {}, () => url)).json();
  }

  /** What one NodeHost says of itself, or undefined if it does not answer. */
  async status(url: string): Promise<HostStatus | undefined> {
    try {
      const response = await fetch(`${url}/status`, {
        signal: this.#attemptSignal(),
      });
      return response.ok ? await response.json() : undefined;
    } catch {
      this.#signal.throwIfAborted();
      return undefined;
    }
  }

  #anyHost(path: string, init: RequestInit): Promise<Response> {
    return this.#patiently(path, init, () => this.#nextUrl());
  }

  /** Repeats a request until it is answered with what it asked for, or (`mayBeAbsent`) with "not found". */
  async #patiently(
    path: string,
    init: RequestInit,
    choose: () => string,
    mayBeAbsent = false,
  ): Promise<Response> {
    const deadline = performance.now() + patienceMs;
    let lastFailure = "";
    for (let attempt = 0; performance.now() < deadline; attempt++) {
      const url = choose();
      try {
        const response = await fetch(
          `${url}${path}?timeoutMs=${attemptTimeoutMs}`,
          { ...init, signal: this.#attemptSignal() },
        );
        if (response.ok) return response;
        if (response.status === 404 && mayBeAbsent) return response;
        lastFailure = `${url} answered ${response.status} ${await response
          .text()}`;
        if (isCallersMistake(response.status)) {
          throw new RefusedError(lastFailure);
        }
      } catch (error) {
        this.#signal.throwIfAborted();
        if (error instanceof RefusedError) throw error;
        lastFailure = `${url} did not answer: ${(error as Error).message}`;
        this.#avoidUntil.set(url, performance.now() + avoidMs);
      }
      await pause(Math.min(100, 5 * 2 ** attempt) * (0.5 + Math.random()));
      this.#signal.throwIfAborted();
    }
    throw new DemoFailure(
      `Stuck: no success with ${path} for ${patienceMs} ms; at last ${lastFailure}`,
    );
  }

  #nextUrl(): string {
    const now = performance.now();
    const urls = this.#urls.filter((url) =>
      (this.#avoidUntil.get(url) ?? 0) <= now
    );
    const choice = urls.length > 0 ? urls : this.#urls;
    return choice[this.#turn++ % choice.length]!;
  }

  #attemptSignal(): AbortSignal {
    return AbortSignal.any([
      this.#signal,
      AbortSignal.timeout(2 * attemptTimeoutMs),
    ]);
  }
}

/** The request was wrong: repeating it is useless. */
class RefusedError extends DemoFailure {}

/** A NodeHost that just started may not carry the cluster yet, so "not found" passes too. */
function isCallersMistake(status: number): boolean {
  return status >= 400 && status < 500 && status !== 404 && status !== 429;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
