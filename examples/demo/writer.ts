/**
 * Puts the input into the clusters, many puts at a time, and measures how long a cluster took none.
 *
 * A crash that meets an idle system proves little. So when the input is too small to keep every worker busy until the
 * crash is over, the workers put filler in its stead: small keys of the demo's own, checked at the end like the rest.
 */
import { crc32 } from "./deps.ts";
import type { KvClient } from "./client.ts";
import { clusterIds } from "./fleet.ts";
import { chunksOf, digestOf } from "./input.ts";
import type { Input, InputFile } from "./input.ts";

/** A put that was acknowledged: from here on the store may not lose it. */
export interface Acknowledged {
  /** Its cluster. */
  readonly clusterId: number;
  /** Its key. */
  readonly key: string;
  /** SHA-256 of its value. */
  readonly digest: string;
  /** Length of its value. */
  readonly bytes: number;
  /** The file it is a piece of; undefined for filler. */
  readonly file: InputFile | undefined;
  /** Where it starts in that file. */
  readonly offset: number;
}

/** Puts that are on their way at any time; more than the 64 that the crash must meet. */
export const outstandingWanted = 128;

const fillerPauseMs = 10;

interface Work {
  readonly clusterId: number;
  readonly key: string;
  readonly value: Uint8Array;
  readonly file: InputFile | undefined;
  readonly offset: number;
}

/** What is known about the writes of one cluster. */
interface Availability {
  outstanding: number;
  /** Since when puts have been waiting without one succeeding. */
  waitingSince: number;
  /** The longest such time between the crash and the cluster's return. */
  longestGapMs: number;
  /** Whether a put succeeded that was sent after the crash. */
  isBack: boolean;
}

/** Writes the input. */
export class Writer {
  /** Everything that was acknowledged. */
  readonly acknowledged: Acknowledged[] = [];
  /** Bytes of the input that were acknowledged. */
  doneBytes = 0;
  /** Puts on their way. */
  outstanding = 0;
  /** Those of them that are filler. */
  outstandingFiller = 0;
  readonly #client: KvClient;
  readonly #chunks: AsyncGenerator<Work>;
  readonly #input: Input;
  readonly #half = Promise.withResolvers<void>();
  readonly #back = Promise.withResolvers<void>();
  readonly #availability = new Map<number, Availability>();
  #fillerCount = 0;
  #crashedAt: number | undefined;
  #isOver = false;

  /** Writes `input` in pieces of `chunkBytes` with `client`. */
  constructor(client: KvClient, input: Input, chunkBytes: number) {
    this.#client = client;
    this.#input = input;
    this.#chunks = workOf(input, chunkBytes);
    for (const clusterId of clusterIds) {
      this.#availability.set(clusterId, {
        outstanding: 0,
        waitingSince: 0,
        longestGapMs: 0,
        isBack: true,
      });
    }
  }

  /** Resolves when half of the bytes are acknowledged. */
  get half(): Promise<void> {
    return this.#half.promise;
  }

  /** Resolves when every cluster that lost its leader has taken a put again that was sent after the crash. */
  get back(): Promise<void> {
    return this.#back.promise;
  }

  /** Tells that the leader of these clusters was killed just now. */
  crashed(clusters: readonly number[]): void {
    const now = performance.now();
    this.#crashedAt = now;
    for (const clusterId of clusters) {
      const availability = this.#availability.get(clusterId)!;
      availability.isBack = false;
      availability.longestGapMs = 0;
      if (availability.outstanding === 0) availability.waitingSince = now;
    }
    this.#tellIfBack();
  }

  /**
   * The longest time for which puts of one of these clusters were waiting and none succeeded, from the crash until a
   * put succeeded that was sent after it.
   */
  longestGapMs(clusters: readonly number[]): number {
    return Math.max(
      0,
      ...clusters.map((id) => this.#availability.get(id)!.longestGapMs),
    );
  }

  /** Writes everything; rejects at the first put that cannot be made. */
  async run(): Promise<void> {
    const workers = Array.from(
      { length: outstandingWanted },
      () => this.#work(),
    );
    try {
      await Promise.all(workers);
    } finally {
      this.#isOver = true;
      await Promise.allSettled(workers);
    }
  }

  async #work(): Promise<void> {
    for (let work = await this.#next(); work; work = await this.#next()) {
      await this.#put(work);
      if (work.file === undefined) await pause(fillerPauseMs);
    }
  }

  async #next(): Promise<Work | undefined> {
    if (this.#isOver) return undefined;
    const { done, value } = await this.#chunks.next();
    if (!done) return value;
    const isCrashOver = this.#crashedAt !== undefined &&
      [...this.#availability.values()].every(({ isBack }) => isBack);
    return isCrashOver || this.#isOver ? undefined : this.#filler();
  }

  /** Filler goes round the clusters, so that each of them is being written to when its leader dies. */
  #filler(): Work {
    const key = `~filler#${this.#fillerCount}`;
    return {
      clusterId: clusterIds[this.#fillerCount++ % clusterIds.length]!,
      key,
      value: new TextEncoder().encode(key),
      file: undefined,
      offset: 0,
    };
  }

  async #put(work: Work): Promise<void> {
    const availability = this.#availability.get(work.clusterId)!;
    const sentAt = performance.now();
    if (availability.outstanding === 0) availability.waitingSince = sentAt;
    availability.outstanding++;
    this.outstanding++;
    const filler = work.file === undefined ? 1 : 0;
    this.outstandingFiller += filler;
    try {
      await this.#client.put(work.clusterId, work.key, work.value);
    } finally {
      availability.outstanding--;
      this.outstanding--;
      this.outstandingFiller -= filler;
    }
    this.#succeeded(availability, sentAt);
    this.acknowledged.push({
      clusterId: work.clusterId,
      key: work.key,
      digest: digestOf(work.value),
      bytes: work.value.length,
      file: work.file,
      offset: work.offset,
    });
    if (work.file !== undefined) this.doneBytes += work.value.length;
    if (this.doneBytes * 2 >= this.#input.bytes) this.#half.resolve();
  }

  #succeeded(availability: Availability, sentAt: number): void {
    const now = performance.now();
    if (!availability.isBack) { // Later a few puts may still wait for an answer of the dead: that is no failover.
      const gap = now - availability.waitingSince;
      availability.longestGapMs = Math.max(availability.longestGapMs, gap);
    }
    availability.waitingSince = now;
    if (this.#crashedAt !== undefined && sentAt >= this.#crashedAt) {
      availability.isBack = true;
      this.#tellIfBack();
    }
  }

  #tellIfBack(): void {
    for (const { isBack } of this.#availability.values()) {
      if (!isBack) return;
    }
    this.#back.resolve();
  }
}

/** Spreads the chunks over the clusters by their keys: where a key lives must follow from the key alone. */
async function* workOf(
  input: Input,
  chunkBytes: number,
): AsyncGenerator<Work> {
  for await (const chunk of chunksOf(input, chunkBytes)) {
    const { key, value, file, offset } = chunk;
    const clusterId = clusterIds[crc32(key) % clusterIds.length]!;
    yield { clusterId, key, value, file, offset };
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
