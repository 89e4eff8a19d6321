/**
 * Testing tools for programs that run on this library: the simulator, with which the maintainers look for bugs and with
 * which you run your own state machine under crashes, partitions and torn disks.
 *
 * @example
 * ```ts ignore
 * import { simulate } from "./testing/mod.ts";
 *
 * const report = await simulate({
 *   seed: 4711,
 *   application: {
 *     name: "counter",
 *     stateMachine: () => new Counter(),
 *     command: (chance) => new Uint8Array([chance.below(10)]),
 *     query: () => "total",
 *   },
 * });
 * if (report.failure !== undefined) throw report.failure;
 * ```
 *
 * @module
 */
export { simulate, SimulationTotals } from "./sim/run.ts";
export type { SimulationOptions, SimulationReport } from "./sim/run.ts";
export type { SimApplication, SimInput } from "./sim/application.ts";
export { SimulationFailure } from "./sim/failure.ts";
export type { CheckName } from "./sim/failure.ts";
export { faultNames } from "./sim/fault_names.ts";
export type { FaultName } from "./sim/fault_names.ts";
export type { Operation, OperationStatus } from "./sim/history.ts";
export type { PlanOptions } from "./sim/plan.ts";
export { SimRandom } from "./sim/random.ts";
export {
  checkLinearizability,
  counterModel,
  formatHistory,
  keyValueModel,
  listModel,
  parseHistory,
  registerModel,
} from "./linearizability.ts";
export type {
  CheckOptions,
  CheckResult,
  CounterInput,
  CounterOutput,
  KeyValueInput,
  KeyValueOutput,
  ListInput,
  ListOutput,
  Model,
  Operation as ObservedOperation,
  PartitionResult,
  RegisterInput,
  RegisterOutput,
  Verdict,
} from "./linearizability.ts";
export { keyValueApplication } from "./sim/key_value.ts";
export type { KeyValueAnswer } from "./sim/key_value.ts";
export type {
  Entry,
  RecoveredSnapshot,
  Result,
  SnapshotWriter,
  StateMachine,
} from "../raft/state_machine.ts";
export type { SnapshotExternalFile } from "../storage/snapshot_files.ts";
export type { Random } from "../raft/ports.ts";
