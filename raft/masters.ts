/** What a NodeHost has to do with its masters: a client that talks to them, and a reporter that says when. */
import { askForDeployment, type OpenWait } from "./deployment.ts";
import type { OpenedIdentity } from "./identity.ts";
import type { Clock, Logger, Random } from "./ports.ts";
import { Reporter } from "./reporter.ts";
import type {
  HostAddress,
  IMasterClient,
  NodeHostInfo,
} from "../master/protocol.ts";

/** What {@link Masters} need of their NodeHost. */
export interface MastersHost {
  /** The masters, in order of preference. */
  readonly servers: readonly string[];
  /** Milliseconds between reports. */
  readonly reportPeriodMs: number;
  /** Time. */
  readonly clock: Clock;
  /** For the order in which masters are asked. */
  readonly random: Random;
  /** Where failures are told. */
  readonly logger: Logger;
  /** Talks to masters. */
  readonly client: IMasterClient;
  /** The next report. */
  report(includeLog: boolean): NodeHostInfo;
  /** NodeHosts that are needed and cannot be reached, by id. */
  unreached(): readonly string[];
  /** Masters say where some of them are. */
  found(hosts: readonly HostAddress[]): void;
}

/** The masters of one NodeHost. */
export class Masters {
  readonly #host: MastersHost;
  readonly #reporter: Reporter;

  /** Reaches nobody yet. */
  constructor(host: MastersHost) {
    this.#host = host;
    this.#reporter = new Reporter({
      client: host.client,
      servers: host.servers,
      reportPeriodMs: host.reportPeriodMs,
      clock: host.clock,
      random: host.random,
      logger: host.logger,
      nodeHostInfo: (includeLog) => host.report(includeLog),
      unreached: () => host.unreached(),
      found: (hosts) => host.found(hosts),
    });
  }

  /** Learns the deployment id of a new folder from a master (rule I5). */
  async join(
    identity: OpenedIdentity,
    wait: OpenWait | undefined,
  ): Promise<void> {
    const { client, clock, servers } = this.#host;
    for (const url of servers) client.checkServer?.(url);
    if (identity.deploymentId !== undefined) return;
    const id = await askForDeployment(this.#reporter, clock, wait);
    await identity.record(id);
  }

  /** Begins to report. */
  start(): void {
    this.#reporter.start();
  }

  /** Ends whatever is under way, and the client. */
  async stop(): Promise<void> {
    await this.#reporter.stop();
    try {
      await this.#host.client.stop();
    } catch (error) {
      this.#host.logger.warn("a master client failed to stop", {
        error: String(error),
      });
    }
  }
}
