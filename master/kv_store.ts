/**
 * A master's state in a key-value store (`schema.ts`), and how it is written. There is no lock and no leader: any
 * number of masters share a store, and every write is one atomic commit that checks what it rests on.
 *
 * A report goes through these steps (`store_report.ts`); a crash between two of them is repaired by the next report.
 *
 *     1  read ["clock"] and ["h"]; a pair (boot, seq) that is not newer goes to 6
 *     2  for what it says that is new: read ["c"] by tens, reconcile, one commit per ten with a check on each
 *     3  acknowledgements of requests
 *     4  check ["h"], set ["h"] and with it the slices of ["hl"] and ["log"] that changed, and the clock if time grows
 *     5  who made time grow runs the round (`round.ts`)
 *     6  if anything is being done: list ["q"] of this NodeHost
 *
 * When nothing changed, that is two reads and one write.
 */
import { RaftError } from "../raft/errors.ts";
import type { Random } from "../raft/ports.ts";
import { StoreBoard } from "./board/board.ts";
import type { Board } from "./board/types.ts";
import { exportLines } from "./export.ts";
import {
  importLines,
  type ImportOptions,
  type ImportResult,
} from "./import.ts";
import type { EventListener, HistoryEvent } from "./history.ts";
import { type Kv, openDenoKv } from "./kv.ts";
import { KvAccess } from "./kv_access.ts";
import {
  carryOutCommand,
  type Command,
  type CommandOptions,
  type CommandResult,
} from "./operator.ts";
import {
  type ClusterSummary,
  countAll,
  listClusters,
  listNodeHosts,
  type NodeHostSummary,
} from "./overview.ts";
import type { NodeHostInfo, NodeInfo, ReportReply } from "./protocol.ts";
import { defaultLimits, type Limits } from "./scheduler/view.ts";
import { type ClusterImage, majorityApp } from "./cluster_image.ts";
import { type PlannedDecision, planRound } from "./round_plan.ts";
import {
  type AdoptionRule,
  type BrakeRecord,
  clockKey,
  clusterKey,
  type ClusterRecord,
  type EventRecord,
  hostKey,
  type HostRecord,
  logKey,
  metaKey,
  type MetaRecord,
  readClock,
  readCluster,
  schemaVersion,
  type SliceRecord,
} from "./schema.ts";
import { readRecovery, type Recovery } from "./recovery.ts";
import type { StoreContext } from "./store_context.ts";
import { noteHeard } from "./store_heard.ts";
import { type Credentials, takeReport } from "./store_report.ts";
import { holdsRecords } from "./store_sentinel.ts";
import { tickByTimer } from "./round_timer.ts";
import { TickWatch } from "./tick_watch.ts";
import { type MasterClock, systemClock, systemRandom } from "./system.ts";
import { unpackLog } from "./wire/mod.ts";

/** What a {@link KvStore} is made of. */
export interface KvStoreOptions {
  /** Where it keeps everything. */
  kv: Kv;
  /** Real time by default. */
  clock?: MasterClock;
  /** The platform's by default. */
  random?: Random;
  /** Milliseconds that one read or commit may take; 10,000 by default. */
  timeoutMs?: number;
  /** Milliseconds between reports when nothing happens, which is a tick of the masters' time; 20,000 by default. */
  periodMs?: number;
  /** Milliseconds between reports while something is being done; 5,000 by default, and `periodMs` at most. */
  busyPeriodMs?: number;
  /** So many milliseconds of a day, an hour by default; after that it is a third as often. */
  busyMsPerDay?: number;
  /** How much may be done at once; what is not given has its default. */
  limits?: Partial<Limits>;
  /** Decisions of one round that ask NodeHosts for something; 25 by default. */
  decisionsPerRound?: number;
  /** Milliseconds that a round may take; 300 by default. */
  roundMs?: number;
  /** Is told of what this instance decided, after it was stored. It must not throw. */
  onEvent?: EventListener;
  /**
   * Whether an empty store gets a deployment by whoever asks first, which is the default. Where a store that is empty may
   * be one that was lost, `false`: then {@link KvStore.init} makes one, or an import (M11).
   */
  makesDeployment?: boolean;
}

/** A cluster as it is stored. */
export type ClusterDetails = { clusterId: number } & ClusterImage;

/** What concerns everything. */
export interface StoreStatus {
  /** Logical time. */
  tick: number;
  /** Something is being done. */
  busy: boolean;
  /** An operator stopped all decisions. */
  paused: boolean;
  /** `expectedGen` of an order about everything that is to rest on this. */
  gen: number;
  /** NodeHosts that are silent, but not yet for dead. */
  silent: string[];
  /** Too much fell silent at once; `null` if not. */
  brake: BrakeRecord | null;
  /** Clusters that are adopted by policy (M7). */
  adopt: AdoptionRule[];
}

/** Which store to open. */
export interface OpenStoreOptions extends Omit<KvStoreOptions, "kv"> {
  /**
   * `":memory:"`, a file, or the `https:` URL of a database (KV Connect; token in `DENO_KV_ACCESS_TOKEN`). Without it the
   * platform's own database: the app's on Deno Deploy, and elsewhere one that Deno keeps for this program.
   */
  path?: string | undefined;
}

const maxAttempts = 16;
const metaMaxAgeMs = 60_000;

/**
 * The store does not say which deployment it is: it is empty, and nobody said that it should be, or records are there
 * without the one that names it. Either way it may be one that was lost (M11).
 */
export class NotInitialisedError extends RaftError {
  /** By default the store is empty. */
  constructor(
    message =
      "The store is empty: make a deployment with POST /v1/init, or import the one that was lost",
  ) {
    super("notReady", message);
  }
}

/** A master's state. Close it when done. */
export class KvStore {
  /** Its time. */
  readonly clock: MasterClock;
  /** Milliseconds between reports when nothing happens. */
  readonly periodMs: number;
  readonly #access: KvAccess;
  readonly #context: StoreContext;
  readonly #makesDeployment: boolean;
  #meta: { record: MetaRecord; readAtMs: number } | undefined;

  /** Uses an open store. */
  constructor(options: KvStoreOptions) {
    this.clock = options.clock ?? systemClock;
    this.#access = new KvAccess({
      kv: options.kv,
      clock: this.clock,
      random: options.random ?? systemRandom,
      timeoutMs: options.timeoutMs ?? 10_000,
    });
    this.#makesDeployment = options.makesDeployment ?? true;
    const periodMs = options.periodMs ?? 20_000;
    this.periodMs = periodMs;
    this.#context = {
      access: this.#access,
      periodMs,
      busyPeriodMs: Math.min(periodMs, options.busyPeriodMs ?? 5_000),
      busyMsPerDay: options.busyMsPerDay ?? 3_600_000,
      limits: { ...defaultLimits, ...options.limits },
      decisionsPerRound: options.decisionsPerRound ?? 25,
      roundMs: options.roundMs ?? 300,
      ticks: new TickWatch(),
      onEvent: options.onEvent,
    };
  }

  /**
   * The deployment id, a random one if the store has none yet. It is set once: by a commit that checks that there is
   * none, so that all masters and all NodeHosts agree, whoever comes first.
   *
   * @throws {RaftError} if the store failed.
   */
  async deploymentId(): Promise<bigint> {
    return (await this.#readMeta()).deploymentId;
  }

  /** The deployment id; `undefined` in an empty store, which stays empty. */
  async knownDeploymentId(): Promise<bigint | undefined> {
    const { value } = await this.#access.get(metaKey);
    return (value as MetaRecord | null)?.deploymentId;
  }

  /**
   * Makes sure that the store is that of a deployment, or an empty one in which whoever comes first makes one. Nothing is
   * written; for a minute nothing is read either.
   *
   * @throws {NotInitialisedError} if it may have been lost.
   * @throws {RaftError} if the store failed.
   */
  async requireDeployment(): Promise<void> {
    const isFresh = this.#meta === undefined && this.#makesDeployment &&
      await this.knownDeploymentId() === undefined &&
      !await holdsRecords(this.#access);
    if (!isFresh) await this.#readMeta();
  }

  /**
   * Makes a deployment in an empty store; in another one it changes nothing.
   *
   * @returns The deployment id.
   * @throws {NotInitialisedError} if it holds records of a deployment, and does not say of which.
   * @throws {RaftError} if the store failed.
   */
  async init(): Promise<bigint> {
    return (await this.#readOrMakeMeta(true)).deploymentId;
  }

  /**
   * Lets time grow if no NodeHost's report did for two periods, and then runs the round: for a timer of the platform, so
   * that what is under way goes on while nobody reports (M5). Otherwise it is one read.
   *
   * @returns Whether it did.
   */
  async tick(): Promise<boolean> {
    const { epoch } = await this.#requireWriter();
    return await tickByTimer(this.#context, epoch);
  }

  /**
   * Takes a report. One that is not newer than the last changes nothing. A NodeHost that once gave a secret has to give
   * it in every report (M12).
   *
   * @throws {RaftError} with code `deploymentMismatch` if the NodeHost belongs to another deployment; others if the store
   * failed, in which case the next report makes good.
   */
  async report(
    info: NodeHostInfo,
    credentials: Credentials = {},
  ): Promise<ReportReply> {
    const { epoch } = await this.#requireWritable(info);
    return await takeReport(this.#context, { epoch, info, credentials });
  }

  /**
   * Notes that a NodeHost is alive whose report could not be read, if the secret is its own.
   *
   * @throws {RaftError} if the store failed.
   */
  async heard(nodeHostId: string, secret: string): Promise<void> {
    await this.#requireWriter();
    await noteHeard(this.#context, nodeHostId, secret);
  }

  /**
   * Carries out an operator's command.
   *
   * @throws {CommandError} if it makes no sense as things are.
   * @throws {RaftError} if the store failed.
   */
  async command(
    command: Command,
    options?: CommandOptions,
  ): Promise<CommandResult> {
    const meta = await this.#requireWriter();
    return await carryOutCommand(this.#context, meta, command, options);
  }

  /** What the next round would do about the clusters that are not as desired, and why; nothing is written. */
  async plan(): Promise<PlannedDecision[]> {
    const { epoch } = await this.#readMeta();
    return await planRound(this.#context, epoch);
  }

  /** How much there is of everything, for metrics. */
  counts(): Promise<Record<string, number>> {
    return countAll(this.#access);
  }

  /** A cluster's record; `undefined` if there is none. */
  async cluster(clusterId: number): Promise<ClusterDetails | undefined> {
    const { value } = await this.#access.get(clusterKey(clusterId));
    const record = readCluster(value);
    if (record === undefined) return undefined;
    const { v: _, w: __, ...details } = record;
    return { clusterId, ...details };
  }

  /** What a recovery of a cluster would rest on, and what would be lost (M15); `undefined` if there is no such cluster. */
  async recovery(clusterId: number): Promise<Recovery | undefined> {
    const access = this.#access;
    const [entry, clockEntry] = await access.getMany([
      clusterKey(clusterId),
      clockKey,
    ]);
    const image = readCluster(entry!.value);
    if (image === undefined) return undefined;
    const clock = readClock(clockEntry!.value, access.now());
    return await readRecovery(this.#context, { clusterId, image, clock });
  }

  /** The latest events, newest first. */
  async events(limit: number): Promise<HistoryEvent[]> {
    const entries = await this.#access.listNow({ prefix: ["ev"] }, limit, {
      reverse: true,
    });
    return entries.map(({ value }) => {
      const { v: _, w: __, ...event } = value as EventRecord;
      return event;
    });
  }

  /** What concerns everything. */
  async status(): Promise<StoreStatus> {
    const { value } = await this.#access.get(clockKey);
    const clock = readClock(value, this.#access.now());
    const { tick, busy, paused, silent } = clock;
    const { brake = null, gen = 0, adopt = [] } = clock;
    return { tick, busy, paused, gen, silent, brake, adopt };
  }

  /** All state as lines of text, for {@link importLines} (M11). */
  exportLines(): AsyncGenerator<string> {
    return exportLines(this.#access);
  }

  /**
   * Fills an empty store from an export. NodeHosts then do nothing that the old store asked for, the brake is on, and
   * clusters are decided about when a majority of their members reported.
   *
   * @throws {RangeError} if the lines are no export.
   * @throws {RaftError} `rejected` if the store is in use, or somebody else imports, too; others if it failed: begin again.
   */
  async importLines(
    lines: AsyncIterable<string> | Iterable<string>,
    options: ImportOptions = {},
  ): Promise<ImportResult> {
    const result = await importLines(this.#access, lines, options);
    this.#meta = undefined;
    return result;
  }

  /** Index of the last known membership change, by cluster. */
  async configChangeIndexes(): Promise<Map<number, number>> {
    const indexes = new Map<number, number>();
    const clock = await this.#access.get(clockKey);
    const { adopt = [] } = readClock(clock.value, this.#access.now());
    const hasRules = adopt.length > 0;
    for await (const { key, value } of this.#access.list(["c"], 1_000)) {
      const record = value as ClusterRecord;
      const { life, cci } = record;
      // While it is launched, everybody is to say in full what the members are; and what its state machine is until a
      // majority agrees, if there are rules about that.
      const isLacking = life === "launching" || life === "defined" ||
        (hasRules && life === "unmanaged" && majorityApp(record) === undefined);
      if (!isLacking) indexes.set(Number(key[1]), cci);
    }
    return indexes;
  }

  /**
   * What the page shows of everything. It keeps what it has read, so that looking again costs little: use one for all
   * who look. A NodeHost's silence is shown after `silentAfterMs`, or when masters miss its reports.
   */
  board(silentAfterMs: number): Board {
    return new StoreBoard({
      context: this.#context,
      deploymentId: () => this.deploymentId(),
      silentAfterMs,
    });
  }

  /** All NodeHosts that ever reported, by id. */
  nodeHosts(): Promise<NodeHostSummary[]> {
    return listNodeHosts(this.#access);
  }

  /** All clusters that were ever reported, by id. */
  clusters(): Promise<ClusterSummary[]> {
    return listClusters(this.#access);
  }

  /** The nodes that a NodeHost's log holds data of, as last reported; `undefined` if it never reported. */
  async logInfo(nodeHostId: string): Promise<NodeInfo[] | undefined> {
    const { value } = await this.#access.get(hostKey(nodeHostId));
    if (value === null) return undefined;
    const { logSlices } = value as HostRecord;
    const slices = await this.#access.getMany(
      Array.from({ length: logSlices }, (_, i) => logKey(nodeHostId, i)),
    );
    return slices.flatMap((slice) =>
      slice.value === null ? [] : unpackLog((slice.value as SliceRecord).rows)
    );
  }

  /** Closes the store. */
  close(): void {
    this.#access.close();
  }

  async #readMeta(): Promise<MetaRecord> {
    const known = this.#meta;
    const nowMs = this.#access.now();
    if (known && Math.abs(nowMs - known.readAtMs) < metaMaxAgeMs) {
      return known.record;
    }
    const record = known === undefined
      ? await this.#readOrMakeMeta(this.#makesDeployment)
      : (await this.#access.get(metaKey)).value as MetaRecord | null;
    // A store that lost its id, or got another one, is not the store that this master served.
    if (
      record === null ||
      (known && known.record.deploymentId !== record.deploymentId)
    ) {
      throw new RaftError(
        "deploymentMismatch",
        `Cannot use the store: its deployment id was ${known?.record.deploymentId}, and is ${
          record?.deploymentId ?? "gone"
        }`,
      );
    }
    this.#meta = { record, readAtMs: nowMs };
    return record;
  }

  async #readOrMakeMeta(mayMake: boolean): Promise<MetaRecord> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const entry = await this.#access.get(metaKey);
      if (entry.value !== null) return entry.value as MetaRecord;
      if (!mayMake) throw new NotInitialisedError();
      if (await holdsRecords(this.#access)) {
        // Another master may have made it meanwhile, and taken reports.
        const { value } = await this.#access.get(metaKey);
        if (value !== null) return value as MetaRecord;
        throw new NotInitialisedError(
          "Cannot use the store: it holds records, but not the one that names their deployment. Import the last export into an empty store",
        );
      }
      const record: MetaRecord = {
        v: schemaVersion,
        w: this.#access.randomHex(8),
        deploymentId: this.#randomDeploymentId(),
        epoch: this.#access.randomHex(8),
        schema: schemaVersion,
        minWriter: schemaVersion,
      };
      const atomic = this.#access.atomic()
        .check({ key: metaKey, versionstamp: null })
        .set(metaKey, record);
      if (await this.#access.commit(atomic, metaKey, record.w)) return record;
    }
    throw new RaftError(
      "busy",
      "Cannot set the deployment id: commits conflict although there is none",
    );
  }

  #randomDeploymentId(): bigint {
    const id = BigInt(`0x${this.#access.randomHex(8)}`);
    return id > 1n ? id : this.#randomDeploymentId();
  }

  async #requireWritable(info: NodeHostInfo): Promise<MetaRecord> {
    const meta = await this.#requireWriter();
    if (
      info.deploymentId !== undefined && info.deploymentId !== meta.deploymentId
    ) {
      throw new RaftError(
        "deploymentMismatch",
        `Cannot take the report of ${info.nodeHostId}: it belongs to deployment ${info.deploymentId}, this is ${meta.deploymentId}`,
      );
    }
    return meta;
  }

  /** A store of an older schema is made one of this: older masters then read it, and leave it alone (M20). */
  async #requireWriter(): Promise<MetaRecord> {
    const meta = await this.#readMeta();
    if (meta.minWriter > schemaVersion) {
      throw new RaftError(
        "notReady",
        `Cannot write to the store: it wants a master of schema ${meta.minWriter}, this one has ${schemaVersion}`,
      );
    }
    if (meta.minWriter === schemaVersion) return meta;
    const entry = await this.#access.get(metaKey);
    const stored = entry.value as MetaRecord | null;
    if (stored !== null && stored.minWriter < schemaVersion) {
      const w = this.#access.randomHex(8);
      const next: MetaRecord = {
        ...stored,
        w,
        v: schemaVersion,
        schema: Math.max(stored.schema, schemaVersion),
        minWriter: schemaVersion,
      };
      const atomic = this.#access.atomic()
        .check({ key: metaKey, versionstamp: entry.versionstamp })
        .set(metaKey, next);
      await this.#access.commit(atomic, metaKey, w);
    }
    this.#meta = undefined;
    return await this.#readMeta();
  }
}

/**
 * Opens a master's state in Deno KV.
 *
 * @throws {TypeError} where Deno KV is switched off.
 * @throws {RaftError} with code `notReady` if the store cannot be opened.
 */
export async function openStore(
  options: OpenStoreOptions = {},
): Promise<KvStore> {
  const { path, ...rest } = options;
  return new KvStore({ ...rest, kv: await openDenoKv(path) });
}
