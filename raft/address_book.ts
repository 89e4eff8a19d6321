/**
 * Where NodeHosts are reached that are not where memberships say (rules I1, I4): a membership names NodeHosts, and its
 * addresses are hints. A NodeHost that returns under another address says so in the handshake of every connection; who
 * hears it remembers, tells the others, and believes the newest incarnation only. `address_book_format.ts` draws the file
 * in which it is kept, which may be lost: then it is heard again.
 */
import type { HostIdentity } from "./transport/link_pool.ts";

/** Where a NodeHost is, as far as is known. */
export interface KnownAddress extends HostIdentity {
  /** It is not where it was before, or where a membership has it. */
  readonly isMoved: boolean;
}

/** What the operator said. */
interface Hint {
  readonly address: string;
  /**
   * The incarnation that was known then, or is the first that was heard of since: a later one knows better. 0 as long as
   * none is known.
   */
  readonly incarnation: number;
}

/** What an {@link AddressBook} needs of its NodeHost. */
export interface AddressBookOwner {
  /** This NodeHost. */
  readonly nodeHostId: string;
  /** Addresses at which memberships have a NodeHost. */
  membershipAddresses(nodeHostId: string): readonly string[];
  /** A NodeHost is to be looked for elsewhere from now on. */
  changed(nodeHostId: string): void;
  /** What is to be kept has changed. */
  save(moved: readonly KnownAddress[]): void;
}

/** Most NodeHosts that are remembered. Those that moved are forgotten last. */
const maxKnown = 4_096;

/** All addresses that one NodeHost knows. */
export class AddressBook {
  readonly #owner: AddressBookOwner;
  readonly #known = new Map<string, KnownAddress>();
  readonly #hints = new Map<string, Hint>();

  /** Begins with what was kept, and with what the operator says now. */
  constructor(
    owner: AddressBookOwner,
    kept: readonly KnownAddress[],
    hints: Readonly<Record<string, string>>,
  ) {
    this.#owner = owner;
    for (const known of kept) this.#known.set(known.nodeHostId, known);
    for (const [id, address] of Object.entries(hints)) this.#hint(id, address);
  }

  /** Where a NodeHost is reached; `otherwise` is where a membership has it. */
  addressOf(nodeHostId: string, otherwise: string): string {
    if (this.#known.size === 0 && this.#hints.size === 0) return otherwise;
    const hint = this.#hints.get(nodeHostId);
    if (hint !== undefined) return hint.address;
    const known = this.#known.get(nodeHostId);
    return known?.isMoved === true ? known.raftAddress : otherwise;
  }

  /** Those that moved, in order of their ids: what others should know. */
  moved(): KnownAddress[] {
    return [...this.#known.values()].filter((known) => known.isMoved)
      .sort((a, b) => a.nodeHostId < b.nodeHostId ? -1 : 1);
  }

  /** A NodeHost said itself where it is. True if others should be told. */
  seen(host: HostIdentity): boolean {
    const { nodeHostId, incarnation, raftAddress } = host;
    if (nodeHostId === this.#owner.nodeHostId) return false;
    const known = this.#known.get(nodeHostId);
    if (known !== undefined && known.incarnation > incarnation) return false;
    const hint = this.#hints.get(nodeHostId);
    if (known?.incarnation === incarnation && hint === undefined) return false;
    const places = this.#owner.membershipAddresses(nodeHostId);
    const isMoved = known?.isMoved === true ||
      (known !== undefined && known.raftAddress !== raftAddress) ||
      places.some((place) => place !== raftAddress);
    return this.#take({ nodeHostId, incarnation, raftAddress, isMoved });
  }

  /** Another NodeHost said where one is. True if it was news, so that others should be told. */
  told(host: HostIdentity): boolean {
    const { nodeHostId, incarnation, raftAddress } = host;
    if (nodeHostId === this.#owner.nodeHostId) return false;
    const known = this.#known.get(nodeHostId);
    if (known !== undefined) {
      const isNews = known.incarnation < incarnation ||
        (known.incarnation === incarnation && !known.isMoved);
      if (!isNews) return false;
    }
    const hint = this.#hints.get(nodeHostId);
    if (hint?.incarnation === 0) {
      // It may have been opened so before the hint was given, which is why it was: only one that came later is newer.
      this.#hints.set(nodeHostId, { ...hint, incarnation });
      return false;
    }
    if (hint !== undefined && hint.incarnation >= incarnation) return false;
    return this.#take({ nodeHostId, incarnation, raftAddress, isMoved: true });
  }

  /** The operator says where a NodeHost is: true until it says otherwise itself, or others hear it later. */
  hint(nodeHostId: string, address: string): void {
    if (nodeHostId === this.#owner.nodeHostId) return;
    if (this.#hint(nodeHostId, address)) this.#owner.changed(nodeHostId);
  }

  #hint(nodeHostId: string, address: string): boolean {
    const known = this.#known.get(nodeHostId);
    const before = this.#hints.get(nodeHostId);
    if (before?.address === address) return false;
    if (before === undefined && this.#hints.size >= maxKnown) return false;
    const incarnation = known?.incarnation ?? before?.incarnation ?? 0;
    this.#hints.set(nodeHostId, { address, incarnation });
    return true;
  }

  #take(known: KnownAddress): boolean {
    const { nodeHostId } = known;
    const before = this.addressOf(nodeHostId, "");
    const wasMoved = this.#known.get(nodeHostId)?.isMoved === true;
    this.#hints.delete(nodeHostId);
    this.#known.delete(nodeHostId); // The newest is the last.
    this.#known.set(nodeHostId, known);
    this.#forgetOne();
    if (known.isMoved || wasMoved) this.#owner.save(this.moved());
    if (this.addressOf(nodeHostId, "") !== before) {
      this.#owner.changed(nodeHostId);
    }
    return known.isMoved;
  }

  #forgetOne(): void {
    if (this.#known.size <= maxKnown) return;
    let oldest: string | undefined;
    for (const { nodeHostId, isMoved } of this.#known.values()) {
      oldest ??= nodeHostId;
      if (isMoved) continue;
      oldest = nodeHostId;
      break;
    }
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}
