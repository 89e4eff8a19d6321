/**
 * The master as it runs at the edge: on Deno 2.5, with `--unstable-kv --allow-net --allow-env` and read access to its own
 * files.
 *
 * 1. Every test of the master that needs neither disk nor child process, with three instances over one handle on memory.
 * 2. Those that keep something in a store once more, on a denokv server that is 10 to 100 ms away.
 * 3. Three masters as processes on that server, ended by SIGINT and SIGKILL in the midst of requests.
 *
 * Where there is no npx the whole is skipped, and 2 and 3 where there is no denokv (`deno task chaos:masters` builds one).
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { freePorts } from "../../examples/demo/ports.ts";
import { findDenokv, startDenokv } from "../master/denokv/server.ts";
import { edgeEnv, edgeVersion, findEdgeDeno } from "./deno25.ts";
import { fileURLToPath, join } from "./deps.ts";
import { mastersInDanger } from "./masters_in_danger.ts";
import { SlowLine } from "./slow_line.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** It starts programs. */
const notAtTheEdge = ["main_test.ts"];
/** They keep something in the store that `fixtures.ts` opens. */
const inAStore = [
  "kv_store_test.ts",
  "routes_test.ts",
  "server_test.ts",
];

function testFiles(): string[] {
  return [...Deno.readDirSync(join(root, "tests/master"))]
    .map(({ name }) => name)
    .filter((name) => name.endsWith("_test.ts"))
    .filter((name) => !notAtTheEdge.includes(name))
    .sort();
}

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
  }).output().then(async (output) => {
    await Deno.stdout.write(output.stdout);
    await Deno.stderr.write(output.stderr);
    return output;
  });
  return success;
}

async function onDenokv(deno: string, denokv: string): Promise<boolean> {
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-edge-" });
  const token = crypto.randomUUID();
  const [port = 0] = freePorts(1);
  const server = await startDenokv({
    program: denokv,
    dir,
    port,
    token,
    onUnexpectedEnd: (why) => console.error(`Died: ${why}`),
  });
  try {
    using line = new SlowLine(port, () => 10 + Math.random() * 90);
    return await test(deno, inAStore, {
      DRAKKAR_TEST_KV: line.url,
      DENO_KV_ACCESS_TOKEN: token,
    });
  } finally {
    await server.stop();
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

async function main(): Promise<boolean> {
  const deno = await findEdgeDeno();
  if (deno === undefined) {
    console.log(`skipped: npx cannot bring Deno ${edgeVersion}`);
    return true;
  }
  console.log(`Deno ${edgeVersion}, three instances over one handle on memory`);
  const results = [
    await test(deno, testFiles(), { DRAKKAR_TEST_INSTANCES: "3" }),
  ];
  const denokv = findDenokv();
  if (denokv === undefined) {
    console.log(
      "skipped: there is no denokv (deno task chaos:masters builds it)",
    );
  } else {
    console.log("\nOn a denokv server that is 10 to 100 ms away");
    results.push(await onDenokv(deno, denokv));
    console.log("\nThree masters as processes on it, ended in mid-request");
    results.push(await inDanger(deno, denokv));
  }
  return results.every((isGood) => isGood);
}

Deno.exit(await main() ? 0 : 1);
