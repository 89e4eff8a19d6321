/** Clients: one for each cluster, which writes number after number through a session, wherever the cluster is. */
import { memoryStorage, NodeHost, RaftError } from "../../../mod.ts";
import type { Session } from "../../../mod.ts";
import { encodeNumber, type LedgerState } from "./ledger.ts";

const timeoutMs = 5_000;
const readTimeoutMs = 20_000;

/** Writes to one cluster. */
class Writer {
  /** The last number that was acknowledged. */
  acknowledged = 0;
  /** Whether the number after it may have been written as well. */
  isUnfinished = false;
  readonly #host: NodeHost;
  readonly clusterId: number;
  #session: Session | undefined;

  constructor(host: NodeHost, clusterId: number) {
    this.#host = host;
    this.clusterId = clusterId;
  }

  /** Writes the next number, or finds out what became of it. */
  async write(): Promise<void> {
    this.#session ??= await this.#host.openSession(this.clusterId, {
      timeoutMs,
    });
    const session = this.#session;
    const next = this.acknowledged + 1;
    try {
      if (session.isUnfinished) {
        await this.#host.retry(session, { timeoutMs });
      } else {
        await this.#host.propose(session, encodeNumber(next), { timeoutMs });
      }
      this.acknowledged = next;
    } finally {
      this.isUnfinished = session.isUnfinished;
    }
  }
}

/** What a cluster lost. */
export interface WriteFinding {
  /** The cluster. */
  readonly clusterId: number;
  /** What is wrong. */
  readonly what: string;
}

/** All clients: a NodeHost that carries nothing. */
export class Writers {
  readonly #host: NodeHost;
  readonly #writers: Writer[];
  #isOver = false;
  #runs: Promise<void>[] = [];
  /** What must not happen. */
  failure: Error | undefined;

  private constructor(host: NodeHost, clusterIds: readonly number[]) {
    this.#host = host;
    this.#writers = clusterIds.map((id) => new Writer(host, id));
  }

  /** Opens the NodeHost. */
  static async open(options: {
    raftAddress: string;
    peers: string[];
    deploymentId: bigint;
    clusterIds: readonly number[];
  }): Promise<Writers> {
    const { clusterIds, ...config } = options;
    const storage = memoryStorage();
    const host = await NodeHost.open({ dir: "clients", storage, ...config });
    return new Writers(host, clusterIds);
  }

  /** Numbers that were acknowledged. */
  get acknowledged(): number {
    return this.#writers.reduce((sum, one) => sum + one.acknowledged, 0);
  }

  /** The same of each cluster. */
  acknowledgedByCluster(): Map<number, number> {
    return new Map(
      this.#writers.map((one) => [one.clusterId, one.acknowledged]),
    );
  }

  /** Writes until {@link stop}. */
  start(pauseMs: number): void {
    this.#runs = this.#writers.map((writer) => this.#run(writer, pauseMs));
  }

  async #run(writer: Writer, pauseMs: number): Promise<void> {
    while (!this.#isOver && this.failure === undefined) {
      try {
        await writer.write();
      } catch (error) {
        // Nobody leads, the leader was killed, it took too long: it goes on from there.
        if (!passes(error)) this.failure ??= error as Error;
      }
      await new Promise((resolve) =>
        setTimeout(resolve, pauseMs * (0.5 + Math.random()))
      );
    }
  }

  /** Ends the writing. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#runs);
  }

  /** Reads every cluster, linearizably, and compares. */
  async findings(): Promise<WriteFinding[]> {
    const all: WriteFinding[] = [];
    for (const writer of this.#writers) {
      const { clusterId, acknowledged, isUnfinished } = writer;
      const { last, wrong } = await this.#host.read<LedgerState>(
        clusterId,
        "state",
        { timeoutMs: readTimeoutMs },
      );
      if (last < acknowledged) {
        const what = `${acknowledged} were acknowledged, ${last} are there`;
        all.push({ clusterId, what });
      } else if (last > acknowledged + (isUnfinished ? 1 : 0)) {
        const what = `${last} are there, ${acknowledged} were written`;
        all.push({ clusterId, what });
      }
      if (wrong > 0) {
        all.push({ clusterId, what: `${wrong} came twice, or too early` });
      }
    }
    return all;
  }

  /** Closes the NodeHost. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.#host.close();
  }
}

/** What a session had begun is finished by the next attempt, and what was not begun is made again. */
function passes(error: unknown): boolean {
  return error instanceof RaftError && error.code !== "invalidSession";
}
