/** The contract between a NodeHost and a master, and its wire types. Nothing here reaches a server's packages. */
import type { NodeHost } from "../raft/nodehost.ts";
import type { WaitOptions } from "../raft/config.ts";

/** What a NodeHost reports about one cluster it carries a node of. */
export interface ClusterInfo {
  /** The cluster. */
  clusterId: number;
  /** The node of it on this NodeHost. */
  nodeId: number;
  /** Whether that node is the leader. */
  isLeader: boolean;
  /** Address of each voter by node id; empty when `pending` or `incomplete`. */
  nodes: Record<number, string>;
  /** Index of the last applied membership change. */
  configChangeIndex: number;
  /** The membership is not known yet: only the ids are meaningful. */
  pending: boolean;
  /** `nodes` was left out because the master already knows this membership or a newer one. */
  incomplete: boolean;
  /** Address of each observer by node id; absent if there are none. */
  observers?: Record<number, string>;
  /** Address of each witness by node id; absent if there are none. */
  witnesses?: Record<number, string>;
  /** The NodeHost of each member by node id, as far as the membership records it. */
  nodeHostIds?: Record<number, string>;
  /** The node has more than 1,000 committed entries that it has not applied yet, or knows no leader. */
  isLagging?: boolean;
  /** Told by the leader while there are observers: all of them have caught up with its log. */
  areObserversReady?: boolean;
  /** How far its log goes; told while the node knows no leader, when somebody may have to choose between survivors. */
  position?: LogPosition;
  /** Name of its state machine in `stateMachines` of its NodeHost; absent if it was started with one that has no name. */
  app?: string;
}

/** How far the log of a node goes. */
export interface LogPosition {
  /** Term of its last entry. */
  lastTerm: number;
  /** Index of its last entry, committed or not. */
  lastIndex: number;
  /** Index of the last entry in its state. */
  appliedIndex: number;
}

/** Names one node. */
export interface NodeInfo {
  /** The cluster. */
  clusterId: number;
  /** Its node. */
  nodeId: number;
}

/** One report of a NodeHost to a master. */
export interface NodeHostInfo {
  /** The NodeHost's identity. */
  nodeHostId: string;
  /** Where it listens for Raft traffic. */
  nodeHostAddress: string;
  /** Where its application listens, or `""`. */
  nodeHostApiAddress: string;
  /** Region it runs in, or `""`. */
  region: string;
  /** The clusters it carries. */
  clusterInfoList: ClusterInfo[];
  /** Their ids. */
  clusterIdList: number[];
  /** Whether `logInfo` is in this report (the first one, and every third). */
  logInfoIncluded: boolean;
  /** The nodes its log holds data of. */
  logInfo: NodeInfo[];
  /** With `logInfo`: those of them that do not run, as one that was removed while it was away; absent if there are none. */
  leftovers?: NodeInfo[];
  /** How often the NodeHost's directory was opened: its incarnation. With `seq` it orders the reports. */
  boot?: number;
  /** Number of this report within `boot`. A master changes nothing for an older pair of `boot` and `seq`. */
  seq?: number;
  /** The deployment the NodeHost belongs to. A master of another one refuses the report. */
  deploymentId?: bigint;
  /** Names of the state machines it can run: its `stateMachines`. Nothing is placed where its app is missing. */
  apps?: string[];
  /** Failure domain within its region: rack, zone. */
  failureDomain?: string;
  /** How much it takes compared with others; 1 if it does not say. */
  capacity?: number;
  /** Its disk is nearly full: nothing more should be placed there. */
  isDiskLow?: boolean;
  /** Those of the NodeHosts that the last reply asked about which it still hears. */
  hears?: string[];
  /** NodeHosts of its clusters that it is not connected with: the reply says where they are. At most 8 at a time. */
  seeks?: string[];
  /** What became of requests since the last report. */
  acknowledgements?: Acknowledgement[];
  /** Its epoch of the last reply: a report that answers requests of another one answers none. */
  epoch?: string;
}

/** What a master asks a NodeHost to do. */
export type RequestKind =
  | "launch"
  | "join"
  | "restore"
  | "addObserver"
  | "promote"
  | "remove"
  | "kill"
  | "transfer";

/** One request of a master to a NodeHost. Doing it twice does no harm. */
export interface MasterRequest {
  /** Names the state of the store that it comes from; requests of an older one are void. */
  epoch: string;
  /** The cluster. */
  clusterId: number;
  /** Number of the step: it grows with each step of the cluster. */
  n: number;
  /** What to do. */
  kind: RequestKind;
  /** The node it is about. */
  nodeId: number;
  /** Membership changes: valid only under this index. */
  expectedConfigChangeIndex: number;
  /** `launch`: address of every initial member. */
  members?: Record<number, string>;
  /** `addObserver`, `promote`: where the new node is, or will be. */
  address?: string;
  /** `addObserver`, `promote`: the NodeHost there. */
  nodeHostId?: string;
  /** `launch`, `join`, `restore`: name of the state machine. */
  app?: string;
  /** `launch`, `join`, `restore`: further fields of `ClusterConfig`. */
  config?: Record<string, number>;
  /** `transfer`: the node that should lead. */
  target?: number;
}

/** What became of a request. */
export interface Acknowledgement {
  /** The cluster. */
  clusterId: number;
  /** Number of the step. */
  n: number;
  /** It was done, or there was nothing to do. */
  isDone: boolean;
  /** If not: code of the `RaftError`, or `"refused"`. */
  code?: string;
  /** If not: the reason. */
  detail?: string;
}

/** Where a NodeHost is, as it said in its last report. */
export interface HostAddress {
  /** The NodeHost. */
  nodeHostId: string;
  /** Where it listens for Raft traffic. */
  nodeHostAddress: string;
  /** Its `boot` then: what is known of a later one is newer. */
  boot: number;
}

/** What a master answers to a report. */
export interface ReportReply {
  /** Whether the report was newer than what the master knew; if not, it changed nothing. */
  accepted: boolean;
  /** Clusters whose membership the master lacks, and wants in the next report. */
  want: number[];
  /** Names the state of the store: another one after it was restored from a copy. */
  epoch?: string;
  /** Logical time of the masters. */
  tick?: number;
  /** What the NodeHost should do. Repeated until it is done, or has become pointless. */
  requests?: MasterRequest[];
  /** Silent NodeHosts: the next report should say which of them are still heard. */
  silent?: string[];
  /** Where those are that the report seeks, as far as the master knows. */
  addresses?: HostAddress[];
  /** Those of `leftovers` that are no members any more, for good: their data should go, after the client's retention. */
  forget?: NodeInfo[];
  /** Milliseconds after which to report again. */
  nextReportMs?: number;
  /** Stands for a token from now on, together with the NodeHost's own secret. */
  ticket?: string;
}

/** How a NodeHost reaches a master. `url` is one of its `masterServers`. */
export interface IMasterClient {
  /** Names the client in logs. */
  name(): string;
  /** Ends the client; pending calls reject. */
  stop(): Promise<void>;
  /**
   * Throws a `TypeError` or a `RangeError` if no master can ever be reached at `url`, whoever runs: `NodeHost.open`
   * rejects with it instead of waiting. A client need not have it.
   */
  checkServer?(url: string): void;
  /** Asks for the deployment id, which never changes. */
  getDeploymentId(url: string, options?: WaitOptions): Promise<bigint>;
  /**
   * Reports; what the master wants done is kept for `handleMasterRequests`. A client that returns the reply lets the
   * master say when the next report is due.
   */
  sendNodeHostInfo(
    url: string,
    info: NodeHostInfo,
    options?: WaitOptions,
  ): Promise<ReportReply | void>;
  /** Carries out what the master asked for. */
  handleMasterRequests(options?: WaitOptions): Promise<void>;
}

/** Makes the client of a NodeHost. */
export type MasterClientFactory = (host: NodeHost) => IMasterClient;
