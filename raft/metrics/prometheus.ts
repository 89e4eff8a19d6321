/**
 * Metrics as a page for Prometheus and all that read its format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 */
import type { HostMetrics, Metric, MetricSample } from "./host_metrics.ts";

/** The `content-type` to serve {@link prometheus} with. */
export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

/** A NodeHost, or anything else that measures like one. */
export interface Measured {
  /** What it measures. */
  readonly metrics: Pick<HostMetrics, "snapshot">;
}

/**
 * The metrics of a NodeHost as text, to be served at `/metrics` with {@link prometheusContentType}. Several NodeHosts of
 * one process need a page each, or `labels` that tell them apart.
 *
 * @param host Whose metrics.
 * @param labels Added to every series, such as `{ host: "a" }`.
 * @throws {RangeError} if the name of a label is none, or is `le`.
 */
export function prometheus(
  host: Measured,
  labels: Readonly<Record<string, string>> = {},
): string {
  for (const name of Object.keys(labels)) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || name === "le") {
      throw new RangeError(
        `Cannot use label "${name}": it is not the name of a label`,
      );
    }
  }
  const lines: string[] = [];
  for (const metric of host.metrics.snapshot()) {
    lines.push(`# HELP ${metric.name} ${escapeHelp(metric.help)}`);
    lines.push(`# TYPE ${metric.name} ${metric.type}`);
    if (metric.histogram !== undefined) pushHistogram(lines, metric, labels);
    else {
      for (const sample of metric.samples) {
        lines.push(line(metric.name, sample, labels));
      }
    }
  }
  return lines.join("\n") + "\n";
}

function pushHistogram(
  lines: string[],
  { name, histogram }: Metric,
  labels: Readonly<Record<string, string>>,
): void {
  const { buckets, count, sum } = histogram!;
  for (const bucket of buckets) {
    const le = String(bucket.le);
    lines.push(
      line(`${name}_bucket`, { labels: { le }, value: bucket.count }, labels),
    );
  }
  lines.push(
    line(`${name}_bucket`, { labels: { le: "+Inf" }, value: count }, labels),
    line(`${name}_sum`, { labels: {}, value: sum }, labels),
    line(`${name}_count`, { labels: {}, value: count }, labels),
  );
}

function line(
  name: string,
  sample: MetricSample,
  common: Readonly<Record<string, string>>,
): string {
  const labels = Object.entries({ ...common, ...sample.labels })
    .map(([label, value]) => `${label}="${escapeLabel(value)}"`);
  const set = labels.length === 0 ? "" : `{${labels.join(",")}}`;
  return `${name}${set} ${sample.value}`;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
