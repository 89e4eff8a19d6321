/**
 * How a NodeHost's nodes are packed into values of the store, in slices of at most 32 KiB.
 *
 *     ["hl",host,i]   +-- cluster (8B) --+-- node (8B) --+-- configChangeIndex (8B) --+-- flags (1B) --+  per node
 *     ["log",host,i]  +-- cluster (8B) --+-- node (8B) --+                                                per node
 *     ["pos",host,i]  +-- cluster (8B) --+-- node (8B) --+-- last term (8B) --+-- last index (8B) --+-- applied (8B) --+
 *                                                                             per node that knows no leader
 *
 * Numbers are big-endian; flags: 1 leader, 2 pending; since schema 2, 4 lagging, 8 its observers
 * have caught up. Rows are sorted by cluster, then node, so that equal content
 * has equal bytes. Node 0 stands for a cluster that was listed without saying which node of it runs.
 */
import { createHash } from "./deps.ts";
import type { LogPosition, NodeHostInfo, NodeInfo } from "../protocol.ts";

/** One node of a NodeHost, as last reported. */
export interface NodeRow {
  /** The cluster. */
  clusterId: number;
  /** The node, or 0 if the report did not say. */
  nodeId: number;
  /** Index of the last membership change the node had applied. */
  configChangeIndex: number;
  /** Whether it led. */
  isLeader: boolean;
  /** Whether it did not know its membership yet. */
  pending: boolean;
  /** Whether it was too far behind to be counted on. */
  isLagging: boolean;
  /** Whether it led, and all observers had caught up. */
  areObserversReady: boolean;
}

const sliceBytes = 32 * 1024;
const nodeRowBytes = 25;
const logRowBytes = 16;
const positionRowBytes = 40;
/** More nodes without a leader than this do not fit into the commit of a report. */
const positionsMax = 4_000;
const leaderFlag = 1;
const pendingFlag = 2;
const laggingFlag = 4;
const readyFlag = 8;

function byClusterThenNode(a: NodeInfo, b: NodeInfo): number {
  return a.clusterId - b.clusterId || a.nodeId - b.nodeId;
}

/** The nodes of a report, sorted. */
export function rowsOf(info: NodeHostInfo): NodeRow[] {
  const rows: NodeRow[] = info.clusterInfoList.map((cluster) => ({
    clusterId: cluster.clusterId,
    nodeId: cluster.nodeId,
    configChangeIndex: cluster.pending ? 0 : cluster.configChangeIndex,
    isLeader: cluster.isLeader,
    pending: cluster.pending,
    isLagging: cluster.isLagging === true,
    areObserversReady: cluster.isLeader && cluster.areObserversReady === true,
  }));
  const described = new Set(rows.map((row) => row.clusterId));
  for (const clusterId of new Set(info.clusterIdList)) {
    if (described.has(clusterId)) continue;
    rows.push({
      clusterId,
      nodeId: 0,
      configChangeIndex: 0,
      isLeader: false,
      pending: true,
      isLagging: false,
      areObserversReady: false,
    });
  }
  return rows.sort(byClusterThenNode);
}

function packRows(rows: readonly NodeRow[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(rows.length * nodeRowBytes);
  const view = new DataView(bytes.buffer);
  rows.forEach((row, i) => {
    const at = i * nodeRowBytes;
    view.setBigUint64(at, BigInt(row.clusterId));
    view.setBigUint64(at + 8, BigInt(row.nodeId));
    view.setBigUint64(at + 16, BigInt(row.configChangeIndex));
    view.setUint8(
      at + 24,
      (row.isLeader ? leaderFlag : 0) | (row.pending ? pendingFlag : 0) |
        (row.isLagging ? laggingFlag : 0) |
        (row.areObserversReady ? readyFlag : 0),
    );
  });
  return bytes;
}

/** Reads back a slice of {@link sliceNodes}. */
export function unpackRows(bytes: Uint8Array): NodeRow[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rows: NodeRow[] = [];
  for (let at = 0; at + nodeRowBytes <= bytes.length; at += nodeRowBytes) {
    const flags = view.getUint8(at + 24);
    rows.push({
      clusterId: Number(view.getBigUint64(at)),
      nodeId: Number(view.getBigUint64(at + 8)),
      configChangeIndex: Number(view.getBigUint64(at + 16)),
      isLeader: (flags & leaderFlag) !== 0,
      pending: (flags & pendingFlag) !== 0,
      isLagging: (flags & laggingFlag) !== 0,
      areObserversReady: (flags & readyFlag) !== 0,
    });
  }
  return rows;
}

function packLog(nodes: readonly NodeInfo[]): Uint8Array<ArrayBuffer> {
  const sorted = [...nodes].sort(byClusterThenNode).filter((node, i, all) => {
    const before = all[i - 1];
    return before === undefined || byClusterThenNode(before, node) !== 0;
  });
  const bytes = new Uint8Array(sorted.length * logRowBytes);
  const view = new DataView(bytes.buffer);
  sorted.forEach((node, i) => {
    view.setBigUint64(i * logRowBytes, BigInt(node.clusterId));
    view.setBigUint64(i * logRowBytes + 8, BigInt(node.nodeId));
  });
  return bytes;
}

/** Reads back a slice of {@link sliceLog}. */
export function unpackLog(bytes: Uint8Array): NodeInfo[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const nodes: NodeInfo[] = [];
  for (let at = 0; at + logRowBytes <= bytes.length; at += logRowBytes) {
    nodes.push({
      clusterId: Number(view.getBigUint64(at)),
      nodeId: Number(view.getBigUint64(at + 8)),
    });
  }
  return nodes;
}

/** Cuts packed nodes into values that the store takes, between rows. */
function sliceRows(bytes: Uint8Array, rowBytes: number): Uint8Array[] {
  const step = Math.floor(sliceBytes / rowBytes) * rowBytes;
  const slices: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    slices.push(bytes.slice(at, at + step));
  }
  return slices;
}

/** Packs rows that {@link rowsOf} made, in slices. */
export function sliceNodes(rows: readonly NodeRow[]): Uint8Array[] {
  return sliceRows(packRows(rows), nodeRowBytes);
}

/** Packs the nodes that a log holds data of, in slices; each node counts once. */
export function sliceLog(nodes: readonly NodeInfo[]): Uint8Array[] {
  return sliceRows(packLog(nodes), logRowBytes);
}

/** How far the logs of a report's nodes go that know no leader, in slices. */
export function slicePositions(info: NodeHostInfo): Uint8Array[] {
  const told = info.clusterInfoList
    .filter((cluster) => cluster.position !== undefined)
    .sort(byClusterThenNode).slice(0, positionsMax);
  const bytes = new Uint8Array(told.length * positionRowBytes);
  const view = new DataView(bytes.buffer);
  told.forEach(({ clusterId, nodeId, position }, i) => {
    const { lastTerm, lastIndex, appliedIndex } = position!;
    [clusterId, nodeId, lastTerm, lastIndex, appliedIndex].forEach(
      (value, j) =>
        view.setBigUint64(i * positionRowBytes + 8 * j, BigInt(value)),
    );
  });
  return sliceRows(bytes, positionRowBytes);
}

/** Reads back a slice of {@link slicePositions}. */
export function unpackPositions(
  bytes: Uint8Array,
): (NodeInfo & LogPosition)[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rows: (NodeInfo & LogPosition)[] = [];
  for (
    let at = 0;
    at + positionRowBytes <= bytes.length;
    at += positionRowBytes
  ) {
    const field = (j: number) => Number(view.getBigUint64(at + 8 * j));
    rows.push({
      clusterId: field(0),
      nodeId: field(1),
      lastTerm: field(2),
      lastIndex: field(3),
      appliedIndex: field(4),
    });
  }
  return rows;
}

/** Tells whether two contents are the same: 128 bits of SHA-256 over the slices, in hexadecimal. */
export function digestOf(slices: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const slice of slices) hash.update(slice);
  return hash.digest("hex").slice(0, 32);
}
