/**
 * What a membership means for the node that applied it (rules C4, I1): who carries which member is recorded, and a node
 * that is no longer one leaves. It does not simply stop: those who have not yet learnt that its removal is committed
 * still count it, and might find no quorum without its vote. So it goes on voting and storing, refuses callers, and
 * stops when another member tells it that it was removed.
 */
import { assert } from "./core/assert.ts";
import { allMembers, memberKindOf, memberOf } from "./core/members.ts";
import { decideChange } from "./core/membership.ts";
import { decodeConfigChange } from "./core/membership_format.ts";
import type { Membership } from "./core/types.ts";
import type { Peer } from "./core/peer.ts";
import type { Admission } from "./admission.ts";
import type { ChangeTable } from "./changes.ts";
import { proposerKey } from "./entries.ts";
import { RaftError } from "./errors.ts";
import type { NodeEvents } from "./node_events.ts";
import type { Logger } from "./ports.ts";
import type { Routes } from "./routes.ts";
import type { Bootstrap } from "../storage/log_store.ts";
import type { HostIdentity } from "./transport/link_pool.ts";

/** What a {@link MembershipWatch} needs of its node. */
export interface WatchOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly proposer: number;
  readonly self: HostIdentity;
  readonly peer: Peer;
  readonly routes: Routes;
  readonly admission: Admission;
  readonly config: {
    readonly electionTimeoutTicks: number;
    readonly witness: boolean;
  };
  readonly host: { readonly logger: Logger };
  readonly events: NodeEvents;
  bootstrap(): Bootstrap;
  saveBootstrap(bootstrap: Bootstrap, done: () => void): void;
  /** Ends what callers wait for, with `reason`. */
  endRequests(reason: RaftError): void;
  schedule(): void;
}

/** The membership of one node, as it changes. */
export class MembershipWatch {
  /** Why callers are refused though the node runs: it was removed, and is about to go. */
  leaving: RaftError | undefined;
  /** Whether a member may have to be identified, if this node leads. */
  wantsIdentify = true;
  readonly #node: WatchOwner;
  readonly #changes: ChangeTable;
  #ticks = 0;

  /** Nothing has changed yet. */
  constructor(node: WatchOwner, changes: ChangeTable) {
    this.#node = node;
    this.#changes = changes;
  }

  /** Decides about a committed change, and follows it. */
  apply(
    command: Uint8Array,
    index: number,
    key: { proposer: number; counter: number },
  ): void {
    const { peer, routes, proposer } = this.#node;
    const change = decodeConfigChange(command);
    assert(change !== undefined, "a committed membership change must decode");
    const decision = decideChange(peer.membership(), change, index);
    peer.applyMembership(decision.membership);
    routes.setMembership(decision.membership);
    if (decision.accepted) {
      this.#node.events.membershipChanged(decision.membership);
    }
    if (key.proposer === proposer) this.#changes.decided(key.counter, decision);
    this.wantsIdentify = true;
    if (change.type === "removeNode" && decision.accepted) {
      // The commit index that this rests on was written before, without a sync of its own; with this one it is durable.
      const { removed } = decision.membership;
      this.#node.saveBootstrap(
        this.#node.bootstrap(),
        () => routes.removedForGood(removed),
      );
    }
    this.follow(decision.membership);
  }

  /**
   * The membership was changed by an entry or a snapshot: is this node still in it, and on this NodeHost?
   *
   * @throws {RaftError} `rejected` if the node belongs to another NodeHost.
   */
  follow(membership: Membership): void {
    const { clusterId, nodeId, self, admission } = this.#node;
    if (membership.removed.includes(nodeId)) return this.#leave();
    this.#checkKind(membership);
    const owner = memberOf(membership, nodeId)?.nodeHostId ?? "";
    if (owner !== "" && owner !== self.nodeHostId) {
      throw new RaftError(
        "rejected",
        `Cannot run node ${nodeId} of cluster ${clusterId} here: it belongs to NodeHost ${owner}; remove it and ` +
          `add a new node id`,
      );
    }
    admission.membershipChanged(membership);
  }

  /** A witness holds nothing that a voter needs, and a voter's state machine would starve as a witness (rule C9). */
  #checkKind(membership: Membership): void {
    const { clusterId, nodeId, config } = this.#node;
    const kind = memberKindOf(membership, nodeId);
    if (kind === undefined || (kind === "witness") === config.witness) return;
    throw new RaftError(
      "rejected",
      config.witness
        ? `Cannot run node ${nodeId} of cluster ${clusterId} as a witness: it was added as ${
          kind === "voter" ? "a voter" : "an observer"
        }; remove it, and add another id with addWitness`
        : `Cannot run node ${nodeId} of cluster ${clusterId} with a state machine: it was added as a witness, start it ` +
          `with witness: true`,
    );
  }

  /** Records which NodeHost carries each member (rule I1). Only the leader can. */
  identify(): void {
    const { peer, routes, nodeId, self } = this.#node;
    if (!this.wantsIdentify || !peer.isLeader()) return;
    let isComplete = true;
    for (const member of allMembers(peer.membership())) {
      if (member.nodeHostId !== "") continue;
      const nodeHostId = member.nodeId === nodeId
        ? self.nodeHostId
        : routes.knownNodeHost(member.nodeId);
      if (nodeHostId === "") continue; // Not heard from yet; asked again when its link comes up.
      isComplete = false;
      const taken = peer.proposeChange({
        type: "identify",
        nodeId: member.nodeId,
        address: "",
        nodeHostId,
        expectedConfigChangeIndex: undefined,
      }, proposerKey(0, 0));
      if (typeof taken === "string") break; // Tried again at the next turn.
    }
    if (isComplete) this.wantsIdentify = false;
  }

  /** One tick has passed: a node that leaves, or that hears no leader and would never campaign, asks from time to time. */
  tick(): void {
    if (this.leaving === undefined && !this.#isForsaken()) return;
    const { config, nodeId, peer, routes } = this.#node;
    if (this.#ticks++ % config.electionTimeoutTicks !== 0) return;
    for (const member of allMembers(peer.membership())) {
      if (member.nodeId !== nodeId) routes.hello(member.nodeId, true);
    }
    this.#node.schedule();
  }

  /**
   * Whether this node may have been removed without a word: who leads no longer speaks to it, and an observer or a
   * witness does not ask for votes, by which a voter would be told.
   */
  #isForsaken(): boolean {
    const { peer } = this.#node;
    if (peer.leaderId !== 0) return false;
    const kind = peer.memberKind();
    return kind === "observer" || kind === "witness";
  }

  #leave(): void {
    if (this.leaving !== undefined) return;
    const { clusterId, nodeId, host } = this.#node;
    host.logger.info("a node was removed from its cluster", {
      clusterId,
      nodeId,
    });
    this.leaving = removedError(clusterId, nodeId);
    this.#node.endRequests(this.leaving);
    this.#node.events.removed();
  }
}

/** Why a removed node is of no use. */
export function removedError(clusterId: number, nodeId: number): RaftError {
  return new RaftError(
    "nodeRemoved",
    `Cannot use cluster ${clusterId} here: node ${nodeId} was removed from it`,
  );
}
