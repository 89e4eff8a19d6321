/** The programs in the project's documents, so that tests can run them as they stand there. */
import { assert } from "../deps.ts";

/** The project's root. */
export const projectDir = new URL("../..", import.meta.url);
/** What stands in the documents for the place that the project is published at. */
const publishedAt = "https://raw.githubusercontent.com/OWNER/drakkar/v0.1.0/";

/** The blocks of TypeScript in a document, by the file name in their first line, with imports of this project. */
export function programsOf(path: string): Map<string, string> {
  const text = Deno.readTextFileSync(new URL(path, projectDir));
  const programs = new Map<string, string>();
  for (const [, code] of text.matchAll(/^```ts.*\n([^]*?)^```$/gm)) {
    const name = /^\/\/ (\w+\.ts)\n/.exec(code!)?.[1];
    assert.ok(name !== undefined, `a block without a name:\n${code}`);
    programs.set(name, code!.replaceAll(publishedAt, projectDir.href));
  }
  return programs;
}

/** Writes one program of a document to a folder of its own, and imports it. */
export async function importProgram<T>(path: string, name: string): Promise<T> {
  const code = programsOf(path).get(name);
  assert.ok(code !== undefined, `${path} has no ${name}`);
  const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
  try {
    Deno.writeTextFileSync(`${dir}/${name}`, code);
    return await import(`file://${dir}/${name}`);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
