/** Loggers for a console and for a collector, and the one that a NodeHost has unless it is given another. */
import type { Logger } from "./ports.ts";

/** How much it matters: `debug`, `info`, `warn` or `error`. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** A logger of a level takes that and all behind it. */
const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** How a logger is made. */
export interface LoggerOptions {
  /** The least level that is written; `info` by default. */
  readonly level?: LogLevel;
  /** Where lines go, without their end; the console by default. */
  readonly write?: (line: string, level: LogLevel) => void;
}

/**
 * A logger that writes lines for people: `drakkar: a node stopped clusterId=1 error=...`, by default to the console's
 * error output.
 *
 * @throws {TypeError} if the level is none.
 */
export function textLogger(options: LoggerOptions = {}): Logger {
  const write = options.write ?? writeError;
  return withLevel(
    options.level ?? "info",
    loggerOf((level, message, fields) => {
      const details = Object.entries(fields)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name}=${textOf(value)}`);
      write(["drakkar:", message, ...details].join(" "), level);
    }),
  );
}

/**
 * A logger that writes one JSON object a line for collectors: `time` (ISO 8601), `level`, `message` and the fields, by
 * default to the console's output.
 *
 * @throws {TypeError} if the level is none.
 */
export function jsonLogger(options: LoggerOptions = {}): Logger {
  const write = options.write ?? writeOutput;
  return withLevel(
    options.level ?? "info",
    loggerOf((level, message, fields) => {
      const line: Record<string, unknown> = {
        time: new Date().toISOString(),
        level,
        message,
      };
      for (const [name, value] of Object.entries(fields)) {
        if (!Object.hasOwn(line, name)) line[name] = plain(value);
      }
      write(JSON.stringify(line), level);
    }),
  );
}

/**
 * A logger that hands on what is of a level or above it.
 *
 * @throws {TypeError} if the level is none.
 */
export function withLevel(level: LogLevel, logger: Logger): Logger {
  const least = levels.indexOf(level);
  if (least < 0) {
    throw new TypeError(
      `Cannot use level "${String(level)}": it is none of ${levels.join(", ")}`,
    );
  }
  return loggerOf((of, message, fields) => {
    if (levels.indexOf(of) >= least) logger[of](message, fields);
  });
}

/** Writes warnings and errors to the console, as one line each; drops the rest. */
export const consoleLogger: Logger = textLogger({ level: "warn" });

function loggerOf(
  write: (
    level: LogLevel,
    message: string,
    fields: Record<string, unknown>,
  ) => void,
): Logger {
  return {
    debug: (message, fields) => write("debug", message, fields ?? {}),
    info: (message, fields) => write("info", message, fields ?? {}),
    warn: (message, fields) => write("warn", message, fields ?? {}),
    error: (message, fields) => write("error", message, fields ?? {}),
  };
}

function writeError(line: string, level: LogLevel): void {
  // deno-lint-ignore no-console -- this is the adapter to the console.
  if (level === "error") console.error(line);
  // deno-lint-ignore no-console -- this is the adapter to the console.
  else console.warn(line);
}

function writeOutput(line: string): void {
  // deno-lint-ignore no-console -- this is the adapter to the console.
  console.log(line);
}

/** One line, whatever it is. */
function textOf(value: unknown): string {
  const text = value instanceof Error ? value.message : String(value);
  return text.replaceAll("\n", "\\n");
}

/** Something that JSON can hold. */
function plain(value: unknown): unknown {
  if (value instanceof Error) return value.stack ?? value.message;
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  try {
    return JSON.parse(
      JSON.stringify(
        value,
        (_, part) => typeof part === "bigint" ? String(part) : part,
      ),
    );
  } catch {
    return String(value); // It holds itself.
  }
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
