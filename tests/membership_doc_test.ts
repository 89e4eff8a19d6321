/** Runs the program of `docs/MEMBERSHIP.md` as it stands there. */
import type { NodeHost } from "../mod.ts";
import { assert } from "./deps.ts";
import { Hosts } from "./support/hosts.ts";
import { importProgram } from "./support/programs.ts";

Deno.test("docs/MEMBERSHIP.md: two machines and a witness", async () => {
  const { addThirdVote } = await importProgram<
    { addThirdVote(voter: NodeHost, small: NodeHost): Promise<void> }
  >("docs/MEMBERSHIP.md", "witness.ts");
  await using hosts = await Hosts.started(2);
  const small = await hosts.open(3);
  await addThirdVote(hosts.host(1), small);
  await hosts.close(hosts.leader(1));
  const left = [1, 2].find((n) => hosts.host(n) !== undefined)!;
  await hosts.host(left).waitReady(1);
  assert.equal(
    (await hosts.host(left).propose(1, Uint8Array.of(5))).value,
    5,
  );
});
