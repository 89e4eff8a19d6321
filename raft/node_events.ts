/** What one node tells about itself: who leads, and that it runs no longer. */
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

  /** Begins with what the node knew before it ran: no leader, and the term of its log. */
  constructor(node: EventsOwner) {
    this.#node = node;
    this.#term = node.peer.term;
  }

  /** Something may have happened. Called at the end of each turn and tick, so it is only two comparisons. */
  look(): void {
    const { peer } = this.#node;
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
