/**
 * Random harm for cores, with all of the paper's figure 3 checked after every step. A failing seed replays with
 * `deno test -A tests/raft/core/chaos_test.ts -- --seed N`.
 */
import { assert } from "../../deps.ts";
import { runChaos } from "../../support/core_chaos.ts";

const stepCount = 3_000;
const given = Deno.args.indexOf("--seed");
const seeds = given >= 0
  ? [Number(Deno.args[given + 1])]
  : Array.from({ length: 200 }, (_, position) => position + 1);

Deno.test("Cores keep every promise of the paper under random harm, and recover", () => {
  const totals: Record<string, number> = {};
  let committedCount = 0;
  let termCount = 0;
  let quietCount = 0;
  for (const seed of seeds) {
    try {
      const report = runChaos({ seed, stepCount });
      committedCount += report.committedIndex;
      termCount += report.termCount;
      quietCount += report.quietCount;
      for (const [name, count] of Object.entries(report.counts)) {
        totals[name] = (totals[name] ?? 0) + count;
      }
    } catch (error) {
      throw new Error(
        `Cannot survive seed ${seed}: deno test -A tests/raft/core/chaos_test.ts -- --seed ${seed}`,
        { cause: error },
      );
    }
  }
  if (given >= 0) return;
  // A run in which nothing happens would prove nothing.
  assert.ok(committedCount > 50 * seeds.length, `${committedCount} committed`);
  assert.ok(quietCount > seeds.length, `${quietCount} times quiet`);
  assert.ok(termCount > 5 * seeds.length, `${termCount} terms`);
  for (const [name, count] of Object.entries(totals)) {
    assert.ok(count >= seeds.length, `${name}: ${count}`);
  }
});
