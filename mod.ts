/**
 * Drakkar: thousands of Raft clusters in one process. Write a {@link StateMachine}, open a {@link NodeHost}, start
 * clusters on it, and propose.
 *
 * @example A cluster of one node, in memory
 * ```ts
 * const host = await NodeHost.open({
 *   dir: "data/1",
 *   raftAddress: "127.0.0.1:7001",
 *   storage: memoryStorage(),
 * });
 * const total = { value: 0 };
 * await host.startCluster({
 *   clusterId: 1,
 *   nodeId: 1,
 *   initialMembers: { 1: "127.0.0.1:7001" },
 *   stateMachine: () => ({
 *     update: (entry) => ({ value: total.value += entry.command[0] ?? 0 }),
 *     lookup: () => total.value,
 *     saveSnapshot: (writer) => writer.write(new Uint8Array([total.value])),
 *     recoverFromSnapshot: async (reader) => {
 *       total.value = (await new Response(reader).bytes())[0] ?? 0;
 *     },
 *   }),
 * });
 * await host.waitReady(1);
 * await host.propose(1, new Uint8Array([5]));
 * if (await host.read<number>(1, "total") !== 5) throw new Error("lost");
 * await host.close();
 * ```
 *
 * @module
 */
export { NodeHost } from "./raft/nodehost.ts";
export type {
  ChangeOptions,
  NodeToAdd,
  NodeToRemove,
} from "./raft/membership_calls.ts";
export type { NodeReplacement } from "./raft/replacement.ts";
export { jsonCodec, typed } from "./raft/typed.ts";
export type {
  Codec,
  TypedBatchMachine,
  TypedCluster,
  TypedEntry,
  TypedFactory,
  TypedStateMachine,
} from "./raft/typed.ts";
export { Session } from "./raft/session.ts";
export { importSnapshot } from "./raft/import_snapshot.ts";
export type {
  ImportedOver,
  ImportOptions,
  ImportPorts,
  ImportReport,
} from "./raft/import_snapshot.ts";
export type { LogEntry, LogQuery, LogQueryResult } from "./raft/log_query.ts";
export type {
  CompactionOptions,
  ExportedSnapshot,
  SnapshotOptions,
} from "./raft/nodehost.ts";
export type { DamagedNode } from "./raft/mending.ts";
export type { ClusterStatus, HostInfo, LinkStatus } from "./raft/host_info.ts";
export type {
  ClusterConfig,
  NodeHostConfig,
  ProposeOptions,
  WaitOptions,
} from "./raft/config.ts";
export type {
  ConnectionDownEvent,
  ConnectionFailedEvent,
  ConnectionRefusedEvent,
  ConnectionUpEvent,
  DiskFailedEvent,
  DiskFullEvent,
  DiskSlowEvent,
  EntriesLostEvent,
  EventsDroppedEvent,
  EventsOptions,
  EventStream,
  HostClosingEvent,
  HostEvent,
  HostEventType,
  LeaderChangedEvent,
  LogCompactedEvent,
  LoopHeldEvent,
  MembershipChangedEvent,
  NodeDeletedEvent,
  NodeEvent,
  NodeReadyEvent,
  NodeRemovedEvent,
  NodeUnloadedEvent,
  SnapshotCompactedEvent,
  SnapshotCreatedEvent,
  SnapshotEvent,
  SnapshotReceivedEvent,
  SnapshotRecoveredEvent,
  SnapshotSendAbortedEvent,
  SnapshotSendCompletedEvent,
  SnapshotSendStartedEvent,
} from "./raft/events.ts";
export type {
  HostMetrics,
  Metric,
  MetricSample,
  MetricType,
} from "./raft/metrics/host_metrics.ts";
export type { HistogramSnapshot } from "./raft/metrics/histogram.ts";
export {
  prometheus,
  prometheusContentType,
} from "./raft/metrics/prometheus.ts";
export type { Measured } from "./raft/metrics/prometheus.ts";
export { isRetryable, RaftError } from "./raft/errors.ts";
export type { Outcome, RaftErrorCode } from "./raft/errors.ts";
export { SnapshotAborted } from "./raft/state_machine.ts";
export type {
  AnyStateMachine,
  ConcurrentStateMachine,
  Entry,
  OnDiskStateMachine,
  RecoveredSnapshot,
  Result,
  SnapshotWriter,
  StateMachine,
  StateMachineFactory,
} from "./raft/state_machine.ts";
export type { Member, MemberKind, Membership } from "./raft/core/types.ts";

export type {
  Acknowledgement,
  ClusterInfo,
  HostAddress,
  IMasterClient,
  LogPosition,
  MasterClientFactory,
  MasterRequest,
  NodeHostInfo,
  NodeInfo,
  ReportReply,
  RequestKind,
} from "./master/protocol.ts";

export { memoryStorage } from "./storage/memory_file_system.ts";
export type { Compression } from "./storage/compression.ts";
export type { SnapshotExternalFile } from "./storage/snapshot_files.ts";
export type {
  FileLock,
  FileStat,
  FileSystem,
  StoredFile,
} from "./storage/file_system.ts";
export { MemoryNetwork } from "./raft/transport/memory.ts";
export type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
  SecureNetwork,
  TurnedAway,
} from "./raft/transport/transport.ts";
export type { TlsSettings } from "./raft/transport/tls_settings.ts";
export type { Clock, Logger, Ports, Random, Timer } from "./raft/ports.ts";
export {
  consoleLogger,
  jsonLogger,
  textLogger,
  withLevel,
} from "./raft/logger.ts";
export type { LoggerOptions, LogLevel } from "./raft/logger.ts";
