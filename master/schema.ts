/**
 * What a master keeps in its key-value store. Every value has `v`, the version of its shape, and `w`, a random id of
 * the write that made it: after a commit whose outcome is in doubt, reading `w` back tells whose write won. Fields
 * that are not known survive a read and write, since masters of two versions may share a store.
 *
 *     ["meta"]          MetaRecord      one, set once; the deployment id never changes
 *     ["h",host]        HostRecord      what a NodeHost last said of itself; written by each of its reports
 *     ["hl",host,i]     SliceRecord     its nodes, packed (wire/rows.ts), written when they changed
 *     ["log",host,i]    SliceRecord     the nodes its log holds data of, packed, written when they changed
 *     ["addr",address]  AddressRecord   which NodeHost last reported from a Raft address
 *     ["c",cluster]     ClusterRecord   a cluster's membership as the master knows it
 *
 * `["c"]` is the truth about memberships; `["hl"]` is a hint, up to a report old. No value is over 64 KiB.
 */
import type { KvKey } from "./kv.ts";

/** Version of the shapes below. */
export const schemaVersion = 1;

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
  /** Random; another one when the store was restored from a copy. */
  epoch: string;
  /** Version of the newest shape in the store. */
  schema: number;
  /** Masters of an older schema than this must not write. */
  minWriter: number;
}

/** One NodeHost. Invariant: `digest` describes the slices at `["hl",host,0..slices)`, or is `""`. */
export interface HostRecord extends StoredRecord {
  /** Opened so often; with `seq` the order of reports. */
  boot: number;
  /** Number of the last report. */
  seq: number;
  /** When it was last heard, by the clock of the master that heard it. */
  atMs: number;
  /** Its Raft address. */
  addr: string;
  /** Where its application listens, or `""`. */
  api: string;
  /** Its region, or `""`. */
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
 * memberships were reported under one index, so at least one reporter is wrong.
 */
export type ClusterLife = "unmanaged" | "quarantine";

/** One cluster. `cci` and `voters` change together, and `cci` never goes back. */
export interface ClusterRecord extends StoredRecord {
  /** Where it stands. */
  life: ClusterLife;
  /** Index of the membership change that made `voters`. */
  cci: number;
  /** Raft address of each member. */
  voters: Record<number, string>;
  /** The NodeHosts that reported this membership in full. */
  confirmedBy: string[];
}

/** Key of {@link MetaRecord}. */
export const metaKey: KvKey = ["meta"];

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

/** Key of {@link AddressRecord}. */
export function addressKey(address: string): KvKey {
  return ["addr", address];
}

/** Key of {@link ClusterRecord}. */
export function clusterKey(clusterId: number): KvKey {
  return ["c", clusterId];
}
