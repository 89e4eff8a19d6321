/**
 * Latencies in log-linear buckets, as HdrHistogram has them: each power of two of microseconds is cut into eight equal
 * parts, so a value is known to an eighth of itself. Recording is a few integer operations on a fixed array and
 * allocates nothing.
 */

/** Parts of a power of two, as a power of two. */
const partBits = 3;
const parts = 1 << partBits;
/** Values below this have a bucket each. */
const linearBelow = 2 * parts;
const linearBits = partBits + 1;
/** Values are cut off here: a little over half an hour. */
const maxMicros = 2 ** 31 - 1;
const bucketCount = linearBelow + (31 - linearBits) * parts;
/** The bounds that are exported, as powers of two of microseconds: 16 µs to 67 s. */
const firstBoundBits = 4;
const lastBoundBits = 26;

/** A histogram as it was at one moment. Times are in seconds. */
export interface HistogramSnapshot {
  /** Values recorded. */
  readonly count: number;
  /** Their sum, in seconds. */
  readonly sum: number;
  /** The largest, in seconds. */
  readonly max: number;
  /** How many were below each bound, in seconds, in ascending order; all the rest is in `count`. */
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
  /** Quantiles in seconds, an eighth too big at most; 0 while nothing was recorded. */
  readonly p50: number;
  /** See `p50`. */
  readonly p90: number;
  /** See `p50`. */
  readonly p99: number;
  /** See `p50`. */
  readonly p999: number;
}

/** Counts latencies. */
export class Histogram {
  readonly #buckets = new Float64Array(bucketCount);
  #count = 0;
  #sumMicros = 0;
  #maxMicros = 0;

  /** Records `count` values of `ms` milliseconds each. */
  record(ms: number, count = 1): void {
    if (count < 1) return;
    const exact = ms > 0 ? Math.floor(ms * 1_000) : 0; // A clock that went back, or a value that is none, counts as 0.
    const micros = exact < maxMicros ? exact : maxMicros;
    this.#buckets[bucketOf(micros)]! += count;
    this.#count += count;
    this.#sumMicros += micros * count;
    if (micros > this.#maxMicros) this.#maxMicros = micros;
  }

  /** What was recorded so far. */
  snapshot(): HistogramSnapshot {
    const buckets: { le: number; count: number }[] = [];
    let below = 0;
    let bucket = 0;
    for (let bits = firstBoundBits; bits <= lastBoundBits; bits++) {
      const end = bucketOf(2 ** bits);
      for (; bucket < end; bucket++) below += this.#buckets[bucket]!;
      buckets.push({ le: 2 ** bits / 1e6, count: below });
    }
    return {
      count: this.#count,
      sum: this.#sumMicros / 1e6,
      max: this.#maxMicros / 1e6,
      buckets,
      p50: this.#quantile(500),
      p90: this.#quantile(900),
      p99: this.#quantile(990),
      p999: this.#quantile(999),
    };
  }

  /** The upper end of the bucket in which so many of a thousand values are reached. */
  #quantile(perThousand: number): number {
    const wanted = Math.ceil(this.#count * perThousand / 1_000);
    if (wanted === 0) return 0;
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#buckets[bucket]!;
      if (seen >= wanted) {
        return Math.min(endOf(bucket), this.#maxMicros) / 1e6;
      }
    }
    return this.#maxMicros / 1e6;
  }
}

/** The bucket of a value, an integer from 0 to 2^31 - 1. */
function bucketOf(micros: number): number {
  if (micros < linearBelow) return micros;
  const bits = 31 - Math.clz32(micros);
  const part = (micros >>> (bits - partBits)) & (parts - 1);
  return linearBelow + (bits - linearBits) * parts + part;
}

/** The largest value of a bucket. */
function endOf(bucket: number): number {
  if (bucket < linearBelow) return bucket;
  const above = bucket - linearBelow;
  const bits = linearBits + Math.floor(above / parts);
  const part = above % parts;
  return 2 ** bits + (part + 1) * 2 ** (bits - partBits) - 1;
}
