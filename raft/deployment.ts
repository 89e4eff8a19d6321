/** Learning the deployment of a new folder from a master (rule I5). */
import { RaftError } from "./errors.ts";
import type { Clock } from "./ports.ts";
import type { Reporter } from "./reporter.ts";
import { requireMethods } from "./validation.ts";
import type { IMasterClient } from "../master/protocol.ts";

/** How long to wait for a master. */
export interface OpenWait {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

const clientMethods = [
  "name",
  "stop",
  "getDeploymentId",
  "sendNodeHostInfo",
  "handleMasterRequests",
];

/** What a factory made. @throws {TypeError} if it is no client of a master. */
export function requireClient(client: IMasterClient): IMasterClient {
  requireMethods("masterClientFactory()", client, clientMethods);
  return client;
}

/** Asks the masters for the deployment id; without `wait` for as long as it takes. @throws {RaftError} `timeout`. */
export async function askForDeployment(
  reporter: Reporter,
  clock: Clock,
  wait: OpenWait | undefined,
): Promise<bigint> {
  if (wait === undefined) return await reporter.getDeploymentId();
  const { signal, timeoutMs } = wait;
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = clock.setTimer(timeoutMs, () =>
    controller.abort(
      new RaftError(
        "timeout",
        `Cannot open the NodeHost in time: none of its masters told the deployment id`,
      ),
    ));
  try {
    return await reporter.getDeploymentId(controller.signal);
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
  }
}
