/** How a NodeHost does what masters ask for. Every call is idempotent by its effect. */
import { RaftError } from "../raft/errors.ts";
import type { NodeHost } from "../raft/nodehost.ts";
import type { NodeInfo } from "./protocol.ts";
import { clusterConfigFields } from "./cluster_config.ts";
import type {
  AdditionRequest,
  ChangeRequest,
  RequestTarget,
  StartRequest,
} from "./request_runner.ts";

/** What was stopped is kept for so long before its data is removed: whoever told to stop it may have been wrong. */
export const defaultRetentionMs = 24 * 3_600_000;

/** A node that was stopped because a master said so. */
interface Stopped {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly atMs: number;
}

/** A NodeHost that masters may tell what to do. */
export class NodeHostTarget implements RequestTarget {
  readonly #host: NodeHost;
  readonly #now: () => number;
  readonly #retentionMs: number;
  /** Nodes whose data will be removed. One that starts again with its NodeHost is stopped, and kept, once more. */
  #stopped: Stopped[] = [];

  /** Works on `host`. */
  constructor(
    host: NodeHost,
    now: () => number,
    retentionMs: number = defaultRetentionMs,
  ) {
    this.#host = host;
    this.#now = now;
    this.#retentionMs = retentionMs;
  }

  /** See {@link RequestTarget}. */
  async start(request: StartRequest): Promise<void> {
    const { clusterId, nodeId, app, config, initialMembers, join } = request;
    const known = Object.entries(config)
      .filter(([name]) => clusterConfigFields.has(name));
    try {
      await this.#host.startCluster({
        ...Object.fromEntries(known),
        clusterId,
        nodeId,
        stateMachine: app,
        ...(initialMembers === undefined ? {} : { initialMembers }),
        ...(join === true ? { join } : {}),
      });
    } catch (error) {
      if (!isCode(error, "clusterExists")) throw error;
      if (this.#runningNode(clusterId) !== nodeId) throw error;
    }
  }

  /** See {@link RequestTarget}. Its data goes later: see {@link removeOld}. */
  async kill(clusterId: number, nodeId: number): Promise<void> {
    if (this.#runningNode(clusterId) !== nodeId) return;
    await this.#host.stopCluster(clusterId);
    this.#stopped.push({ clusterId, nodeId, atMs: this.#now() });
  }

  /** Whether the data of a node waits to be removed. */
  isWaiting({ clusterId, nodeId }: NodeInfo): boolean {
    return this.#stopped.some((one) =>
      one.clusterId === clusterId && one.nodeId === nodeId
    );
  }

  /** Nodes that masters say are no members any more, for good: their data goes as that of a node that was killed. */
  async forget(nodes: readonly NodeInfo[]): Promise<void> {
    const { clusters } = this.#host.info();
    for (const { clusterId, nodeId } of nodes) {
      const here = clusters.find((one) =>
        one.clusterId === clusterId && one.nodeId === nodeId
      );
      // It runs: then it is no leftover, and masters will ask to stop it if they know better.
      if (here !== undefined && here.failure === undefined) continue;
      if (this.isWaiting({ clusterId, nodeId })) continue;
      this.#stopped.push({ clusterId, nodeId, atMs: this.#now() });
      if (here !== undefined) await this.#stop(clusterId);
    }
  }

  async #stop(clusterId: number): Promise<void> {
    try {
      await this.#host.stopCluster(clusterId);
    } catch (error) {
      if (!isCode(error, "clusterNotFound")) throw error;
    }
  }

  /** Removes the data of nodes that were stopped long ago. */
  async removeOld(): Promise<void> {
    const now = this.#now();
    const isOld = ({ atMs }: Stopped) => now - atMs >= this.#retentionMs;
    const old = this.#stopped.filter(isOld);
    if (old.length === 0) return;
    this.#stopped = this.#stopped.filter((one) => !isOld(one));
    for (const { clusterId, nodeId } of old) {
      try {
        await this.#host.removeData(clusterId, nodeId);
      } catch (error) {
        // Gone already, or started again: then it is stopped once more.
        if (!isCode(error, "clusterNotFound") && !isCode(error, "rejected")) {
          throw error;
        }
      }
    }
  }

  /** See {@link RequestTarget}. */
  async addObserver(change: AdditionRequest): Promise<void> {
    await this.#host.addObserver(change.clusterId, withoutCluster(change));
  }

  /** See {@link RequestTarget}. */
  async promote(change: AdditionRequest): Promise<void> {
    await this.#host.addNode(change.clusterId, withoutCluster(change));
  }

  /** See {@link RequestTarget}. */
  async remove(change: ChangeRequest): Promise<void> {
    const { clusterId, nodeId, expectedConfigChangeIndex } = change;
    await this.#host.removeNode(clusterId, {
      nodeId,
      expectedConfigChangeIndex,
    });
  }

  /** See {@link RequestTarget}. */
  async transfer(
    { clusterId, nodeId, target }: {
      clusterId: number;
      nodeId: number;
      target: number;
    },
  ): Promise<void> {
    if (this.#host.getLeader(clusterId).leaderId !== nodeId) return;
    await this.#host.transferLeadership(clusterId, target);
  }

  #runningNode(clusterId: number): number | undefined {
    return this.#host.info().clusters
      .find((cluster) => cluster.clusterId === clusterId)?.nodeId;
  }
}

function withoutCluster(
  { nodeId, address, nodeHostId, expectedConfigChangeIndex }: AdditionRequest,
): {
  nodeId: number;
  address: string;
  nodeHostId?: string;
  expectedConfigChangeIndex: number;
} {
  return {
    nodeId,
    address,
    expectedConfigChangeIndex,
    ...(nodeHostId === "" ? {} : { nodeHostId }),
  };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof RaftError && error.code === code;
}
