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
  /** How often the NodeHost's directory was opened: its incarnation. With `seq` it orders the reports. */
  boot?: number;
  /** Number of this report within `boot`. A master changes nothing for an older pair of `boot` and `seq`. */
  seq?: number;
  /** The deployment the NodeHost belongs to. A master of another one refuses the report. */
  deploymentId?: bigint;
}

/** What a master answers to a report. */
export interface ReportReply {
  /** Whether the report was newer than what the master knew; if not, it changed nothing. */
  accepted: boolean;
  /** Clusters whose membership the master lacks, and wants in the next report. */
  want: number[];
}

/** How a NodeHost reaches a master. `url` is one of its `masterServers`. */
export interface IMasterClient {
  /** Names the client in logs. */
  name(): string;
  /** Ends the client; pending calls reject. */
  stop(): Promise<void>;
  /** Asks for the deployment id, which never changes. */
  getDeploymentId(url: string, options?: WaitOptions): Promise<bigint>;
  /** Reports; what the master wants done is kept for `handleMasterRequests`. */
  sendNodeHostInfo(
    url: string,
    info: NodeHostInfo,
    options?: WaitOptions,
  ): Promise<void>;
  /** Carries out what the master asked for. */
  handleMasterRequests(options?: WaitOptions): Promise<void>;
}

/** Makes the client of a NodeHost. */
export type MasterClientFactory = (host: NodeHost) => IMasterClient;
