/** Waiting until a node takes part in its cluster, and saying why it does not. */
import { allMembers } from "./core/members.ts";
import { RaftError } from "./errors.ts";
import type { HostRuntime } from "./host_runtime.ts";
import type { Node } from "./node.ts";

/** See `NodeHost.waitReady`. */
export async function waitReady(
  runtime: HostRuntime,
  node: Node,
  wait: {
    readonly signal: AbortSignal | undefined;
    readonly timeoutMs: number;
  },
): Promise<void> {
  const clock = runtime.ports.clock;
  const deadline = clock.now() + wait.timeoutMs;
  while (true) {
    wait.signal?.throwIfAborted();
    if (node.refusal !== undefined) throw node.refusal;
    const timeoutMs = Math.ceil(deadline - clock.now());
    if (timeoutMs <= 0) throw notReadyInTime(node, runtime);
    try {
      await node.ready({ ...wait, timeoutMs });
      if (!node.isNewcomer()) return;
    } catch (error) {
      const isPassing = error instanceof RaftError &&
        (error.code === "notReady" || error.code === "timeout");
      if (!isPassing) throw error;
    }
    // Whoever refuses this node may be wrong; but without a leader it is the reason.
    if (node.admission.refusal !== undefined) throw node.admission.refusal;
    const leftMs = Math.max(1, deadline - clock.now());
    const { tickMs } = runtime.config;
    await runtime.pause(Math.min(tickMs, leftMs), wait.signal);
  }
}

function notReadyInTime(node: Node, runtime: HostRuntime): RaftError {
  const missing = node.admission.missing();
  const members = allMembers(node.peer.membership());
  const describe = (nodeId: number) => {
    const address = node.routes.addressOf(nodeId);
    const trouble = address === undefined ? "" : runtime.troubleWith(address);
    return `node ${nodeId} at ${address}${
      trouble === "" ? "" : ` (${trouble})`
    }`;
  };
  const why = members.length === 0
    ? `no member has contacted node ${node.nodeId}: was it added by addNode, addObserver or addWitness on one of them?`
    : node.peer.isTakenForWitness()
    ? "it was added as a witness: stop it, and start it with witness: true and without a state machine"
    : missing.length > 0
    ? `its first start needs an answer of more members; none came from ${
      missing.map(describe).join(", ")
    }`
    : node.peer.leaderId === 0
    ? "it has no leader"
    : "its leader did not answer";
  return new RaftError(
    "timeout",
    `Cannot use cluster ${node.clusterId} in time: ${why}`,
  );
}
