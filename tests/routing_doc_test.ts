/** Runs the program of `docs/ROUTING.md` as it stands there, on a network in memory. */
import type { NodeHost } from "../mod.ts";
import { assert } from "./deps.ts";
import { Hosts } from "./support/hosts.ts";
import { importProgram } from "./support/programs.ts";

interface Program {
  openClient(
    dir: string,
    raftAddress: string,
    peers: string[],
  ): Promise<NodeHost>;
  addFive(client: NodeHost): Promise<unknown>;
}

Deno.test("docs/ROUTING.md: a client without a cluster", async () => {
  const { openClient, addFive } = await importProgram<Program>(
    "docs/ROUTING.md",
    "client.ts",
  );
  await using hosts = await Hosts.started(3);
  const client = await hosts.open(4, { peers: ["host-1:7000"] });
  assert.equal(await addFive(client), 5);
  // What it opens would listen on a real port: only its arguments are checked here.
  await assert.rejects(openClient("", "127.0.0.1:1", []), RangeError);
});
