/**
 * What a NodeHost does about its masters: learns the deployment id once, reports at every period, and lets the client
 * carry out what masters ask for. Masters are optional to a running NodeHost: whatever fails here is logged, and tried
 * again: a report after pauses that grow, within its period.
 */
import type {
  HostAddress,
  IMasterClient,
  NodeHostInfo,
  ReportReply,
} from "../master/protocol.ts";
import { RaftError } from "./errors.ts";
import type { Clock, Logger, Random, Timer } from "./ports.ts";
import { readAddresses, Seeking } from "./seeking.ts";

const deploymentTimeoutMs = 5_000;
const deploymentPauseMs = 5_000;
const firstReportWithinMs = 1_000;
const requestsIntervalMs = 1_000;
/** Reports are so much of a period early or late, at random: NodeHosts that started together drift apart. */
const jitterShare = 0.05;
/** What no master took is told again after such shares of a period, or down to half of each. */
const pauseShares = [1 / 8, 1 / 4, 1 / 2];
const logEvery = 3;
const warnIntervalMs = 60_000;
const longestPeriodMs = 3_600_000;

/** What a {@link Reporter} works with. */
export interface ReporterDeps {
  /** Talks to masters; its owner stops it, after the reporter. */
  readonly client: IMasterClient;
  /** The masters, in order of preference. */
  readonly servers: readonly string[];
  /** Milliseconds between reports. */
  readonly reportPeriodMs: number;
  /** Time. */
  readonly clock: Clock;
  /** Shuffles the masters, and spreads the first reports of NodeHosts that start together. */
  readonly random: Random;
  /** Where failures are told, a minute apart while they last. */
  readonly logger: Logger;
  /** The next report, without `seq`; its `logInfo` only if asked for. */
  nodeHostInfo(includeLog: boolean): NodeHostInfo;
  /** NodeHosts that are needed and cannot be reached, by id: masters are asked where they are. */
  unreached?(): readonly string[];
  /** Masters say where some of those are. */
  found?(hosts: readonly HostAddress[]): void;
}

/** Reports to masters for one NodeHost. */
export class Reporter {
  readonly #deps: ReporterDeps;
  readonly #lifetime = new AbortController();
  readonly #timers = new Set<Timer>();
  readonly #reportTrouble: Trouble;
  readonly #requestsTrouble: Trouble;
  readonly #running = new Set<Promise<void>>();
  #isStarted = false;
  #isReporting = false;
  #isReportDue = false;
  #reportCount = 0;
  /** Milliseconds between reports: what the masters said last, at first what was configured. */
  #periodMs: number;
  #lastTickAt = 0;
  /** By what the period that is under way is multiplied: near 1. */
  #jitter = 1;
  #nextTickAt = 0;
  #reportTimer: Timer | undefined;
  #wasLogDelivered = false;
  readonly #seeking = new Seeking();

  /** Makes a reporter that does nothing yet. */
  constructor(deps: ReporterDeps) {
    this.#deps = deps;
    this.#periodMs = deps.reportPeriodMs;
    this.#reportTrouble = new Trouble(deps, "Cannot report to any master");
    this.#requestsTrouble = new Trouble(
      deps,
      "Cannot carry out what masters ask for",
    );
  }

  /**
   * Asks the masters in their order for the deployment id, again and again until one tells.
   *
   * @throws the reason of `signal` when that is aborted.
   * @throws {RaftError} with code `closed` when the reporter stops.
   */
  async getDeploymentId(signal?: AbortSignal): Promise<bigint> {
    const trouble = new Trouble(
      this.#deps,
      "Cannot get the deployment id from any master: waiting",
    );
    for (;;) {
      for (const server of this.#deps.servers) {
        try {
          const id = await this.#askDeploymentId(server, signal);
          trouble.end();
          return id;
        } catch (error) {
          this.#throwIfEnded(signal);
          trouble.note(server, error);
        }
      }
      trouble.tell();
      await this.#pause(deploymentPauseMs, signal);
    }
  }

  /** Begins to report. */
  start(): void {
    if (this.#isStarted || this.#lifetime.signal.aborted) return;
    this.#isStarted = true;
    const { reportPeriodMs } = this.#deps;
    const within = Math.min(reportPeriodMs, firstReportWithinMs);
    this.#after(this.#below(within), () => this.#reportTick());
    this.#requestsLater(0);
  }

  /** Ends whatever is under way, and waits until it ended. */
  async stop(): Promise<void> {
    if (!this.#lifetime.signal.aborted) {
      this.#lifetime.abort(
        new RaftError("closed", "Cannot reach a master: the NodeHost closed"),
      );
    }
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    await Promise.all(this.#running);
  }

  // ---- Reports ----

  /** Keeps the period whatever the last report does; of those that fall due meanwhile, one is made up for. */
  #reportTick(): void {
    this.#lastTickAt = this.#deps.clock.now();
    this.#jitter = 1 - jitterShare + this.#below(2 * jitterShare);
    this.#reportLater();
    this.#isReportDue = true;
    if (!this.#isReporting) this.#run(this.#reportWhileDue());
  }

  #reportLater(): void {
    if (this.#reportTimer !== undefined) this.#cancel(this.#reportTimer);
    this.#nextTickAt = this.#lastTickAt + this.#periodMs * this.#jitter;
    const delayMs = Math.max(0, this.#nextTickAt - this.#deps.clock.now());
    this.#reportTimer = this.#after(delayMs, () => this.#reportTick());
  }

  /**
   * Masters know how often they want to hear: more often while something is being done. Without an answer it is never
   * longer than what was configured.
   */
  #adopt(periodMs: unknown): void {
    const isUsable = typeof periodMs === "number" &&
      Number.isSafeInteger(periodMs) && periodMs >= 10 &&
      periodMs <= longestPeriodMs;
    if (!isUsable || periodMs === this.#periodMs) return;
    this.#periodMs = periodMs;
    if (!this.#lifetime.signal.aborted) this.#reportLater();
  }

  async #reportWhileDue(): Promise<void> {
    this.#isReporting = true;
    while (this.#isReportDue && !this.#lifetime.signal.aborted) {
      this.#isReportDue = false;
      await this.#report();
    }
    this.#isReporting = false;
  }

  /** One report, and while no master took it another one after a pause, until the next is due. */
  async #report(): Promise<void> {
    if (await this.#attempt() || this.#lifetime.signal.aborted) return;
    this.#adopt(Math.min(this.#deps.reportPeriodMs, this.#periodMs));
    this.#reportTrouble.tell();
    for (const share of pauseShares) {
      if (!await this.#rest(share) || await this.#attempt()) return;
    }
  }

  /** Waits for such a share of a period, or down to half of it; `false`: the next report is due before, or it is over. */
  async #rest(share: number): Promise<boolean> {
    const { clock } = this.#deps;
    const { signal } = this.#lifetime;
    const longestMs = share * this.#periodMs;
    const delayMs = longestMs / 2 + this.#below(longestMs / 2);
    const isTooLate = clock.now() + delayMs >= this.#nextTickAt;
    if (isTooLate || this.#isReportDue || signal.aborted) return false;
    try {
      await this.#pause(delayMs, undefined);
    } catch {
      return false;
    }
    return !this.#isReportDue && !signal.aborted;
  }

  /**
   * The masters in random order, until one takes the report, two periods for all of them. Each attempt has a number of
   * its own: the one before may have arrived.
   */
  async #attempt(): Promise<boolean> {
    const { clock, servers } = this.#deps;
    const trouble = this.#reportTrouble;
    let info: NodeHostInfo;
    try {
      info = this.#nextInfo();
    } catch (error) {
      trouble.note("", error);
      return false;
    }
    const deadline = clock.now() + 2 * this.#periodMs;
    const order = this.#shuffled(servers);
    for (const [i, server] of order.entries()) {
      // A master that does not answer leaves the others their share of the time.
      const left = Math.max(1, deadline - clock.now());
      const share = left / (order.length - i);
      try {
        const reply = await this.#send(server, info, share);
        this.#adopt(reply?.nextReportMs);
        if (info.logInfoIncluded) this.#wasLogDelivered = true;
        this.#found(info.seeks, reply?.addresses);
        trouble.end();
        return true;
      } catch (error) {
        if (this.#lifetime.signal.aborted) return false;
        trouble.note(server, error);
      }
    }
    return false;
  }

  /** The log is told in the first report that arrives, and in every third. */
  #nextInfo(): NodeHostInfo {
    const seq = ++this.#reportCount;
    const includeLog = !this.#wasLogDelivered || seq % logEvery === 0;
    const info = { ...this.#deps.nodeHostInfo(includeLog), seq };
    const seeks = this.#seeking.next(this.#deps.unreached?.() ?? []);
    return seeks.length === 0 ? info : { ...info, seeks };
  }

  /** A master has taken a report that asked for `sought`. */
  #found(sought: readonly string[] | undefined, addresses: unknown): void {
    if (sought === undefined) return;
    this.#seeking.asked(sought);
    const hosts = readAddresses(addresses, sought);
    if (hosts.length > 0) this.#deps.found?.(hosts);
  }

  #send(
    server: string,
    info: NodeHostInfo,
    shareMs: number,
  ): Promise<ReportReply | void> {
    const timeoutMs = Math.ceil(shareMs);
    return this.#bounded(
      timeoutMs,
      undefined,
      (signal) =>
        this.#deps.client.sendNodeHostInfo(server, info, { signal, timeoutMs }),
    );
  }

  #shuffled(servers: readonly string[]): string[] {
    const order = [...servers];
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(this.#below(i + 1));
      const other = order[j]!;
      order[j] = order[i]!;
      order[i] = other;
    }
    return order;
  }

  // ---- Requests ----

  /** One at a time: the next is due an interval after the last began, or as soon as that ended. */
  #requestsLater(tookMs: number): void {
    const interval = Math.min(requestsIntervalMs, this.#deps.reportPeriodMs);
    this.#after(
      Math.max(0, interval - tookMs),
      () => this.#run(this.#handleRequests()),
    );
  }

  async #handleRequests(): Promise<void> {
    const { client, clock } = this.#deps;
    const { signal } = this.#lifetime;
    const began = clock.now();
    try {
      await untilAborted(signal, () => client.handleMasterRequests({ signal }));
      this.#requestsTrouble.end();
    } catch (error) {
      if (signal.aborted) return;
      this.#requestsTrouble.note("", error);
      this.#requestsTrouble.tell();
    }
    if (!signal.aborted) this.#requestsLater(clock.now() - began);
  }

  // ---- The deployment id ----

  async #askDeploymentId(
    server: string,
    signal: AbortSignal | undefined,
  ): Promise<bigint> {
    const timeoutMs = deploymentTimeoutMs;
    const id: unknown = await this.#bounded(
      timeoutMs,
      signal,
      (signal) =>
        this.#deps.client.getDeploymentId(server, { signal, timeoutMs }),
    );
    if (typeof id !== "bigint" || id < 1n || id >= 1n << 64n) {
      throw new RangeError(
        `Cannot use deployment id ${id}: it is not a bigint from 1 to 2^64 - 1`,
      );
    }
    return id;
  }

  #throwIfEnded(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    this.#lifetime.signal.throwIfAborted();
  }

  // ---- Time ----

  /** Runs `work` until it ends, the time is over, or the caller or the reporter end it; `work` may ignore its signal. */
  async #bounded<T>(
    timeoutMs: number,
    caller: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    this.#throwIfEnded(caller);
    const controller = new AbortController();
    const timer = this.#after(timeoutMs, () =>
      controller.abort(
        new RaftError("timeout", `no answer within ${timeoutMs} ms`, {
          outcome: "unknown",
        }),
      ));
    const forward = (event: Event) =>
      controller.abort((event.target as AbortSignal).reason);
    const sources = [this.#lifetime.signal, caller];
    for (const source of sources) source?.addEventListener("abort", forward);
    try {
      return await untilAborted(
        controller.signal,
        () => work(controller.signal),
      );
    } finally {
      this.#cancel(timer);
      for (const source of sources) {
        source?.removeEventListener("abort", forward);
      }
    }
  }

  async #pause(
    delayMs: number,
    caller: AbortSignal | undefined,
  ): Promise<void> {
    try {
      await this.#bounded(delayMs, caller, () => new Promise(() => {}));
    } catch {
      this.#throwIfEnded(caller); // Otherwise the time is over.
    }
  }

  #after(delayMs: number, callback: () => void): Timer {
    const timer = this.#deps.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      callback();
    });
    this.#timers.add(timer);
    return timer;
  }

  #cancel(timer: Timer): void {
    timer.cancel();
    this.#timers.delete(timer);
  }

  /** Keeps track of work that `stop()` has to wait for; it never rejects. */
  #run(work: Promise<void>): void {
    this.#running.add(work);
    work.finally(() => this.#running.delete(work));
  }

  /** A random number from 0 to below `bound`. */
  #below(bound: number): number {
    const bytes = new Uint8Array(4);
    this.#deps.random.fill(bytes);
    return new DataView(bytes.buffer).getUint32(0) / 0x1_0000_0000 * bound;
  }
}

/** A failure that lasts: told when it begins, a minute apart while it lasts, and when it is over. */
class Trouble {
  readonly #deps: ReporterDeps;
  readonly #message: string;
  #reasons: Record<string, string> = {};
  #failedCount = 0;
  #toldAt = -Infinity;

  constructor(deps: ReporterDeps, message: string) {
    this.#deps = deps;
    this.#message = message;
  }

  /** Remembers why one server failed. */
  note(server: string, error: unknown): void {
    this.#reasons[redact(server)] = reasonOf(error);
  }

  /** The whole attempt failed. */
  tell(): void {
    this.#failedCount++;
    const { clock, client, logger } = this.#deps;
    const reasons = this.#reasons;
    this.#reasons = {};
    if (clock.now() - this.#toldAt < warnIntervalMs) return;
    this.#toldAt = clock.now();
    logger.warn(this.#message, {
      client: client.name(),
      failedCount: this.#failedCount,
      reasons: Object.entries(reasons)
        .map(([server, reason]) =>
          server === "" ? reason : `${server}: ${reason}`
        )
        .join("; "),
    });
  }

  /** An attempt succeeded. */
  end(): void {
    this.#reasons = {};
    if (this.#failedCount === 0) return;
    this.#deps.logger.info("The masters can be reached again", {
      client: this.#deps.client.name(),
      failedCount: this.#failedCount,
    });
    this.#failedCount = 0;
    this.#toldAt = -Infinity;
  }
}

/** Rejects with the signal's reason as soon as that is aborted, whatever `work` does. */
async function untilAborted<T>(
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  const ended = Promise.withResolvers<never>();
  const end = () => ended.reject(signal.reason);
  signal.addEventListener("abort", end);
  try {
    signal.throwIfAborted();
    return await Promise.race([work(), ended.promise]);
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** A URL may hold a secret before its `@`, or behind its `?`. */
function redact(server: string): string {
  return server.replace(/\/\/[^/@]*@/, "//***@").replace(/\?.*/, "?***");
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
