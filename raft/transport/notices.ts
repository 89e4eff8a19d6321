import type { Clock, Logger } from "../ports.ts";

const quietMs = 60_000;
const maxKeys = 256;

/** Logs what a stranger can cause without end: the same thing once a minute, and a bounded number of things. */
export class Notices {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #lastAt = new Map<string, number>();
  #suppressed = 0;

  /** Makes a log in front of `logger`. */
  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Warns, unless the same `key` did within the last minute. */
  warn(key: string, message: string, fields: Record<string, unknown>): void {
    const now = this.#clock.now();
    const lastAt = this.#lastAt.get(key);
    if (lastAt !== undefined && now - lastAt < quietMs) {
      this.#suppressed++;
      return;
    }
    if (this.#lastAt.size >= maxKeys && !this.#forgetOld(now)) {
      this.#suppressed++;
      return;
    }
    this.#lastAt.set(key, now);
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    this.#logger.warn(
      message,
      suppressed === 0 ? fields : { ...fields, suppressed },
    );
  }

  /** A logger whose warnings are told as notices: the same about the same cluster once a minute. */
  limited(logger: Logger): Logger {
    return {
      debug: (message, fields) => logger.debug(message, fields),
      info: (message, fields) => logger.info(message, fields),
      warn: (message, fields = {}) =>
        this.warn(`${message} ${fields.clusterId}`, message, fields),
      error: (message, fields) => logger.error(message, fields),
    };
  }

  /** Makes room; false if everything is recent. */
  #forgetOld(now: number): boolean {
    for (const [key, at] of this.#lastAt) {
      if (now - at >= quietMs) this.#lastAt.delete(key);
    }
    return this.#lastAt.size < maxKeys;
  }
}
