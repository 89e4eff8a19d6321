/**
 * Explores small scopes to the bounds, and prints what was explored:
 *
 *     deno task scopes [--deep]
 *
 * Without `--deep` it takes about a minute of one core, with it some tens of minutes.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { explore } from "./core_scope.ts";
import type { ScopeBounds, ScopeStart } from "./core_scope.ts";
import { exploreStorage } from "./storage_scope.ts";

const none = { timeouts: 0, crashes: 0, proposals: 0, duplicates: 0 };
const end = 99; // Until nothing is left to happen.

/** What a minute allows. */
export const usual: readonly [ScopeStart, ScopeBounds][] = [
  ["nothing", { ...none, depth: end, timeouts: 1 }],
  ["nothing", { ...none, depth: 11, timeouts: 2 }],
  ["nothing", { ...none, depth: 12, timeouts: 1, crashes: 1 }],
  ["leader", { ...none, depth: end, proposals: 1 }],
  ["leader", { ...none, depth: 8, timeouts: 1, crashes: 1, proposals: 1 }],
  ["leader", { ...none, depth: 8, timeouts: 1, duplicates: 1 }],
];

const deep: readonly [ScopeStart, ScopeBounds][] = [
  ["nothing", { ...none, depth: 15, timeouts: 2 }],
  ["nothing", { ...none, depth: 16, timeouts: 1, crashes: 1 }],
  ["nothing", { ...none, depth: 14, timeouts: 2, crashes: 1, proposals: 1 }],
  ["leader", { ...none, depth: end, proposals: 2 }],
  ["leader", { ...none, depth: 11, timeouts: 1, crashes: 1, proposals: 1 }],
  ["leader", { ...none, depth: 10, timeouts: 2, crashes: 2, duplicates: 1 }],
];

/** Explores, and says how much. */
export async function exploreAll(
  scopes: readonly [ScopeStart, ScopeBounds][],
  lengths: readonly number[],
): Promise<void> {
  for (const [start, bounds] of scopes) {
    const { depth, timeouts, crashes, proposals, duplicates } = bounds;
    const { states, steps, byDepth } = explore(start, bounds);
    const isWhole = byDepth.length <= depth;
    console.log(
      `three cores from ${start}: ${timeouts} timeouts, ${crashes} crashes, ${proposals} proposals, ` +
        `${duplicates} duplicates, ${
          isWhole ? "to the end" : `${depth} steps`
        }: ${states} states, ${steps} transitions`,
    );
  }
  for (const length of lengths) {
    const report = await exploreStorage(length);
    console.log(
      `the log, ${length} operations: ${report.sequences} sequences, ${report.crashPoints} power cuts, ` +
        `${report.outcomes} outcomes (${report.drawn} power cuts have more than all could be tried of)`,
    );
  }
}

if (import.meta.main) {
  const isDeep = Deno.args.includes("--deep");
  await exploreAll(isDeep ? deep : usual, isDeep ? [3] : [1, 2]);
}
