/** What follows the configuration in `NodeHost.open`. */
import { validateWaitOptions, type WaitOptions } from "./config.ts";
import type { OpenWait } from "./deployment.ts";
import type { Ports } from "./ports.ts";
import { requireMethods } from "./validation.ts";

/** One method of each port that is needed tells it from something else. */
const portMethods = {
  fileSystem: ["open", "stat", "tryLock"],
  network: ["listen", "connect"],
  clock: ["now", "setTimer"],
  random: ["fill"],
};

/**
 * Tells ports from options: how long to wait stands second, as in every other call, or behind the ports.
 *
 * @throws {TypeError} if they are neither. @throws {RangeError} if `timeoutMs` is out of range.
 */
export function readOpenArguments(
  given: readonly unknown[],
): { ports: Ports | undefined; wait: OpenWait | undefined } {
  const hasPorts = isPorts(given[0]);
  const ports = hasPorts ? given[0] as Ports : undefined;
  const isSecond = hasPorts || given[0] === undefined;
  const options = given[isSecond ? 1 : 0] as WaitOptions | undefined;
  if (!isSecond && given[1] !== undefined) {
    throw new TypeError(
      "Cannot open a NodeHost: the wait options are given twice",
    );
  }
  if (options === undefined) return { ports, wait: undefined };
  const timeoutMs = validateWaitOptions(options);
  return { ports, wait: { signal: options.signal, timeoutMs } };
}

/** @throws {TypeError} if some of the ports are missing. */
function isPorts(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const names = Object.keys(portMethods) as (keyof typeof portMethods)[];
  const ports = value as Record<string, unknown>;
  if (!names.some((name) => ports[name] !== undefined)) return false;
  for (const name of names) {
    requireMethods(`ports.${name}`, ports[name], portMethods[name]);
  }
  return true;
}
