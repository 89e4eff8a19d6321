/** Runs the program of `docs/MEMBERSHIP.md` as it stands there. */
import type { NodeHost } from "../mod.ts";
import { assert } from "./deps.ts";
import { Hosts } from "./support/hosts.ts";

const projectDir = new URL("..", import.meta.url);
const publishedAt = "https://raw.githubusercontent.com/OWNER/drakkar/v0.1.0/";

/** Writes the block named `name` to a folder of its own, and imports it. */
async function importProgram<T>(name: string): Promise<T> {
  const page = Deno.readTextFileSync(new URL("docs/MEMBERSHIP.md", projectDir));
  for (const [, code] of page.matchAll(/^```ts.*\n([^]*?)^```$/gm)) {
    if (!code!.startsWith(`// ${name}\n`)) continue;
    const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
    try {
      Deno.writeTextFileSync(
        `${dir}/${name}`,
        code!.replaceAll(publishedAt, projectDir.href),
      );
      return await import(`file://${dir}/${name}`);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  }
  throw new Error(`Cannot find ${name} in docs/MEMBERSHIP.md`);
}

Deno.test("docs/MEMBERSHIP.md: two machines and a witness", async () => {
  const { addThirdVote } = await importProgram<
    { addThirdVote(voter: NodeHost, small: NodeHost): Promise<void> }
  >("witness.ts");
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
