/** How a NodeHost does what masters ask for. Every call is idempotent by its effect. */
import { RaftError } from "../raft/errors.ts";
import type { NodeHost } from "../raft/nodehost.ts";
import { clusterConfigFields } from "./cluster_config.ts";
import type {
  AdditionRequest,
  ChangeRequest,
  RequestTarget,
  StartRequest,
} from "./request_runner.ts";

/** A NodeHost that masters may tell what to do. */
export class NodeHostTarget implements RequestTarget {
  readonly #host: NodeHost;

  /** Works on `host`. */
  constructor(host: NodeHost) {
    this.#host = host;
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

  /** See {@link RequestTarget}. What it leaves on disk is known to be of no member any more. */
  async kill(clusterId: number, nodeId: number): Promise<void> {
    if (this.#runningNode(clusterId) !== nodeId) return;
    await this.#host.stopCluster(clusterId);
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
