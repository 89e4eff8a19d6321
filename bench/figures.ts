/** Arithmetic of figures, and how they are shown. Pure. */

const subBits = 7;
const subCount = 1 << subBits;
const unitsPerMs = 10_000;
const bucketCount = (32 - subBits) * subCount;

function bucketOf(units: number): number {
  if (units < subCount) return units;
  const exponent = 31 - Math.clz32(units) - subBits;
  return exponent * subCount + (units >>> exponent);
}

/** The middle of the bucket, in units. */
function valueOf(bucket: number): number {
  if (bucket < 2 * subCount) return bucket;
  const exponent = Math.floor(bucket / subCount) - 1;
  const low = (bucket - exponent * subCount) * 2 ** exponent;
  return low + (2 ** exponent - 1) / 2;
}

/**
 * Latencies in constant memory: steps of a tenth of a microsecond at first, then 128 steps for each power of two,
 * so that a percentile is within 0.4 % of the true one. The longest is about 200 s.
 */
export class Histogram {
  readonly #counts = new Float64Array(bucketCount);
  #total = 0;

  /** How many latencies were added. */
  get total(): number {
    return this.#total;
  }

  /** Adds one latency in milliseconds. */
  add(ms: number): void {
    const units = Math.min(
      0x7fff_ffff,
      Math.max(0, Math.round(ms * unitsPerMs)),
    );
    this.#counts[bucketOf(units)]! += 1;
    this.#total += 1;
  }

  /** The latency, in milliseconds, below which the part `q` (0 to 1) of them lies; 0 for none. */
  quantile(q: number): number {
    if (this.#total === 0) return 0;
    const rank = Math.min(this.#total - 1, Math.floor(q * this.#total));
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#counts[bucket]!;
      if (seen > rank) return valueOf(bucket) / unitsPerMs;
    }
    return 0;
  }

  /** The buckets that are not empty, for another process to {@link merge}. */
  toSparse(): [bucket: number, count: number][] {
    const sparse: [number, number][] = [];
    this.#counts.forEach((count, bucket) => {
      if (count > 0) sparse.push([bucket, count]);
    });
    return sparse;
  }

  /** Adds what another histogram's {@link toSparse} returned. */
  merge(sparse: readonly (readonly [bucket: number, count: number])[]): void {
    for (const [bucket, count] of sparse) {
      this.#counts[bucket]! += count;
      this.#total += count;
    }
  }
}

/** The middle of `values`, or the mean of the two in the middle; NaN for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `value` with at most `digits` decimals. */
export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** The middle and the ends of what several runs gave, as `0.61 (0.58 to 0.66)`. */
export function formatSpread(
  values: readonly number[],
  digits: number,
): string {
  const low = Math.min(...values).toFixed(digits);
  const high = Math.max(...values).toFixed(digits);
  return `${median(values).toFixed(digits)} (${low} to ${high})`;
}

/** A table in aligned columns; all but the first are set flush right. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]) =>
    widths.map((width, column) => {
      const cell = row[column] ?? "";
      return column === 0 ? cell.padEnd(width) : cell.padStart(width);
    }).join("  ").trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [line(head), rule, ...rows.map(line)].join("\n");
}
