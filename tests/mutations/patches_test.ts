import { assert } from "../deps.ts";
import { fileURLToPath } from "./deps.ts";
import {
  applyPatch,
  neutral,
  parseHeader,
  patchNames,
  readHeader,
} from "./patches.ts";
import { namesIn, type Outcome, tableOf, withTable } from "./table.ts";
import { verdictOf, verdictOfTests } from "./verdict.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

Deno.test("every broken variant applies to the sources as they are (rule F1)", async () => {
  const names = patchNames();
  assert.ok(names.includes(neutral) && names.length > 30);
  for (const name of names) await applyPatch(name, root, { isCheck: true });
});

Deno.test("applyPatch() fails where there is nothing to patch", async () => {
  const empty = Deno.makeTempDirSync({ prefix: "drakkar-patch-" });
  try {
    await assert.rejects(
      applyPatch("neutral", empty, { isCheck: true }),
      /Cannot apply neutral\.patch: /,
    );
  } finally {
    Deno.removeSync(empty);
  }
});

Deno.test("verdictOf() counts only what a check has caught (rule F1)", () => {
  const notCounted = { seed: 3, check: "counts as a seed" };
  const caught = { seed: 9, check: "logs match" };
  const broken = (...failed: (typeof caught)[]) => verdictOf(failed, false);
  assert.deepEqual(broken(notCounted, caught), {
    ...caught,
    notCounted: 1,
    isAsItShould: true,
  });
  assert.equal(broken(notCounted).isAsItShould, false);
  assert.equal(broken().isAsItShould, false);
  assert.equal(verdictOf([], true).isAsItShould, true);
  assert.equal(verdictOf([caught], true).isAsItShould, false);
  assert.equal(verdictOf([notCounted], true).isAsItShould, false);
});

Deno.test("verdictOfTests() counts a test that ran and failed, and nothing else", () => {
  const ran = `<testsuites><testsuite name="a">
    <testcase name="one (rule C1)" classname="./a.ts" time="0.1"/>
    <testcase name="two &lt;3&gt; &#39;x&#39; &amp; y" classname="./a.ts">
      <failure message="Uncaught">at a.ts</failure></testcase>
    <testcase name="three" classname="./a.ts"></testcase>
  </testsuite></testsuites>`;
  assert.deepEqual(verdictOfTests(ran, false), {
    seed: 0,
    check: "two <3> 'x' & y",
    notCounted: 0,
    isAsItShould: true,
  });
  assert.equal(verdictOfTests(ran, true)?.isAsItShould, false);
  const passed = `<testcase name="one" time="0"/>`;
  assert.equal(verdictOfTests(passed, false)?.isAsItShould, false);
  assert.equal(verdictOfTests(passed, true)?.isAsItShould, true);
  // A module that cannot be loaded is no test that failed.
  assert.equal(verdictOfTests("<testsuites></testsuites>", false), undefined);
});

Deno.test("parseHeader() reads what a patch breaks, and which tests must find it", () => {
  const hunk = "\n--- a/x.ts\n+++ b/x.ts\n@@ -1 +1 @@\n-Caught by: x\n+y\n";
  assert.deepEqual(parseHeader(`Breaks it\nall.\n${hunk}`), {
    what: "Breaks it all.",
    test: undefined,
    isForSimulator: true,
  });
  assert.deepEqual(
    parseHeader(`Breaks it.\nCaught by: tests/a_test.ts\n${hunk}`),
    { what: "Breaks it.", test: "tests/a_test.ts", isForSimulator: false },
  );
  assert.deepEqual(
    parseHeader(`Breaks it.\nOr by: tests/a_test.ts\n${hunk}`),
    { what: "Breaks it.", test: "tests/a_test.ts", isForSimulator: true },
  );
});

Deno.test("every broken variant says what it breaks, and names a test file that is there", () => {
  for (const name of patchNames()) {
    const { what, test } = readHeader(name);
    assert.match(what, /^[A-Z].*\.$/, name);
    if (test !== undefined) assert.ok(Deno.statSync(root + test).isFile, name);
  }
});

Deno.test("the table of docs/TESTING.md tells of more than 30 broken variants, and of none that is not there", () => {
  const named = namesIn(Deno.readTextFileSync(`${root}docs/TESTING.md`));
  assert.ok(named.length > 30, `${named.length} rows`);
  const all = patchNames();
  assert.deepEqual(named, all.filter((name) => named.includes(name)));
});

Deno.test("withTable() replaces the rows of what was judged, keeps the others, and drops what is gone", () => {
  const outcome: Outcome = {
    name: "b",
    what: "Breaks a|b.",
    test: undefined,
    seed: 7,
    check: "logs match",
    notCounted: 0,
    seconds: 1,
    isAsItShould: true,
  };
  const rows = tableOf([
    { ...outcome, name: "a", test: "tests/a_test.ts", check: "one" },
    { ...outcome, name: "gone" },
    { ...outcome, isAsItShould: false },
  ], 200);
  const page = `Before\n\n${rows}\n\nAfter`;
  const written = withTable(page, [outcome], {
    seedCount: 200,
    names: ["a", "b", "c"],
  });
  assert.deepEqual(namesIn(written), ["a", "b"]);
  assert.ok(
    written.startsWith("Before\n\n|") && written.endsWith("|\n\nAfter"),
  );
  assert.ok(
    written.includes('| `a` | Breaks a\\|b. | `tests/a_test.ts`: "one" |  |'),
  );
  assert.ok(written.includes('| `b` | Breaks a\\|b. | "logs match" | 7 |'));
  assert.throws(
    () => withTable("", [outcome], { seedCount: 1, names: [] }),
    /Cannot find the table/,
  );
});
