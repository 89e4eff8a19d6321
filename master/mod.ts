/**
 * Clients with which a NodeHost reaches a master, and the store that masters share. The server is in
 * `master/server.ts`, so that nobody who imports this file downloads what only a server needs.
 *
 * @module
 */
export type { WaitOptions } from "../raft/config.ts";
export type { Clock, Logger, Random, Timer } from "../raft/ports.ts";
export { HttpMasterClient, httpMasterClient } from "./client.ts";
export type { HttpMasterClientOptions } from "./client.ts";
export type {
  Kv,
  KvAtomic,
  KvEntry,
  KvKey,
  KvKeyPart,
  KvListOptions,
  KvOpener,
  KvReadOptions,
  KvSelector,
} from "./kv.ts";
export { KvMasterClient, kvMasterClient } from "./kv_client.ts";
export type { KvMasterClientOptions } from "./kv_client.ts";
export type {
  Board,
  BoardCluster,
  BoardClusterPage,
  BoardEvent,
  BoardHost,
  BoardMember,
  BoardPlan,
  BoardRegion,
  BoardStatus,
  BoardView,
  ClusterGroup,
  ClusterQuery,
  ClusterState,
  EventTone,
  Headline,
  HostStanding,
  MemberStanding,
} from "./board/types.ts";
export type { ClusterImage } from "./cluster_image.ts";
export type { ImportOptions, ImportResult } from "./import.ts";
export { isAlarm } from "./history.ts";
export type { EventListener, HistoryEvent } from "./history.ts";
export { KvStore, NotInitialisedError, openStore } from "./kv_store.ts";
export type {
  ClusterDetails,
  KvStoreOptions,
  OpenStoreOptions,
  StoreStatus,
} from "./kv_store.ts";
export type { Recovery, RecoveryMember } from "./recovery.ts";
export type { PlannedDecision } from "./round_plan.ts";
export type { Credentials } from "./store_report.ts";
export type {
  ClusterSummary,
  NodeHostSummary,
  NodeSummary,
} from "./overview.ts";
export { CommandError } from "./operator.ts";
export type {
  ClusterCommand,
  ClusterWish,
  Command,
  CommandOptions,
  CommandResult,
  GlobalBinding,
  GlobalCommand,
  HostCommand,
  KnownClusterCommand,
} from "./operator.ts";
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
} from "./protocol.ts";
export type { Limits } from "./scheduler/view.ts";
export type {
  AdoptionRule,
  BrakeRecord,
  ClusterDefinition,
  ClusterLife,
  ClusterRecord,
  EventRecord,
  HostState,
  MemberRecord,
  PlanRecord,
  RegionWish,
  SlotName,
  StepKind,
  StepRecord,
  StoredRecord,
} from "./schema.ts";
export type { MasterClock } from "./system.ts";
