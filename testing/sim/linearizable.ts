/**
 * Hands a cluster's history to the checker of linearizability: clients' calls and answers, and nothing from inside. Only in
 * a long run something is told beside: of operations whose outcome no client learned, after each phase, whether they were
 * applied, and by when. An hour of operations that may happen at any time would be beyond any search.
 */
import { checkLinearizability } from "../linearizability/checker.ts";
import type { Verdict } from "../linearizability/checker.ts";
import type { Model, Operation as Observed } from "../linearizability/model.ts";
import type { SimInput } from "./application.ts";
import type { Operation } from "./history.ts";

/**
 * Steps, so that the same seed ends in the same way on every machine. A right history takes one or two each, unless it
 * has many operations of unknown outcome on one key: then a step costs as much as there are ways to have taken them.
 */
const stepsMax = 20_000;
/** Or so many for each operation, if that is more. */
const stepsPerOperation = 4;
/** Operations that a message tells. */
const toldMax = 5;

/** What was found, in a sentence if it is `illegal`. */
export interface HistoryVerdict {
  readonly verdict: Verdict;
  readonly message: string;
}

/** Judges all that clients saw of one cluster. */
export function judgeHistory(
  model: Model<unknown, SimInput, unknown>,
  operations: readonly Operation[],
): HistoryVerdict {
  const counted = operations.filter((one) =>
    one.status === "done" ||
    one.kind === "write" && one.status !== "notApplied" &&
      !(one.isSettled && one.index === 0)
  );
  const { verdict, partitions } = checkLinearizability(
    model,
    counted.map(observed),
    { stepsMax: Math.max(stepsMax, stepsPerOperation * counted.length) },
  );
  if (verdict !== "illegal") return { verdict, message: "" };
  const part = partitions[partitions.length - 1]!;
  const longest = part.linearizations[0] ?? [];
  const explained = new Set(longest);
  const left = counted.filter((operation, place) =>
    operation.status === "done" && !explained.has(place) &&
    model.partition?.({ kind: operation.kind, input: operation.input }) ===
      part.key
  );
  const told = left.slice(0, toldMax).map((operation) =>
    `${operation.kind} ${operation.id} (${operation.invokedUs / 1e6} s to ` +
    `${operation.endedUs / 1e6} s) answered ${JSON.stringify(operation.output)}`
  );
  return {
    verdict,
    message: `no order explains what clients saw` +
      (part.key === undefined ? "" : ` of key ${part.key}`) +
      `: ${longest.length} operations have one, then comes ${told.join("; ")}`,
  };
}

function observed(operation: Operation): Observed<SimInput, unknown> {
  const { client, kind, input, output, invokedUs } = operation;
  const call = { client, input: { kind, input }, call: invokedUs };
  if (operation.status === "done") {
    return { ...call, output, return: operation.endedUs };
  }
  // Whoever asked after some node had applied it must see it.
  return operation.isSettled
    ? { ...call, return: Math.max(invokedUs, operation.appliedUs) }
    : call;
}
