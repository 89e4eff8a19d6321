/** What a simulation ends with when something does not hold. */

/** The checks, by the names under which they fail. */
export type CheckName =
  | "one leader per term"
  | "one vote per term"
  | "logs match"
  | "committed never changes"
  | "applied in order"
  | "applied once"
  | "acknowledged is applied"
  | "acknowledged never lost"
  | "not applied means never"
  | "results are the machine's"
  | "linearizable"
  | "states equal"
  | "commits its own term first"
  | "durable before promised"
  | "commit before entries"
  | "every call ends"
  | "time goes on"
  | "progress resumes"
  | "stops only when told"
  | "close leaves nothing"
  | "counts as a seed"
  | "application";

/** A check failed: a bug in the library, in the application under test, or in the simulator. */
export class SimulationFailure extends Error {
  /** Always `"SimulationFailure"`. */
  override readonly name = "SimulationFailure";
  /** Which check. */
  readonly check: CheckName;

  /** Says what was seen. */
  constructor(check: CheckName, message: string, options?: ErrorOptions) {
    super(`${check}: ${message}`, options);
    this.check = check;
  }
}
