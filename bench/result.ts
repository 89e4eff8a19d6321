/** The line of JSON that a measurement ends with. */
import { Histogram, round } from "./figures.ts";
import type { BenchOptions } from "./options.ts";
import type { LoadReport, Usage } from "./protocol.ts";

/** One measurement. Modes other than `write` and `read` add figures of their own. */
export interface BenchResult {
  readonly [key: string]: unknown;
  readonly system: "drakkar";
  /** Operations in a second, over all clusters. */
  readonly ops: number;
  /** Median latency. */
  readonly "p50_ms": number;
  /** Mode `soak`: whether nothing grew; if something did, the benchmark has failed. */
  readonly "is_flat"?: boolean;
  /** Mode `idle`: whether every cluster had a leader again within the bound; if not, the benchmark has failed. */
  readonly "is_recovered"?: boolean;
}

/** Everything that a load and its processes gave. */
export interface Measured {
  /** One for each process that had something to do. */
  readonly reports: readonly LoadReport[];
  /** Each process before the load. */
  readonly before: readonly Usage[];
  /** Each process after it. */
  readonly after: readonly Usage[];
}

/** Makes the line. What was not left at its default, apart from the options that are always named, is named too. */
export function makeResult(
  options: BenchOptions,
  measured: Measured,
  more: Record<string, unknown> = {},
): BenchResult {
  const latencies = new Histogram();
  for (const report of measured.reports) latencies.merge(report.latencies);
  const total = (usages: readonly Usage[]) =>
    usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0);
  return {
    system: "drakkar",
    mode: options.mode,
    clusters: options.clusters,
    payload: options.payload,
    outstanding: options.outstanding,
    ops: Math.round(measured.reports.reduce((sum, { ops }) => sum + ops, 0)),
    p50_ms: round(latencies.quantile(0.5), 3),
    p99_ms: round(latencies.quantile(0.99), 3),
    p999_ms: round(latencies.quantile(0.999), 3),
    cpu_s: round(total(measured.after) - total(measured.before), 2),
    rss_mb: measured.after.map(({ rssMb }) => Math.round(rssMb)),
    ...(options.snapshotEntries === undefined
      ? {}
      : { snapshot_entries: options.snapshotEntries }),
    ...(options.isSecure ? { tls: true } : {}),
    ...(options.isObserved ? { observed: true } : {}),
    ...(options.isInSession ? { sessions: true } : {}),
    ...more,
  };
}

/** Fails if a load met errors that its mode does not expect. */
export function requireNoErrors(reports: readonly LoadReport[]): void {
  for (const { errors } of reports) {
    if (Object.keys(errors).length > 0) {
      throw new Error(`Calls failed: ${JSON.stringify(errors)}`);
    }
  }
}
