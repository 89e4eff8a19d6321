/** The logger that a NodeHost has unless it is given one. */
import type { Logger } from "./ports.ts";

/** Writes warnings and errors to the console, as one line each; drops the rest. */
export const consoleLogger: Logger = {
  debug() {},
  info() {},
  warn(message, fields) {
    // deno-lint-ignore no-console -- this is the adapter to the console.
    console.warn(line(message, fields));
  },
  error(message, fields) {
    // deno-lint-ignore no-console -- this is the adapter to the console.
    console.error(line(message, fields));
  },
};

function line(message: string, fields?: Record<string, unknown>): string {
  const details = Object.entries(fields ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${String(value)}`);
  return ["drakkar:", message, ...details].join(" ");
}

/** A logger that is not heeded when it throws: half a turn of the engine must not be lost with it. */
export function harmless(logger: Logger): Logger {
  const log = (level: keyof Logger): Logger["info"] => (message, fields) => {
    try {
      logger[level](message, fields);
    } catch {
      // There is nobody left to tell.
    }
  };
  return {
    debug: log("debug"),
    info: log("info"),
    warn: log("warn"),
    error: log("error"),
  };
}
