/** A NodeHost as masters see it: reports, and does what it is asked to with the client's own code. */
import type {
  ClusterInfo,
  NodeHostInfo,
  ReportReply,
} from "../../master/protocol.ts";
import {
  type ChangeRequest,
  RequestRunner,
  type RequestTarget,
  type StartRequest,
} from "../../master/request_runner.ts";
import { RaftError } from "../../raft/errors.ts";
import { FakeCluster, type FakeNodes } from "./fake_cluster.ts";

/** What the hosts of a world share. */
export interface FakeWorld extends FakeNodes {
  readonly clusters: Map<number, FakeCluster>;
  now(): number;
}

interface FakeNode {
  readonly nodeId: number;
  /** Place in the cluster's history up to which it has applied; -1: nothing yet. */
  applied: number;
  startedAtMs: number;
}

/** One NodeHost. Its nodes survive a restart unless its disk is lost. */
export class FakeHost implements RequestTarget {
  isUp = true;
  boot = 1;
  seq = 0;
  /** Nodes that run, by cluster. */
  readonly nodes = new Map<number, FakeNode>();
  /** Nodes that its disk knows, by cluster. */
  readonly disk = new Map<number, FakeNode>();
  runner: RequestRunner;
  /** It is asked to start nodes, and cannot. */
  cannotStart = false;
  /** Milliseconds that a node needs to catch up. */
  catchUpMs = 300;
  readonly #world: FakeWorld;

  /** An empty one. */
  constructor(
    readonly id: string,
    readonly address: string,
    readonly region: string,
    world: FakeWorld,
    readonly apps: string[] = ["kv"],
  ) {
    this.#world = world;
    this.runner = new RequestRunner(this, () => world.now());
  }

  /** The process ends. */
  crash(): void {
    this.isUp = false;
    this.nodes.clear();
    this.runner = new RequestRunner(this, () => this.#world.now());
  }

  /** It is opened again, and starts what its disk knows (I5). */
  restart(): void {
    this.isUp = true;
    this.boot++;
    this.seq = 0;
    for (const [clusterId, node] of this.disk) {
      this.nodes.set(clusterId, { ...node, startedAtMs: this.#world.now() });
    }
  }

  /** The next report. */
  report(): NodeHostInfo {
    const clusterInfoList: ClusterInfo[] = [];
    for (const [clusterId, node] of [...this.nodes].sort(([a], [b]) => a - b)) {
      const cluster = this.#world.clusters.get(clusterId)!;
      this.#advance(cluster, node);
      if (this.nodes.has(clusterId)) {
        clusterInfoList.push(this.#infoOf(cluster, node));
      }
    }
    return {
      nodeHostId: this.id,
      nodeHostAddress: this.address,
      nodeHostApiAddress: "",
      region: this.region,
      clusterInfoList,
      clusterIdList: clusterInfoList.map(({ clusterId }) => clusterId),
      logInfoIncluded: false,
      logInfo: [],
      boot: this.boot,
      seq: ++this.seq,
      apps: this.apps,
      acknowledgements: this.runner.acknowledgements(),
      ...(this.runner.epoch === undefined ? {} : { epoch: this.runner.epoch }),
    };
  }

  /** The reply to `info` arrived. */
  async receive(info: NodeHostInfo, reply: ReportReply): Promise<void> {
    this.runner.told(info.acknowledgements ?? []);
    this.runner.receive(reply);
    await this.runner.run();
  }

  /** A node learns of its cluster's changes some time after they happened, and of its removal not at all if it sleeps. */
  #advance(cluster: FakeCluster, node: FakeNode): void {
    const age = this.#world.now() - node.startedAtMs;
    if (age < this.catchUpMs || cluster.elect() === 0) return;
    const { membership } = cluster;
    const isMember = membership.voters.has(node.nodeId) ||
      membership.observers.has(node.nodeId);
    if (isMember) node.applied = cluster.history.length - 1;
  }

  #infoOf(cluster: FakeCluster, node: FakeNode): ClusterInfo {
    const known = cluster.history[node.applied];
    const isMember = cluster.membership.voters.has(node.nodeId) ||
      cluster.membership.observers.has(node.nodeId);
    return {
      clusterId: cluster.clusterId,
      nodeId: node.nodeId,
      isLeader: cluster.leader === node.nodeId,
      nodes: Object.fromEntries(known?.voters ?? []),
      observers: Object.fromEntries(known?.observers ?? []),
      configChangeIndex: known?.cci ?? 0,
      pending: known === undefined,
      incomplete: false,
      isLagging: known === undefined || !isMember ||
        cluster.elect() === 0,
      areObserversReady: this.#areReady(cluster),
    };
  }

  #areReady(cluster: FakeCluster): boolean {
    const { observers } = cluster.membership;
    return observers.size > 0 &&
      [...observers.keys()].every((id) =>
        this.#world.isRunning(cluster.clusterId, id)
      );
  }

  // ---- What masters ask for ----

  /** See {@link RequestTarget}. */
  start(request: StartRequest): Promise<void> {
    this.#requireUp();
    if (this.cannotStart) throw new RaftError("diskFull", "Cannot: no space");
    const { clusterId, nodeId, initialMembers, join = false } = request;
    const known = this.disk.get(clusterId);
    const { clusters } = this.#world;
    const running = this.nodes.get(clusterId);
    if (running?.nodeId === nodeId) return Promise.resolve();
    if (running !== undefined) {
      throw new RaftError("clusterExists", "Cannot: another node runs here");
    }
    if (initialMembers !== undefined) {
      if (known !== undefined && known.nodeId !== nodeId) {
        throw new RaftError("rejected", "Cannot: another node has data here");
      }
      if (!clusters.has(clusterId)) {
        const made = new FakeCluster(clusterId, initialMembers, this.#world);
        clusters.set(clusterId, made);
      }
      const [first] = clusters.get(clusterId)!.history;
      const map = JSON.stringify([...first!.voters]);
      const same = Object.entries(initialMembers).map((
        [id, a],
      ) => [Number(id), a]);
      if (map !== JSON.stringify(same)) {
        throw new RaftError("rejected", "Cannot: another map of members");
      }
    } else if (!join && known?.nodeId !== nodeId) {
      throw new RaftError("notBootstrapped", "Cannot: no data here");
    }
    if (clusters.get(clusterId)?.removed.has(nodeId) === true) {
      throw new RaftError("nodeRemoved", "Cannot: it was removed");
    }
    const node = { nodeId, applied: -1, startedAtMs: this.#world.now() };
    this.nodes.set(clusterId, node);
    this.disk.set(clusterId, node);
    return Promise.resolve();
  }

  /** See {@link RequestTarget}. */
  kill(clusterId: number, nodeId: number): Promise<void> {
    this.#requireUp();
    if (this.disk.get(clusterId)?.nodeId === nodeId) {
      this.nodes.delete(clusterId);
      this.disk.delete(clusterId);
    }
    return Promise.resolve();
  }

  /** See {@link RequestTarget}. */
  addObserver(change: ChangeRequest & { address: string }): Promise<void> {
    return this.#change(change, (voters, observers) => {
      if (!voters.has(change.nodeId)) {
        observers.set(change.nodeId, change.address);
      }
    });
  }

  /** See {@link RequestTarget}. */
  promote(change: ChangeRequest): Promise<void> {
    return this.#change(change, (voters, observers) => {
      const address = observers.get(change.nodeId);
      if (address === undefined) {
        throw new RaftError("rejected", "Cannot: no observer");
      }
      observers.delete(change.nodeId);
      voters.set(change.nodeId, address);
    });
  }

  /** See {@link RequestTarget}. */
  remove(change: ChangeRequest): Promise<void> {
    return this.#change(change, (voters, observers) => {
      voters.delete(change.nodeId);
      observers.delete(change.nodeId);
    });
  }

  /** See {@link RequestTarget}. */
  transfer(
    { clusterId, nodeId, target }: {
      clusterId: number;
      nodeId: number;
      target: number;
    },
  ): Promise<void> {
    this.#requireUp();
    const cluster = this.#world.clusters.get(clusterId);
    if (cluster?.elect() === nodeId) cluster.transfer(target);
    return Promise.resolve();
  }

  #change(
    { clusterId, expectedConfigChangeIndex }: ChangeRequest,
    edit: Parameters<FakeCluster["change"]>[1],
  ): Promise<void> {
    this.#requireUp();
    const cluster = this.#world.clusters.get(clusterId);
    if (cluster === undefined || !this.nodes.has(clusterId)) {
      throw new RaftError("clusterNotFound", "Cannot: it is not here");
    }
    cluster.change(expectedConfigChangeIndex, edit);
    return Promise.resolve();
  }

  #requireUp(): void {
    if (!this.isUp) {
      throw new RaftError("closed", "Cannot: the NodeHost is down");
    }
  }
}
