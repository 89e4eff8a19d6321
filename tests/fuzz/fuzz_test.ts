import { assert, fc } from "../deps.ts";
import { countingAllocations } from "./allocations.ts";
import { diskTargets } from "./disk_targets.ts";
import { masterTargets } from "./master_targets.ts";
import { propertiesOf } from "./target.ts";
import { requireReadable, wholeLogs } from "./whole_logs.ts";
import { wireTargets } from "./wire_targets.ts";

/** The same in every run, so that a failure is one for everybody; `deno task fuzz` takes fresh ones. */
const seed = 20_240_607;
const runs = 150;

/** What fresh seeds found in whole logs. */
const found: unknown[] = [
  // A header that checks, with a base inside the segment before.
  [true, [[16, { kind: "number", at: 11_487, width: 1, value: 255n }]]],
  // A batch that begins inside the one before it.
  [true, [[0, { kind: "byte", at: 23_881, value: 4 }]]],
];

for (const one of [...wireTargets, ...diskTargets, ...masterTargets]) {
  Deno.test(`Fuzzing: ${one.name} is decoded or refused, whatever the bytes are`, () => {
    for (const [what, property] of Object.entries(propertiesOf(one))) {
      const details = fc.check(property, { seed, numRuns: runs });
      assert.ok(
        !(details instanceof Promise) && !details.failed,
        `${what}, seed ${seed}: ${
          details instanceof Promise ? "" : fc.defaultReportMessage(details)
        }`,
      );
    }
  });
}

Deno.test("Fuzzing: a log with damage in it is opened or refused as corruption, whatever its records say (rule L1)", async () => {
  await requireReadable();
  await fc.assert(await wholeLogs(), { seed, numRuns: 300, examples: found });
});

Deno.test("Fuzzing counts the memory that a decoder takes by a length it was told", () => {
  const hostile = Uint8Array.of(255, 255, 255, 0);
  const { allocatedBytes } = countingAllocations(() => {
    const length = new DataView(hostile.buffer).getUint32(0, true);
    return new Uint8Array(length);
  });
  assert.equal(allocatedBytes, 0xffffff);
});
