/** Runs the bank of `docs/TESTING.md` as it stands there: its bug must be found, again by its seed, and not when it is mended. */
import { assert } from "./deps.ts";
import { programsOf } from "./support/programs.ts";

const programs = programsOf("docs/TESTING.md");

interface Ended {
  readonly code: number;
  readonly lines: readonly string[];
}

/** Writes the programs into a folder, and runs the second with the arguments of each run. */
async function runBank(
  bank: string,
  ...runs: (readonly string[] | ((before: Ended) => readonly string[]))[]
): Promise<Ended[]> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-docs-" });
  const ended: Ended[] = [];
  try {
    Deno.writeTextFileSync(`${dir}/bank.ts`, bank);
    Deno.writeTextFileSync(`${dir}/bank_sim.ts`, programs.get("bank_sim.ts")!);
    for (const run of runs) {
      const args = typeof run === "function" ? run(ended.at(-1)!) : run;
      const { code, stdout, stderr } = await new Deno.Command(
        Deno.execPath(),
        {
          args: ["run", "--check", "--no-prompt", ...args],
          cwd: dir,
          env: { NO_COLOR: "1" },
        },
      ).output();
      const decoder = new TextDecoder();
      const lines = decoder.decode(stdout).trim().split("\n");
      assert.ok(code < 2 && lines[0] !== "", decoder.decode(stderr));
      ended.push({ code, lines });
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  return ended;
}

/** The line that a failed run tells to run, without `deno run`. */
function onceMore({ lines }: Ended): string[] {
  const line = /once more: deno run (.+)$/.exec(lines.at(-1)!)?.[1];
  assert.ok(line !== undefined, lines.join("\n"));
  return line.split(" ");
}

Deno.test("TESTING: the simulator finds the bank's bug, and again by the line that it prints", async () => {
  const bank = programs.get("bank.ts")!;
  const [found, again] = await runBank(bank, ["bank_sim.ts"], onceMore);
  assert.equal(found!.code, 1, found!.lines.join("\n"));
  assert.match(found!.lines[0]!, /^seed \d+: /);
  assert.deepEqual(again, found, "the same seed, the same run");

  const bytes = "Uint8Array.from(balances)";
  const mended = bank
    .replace(bytes, "new Uint8Array(Uint16Array.from(balances).buffer)")
    .replace(
      "[...await new Response(reader).bytes()]",
      "[...new Uint16Array(await new Response(reader).arrayBuffer())]",
    );
  assert.ok(bank.includes(bytes) && !mended.includes(bytes));
  const [fine] = await runBank(mended, onceMore(found!));
  assert.equal(fine!.code, 0, fine!.lines.join("\n"));
});
