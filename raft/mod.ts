/**
 * The NodeHost and what belongs to it: configuration, errors, the state machine's contract, and the ports through
 * which the world comes in. Most programs need `mod.ts` only; here are also the ports of a real machine, for those who
 * replace one of them.
 *
 * @module
 */
export { NodeHost } from "./nodehost.ts";
export type {
  ChangeOptions,
  NodeToAdd,
  NodeToRemove,
} from "./membership_calls.ts";
export type { NodeReplacement } from "./replacement.ts";
export { jsonCodec, typed } from "./typed.ts";
export type {
  Codec,
  TypedBatchMachine,
  TypedCluster,
  TypedEntry,
  TypedFactory,
  TypedStateMachine,
} from "./typed.ts";
export { Session } from "./session.ts";
export type { LogEntry, LogQuery, LogQueryResult } from "./log_query.ts";
export { inspectDirectory } from "./inspect.ts";
export type {
  DirectoryDamage,
  DirectoryReport,
  InspectOptions,
  NodeReport,
  SegmentReport,
  SnapshotReport,
} from "./inspect.ts";
export { importSnapshot } from "./import_snapshot.ts";
export type {
  ImportedOver,
  ImportOptions,
  ImportPorts,
  ImportReport,
} from "./import_snapshot.ts";
export type {
  CompactionOptions,
  ExportedSnapshot,
  SnapshotOptions,
} from "./nodehost.ts";
export type { DamagedNode } from "./mending.ts";
export type { ClusterStatus, HostInfo, LinkStatus } from "./host_info.ts";
export type {
  ClusterConfig,
  NodeHostConfig,
  ProposeOptions,
  WaitOptions,
} from "./config.ts";
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
} from "./events.ts";
export type {
  HostMetrics,
  Metric,
  MetricSample,
  MetricType,
} from "./metrics/host_metrics.ts";
export type { HistogramSnapshot } from "./metrics/histogram.ts";
export { prometheus, prometheusContentType } from "./metrics/prometheus.ts";
export type { Measured } from "./metrics/prometheus.ts";
export { isRetryable, RaftError } from "./errors.ts";
export type { Outcome, RaftErrorCode } from "./errors.ts";
export { SnapshotAborted } from "./state_machine.ts";
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
} from "./state_machine.ts";
export type { Member, MemberKind, Membership } from "./core/types.ts";
export type { Clock, Logger, Ports, Random, Timer } from "./ports.ts";
export { consoleLogger, jsonLogger, textLogger, withLevel } from "./logger.ts";
export type { LoggerOptions, LogLevel } from "./logger.ts";
export { denoPorts } from "./deno_ports.ts";
export { MemoryNetwork } from "./transport/memory.ts";
export { TcpNetwork } from "./transport/tcp.ts";
export type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
  SecureNetwork,
  TurnedAway,
} from "./transport/transport.ts";
export type { Compression } from "../storage/compression.ts";
export type { SnapshotExternalFile } from "../storage/snapshot_files.ts";
export type { TlsSettings } from "./transport/tls_settings.ts";
export type {
  FileLock,
  FileStat,
  FileSystem,
  StoredFile,
} from "../storage/file_system.ts";
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
} from "../master/protocol.ts";
