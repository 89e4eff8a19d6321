/** The command line of `deno task chaos:masters`. */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { parseArgs } from "./deps.ts";
import { periodsAllowed, runOnDenokv } from "./run.ts";
import { beginToBuild, cacheDir, denokvVersion, findDenokv } from "./server.ts";

const usage = `Usage: deno task chaos:masters [options]

Three masters and five NodeHosts as processes on a real denokv server. Masters and NodeHosts are killed at random
while clients write through sessions, in some rounds two NodeHosts, and masters go on dying until all is mended. Every
cluster must be whole within 40 periods by the clock, and take a write; at the end nothing that was acknowledged may be
lost, and nothing may run that is member of nothing. Ten rounds have five minutes.

  --rounds N      rounds of killing; 10
  --clusters N    clusters of three nodes; 64
  --masters N     masters; 3
  --hosts N       NodeHosts; 5
  --period-ms N   between two reports; 500
  --seed N        what is killed when; another one each time
  --help          this text

denokv is looked for in DRAKKAR_DENOKV, on the PATH, and in
  ${cacheDir()}
where it is built if cargo is there: that takes about five minutes, once.
Exit status: 0, also if there is no denokv and no cargo; 1 if something was lost, not mended, or not in time; 2 wrong
usage.`;

/** For ten rounds or fewer; more have as much each. */
const secondsForTen = 300;

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value >= 1 && value <= 1_000_000) return value;
  console.error(`--${name}: "${text}" is not a whole number\n\n${usage}`);
  Deno.exit(2);
}

function readOptions(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        rounds: { type: "string", default: "10" },
        clusters: { type: "string", default: "64" },
        masters: { type: "string", default: "3" },
        hosts: { type: "string", default: "5" },
        "period-ms": { type: "string", default: "500" },
        seed: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    Deno.exit(2);
  }
}

async function findOrBuild(): Promise<string | undefined> {
  const found = findDenokv();
  if (found !== undefined) return found;
  const build = beginToBuild();
  if (build === undefined) return undefined;
  console.log(`Building denokv ${denokvVersion} with cargo, once`);
  const { success, stderr } = await build.output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return findDenokv();
}

async function main(args: string[]): Promise<void> {
  const values = readOptions(args);
  if (values.help) {
    console.log(usage);
    return;
  }
  const seed = wholeNumber("seed", values.seed ?? String(Date.now() % 100_000));
  const counts = {
    rounds: wholeNumber("rounds", values.rounds),
    clusters: wholeNumber("clusters", values.clusters),
    masters: wholeNumber("masters", values.masters),
    hosts: wholeNumber("hosts", values.hosts),
    periodMs: wholeNumber("period-ms", values["period-ms"]),
  };
  const denokv = await findOrBuild();
  if (denokv === undefined) {
    console.log("skipped: there is no denokv, and no cargo to build it with");
    return;
  }
  console.log(`Seed ${seed}`);
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-masters-" });
  try {
    const say = (text: string) => console.log(text);
    const summary = await runOnDenokv({ denokv, dir, seed, say, ...counts });
    // The test of two rounds judges by the masters' time, which a busy machine slows down; this is to be measured.
    const secondsAllowed = secondsForTen * Math.max(1, counts.rounds / 10);
    const isMet = summary.periodsByClockMax <= periodsAllowed &&
      summary.seconds <= secondsAllowed;
    const masters = isMet ? "ok" : "too slow";
    console.log(JSON.stringify({ masters, seed, ...summary }));
    if (!isMet) Deno.exitCode = 1;
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

try {
  await main(Deno.args);
  Deno.exit();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}
