/** What the page shows: bounded, so that it is small however much there is. For people, never to decide by. */
import type { RegionWish } from "../schema.ts";

/** What people call the state of a NodeHost. */
export type HostStanding =
  | "ok"
  | "silent"
  | "unreported"
  | "dead"
  | "gone"
  | "revoked"
  | "conflict";

/** A NodeHost. */
export interface BoardHost {
  /** Its identity. */
  id: string;
  /** Its Raft address. */
  address: string;
  /** Its region; `"unknown"` if it names none. */
  region: string;
  /** Its failure domain within the region, or `""`. */
  domain: string;
  /** What it is for people. */
  standing: HostStanding;
  /** When it was last heard, in milliseconds since 1970 by the clock of the master that heard it. */
  heardMs: number;
  /** Nodes that it runs. */
  nodes: number;
  /** Those of them that lead. */
  leaders: number;
  /** Nodes of clusters in the masters' hands that it carries, or is to carry: what a drain would move. */
  placed: number;
  /** State machines that it can run. */
  apps: string[];
  /** Nothing more is placed there. */
  isCordoned: boolean;
  /** Its nodes move away. */
  isDraining: boolean;
  /** Its disk is nearly full. */
  isDiskLow: boolean;
  /** `expectedGen` of a command about it that rests on this. */
  gen: number;
}

/** A region, with all of its NodeHosts, whether {@link BoardView.hosts} lists them or not. */
export interface BoardRegion {
  /** Its name, or `""`. */
  name: string;
  /** NodeHosts in it. */
  hosts: number;
  /** Those of them that are heard and carry on. */
  healthy: number;
  /** Nodes that they run. */
  nodes: number;
  /** Those of them that lead. */
  leaders: number;
}

/** The state of a cluster in one word, the worst that can be said of it. */
export type ClusterState =
  | "quarantine"
  | "lost"
  | "leaderless"
  | "unstarted"
  | "recovering"
  | "degraded"
  | "lagging"
  | "waiting"
  | "repairing"
  | "draining"
  | "moving"
  | "growing"
  | "shrinking"
  | "launching"
  | "deleting"
  | "paused"
  | "unmanaged"
  | "ok";

/** What a cluster asks of people: to look, to wait, or nothing. */
export type ClusterGroup = "trouble" | "working" | "well";

/** What a member is for people. */
export type MemberStanding =
  | "leader"
  | "ok"
  | "lagging"
  | "starting"
  | "stopped"
  | "silent"
  | "dead"
  | "unknown";

/** A member of a cluster. */
export interface BoardMember {
  /** The node. */
  node: number;
  /** `voter`, `observer` or `witness`. */
  role: string;
  /** The NodeHost that carries it, or `""` if it is not known. */
  host: string;
  /** Its Raft address. */
  address: string;
  /** The region of that NodeHost, or `""`. */
  region: string;
  /** What it is for people. */
  standing: MemberStanding;
  /** How often its NodeHost was asked to start it; absent while it runs, and if nobody asked. */
  asked?: number;
  /** Milliseconds since it was asked first, as ticks tell them; there if `asked` is. */
  askedForMs?: number;
}

/** What is being done about a cluster in several steps. */
export interface BoardPlan {
  /** `repair`, `drain`, `move`, `grow` or `shrink`. */
  kind: string;
  /** Why it was begun. */
  why: string;
  /** What it is at: from 0, nothing yet, to 4, the last step. */
  stage: number;
  /** The same in words. */
  doing: string;
  /** Milliseconds that it has taken so far, as ticks tell them. */
  forMs: number;
  /** The NodeHost that a node comes to. */
  to?: string;
}

/** A cluster. */
export interface BoardCluster {
  /** The cluster. */
  id: number;
  /** Its state in one word. */
  state: ClusterState;
  /** Whether somebody should look. */
  group: ClusterGroup;
  /** What is the matter, or what it waits for; empty if nothing is. */
  why: string;
  /** Name of its state machine, or `""` if it is unmanaged. */
  app: string;
  /** Voters that it should have; 0 if it is unmanaged. */
  size: number;
  /** Where its voters should be. */
  regions: RegionWish[];
  /** Index of its last known membership change. */
  cci: number;
  /** `expectedGen` of a command about it that rests on this: the number of its definition, 0 without one. */
  gen: number;
  /** An operator wants nothing done about it. */
  isPaused: boolean;
  /** Milliseconds until it is deleted, as ticks tell them; absent if nobody wants that. */
  deletesInMs?: number;
  /** Its members by ascending id. */
  members: BoardMember[];
  /** What is being done. */
  plan?: BoardPlan;
}

/** Some of all clusters. */
export interface BoardClusterPage {
  /** They, the worst first, then by id. */
  clusters: BoardCluster[];
  /** How many match. */
  total: number;
  /** State of the clusters that this shows: {@link BoardStatus.rev}. */
  rev: number;
}

/** Which clusters are wanted. */
export interface ClusterQuery {
  /** Only those of this group, or in this state. */
  state?: ClusterGroup | ClusterState;
  /** The beginning of their ids; or part of their app's name, or of the id or region of a NodeHost that carries one. */
  text?: string;
  /** So many of the first that match are left out; 0 by default. */
  offset?: number;
  /** At most so many. */
  limit: number;
}

/** How an event is shown. */
export type EventTone = "good" | "working" | "bad" | "operator" | "plain";

/** Something that was decided, done or found. */
export interface BoardEvent {
  /** Names it. */
  key: string;
  /** When, in milliseconds since 1970. */
  atMs: number;
  /** What, in a few words. */
  what: string;
  /** Why, or with what. */
  why: string;
  /** How it is shown. */
  tone: EventTone;
  /** The cluster, if it is about one. */
  cluster?: number;
  /** The NodeHost, if it is about one. */
  host?: string;
  /** The operator, if it was one. */
  who?: string;
}

/** The most important thing, in one sentence. */
export interface Headline {
  /** `idle`: there is nothing yet. */
  tone: "good" | "working" | "bad" | "warning" | "idle";
  /** One short sentence. */
  text: string;
  /** One more. */
  detail: string;
}

/** What concerns everything. */
export interface BoardStatus {
  /** The deployment, as decimal text. */
  deploymentId: string;
  /** Logical time. */
  tick: number;
  /** Milliseconds of a tick. */
  periodMs: number;
  /** An operator stopped all decisions. */
  isPaused: boolean;
  /** `expectedGen` of a command about everything that rests on this. */
  gen: number;
  /** Too much fell silent at once; `null` if not. */
  brake: { why: string; hosts: string[]; isReleased: boolean } | null;
  /** What to read first. */
  headline: Headline;
  /** NodeHosts that were ever heard, without those that are gone. */
  hosts: number;
  /** All clusters. */
  clusters: number;
  /** Nodes that NodeHosts run. */
  nodes: number;
  /** Clusters by group. */
  groups: Record<ClusterGroup, number>;
  /** Clusters by state; a state that none is in is not there. */
  states: Partial<Record<ClusterState, number>>;
  /** Another number: something about clusters changed. */
  rev: number;
}

/** Everything that the page shows at once. */
export interface BoardView {
  /** When it was read, by the clock of the master that read it. */
  atMs: number;
  /** What concerns everything. */
  status: BoardStatus;
  /** All regions by name, and the first NodeHosts: those in trouble, then by region. */
  hosts: { regions: BoardRegion[]; list: BoardHost[]; more: number };
  /** Clusters about which something is being done, and how many more there are. */
  work: { list: BoardCluster[]; more: number };
  /** The latest events, newest first. */
  events: BoardEvent[];
}

/** What people see of a store. It keeps what it has read, so that looking again costs little. */
export interface Board {
  /**
   * Everything that is shown at once, not older than `maxAgeMs`, 0 by default. Those who ask meanwhile wait for the same
   * reading.
   *
   * @throws {RaftError} if the store failed.
   */
  view(maxAgeMs?: number): Promise<BoardView>;
  /**
   * Some of all clusters, as they were when the view was read that is not older than `maxAgeMs`.
   *
   * @throws {RaftError} if the store failed.
   */
  clusters(query: ClusterQuery, maxAgeMs?: number): Promise<BoardClusterPage>;
}
