/**
 * Every test of the project, for `deno task test`: first what `deno task ok` does, then what takes longer. What the
 * test runs say is passed on as it comes; the counts in their closing lines are added up, and the last line is
 * `N passed, N failed`.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console

interface Step {
  readonly name: string;
  readonly args: readonly string[];
  /** It uses a denokv server, which may still be being built. */
  readonly usesDenokv?: boolean;
}

interface Counts {
  passed: number;
  failed: number;
}

/** A step that hangs is a failure too, and must not take the other steps' results with it. */
const stepTimeoutMs = 15 * 60_000;

/**
 * A real denokv server takes about five minutes to build, beside the first tests; whoever uses it comes last, and is
 * skipped with a word if it is not there by this time after the beginning.
 */
const denokvBuiltByMs = 12 * 60_000;

const steps: readonly Step[] = [
  ...okSteps(),
  {
    name: "import by URL",
    args: ["test", "-A", "--frozen", "tests/remote_import_test.ts"],
  },
  { name: "end to end", args: ["test", "-A", "--frozen", "tests/e2e/"] },
  ...slowFiles().map((path) => ({
    name: path,
    args: ["test", "-A", "--frozen", path],
    usesDenokv: path.includes("denokv"),
  })),
  {
    name: "the edge, memory",
    // "far" takes ten minutes and more. `deno task test:edge` runs all parts.
    args: ["run", "-A", "--frozen", "tests/edge/main.ts", "memory"],
    usesDenokv: false,
  },
].sort((a, b) => Number(a.usesDenokv ?? false) - Number(b.usesDenokv ?? false));

/** The steps of `deno task ok`, one by one: what one of them finds must not hide what the next would. */
function okSteps(): Step[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync("deno.json"));
  return (tasks.ok.command as string).split(" && ").map((command) => {
    const [program, ...args] = command.split(" ");
    if (program !== "deno") throw new Error(`Cannot run ${command}`);
    return { name: `ok: ${args[0]}`, args };
  });
}

let running: Deno.ChildProcess | undefined;

function endGroup(child: Deno.ChildProcess): void {
  try {
    Deno.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended in this moment.
  }
}

/** Begins to build a denokv server, if there is none and it can be built. */
function buildDenokv(): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "tests/master/denokv/build.ts"],
    stdin: "null",
    detached: true, // A group of its own: it can be ended with all that it started.
  }).spawn();
}

/** Waits until it is built, or until it is too late. */
async function untilBuilt(build: Deno.ChildProcess): Promise<void> {
  const leftMs = Math.max(0, denokvBuiltByMs - performance.now());
  const timer = setTimeout(() => {
    console.log("\n==== denokv is not built in time");
    endGroup(build);
  }, leftMs);
  await build.status;
  clearTimeout(timer);
}

/** Tests that are too slow for `deno task ok`. Their names keep a plain `deno test` from finding them. */
function slowFiles(): string[] {
  try {
    return [...Deno.readDirSync("tests/slow")]
      .map((entry) => `tests/slow/${entry.name}`)
      .filter((path) => path.endsWith("_slow.ts"))
      .sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Runs one step, and returns what it counted. A step that fails without counting a failure is one. */
async function run(step: Step): Promise<Counts> {
  console.log(`\n==== ${step.name}: deno ${step.args.join(" ")}`);
  const startedAt = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [...step.args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    detached: true, // A group of its own: what it started can be ended with it.
  }).spawn();
  running = child;
  const timer = setTimeout(() => {
    console.log(`Cannot wait for ${step.name} any longer`);
    endGroup(child);
  }, stepTimeoutMs);
  const counts = await readCounts(child.stdout);
  const { success } = await child.status;
  clearTimeout(timer);
  if (!success && counts.failed === 0) counts.failed = 1;
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  console.log(
    `==== ${step.name}: ${
      success ? "ok" : "FAILED"
    }, ${counts.passed} passed, ${counts.failed} failed, ${seconds} s`,
  );
  return counts;
}

async function readCounts(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<Counts> {
  const counts = { passed: 0, failed: 0 };
  let rest = "";
  for await (const text of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) count(line, counts);
  }
  if (rest !== "") count(rest, counts);
  return counts;
}

function count(line: string, counts: Counts): void {
  console.log(line);
  const found = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed/.exec(line);
  if (found === null) return;
  counts.passed += Number(found[1]);
  counts.failed += Number(found[2]);
}

if (import.meta.main) {
  const build = buildDenokv();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      if (running !== undefined) endGroup(running);
      endGroup(build);
      Deno.exit(130);
    });
  }
  const sum: Counts = { passed: 0, failed: 0 };
  for (const step of steps) {
    if (step.usesDenokv === true) await untilBuilt(build);
    const { passed, failed } = await run(step);
    sum.passed += passed;
    sum.failed += failed;
  }
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  Deno.exit(sum.failed === 0 ? 0 : 1);
}
