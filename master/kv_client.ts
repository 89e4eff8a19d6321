/**
 * A NodeHost that writes its reports straight into the master's store. It needs no master to run, but holds the
 * store's token and may do everything there: over a network, and on Deno Deploy, prefer HTTP.
 */
import type { WaitOptions } from "../raft/config.ts";
import type { NodeHost } from "../raft/nodehost.ts";
import { ClientCalls, handlingTimeoutMs } from "./client_calls.ts";
import { ClientTasks } from "./client_tasks.ts";
import { type KvOpener, openDenoKv, requireDenoKv } from "./kv.ts";
import { checkKvPath } from "./kv_path.ts";
import { KvStore, type KvStoreOptions } from "./kv_store.ts";
import type {
  IMasterClient,
  MasterClientFactory,
  NodeHostInfo,
  ReportReply,
} from "./protocol.ts";
import { type MasterClock, systemClock } from "./system.ts";
import { readReport, writeReport } from "./wire/mod.ts";

/** Options of a {@link KvMasterClient}. */
export interface KvMasterClientOptions
  extends
    Pick<KvStoreOptions, "periodMs" | "busyPeriodMs" | "limits" | "onEvent"> {
  /** Opens the store that one of `masterServers` names; Deno KV by default. The client closes what it opened. */
  openKv?: KvOpener;
  /** Measures timeouts; real time by default. */
  clock?: MasterClock;
  /** Milliseconds after which the data of a node is removed that a master had stopped; a day by default. */
  retentionMs?: number;
}

/**
 * A factory for `masterClientFactory` of a NodeHost whose `masterServers` are paths of Deno KV: `":memory:"`, a file,
 * or the `https:` URL of a database (KV Connect; token in `DENO_KV_ACCESS_TOKEN`).
 *
 * @throws {TypeError} where Deno KV is switched off.
 */
export function kvMasterClient(
  options: KvMasterClientOptions = {},
): MasterClientFactory {
  if (options.openKv === undefined) requireDenoKv();
  return (host) => new KvMasterClient(options, host);
}

/** The client of one NodeHost. */
export class KvMasterClient implements IMasterClient {
  readonly #openKv: KvOpener;
  readonly #clock: MasterClock;
  readonly #calls: ClientCalls;
  readonly #stores = new Map<string, Promise<KvStore>>();
  readonly #tasks: ClientTasks;
  readonly #storeOptions: Omit<KvStoreOptions, "kv">;

  /** Makes a client; it opens a store when that is first used. Without `host` it does not do what masters ask for. */
  constructor(options: KvMasterClientOptions = {}, host?: NodeHost) {
    if (options.openKv === undefined) requireDenoKv();
    this.#openKv = options.openKv ?? openDenoKv;
    this.#clock = options.clock ?? systemClock;
    this.#calls = new ClientCalls("the store", this.#clock);
    this.#tasks = new ClientTasks(host, {
      now: () => this.#clock.wallTime(),
      retentionMs: options.retentionMs,
    });
    const { openKv: _, clock: __, retentionMs: ___, ...rest } = options;
    this.#storeOptions = { ...rest, clock: this.#clock };
  }

  /** Names the client in logs. */
  name(): string {
    return "kv";
  }

  /**
   * Checks that a store could be there. With an `openKv` of your own everything goes.
   *
   * @throws {TypeError} if there is no token for a URL. @throws {RangeError} if Deno KV can open no such path.
   */
  checkServer(url: string): void {
    if (this.#openKv === openDenoKv) checkKvPath(url);
  }

  /** Ends the client; pending calls reject with code `closed`, and the stores are closed. */
  async stop(): Promise<void> {
    this.#calls.end();
    const stores = [...this.#stores.values()];
    this.#stores.clear();
    for (const result of await Promise.allSettled(stores)) {
      if (result.status === "fulfilled") result.value.close();
    }
  }

  /**
   * Reads the deployment id, and sets a random one if the store has none.
   *
   * @throws {RaftError} `notReady` if the store cannot be reached, `timeout`, `closed`.
   */
  getDeploymentId(url: string, options?: WaitOptions): Promise<bigint> {
    return this.#calls.run("get the deployment id", options, async () => {
      const store = await this.#storeAt(url);
      return await store.deploymentId();
    });
  }

  /**
   * Reports. Memberships that the store knows are left out.
   *
   * @throws {RaftError} as {@link getDeploymentId}; also `deploymentMismatch` if the store is another deployment's.
   * @throws {RangeError} if `info` is not a report that a store takes.
   */
  sendNodeHostInfo(
    url: string,
    info: NodeHostInfo,
    options?: WaitOptions,
  ): Promise<ReportReply> {
    return this.#calls.run("report", options, async () => {
      const store = await this.#storeAt(url);
      const { known } = this.#tasks;
      if (known.isBehind(info)) known.learn(await store.configChangeIndexes());
      const report = this.#tasks.prepare(info);
      // Checked as a master would: what is stored here, masters must be able to read.
      const checked = readReport(writeReport(report.info));
      const reply = await store.report(checked, { isTrusted: true });
      this.#tasks.delivered(report, reply);
      return reply;
    });
  }

  /** Does what was asked for in replies; what became of it is told in the next report. */
  handleMasterRequests(options?: WaitOptions): Promise<void> {
    const timeoutMs = options?.timeoutMs ?? handlingTimeoutMs;
    return this.#calls.run(
      "handle requests",
      { ...options, timeoutMs },
      () => this.#tasks.handleRequests(),
    );
  }

  /** The store at `url`, opened once; after a failure the next call tries again. */
  #storeAt(url: string): Promise<KvStore> {
    const known = this.#stores.get(url);
    if (known !== undefined) return known;
    const opening = this.#openKv(url).then((kv) =>
      new KvStore({ kv, ...this.#storeOptions })
    );
    this.#stores.set(url, opening);
    opening.catch(() => {
      if (this.#stores.get(url) === opening) this.#stores.delete(url);
    });
    return opening;
  }
}
