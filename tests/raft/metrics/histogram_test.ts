import { assert } from "../../deps.ts";
import { Histogram } from "../../../raft/metrics/histogram.ts";

Deno.test("Histogram counts each value in the buckets above it", () => {
  const histogram = new Histogram();
  for (let bits = 0; bits <= 26; bits++) {
    histogram.record(2 ** bits / 1_000);
    histogram.record((2 ** bits - 1) / 1_000 + 0.0001);
  }
  const { buckets, count } = histogram.snapshot();
  assert.equal(count, 54);
  for (const [i, bucket] of buckets.entries()) {
    const bits = i + 4;
    assert.equal(bucket.le, 2 ** bits / 1e6);
    // All powers below, and all predecessors up to this one.
    assert.equal(bucket.count, bits + bits + 1, `below 2^${bits} µs`);
  }
});

Deno.test("Histogram knows quantiles to an eighth, whatever the values", () => {
  for (const scale of [1, 37, 1_000, 123_457]) {
    const histogram = new Histogram();
    for (let i = 1; i <= 1_000; i++) histogram.record(i * scale / 1_000);
    const { p50, p90, p99, p999, max, sum } = histogram.snapshot();
    for (
      const [found, exact] of [[p50, 500], [p90, 900], [p99, 990], [p999, 999]]
    ) {
      const wanted = exact! * scale / 1e6;
      assert.ok(
        found! >= wanted * 0.999 && found! <= wanted * 1.126 + 1e-6,
        `${found} for ${wanted}`,
      );
    }
    assert.equal(max, scale / 1_000);
    assert.ok(Math.abs(sum - 500_500 * scale / 1e6) < 0.002);
  }
});

Deno.test("Histogram takes a count at once, and survives values that are none", () => {
  const histogram = new Histogram();
  assert.deepEqual(histogram.snapshot().p999, 0);
  histogram.record(3, 4_096);
  histogram.record(-5);
  histogram.record(Number.NaN);
  histogram.record(Number.POSITIVE_INFINITY);
  histogram.record(1, 0);
  const { count, p50, max, buckets } = histogram.snapshot();
  assert.equal(count, 4_099);
  assert.ok(p50 >= 0.003 && p50 < 0.0034);
  assert.equal(max, (2 ** 31 - 1) / 1e6);
  assert.equal(buckets[0]!.count, 2);
  assert.equal(buckets.at(-1)!.count, 4_098);
});
