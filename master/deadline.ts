/** Ends a wait by its timeout, by the caller's signal, or with the client. */
import { validateWaitOptions, type WaitOptions } from "../raft/config.ts";
import { RaftError } from "../raft/errors.ts";
import type { MasterClock } from "./system.ts";

/** What {@link withDeadline} needs to know. */
export interface Deadline {
  /** The request, as in "Cannot <what>". */
  readonly what: string;
  /** Of the caller. */
  readonly options: WaitOptions | undefined;
  /** Aborted when the client stops; its reason is what pending calls reject with. */
  readonly lifetime: AbortSignal;
  /** Measures the timeout. */
  readonly clock: MasterClock;
}

/**
 * Runs `work` until it ends, or is ended. The signal that it gets is aborted in the second case; it may ignore that.
 *
 * @throws {RaftError} with code `timeout`; or the reason of the signal.
 */
export async function withDeadline<T>(
  deadline: Deadline,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { what, options, lifetime, clock } = deadline;
  const timeoutMs = validateWaitOptions(options);
  const ended = Promise.withResolvers<never>();
  const controller = new AbortController();
  controller.signal.addEventListener(
    "abort",
    () => ended.reject(controller.signal.reason),
  );
  const sources = [lifetime, options?.signal].filter((signal) =>
    signal !== undefined
  );
  const timer = clock.setTimer(timeoutMs, () =>
    controller.abort(
      new RaftError(
        "timeout",
        `Cannot ${what}: no answer within ${timeoutMs} ms`,
        { outcome: "unknown" },
      ),
    ));
  const forward = (event: Event) =>
    controller.abort((event.target as AbortSignal).reason);
  for (const source of sources) source.addEventListener("abort", forward);
  try {
    for (const source of sources) source.throwIfAborted();
    return await Promise.race([work(controller.signal), ended.promise]);
  } finally {
    timer.cancel();
    for (const source of sources) source.removeEventListener("abort", forward);
  }
}
