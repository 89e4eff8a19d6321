/**
 * What a master keeps in its key-value store. Every value has `v`, the version of its shape, and `w`, a random id of
 * the write that made it: after a commit whose outcome is in doubt, reading `w` back tells whose write won. Fields
 * that are not known survive a read and write, since masters of two versions may share a store.
 *
 *     ["meta"]            MetaRecord      one, set once; the deployment id never changes
 *     ["clock"]           ClockRecord     one: the tick, and what concerns all clusters
 *     ["h",host]          HostRecord      what a NodeHost last said of itself; written by each of its reports
 *     ["hl",host,i]       SliceRecord     its nodes, packed (wire/rows.ts), written when they changed
 *     ["log",host,i]      SliceRecord     the nodes its log holds data of, packed, written when they changed
 *     ["pos",host,i]      SliceRecord     how far the logs of its nodes go that know no leader (M15)
 *     ["addr",address]    AddressRecord   which NodeHost last reported from a Raft address
 *     ["c",cluster]       ClusterRecord   a cluster: what it should be, is, and what is being done about it
 *     ["m",host,cluster]  MemberIndex     which node of the cluster the NodeHost carries, or is to carry
 *     ["att",cluster]     AttentionRecord the cluster is not as desired: the to-do list of rounds
 *     ["q",host,cluster]  RequestRecord   what the NodeHost is asked to do about the cluster
 *     ["slot",kind,scope,i] SlotRecord    a plan that counts against a limit; absent: free
 *     ["tomb",cluster]    TombRecord      the id was deleted, and is never used again
 *     ["ev",tick,name]     EventRecord     history; expires
 *     ["op",key]          OperationRecord an operator's command and its result; expires
 *
 * `["c"]` is the truth; `["m"]`, `["att"]`, `["q"]` and `["slot"]` follow from it and are written in its commits
 * (`store_index.ts`); `["hl"]` is a hint, up to a report old. No value is over 64 KiB.
 */
import { unknownRegion } from "../raft/config.ts";
import type { KvKey } from "./kv.ts";

/** Version of the shapes below. Version 1 had neither clock nor plans, and `voters` for `members`. */
export const schemaVersion = 2;

/** What every value has. */
export interface StoredRecord {
  /** Version of its shape. */
  v: number;
  /** Random id of the write that made it. */
  w: string;
}

/** The store itself. */
export interface MetaRecord extends StoredRecord {
  /** Random, from 2 to 2^64 - 1; 1 is for NodeHosts without a master. */
  deploymentId: bigint;
  /** Random; another one when the store was restored from a copy. NodeHosts refuse requests of another one. */
  epoch: string;
  /** Version of the newest shape in the store. */
  schema: number;
  /** Masters of an older schema than this must not write. */
  minWriter: number;
}

/** Too many NodeHosts fell silent at once to believe that they died (M5). */
export interface BrakeRecord {
  /** Tick at which it engaged. */
  at: number;
  /** Why, for people. */
  why: string;
  /** The NodeHosts it is about; it goes off when none of them is silent any more. */
  hosts: string[];
  /** An operator said that these are really gone: what must be done may be done. */
  isReleased?: boolean;
}

/** Logical time (M5) and the state of all clusters together. */
export interface ClockRecord extends StoredRecord {
  /** Grows by one at most once a period, and only while NodeHosts report. */
  tick: number;
  /** When it last grew, by the clock of the master that did it. */
  atMs: number;
  /** Something is being done: replies look for requests, and NodeHosts report more often. */
  busy: boolean;
  /** Engaged when too much fell silent at once. */
  brake?: BrakeRecord;
  /** An operator stopped all decisions. */
  paused: boolean;
  /** Grows with each order about everything, and with each change of the brake (M19); 0 if it is absent. */
  gen?: number;
  /** Clusters that NodeHosts report and that are adopted without an operator (M7). */
  adopt?: AdoptionRule[];
  /** A walk over all clusters looks for those that the rules are about: the last one it came to. */
  adoptCursor?: number;
  /** What is left of a pass over the to-do list, which a round had no time for; absent while one goes on with it. */
  pass?: PassRecord;
  /** The cluster id after which the next round looks for lost index entries. */
  sweep: number;
  /** Tick before which nothing is moved for balance. */
  balanceAt?: number;
  /** NodeHosts that are silent and whom others are asked about. */
  silent: string[];
  /** The day, since 1970, that `busyMs` is about. */
  busyDay?: number;
  /** How long that day something was being done, in milliseconds. */
  busyMs?: number;
  /** The longest period that a NodeHost which is heard was told, in milliseconds; absent if no record says. */
  periodMs?: number;
}

/** The clusters after `after` and before `until`; where `until` is no higher, from the lowest id on after the highest. */
export interface PassRecord {
  /** The last one that was decided about. */
  after: number;
  /** The first one of the pass. */
  until: number;
}

/** `failing`: its clusters are being put on the to-do list; `gone`: for good, by an operator or a new one at its address. */
export type HostState = "ok" | "failing" | "failed" | "gone";

/** One NodeHost. Invariant: `digest` describes the slices at `["hl",host,0..slices)`, or is `""`. */
export interface HostRecord extends StoredRecord {
  /** Opened so often; with `seq` the order of reports. */
  boot: number;
  /** Number of the last report. */
  seq: number;
  /** When it was last heard, by the clock of the master that heard it: for people. */
  atMs: number;
  /** Its Raft address. */
  addr: string;
  /** Where its application listens, or `""`. */
  api: string;
  /** Its region; `"unknown"` if it names none. */
  region: string;
  /** Nodes it runs. */
  n: number;
  /** Nodes of it that lead. */
  leads: number;
  /** Of its nodes; `""` makes the next report count as changed. */
  digest: string;
  /** Values at `["hl",host]`. */
  slices: number;
  /** Of its log; `""` if it never said. */
  logDigest: string;
  /** Values at `["log",host]`. */
  logSlices: number;
  /** Of what is at `["pos",host]`; absent if there never was anything. */
  posDigest?: string;
  /** Values at `["pos",host]`. */
  posSlices?: number;
  /** Tick at which it was last heard. */
  tick: number;
  /** Tick since which it is up: it was opened, or came back, then. */
  since: number;
  /** What the masters think of it. */
  state: HostState;
  /** A walk over `["m",host]` is under way: the last cluster it came to. */
  cursor?: number;
  /** Grows with each order about it, and when it died, returned, was opened anew or moved (M19); 0 if it is absent. */
  gen?: number;
  /** State machines that it can run, by name; absent if it does not say. */
  apps?: string[];
  /** Failure domain within its region: rack, zone. */
  domain?: string;
  /** How much it takes compared with others; 1 by default. */
  capacity?: number;
  /** Nothing more is placed there. */
  cordon?: boolean;
  /** Leaders and nodes move away. */
  drain?: boolean;
  /** Its secret is void: it is refused, and nothing is placed there. */
  revoked?: boolean;
  /** Its disk is nearly full: nothing more is placed there. */
  isDiskLow?: boolean;
  /** Another NodeHost, which is alive, is at its address: what it says of clusters is not believed. */
  conflict?: string;
  /** Silent NodeHosts that it still hears, with the tick at which it said so. */
  hears?: Record<string, number>;
  /** SHA-256 of its secret. */
  secretHash?: string;
  /** It was told to report after so many milliseconds at most, by the master that took its last report. */
  periodMs?: number;
  /** Ticks of silence after which it is dead, as the master has it that took its last report: so all masters agree. */
  ttl?: number;
  /** The boot before this one, its last report, and whether it was told as an alarm that it goes on. */
  rival?: { boot: number; seq: number; isTold: boolean };
}

/** Packed rows. */
export interface SliceRecord extends StoredRecord {
  /** Whole rows, at most 32 KiB. */
  rows: Uint8Array;
}

/** Who is at an address. */
export interface AddressRecord extends StoredRecord {
  /** The NodeHost that last reported from it. */
  host: string;
}

/**
 * Where a cluster stands in the master's hands. `unmanaged`: known from reports alone, never touched. `quarantine`: two
 * memberships were reported under one index, so at least one reporter is wrong. `defined`: to be launched.
 * `launching`: its initial members are decided, for ever. `recovering`: an operator restores it from a survivor.
 */
export type ClusterLife =
  | "unmanaged"
  | "quarantine"
  | "defined"
  | "launching"
  | "ok"
  | "recovering"
  | "deleting";

/** So that none is missing. */
const lives: Readonly<Record<ClusterLife, true>> = {
  unmanaged: true,
  quarantine: true,
  defined: true,
  launching: true,
  ok: true,
  recovering: true,
  deleting: true,
};
/** All of them. */
export const clusterLives = Object.keys(lives) as readonly ClusterLife[];

/** Which clusters are adopted as soon as a majority of their voters reports them, and what they should be (M7). */
export interface AdoptionRule {
  /** Name of their state machine, as NodeHosts report it. */
  app: string;
  /** Where their voters should be; a cluster with fewer voters is left alone. */
  regions?: RegionWish[];
  /** Further fields of `ClusterConfig`. */
  config?: Record<string, number>;
}

/** Where a cluster's nodes should be. */
export interface RegionWish {
  /** The region. */
  region: string;
  /** So many voters there. */
  count: number;
  /** Rather nowhere than elsewhere. */
  isRequired?: boolean;
}

/** What an operator wants of a cluster. */
export interface ClusterDefinition {
  /** Grows with every change. */
  gen: number;
  /** Name of the state machine in `stateMachines` of NodeHosts. */
  app: string;
  /** Voting members. */
  size: number;
  /** Where they should be; the rest of `size` may be anywhere. */
  regions: RegionWish[];
  /** Further fields of `ClusterConfig`, handed to `startCluster`. */
  config: Record<string, number>;
}

/** One node of a cluster, as far as the master knows. */
export interface MemberRecord {
  /** What it is in the last known membership. */
  role: "voter" | "observer" | "witness";
  /** Its Raft address. */
  address: string;
  /** The NodeHost that carries it; absent until it is known. */
  host?: string;
  /** Tick at which its NodeHost first listed it; absent: it never ran. */
  since?: number;
  /** Tick at which its NodeHost, although alive, stopped listing it. */
  missingSince?: number;
  /** An observer that has caught up. */
  isReady?: boolean;
  /** Its NodeHost has no data of it: it cannot come back. */
  isLost?: boolean;
  /** How often its NodeHost was asked to start it since it last ran, in which tick last, and in which one first. */
  starts?: { count: number; at: number; since?: number };
}

/** A slot key after `"slot"`. */
export type SlotName = [kind: string, scope: string, index: number];

/** What is being done about a cluster, in several steps. Which step is next follows from its members. */
export interface PlanRecord {
  /** `repair`: a voter is dead; `drain`: its NodeHost is; `move`: for balance or regions; `grow`, `shrink`: the size differs. */
  kind: "repair" | "drain" | "move" | "grow" | "shrink";
  /** The voter that goes. */
  out?: number;
  /** The node that comes; it is an observer first. */
  in?: number;
  /** The NodeHost it comes to. */
  host?: string;
  /** Its address. */
  address?: string;
  /** Tick at which it began. */
  at: number;
  /** Its limits; empty while it waits for some. */
  slots: SlotName[];
  /** Steps that failed. */
  failures: number;
  /** Why, for people. */
  why: string;
  /** It is given up: the node that came goes again. */
  isAbandoned?: boolean;
  /**
   * The leader adds nobody before this member is out, or was in touch: it never was since the leader's start, or spoke an
   * older version when it was last (I6).
   */
  unmet?: number;
  /** Leadership was handed over by `out`. */
  isHandedOver?: boolean;
}

/** What a NodeHost can be asked to do. */
export type StepKind =
  | "launch"
  | "join"
  | "restore"
  | "addObserver"
  | "promote"
  | "remove"
  | "kill"
  | "transfer";

/** The one thing that is being done now. */
export interface StepRecord {
  /** Its number: grows with each step of the cluster. */
  n: number;
  /** What. */
  kind: StepKind;
  /** The node it is about; 0 for `launch` and `restore`, which are about one node per NodeHost. */
  node: number;
  /** Tick at which it began. */
  at: number;
  /** A membership change is refused under another index. */
  expectCci: number;
  /** Which NodeHosts still have to do it, with the node that each does it for. */
  hosts: Record<string, number>;
}

/** One cluster. `cci` and the roles of `members` change together, and `cci` never goes back. */
export interface ClusterRecord extends StoredRecord {
  /** Where it stands. */
  life: ClusterLife;
  /** What it should be; absent if unmanaged. */
  def?: ClusterDefinition;
  /** While it is unmanaged: name of its state machine, as the NodeHosts of a majority of its voters say. */
  app?: string;
  /** While it is unmanaged: what the NodeHost of each voter says that, by node id. */
  apps?: Record<number, string>;
  /** An operator wants nothing done about it. */
  isPaused?: boolean;
  /** Tick at which it is deleted, unless an operator keeps it. */
  deleteAt?: number;
  /** It comes from a copy: nothing is decided before a majority of its members reported (M11). */
  isImported?: boolean;
  /** Index of the membership change that made `members`. */
  cci: number;
  /** Its nodes by id. */
  members: Record<number, MemberRecord>;
  /** The NodeHosts that reported this membership. */
  confirmedBy: string[];
  /** The last node ids that were members and are no longer. */
  gone: number[];
  /** Nodes that run although they are no longer members, with their NodeHost. */
  zombies: Record<number, string>;
  /** Node ids that an operator gave up (M15): they are never restored. */
  condemned?: number[];
  /**
   * A membership that drops a majority, and who told it: it needs another one to tell it, too. In a copy it is enough
   * that nobody runs whom it drops: then these are the `members`.
   */
  claim?: {
    cci: number;
    nodes: number[];
    by: string;
    members?: Record<number, MemberRecord>;
  };
  /** NodeHosts where a node of it did not start, or not catch up, each with the tick until which others come first. */
  avoid?: Record<string, number>;
  /** What is being done in several steps. */
  plan?: PlanRecord;
  /** What is being done now. */
  step?: StepRecord;
  /** Number of the last step. */
  steps: number;
}

/** Which node of a cluster is on a NodeHost. */
export interface MemberIndex extends StoredRecord {
  /** The node. */
  node: number;
}

/** The cluster needs a look. */
export interface AttentionRecord extends StoredRecord {
  /** Tick since which. */
  tick: number;
}

/** What a NodeHost is asked to do. */
export interface RequestRecord extends StoredRecord {
  /** The store's epoch at that time. */
  epoch: string;
  /** Step of the cluster. */
  n: number;
  /** What. */
  kind: StepKind;
  /** The node it is about. */
  nodeId: number;
  /** For membership changes: the index under which it is valid. */
  expectCci: number;
  /** `launch`: all initial members. */
  members?: Record<number, string>;
  /** `addObserver`, `promote`: where the new node is, or will be. */
  address?: string;
  /** `addObserver`, `promote`: the NodeHost there. */
  nodeHostId?: string;
  /** `launch`, `join`, `restore`: name of the state machine. */
  app?: string;
  /** `launch`, `join`, `restore`: see {@link ClusterDefinition.config}. */
  config?: Record<string, number>;
  /** `transfer`: who should lead. */
  target?: number;
}

/** Who holds a slot. */
export interface SlotRecord extends StoredRecord {
  /** The cluster. */
  cluster: number;
}

/** A deleted cluster. */
export interface TombRecord extends StoredRecord {
  /** When. */
  tick: number;
  /** Number of the step that stops a node of it which turns up later. */
  steps: number;
}

/** Something that was decided. */
export interface EventRecord extends StoredRecord {
  /** The tick. */
  tick: number;
  /** When, in milliseconds since 1970. */
  atMs: number;
  /** The cluster, if it is about one. */
  cluster?: number;
  /** The NodeHost, if it is about one. */
  host?: string;
  /** What was decided: one word. */
  what: string;
  /** Why, for people. */
  why: string;
  /** The operator, if it was one. */
  who?: string;
}

/** What an operator's command did, so that its repetition does nothing. */
export interface OperationRecord extends StoredRecord {
  /** The command, to tell another one under the same key. */
  command: string;
  /** Its result. */
  result: Record<string, unknown>;
}

/** How long history is kept. */
export const eventTtlMs = 30 * 24 * 3_600_000;
/** How long the results of operators' commands are kept. */
export const operationTtlMs = 24 * 3_600_000;

/** Key of {@link MetaRecord}. */
export const metaKey: KvKey = ["meta"];

/** Key of {@link ClockRecord}. */
export const clockKey: KvKey = ["clock"];

/** Key of {@link HostRecord}. */
export function hostKey(host: string): KvKey {
  return ["h", host];
}

/** Key of a {@link SliceRecord} of nodes. */
export function nodesKey(host: string, slice: number): KvKey {
  return ["hl", host, slice];
}

/** Key of a {@link SliceRecord} of a log. */
export function logKey(host: string, slice: number): KvKey {
  return ["log", host, slice];
}

/** Key of a {@link SliceRecord} of positions. */
export function positionsKey(host: string, slice: number): KvKey {
  return ["pos", host, slice];
}

/** Key of {@link AddressRecord}. */
export function addressKey(address: string): KvKey {
  return ["addr", address];
}

/** Key of {@link ClusterRecord}. */
export function clusterKey(clusterId: number): KvKey {
  return ["c", clusterId];
}

/** Key of {@link MemberIndex}. */
export function memberKey(host: string, clusterId: number): KvKey {
  return ["m", host, clusterId];
}

/** Key of {@link AttentionRecord}. */
export function attentionKey(clusterId: number): KvKey {
  return ["att", clusterId];
}

/** Key of {@link RequestRecord}. */
export function requestKey(host: string, clusterId: number): KvKey {
  return ["q", host, clusterId];
}

/** Key of {@link SlotRecord}. */
export function slotKey(slot: SlotName): KvKey {
  return ["slot", ...slot];
}

/** Key of {@link TombRecord}. */
export function tombKey(clusterId: number): KvKey {
  return ["tomb", clusterId];
}

/** Key of {@link EventRecord}. */
export function eventKey(tick: number, name: string): KvKey {
  return ["ev", tick, name];
}

/** Key of {@link OperationRecord}. */
export function operationKey(key: string): KvKey {
  return ["op", key];
}

/** The clock of a store that has none yet. */
export function newClock(atMs: number): ClockRecord {
  return {
    v: schemaVersion,
    w: "",
    tick: 1,
    atMs,
    busy: false,
    paused: false,
    sweep: 0,
    silent: [],
  };
}

/** A stored clock, or a new one. */
export function readClock(value: unknown, atMs: number): ClockRecord {
  return (value as ClockRecord | null) ?? newClock(atMs);
}

/** A stored NodeHost; what version 1 did not say gets its default. */
export function readHost(value: unknown): HostRecord | undefined {
  if (value === null || value === undefined) return undefined;
  let record = value as HostRecord;
  // What older versions wrote of a NodeHost that named none.
  if (!record.region) record = { ...record, region: unknownRegion };
  if (record.tick !== undefined) return record;
  return { ...record, tick: 0, since: 0, state: "ok" };
}

/** After how many ticks of silence a NodeHost is dead; `ttl` for a record that does not say. */
export function ttlOf(host: Pick<HostRecord, "ttl">, ttl: number): number {
  return host.ttl ?? ttl;
}

/** A stored cluster; `voters` of version 1 become `members`. */
export function readCluster(value: unknown): ClusterRecord | undefined {
  if (value === null || value === undefined) return undefined;
  const record = value as ClusterRecord & { voters?: Record<number, string> };
  if (record.voters === undefined) return record;
  const { voters, ...rest } = record;
  const members: Record<number, MemberRecord> = {};
  for (const [id, address] of Object.entries(voters)) {
    const known = rest.members?.[Number(id)];
    members[Number(id)] = { ...known, role: "voter", address };
  }
  return {
    ...rest,
    members,
    gone: rest.gone ?? [],
    zombies: rest.zombies ?? {},
    steps: rest.steps ?? 0,
  };
}
