/** Runs the program of `docs/MASTER.md` as it stands there, with its own command line, but for its port. */
import { openDenoKv } from "../master/kv.ts";
import { assert } from "./deps.ts";
import { freePort } from "./support/hosts.ts";
import { programsOf, projectDir } from "./support/programs.ts";

const patienceMs = 60_000;

Deno.test("MASTER.md: a NodeHost reports straight into Deno KV", async () => {
  const text = Deno.readTextFileSync(new URL("docs/MASTER.md", projectDir));
  const options = /^mkdir -p data\ndeno run ((?:--\S+ )+)kv_host\.ts$/m
    .exec(text)?.[1]?.trim().split(" ");
  assert.ok(options !== undefined, "how to run it");
  const address = `127.0.0.1:${freePort()}`;
  const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
  try {
    Deno.mkdirSync(`${dir}/data`);
    Deno.writeTextFileSync(
      `${dir}/kv_host.ts`,
      programsOf("docs/MASTER.md").get("kv_host.ts")!
        .replace("127.0.0.1:7001", address),
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", ...options, "kv_host.ts"],
      cwd: dir,
      env: { NO_COLOR: "1" },
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { value } = await lines.read();
    assert.match(value ?? "", /^deployment [1-9][0-9]*\n$/);
    const kv = await openDenoKv(`${dir}/data/master.kv`);
    try {
      let found: unknown;
      while (found === undefined) { // The patience ends this too: the program is killed then.
        const hosts = await Array.fromAsync(kv.list({ prefix: ["h"] }));
        found = hosts[0]?.value;
        assert.equal(
          (await Promise.race([child.status, wait(50)]))?.code,
          undefined,
        );
      }
      const { addr } = found as { addr: string };
      assert.equal(addr, address);
    } finally {
      kv.close();
      clearTimeout(timer);
      child.kill("SIGKILL");
      await child.status;
      await lines.cancel();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

function wait(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), ms));
}
