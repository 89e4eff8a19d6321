/** What every client of a master has: calls that end with it, or at their own time. */
import type { WaitOptions } from "../raft/config.ts";
import { RaftError } from "../raft/errors.ts";
import { withDeadline } from "./deadline.ts";
import type { MasterClock } from "./system.ts";

/** Requests of masters are given up after so long; each of them has an end of its own before that. */
export const handlingTimeoutMs = 60_000;

/** The calls of one client. */
export class ClientCalls {
  readonly #reaches: string;
  readonly #clock: MasterClock;
  readonly #lifetime = new AbortController();

  /** `reaches` says what the client reaches, as in "Cannot reach <it>". */
  constructor(reaches: string, clock: MasterClock) {
    this.#reaches = reaches;
    this.#clock = clock;
  }

  /** Ends all calls, and those to come, with code `closed`. */
  end(): void {
    this.#lifetime.abort(
      new RaftError(
        "closed",
        `Cannot reach ${this.#reaches}: the client stopped`,
        { outcome: "unknown" },
      ),
    );
  }

  /** Runs `work` until it ends, or is ended: by `options`, or with the client. */
  run<T>(
    what: string,
    options: WaitOptions | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const lifetime = this.#lifetime.signal;
    return withDeadline({ what, options, lifetime, clock: this.#clock }, work);
  }
}
