/** The nodes of a log, by their ids and in order. */
import { type LogContext, WalNodeLog } from "./node_log.ts";

/** All nodes that were asked for or written. */
export class NodeTable {
  readonly #context: LogContext;
  /** A NodeHost hardly ever has two nodes of one cluster; if so, they are chained. */
  readonly #byCluster = new Map<number, WalNodeLog>();
  /** In ascending order of cluster and node id. */
  #sorted: WalNodeLog[] = [];

  /** Makes an empty table. */
  constructor(context: LogContext) {
    this.#context = context;
  }

  /** All nodes in order of their ids, those included that nothing was written for. */
  get all(): readonly WalNodeLog[] {
    return this.#sorted;
  }

  /** The node, or undefined. */
  find(clusterId: number, nodeId: number): WalNodeLog | undefined {
    let node = this.#byCluster.get(clusterId);
    while (node !== undefined && node.nodeId !== nodeId) node = node.sibling;
    return node;
  }

  /** The nodes of a cluster, in no order. */
  ofCluster(clusterId: number): WalNodeLog[] {
    const found: WalNodeLog[] = [];
    let node = this.#byCluster.get(clusterId);
    for (; node !== undefined; node = node.sibling) found.push(node);
    return found;
  }

  /** The node, made if it is not there. */
  obtain(clusterId: number, nodeId: number): WalNodeLog {
    const first = this.#byCluster.get(clusterId);
    const node = this.find(clusterId, nodeId);
    if (node !== undefined) return node;
    const made = new WalNodeLog(this.#context, clusterId, nodeId);
    made.sibling = first;
    this.#byCluster.set(clusterId, made);
    this.#sorted.splice(this.placeOf(clusterId, nodeId), 0, made);
    return made;
  }

  /** Forgets a node and all of its data. */
  remove(node: WalNodeLog): void {
    node.clear();
    this.#sorted.splice(this.placeOf(node.clusterId, node.nodeId), 1);
    const first = this.#byCluster.get(node.clusterId);
    if (first !== node) {
      let before = first;
      while (before !== undefined && before.sibling !== node) {
        before = before.sibling;
      }
      if (before !== undefined) before.sibling = node.sibling;
    } else if (node.sibling === undefined) {
      this.#byCluster.delete(node.clusterId);
    } else {
      this.#byCluster.set(node.clusterId, node.sibling);
    }
    node.sibling = undefined;
  }

  /** Where in {@link all} the first node stands that has these ids or higher ones. */
  placeOf(clusterId: number, nodeId: number): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const node = this.#sorted[middle]!;
      const isBefore = node.clusterId < clusterId ||
        (node.clusterId === clusterId && node.nodeId < nodeId);
      if (isBefore) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
