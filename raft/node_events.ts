/** What one node tells about itself: who leads, that a follower lost entries, and that it runs no longer. */
import type { Membership } from "./core/types.ts";
import type { Peer } from "./core/peer.ts";
import type { RaftError } from "./errors.ts";
import type { HostContext } from "./host_context.ts";

/** What a {@link NodeEvents} needs of its node. */
export interface EventsOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly host: HostContext;
  readonly peer: Peer;
}

/** The events of one node. */
export class NodeEvents {
  readonly #node: EventsOwner;
  #isRemoved = false;
  #leaderId = 0;
  #term: number;
  #lossCount = 0;
  /** In which term it was told of a follower that it lost entries. */
  #lossTold: Map<number, number> | undefined;

  /** Begins with what the node knew before it ran: no leader, and the term of its log. */
  constructor(node: EventsOwner) {
    this.#node = node;
    this.#term = node.peer.term;
  }

  /** Something may have happened. Called at the end of each turn and tick, so it is only three comparisons. */
  look(): void {
    const { peer } = this.#node;
    if (peer.lossCount !== this.#lossCount) this.#lost();
    const { leaderId } = peer;
    if (leaderId === this.#leaderId && peer.term === this.#term) return;
    // A new term without a leader tells nothing if there was none before.
    const isNews = leaderId !== 0 || this.#leaderId !== 0;
    this.#leaderId = leaderId;
    this.#term = peer.term;
    if (isNews) this.#leaderChanged();
  }

  /** Another membership was applied. */
  membershipChanged(membership: Membership): void {
    const { clusterId, nodeId, host } = this.#node;
    host.counters.membershipChanges++;
    if (!host.events.isHeard) return;
    host.events.emit({
      type: "membershipChanged",
      clusterId,
      nodeId,
      membership,
    });
  }

  /** The node was removed from its cluster: it applied that, or another member told it. */
  removed(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    const { clusterId, nodeId, host } = this.#node;
    if (!host.events.isHeard) return;
    host.events.emit({ type: "nodeRemoved", clusterId, nodeId });
  }

  /** The node runs no longer. */
  stopped(reason: RaftError): void {
    const { clusterId, nodeId, host } = this.#node;
    if (reason.code === "nodeRemoved") this.removed();
    if (!host.events.isHeard) return;
    host.events.emit({
      type: "nodeUnloaded",
      clusterId,
      nodeId,
      reason: reason.message,
      code: reason.code,
    });
  }

  /** Whatever such a follower votes and acknowledges is worth nothing, and nobody else would notice. */
  #lost(): void {
    const { clusterId, nodeId, host, peer } = this.#node;
    this.#lossCount = peer.lossCount;
    this.#lossTold ??= new Map();
    for (const member of peer.progress()) {
      if (!member.hasLostEntries) continue;
      if (this.#lossTold.get(member.nodeId) === peer.term) continue;
      this.#lossTold.set(member.nodeId, peer.term);
      host.logger.warn("a follower lost entries that it had acknowledged", {
        clusterId,
        nodeId,
        follower: member.nodeId,
        term: peer.term,
        acknowledged: member.match,
        meaning:
          `the disk of node ${member.nodeId} of cluster ${clusterId} lost what was synced, or its folder is an old ` +
          "copy: it may vote and acknowledge twice; remove it, and add a new node id",
      });
      if (!host.events.isHeard) continue;
      host.events.emit({
        type: "entriesLost",
        clusterId,
        nodeId,
        followerId: member.nodeId,
        acknowledged: member.match,
        term: peer.term,
      });
    }
  }

  #leaderChanged(): void {
    const { clusterId, nodeId, host } = this.#node;
    host.counters.leaderChanges++;
    if (!host.events.isHeard) return;
    host.events.emit({
      type: "leaderChanged",
      clusterId,
      nodeId,
      leaderId: this.#leaderId === 0 ? undefined : this.#leaderId,
      term: this.#term,
    });
  }
}
