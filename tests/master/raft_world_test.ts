/** Real NodeHosts, with Raft and logs, and several masters in one process on virtual time (issue: simulation). */
import { assert } from "../deps.ts";
import { chaos } from "./sim/chaos.ts";

for (let seed = 1; seed <= 6; seed++) {
  Deno.test(`Masters and real NodeHosts on virtual time: after everything that can fail, desired is actual, no id is used twice, no majority was given away, nothing written is lost, seed ${seed}`, async () => {
    const { problems, changes, written } = await chaos({ seed, steps: 12 });
    assert.deepEqual(problems, []);
    assert.ok(changes > 0);
    assert.ok(written > 100, `only ${written} values were written`);
  });
}

Deno.test("The same seed of masters and real NodeHosts does the same", async () => {
  const first = await chaos({ seed: 11, steps: 3 });
  assert.deepEqual(await chaos({ seed: 11, steps: 3 }), first);
});
