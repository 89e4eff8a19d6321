/** Splits a history into the parts that a model names, and has each of them searched. */
import { steadyClock } from "./clock.ts";
import type { Model, Operation } from "./model.ts";
import { Search } from "./search.ts";

/** `unknown`: the limit was reached before the search ended. */
export type Verdict = "ok" | "illegal" | "unknown";

/** Limits of a search. */
export interface CheckOptions {
  /** Milliseconds after which the verdict is `unknown`. No limit by default. */
  readonly timeoutMs?: number;
  /** The same in steps of the model, so that the verdict does not depend on the machine. No limit by default. */
  readonly stepsMax?: number;
  /** Milliseconds by a clock that never goes back; the process's unless given. */
  readonly now?: () => number;
}

/** What was found of one part of the object. */
export interface PartitionResult {
  /** What the model calls it; `undefined` if the model names no parts. */
  readonly key: string | number | undefined;
  /** Whether its operations have a linearization. */
  readonly verdict: Verdict;
  /**
   * If `ok`, one linearization: places in the history, in the order in which the operations may have taken effect. Else
   * the longest beginnings of one that were found, longest first, such that every operation that stands in any of
   * them stands in one of these: what follows them, nothing explains.
   */
  readonly linearizations: readonly (readonly number[])[];
}

/** What was found. */
export interface CheckResult {
  /** `illegal` if any part is, else `unknown` if any part is. */
  readonly verdict: Verdict;
  /** The parts that were looked at: all, or up to the first that is illegal. */
  readonly partitions: readonly PartitionResult[];
  /** Steps of the model that it took. */
  readonly steps: number;
}

/**
 * Looks for an order of the operations that a single client of the object could have seen, in which no operation comes
 * after one that was called when it had already returned.
 *
 * The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memoization
 * ("Testing for linearizability", 2017), part by part (Horn and Kroening, "Faster linearizability checking via
 * P-compositionality", 2015). The question is NP-complete: give a limit where clients are many.
 *
 * @throws {RangeError} if an operation returns before its call, or a time is not a number
 */
export function checkLinearizability<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
  options: CheckOptions = {},
): CheckResult {
  checkTimes(history);
  const now = options.now ?? steadyClock;
  const limits = {
    stepsMax: options.stepsMax ?? Infinity,
    now,
    endsAt: options.timeoutMs === undefined
      ? Infinity
      : now() + options.timeoutMs,
  };
  const partitions: PartitionResult[] = [];
  let steps = 0;
  let verdict: Verdict = "ok";
  for (const [key, places] of partsOf(model, history)) {
    const search = new Search(model, history, places);
    const found = search.run({
      ...limits,
      stepsMax: limits.stepsMax - steps,
    });
    steps += search.steps;
    partitions.push({
      key,
      verdict: found,
      linearizations: search.linearizations(),
    });
    if (found !== "ok") verdict = found;
    if (found === "illegal") break;
  }
  return { verdict, partitions, steps };
}

function checkTimes(history: readonly Operation<unknown, unknown>[]): void {
  history.forEach((operation, place) => {
    const { call } = operation;
    const returned = operation.return ?? Infinity;
    if (!(returned >= call) || !Number.isFinite(call)) {
      throw new RangeError(
        `Cannot check operation ${place}: it is called at ${call} and returns at ${returned}`,
      );
    }
  });
}

/** The operations of each part, by their places in the history; parts in the order in which they first occur. */
function partsOf<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly Operation<Input, Output>[],
): Map<string | number | undefined, number[]> {
  const parts = new Map<string | number | undefined, number[]>();
  history.forEach(({ input }, place) => {
    const key = model.partition?.(input);
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [place]);
    else part.push(place);
  });
  return parts;
}
