/** Which of the master's tests run at the edge, and on what, as it follows from what they import and call. */
import { fileURLToPath, join } from "./deps.ts";

const folder = fileURLToPath(new URL("../master/", import.meta.url));

/** A file of tests of the master. */
export interface MasterTests {
  /** Its name in `tests/master`. */
  readonly name: string;
  /** It starts programs, which nobody may at the edge. */
  readonly startsPrograms: boolean;
  /** What it stores is where `instances.ts` says, and so are its masters, but for tests that say why not. */
  readonly isInAStore: boolean;
  /** It opens databases, or makes stores or masters, past `instances.ts`. */
  readonly makesItsOwn: boolean;
  /** It, or what it imports for that, has worlds on virtual time, with masters and a store of their own. */
  readonly hasWorlds: boolean;
}

const making =
  /\b(?:openDenoKv|openStore|createMaster|new MemoryKv|new KvStore)\(/;

/** All of them. */
export function masterTests(): MasterTests[] {
  return [...Deno.readDirSync(folder)]
    .map(({ name }) => name)
    .filter((name) => name.endsWith("_test.ts"))
    .sort()
    .map((name) => {
      const text = Deno.readTextFileSync(join(folder, name));
      const texts = readWithImports(join(folder, name));
      const has = (what: RegExp) => texts.some((one) => what.test(one));
      return {
        name,
        startsPrograms: has(/\bnew Deno\.Command\(/),
        isInAStore: /\b(?:withStore|openEmptyKv)\(/.test(text),
        makesItsOwn: making.test(text),
        hasWorlds: has(/\bnew (?:Master|Raft)World\(/),
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
      if (/\/(?:tests|testing|examples)\//.test(next)) toRead.push(next);
    }
  }
  return [...texts.values()];
}
