/**
 * The metrics of a NodeHost through OpenTelemetry. This is an entry point of its own, so that who does not use
 * OpenTelemetry never loads it; it needs the API package only, and whatever SDK the program has set up (Deno's own, with
 * `OTEL_DENO=true`, will do).
 *
 * @example
 * ```ts ignore
 * import { observe } from "https://raw.githubusercontent.com/OWNER/drakkar/v0.1.0/raft/otel/mod.ts";
 *
 * const stop = observe(host); // at each collection from now on
 * ```
 *
 * @module
 */
import type { Metric, MetricSample } from "../metrics/host_metrics.ts";
import type { Measured } from "../metrics/prometheus.ts";
import { metrics } from "./deps.ts";

export type { Metric, MetricSample, MetricType } from "../mod.ts";
export type { HistogramSnapshot, HostMetrics, Measured } from "../mod.ts";

/** Attributes of one value. */
export type Attributes = Readonly<Record<string, string>>;

/** An observable instrument of `@opentelemetry/api`, as far as it is needed here. */
export interface Instrument {
  /** Has a callback that is called at each collection. */
  addCallback(callback: never): void;
}

/** Takes values at a collection. */
export interface Observer {
  /** Notes the value of an instrument. */
  observe(instrument: Instrument, value: number, attributes?: Attributes): void;
}

/** How an instrument is made. */
export interface InstrumentOptions {
  /** What it says. */
  description?: string;
  /** `s`, `By` or none. */
  unit?: string;
}

/** A `Meter` of `@opentelemetry/api`, as far as it is needed here. */
export interface Meter {
  /** Makes an instrument for what only grows. */
  createObservableCounter(
    name: string,
    options?: InstrumentOptions,
  ): Instrument;
  /** Makes an instrument for what goes up and down. */
  createObservableGauge(name: string, options?: InstrumentOptions): Instrument;
  /** Calls `callback` at each collection. */
  addBatchObservableCallback(
    callback: (observer: Observer) => void,
    instruments: Instrument[],
  ): void;
  /** Calls it no more. */
  removeBatchObservableCallback(
    callback: (observer: Observer) => void,
    instruments: Instrument[],
  ): void;
}

/** What may be chosen. */
export interface ObserveOptions {
  /** Where the instruments are made; by default the meter `drakkar` of the global provider. */
  readonly meter?: Meter;
  /** Added to every value; tells several NodeHosts of a process apart. */
  readonly attributes?: Attributes;
}

/** One instrument, and how its values are found in a snapshot. */
interface Observed {
  readonly instrument: Instrument;
  readonly samplesOf: (metric: Metric) => readonly MetricSample[];
}

/**
 * Has every metric of a NodeHost observed at each collection. OpenTelemetry knows no observable histogram, so a
 * histogram is three counters, as Prometheus writes it: `_bucket` with the attribute `le`, `_sum` and `_count`.
 *
 * @returns What ends it. Call it when the NodeHost is closed.
 */
export function observe(
  host: Measured,
  options: ObserveOptions = {},
): () => void {
  const meter = options.meter ?? metrics.getMeter("drakkar");
  const attributes = options.attributes ?? {};
  const observed = new Map<string, readonly Observed[]>();
  for (const metric of host.metrics.snapshot()) {
    observed.set(metric.name, instrumentsOf(meter, metric));
  }
  const callback = (observer: Observer): void => {
    for (const metric of host.metrics.snapshot()) {
      for (const { instrument, samplesOf } of observed.get(metric.name) ?? []) {
        for (const { labels, value } of samplesOf(metric)) {
          observer.observe(instrument, value, { ...attributes, ...labels });
        }
      }
    }
  };
  const instruments = [...observed.values()].flat()
    .map(({ instrument }) => instrument);
  meter.addBatchObservableCallback(callback, instruments);
  return () => meter.removeBatchObservableCallback(callback, instruments);
}

function instrumentsOf(meter: Meter, metric: Metric): Observed[] {
  const description = metric.help;
  const unit = { "": "", seconds: "s", bytes: "By" }[metric.unit];
  const counter = (
    name: string,
    counterUnit: string,
    samplesOf: Observed["samplesOf"],
  ): Observed => ({
    instrument: meter.createObservableCounter(name, {
      description,
      unit: counterUnit,
    }),
    samplesOf,
  });
  if (metric.type === "counter") {
    return [counter(metric.name, unit, ({ samples }) => samples)];
  }
  if (metric.type === "gauge") {
    return [{
      instrument: meter.createObservableGauge(metric.name, {
        description,
        unit,
      }),
      samplesOf: ({ samples }) => samples,
    }];
  }
  return [
    counter(`${metric.name}_bucket`, "", bucketsOf),
    counter(`${metric.name}_sum`, unit, ({ histogram }) => [
      { labels: {}, value: histogram?.sum ?? 0 },
    ]),
    counter(`${metric.name}_count`, "", ({ samples }) => samples),
  ];
}

function bucketsOf({ histogram }: Metric): MetricSample[] {
  if (histogram === undefined) return [];
  const { buckets, count } = histogram;
  return [
    ...buckets.map((bucket) => ({
      labels: { le: String(bucket.le) },
      value: bucket.count,
    })),
    { labels: { le: "+Inf" }, value: count },
  ];
}
