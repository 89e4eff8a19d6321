// deno-lint-ignore-file no-console -- a command line.
/** `deno task mutate`: is the simulator any good? See `usage`. */
import { parseArgs } from "./deps.ts";
import { applyPatch, patchNames } from "./patches.ts";
import { verdictOf } from "./verdict.ts";

const usage = `Usage: deno task mutate [options]

Is the simulator any good? Every patch in tests/mutations breaks one thing in a
copy of the sources. The simulator alone must find each, by a check that it
names, and must find nothing in the neutral patch. A seed that only does not
count (rule F1 in docs/RULES.md) has found nothing.

  --seeds N     seeds for each patch (200)
  --only NAME   one patch
  --jobs N      copies at work at the same time (1)
  --json        the results as JSON, before the last line
  --help        this text

Exit status: 0 if every patch was judged as it should be, else 1; 2 for a wrong
command line.`;

/** A command line that cannot be used; the message says why. */
class UsageError extends Error {}

const folder = import.meta.dirname;
const root = `${folder}/../..`;
const copied = ["raft", "storage", "master", "testing"];
const neutral = "neutral";

interface Outcome {
  readonly name: string;
  /** What the patch breaks. */
  readonly what: string;
  /** The first seed in which a check failed, or 0. */
  readonly seed: number;
  /** The check that failed, by its name. */
  readonly check: string;
  /** Seeds until then that did not count (F1): no verdict. */
  readonly notCounted: number;
  readonly seconds: number;
  readonly isAsItShould: boolean;
}

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
  command: string,
  args: string[],
  cwd: string,
): Promise<{ stdout: string; stderr: string; isFine: boolean }> {
  const output = await new Deno.Command(command, {
    args,
    cwd,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return {
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
    isFine: output.success,
  };
}

/** A copy of the sources with the patch in it. */
async function patchedCopy(name: string): Promise<string> {
  const copy = Deno.makeTempDirSync({ prefix: `mutation-${name}-` });
  for (const part of copied) copyTree(`${root}/${part}`, `${copy}/${part}`);
  for (const file of ["deno.json", "deno.lock"]) {
    try {
      Deno.copyFileSync(`${root}/${file}`, `${copy}/${file}`);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  await applyPatch(name, copy);
  return copy;
}

async function judge(name: string, seedCount: number): Promise<Outcome> {
  const what =
    Deno.readTextFileSync(`${folder}/${name}.patch`).split("\n\n", 1)[0] ?? "";
  const copy = await patchedCopy(name);
  const startedAt = performance.now();
  try {
    const { stdout, stderr } = await run(Deno.execPath(), [
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
    if (!last.startsWith("{")) {
      throw new Error(
        `Cannot judge ${name}: the simulator did not end well\n${stderr}`,
      );
    }
    return {
      name,
      what,
      ...verdictOf(JSON.parse(last).failed, name === neutral),
      seconds: (performance.now() - startedAt) / 1_000,
    };
  } finally {
    Deno.removeSync(copy, { recursive: true });
  }
}

interface Settings {
  readonly seedCount: number;
  readonly names: readonly string[];
  readonly jobs: number;
  readonly isJson: boolean;
}

/** Reads the command line; undefined if it asks for help. */
function readSettings(args: string[]): Settings | undefined {
  const values = parseFlags(args);
  if (values.help) return undefined;
  const all = patchNames();
  const { only } = values;
  if (only !== undefined && !all.includes(only)) {
    throw new UsageError(
      `Cannot use --only: "${only}" is none of ${all.join(", ")}`,
    );
  }
  return {
    seedCount: positive("--seeds", values.seeds),
    names: only === undefined ? all : [only],
    jobs: positive("--jobs", values.jobs),
    isJson: values.json,
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
  const found = outcome.seed === 0
    ? `no check failed in ${seedCount} seeds`
    : `seed ${outcome.seed}: ${outcome.check}`;
  const uncounted = outcome.notCounted === 0
    ? ""
    : `, ${outcome.notCounted} seeds did not count`;
  return `${outcome.isAsItShould ? "ok    " : "FAILED"} ${
    outcome.name.padEnd(34)
  } ${found}${uncounted} (${outcome.seconds.toFixed(0)} s)`;
}

async function judgeAll(settings: Settings): Promise<boolean> {
  const { seedCount, names, jobs, isJson } = settings;
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
  const wrong = outcomes.filter((outcome) => !outcome.isAsItShould).length;
  if (isJson) console.log(JSON.stringify({ seedCount, outcomes }));
  console.log(`${outcomes.length - wrong} passed, ${wrong} failed`);
  return wrong === 0;
}

async function main(): Promise<number> {
  try {
    const settings = readSettings(Deno.args);
    if (settings !== undefined) return await judgeAll(settings) ? 0 : 1;
    console.log(usage);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    return 2;
  }
}

if (import.meta.main) Deno.exitCode = await main();
