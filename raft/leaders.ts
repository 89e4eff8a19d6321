/** Where leaders are: a NodeHost that closes hands them over. */
import type { Node } from "./node.ts";

/** Gives leadership to members that are up to date, and waits at most an election timeout for them to take it. */
export async function handOver(
  nodes: readonly Node[],
  pauseTick: () => Promise<void>,
): Promise<void> {
  const leading = nodes.filter((node) =>
    node.failure === undefined && node.peer.isLeader()
  );
  let ticks = 0;
  for (const node of leading) {
    const target = node.peer.progress()
      .filter((other) =>
        other.kind === "voter" && other.isActive &&
        other.nodeId !== node.nodeId && node.routes.isReachable(other.nodeId)
      )
      .sort((a, b) => b.match - a.match || a.nodeId - b.nodeId)[0];
    if (target === undefined) continue;
    if (node.peer.transferLeadership(target.nodeId) !== "started") continue;
    ticks = Math.max(ticks, node.config.electionTimeoutTicks);
    node.schedule();
  }
  const isLeading = (node: Node) =>
    node.failure === undefined && node.peer.isLeader() &&
    node.peer.status().transferTarget !== 0;
  for (; ticks > 0 && leading.some(isLeading); ticks--) await pauseTick();
}
