// deno-lint-ignore-file no-console -- a command-line program: its output is its result
/** `deno task bench`: see `--help` and README.md. */
import { measureAgainst } from "./against.ts";
import { process } from "./deps.ts";
import { measureFailover } from "./failover.ts";
import { measureIdle } from "./idle.ts";
import {
  type BenchOptions,
  type Mode,
  parseOptions,
  usage,
  UsageError,
} from "./options.ts";
import { measureOverload } from "./overload.ts";
import { measureRecovery } from "./recovery.ts";
import type { BenchResult } from "./result.ts";
import { measureSoak } from "./soak.ts";
import { runSuite } from "./suite.ts";
import { makeBenchDir } from "./system.ts";
import { measureThroughput } from "./throughput.ts";

const measures: Record<
  Mode,
  (makeDir: () => string, options: BenchOptions) => Promise<BenchResult>
> = {
  write: measureThroughput,
  read: measureThroughput,
  failover: measureFailover,
  recovery: measureRecovery,
  soak: measureSoak,
  overload: measureOverload,
  idle: measureIdle,
};

/** Runs the benchmark in folders of its own, which are gone when it ends; returns the exit status. */
async function run(options: BenchOptions, from: string): Promise<number> {
  const dirs: string[] = [];
  const makeDir = () => {
    const dir = makeBenchDir(options.dir, from);
    dirs.push(dir);
    return dir;
  };
  const clean = () => {
    for (const dir of dirs.splice(0)) Deno.removeSync(dir, { recursive: true });
  };
  const interrupt = () => {
    // The NodeHost processes end when this one, which holds their standard input, does.
    try {
      clean();
    } finally {
      Deno.exit(130);
    }
  };
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", interrupt);
  try {
    if (options.isSuite) {
      const { text, isMet } = await runSuite(
        makeDir,
        options,
        (line) => console.error(line),
      );
      console.log(text);
      return isMet ? 0 : 1;
    }
    const result = options.against === undefined
      ? await measures[options.mode](makeDir, options)
      : await measureAgainst(makeDir, options, options.against);
    console.log(JSON.stringify(result));
    const isMissed = [
      result.is_flat,
      result.is_recovered,
      result["is_not_worse"],
    ].includes(false);
    return isMissed ? 1 : 0;
  } finally {
    clean();
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", interrupt);
  }
}

async function main(): Promise<number> {
  const from = process.env["INIT_CWD"] ?? Deno.cwd();
  try {
    const options = parseOptions(Deno.args, from);
    if (options.isHelp) {
      console.log(usage);
      return 0;
    }
    return await run(options, from);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${usage}`);
      return 2;
    }
    console.error(error);
    return 1;
  }
}

Deno.exit(await main());
