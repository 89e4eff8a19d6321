/** A minute of `deno task chaos`, and that it leaves no process behind, however it ends. */
import { assert } from "../deps.ts";
import { readLines } from "../chaos/protocol.ts";
import { runChaos } from "../chaos/run.ts";

/** Timers of clients that were impatient may still be there. */
const options = { sanitizeOps: false, sanitizeResources: false };
const patienceMs = 10_000;

Deno.test(
  "Five processes survive a minute of kills, stops, wipes, bad disks and a bad network",
  options,
  async () => {
    const dir = Deno.makeTempDirSync({ prefix: "drakkar-chaos-" });
    const lines: string[] = [];
    const report = await runChaos({
      seed: 4711,
      harmMs: 60_000,
      dir,
      signal: new AbortController().signal,
      note: (line) => lines.push(line),
    });
    const what = `${lines.join("\n")}\n${JSON.stringify(report)}\nkept: ${dir}`;
    assert.deepEqual(report.violations, [], what);
    assert.equal(report.keys.undecided, 0, what);
    assert.ok(report.calls.done > 500, what);
    assert.ok(report.sessionCalls > 50, what);
    assert.ok(Object.keys(report.faults).length >= 14, what);
    // deno-lint-ignore no-console -- whoever runs the tests must know what was left out
    for (const each of report.leftOut) console.log(`left out: ${each}`);
    Deno.removeSync(dir, { recursive: true });
  },
);

/** Processes whose command line names a folder. */
function processesOf(dir: string): string[] {
  const found: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const line = Deno.readTextFileSync(`/proc/${name}/cmdline`);
      if (line.includes(dir)) found.push(`${name} ${line}`);
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/** Looks at the processes of a folder until they are as they should be, or it took too long; returns the last that it saw. */
async function until(
  dir: string,
  isSo: (found: readonly string[]) => boolean,
): Promise<string[]> {
  const endsAt = performance.now() + patienceMs;
  for (;;) {
    const found = processesOf(dir);
    if (isSo(found) || performance.now() >= endsAt) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  Deno.test({
    name: `The chaos run leaves no process behind after ${signal}`,
    ignore: Deno.build.os !== "linux",
    ...options,
    async fn() {
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          new URL("../chaos/main.ts", import.meta.url).href,
          "--seed=1",
        ],
        stdout: "piped",
      }).spawn();
      let dir = "";
      for await (const line of readLines(child.stdout)) {
        dir = /logs are in (.+)$/.exec(line)?.[1] ?? dir;
        // With the first fault everything runs.
        if (/^ *\d+\.\d s/.test(line)) break;
      }
      assert.notEqual(dir, "");
      // The first fault may be that one is killed, and it is started again a moment later.
      const runs = await until(dir, (found) => found.length >= 6);
      assert.ok(runs.length >= 6, `it has processes: ${runs}`);
      child.kill(signal);
      const { code } = await child.status;
      if (signal === "SIGINT") assert.equal(code, 130);
      assert.deepEqual(await until(dir, (found) => found.length === 0), []);
      if (signal === "SIGINT") {
        assert.throws(() => Deno.statSync(dir), Deno.errors.NotFound);
      } else Deno.removeSync(dir, { recursive: true });
    },
  });
}
