/** Configuration of NodeHosts and clusters: fields, defaults, and one validate function each. */
import type { MasterClientFactory } from "../master/protocol.ts";
import type { FileSystem } from "../storage/file_system.ts";
import type { Logger } from "./ports.ts";
import { defaultMaxSessions, sessionCountLimit } from "./sessions.ts";
import type { StateMachineFactory } from "./state_machine.ts";
import type { TlsSettings } from "./transport/tls_settings.ts";
import {
  isObject,
  requireEntries,
  requireInteger,
  requireKnownFields,
  requireMethods,
  requireNodeHostId,
  requireText,
  requireType,
  validateAddress,
  validateId,
  validateMembers,
} from "./validation.ts";

/** How long a call may wait. */
export interface WaitOptions {
  /** Ends the wait at once; the call rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Milliseconds after which the call rejects with code `timeout`; 5,000 by default. */
  timeoutMs?: number;
}

/** How long a proposal may wait, and what its caller wants to know. */
export interface ProposeOptions extends WaitOptions {
  /**
   * Called once when the command is committed, before it is applied and before the call ends with its result: it can no
   * longer be lost. Not called for a command of which that is not known before the call ends with an error.
   */
  onCommitted?: () => void;
}

/** Default of {@link WaitOptions.timeoutMs}. */
export const defaultTimeoutMs = 5_000;

/** Configuration of a NodeHost. */
export interface NodeHostConfig {
  /** Folder that belongs to this NodeHost alone; created if missing. */
  dir: string;
  /** `host:port` at which other NodeHosts reach this one; stored in memberships. */
  raftAddress: string;
  /** `host:port` to listen on, if it differs from `raftAddress`. */
  listenAddress?: string;
  /** The directory was used under another `raftAddress`, and that is intended (rule I4). */
  raftAddressChanged?: boolean;
  /** The directory was copied or moved, and the original will never be opened again (rule I4). */
  adoptCopiedDir?: boolean;
  /** Length of a tick in milliseconds, 1 to 60,000; 50 by default. The same on every NodeHost. */
  tickMs?: number;
  /** Which deployment this NodeHost belongs to, 1n by default; ignored in favour of the master's with `masterServers`. */
  deploymentId?: bigint;
  /**
   * Region, told to the master. Without one, or with an empty one, it is what the variable `DRAKKAR_REGION` of the
   * environment says, where that may be read; else `"unknown"`.
   */
  region?: string;
  /** Failure domain within the region, such as a rack or a zone: the master spreads nodes of a cluster over them. */
  failureDomain?: string;
  /** How many nodes the master places here compared with others, 1 to 1,000; 1 by default. */
  capacity?: number;
  /** Where the application listens, told to the master. */
  apiAddress?: string;
  /** Masters to report to, in order of preference. Needs `masterClientFactory`. */
  masterServers?: string[];
  /** Makes the client that talks to the masters. */
  masterClientFactory?: MasterClientFactory;
  /** Milliseconds between reports, 20,000 by default; each is up to a twentieth of it early or late. */
  reportPeriodMs?: number;
  /**
   * Whether NodeHosts spread leadership among themselves: one that leads at least two clusters more than another, of
   * those that both carry, hands some over, a few in a second. On by default; a NodeHost with `masterServers` leaves it
   * to its master.
   */
  spreadLeaders?: boolean;
  /** State machines by name, so that a restarted NodeHost starts its nodes again by itself (rule I5). */
  stateMachines?: Record<string, StateMachineFactory>;
  /** Where to log; warnings and errors go to the console by default. */
  logger?: Logger;
  /** Bytes of one segment of the log, 64 MiB by default, 1 MiB at least. */
  segmentBytes?: number;
  /**
   * What damage in the log means. `"refuse"`, the default: the NodeHost does not open, and the error names path and
   * offset. `"mend"`: it opens; nodes that lost only committed entries fetch these from other members before they take
   * part, and nodes that may have lost a vote or an acknowledgement never start again: replace them (rule L7).
   */
  onDamage?: "refuse" | "mend";
  /** Largest command in bytes, 8 MiB by default; at most an eighth of `segmentBytes`. */
  maxPayloadBytes?: number;
  /** Bytes per second that all snapshots sent take together, 262,144 at least; no limit by default. */
  maxSnapshotSendBytesPerSecond?: number;
  /** Bytes per second that all snapshots received take together, 262,144 at least; no limit by default. */
  maxSnapshotReceiveBytesPerSecond?: number;
  /** Files in memory instead of a disk, for tests: `memoryStorage()`. */
  storage?: FileSystem;
  /**
   * Connections of other NodeHosts, and of strangers, that may be open at a time, 16 to 65,536; 1,024 by default. One
   * address may have a quarter of them. A NodeHost needs one, and one for each snapshot under way.
   */
  maxConnections?: number;
  /**
   * `raftAddress` of some other NodeHosts, 64 at most. With them, requests for clusters that this NodeHost has no node of
   * go to a NodeHost that has one: these, and whoever this one has a link to, are asked where it is.
   */
  peers?: string[];
  /**
   * Where NodeHosts are reached, by their `nodeHostId`: for those that have moved and cannot be heard. Each is believed
   * until that NodeHost says otherwise itself.
   */
  nodeHostAddresses?: Record<string, string>;
  /** Mutual TLS between NodeHosts; without it they talk in the clear. All NodeHosts of a deployment need it, or none. */
  tls?: TlsSettings;
}

/** A NodeHost's configuration with every default filled in. */
export interface ResolvedNodeHostConfig extends
  Required<
    Omit<
      NodeHostConfig,
      | "masterClientFactory"
      | "logger"
      | "storage"
      | "tls"
      | "maxSnapshotSendBytesPerSecond"
      | "maxSnapshotReceiveBytesPerSecond"
    >
  > {
  /** See {@link NodeHostConfig.maxSnapshotSendBytesPerSecond}. */
  maxSnapshotSendBytesPerSecond: number | undefined;
  /** See {@link NodeHostConfig.maxSnapshotReceiveBytesPerSecond}. */
  maxSnapshotReceiveBytesPerSecond: number | undefined;
  /** See {@link NodeHostConfig.masterClientFactory}. */
  masterClientFactory: MasterClientFactory | undefined;
  /** See {@link NodeHostConfig.logger}. */
  logger: Logger | undefined;
  /** See {@link NodeHostConfig.storage}. */
  storage: FileSystem | undefined;
  /** See {@link NodeHostConfig.tls}. */
  tls: TlsSettings | undefined;
}

/** Configuration of one cluster's node on a NodeHost. */
export interface ClusterConfig {
  /** The cluster, from 1 to 2^53 - 1. */
  clusterId: number;
  /** The node of it on this NodeHost, from 1 to 2^53 - 1; never used again once removed. */
  nodeId: number;
  /** Every initial member's address by node id. The same map on every member; not with `join`, and not needed after a restart. */
  initialMembers?: Record<number, string>;
  /** The node was added to a running cluster by `addNode`, `addObserver` or `addWitness`. */
  join?: boolean;
  /** The node was added by `addWitness`: it has no state machine, and saves no snapshots. Needed to start one, at each start. */
  witness?: boolean;
  /** Makes the state machine, or names one of the NodeHost's `stateMachines`. Everybody but a witness has one. */
  stateMachine?: StateMachineFactory | string;
  /** Ticks without a leader before an election, 3 to 10,000; 10 by default. */
  electionTimeoutTicks?: number;
  /** Ticks between heartbeats, at most half of `electionTimeoutTicks`; 1 by default. */
  heartbeatTicks?: number;
  /**
   * Whether the cluster may fall quiet when nothing has happened for five election timeouts: then it sends no
   * heartbeats, and wakes by itself. Best the same on every member: with one that has it off, the cluster stays awake.
   * Off by default.
   */
  quiesce?: boolean;
  /**
   * Whether the leader answers linearizable reads by its lease, without asking the others; off by default. This rests on
   * clocks: no two NodeHosts' monotonic clocks may differ in speed by more than `maxClockDriftPpm`, and `leaseReads`,
   * `tickMs` and `electionTimeoutTicks` (5 at least) must be the same on every member.
   */
  leaseReads?: boolean;
  /** With `leaseReads`: how many parts in a million two clocks may differ, 1 to 100,000; 1,000 (0.1 %) by default. */
  maxClockDriftPpm?: number;
  /** Applied entries between automatic snapshots, 10,000 by default; 0 for none. They are also a second apart at least. */
  snapshotEntries?: number;
  /** Entries kept behind a snapshot for slow followers, 5,000 by default. */
  compactionOverhead?: number;
  /**
   * Bytes that may wait to be applied before new proposals are refused with `busy`; 64 MiB by default. Proposals of this
   * NodeHost count, each with 3 KiB beside its command; and the part of the log in memory that is not applied yet, here
   * and, for the leader, on any follower. Beyond the limit the log must shrink below 70 % of it first.
   */
  maxInMemLogBytes?: number;
  /**
   * Client sessions that the cluster keeps, 1 to 100,000; 4,096 by default. Beyond it the least recently used one is
   * forgotten. Each session that is opened brings the number of its NodeHost along, and the last one counts.
   */
  maxSessions?: number;
  /** Whether snapshots are packed (raw deflate); false by default. */
  snapshotCompression?: boolean;
  /**
   * Whether commands of 128 bytes or more are packed (raw deflate) where they are proposed, and unpacked where they are
   * applied; false by default. Every member can apply both.
   */
  entryCompression?: boolean;
}

/** A cluster's configuration with every default filled in. */
export type ResolvedClusterConfig = Required<ClusterConfig>;

/** Drops fields that are present but undefined, so that defaults apply to them. */
function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(
    Object.entries(value).filter(([, field]) => field !== undefined),
  ) as T;
}

/** Checks the options of a call that waits, and returns the timeout. */
export function validateWaitOptions(options: WaitOptions | undefined): number {
  if (options === undefined) return defaultTimeoutMs;
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Cannot use options: they must be an object");
  }
  if (
    options.signal !== undefined && !(options.signal instanceof AbortSignal)
  ) {
    throw new TypeError("Cannot use signal: it must be an AbortSignal");
  }
  if (options.timeoutMs === undefined) return defaultTimeoutMs;
  requireInteger("timeoutMs", options.timeoutMs, 1, 2_147_483_647);
  return options.timeoutMs;
}

const maxPeers = 64;

/** The region of a NodeHost that names none. */
export const unknownRegion = "unknown";

/** The variable of the environment that names a NodeHost's region where its configuration does not. */
export const regionVariable = "DRAKKAR_REGION";

const nodeHostDefaults = {
  raftAddressChanged: false,
  adoptCopiedDir: false,
  tickMs: 50,
  deploymentId: 1n,
  region: unknownRegion,
  failureDomain: "",
  capacity: 1,
  apiAddress: "",
  masterServers: [] as string[],
  reportPeriodMs: 20_000,
  spreadLeaders: true,
  stateMachines: {},
  segmentBytes: 64 * 1024 * 1024,
  maxPayloadBytes: 8 * 1024 * 1024,
  maxConnections: 1_024,
  peers: [] as string[],
  onDamage: "refuse" as NonNullable<NodeHostConfig["onDamage"]>,
  nodeHostAddresses: {} as Record<string, string>,
};

/** All fields of {@link NodeHostConfig}. */
export const nodeHostFields: ReadonlySet<string> = new Set([
  ...Object.keys(nodeHostDefaults),
  "dir",
  "raftAddress",
  "listenAddress",
  "masterClientFactory",
  "logger",
  "storage",
  "maxSnapshotSendBytesPerSecond",
  "maxSnapshotReceiveBytesPerSecond",
  "tls",
]);

/**
 * Checks a NodeHost's configuration and fills in the defaults.
 *
 * @param config What it was opened with.
 * @param environment Reads a variable of the environment; without it none is set.
 * @throws {TypeError} if a field has the wrong type, or is not known.
 * @throws {RangeError} if a value is out of range.
 */
export function resolveNodeHostConfig(
  config: NodeHostConfig,
  environment?: (name: string) => string | undefined,
): ResolvedNodeHostConfig {
  if (!isObject(config)) {
    throw new TypeError(
      "Cannot open a NodeHost: the configuration must be an object",
    );
  }
  requireKnownFields("the NodeHost configuration", config, nodeHostFields);
  const segmentBytes = config.segmentBytes ?? nodeHostDefaults.segmentBytes;
  const payloadDefault = Number.isSafeInteger(segmentBytes)
    ? Math.min(nodeHostDefaults.maxPayloadBytes, Math.floor(segmentBytes / 8))
    : nodeHostDefaults.maxPayloadBytes;
  const resolved: ResolvedNodeHostConfig = {
    ...nodeHostDefaults,
    maxPayloadBytes: payloadDefault,
    listenAddress: config.raftAddress,
    masterClientFactory: undefined,
    logger: undefined,
    storage: undefined,
    maxSnapshotSendBytesPerSecond: undefined,
    maxSnapshotReceiveBytesPerSecond: undefined,
    tls: undefined,
    ...withoutUndefined(config),
  };
  requireType("dir", resolved.dir, "string");
  if (resolved.dir === "") throw new RangeError("Cannot use dir: it is empty");
  if (resolved.dir.includes("\0")) {
    throw new RangeError("Cannot use dir: it has a NUL character");
  }
  validateAddress("raftAddress", resolved.raftAddress);
  if (/^(0\.0\.0\.0|\[[0:]+\]):\d+$/.test(resolved.raftAddress)) {
    throw new RangeError(
      `Cannot use raftAddress: ${resolved.raftAddress} stands for every address of a machine, and others cannot reach ` +
        "this one by it; give it as listenAddress, and as raftAddress where others find this NodeHost",
    );
  }
  validateAddress("listenAddress", resolved.listenAddress);
  requireType("raftAddressChanged", resolved.raftAddressChanged, "boolean");
  requireType("adoptCopiedDir", resolved.adoptCopiedDir, "boolean");
  requireType("spreadLeaders", resolved.spreadLeaders, "boolean");
  requireInteger("tickMs", resolved.tickMs, 1, 60_000);
  requireType("deploymentId", resolved.deploymentId, "bigint");
  if (resolved.deploymentId < 1n || resolved.deploymentId >= 1n << 64n) {
    throw new RangeError(
      `Cannot use deploymentId: ${resolved.deploymentId} is not from 1 to 2^64 - 1`,
    );
  }
  requireText("region", resolved.region);
  if (resolved.region === "" || config.region === undefined) {
    const region = environment?.(regionVariable) || unknownRegion;
    requireText(regionVariable, region);
    resolved.region = region;
  }
  requireText("failureDomain", resolved.failureDomain);
  requireInteger("capacity", resolved.capacity, 1, 1_000);
  requireText("apiAddress", resolved.apiAddress);
  if (/\s/.test(resolved.apiAddress)) {
    throw new RangeError(
      `Cannot use apiAddress: "${resolved.apiAddress}" has spaces; give host:port or a URL`,
    );
  }
  requireInteger("reportPeriodMs", resolved.reportPeriodMs, 10, 86_400_000);
  requireInteger(
    "segmentBytes",
    resolved.segmentBytes,
    1024 * 1024,
    2 ** 31 - 1,
  );
  requireInteger(
    "maxPayloadBytes",
    resolved.maxPayloadBytes,
    1,
    Math.floor(resolved.segmentBytes / 8),
  );
  const limits = [
    "maxSnapshotSendBytesPerSecond",
    "maxSnapshotReceiveBytesPerSecond",
  ] as const;
  for (const name of limits) {
    // Slower than that, several at a time would make no progress before the other side gives them up.
    if (resolved[name] !== undefined) {
      requireInteger(name, resolved[name], 256 * 1024);
    }
  }
  if (resolved.onDamage !== "refuse" && resolved.onDamage !== "mend") {
    throw new TypeError(
      `Cannot use onDamage: ${
        String(resolved.onDamage)
      } is neither "refuse" nor "mend"`,
    );
  }
  requireInteger("maxConnections", resolved.maxConnections, 16, 65_536);
  validatePeers(resolved.peers);
  validateNodeHostAddresses(resolved.nodeHostAddresses);
  validateMasters(resolved);
  validateStateMachines(resolved.stateMachines);
  if (resolved.logger !== undefined) {
    requireMethods("logger", resolved.logger, logLevels);
  }
  if (resolved.storage !== undefined) {
    requireMethods("storage", resolved.storage, fileSystemMethods);
  }
  if (resolved.tls !== undefined) validateTls(resolved.tls);
  return resolved;
}

function validateTls(tls: unknown): void {
  if (!isObject(tls)) {
    throw new TypeError("Cannot use tls: it must be an object");
  }
  const parts = new Set(["ca", "cert", "key"]);
  requireKnownFields("tls", tls, parts);
  for (const part of parts) {
    requireType(`tls.${part}`, tls[part], "string");
    if (tls[part] === "") {
      throw new RangeError(`Cannot use tls.${part}: it is empty`);
    }
  }
}

function validateNodeHostAddresses(addresses: unknown): void {
  requireEntries("nodeHostAddresses", addresses);
  for (const [id, address] of Object.entries(addresses)) {
    const name = `nodeHostAddresses["${id}"]`;
    requireNodeHostId(name, id);
    validateAddress(name, address);
  }
}

function validatePeers(peers: unknown): void {
  if (!Array.isArray(peers)) {
    throw new TypeError("Cannot use peers: it must be an array of addresses");
  }
  if (peers.length > maxPeers) {
    throw new RangeError(
      `Cannot use peers: ${peers.length} are more than ${maxPeers}; a few that are up do`,
    );
  }
  for (const [i, peer] of peers.entries()) validateAddress(`peers[${i}]`, peer);
}

function validateMasters(config: ResolvedNodeHostConfig): void {
  const servers: unknown = config.masterServers;
  if (!Array.isArray(servers)) {
    throw new TypeError(
      "Cannot use masterServers: it must be an array of URLs",
    );
  }
  for (const [i, server] of servers.entries()) {
    // What it must be else, only the client knows: see `checkServer` there.
    requireText(`masterServers[${i}]`, server, 2_048);
    if (server === "") {
      throw new RangeError(`Cannot use masterServers[${i}]: it is empty`);
    }
  }
  if (config.masterClientFactory !== undefined) {
    requireType("masterClientFactory", config.masterClientFactory, "function");
  } else if (servers.length > 0) {
    throw new TypeError("MasterClientFactoryFunc not specified");
  }
}

function validateStateMachines(factories: unknown): void {
  requireEntries("stateMachines", factories);
  for (const [name, factory] of Object.entries(factories)) {
    if (name === "" || name.length > 255) {
      throw new RangeError(`Cannot use stateMachines: "${name}" is not a name`);
    }
    requireType(`stateMachines.${name}`, factory, "function");
  }
}

const logLevels = ["debug", "info", "warn", "error"];

/** What a {@link FileSystem} must be able to do. */
const fileSystemMethods = [
  "open",
  "list",
  "stat",
  "makeDirectory",
  "rename",
  "remove",
  "syncDirectory",
  "tryLock",
];

/** Defaults of {@link ClusterConfig}. */
export const clusterDefaults = {
  initialMembers: {} as Record<number, string>,
  join: false,
  witness: false,
  electionTimeoutTicks: 10,
  heartbeatTicks: 1,
  quiesce: false,
  leaseReads: false,
  maxClockDriftPpm: 1_000,
  snapshotEntries: 10_000,
  compactionOverhead: 5_000,
  maxInMemLogBytes: 64 * 1024 * 1024,
  maxSessions: defaultMaxSessions,
  snapshotCompression: false,
  entryCompression: false,
};

/** All fields of {@link ClusterConfig}. */
export const clusterFields: ReadonlySet<string> = new Set([
  ...Object.keys(clusterDefaults),
  "clusterId",
  "nodeId",
  "stateMachine",
]);

/**
 * Checks a cluster's configuration and fills in the defaults.
 *
 * @throws {TypeError} if a field has the wrong type, or is not known.
 * @throws {RangeError} if a value is out of range.
 */
export function resolveClusterConfig(
  config: ClusterConfig,
): ResolvedClusterConfig {
  if (!isObject(config)) {
    throw new TypeError(
      "Cannot start a cluster: the configuration must be an object",
    );
  }
  requireKnownFields("the cluster configuration", config, clusterFields);
  const given = withoutUndefined(config);
  if (given.witness !== undefined) {
    requireType("witness", given.witness, "boolean");
  }
  const resolved: ResolvedClusterConfig = {
    ...clusterDefaults,
    ...(given.witness === true ? witnessConfig(given) : given),
  } as ResolvedClusterConfig;
  validateId("clusterId", resolved.clusterId);
  validateId("nodeId", resolved.nodeId);
  validateInitialMembers(resolved);
  if (typeof resolved.stateMachine !== "string") {
    requireType("stateMachine", resolved.stateMachine, "function");
  }
  requireInteger(
    "electionTimeoutTicks",
    resolved.electionTimeoutTicks,
    3,
    10_000,
  );
  requireInteger(
    "heartbeatTicks",
    resolved.heartbeatTicks,
    1,
    Math.floor(resolved.electionTimeoutTicks / 2),
  );
  requireType("quiesce", resolved.quiesce, "boolean");
  requireType("leaseReads", resolved.leaseReads, "boolean");
  requireInteger("maxClockDriftPpm", resolved.maxClockDriftPpm, 1, 100_000);
  if (resolved.leaseReads && resolved.electionTimeoutTicks < 5) {
    throw new RangeError(
      `Cannot use leaseReads: electionTimeoutTicks ${resolved.electionTimeoutTicks} leaves no time for a lease; 5 at least`,
    );
  }
  requireInteger("snapshotEntries", resolved.snapshotEntries, 0);
  requireInteger("compactionOverhead", resolved.compactionOverhead, 0);
  requireInteger("maxInMemLogBytes", resolved.maxInMemLogBytes, 64 * 1024);
  requireInteger("maxSessions", resolved.maxSessions, 1, sessionCountLimit);
  requireType("snapshotCompression", resolved.snapshotCompression, "boolean");
  requireType("entryCompression", resolved.entryCompression, "boolean");
  return resolved;
}

/** What a witness may be configured with, and what stands for the rest. */
function witnessConfig(config: ClusterConfig): ClusterConfig {
  const others = ["stateMachine", "snapshotEntries", "compactionOverhead"];
  for (const name of others) {
    if (!Object.hasOwn(config, name)) continue;
    throw new TypeError(
      `Cannot use ${name}: a witness has no state machine and saves no snapshots`,
    );
  }
  if (Object.keys(config.initialMembers ?? {}).length > 0) {
    throw new TypeError(
      "Cannot use initialMembers: they are voters; add a witness with addWitness, and start it with join: true",
    );
  }
  return { ...config, stateMachine: "", compactionOverhead: 0 };
}

function validateInitialMembers(config: ResolvedClusterConfig): void {
  requireType("join", config.join, "boolean");
  const members: unknown = config.initialMembers;
  requireEntries("initialMembers", members);
  const ids = Object.keys(members);
  if (config.join && ids.length > 0) {
    throw new TypeError(
      "Cannot use initialMembers: a joining node learns its members",
    );
  }
  if (ids.length > 63) {
    throw new RangeError(
      `Cannot use initialMembers: ${ids.length} members are more than 63`,
    );
  }
  validateMembers("initialMembers", members);
  if (ids.length > 0 && !Object.hasOwn(members, String(config.nodeId))) {
    throw new RangeError(
      `Cannot use initialMembers: node ${config.nodeId} is not among them`,
    );
  }
}
