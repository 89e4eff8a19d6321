/** docs/FEATURES.md names a test for every feature; a name that no test bears would be a promise that nothing keeps. */
import { assert } from "./deps.ts";

function* testFiles(folder: string): Generator<string> {
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* testFiles(path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

/** All tests as text, but for this file. */
function testCode(root: string): string {
  let code = "";
  for (const path of testFiles(`${root}tests`)) {
    if (!path.endsWith("/features_test.ts")) {
      code += Deno.readTextFileSync(path);
    }
  }
  return code;
}

Deno.test("docs/MASTER.md names tests that exist for each decision from M1 to M20", () => {
  const root = `${import.meta.dirname}/../`;
  const code = testCode(root);
  const page = Deno.readTextFileSync(`${root}docs/MASTER.md`);
  const rows = page.split("\n").filter((line) => /^\| M[0-9]+ /.test(line));
  const numbers = rows.map((row) => /^\| M([0-9]+) /.exec(row)?.[1]);
  assert.deepEqual(numbers, Array.from({ length: 20 }, (_, i) => `${i + 1}`));
  for (const row of rows) {
    const shownBy = row.split("|")[3]!;
    const names = [...shownBy.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
    assert.ok(names.length > 0, row);
    for (const name of names) assert.ok(code.includes(name), name);
  }
});

Deno.test("docs/MASTER_SCENARIOS.md says of every scenario what became of it, and names tests that exist", () => {
  const root = `${import.meta.dirname}/../`;
  const code = testCode(root);
  const page = Deno.readTextFileSync(`${root}docs/MASTER_SCENARIOS.md`);
  const rows = page.split("\n").filter((line) => /^\| [^-]/.test(line))
    .filter((line) => !/^\| Scenario +\|/.test(line));
  assert.ok(rows.length > 50, `${rows.length} rows`);
  for (const row of rows) {
    const here = row.split("|")[2]!.trim();
    assert.match(here, /^(?:Kept|Changed|Not ours)\b/, row);
    const names = [...here.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
    for (const name of names) {
      // The rest of a long name may be left out.
      assert.ok(code.includes(name.replace(/,? ?…$/, "")), name);
    }
    if (here.startsWith("Not ours")) continue;
    assert.ok(
      names.length > 0 || /`(?:tests|testing)\/|deno task/.test(here),
      row,
    );
  }
});

Deno.test("docs/MASTER.md names tests that exist for each kind of bad input", () => {
  const root = `${import.meta.dirname}/../`;
  const code = testCode(root);
  const page = Deno.readTextFileSync(`${root}docs/MASTER.md`);
  const section = page.split("\n## Bad input\n")[1]!.split("\n## ")[0]!;
  const rows = section.split("\n").filter((line) => /^\| [^-W]/.test(line));
  assert.ok(rows.length >= 9, `${rows.length} rows`);
  for (const row of rows) {
    const names = [...row.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
    assert.ok(names.length > 0, row);
    for (const name of names) assert.ok(code.includes(name), name);
  }
});

Deno.test("docs/FEATURES.md names tests that exist, and one or a reason in every row", () => {
  const root = `${import.meta.dirname}/../`;
  const code = testCode(root);
  const page = Deno.readTextFileSync(`${root}docs/FEATURES.md`);
  const rows = page.split("\n").filter((line) => /^\| [^-]/.test(line));
  assert.ok(rows.length > 40, `${rows.length} rows`);
  const problems: string[] = [];
  for (const row of rows) {
    const [, feature, here, shownBy] = row.split("|").map((cell) =>
      cell.trim()
    );
    if (shownBy === "Shown by") continue;
    const names = [...shownBy!.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
    for (const name of names) {
      if (!code.includes(name)) problems.push(`${feature}: "${name}"`);
    }
    const hasOther = /`tests\/|\]\(/.test(shownBy!);
    if (names.length === 0 && !hasOther && !here!.startsWith("Cannot apply:")) {
      problems.push(`${feature}: nothing shows it`);
    }
  }
  assert.deepEqual(problems, []);
});

/** What Dragonboat's documents and sources offer, each with the beginning of the row that answers it. */
const offered: readonly (readonly [feature: string, row: string])[] = [
  ["several groups, batching, pipelining, group commit", "Many Raft groups"],
  ["replication before the sync", "Replication before the sync"],
  ["fast apply", "Fast apply of each cluster"],
  ["regular state machines", "Regular state machine"],
  ["concurrent state machines", "Concurrent state machine"],
  ["on-disk state machines", "On-disk state machine"],
  ["state machines in C++", "C++ state machine"],
  ["client sessions", "Client sessions"],
  ["ReadIndex, StaleRead", "ReadIndex and StaleRead"],
  ["observers", "Non-voting members"],
  ["witnesses", "Witnesses"],
  ["PreVote, CheckQuorum", "Pre-vote, check-quorum"],
  ["leader transfer", "Leadership transfer"],
  ["ordered config change", "Ordered config change"],
  ["guards of membership changes", "Guards on the only voter"],
  ["quiesce", "Quiesce"],
  ["rate limit by the log in memory", "In-memory log limit"],
  ["back-pressure of a busy log", "Back-pressure of a busy log"],
  ["fail-fast", "Fail-fast for dropped requests"],
  ["commit notification", "Commit notification"],
  ["snapshots: automatic, requested, exported", "Snapshots by themselves"],
  ["snapshots streamed without a file", "Snapshot streamed without"],
  [
    "compression: snapshots, entries",
    "Compression of snapshots and of entries",
  ],
  ["bandwidth limits of snapshots", "Bandwidth limits"],
  ["block checksums", "Block checksums"],
  ["import after a loss of quorum", "Import after a loss of quorum"],
  ["RemoveData, compaction", "RemoveData, manual compaction"],
  ["log queries", "Raft log query"],
  ["the log in a key-value store", "LogDB on RocksDB"],
  ["the log in segments", "Segmented write-ahead log"],
  ["a log of one's own", "Custom log"],
  ["a transport of one's own", "Custom transport"],
  ["gRPC", "gRPC transport"],
  ["mutual TLS", "Mutual TLS"],
  ["deployment id", "Deployment id check"],
  ["directory lock", "Directory lock"],
  ["NodeHost id", "NodeHost id"],
  ["gossip", "Addresses that change, registry, gossip"],
  ["a node registry of one's own", "Custom node registry"],
  ["event listeners", "Raft and system events"],
  ["Prometheus", "Prometheus metrics"],
  ["virtual file system, faults", "Virtual file system, injected faults"],
  ["master", "Master (Drummer) in the tree"],
  ["start that waits", "Start that waits until it is ready"],
  ["INodeUser", "Direct handle on a node"],
];

Deno.test("docs/FEATURES.md has a row for everything that Dragonboat offers", () => {
  const page = Deno.readTextFileSync(
    `${import.meta.dirname}/../docs/FEATURES.md`,
  );
  const missing = offered.filter(([, row]) => !page.includes(`\n| ${row}`));
  assert.deepEqual(missing, []);
});

for (const name of ["MASTER_SCENARIOS", "NODEHOST_SCENARIOS"]) {
  Deno.test(`docs/${name}.md says of each scenario what became of it, and names tests that exist`, () => {
    const root = `${import.meta.dirname}/../`;
    const code = testCode(root);
    const page = Deno.readTextFileSync(`${root}docs/${name}.md`);
    const rows = page.split("\n").filter((line) =>
      /^\| [^-]/.test(line) && !/^\| Scenario +\|/.test(line)
    );
    assert.ok(rows.length > 20, `${rows.length} rows`);
    const problems: string[] = [];
    for (const row of rows) {
      const [, scenario, here] = row.split("|").map((cell) => cell.trim());
      if (!/^(Kept|Changed|Not ours)[:,]/.test(here!)) {
        problems.push(`${scenario}: ${here}`);
      }
      for (const [, quoted] of here!.matchAll(/"([^"]+)"/g)) {
        // A name that is cut short ends with three dots.
        const known = quoted!.replace(/(, )?…$/, "");
        if (!code.includes(known)) problems.push(`${scenario}: "${quoted}"`);
      }
    }
    assert.deepEqual(problems, []);
  });
}
