import {
  formatSpread,
  formatTable,
  Histogram,
  median,
  round,
} from "../../bench/figures.ts";
import { assert } from "../deps.ts";

Deno.test("Histogram.quantile() is within half a percent of the true percentile", () => {
  const histogram = new Histogram();
  for (let i = 1; i <= 10_000; i++) histogram.add(i / 100); // 0.01 to 100 ms
  for (const [q, expected] of [[0.5, 50], [0.99, 99], [0.999, 99.9]] as const) {
    const found = histogram.quantile(q);
    assert.ok(
      Math.abs(found - expected) <= expected * 0.005,
      `${q}: ${found} is not about ${expected}`,
    );
  }
});

Deno.test("Histogram keeps short latencies exactly, and takes zero, long and absurd ones", () => {
  const histogram = new Histogram();
  assert.equal(histogram.quantile(0.5), 0);
  histogram.add(0.0123);
  assert.equal(histogram.quantile(0.5), 0.0123);
  histogram.add(0);
  histogram.add(-1);
  histogram.add(1e9);
  assert.equal(histogram.total, 4);
  assert.equal(histogram.quantile(0), 0);
  assert.ok(histogram.quantile(1) > 200_000);
});

Deno.test("Histogram.merge() adds what another process measured", () => {
  const [left, right, both] = [
    new Histogram(),
    new Histogram(),
    new Histogram(),
  ];
  for (let i = 0; i < 1_000; i++) {
    (i % 2 === 0 ? left : right).add(i / 7);
    both.add(i / 7);
  }
  left.merge(JSON.parse(JSON.stringify(right.toSparse())));
  assert.deepEqual(left.toSparse(), both.toSparse());
  assert.equal(left.total, 1_000);
});

Deno.test("median() is the middle, or between the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

Deno.test("round() and formatSpread() show what a reader needs", () => {
  assert.equal(round(1.23456, 2), 1.23);
  assert.equal(
    formatSpread([0.613, 0.58, 0.66], 2),
    "0.61 (0.58 to 0.66)",
  );
});

Deno.test("formatTable() aligns columns", () => {
  assert.equal(
    formatTable(["what", "ops"], [["write", "1200"], ["read", "7"]]),
    "what    ops\n-----  ----\nwrite  1200\nread      7",
  );
});
