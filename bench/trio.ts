/** Three NodeHosts with a number of clusters, and the check that nothing acknowledged was lost (rule F2). */
import { join } from "./deps.ts";
import { type CertificatePaths, makeCertificates } from "./certificates.ts";
import { HostProcess } from "./host_process.ts";
import type { MachineState } from "./machine.ts";
import type { Acknowledged, LoadReport, Usage } from "./protocol.ts";
import { freeAddresses, pause } from "./system.ts";

/** Node ids, which are the NodeHosts' numbers too. */
export const nodeIds: readonly number[] = [1, 2, 3];

/** What differs between modes. */
export interface TrioOptions {
  /** Clusters over the three. */
  readonly clusters: number;
  /** Entries between snapshots; undefined for the default. */
  readonly snapshotEntries: number | undefined;
  /** Length of a tick; undefined for the default. */
  readonly tickMs?: number;
  /** Whether the processes may force garbage collections. */
  readonly canCollect?: boolean;
  /** Whether they talk over mutual TLS. */
  readonly isSecure?: boolean;
  /** Whether their events are listened to and their metrics made. */
  readonly isObserved?: boolean;
}

/** Three NodeHost processes. */
export class Trio {
  readonly #dir: string;
  readonly #options: TrioOptions;
  readonly #members: Record<number, string> = {};
  readonly #hosts = new Map<number, HostProcess>();
  readonly #acknowledged = new Map<number, Acknowledged>();
  #unknown = 0;
  #certificates: CertificatePaths | undefined;

  private constructor(dir: string, options: TrioOptions) {
    this.#dir = dir;
    this.#options = options;
    const addresses = freeAddresses(nodeIds.length);
    nodeIds.forEach((nodeId, i) => this.#members[nodeId] = addresses[i]!);
  }

  /** Starts the processes, opens the NodeHosts in `dir` and starts the clusters. */
  static async start(dir: string, options: TrioOptions): Promise<Trio> {
    const trio = new Trio(dir, options);
    if (options.isSecure === true) {
      trio.#certificates = await makeCertificates(dir);
    }
    try {
      await trio.#startAll();
    } catch (error) {
      await trio.kill();
      throw error;
    }
    return trio;
  }

  /** Starts the processes and opens the NodeHosts in `dir`, without a cluster. */
  static async open(dir: string, options: TrioOptions): Promise<Trio> {
    const trio = new Trio(dir, options);
    try {
      await trio.#onEach((nodeId) => trio.#open(nodeId));
    } catch (error) {
      await trio.kill();
      throw error;
    }
    return trio;
  }

  /** Starts every cluster on every NodeHost at once; does not wait until they are ready. */
  async startIdle(isQuiet: boolean): Promise<void> {
    const { clusters } = this.#options;
    await this.#onEach((nodeId) =>
      this.host(nodeId).call("startIdle", {
        clusters,
        nodeId,
        members: this.#members,
        isQuiet,
      })
    );
  }

  /** How many clusters have a leader that knows it, on the NodeHosts that are up. */
  async ledCounts(): Promise<number[]> {
    return await Promise.all(
      [...this.#hosts].map(([nodeId, host]) => host.call("led", { nodeId })),
    );
  }

  /** How many nodes have not fallen quiet, on all NodeHosts together. */
  async awakeCount(): Promise<number> {
    const counts = await this.#onEach((nodeId) =>
      this.host(nodeId).call("awake", null)
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** The process of a node. */
  host(nodeId: number): HostProcess {
    const host = this.#hosts.get(nodeId);
    if (host === undefined) throw new Error(`NodeHost ${nodeId} is not up`);
    return host;
  }

  /** The folder of a node's NodeHost. */
  dirOf(nodeId: number): string {
    return join(this.#dir, `${nodeId}`);
  }

  /** What each process uses. */
  usage(options: { isCollecting?: boolean } = {}): Promise<Usage[]> {
    const isCollecting = options.isCollecting === true;
    return Promise.all(
      [...this.#hosts.values()].map((host) =>
        host.call("usage", { isCollecting })
      ),
    );
  }

  /** Each cluster's leader, from cluster 1 on, as the leaders themselves know it; 0 for none. */
  async leaders(): Promise<number[]> {
    const leaders = new Array<number>(this.#options.clusters).fill(0);
    await this.#onEach(async (nodeId) => {
      const seen = await this.host(nodeId).call("leaders", null);
      seen.forEach((leaderId, i) => {
        if (leaderId === nodeId) leaders[i] = nodeId;
      });
    });
    return leaders;
  }

  /** Spreads leadership evenly, cluster 1 to node 1 and so on, and returns the clusters that each node leads. */
  async placeLeaders(timeoutMs = 60_000): Promise<Map<number, number[]>> {
    const wanted = (i: number) => nodeIds[i % nodeIds.length]!;
    for (const end = performance.now() + timeoutMs; performance.now() < end;) {
      const leaders = await this.leaders();
      const wrong = leaders.flatMap((leader, i) =>
        leader === wanted(i) ? [] : [{ leader, i }]
      );
      if (wrong.length === 0) {
        return Map.groupBy(
          leaders.map((_, i) => i + 1),
          (clusterId) => wanted(clusterId - 1),
        );
      }
      await Promise.allSettled(
        wrong.filter(({ leader }) => leader !== 0).map(({ leader, i }) =>
          this.host(leader).call("transfer", {
            clusterId: i + 1,
            targetNodeId: wanted(i),
          })
        ),
      );
      await pause(20);
    }
    throw new Error("Cannot place the leaders: they do not stay");
  }

  /** Adds what a load had acknowledged to what the machines must hold. */
  account(report: LoadReport): void {
    for (const [id, { count, sum }] of Object.entries(report.acknowledged)) {
      const total = this.#acknowledged.get(Number(id)) ?? { count: 0, sum: 0 };
      total.count += count;
      total.sum = (total.sum + sum) | 0;
      this.#acknowledged.set(Number(id), total);
    }
    this.#unknown += report.unknown;
  }

  /** Acknowledged commands of one cluster. */
  acknowledgedCount(clusterId: number): number {
    return this.#acknowledged.get(clusterId)?.count ?? 0;
  }

  /**
   * Checks that the machines of each cluster agree, and hold every acknowledged command and, unless some had an
   * unknown outcome, nothing else.
   *
   * @throws {Error} naming the cluster and what differs.
   */
  async verify(): Promise<void> {
    const states = await this.#onEach((nodeId) =>
      this.host(nodeId).call("states", null)
    );
    for (let i = 0; i < this.#options.clusters; i++) {
      verifyCluster(
        i + 1,
        states.map((each) => each[i]!),
        this.#acknowledged.get(i + 1) ?? { count: 0, sum: 0 },
        this.#unknown,
      );
    }
  }

  /** Closes all three, starts them again on the same folders, and checks again. */
  async reopenAndVerify(): Promise<void> {
    await this.close();
    await this.#startAll();
    await this.verify();
  }

  /** Kills one without warning. */
  async killHost(nodeId: number): Promise<void> {
    await this.host(nodeId).kill();
    this.#hosts.delete(nodeId);
  }

  /** Starts a killed one on its folder, and waits until it is ready. */
  async startHost(nodeId: number): Promise<void> {
    await this.#open(nodeId);
    await this.#startClusters(nodeId);
  }

  /** Closes the NodeHosts and ends the processes. */
  async close(): Promise<void> {
    await this.#onEach((nodeId) => this.host(nodeId).call("close", null));
    await this.kill();
  }

  /** Ends all processes at once. */
  async kill(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.kill()));
    this.#hosts.clear();
  }

  async #startAll(): Promise<void> {
    await this.#onEach((nodeId) => this.#open(nodeId));
    await this.#onEach((nodeId) => this.#startClusters(nodeId));
  }

  async #open(nodeId: number): Promise<void> {
    const host = new HostProcess(`NodeHost ${nodeId}`, {
      canCollect: this.#options.canCollect === true,
    });
    this.#hosts.set(nodeId, host);
    await host.call("open", {
      dir: this.dirOf(nodeId),
      raftAddress: this.#members[nodeId]!,
      tickMs: this.#options.tickMs,
      tls: this.#certificates,
      isObserved: this.#options.isObserved === true,
    });
  }

  async #startClusters(nodeId: number): Promise<void> {
    await this.host(nodeId).call("start", {
      clusters: this.#options.clusters,
      nodeId,
      members: this.#members,
      snapshotEntries: this.#options.snapshotEntries,
    });
  }

  #onEach<T>(task: (nodeId: number) => Promise<T>): Promise<T[]> {
    return Promise.all(nodeIds.map(task));
  }
}

/**
 * Checks the states of one cluster's machines against what was acknowledged.
 *
 * @throws {Error} naming the cluster and what differs.
 */
export function verifyCluster(
  clusterId: number,
  states: readonly MachineState[],
  acknowledged: Acknowledged,
  unknown: number,
): void {
  const [first] = states;
  if (first === undefined) throw new Error("Cannot verify: there is no state");
  const text = JSON.stringify(states);
  for (const state of states) {
    if (state.count !== first.count || state.order !== first.order) {
      throw new Error(`Machines of cluster ${clusterId} differ: ${text}`);
    }
  }
  const extra = first.count - acknowledged.count;
  const isExact = unknown > 0 || first.sum === acknowledged.sum;
  if (extra < 0 || extra > unknown || !isExact) {
    throw new Error(
      `Machines of cluster ${clusterId} do not hold the ${acknowledged.count} acknowledged commands ` +
        `(sum ${acknowledged.sum}; ${unknown} more may have been applied): ${text}`,
    );
  }
}
