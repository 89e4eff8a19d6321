/**
 * What NodeHosts tell each other about where they are: to each one that a link comes up to, and when one has moved. Only
 * those that moved are told, so that nothing is said while nobody moves.
 */
import { AddressBook } from "./address_book.ts";
import { AddressFile } from "./address_file.ts";
import type { Node } from "./node.ts";
import type { Logger } from "./ports.ts";
import { encodeRemote, maxPlaces } from "./remote/format.ts";
import type { RemoteBody } from "./remote/format.ts";
import { isAddress } from "./transport/address.ts";
import type { HostIdentity, Link } from "./transport/link_pool.ts";
import type { HostAddress } from "../master/protocol.ts";
import type { FileSystem } from "../storage/file_system.ts";

/** What {@link Neighbours} need of their NodeHost. */
export interface NeighboursHost {
  readonly self: HostIdentity;
  readonly fileSystem: FileSystem;
  readonly dir: string;
  readonly logger: Logger;
  /** Addresses that the operator gave, by NodeHost id. */
  readonly hints: Readonly<Record<string, string>>;
  nodes(): readonly Node[];
  links(): readonly Link[];
  requestTurn(): void;
}

const maxIdBytes = 128;

/** Other NodeHosts, and where they are. */
export class Neighbours {
  /** What is known. */
  readonly book: AddressBook;
  readonly #host: NeighboursHost;
  readonly #file: AddressFile;

  /** Reads what was kept. */
  constructor(host: NeighboursHost) {
    this.#host = host;
    this.#file = new AddressFile(host.fileSystem, host.dir, host.logger);
    this.book = new AddressBook(
      {
        nodeHostId: host.self.nodeHostId,
        membershipAddresses: (id) => this.#membershipAddresses(id),
        changed: (id) => this.#changed(id),
        save: (moved) => this.#file.save(moved),
      },
      this.#file.read(),
      host.hints,
    );
  }

  /** A link is up: its other end has said where it is, and is told who moved. */
  linkUp(link: Link): void {
    const { remote } = link;
    if (remote === undefined) return;
    if (this.book.seen(remote)) this.#pass(remote, link);
    const { self } = this.#host;
    const isMoved = this.#membershipAddresses(self.nodeHostId)
      .some((address) => address !== self.raftAddress);
    this.#tell(link, [...isMoved ? [self] : [], ...this.book.moved()]);
  }

  /** Another NodeHost says where some are. */
  receive(link: Link, hosts: readonly HostIdentity[]): void {
    for (const host of hosts) {
      const { nodeHostId, raftAddress, incarnation } = host;
      const isOne = nodeHostId !== "" && nodeHostId.length <= maxIdBytes &&
        isAddress(raftAddress) && incarnation > 0;
      if (isOne && this.book.told(host)) this.#pass(host, link);
    }
  }

  /**
   * A master says where some are, as they reported it: so the newest incarnation is believed, as always. Nobody else is
   * told; they will ask a master as well, or the NodeHost itself.
   */
  learn(hosts: readonly HostAddress[]): void {
    for (const { nodeHostId, nodeHostAddress: raftAddress, boot } of hosts) {
      const isNews = this.#membershipAddresses(nodeHostId).some((place) =>
        this.book.addressOf(nodeHostId, place) !== raftAddress
      );
      if (!isNews || !isAddress(raftAddress)) continue;
      this.book.told({ nodeHostId, raftAddress, incarnation: boot });
    }
  }

  /** Resolves when what is known is kept. */
  idle(): Promise<void> {
    return this.#file.idle();
  }

  /** Tells everybody but the one who said it, and the one it is about. */
  #pass(host: HostIdentity, from: Link): void {
    const source = from.remote?.nodeHostId;
    for (const link of this.#host.links()) {
      const { remote, address } = link;
      const isWanted = remote !== undefined && remote.raftAddress === address &&
        remote.nodeHostId !== source && remote.nodeHostId !== host.nodeHostId;
      if (isWanted) this.#tell(link, [host]);
    }
  }

  #tell(link: Link, hosts: readonly HostIdentity[]): void {
    for (let at = 0; at < hosts.length; at += maxPlaces) {
      const body: RemoteBody = {
        kind: "addresses",
        hosts: hosts.slice(at, at + maxPlaces),
      };
      const head = { kind: "remote" as const, clusterId: 1, from: 1, to: 1 };
      if (link.reply({ ...head, body: encodeRemote(body) })) {
        this.#host.requestTurn();
      }
    }
  }

  #membershipAddresses(nodeHostId: string): string[] {
    const addresses = new Set<string>();
    for (const node of this.#host.nodes()) {
      const address = node.routes.membershipAddressOf(nodeHostId);
      if (address !== undefined) addresses.add(address);
    }
    return [...addresses];
  }

  #changed(nodeHostId: string): void {
    this.#host.logger.info("a NodeHost is reached elsewhere", {
      nodeHostId,
      address: this.book.addressOf(nodeHostId, ""),
    });
    for (const node of this.#host.nodes()) {
      if (node.routes.addressChanged(nodeHostId)) node.linkUp();
    }
  }
}
