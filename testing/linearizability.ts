/**
 * A checker of linearizability: does what clients saw of an object that they used at the same time follow from some
 * order of their calls, each taking effect at one moment between its call and its return (Herlihy and Wing 1990)?
 *
 * It needs nothing of the rest of this library. You describe your object as a {@link Model}, or take a ready one,
 * record what your clients did, and ask {@link checkLinearizability}.
 *
 * @example
 * ```ts
 * const verdict = checkLinearizability(registerModel<number>(0), [
 *   { client: 1, input: { op: "write", value: 1 }, output: null, call: 0, return: 10 },
 *   { client: 2, input: { op: "read" }, output: 1, call: 5, return: 15 },
 *   { client: 3, input: { op: "read" }, output: 0, call: 20, return: 25 }, // The write had ended before.
 * ]);
 * console.assert(verdict.verdict === "illegal");
 * ```
 *
 * @module
 */
export { checkLinearizability } from "./linearizability/checker.ts";
export type {
  CheckOptions,
  CheckResult,
  PartitionResult,
  Verdict,
} from "./linearizability/checker.ts";
export type { Model, Operation } from "./linearizability/model.ts";
export {
  counterModel,
  keyValueModel,
  listModel,
  registerModel,
} from "./linearizability/models.ts";
export type {
  CounterInput,
  CounterOutput,
  KeyValueInput,
  KeyValueOutput,
  ListInput,
  ListOutput,
  RegisterInput,
  RegisterOutput,
} from "./linearizability/models.ts";
export { formatHistory, parseHistory } from "./linearizability/json_lines.ts";
