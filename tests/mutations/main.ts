// deno-lint-ignore-file no-console -- a command line.
/**
 * `deno task mutate`: is the simulator any good? Every patch in this folder breaks one thing in a copy of the sources;
 * the simulator alone must find each within so many seeds, and must find nothing in the neutral one.
 *
 * ```text
 * --seeds N     seeds for each patch, 200 by default
 * --only NAME   one patch
 * --jobs N      copies at work at the same time, 1 by default
 * --json        the results as JSON
 * ```
 */
const folder = new URL(".", import.meta.url).pathname;
const root = new URL("../..", import.meta.url).pathname;
const copied = ["raft", "storage", "master", "testing"];
const neutral = "neutral";

interface Outcome {
  readonly name: string;
  /** What the patch breaks. */
  readonly what: string;
  /** The first seed that failed, or 0. */
  readonly seed: number;
  /** The check that failed. */
  readonly check: string;
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
  const applied = await run("git", [
    "apply",
    "--whitespace=nowarn",
    `${folder}/${name}.patch`,
  ], copy);
  if (!applied.isFine) {
    throw new Error(`Cannot apply ${name}.patch: ${applied.stderr}`);
  }
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
    const failed = JSON.parse(last).failed[0] ?? { seed: 0, check: "" };
    return {
      name,
      what,
      seed: failed.seed,
      check: failed.check,
      seconds: (performance.now() - startedAt) / 1_000,
      isAsItShould: (failed.seed === 0) === (name === neutral),
    };
  } finally {
    Deno.removeSync(copy, { recursive: true });
  }
}

function option(name: string, otherwise: string): string {
  const at = Deno.args.indexOf(name);
  return at < 0 ? otherwise : Deno.args[at + 1] ?? otherwise;
}

async function main(): Promise<void> {
  const seedCount = Number(option("--seeds", "200"));
  const only = option("--only", "");
  const jobs = Number(option("--jobs", "1"));
  const names = [...Deno.readDirSync(folder)]
    .filter((entry) => entry.name.endsWith(".patch"))
    .map((entry) => entry.name.slice(0, -".patch".length))
    .filter((name) => only === "" || name === only)
    .sort();
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
      const found = outcome.seed === 0
        ? `not caught in ${seedCount} seeds`
        : `seed ${outcome.seed}: ${outcome.check}`;
      console.log(
        `${outcome.isAsItShould ? "ok    " : "FAILED"} ${
          name.padEnd(34)
        } ${found} (${outcome.seconds.toFixed(0)} s)`,
      );
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, work));
  const wrong = outcomes.filter((outcome) => !outcome.isAsItShould).length;
  if (Deno.args.includes("--json")) {
    console.log(JSON.stringify({ seedCount, outcomes }));
  }
  console.log(`${outcomes.length - wrong} passed, ${wrong} failed`);
  if (wrong > 0) Deno.exitCode = 1;
}

if (import.meta.main) await main();
