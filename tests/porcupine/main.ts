/**
 * Compares the verdicts of our checker of linearizability with those of porcupine on generated histories, a third of
 * which have a planted fault that makes them illegal. Needs Go, which fetches porcupine; says so and ends well where
 * there is none.
 *
 *     deno run -A tests/porcupine/main.ts [--histories N] [--seed N]
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import {
  checkLinearizability,
  formatHistory,
  parseHistory,
} from "../../testing/linearizability.ts";
import type { Verdict } from "../../testing/linearizability.ts";
import { SimRandom } from "../../testing/mod.ts";
import { generate, plantFault } from "../testing/histories.ts";
import type { Sample } from "../testing/histories.ts";

interface Judged {
  readonly text: string;
  readonly verdict: Verdict;
}

function option(name: string, otherwise: number): number {
  const at = Deno.args.indexOf(name);
  return at < 0 ? otherwise : Number(Deno.args[at + 1]);
}

function judge({ model, history }: Sample): Judged {
  const text = formatHistory(model.name, history);
  // What the other side reads is what is judged.
  const { operations } = parseHistory(text)[0]!;
  return {
    text,
    verdict:
      checkLinearizability(model, operations, { timeoutMs: 20_000 }).verdict,
  };
}

/** Every third history gets faults until it is illegal: what is bad is for the other side to confirm. */
function make(seed: number): Judged {
  const random = new SimRandom(seed, "porcupine");
  const right = generate(random, {
    clients: random.between(2, 8),
    operations: random.between(5, 80),
    keys: random.between(1, 4),
    unknownShare: random.pick([0, 0.05, 0.15]),
  });
  if (seed % 3 !== 0) return judge(right);
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const judged = judge(plantFault(random, right));
    if (judged.verdict === "illegal") return judged;
  }
  return judge(right);
}

async function porcupineVerdicts(input: string): Promise<string[]> {
  const child = new Deno.Command("go", {
    args: ["run", "."],
    cwd: new URL(".", import.meta.url),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const written = writer.write(new TextEncoder().encode(input))
    .then(() => writer.close());
  const [{ success, stdout }] = await Promise.all([child.output(), written]);
  if (!success) throw new Error("Cannot compare: the Go program failed");
  return new TextDecoder().decode(stdout).trim().split("\n");
}

function hasGo(): boolean {
  try {
    return new Deno.Command("go", { args: ["version"] }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

if (import.meta.main) {
  if (!hasGo()) {
    console.log("skipped: there is no Go here, and porcupine needs it");
    Deno.exit(0);
  }
  const count = option("--histories", 1_000);
  const firstSeed = option("--seed", 1);
  const ours = Array.from({ length: count }, (_, i) => make(firstSeed + i));
  const theirs = await porcupineVerdicts(ours.map(({ text }) => text).join(""));
  const counts: Record<string, number> = {};
  let differ = 0;
  let undecided = 0;
  ours.forEach(({ verdict, text }, i) => {
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (theirs[i]?.toLowerCase() === verdict) return;
    if (theirs[i] === "Unknown" && verdict === "illegal") {
      undecided++; // Porcupine tries all subsets of the operations of unknown outcome, which takes it too long.
      return;
    }
    differ++;
    console.log(
      `seed ${firstSeed + i}: ${verdict}, porcupine says ${theirs[i]}\n${text}`,
    );
  });
  console.log(
    `${count} histories: ${JSON.stringify(counts)}, ` +
      `${differ} verdicts differ, ${undecided} porcupine could not decide`,
  );
  const isFair = (counts.illegal ?? 0) >= Math.floor(count / 3) - 5 &&
    undecided <= count / 100;
  if (!isFair) {
    console.log("Too few are illegal for the comparison to mean much");
  }
  Deno.exit(differ === 0 && theirs.length === count && isFair ? 0 : 1);
}
