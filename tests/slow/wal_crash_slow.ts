/** The crash tests of `tests/crash_test.ts` with more seeds. */
import { assert } from "../deps.ts";
import {
  eachSeed,
  failures,
  fullDisk,
  powerCuts,
} from "../storage/wal/crash_run.ts";

Deno.test("The log keeps what it acknowledged through 1,000 seeds of power cuts (rules L2, L6)", async () => {
  await eachSeed({ first: 1_000, count: 1_000 }, powerCuts);
});

Deno.test("A failed write or sync loses nothing acknowledged, 500 seeds (rules L2, L5)", async () => {
  assert.ok(await eachSeed({ first: 1_000, count: 500 }, failures) > 2_000);
});

Deno.test("A full disk refuses whole groups, 300 seeds (rule L5)", async () => {
  assert.ok(await eachSeed({ first: 1_000, count: 300 }, fullDisk) > 4_000);
});
