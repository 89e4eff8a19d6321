// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
/** `deno task chaos`: real processes, a hostile network, and clients that believe nothing. See `usage`. */
import { join, parseArgs } from "./deps.ts";
import { runChaos } from "./run.ts";
import type { ChaosReport } from "./run.ts";

const usage = `Usage: deno task chaos [options]

Five NodeHosts as processes on loopback behind a proxy that delays, holds back,
cuts and refuses; meanwhile they are killed, stopped, wiped, copied, and their
disks fail. Every answer that a client gets is checked.

  --seed N       chooses the plan of faults (the time of day); timing is real,
                 so a seed repeats the plan, not each event
  --minutes M    how long faults are injected (1)
  --keep         keep folders and logs even if nothing was found
  --quiet        do not tell every fault
  --help         this text

Exit status: 0 if nothing was found; 1 if a check failed: the last lines name
the seed, what was violated, and the folder with data, logs and history; 2 for a
wrong command line; 130 after Ctrl-C.`;

const scratchDir = join(import.meta.dirname!, "../../.tmp");

interface Options {
  readonly seed: number;
  readonly minutes: number;
  readonly keep: boolean;
  readonly quiet: boolean;
}

/** A command line that cannot be used; the message says why. */
class UsageError extends Error {}

function readOptions(args: string[]): Options | "help" {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        seed: { type: "string" },
        minutes: { type: "string", default: "1" },
        keep: { type: "boolean", default: false },
        quiet: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return "help";
  const seed = values.seed === undefined
    ? Math.floor(Date.now() / 1_000)
    : Number(values.seed);
  if (!Number.isSafeInteger(seed) || seed < 0 || values.seed === "") {
    throw new UsageError(
      `Cannot use --seed: "${values.seed}" is not a whole number`,
    );
  }
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) {
    throw new UsageError("Cannot use --minutes: it is not a positive number");
  }
  return { seed, minutes, keep: values.keep, quiet: values.quiet };
}

/** Ends the run, and its processes, when somebody asks for it. */
function listen(stop: AbortController): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // One Ctrl-C arrives several times: from the terminal, and passed on by `deno task` and npx.
    Deno.addSignalListener(signal, () => stop.abort(new Error("interrupted")));
  }
}

async function run(options: Options): Promise<number> {
  const { seed, minutes } = options;
  const stop = new AbortController();
  listen(stop);
  Deno.mkdirSync(scratchDir, { recursive: true });
  const dir = Deno.makeTempDirSync({ dir: scratchDir, prefix: "chaos-" });
  const again = `deno task chaos --seed ${seed} --minutes ${minutes}`;
  console.log(`${again}: folders and logs are in ${dir}`);
  let isKept = options.keep;
  try {
    const report = await runChaos({
      seed,
      harmMs: minutes * 60_000,
      dir,
      signal: stop.signal,
      note: options.quiet ? () => {} : (line) => console.log(line),
    });
    console.log(JSON.stringify(report, null, 2));
    for (const what of report.leftOut) console.log(`left out: ${what}`);
    const isFine = report.violations.length === 0;
    isKept ||= !isFine;
    if (!isFine) tellViolations(report, again, dir);
    return isFine ? 0 : 1;
  } catch (error) {
    if (stop.signal.aborted) {
      console.log("\nInterrupted: all processes are stopped");
      return 130;
    }
    isKept = true;
    console.error(`Cannot go on: ${(error as Error).stack}\nkept: ${dir}`);
    return 1;
  } finally {
    if (!isKept) Deno.removeSync(dir, { recursive: true });
  }
}

function tellViolations(report: ChaosReport, again: string, dir: string): void {
  console.error(`\nseed ${report.seed} failed:`);
  for (const { check, message } of report.violations) {
    console.error(`  ${check}: ${message}`);
  }
  console.error(`run the plan again: ${again}\nkept: ${dir}`);
}

if (import.meta.main) {
  try {
    const options = readOptions(Deno.args);
    if (options === "help") console.log(usage);
    else Deno.exit(await run(options));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    Deno.exit(2);
  }
}
