/** What a simulation ends with when something does not hold. */

/** The checks, by the names under which they fail. */
export type CheckName =
  | "one leader per term"
  | "only voters lead"
  | "one vote per term"
  | "logs match"
  | "committed never changes"
  | "applied in order"
  | "applied once"
  | "exactly once in a session"
  | "acknowledged is applied"
  | "acknowledged never lost"
  | "not applied means never"
  | "results are the machine's"
  | "linearizable"
  | "states equal"
  | "commits its own term first"
  | "durable before promised"
  | "commit before entries"
  | "wiped means silent"
  | "strange folders are refused"
  | "removed leaves nothing"
  | "rebuilt from the image"
  | "every call ends"
  | "time goes on"
  | "progress resumes"
  | "stops only when told"
  | "close leaves nothing"
  | "events in order"
  | "told when committed"
  | "stale reads never go back"
  | "log queries are the log"
  | "a stalled leader leaves"
  | "leaders are spread"
  | "counts as a seed"
  | "application";

/** A check failed: a bug in the library, in the application under test, or in the simulator. */
export class SimulationFailure extends Error {
  /** Always `"SimulationFailure"`. */
  override readonly name = "SimulationFailure";
  /** Which check. */
  readonly check: CheckName;
  /** The seed that shows it again; `simulate()` always names it. */
  readonly seed: number | undefined;

  /** Says what was seen. */
  constructor(
    check: CheckName,
    message: string,
    options: ErrorOptions & { readonly seed?: number } = {},
  ) {
    const { seed, ...rest } = options;
    const prefix = seed === undefined ? "" : `seed ${seed}: `;
    super(`${prefix}${check}: ${message}`, rest);
    this.check = check;
    this.seed = seed;
  }

  /** The same failure, found with `seed`: whoever throws it shows the seed, in the message and above the stack. */
  foundWith(seed: number): SimulationFailure {
    const cause = this.cause === undefined ? {} : { cause: this.cause };
    const message = this.message.slice(`${this.check}: `.length);
    const named = new SimulationFailure(this.check, message, {
      ...cause,
      seed,
    });
    // Where it was found, not where it was named.
    const at = this.stack?.indexOf("\n    at ") ?? -1;
    if (at >= 0) {
      named.stack = `${named.name}: ${named.message}${this.stack!.slice(at)}`;
    }
    return named;
  }
}
