/**
 * Fuzzes every decoder with fresh seeds for as long as it is told:
 *
 *     deno task fuzz [--seconds N] [--seed N] [--target TEXT]
 *
 * A failure names the seed that repeats it.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { fc } from "../deps.ts";
import { diskTargets } from "./disk_targets.ts";
import { masterTargets } from "./master_targets.ts";
import { propertiesOf } from "./target.ts";
import { wholeLogs } from "./whole_logs.ts";
import { wireTargets } from "./wire_targets.ts";

function option(name: string): string | undefined {
  const at = Deno.args.indexOf(name);
  return at < 0 ? undefined : Deno.args[at + 1];
}

if (import.meta.main) {
  const seconds = Number(option("--seconds") ?? 60);
  const only = option("--target") ?? "";
  const fixed = option("--seed");
  const targets = [...wireTargets, ...diskTargets, ...masterTargets]
    .filter(({ name }) => name.includes(only));
  const endsAt = performance.now() + seconds * 1_000;
  let seed = Number(fixed ?? Math.floor(Math.random() * 2 ** 31));
  let runs = 0;
  let failures = 0;
  do {
    for (const one of targets) {
      for (const [what, property] of Object.entries(propertiesOf(one))) {
        const details = fc.check(property, { seed, numRuns: 500 });
        if (details instanceof Promise) throw new TypeError("not synchronous");
        runs += details.numRuns;
        if (!details.failed) continue;
        failures++;
        console.log(
          `${one.name}, ${what}: deno task fuzz --seconds 0 --seed ${seed} --target "${one.name}"`,
        );
        console.log(fc.defaultReportMessage(details), details.errorInstance);
      }
    }
    if ("whole logs".includes(only)) {
      const details = await fc.check(await wholeLogs(), { seed, numRuns: 500 });
      runs += details.numRuns;
      if (details.failed) {
        failures++;
        console.log(
          `whole logs: deno task fuzz --seconds 0 --seed ${seed} --target "whole logs"`,
        );
        console.log(fc.defaultReportMessage(details), details.errorInstance);
      }
    }
    seed++;
  } while (performance.now() < endsAt && failures === 0);
  console.log(
    `${targets.length} decoders and whole logs, ${runs} inputs, ${failures} failures`,
  );
  Deno.exit(failures === 0 ? 0 : 1);
}
