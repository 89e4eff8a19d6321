/**
 * Whether a node may vote (rule I2). A node with an empty log could be one whose folder was lost: it may have voted
 * and acknowledged before, and must not do so twice. So a new initial member waits until enough others have
 * answered that they know no other NodeHost under its id, each having made durable whom it saw. Enough is a
 * majority of the members not counting itself: any two such sets share one who would have seen the first. A
 * joining node waits until it, or one member, has applied a membership that names its NodeHost. (One member is enough,
 * and it must be: a cluster of one that adds a second may need that one's vote before it could send it anything.)
 */
import { assert } from "./core/assert.ts";
import { allMembers, memberOf, votingMembers } from "./core/members.ts";
import type { Member, Membership } from "./core/types.ts";
import type { FirstTurn, Peer } from "./core/peer.ts";
import { RaftError } from "./errors.ts";
import type { Logger } from "./ports.ts";
import { removedReason } from "./routes.ts";
import type { Hello, Routes } from "./routes.ts";
import type { HostIdentity, Link } from "./transport/link_pool.ts";
import { hasUniqueIds } from "./validation.ts";
import type { Bootstrap } from "../storage/log_store.ts";

/** What an {@link Admission} needs of its node. */
export interface AdmissionOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly self: HostIdentity;
  readonly peer: Peer;
  readonly routes: Routes;
  readonly config: { readonly electionTimeoutTicks: number };
  readonly host: { readonly logger: Logger };
  bootstrap(): Bootstrap;
  saveBootstrap(bootstrap: Bootstrap, done: () => void): void;
  removed(): void;
  schedule(): void;
}

/** The admission of one node. */
export class Admission {
  /** Why another member refuses this node, or undefined. */
  refusal: RaftError | undefined;
  readonly #node: AdmissionOwner;
  /** Of no use any more once it is admitted; made when they are needed. */
  #welcomes: Set<number> | undefined;
  #refusedBy: Set<number> | undefined;
  #isAdmitted: boolean;
  #isStopped = false;
  #ticks = 0;

  /** Starts from the node's bootstrap record. */
  constructor(node: AdmissionOwner) {
    this.#node = node;
    this.#isAdmitted = node.bootstrap().admitted;
  }

  /** Whether the node still asks to be admitted. */
  isNewcomer(): boolean {
    return !this.#isAdmitted;
  }

  /** Whether the node knows enough of its cluster to listen to it: a joining one learns how the cluster began first. */
  mayListen(): boolean {
    return this.#node.bootstrap().fingerprint !== "";
  }

  /** Who has not welcomed this node yet, for messages to people. */
  missing(): number[] {
    if (this.#isAdmitted) return [];
    return this.#others(votingMembers).filter((nodeId) =>
      this.#welcomes?.has(nodeId) !== true
    );
  }

  /** One tick has passed: a newcomer asks again from time to time. */
  tick(): void {
    if (this.#isAdmitted || this.#isStopped) return;
    if (++this.#ticks % this.#node.config.electionTimeoutTicks === 0) {
      this.#ask(true);
    }
  }

  /** A link came up: whoever was greeted on it was asked by that. */
  linkUp(): void {
    if (!this.#isAdmitted && !this.#isStopped) this.#ask(false);
  }

  /** A believed hello came in: a joining node learns from it how its cluster began. */
  learn(hello: Hello): void {
    const own = this.#node.bootstrap();
    if (own.fingerprint !== "" || hello.fingerprint === "") return;
    const began = hello.initialMembers;
    // A cluster that was rebuilt has none, and gives its state by a snapshot (rule I3).
    if (began.length === 0 && hello.generation < 2) return;
    this.#node.saveBootstrap({
      ...own,
      initialMembers: began,
      fingerprint: hello.fingerprint,
      generation: hello.generation,
    }, () => {});
    if (began.length === 0) return;
    const membership = initialMembership(began);
    if (this.#node.peer.appliedIndex === 0) {
      this.#node.peer.applyMembership(membership);
      this.#node.routes.setMembership(membership);
    }
  }

  /** Another member knows of nobody else under this node's id. */
  welcomed(from: number): void {
    if (this.#isAdmitted) return;
    const welcomes = this.#welcomes ??= new Set();
    welcomes.add(from);
    this.#refusedBy?.delete(from);
    if ((this.#refusedBy?.size ?? 0) > 0) return; // One who saw another NodeHost under this id is enough.
    if (this.#node.bootstrap().join) return this.#admit();
    // Whose votes count, that is: observers would make a majority of nobody.
    const others = this.#others(votingMembers);
    const heard = others.filter((nodeId) => welcomes.has(nodeId));
    if (heard.length < welcomesNeeded(others.length + 1)) return;
    this.#admit();
  }

  /** Another member refuses this node. */
  refused(from: number, reason: string, link: Link): void {
    const known = this.#node.routes.knownNodeHost(from);
    if (known !== "" && known !== link.remote?.nodeHostId) return; // Not the one to judge.
    if (reason === removedReason) {
      if (this.#others().includes(from)) this.#node.removed();
      return;
    }
    const error = new RaftError(
      "rejected",
      `Cannot take part in cluster ${this.#node.clusterId} as node ${this.#node.nodeId}: node ${from} refuses it: ${reason}`,
    );
    if (this.refusal?.message !== error.message) {
      this.#node.host.logger.error("this node is refused by another member", {
        clusterId: this.#node.clusterId,
        nodeId: this.#node.nodeId,
        by: from,
        reason,
      });
    }
    this.refusal = error;
    this.#welcomes?.delete(from);
    this.#refusedBy ??= new Set();
    this.#refusedBy.add(from);
  }

  /** The membership was changed. */
  membershipChanged(membership: Membership): void {
    if (this.#isAdmitted || !this.#node.bootstrap().join) return;
    const own = memberOf(membership, this.#node.nodeId);
    if (own?.nodeHostId === this.#node.self.nodeHostId) this.#admit();
  }

  /** The node stopped. */
  stop(): void {
    this.#isStopped = true;
  }

  #others(
    among: (membership: Membership) => readonly Member[] = allMembers,
  ): number[] {
    return among(this.#node.peer.membership())
      .map((member) => member.nodeId)
      .filter((nodeId) => nodeId !== this.#node.nodeId);
  }

  #ask(again: boolean): void {
    // A joining node may not know the members of today; it knows who spoke to it.
    const asked = new Set([
      ...this.#others(),
      ...this.#node.routes.heardFrom(),
    ]);
    for (const nodeId of asked) {
      if (this.#welcomes?.has(nodeId)) continue;
      this.#node.routes.hello(nodeId, again);
    }
    this.#node.schedule();
  }

  /**
   * Of a new cluster one member campaigns first. Which one goes by the cluster's id, so that the clusters of a NodeHost have
   * their leaders evenly spread from the start.
   */
  #firstTurn(): FirstTurn {
    const { nodeId, clusterId } = this.#node;
    const { join, initialMembers } = this.#node.bootstrap();
    if (join || initialMembers.length === 0) return "any";
    const first = initialMembers[(clusterId - 1) % initialMembers.length]!;
    return first[0] === nodeId ? "now" : "later";
  }

  #admit(): void {
    this.#isAdmitted = true;
    this.#welcomes = undefined;
    this.#refusedBy = undefined;
    this.refusal = undefined;
    this.#node.saveBootstrap(
      { ...this.#node.bootstrap(), admitted: true },
      () => {
        if (this.#isStopped) return;
        this.#node.peer.admit(this.#firstTurn());
        this.#node.schedule();
      },
    );
  }
}

/** How many others must welcome a new member of a cluster of `memberCount`. */
export function welcomesNeeded(memberCount: number): number {
  return Math.min(Math.floor(memberCount / 2) + 1, memberCount - 1);
}

/** The membership a cluster begins with. */
export function initialMembership(
  initialMembers: readonly (readonly [nodeId: number, address: string])[],
): Membership {
  assert(
    hasUniqueIds(initialMembers),
    "every initial member has an id of its own (rule I3)",
  );
  return {
    configChangeIndex: 0,
    members: initialMembers.map(([nodeId, address]) => ({
      nodeId,
      address,
      nodeHostId: "",
    })),
    observers: [],
    witnesses: [],
    removed: [],
  };
}
