/**
 * Whom one node talks to, and whom it believes (rules I1 to I3). Addresses are hints; a member is the NodeHost id that
 * was first seen to carry it. Before its first message on a connection a node says which cluster it means (a
 * `hello`); who is refused is told why, and nothing of it is heard.
 */
import { allMembers, memberOf } from "./core/members.ts";
import type { Membership } from "./core/types.ts";
import type { Bootstrap, PeerIdentity } from "../storage/log_store.ts";
import type { HostIdentity, Link, WireRecord } from "./transport/link_pool.ts";

/** What a node says first on a connection. */
export type Hello = Extract<WireRecord, { kind: "hello" }>;

/** Where a member was last heard from. */
interface Source {
  readonly link: Link;
  readonly epoch: number;
}

/** Where to send to a member, and on which connection a hello was sent already. */
interface Target {
  readonly link: Link;
  helloEpoch: number;
  /** On which connection it is refused, and how often there was reason to say so. */
  refusedEpoch: number;
  refusals: number;
}

/** Of so many reasons to tell a NodeHost that it does not carry a node, one is used: about one in a second. */
const refusalsPerNotice = 20;

/** What a {@link Routes} needs of its node. */
export interface RoutesOwner {
  /** The cluster. */
  readonly clusterId: number;
  /** The node. */
  readonly nodeId: number;
  /** This NodeHost's identity. */
  readonly self: HostIdentity;
  /** A link to an address. */
  linkTo(address: string): Link;
  /** Where a NodeHost is reached; `otherwise` is where the membership has it. */
  addressOf(nodeHostId: string, otherwise: string): string;
  /** The bootstrap record as it stands. */
  bootstrap(): Bootstrap;
  /** Whether the node still wants to be admitted (rule I2). */
  isNewcomer(): boolean;
  /** Why a NodeHost that speaks this wire version cannot carry a member; undefined if it can (rule I6). */
  refuseHost(version: number): string | undefined;
  /** Makes identities durable; calls `done` then. `mustSync` false: in order, without a sync of its own. */
  saveIdentities(
    peers: readonly PeerIdentity[],
    mustSync: boolean,
    done: () => void,
  ): void;
}

/** Why a hello was not believed; undefined if it was. */
export type HelloVerdict = string | undefined;

/** The paths of one node to the other members of its cluster. */
export class Routes {
  readonly #owner: RoutesOwner;
  #membership: Membership;
  readonly #targets = new Map<number, Target>();
  readonly #sources = new Map<number, Source>();
  readonly #identities = new Map<number, PeerIdentity>();
  /** Grows with each change of them, and which of that is durable. */
  #identitiesVersion = 0;
  #durableVersion = 0;
  readonly #removed = new Set<number>();

  /** Begins with the identities that the log remembers. */
  constructor(
    owner: RoutesOwner,
    membership: Membership,
    identities: readonly PeerIdentity[],
  ) {
    this.#owner = owner;
    this.#membership = membership;
    this.removedForGood(membership.removed); // A snapshot told it.
    for (const identity of identities) {
      this.#identities.set(identity.nodeId, identity);
    }
  }

  /** The membership has changed. */
  setMembership(membership: Membership): void {
    this.#membership = membership;
    this.#targets.clear(); // Addresses may have changed; a second hello on a connection is harmless.
  }

  /**
   * It is durable here that these nodes were removed. They are not told before: a node that was told goes for good, and
   * would be missed if the one that told it forgot in a crash that the removal was committed.
   */
  removedForGood(nodeIds: readonly number[]): void {
    for (const nodeId of nodeIds) this.#removed.add(nodeId);
  }

  /**
   * Whether a node may be told that it was removed. Nobody but a voter tells it: those who still count that node's vote may
   * be all the voters there are, and an observer that knows better cannot lead them.
   */
  isKnownRemoved(nodeId: number): boolean {
    return this.#removed.has(nodeId) && this.#isVoter;
  }

  get #isVoter(): boolean {
    const { nodeId } = this.#owner;
    return this.#membership.members.some((one) => one.nodeId === nodeId);
  }

  /** The NodeHost known to carry `nodeId`, or `""`. */
  knownNodeHost(nodeId: number): string {
    const named = memberOf(this.#membership, nodeId)?.nodeHostId ?? "";
    if (named !== "") return named;
    return this.#identities.get(nodeId)?.nodeHostId ?? "";
  }

  /** Where a member is reached, which is not always where the membership has it; undefined if it is none. */
  addressOf(nodeId: number): string | undefined {
    const member = memberOf(this.#membership, nodeId);
    if (member === undefined) return undefined;
    const nodeHostId = this.knownNodeHost(nodeId);
    return nodeHostId === ""
      ? member.address
      : this.#owner.addressOf(nodeHostId, member.address);
  }

  /** Where the membership has the member that a NodeHost carries. */
  membershipAddressOf(nodeHostId: string): string | undefined {
    const { nodeId, self } = this.#owner;
    return allMembers(this.#membership).find((member) =>
      member.nodeId === nodeId
        ? self.nodeHostId === nodeHostId
        : this.knownNodeHost(member.nodeId) === nodeHostId
    )?.address;
  }

  /** A NodeHost is to be looked for elsewhere. True if it carries a member. */
  addressChanged(nodeHostId: string): boolean {
    if (this.membershipAddressOf(nodeHostId) === undefined) return false;
    this.#targets.clear();
    return true;
  }

  /** Sends a record to a node of the cluster, with a hello before it where that is due. False: there is no way to it now. */
  send(to: number, record: WireRecord): boolean {
    const target = this.#target(to);
    if (target === undefined) return false;
    const link = target.link;
    if (target.helloEpoch !== link.epoch || !link.isUp) {
      if (!link.isUp) {
        link.send(record); // Not sent, but makes the link dial.
        return false;
      }
      if (!this.#greet(to, target)) return false;
    }
    link.send(record);
    return true;
  }

  /** Whether a record sent to a node now would leave; makes its link dial if not. */
  isReachable(to: number): boolean {
    this.hello(to, false);
    const target = this.#target(to);
    return target !== undefined && target.link.isUp &&
      target.helloEpoch === target.link.epoch;
  }

  /** Says hello to a node if its link is up; dials it if not. `again`: even if it was said on this connection. */
  hello(to: number, again: boolean): void {
    const target = this.#target(to);
    if (target === undefined) return;
    if (again || target.helloEpoch !== target.link.epoch) {
      if (target.link.isUp) this.#greet(to, target);
      else target.link.send(this.#helloRecord(to));
    }
  }

  /**
   * Says hello to every other member whose link is up and who was not greeted on it, and dials the others: whoever
   * might vote for this node should have seen its latest incarnation (rule I1).
   */
  helloAll(): void {
    for (const member of allMembers(this.#membership)) {
      if (member.nodeId !== this.#owner.nodeId) {
        this.hello(member.nodeId, false);
      }
    }
  }

  /** Node ids that were heard on a connection that still stands. */
  heardFrom(): number[] {
    return [...this.#sources]
      .filter(([, source]) =>
        source.link.isUp && source.epoch === source.link.epoch
      )
      .map(([nodeId]) => nodeId);
  }

  /** Whether `link` may speak for node `from`: it said hello on this connection, and was believed. */
  isBelieved(link: Link, from: number): boolean {
    const source = this.#sources.get(from);
    return source !== undefined && source.link === link &&
      source.epoch === link.epoch;
  }

  /** Judges a hello; `welcome` is called when a newcomer that is believed can be told so: what was seen is durable. */
  judge(link: Link, hello: Hello, welcome: () => void): HelloVerdict {
    const remote = link.remote;
    if (remote === undefined) return "the connection has no identity";
    const objection = this.#objection(hello, remote) ??
      this.#owner.refuseHost(link.version);
    if (objection !== undefined) {
      this.#sources.delete(hello.from);
      return objection;
    }
    this.#sources.set(hello.from, { link, epoch: link.epoch });
    this.#remember(hello, remote, welcome);
    return undefined;
  }

  /** Node ids whose link, by address, is `address`. */
  membersAt(address: string): number[] {
    return allMembers(this.#membership)
      .filter((member) => this.addressOf(member.nodeId) === address)
      .map((member) => member.nodeId);
  }

  #objection(hello: Hello, remote: HostIdentity): HelloVerdict {
    const own = this.#owner.bootstrap();
    if (
      own.fingerprint !== "" && hello.fingerprint !== "" &&
      own.fingerprint !== hello.fingerprint
    ) {
      return otherMembers(own, hello, this.#owner.isNewcomer());
    }
    if (
      own.fingerprint !== "" && hello.fingerprint !== "" &&
      own.generation !== hello.generation
    ) {
      return `it is of generation ${hello.generation}, ours is ${own.generation}: the cluster was rebuilt from a snapshot, ` +
        "and whoever has the lower one was not part of that; import the same image there, or start a new node with join: true";
    }
    if (this.isKnownRemoved(hello.from)) return removedReason;
    const known = this.knownNodeHost(hello.from);
    if (known !== "" && known !== remote.nodeHostId) {
      return livesElsewhere(hello.from, known, remote);
    }
    const seen = this.#identities.get(hello.from);
    if (
      seen !== undefined && seen.nodeHostId === remote.nodeHostId &&
      seen.incarnation > remote.incarnation
    ) {
      return `NodeHost ${remote.nodeHostId} was seen in incarnation ${seen.incarnation}, now it says ` +
        `${remote.incarnation}: its folder is an old copy, remove node ${hello.from} and add a new one`;
    }
    return undefined;
  }

  #remember(hello: Hello, remote: HostIdentity, welcome: () => void): void {
    const seen = this.#identities.get(hello.from);
    const isNew = seen === undefined ||
      seen.nodeHostId !== remote.nodeHostId;
    const isRestart = !isNew && seen.incarnation < remote.incarnation;
    if (isNew || isRestart) {
      this.#identitiesVersion++;
      this.#identities.set(hello.from, {
        nodeId: hello.from,
        nodeHostId: remote.nodeHostId,
        incarnation: remote.incarnation,
      });
    }
    if (!isNew && !isRestart && !hello.newcomer) return;
    const answer = () => {
      if (hello.newcomer && this.#mayWelcome(hello.from, remote)) welcome();
    };
    const version = this.#identitiesVersion;
    if (version === this.#durableVersion) return answer(); // It asks again.
    const all = [...this.#identities.values()].sort((a, b) =>
      a.nodeId - b.nodeId
    );
    this.#owner.saveIdentities(all, hello.newcomer, () => {
      if (hello.newcomer) this.#durableVersion = version; // It was synced.
      answer();
    });
  }

  /** An initial member is judged by who was seen; one that joins, by the membership: its addition names its NodeHost. */
  #mayWelcome(nodeId: number, remote: HostIdentity): boolean {
    const { initialMembers } = this.#owner.bootstrap();
    if (initialMembers.some(([id]) => id === nodeId)) return true;
    const member = memberOf(this.#membership, nodeId);
    return member?.nodeHostId === remote.nodeHostId;
  }

  #target(to: number): Target | undefined {
    const known = this.#targets.get(to);
    if (known !== undefined) return known;
    const address = this.addressOf(to);
    if (address !== undefined) {
      const link = this.#owner.linkTo(address);
      const target = { link, helloEpoch: -1, refusedEpoch: -1, refusals: 0 };
      this.#targets.set(to, target);
      return target;
    }
    // Not a member here, perhaps because this node lags behind: answer where it was heard from.
    const source = this.#sources.get(to);
    return source === undefined || source.epoch !== source.link.epoch
      ? undefined
      : { link: source.link, helloEpoch: -1, refusedEpoch: -1, refusals: 0 };
  }

  /** Says hello, unless the NodeHost at the other end is known not to carry the member. */
  #greet(to: number, target: Target): boolean {
    const remote = target.link.remote;
    if (remote === undefined) return false;
    const known = this.knownNodeHost(to);
    if (known !== "" && known !== remote.nodeHostId) {
      this.#refuse(to, target, livesElsewhere(to, known, remote));
      return false;
    }
    target.link.send(this.#helloRecord(to));
    target.helloEpoch = target.link.epoch;
    return true;
  }

  /**
   * Says now and then why no hello will come: a joining node that lost its folder knows nobody whom it could say hello
   * to, and would never learn that it is refused.
   */
  #refuse(to: number, target: Target, reason: string): void {
    const { link } = target;
    if (target.refusedEpoch !== link.epoch) target.refusals = 0;
    target.refusedEpoch = link.epoch;
    if (target.refusals++ % refusalsPerNotice !== 0) return; // It may not have started its node yet.
    const { clusterId, nodeId: from } = this.#owner;
    link.send({ kind: "refused", clusterId, from, to, reason });
  }

  #helloRecord(to: number): WireRecord {
    const bootstrap = this.#owner.bootstrap();
    const isInitial = bootstrap.initialMembers.some(([id]) => id === to);
    return {
      kind: "hello",
      clusterId: this.#owner.clusterId,
      from: this.#owner.nodeId,
      to,
      fingerprint: bootstrap.fingerprint,
      generation: bootstrap.generation,
      newcomer: this.#owner.isNewcomer(),
      // A joining node learns here how the cluster began: its log may start at index 1.
      initialMembers: isInitial ? [] : bootstrap.initialMembers,
    };
  }
}

/** Why a NodeHost is refused that is not the one known to carry a node. */
function livesElsewhere(
  nodeId: number,
  known: string,
  { nodeHostId }: HostIdentity,
): string {
  return `node ${nodeId} is known to live on NodeHost ${known}, not on ${nodeHostId}: ` +
    `a node whose folder was lost cannot come back under its id, remove it and add a new one; or two NodeHosts ` +
    `use node id ${nodeId}`;
}

/** Why a node is refused whose cluster began with another list than ours, and what is to be done about it. */
function otherMembers(
  own: Bootstrap,
  { clusterId, newcomer }: Hello,
  isNewcomer: boolean,
): string {
  const ours = own.initialMembers.map(([id, address]) => `${id} at ${address}`)
    .join(", ");
  const shown = ours.length <= shownMembers
    ? ours
    : `${ours.slice(0, shownMembers)}...`;
  const again =
    `delete what it stored of cluster ${clusterId} and start it with the right list`;
  const todo = newcomer
    ? (isNewcomer
      ? `neither node has voted yet: whichever has the wrong list, ${again}`
      : `it has not voted yet: ${again}`)
    : isNewcomer
    ? `this node has not voted yet: if its list is the wrong one, ${again}`
    : "both clusters have begun: one of them needs another id";
  return `its cluster ${clusterId} began with other members than ours, which are ${shown}: initialMembers must be ` +
    `the same on every member; ${todo}`;
}

/** Characters of a list of members in a refusal. */
const shownMembers = 400;

/** Tells a node that it is no longer a member. */
export const removedReason = "it was removed from the cluster";

/** Asks a node to say hello again. */
export const helloWantedReason = "it has not said hello on this connection";
