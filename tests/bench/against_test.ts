import { argumentsFor, compare } from "../../bench/against.ts";
import { parseOptions } from "../../bench/options.ts";
import type { BenchResult } from "../../bench/result.ts";
import { assert } from "../deps.ts";

function withOps(ops: number): BenchResult {
  return { system: "drakkar", ops, "p50_ms": 1 };
}

Deno.test("argumentsFor() gives another checkout the same load, and nothing that it may not know", () => {
  const flags = ["--against=/x", "--clusters=48", "--outstanding=64", "--tls"];
  const options = parseOptions([...flags, "--observed", "--sessions"], "/");
  const args = argumentsFor(options, "/data");
  const again = parseOptions(args, "/");
  assert.deepEqual(again, {
    ...options,
    against: undefined,
    dir: "/data",
    isObserved: false,
    isInSession: false,
    repeat: 1,
  });
});

Deno.test("compare() judges by the median of the pairs' ratios (rule F2)", () => {
  const pairs = (ours: number[], theirs: number[]) =>
    compare(ours.map(withOps), theirs.map(withOps));
  const good = pairs([90, 100, 500], [100, 100, 100]);
  assert.deepEqual(good.ratios, [0.9, 1, 5]);
  assert.equal(good.ratio, 1);
  assert.equal(good.against, 100);
  assert.ok(good.isNotWorse);
  assert.ok(!pairs([89, 89, 500], [100, 100, 100]).isNotWorse);
});
