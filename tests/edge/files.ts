/** Which of the master's tests run at the edge, and on what, as it follows from what they import and call. */
import { fileURLToPath, join } from "./deps.ts";

const folder = fileURLToPath(new URL("../master/", import.meta.url));

/** A file of tests of the master. */
export interface MasterTests {
  /** Its name in `tests/master`. */
  readonly name: string;
  /** It starts programs, which nobody may at the edge. */
  readonly startsPrograms: boolean;
  /** What it stores is where `instances.ts` says, and so are its masters. */
  readonly isInAStore: boolean;
  /** It opens a database of its own. */
  readonly opensItsOwn: boolean;
}

/** All of them. */
export function masterTests(): MasterTests[] {
  return [...Deno.readDirSync(folder)]
    .map(({ name }) => name)
    .filter((name) => name.endsWith("_test.ts"))
    .sort()
    .map((name) => {
      const text = Deno.readTextFileSync(join(folder, name));
      return {
        name,
        startsPrograms: readWithImports(join(folder, name)).some((one) =>
          /\bnew Deno\.Command\(/.test(one)
        ),
        isInAStore: /\b(?:withStore|storeOver|openEmptyKv)\(/.test(text),
        opensItsOwn: /\bopenDenoKv\(|\bopenStore\(/.test(text),
      };
    });
}

/** The texts of a file and of all that it imports of the tests. What masters are made of starts no programs. */
function readWithImports(entry: string): string[] {
  const texts = new Map<string, string>();
  const toRead = [entry];
  for (let path = toRead.pop(); path !== undefined; path = toRead.pop()) {
    if (texts.has(path)) continue;
    const text = Deno.readTextFileSync(path);
    texts.set(path, text);
    for (const [, from] of text.matchAll(/\bfrom "(\.[^"]+)"/g)) {
      const next = join(path, "..", from!);
      if (next.includes("/tests/") || next.includes("/examples/")) {
        toRead.push(next);
      }
    }
  }
  return [...texts.values()];
}
