/** Where leaders are: NodeHosts spread them among themselves, and one that closes hands over its own. */
import type { ResolvedNodeHostConfig } from "./config.ts";
import type { Node } from "./node.ts";
import type { Counters } from "./metrics/counters.ts";
import type { Logger } from "./ports.ts";
import { isEven, planSpread, SpreadMemory } from "./spread.ts";
import type { SpreadCluster } from "./spread.ts";

/** Milliseconds between two rounds while there is something to move, and while there is not. */
const busyMs = 1_000;
const restMs = 5_000;
/**
 * Milliseconds after which whoever was found behind is looked at once more. Under load a healthy member is behind at
 * any moment, by what is on its way; it is up to date if it holds what had been committed a moment ago.
 */
const momentMs = 200;
/** While nothing has changed since all was even, only every so many looks are taken: they cost what clusters there are. */
const looksPassedOver = 12;
/** A NodeHost that was linked for less time than this, in election timeouts, is given nothing. */
const steadyElections = 3;

/** What a {@link LeaderSpread} looks at. */
export interface SpreadSurroundings {
  /** This NodeHost's address. */
  readonly self: string;
  /** Length of a tick. */
  readonly tickMs: number;
  readonly logger: Logger;
  /** What is counted. */
  readonly counters: Counters;
  /** Every node, by cluster id. */
  nodes(): readonly Node[];
}

/** Moves leaders from here to NodeHosts that have fewer, a few in a second at most. */
export class LeaderSpread {
  readonly #surroundings: SpreadSurroundings;
  readonly #memory = new SpreadMemory();
  /** Since which tick each address has been linked. */
  readonly #linkedSince = new Map<string, number>();
  #nextLook: number;
  #now = 0;
  /** What {@link #changes} was when all was even; -1: it was not. */
  #evenAt = -1;
  #passedOver = 0;
  /** What clusters had committed when the member that was to get them was behind: there is a second look at these. */
  readonly #committed = new Map<number, number>();

  /** Looks for the first time when links had time to come up. */
  constructor(surroundings: SpreadSurroundings) {
    this.#surroundings = surroundings;
    this.#nextLook = this.#ticks(restMs);
  }

  /** The link to an address is up. */
  linkUp(address: string): void {
    this.#linkedSince.set(address, this.#now);
  }

  /** It is down. */
  linkDown(address: string): void {
    this.#linkedSince.delete(address);
  }

  /** So many ticks have passed since the NodeHost opened. */
  tick(now: number): void {
    this.#now = now;
    if (now < this.#nextLook) return;
    const isSame = this.#evenAt === this.#changes;
    this.#passedOver = isSame ? this.#passedOver + 1 : 0;
    const mayPass = isSame && this.#passedOver % looksPassedOver !== 0;
    if (this.#committed.size === 0) this.#memory.nextRound();
    this.#nextLook = now + this.#ticks(mayPass ? restMs : this.#spread());
  }

  /** Grows with whatever may make it uneven, but for nodes that stop. */
  get #changes(): number {
    const { leaderChanges, membershipChanges, nodesStarted } =
      this.#surroundings.counters;
    return leaderChanges + membershipChanges + nodesStarted;
  }

  #ticks(ms: number): number {
    return Math.max(1, Math.ceil(ms / this.#surroundings.tickMs));
  }

  /** Hands over what is too much here; returns in how many milliseconds to look again. */
  #spread(): number {
    const { self, logger } = this.#surroundings;
    const changes = this.#changes;
    const nodes = this.#surroundings.nodes().filter((node) =>
      node.refusal === undefined
    );
    const byCluster = new Map(nodes.map((node) => [node.clusterId, node]));
    const clusters = nodes.map((node) => describe(self, node));
    this.#evenAt = isEven(self, clusters) ? changes : -1;
    const behind: Node[] = [];
    const moves = planSpread(self, clusters, (clusterId, to) => {
      if (!this.#memory.mayMove(clusterId)) return false;
      const node = byCluster.get(clusterId)!;
      const target = this.#targetIn(node, to);
      if (target === "behind") behind.push(node);
      return typeof target === "number";
    });
    for (const { clusterId, to } of moves) {
      const node = byCluster.get(clusterId)!;
      const target = this.#targetIn(node, to) as number;
      if (node.peer.transferLeadership(target) !== "started") continue;
      this.#memory.moved(clusterId);
      node.schedule();
      logger.debug("leadership is spread", { clusterId, to });
    }
    const isFirstLook = this.#committed.size === 0;
    this.#committed.clear();
    if (moves.length > 0) return busyMs;
    if (behind.length === 0) return restMs;
    if (!isFirstLook) return busyMs;
    for (const { clusterId, peer } of behind) {
      this.#committed.set(clusterId, peer.commit);
    }
    return momentMs;
  }

  /**
   * The voter at an address, if it can take over soon; `"behind"` if it may be able to in a while; else undefined. It
   * need not hold the whole log, which under load nobody does: a transfer waits for the rest, and takes no proposals
   * meanwhile, so that the rest is what is on its way.
   */
  #targetIn(node: Node, address: string): number | "behind" | undefined {
    const since = this.#linkedSince.get(address);
    if (since === undefined) return undefined;
    const steadyTicks = steadyElections * node.config.electionTimeoutTicks;
    if (this.#now - since < steadyTicks) return "behind";
    const [nodeId] = node.routes.membersAt(address);
    const member = node.peer.progress().find((one) => one.nodeId === nodeId);
    const isThere = member?.kind === "voter" && member.isActive &&
      node.routes.isReachable(member.nodeId);
    if (!isThere) return undefined;
    const committed = this.#committed.get(node.clusterId) ?? node.peer.commit;
    const isFit = member.state === "replicate" && member.match >= committed;
    return isFit ? member.nodeId : "behind";
  }
}

/** What spreads leaders, unless it is turned off; with a master, where they are is its matter (rule M14). */
export function makeSpread(
  host: {
    readonly config: ResolvedNodeHostConfig;
    readonly counters: Counters;
    sortedNodes(): readonly Node[];
  },
  logger: Logger,
): LeaderSpread | undefined {
  const { config, counters } = host;
  const { spreadLeaders, masterServers, raftAddress, tickMs } = config;
  if (!spreadLeaders || masterServers.length > 0) return undefined;
  return new LeaderSpread({
    self: raftAddress,
    tickMs,
    logger,
    counters,
    nodes: () => host.sortedNodes(),
  });
}

function describe(self: string, node: Node): SpreadCluster {
  const { clusterId, nodeId, peer } = node;
  const { leaderId } = peer;
  const others: string[] = [];
  let leader = leaderId === nodeId ? self : "";
  for (const member of peer.membership().members) {
    if (member.nodeId === nodeId) continue;
    const address = node.routes.addressOf(member.nodeId) ?? member.address;
    others.push(address);
    if (member.nodeId === leaderId) leader = address;
  }
  return { clusterId, leader, others };
}

/**
 * Gives leadership to members that were heard, and waits for them to take it. Who has just begun to lead has heard
 * nobody yet, and listens first, for an election timeout at most; taking over may then last as long again.
 */
export async function handOver(
  nodes: readonly Node[],
  pauseTick: () => Promise<void>,
): Promise<void> {
  let leading = nodes;
  for (let tick = 0;; tick++) {
    leading = leading.filter((node) => isToHandOver(node, tick));
    if (leading.length === 0) return;
    await pauseTick();
  }
}

/** Begins to hand over if that can be done; false if there is nothing to wait for. */
function isToHandOver(node: Node, tick: number): boolean {
  if (node.failure !== undefined || !node.peer.isLeader()) return false;
  const { electionTimeoutTicks } = node.config;
  if (node.peer.status().transferTarget !== 0) {
    return tick < 2 * electionTimeoutTicks;
  }
  if (tick >= electionTimeoutTicks) return false;
  const others = node.peer.progress().filter((other) =>
    other.kind === "voter" && other.nodeId !== node.nodeId &&
    node.routes.isReachable(other.nodeId)
  );
  const [target] = others.filter((other) => other.isActive)
    .sort((a, b) => b.match - a.match || a.nodeId - b.nodeId);
  if (target === undefined) return others.length > 0;
  if (node.peer.transferLeadership(target.nodeId) !== "started") return false;
  node.schedule();
  return true;
}
