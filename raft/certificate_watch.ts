/** Keeps a NodeHost's certificates up to date: their files are looked at from time to time, and on request. */
import type { ResolvedNodeHostConfig } from "./config.ts";
import type { Clock, Logger, Timer } from "./ports.ts";
import type { Network, SecureNetwork } from "./transport/transport.ts";

/** How often the files are looked at. */
const periodMs = 10_000;

/** The certificates of one NodeHost. */
export class CertificateWatch {
  readonly #network: SecureNetwork;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #timer: Timer | undefined;
  #isClosed = false;
  /** What was wrong the last time, which is not told again. */
  #trouble = "";

  /**
   * Reads the certificates.
   *
   * @throws {RaftError} `rejected`, with what is wrong with them.
   */
  static async open(
    network: SecureNetwork,
    raftAddress: string,
    { clock, logger }: { clock: Clock; logger: Logger },
  ): Promise<CertificateWatch> {
    await network.open(raftAddress);
    return new CertificateWatch(network, clock, logger);
  }

  private constructor(network: SecureNetwork, clock: Clock, logger: Logger) {
    this.#network = network;
    this.#clock = clock;
    this.#logger = logger;
    this.#arm();
  }

  /** What connections are made with. */
  get network(): Network {
    return this.#network;
  }

  /**
   * Looks at the files now; true if there were new certificates, which new connections use from here on.
   *
   * @throws {RaftError} `rejected`, with what is wrong with the new ones; the old ones stay in use.
   */
  async reload(): Promise<boolean> {
    const isNew = await this.#network.reload();
    if (isNew) this.#logger.info("new certificates are in use");
    this.#trouble = "";
    return isNew;
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#isClosed) return;
    this.#timer = this.#clock.setTimer(periodMs, async () => {
      try {
        await this.reload();
      } catch (error) {
        this.#tell(error instanceof Error ? error.message : String(error));
      }
      this.#arm();
    });
  }

  /** A file may be half written; but if it stays so, somebody must know. */
  #tell(trouble: string): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#logger.warn("the certificates stay as they were", { trouble });
  }
}

/**
 * The network that a NodeHost uses, with mutual TLS if its configuration says so.
 *
 * @throws {TypeError} if the network given knows no TLS.
 * @throws {RaftError} `rejected`, with what is wrong with the certificates.
 */
export async function openNetwork(
  network: Network,
  config: ResolvedNodeHostConfig,
  tools: { clock: Clock; logger: Logger },
): Promise<{ network: Network; certificates: CertificateWatch | undefined }> {
  if (config.tls === undefined) return { network, certificates: undefined };
  if (network.secure === undefined) {
    throw new TypeError(
      "Cannot use tls: the network in `ports` has no TLS; leave it out, or use that of denoPorts()",
    );
  }
  const secure = network.secure(config.tls);
  const { raftAddress } = config;
  const certificates = await CertificateWatch.open(secure, raftAddress, tools);
  return { network: secure, certificates };
}
