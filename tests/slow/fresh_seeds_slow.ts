/** Seeds of the simulator that nobody has run before: each run of all tests looks a little further. */
import { assert } from "../deps.ts";
import { simulate } from "../../testing/mod.ts";

const seedCount = 24;

Deno.test(`${seedCount} fresh seeds of the simulator find nothing (rule F1)`, async () => {
  const first = Math.floor(Date.now() / 1_000) * 1_000;
  for (let seed = first; seed < first + seedCount; seed++) {
    const { failure, harmSeconds } = await simulate({ seed });
    if (failure !== undefined) throw failure; // Names the seed: `deno task sim --seed N` shows it again.
    assert.ok(harmSeconds >= 60);
  }
});
