import { assert } from "../deps.ts";
import { recoverBoundMs, targetsFor } from "../../bench/idle_targets.ts";

Deno.test("recoverBoundMs() follows from the settings", () => {
  const settings = { tickMs: 200, electionTimeoutTicks: 10, lost: 334 };
  assert.equal(recoverBoundMs({ ...settings, isQuiet: false }), 6_200);
  assert.equal(recoverBoundMs({ ...settings, isQuiet: true }), 4_200);
  const many = { ...settings, lost: 3_334 };
  assert.equal(recoverBoundMs({ ...many, isQuiet: false }), 6_200);
  assert.equal(recoverBoundMs({ ...many, isQuiet: true }), 5_000);
});

Deno.test("targetsFor() looks at the worst process, and has none beyond 10,000 clusters", () => {
  const found = {
    "start_s": 9,
    "cpu_percent": [0.3, 0.6, 0.4],
    "rss_mb": [100, 120, 149],
  };
  const few = targetsFor(1_000, { plain: found, quiet: found });
  assert.deepEqual(few.map(({ name, found, met }) => [name, found, met]), [
    ["plain cpu_percent", 0.6, true],
    ["plain rss_mb", 149, true],
    ["quiet cpu_percent", 0.6, false],
    ["quiet rss_mb", 149, true],
  ]);
  const many = targetsFor(10_000, { plain: found, quiet: found });
  assert.ok(many.every(({ met }) => met));
  assert.equal(many.length, 5);
  assert.deepEqual(targetsFor(10_001, { plain: found, quiet: found }), []);
});
