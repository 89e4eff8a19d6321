import { assert } from "../deps.ts";

/** Everything that a module loads, types apart: files and packages. */
async function loaded(entry: URL): Promise<Set<string>> {
  const seen = new Set<string>();
  const toRead = [entry];
  for (let url = toRead.pop(); url !== undefined; url = toRead.pop()) {
    if (seen.has(url.href)) continue;
    seen.add(url.href);
    const text = await Deno.readTextFile(url);
    const statements = text.matchAll(
      /^(?:import|export)\s+(?!type\s)[^;"]*?from\s+"([^"]+)"/gm,
    );
    for (const [, specifier] of statements) {
      if (specifier!.startsWith(".")) toRead.push(new URL(specifier!, url));
      else seen.add(specifier!);
    }
  }
  return seen;
}

Deno.test("Whoever imports master/mod.ts never loads Hono", async () => {
  const server = await loaded(
    new URL("../../master/server.ts", import.meta.url),
  );
  const clients = await loaded(new URL("../../master/mod.ts", import.meta.url));
  assert.ok([...server].some((name) => name.startsWith("npm:hono")));
  const packages = [...clients].filter((name) => !name.startsWith("file:"));
  assert.deepEqual(packages.sort(), [
    "node:crypto",
    "npm:cbor-x@^1.6.0/encode",
  ]);
});

Deno.test("Whoever imports master/protocol.ts loads nothing", async () => {
  const url = new URL("../../master/protocol.ts", import.meta.url);
  assert.deepEqual([...await loaded(url)], [url.href]);
});
