// deno-lint-ignore-file no-console -- a command line.
/** `deno task mutate`: is the simulator any good, and are the tests? See `usage`. */
import { fileURLToPath, parseArgs } from "./deps.ts";
import { applyPatch, neutral, patchNames, readHeader } from "./patches.ts";
import { type Outcome, tableOf, withTable } from "./table.ts";
import { type Verdict, verdictOf, verdictOfTests } from "./verdict.ts";
import { runTool, UsageError } from "../support/tool.ts";

const usage = `Usage: deno task mutate [options]

Is the simulator any good? Every patch in tests/mutations breaks one thing in a
copy of the sources. The simulator alone must find each, by a check that it
names; where it cannot by its nature, or only with luck, the patch names the test
file that must instead. Nothing may be found in the neutral patch, by either. A
seed that only does not count (rule F1 in docs/RULES.md) has found nothing.

  --seeds N     seeds for each patch (200)
  --only NAMES  some patches alone, separated by commas
  --jobs N      copies at work at the same time (1)
  --write       brings the table in docs/TESTING.md up to date
  --json        the results as JSON, before the last line
  --help        this text

Exit status: 0 if every patch was judged as it should be, else 1; 2 for a wrong
command line.`;

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = `${root}docs/TESTING.md`;
const copied = ["raft", "storage", "master", "testing", "tests", "examples"];
const copiedFiles = ["mod.ts", "deno.json", "deno.lock"];
/** A test of a broken variant may wait for what never comes. */
const testTimeoutMs = 15 * 60_000;

function copyTree(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const entry of Deno.readDirSync(from)) {
    const source = `${from}/${entry.name}`;
    const target = `${to}/${entry.name}`;
    if (entry.isDirectory) copyTree(source, target);
    else Deno.copyFileSync(source, target);
  }
}

async function run(
  args: string[],
  cwd: string,
  timeoutMs?: number,
): Promise<{ stdout: string; stderr: string }> {
  const output = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    stdout: "piped",
    stderr: "piped",
    ...(timeoutMs === undefined
      ? {}
      : { signal: AbortSignal.timeout(timeoutMs) }),
  }).output();
  const decoder = new TextDecoder();
  return {
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}

/** A copy of the sources with the patch in it. */
async function patchedCopy(name: string): Promise<string> {
  const copy = Deno.makeTempDirSync({ prefix: `mutation-${name}-` });
  for (const part of copied) copyTree(`${root}${part}`, `${copy}/${part}`);
  for (const file of copiedFiles) {
    try {
      Deno.copyFileSync(`${root}${file}`, `${copy}/${file}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  await applyPatch(name, copy);
  return copy;
}

/** A run that says nothing about its patch: a program that did not end well, or in time. */
class NoVerdict extends Error {}

/** What the simulator makes of a copy. */
async function judgeBySeeds(
  name: string,
  copy: string,
  seedCount: number,
): Promise<Verdict> {
  const { stdout, stderr } = await run([
    "run",
    "--allow-all",
    "--no-check",
    "testing/sim/main.ts",
    "--seeds",
    `1..${seedCount}`,
    "--until-failure",
    "--json",
  ], copy);
  const last = stdout.trim().split("\n").at(-1) ?? "";
  if (last.startsWith("{")) {
    return verdictOf(JSON.parse(last).failed, name === neutral);
  }
  throw new NoVerdict(`the simulator did not end well\n${stderr}`);
}

/** What test files make of a copy. */
async function judgeByTests(
  name: string,
  copy: string,
  files: readonly string[],
): Promise<Verdict> {
  const { stdout, stderr } = await run(
    [
      "test",
      "--allow-all",
      "--no-check",
      "--reporter=junit",
      ...files,
    ],
    copy,
    testTimeoutMs,
  );
  const verdict = verdictOfTests(stdout, name === neutral);
  if (verdict !== undefined) return verdict;
  throw new NoVerdict(`no test ended\n${stderr}`);
}

/** The test files that patches name. */
function namedTests(): string[] {
  const files = patchNames().flatMap((name) => readHeader(name).test ?? []);
  return [...new Set(files)].sort();
}

/** Judges a patch in a copy of its own; a run without a verdict is a wrong judgement. */
async function judge(name: string, seedCount: number): Promise<Outcome> {
  const header = readHeader(name);
  const copy = await patchedCopy(name);
  const startedAt = performance.now();
  const outcomeOf = (verdict: Verdict, test?: string): Outcome => ({
    name,
    what: header.what,
    test,
    ...verdict,
    seconds: (performance.now() - startedAt) / 1_000,
  });
  try {
    if (header.isForSimulator) {
      // A test that fails without a reason would seem to catch whatever names it.
      if (name === neutral) {
        const byTests = await judgeByTests(name, copy, namedTests());
        if (!byTests.isAsItShould) return outcomeOf(byTests, "a test");
      }
      const bySeeds = await judgeBySeeds(name, copy, seedCount);
      if (bySeeds.isAsItShould || header.test === undefined) {
        return outcomeOf(bySeeds);
      }
    }
    const { test = "" } = header;
    return outcomeOf(await judgeByTests(name, copy, [test]), test);
  } catch (error) {
    if (!(error instanceof NoVerdict)) throw error;
    console.error(`Cannot judge ${name}: ${error.message}`);
    return outcomeOf({
      seed: 0,
      check: "",
      notCounted: 0,
      isAsItShould: false,
    });
  } finally {
    Deno.removeSync(copy, { recursive: true });
  }
}

interface Settings {
  readonly seedCount: number;
  readonly names: readonly string[];
  readonly jobs: number;
  readonly isJson: boolean;
  readonly isWritten: boolean;
}

/** Reads the command line; undefined if it asks for help. */
function readSettings(args: string[]): Settings | undefined {
  const values = parseFlags(args);
  if (values.help) return undefined;
  const all = patchNames();
  const names = values.only?.split(",") ?? all;
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `Cannot use --only: "${unknown}" is none of ${all.join(", ")}`,
    );
  }
  return {
    seedCount: positive("--seeds", values.seeds),
    names,
    jobs: positive("--jobs", values.jobs),
    isJson: values.json,
    isWritten: values.write,
  };
}

function parseFlags(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        seeds: { type: "string", default: "200" },
        only: { type: "string" },
        jobs: { type: "string", default: "1" },
        write: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${error}`);
  }
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value > 0 && Number.isSafeInteger(value)) {
    return value;
  }
  throw new UsageError(
    `Cannot use ${name}: "${text}" is not a positive whole number`,
  );
}

/** How a patch did, in a line. */
function describe(outcome: Outcome, seedCount: number): string {
  const { test, seed, check, notCounted } = outcome;
  const found = check === ""
    ? test === undefined
      ? `no check failed in ${seedCount} seeds`
      : `no test of ${test} failed`
    : test === undefined
    ? `seed ${seed}: ${check}`
    : `${test}: ${check}`;
  const uncounted = notCounted === 0
    ? ""
    : `, ${notCounted} seeds did not count`;
  return `${outcome.isAsItShould ? "ok    " : "FAILED"} ${
    outcome.name.padEnd(40)
  } ${found}${uncounted} (${outcome.seconds.toFixed(0)} s)`;
}

async function judgeAll(settings: Settings): Promise<boolean> {
  const { seedCount, names, jobs, isJson, isWritten } = settings;
  const outcomes: Outcome[] = [];
  const waiting = [...names];
  const work = async () => {
    for (
      let name = waiting.shift();
      name !== undefined;
      name = waiting.shift()
    ) {
      const outcome = await judge(name, seedCount);
      outcomes.push(outcome);
      console.log(describe(outcome, seedCount));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  outcomes.sort((a, b) => a.name < b.name ? -1 : 1);
  const wrong = outcomes.filter((outcome) => !outcome.isAsItShould).length;
  console.log(`\n${tableOf(outcomes, seedCount)}\n`);
  if (isWritten) {
    const text = Deno.readTextFileSync(page);
    const all = patchNames();
    Deno.writeTextFileSync(
      page,
      withTable(text, outcomes, { seedCount, names: all }),
    );
    await run(["fmt", "--quiet", page], root);
  }
  if (isJson) console.log(JSON.stringify({ seedCount, outcomes }));
  console.log(`${outcomes.length - wrong} passed, ${wrong} failed`);
  return wrong === 0;
}

if (import.meta.main) {
  Deno.exitCode = await runTool(usage, readSettings, judgeAll);
}
