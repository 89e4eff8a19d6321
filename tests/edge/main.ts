/**
 * The master as it runs at the edge: on Deno 2.5, with `--unstable-kv --allow-net --allow-env` and read access to its own
 * files.
 *
 * 1. Every test of the master that needs neither disk nor child process (`files.ts`), with three apps over one handle on
 *    memory.
 * 2. Those of them that have a master or its store once more: three processes have the masters, on a denokv server that is
 *    10 to 100 ms away, and are ended by SIGINT and SIGKILL in the midst of what the tests ask for (`trio.ts`).
 * 3. Three real masters on that server, ended in the same way, with real NodeHosts and clusters that are written to.
 *
 * Each has a name, `memory`, `far` and `masters`: with names as arguments it is those only. Where there is no npx the whole is
 * skipped, and 2 and 3 where there is no denokv (`deno task chaos:masters` builds one).
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import type { ChildProcess } from "../../examples/demo/child_process.ts";
import { Janitor } from "../../examples/demo/janitor_link.ts";
import { freePorts } from "../../examples/demo/ports.ts";
import { findDenokv, startDenokv } from "../master/denokv/server.ts";
import { edgeEnv, edgeVersion, findEdgeDeno } from "./deno25.ts";
import { fileURLToPath, join } from "./deps.ts";
import { masterTests } from "./files.ts";
import { mastersInDanger } from "./masters_in_danger.ts";
import { SlowLine } from "./slow_line.ts";
import { Trio } from "./trio.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Most of the time they wait for a database that is far away. */
const filesAtOnce = 4;

/** Runs test files at the edge; what they say is passed on. */
async function test(
  deno: string,
  files: readonly string[],
  env: Record<string, string>,
): Promise<boolean> {
  const { success } = await new Deno.Command(deno, {
    args: [
      "test",
      "--no-lock",
      "--no-check",
      "--no-prompt",
      "--quiet",
      "--parallel",
      "--unstable-kv",
      "--allow-net",
      "--allow-env",
      `--allow-read=${root}`,
      ...files.map((name) => join(root, "tests/master", name)),
    ],
    cwd: root,
    env: { ...edgeEnv, ...env },
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).spawn().status;
  return success;
}

/** Every test that is possible there. */
async function onMemory(deno: string): Promise<boolean> {
  const files = masterTests().filter((one) => !one.startsPrograms);
  const names = files.map(({ name }) => name);
  return await test(deno, names, { DRAKKAR_TEST_INSTANCES: "3" });
}

async function onDenokv(deno: string, denokv: string): Promise<boolean> {
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-edge-" });
  const token = crypto.randomUUID();
  const [port = 0] = freePorts(1);
  const onUnexpectedEnd = (why: string) => console.error(`Died: ${why}`);
  // Whoever ends this program in the midst of it leaves no process behind.
  const janitor = new Janitor(dir);
  const onChild = (child: ChildProcess) => {
    janitor.tell(`+${child.pid}`);
    child.ended.then(() => janitor.tell(`-${child.pid}`));
  };
  const server = await startDenokv({
    program: denokv,
    dir,
    port,
    token,
    onUnexpectedEnd,
  });
  onChild(server);
  try {
    using line = new SlowLine(port, () => 10 + Math.random() * 90);
    const env = { DRAKKAR_TEST_KV: line.url, DENO_KV_ACCESS_TOKEN: token };
    await using trio = await Trio.start({
      deno,
      root,
      env: { ...edgeEnv, ...env },
      onUnexpectedEnd,
      onChild,
    });
    const files = masterTests().filter((one) => one.isInAStore);
    const isGood = await test(deno, files.map(({ name }) => name), {
      ...env,
      DRAKKAR_TEST_MASTERS: trio.url,
      DENO_JOBS: String(filesAtOnce),
    });
    console.log(
      `${trio.ended} masters ended; ${trio.repeated} calls lost theirs, and were made again`,
    );
    if (!isGood) console.log(trio.tails());
    // None would be a test of nothing.
    return isGood && trio.repeated > 0;
  } finally {
    await server.stop();
    janitor.tell("done");
    Deno.removeSync(dir, { recursive: true });
  }
}

async function inDanger(masterDeno: string, denokv: string): Promise<boolean> {
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-edge-" });
  try {
    const say = (text: string) => console.log(text);
    await mastersInDanger({ masterDeno, denokv, dir, say });
    console.log("ok | 1 passed | 0 failed");
    return true;
  } catch (error) {
    console.error(error);
    console.log("FAILED | 0 passed | 1 failed");
    return false;
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

interface Part {
  readonly name: string;
  readonly what: string;
  readonly needsDenokv: boolean;
  readonly run: (deno: string, denokv: string) => Promise<boolean>;
}

const parts: readonly Part[] = [
  {
    name: "memory",
    what: "Three apps over one handle on memory",
    needsDenokv: false,
    run: onMemory,
  },
  {
    name: "far",
    what:
      "Three processes, ended in mid-request, on a denokv server that is 10 to 100 ms away",
    needsDenokv: true,
    run: onDenokv,
  },
  {
    name: "masters",
    what: "Three real masters on it, ended in mid-request",
    needsDenokv: true,
    run: inDanger,
  },
];

function chosenParts(names: readonly string[]): readonly Part[] {
  const wrong = names.find((name) => !parts.some((one) => one.name === name));
  if (wrong === undefined) {
    return names.length === 0
      ? parts
      : parts.filter(({ name }) => names.includes(name));
  }
  const known = parts.map(({ name }) => name).join(", ");
  console.error(`There is no part ${wrong}; there are ${known}`);
  Deno.exit(2);
}

async function main(): Promise<boolean> {
  const chosen = chosenParts(Deno.args);
  const deno = await findEdgeDeno();
  if (deno === undefined) {
    console.log(`skipped: npx cannot bring Deno ${edgeVersion}`);
    return true;
  }
  const denokv = findDenokv();
  let isGood = true;
  for (const { what, needsDenokv, run } of chosen) {
    console.log(`\nDeno ${edgeVersion}. ${what}`);
    if (needsDenokv && denokv === undefined) {
      console.log(
        "skipped: there is no denokv (deno task chaos:masters builds it)",
      );
    } else if (!await run(deno, denokv ?? "")) isGood = false;
  }
  return isGood;
}

Deno.exit(await main() ? 0 : 1);
