/**
 * Runs the scenarios of `tests/scenarios`: clusters as text, whose format `tests/support/scenario.ts` describes. With
 * `--rewrite` the files get what the core does now; look at the difference before you keep it.
 */
import { assert } from "./deps.ts";
import { runScenario } from "./support/scenario.ts";

const dir = new URL("./scenarios/", import.meta.url);
const isRewriting = Deno.args.includes("--rewrite");

const names = [...Deno.readDirSync(dir)]
  .map((entry) => entry.name)
  .filter((name) => name.endsWith(".txt"))
  .sort();

for (const name of names) {
  const title = name.replace(/\.txt$/, "").replaceAll("_", " ");
  Deno.test(`Scenario: ${title}`, () => {
    const path = new URL(name, dir);
    const text = Deno.readTextFileSync(path);
    const { actual, expected } = runScenario(text);
    if (isRewriting) {
      Deno.writeTextFileSync(path, actual);
      return;
    }
    assert.equal(actual, expected);
    assert.equal(text, expected, "the file must be laid out as it is written");
  });
}
