import { assert } from "../deps.ts";
import { parseLcov, percent, sumOf } from "./lcov.ts";

const report = `SF:/work/raft/core/a.ts
FN:1,one
FNDA:2,one
DA:1,2
DA:2,0
DA:3,1
BRDA:1,0,0,2
BRDA:1,0,1,0
BRDA:3,1,0,-
BRF:3
BRH:1
LF:3
LH:2
end_of_record
SF:/work/storage/b.ts
DA:7,1
LF:1
LH:1
end_of_record
`;

Deno.test("parseLcov() reads lines and branches, and which were missed", () => {
  const files = parseLcov(report);
  assert.deepEqual(files[0], {
    path: "/work/raft/core/a.ts",
    lines: 3,
    linesHit: 2,
    branches: 3,
    branchesHit: 1,
    missedLines: [2],
    missedBranches: [1, 3],
  });
  assert.equal(files.length, 2);
  assert.deepEqual(sumOf(files), {
    lines: 4,
    linesHit: 3,
    branches: 3,
    branchesHit: 1,
  });
});

Deno.test("percent() says 100 only of all", () => {
  assert.equal(percent(9_999, 10_000), 99.9);
  assert.equal(percent(5, 5), 100);
  assert.equal(percent(0, 0), 100);
});
