/** Runs the demo as its users do, on a small input, and looks at what it says and what it leaves behind. */
import { assert } from "../deps.ts";
import { chromiumPath, openPage, startBrowser } from "./page_stage.ts";

const projectDir = `${import.meta.dirname}/../../`;
const scratchDir = `${projectDir}.tmp`;
const patienceMs = 110_000;
/** Temporary folders of other demos, running or not. */
const foreign: ReadonlySet<string> = new Set(scratchFolders());

interface Demo {
  /** Sends it a signal. */
  kill(signal: Deno.Signal): void;
  /** Resolves when it has printed a line that matches; rejects if it ends before. */
  line(pattern: RegExp): Promise<RegExpExecArray>;
  /** Everything it printed, its exit status, and what it complained about. */
  readonly ended: Promise<{ code: number; lines: string[]; errors: string }>;
}

/** Starts `deno task demo`, as a user in the folder `cwd` would. */
function startDemo(cwd: string, args: string[]): Demo {
  const child = new Deno.Command(Deno.execPath(), {
    args: demoArgs(args),
    cwd: projectDir,
    env: { INIT_CWD: cwd, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let isOver = false;
  const complaints = new Response(child.stderr).text();
  const read = async () => {
    let rest = "";
    for await (
      const text of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      lines.push(...parts);
      for (const look of waiting) look();
    }
    isOver = true;
    for (const look of waiting) look();
    const { code } = await child.status;
    return { code, lines, errors: await complaints };
  };
  const timer = setTimeout(() => child.kill("SIGTERM"), patienceMs);
  const ended = read().finally(() => clearTimeout(timer));
  const line = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        for (const text of lines) {
          const found = pattern.exec(text);
          if (found === null) continue;
          waiting.delete(look);
          return resolve(found);
        }
        if (isOver) reject(new Error(`No ${pattern} in ${lines.join("\n")}`));
      };
      waiting.add(look);
      look();
    });
  return { kill: (signal) => child.kill(signal), line, ended };
}

/** The arguments of the task itself, so that the test runs with its permissions. */
function demoArgs(args: string[]): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${projectDir}deno.json`));
  const [program, ...rest] = (tasks.demo.command as string).split(" ");
  assert.equal(program, "deno");
  return [...rest, ...args];
}

async function withInput(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-demo-" });
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Addresses that the demo's processes listened on. */
function addressesIn(lines: string[]): string[] {
  return [...lines.join("\n").matchAll(/127\.0\.0\.1:\d+/g)].map(([at]) => at);
}

async function assertNothingLeft(lines: string[]): Promise<void> {
  for (const address of new Set(addressesIn(lines))) {
    const [hostname, port] = address.split(":");
    await assert.rejects(
      Deno.connect({ hostname: hostname!, port: Number(port) }),
      Deno.errors.ConnectionRefused,
      `${address} is still being listened on`,
    );
  }
  assert.deepEqual(newScratchFolders(), []);
}

function scratchFolders(): string[] {
  try {
    return [...Deno.readDirSync(scratchDir)].map((entry) => entry.name);
  } catch {
    return []; // Not even the folder above is there.
  }
}

function newScratchFolders(): string[] {
  return scratchFolders().filter((name) => !foreign.has(name));
}

Deno.test("The demo survives its crashes, loses nothing and leaves nothing behind", () =>
  withInput(async (dir) => {
    const input = `${dir}/in put`;
    Deno.mkdirSync(`${input}/sub`, { recursive: true });
    const big = new Uint8Array(3 * 1024 * 1024).map((_, i) => i * i >> 8);
    Deno.writeFileSync(`${input}/big.bin`, big);
    Deno.writeFileSync(`${input}/empty`, new Uint8Array(0));
    Deno.writeTextFileSync(`${input}/sub/# %2F ä`, "a name to be encoded");
    Deno.symlinkSync("big.bin", `${input}/link`);
    const demo = startDemo(dir, ["--input", "in put"]);
    const { code, lines, errors } = await demo.ended;
    const said = lines.join("\n");
    assert.equal(code, 0, `${said}\n${errors}`);
    const last = JSON.parse(lines.at(-1)!);
    assert.equal(last.demo, "ok");
    assert.equal(last.files, 3);
    assert.equal(last.bytes, big.length + 20);
    assert.equal(last.lost, 0);
    assert.ok(last.proposals >= 770, said);
    assert.ok(last.failover_ms > 0 && last.failover_ms < 30_000, said);
    assert.match(said, /left out: .*link: symbolic link/);
    const killed = /with SIGKILL.* (\d+) puts were on their way/.exec(said);
    assert.ok(Number(killed?.[1]) >= 64, said);
    assert.ok(last.repaired_ms > 0 && last.repaired_ms < 60_000, said);
    // West has two NodeHosts: one of them is dead in the end, the other one has its nodes.
    const dead = Number(/NodeHost ([34]) dies for good/.exec(said)?.[1]);
    const alive = [1, 2, 7 - dead];
    assert.equal(said.match(/: clusters 1, 2, 3, leads /g)?.length, 3, said);
    assert.match(said, RegExp(`NodeHost ${dead} \\(.* west: dead, last heard`));
    for (const clusterId of [1, 2, 3]) {
      const where = `Cluster ${clusterId}: on NodeHost ${alive.join(", ")}`;
      assert.match(said, RegExp(`${where}, leader on NodeHost [1-4]\n`));
    }
    assert.match(said, / s {2}cluster \d: repair: node \d+ is dead: /);
    assert.match(said, RegExp(`NodeHost ${7 - dead} now carries the node`));
    await assertNothingLeft(lines);
  }));

Deno.test({
  name:
    "In a browser: who signs in at the demo's master sees a NodeHost die for good and its repair finish, without a reload",
  ignore: chromiumPath === undefined,
  fn: () =>
    withInput(async (dir) => {
      const browser = await startBrowser();
      const demo = startDemo(dir, ["--input", ".", "--keep"]);
      const complaints: string[] = [];
      try {
        const [, url, token] = await demo.line(
          /^ +Master: process \d+, (http:\S+) \(.* sign in with ([^\s)]+)\)/,
        );
        const page = await openPage(browser, `${url}/`, complaints);
        await page.getByLabel("Token").fill(token!);
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.locator("#headline").waitFor();
        await page.evaluate(() => {
          (globalThis as unknown as { isSame: boolean }).isSame = true;
        });
        await demo.line(/NodeHost [34] dies for good/);
        await page.locator(".host", { hasText: "dead" }).waitFor();
        await page.getByText("Repair begins").first().waitFor();
        const [summary] = await demo.line(/^\{"demo":.*/);
        assert.match(summary, /^\{"demo":"ok"/);
        await page.locator("#headline", { hasText: "All is well" }).waitFor();
        assert.ok(
          await page.evaluate(() =>
            (globalThis as unknown as { isSame: boolean }).isSame
          ),
          "it was not reloaded",
        );
        assert.deepEqual(complaints, []);
      } finally {
        await browser.close();
        demo.kill("SIGINT");
      }
      const { lines } = await demo.ended;
      await assertNothingLeft(lines);
    }),
});

Deno.test("The demo says that a file was changed meanwhile, which is no loss, and exits with 3", () =>
  withInput(async (dir) => {
    Deno.writeTextFileSync(`${dir}/a`, "what is put");
    Deno.writeFileSync(`${dir}/b`, new Uint8Array(1024 * 1024));
    const demo = startDemo(dir, ["--input", "."]);
    await demo.line(/^ +Killed NodeHost/); // Half of the bytes are put, and `a` is among the first.
    Deno.writeTextFileSync(`${dir}/a`, "what is read");
    const { code, lines, errors } = await demo.ended;
    const said = lines.join("\n");
    assert.equal(code, 3, `${said}\n${errors}`);
    assert.match(said, /cluster \d, a#0: the file was changed meanwhile/);
    const { demo: how, lost, changed } = JSON.parse(lines.at(-1)!);
    assert.deepEqual({ how, lost, changed }, {
      how: "changed",
      lost: 0,
      changed: 1,
    });
    await assertNothingLeft(lines);
  }));

Deno.test("The demo works without a single file, and Ctrl-C ends it while it stays up", () =>
  withInput(async (dir) => {
    const demo = startDemo(dir, ["--input", ".", "--keep"]);
    const [summary] = await demo.line(/^\{"demo":.*/);
    assert.match(summary, /^\{"demo":"ok","files":0,"bytes":0,.*"lost":0,/);
    const [, url] = await demo.line(/^ +NodeHost 1 (http:\S+), process/);
    const [, master] = await demo.line(/^ +Master (http:\S+) \(a page/);
    assert.equal((await fetch(`${master}/v1/clusters`)).status, 401);
    assert.equal((await fetch(`${url}/clusters/1/keys/none`)).status, 404);
    demo.kill("SIGINT");
    const { code, lines } = await demo.ended;
    assert.equal(code, 0);
    await assertNothingLeft(lines);
  }));

Deno.test("Ctrl-C in the midst of the demo ends all processes", () =>
  withInput(async (dir) => {
    const demo = startDemo(dir, ["--input", "."]);
    await demo.line(/NodeHost 4: process/);
    demo.kill("SIGINT");
    const { code, lines } = await demo.ended;
    assert.equal(code, 130);
    await assertNothingLeft(lines);
  }));

Deno.test("The demo says which process died, and ends", () =>
  withInput(async (dir) => {
    const demo = startDemo(dir, ["--input", "."]);
    const [, pid] = await demo.line(/NodeHost 2: process (\d+)/);
    Deno.kill(Number(pid), "SIGKILL");
    const { code, lines, errors } = await demo.ended;
    assert.equal(code, 1);
    assert.match(errors, /NodeHost 1: \{"listening"/);
    const { demo: how, why } = JSON.parse(lines.at(-1)!);
    assert.deepEqual([how, why], [
      "failed",
      "Died: NodeHost 2 ended with SIGKILL",
    ]);
    await assertNothingLeft(lines);
  }));

Deno.test("What a killed demo leaves behind is cleaned up for it", () =>
  withInput(async (dir) => {
    const demo = startDemo(dir, ["--input", "."]);
    await demo.line(/NodeHost 4: process/);
    demo.kill("SIGKILL");
    const { lines } = await demo.ended;
    for (
      let tries = 0;
      tries < 100 && newScratchFolders().length > 0;
      tries++
    ) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await assertNothingLeft(lines);
  }));

Deno.test("The demo explains itself, and refuses what it does not understand", async () => {
  const help = await startDemo("/", ["--help"]).ended;
  assert.equal(help.code, 0);
  assert.match(
    help.lines.join("\n"),
    /--input PATH[^]*--keep[^]*0 [^]*1 [^]*2 [^]*3 [^]*130 /,
  );
  const wrong = await startDemo("/", ["--inptu", "x"]).ended;
  assert.equal(wrong.code, 2);
  assert.match(wrong.errors, /^Unknown option '--inptu'[^]*Usage:/);
  const missing = await startDemo("/", ["--input", "not/there"]).ended;
  assert.equal(missing.code, 1);
  const { why } = JSON.parse(missing.lines.at(-1)!);
  assert.equal(why, "Cannot read the input /not/there: it does not exist");
});
