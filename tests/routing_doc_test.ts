/** Runs the program of `docs/ROUTING.md` as it stands there, on a network in memory. */
import type { NodeHost } from "../mod.ts";
import { assert } from "./deps.ts";
import { Hosts } from "./support/hosts.ts";

const projectDir = new URL("..", import.meta.url);
const publishedAt = "https://raw.githubusercontent.com/OWNER/drakkar/v0.1.0/";

interface Program {
  openClient(
    dir: string,
    raftAddress: string,
    peers: string[],
  ): Promise<NodeHost>;
  addFive(client: NodeHost): Promise<unknown>;
}

async function importProgram(): Promise<Program> {
  const page = Deno.readTextFileSync(new URL("docs/ROUTING.md", projectDir));
  const code = /^```ts.*\n(\/\/ client\.ts\n[^]*?)^```$/m.exec(page)?.[1];
  assert.ok(code !== undefined, "the page has its program");
  const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
  try {
    const path = `${dir}/client.ts`;
    const local = code.replaceAll(publishedAt, projectDir.href);
    Deno.writeTextFileSync(path, local);
    return await import(`file://${path}`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("docs/ROUTING.md: a client without a cluster", async () => {
  const { openClient, addFive } = await importProgram();
  await using hosts = await Hosts.started(3);
  const client = await hosts.open(4, { peers: ["host-1:7000"] });
  assert.equal(await addFive(client), 5);
  // What it opens would listen on a real port: only its arguments are checked here.
  await assert.rejects(openClient("", "127.0.0.1:1", []), RangeError);
});
