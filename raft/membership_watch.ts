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
import type { Identification, Membership } from "./core/types.ts";
import type { Peer } from "./core/peer.ts";
import type { Admission } from "./admission.ts";
import type { ChangeTable } from "./changes.ts";
import { proposerKey } from "./entries.ts";
import { RaftError } from "./errors.ts";
import type { NodeEvents } from "./node_events.ts";
import type { Logger } from "./ports.ts";
import type { Routes } from "./routes.ts";
import type { MemberVersions } from "./versions.ts";
import type { Bootstrap } from "../storage/log_store.ts";
import type { HostIdentity } from "./transport/link_pool.ts";

/** No caller waits for what the leader does of its own accord. */
const nobodysKey = proposerKey(0, 0);

/** What a {@link MembershipWatch} needs of its node. */
export interface WatchOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly proposer: number;
  readonly self: HostIdentity;
  readonly peer: Peer;
  readonly routes: Routes;
  readonly admission: Admission;
  readonly versions: MemberVersions;
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
  /** Ticks for which this node wanted to identify members as their leader. */
  #waitedTicks = 0;

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

  /**
   * Records which NodeHost carries each member (rule I1). Only the leader can. One entry names all that it has heard from,
   * if every member reads such an entry (rule I6); else it takes one for each, so those that were not heard yet are waited
   * for, an election timeout at most.
   */
  identify(): void {
    const { peer, versions, config } = this.#node;
    if (!this.wantsIdentify || !peer.canChange()) return;
    const [first, ...also] = this.#unnamed();
    if (first === undefined) {
      this.wantsIdentify = false;
      return;
    }
    const isPatient = this.#waitedTicks < config.electionTimeoutTicks;
    if (isPatient && !versions.isNewest && !versions.knowsAll) return;
    // If it is not taken now, the next turn tries again.
    peer.proposeChange({
      type: "identify",
      nodeId: first.nodeId,
      address: "",
      nodeHostId: first.nodeHostId,
      expectedConfigChangeIndex: undefined,
      ...(also.length > 0 && versions.isNewest ? { also } : {}),
    }, nobodysKey);
  }

  /** Members whose NodeHost the membership does not name, and this node knows. */
  #unnamed(): Identification[] {
    const { peer, routes, nodeId, self } = this.#node;
    const found: Identification[] = [];
    for (const member of allMembers(peer.membership())) {
      if (member.nodeHostId !== "") continue;
      const nodeHostId = member.nodeId === nodeId
        ? self.nodeHostId
        : routes.knownNodeHost(member.nodeId);
      if (nodeHostId === "") continue; // Not heard from yet; asked again when its link comes up.
      found.push({ nodeId: member.nodeId, nodeHostId });
    }
    return found.sort((a, b) => a.nodeId - b.nodeId);
  }

  /** One tick has passed: a node that leaves, or that hears no leader and would never campaign, asks from time to time. */
  tick(): void {
    if (this.wantsIdentify && this.#node.peer.isLeader()) this.#waitedTicks++;
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
