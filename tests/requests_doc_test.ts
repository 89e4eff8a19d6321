/** docs/REQUESTS.md says of every error what to do. */
import { assert } from "./deps.ts";
import { projectDir } from "./support/programs.ts";

Deno.test("docs/REQUESTS.md has every code of an error in its table, and no other", () => {
  const read = (path: string) =>
    Deno.readTextFileSync(new URL(path, projectDir));
  const [union] = read("raft/errors.ts").split("\n/**\n * Whether the request");
  const codes = [...union!.matchAll(/^ {2}\| "(\w+)"/gm)].map(([, code]) =>
    code!
  );
  assert.ok(codes.length > 20, codes.join());
  const [, table] = read("docs/REQUESTS.md").split("\n## What an error asks")!;
  const listed = table!.split("\n").filter((line) => line.startsWith("| `"))
    .flatMap((line) =>
      [...line.split("|")[1]!.matchAll(/`(\w+)`/g)].map(([, code]) => code!)
    );
  assert.deepEqual(listed.toSorted(), codes.toSorted());
});
