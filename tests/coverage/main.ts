// deno-lint-ignore-file no-console -- a command line.
/** `deno task coverage`: how much of the core and of the storage the tests reach. See `usage`. */
import { fileURLToPath, parseArgs } from "./deps.ts";
import { type FileCoverage, parseLcov, percent, sumOf } from "./lcov.ts";
import { runTool, UsageError } from "../support/tool.ts";

const usage = `Usage: deno task coverage [options]

Runs the tests that have to do with raft/core and storage and are not slow, and
tells which part of the lines and of the branches there they reach.

  --least N   percent that each of these figures must be at least (95)
  --list      the lines that were not reached, and those with a branch that was
              not taken, by file
  --help      this text

Exit status: 0 if the tests passed and the figures are high enough, else 1; 2 for
a wrong command line.`;

const root = fileURLToPath(new URL("../..", import.meta.url));
const folders = ["raft/core", "storage"];
/** Those that have to do with these folders. */
const tests = [
  "tests/raft",
  "tests/storage",
  "tests/crash_test.ts",
  "tests/paper_test.ts",
  "tests/scenarios_test.ts",
  "tests/scopes",
  "tests/fuzz",
];

const ignoredTests = [
  "tests/raft/metrics",
  "tests/raft/otel",
  "tests/raft/remote",
  "tests/raft/transport",
];

interface Settings {
  readonly least: number;
  readonly isListed: boolean;
}

/** Reads the command line; undefined if it asks for help. */
function readSettings(args: string[]): Settings | undefined {
  let values;
  try {
    values = parseArgs({
      args,
      options: {
        least: { type: "string", default: "95" },
        list: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${error}`);
  }
  if (values.help) return undefined;
  const least = Number(values.least);
  if (!/^[0-9.]+$/.test(values.least) || !(least >= 0 && least <= 100)) {
    throw new UsageError(
      `Cannot use --least: "${values.least}" is no percentage`,
    );
  }
  return { least, isListed: values.list };
}

/** Runs the tests, which leave their data in a folder; false if one failed. */
async function runTests(data: string): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--allow-all",
      "--parallel",
      "--reporter=dot",
      "--coverage-raw-data-only",
      `--coverage=${data}`,
      `--ignore=${ignoredTests.join(",")}`,
      ...tests,
    ],
    cwd: root,
  }).spawn().status;
  return success;
}

/** What the data in a folder say. */
async function report(data: string): Promise<FileCoverage[]> {
  const include = folders.map((folder) => `--include=/${folder}/`);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["coverage", data, "--lcov", ...include],
    cwd: root,
  }).output();
  const decoder = new TextDecoder();
  if (success) {
    return parseLcov(decoder.decode(stdout)).filter(({ path }) =>
      folders.some((folder) => path.startsWith(`${root}${folder}/`))
    );
  }
  throw new Error(`Cannot tell what was covered: ${decoder.decode(stderr)}`);
}

async function cover({ least, isListed }: Settings): Promise<boolean> {
  const data = Deno.makeTempDirSync({ prefix: "coverage-" });
  try {
    if (!await runTests(data)) return false;
    const files = await report(data);
    let isEnough = true;
    for (const folder of folders) {
      const own = files.filter(({ path }) =>
        path.startsWith(`${root}${folder}/`)
      );
      const { lines, linesHit, branches, branchesHit } = sumOf(own);
      const [byLine, byBranch] = [
        percent(linesHit, lines),
        percent(branchesHit, branches),
      ];
      if (lines === 0 || byLine < least || byBranch < least) isEnough = false;
      console.log(
        `${folder}: lines ${
          byLine.toFixed(1)
        } % (${linesHit} of ${lines}), branches ` +
          `${byBranch.toFixed(1)} % (${branchesHit} of ${branches})`,
      );
    }
    if (isListed) {
      for (const { path, missedLines, missedBranches } of files) {
        if (missedLines.length + missedBranches.length === 0) continue;
        console.log(
          `${path.slice(root.length)}: lines ${
            missedLines.join(" ") || "none"
          }; ` +
            `branches at ${missedBranches.join(" ") || "none"}`,
        );
      }
    }
    if (!isEnough) console.log(`Less than ${least} % is not enough`);
    return isEnough;
  } finally {
    Deno.removeSync(data, { recursive: true });
  }
}

if (import.meta.main) {
  Deno.exitCode = await runTool(usage, readSettings, cover);
}
