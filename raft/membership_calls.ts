/**
 * What a NodeHost's callers ask of a cluster's membership. The changes themselves wait in the node's `changes.ts`; here
 * arguments are checked, and it is found out which NodeHost an address means: a member is a NodeHost, not an address
 * (rule I1).
 */
import { memberOf } from "./core/members.ts";
import type { ConfigChange, Membership } from "./core/types.ts";
import {
  requireNodeHostId,
  validateAddress,
  validateId,
} from "./validation.ts";
import type { WaitOptions } from "./config.ts";
import { RaftError } from "./errors.ts";
import type { HostRuntime } from "./host_runtime.ts";
import type { Node } from "./node.ts";

/** A member to add. */
export interface NodeToAdd {
  /** Its id, never used before in the cluster; or, for `addNode`, that of an observer to promote. */
  nodeId: number;
  /** `raftAddress` of the NodeHost that will carry it. */
  address: string;
  /** That NodeHost's id, if it is known already; without it the NodeHost at `address` is asked, so it must be open. */
  nodeHostId?: string;
  /** Apply only if the membership's `configChangeIndex` is still this. */
  expectedConfigChangeIndex?: number;
}

/** A member to remove. */
export interface NodeToRemove {
  /** Its id, which can never come back. */
  nodeId: number;
  /** Apply only if the membership's `configChangeIndex` is still this. */
  expectedConfigChangeIndex?: number;
}

/** How long a membership change may wait, and whether the leader may refuse it. */
export interface ChangeOptions extends WaitOptions {
  /**
   * For operators: make the change even though the leader has not lately heard from a majority of those who would vote
   * after it (rule C4). If they do not come back, the cluster stands still.
   */
  force?: boolean;
}

/** How long a call waits. */
export interface Wait {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number;
}

/** Checks what every change has in common. */
export function validateChange(
  clusterId: number,
  node: NodeToRemove,
  options: ChangeOptions | undefined,
): void {
  validateId("clusterId", clusterId);
  if (typeof node !== "object" || node === null) {
    throw new TypeError(
      "Cannot change the membership: the node must be an object",
    );
  }
  validateId("nodeId", node.nodeId);
  const expected = node.expectedConfigChangeIndex;
  if (expected !== undefined && expected !== 0) {
    validateId("expectedConfigChangeIndex", expected);
  }
  const force = options?.force;
  if (force !== undefined && typeof force !== "boolean") {
    throw new TypeError(
      `Cannot use force: it must be a boolean, got ${typeof force}`,
    );
  }
}

/** Checks an address and, where it is given, the NodeHost there. */
export function validateTarget(
  node: { address: string; nodeHostId?: string },
): void {
  validateAddress("address", node.address);
  const id = node.nodeHostId;
  if (id === undefined) return;
  if (typeof id !== "string") {
    throw new TypeError(
      `Cannot use nodeHostId: it must be a string, got ${typeof id}`,
    );
  }
  requireNodeHostId("nodeHostId", id);
}

/** Adds a member, or promotes an observer, and resolves with the membership that has it. */
export async function addMember(
  runtime: HostRuntime,
  clusterId: number,
  change:
    & NodeToAdd
    & Pick<ConfigChange, "type" | "force" | "whenCaughtUp">
    & { onRefusal?: (refusal: string) => void },
  wait: Wait,
): Promise<Membership> {
  runtime.requireOpen();
  const node = runtime.node(clusterId);
  const { clock } = runtime.ports;
  const deadline = clock.now() + wait.timeoutMs;
  const nodeHostId = change.nodeHostId ?? knownHost(node, change) ??
    await nodeHostIdAt(runtime, change.address, wait);
  const timeoutMs = Math.max(1, deadline - clock.now());
  const { onRefusal, ...rest } = change;
  return await node.change(
    {
      ...rest,
      nodeHostId,
      expectedConfigChangeIndex: change.expectedConfigChangeIndex,
    },
    { ...wait, timeoutMs },
    onRefusal,
  );
}

/** Removes a member of any kind, and resolves with the membership without it. */
export async function removeMember(
  runtime: HostRuntime,
  clusterId: number,
  change: NodeToRemove & Pick<ConfigChange, "force">,
  wait: Wait,
): Promise<Membership> {
  runtime.requireOpen();
  return await runtime.node(clusterId).change({
    ...change,
    type: "removeNode",
    address: "",
    nodeHostId: "",
    expectedConfigChangeIndex: change.expectedConfigChangeIndex,
  }, wait);
}

/** The NodeHost of a member that is to be promoted: it may have moved, so that nobody answers where the membership has it. */
function knownHost(node: Node, change: NodeToAdd): string | undefined {
  const { nodeId, address } = change;
  const member = memberOf(node.peer.membership(), nodeId);
  if (member === undefined || member.address !== address) return undefined;
  return node.routes.knownNodeHost(nodeId) || undefined;
}

/** The NodeHost that listens at `address`, if it can be reached soon: named in the change, it is known for ever (I1). */
async function nodeHostIdAt(
  runtime: HostRuntime,
  address: string,
  wait: Wait,
): Promise<string> {
  if (address === runtime.config.raftAddress) {
    return runtime.identity?.nodeHostId ?? "";
  }
  const link = runtime.links.linkTo(address);
  const { clock } = runtime.ports;
  const until = clock.now() + wait.timeoutMs;
  while (link.remote === undefined) {
    // What is sent to a link that is down is dropped, and makes it dial.
    if (!link.isUp) {
      link.send({ kind: "welcome", clusterId: 1, from: 1, to: 1 });
    }
    const leftMs = until - clock.now();
    if (leftMs <= 0) throw nobodyAt(runtime, address);
    const ms = Math.min(20, runtime.config.tickMs, leftMs);
    await runtime.pause(ms, wait.signal);
  }
  return link.remote.nodeHostId;
}

function nobodyAt(runtime: HostRuntime, address: string): RaftError {
  const trouble = runtime.troubleWith(address);
  return new RaftError(
    "timeout",
    `Cannot add a node at ${address}: no NodeHost answers there${
      trouble === "" ? "" : ` (${trouble})`
    }; open it first`,
  );
}
