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
