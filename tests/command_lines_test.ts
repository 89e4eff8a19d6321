/** What every command line of the project answers to `--help`, and to what it does not know. */
import { assert } from "./deps.ts";

const programs: Readonly<Record<string, string>> = {
  sim: "testing/sim/main.ts",
  chaos: "tests/chaos/main.ts",
  mutate: "tests/mutations/main.ts",
  coverage: "tests/coverage/main.ts",
  bench: "bench/main.ts",
  demo: "examples/demo/main.ts",
  master: "master/main.ts",
  drakkar: "master/cli/main.ts",
  inspect: "raft/cli/inspect.ts",
  "import-snapshot": "raft/cli/import_snapshot.ts",
};

const wrongValues: readonly [task: string, args: string[], text: string][] = [
  ["sim", ["--seeds", "5"], '"5" is no range'],
  ["sim", ["--seeds", "9..5"], '"9..5" has no seed in it'],
  ["sim", ["--seed", "x"], '"x" is not a whole number'],
  ["chaos", ["--seed", "x"], '"x" is not a whole number'],
  ["chaos", ["--minutes", "0"], "it is not a positive number"],
  ["sim", ["--hours", "0"], "it is not a positive number"],
  ["mutate", ["--only", "nothing"], '"nothing" is none of acknowledges_before'],
  ["coverage", ["--least", "all"], '"all" is no percentage'],
  ["mutate", ["--seeds", "0"], '"0" is not a positive whole number'],
];

async function run(
  program: string,
  ...args: string[]
): Promise<{ code: number; out: string; err: string }> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-check",
      "--no-prompt",
      "--frozen",
      "--allow-read",
      "--allow-env",
      program,
      ...args,
    ],
    cwd: new URL("..", import.meta.url),
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return {
    code: output.code,
    out: decoder.decode(output.stdout),
    err: decoder.decode(output.stderr),
  };
}

for (const [task, program] of Object.entries(programs)) {
  Deno.test(`deno task ${task} tells its usage, and names a flag that it does not know`, async () => {
    const [help, wrong] = await Promise.all([
      run(program, "--help"),
      run(program, "--no-such-flag"),
    ]);
    assert.equal(help.code, 0, help.err);
    assert.ok(help.out.startsWith("Usage: deno task " + task), help.out);
    assert.ok(help.out.includes("--help"));
    assert.equal(help.err, "");
    assert.equal(wrong.code, 2, wrong.err);
    assert.equal(wrong.out, "");
    const first = wrong.err.split("\n")[0]!;
    assert.ok(first.includes("--no-such-flag"), first);
  });
}

Deno.test("A command line that cannot be used is refused with status 2, and says what is wrong with it", async () => {
  const answers = await Promise.all(
    wrongValues.map(([task, args]) => run(programs[task]!, ...args)),
  );
  for (const [i, { code, err }] of answers.entries()) {
    const [, args, text] = wrongValues[i]!;
    assert.equal(code, 2);
    const first = err.split("\n")[0]!;
    assert.ok(first.startsWith(`Cannot use ${args[0]}: `), first);
    assert.ok(first.includes(text), first);
  }
});

Deno.test("deno task inspect and import-snapshot say what they lack", async () => {
  const [folder, image] = await Promise.all([
    run(programs["inspect"]!, "docs"),
    run(programs["import-snapshot"]!, "--dir", "x"),
  ]);
  assert.equal(folder.code, 2);
  assert.match(
    folder.err,
    /^Cannot inspect docs: no NodeHost was opened in it/,
  );
  assert.equal(image.code, 1);
  assert.match(image.err, /^Cannot import a snapshot: --image is missing/);
});
