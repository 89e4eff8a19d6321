/**
 * Which NodeHosts carry the clusters that this one has no node of. It asks the peers of its configuration and whoever it
 * has a link to. A member answers with its cluster's members and leader; any other NodeHost with what a member told it,
 * or with further NodeHosts to ask.
 */
import { isAddress } from "../transport/address.ts";
import { wireVersions } from "../transport/handshake.ts";
import type { Link } from "../transport/link_pool.ts";
import { maxPlaces } from "./format.ts";
import type { Place, RemoteBody } from "./format.ts";

/** An answer to `locate`. */
export type Located = Extract<RemoteBody, { kind: "located" }>;

/** What a directory needs of its NodeHost. */
export interface DirectoryHost {
  /** Where this NodeHost is reached. */
  readonly ownAddress: string;
  /** Addresses to ask first. */
  readonly peers: readonly string[];
  /** The link to an address. */
  linkTo(address: string): Link;
  /** All links. */
  links(): readonly Link[];
  /** Sends over a link; makes it dial if it is down. False: it did not leave. */
  tell(link: Link, clusterId: number, body: RemoteBody): boolean;
}

/** Whether a NodeHost that is linked knows such requests: the first wire version does not (rule I6). */
export function canServe(link: Link): boolean {
  return link.version > wireVersions.lowest;
}

/** What became of a question to one address. */
type Question = "dialling" | "asked" | "answered" | "failed";

/** Most NodeHosts asked for one cluster. */
const maxAsked = 64;
/** Clusters that are remembered. */
const maxRoutes = 10_000;

/** Where one cluster is, as far as is known. */
export class Route {
  /** The cluster. */
  readonly clusterId: number;
  /** Members that can serve, the leader first. */
  places: Place[] = [];
  /** The one that is used. */
  current = 0;
  /** Term of the member who told it. */
  term = 0;
  /** A member told it, not hearsay. */
  isFirstHand = false;
  /** When it was told. */
  toldAt = 0;
  /** Since when the current place is tried without a connection. */
  triedSince = -1;
  /** Nobody is asked before this. */
  askAgainAt = 0;
  /** By address; empty while nobody is asked. */
  readonly questions = new Map<string, Question>();

  /** Nothing is known. */
  constructor(clusterId: number) {
    this.clusterId = clusterId;
  }

  /** The place to use, if any is known. */
  get place(): Place | undefined {
    return this.places[this.current];
  }

  /** Whether an answer may still come. */
  get isAsking(): boolean {
    for (const question of this.questions.values()) {
      if (question === "asked" || question === "dialling") return true;
    }
    return false;
  }

  /** Whether everybody was asked, and nobody knows the cluster. */
  get isUnknownToAll(): boolean {
    for (const question of this.questions.values()) {
      if (question !== "answered") return false;
    }
    return true;
  }

  /** The current place did not do: the next one, or none. */
  next(): void {
    this.triedSince = -1;
    this.current++;
    if (this.current >= this.places.length) this.forget();
  }

  /** What was known is of no use. */
  forget(): void {
    this.places = [];
    this.current = 0;
    this.term = 0;
    this.isFirstHand = false;
    this.triedSince = -1;
    this.questions.clear();
  }
}

/** All routes of a NodeHost. */
export class Directory {
  readonly #host: DirectoryHost;
  readonly #routes = new Map<number, Route>();

  /** Nothing is known. */
  constructor(host: DirectoryHost) {
    this.#host = host;
  }

  /** The route to a cluster, made on demand. `isInUse` tells which must stay. */
  routeTo(clusterId: number, isInUse: (route: Route) => boolean): Route {
    const known = this.#routes.get(clusterId);
    if (known !== undefined) return known;
    if (this.#routes.size >= maxRoutes) {
      for (const [id, route] of this.#routes) {
        if (isInUse(route)) continue;
        this.#routes.delete(id);
        break;
      }
    }
    const route = new Route(clusterId);
    this.#routes.set(clusterId, route);
    return route;
  }

  /** What a NodeHost without a node of a cluster knows of it. */
  hearsay(clusterId: number, asker: Link): Located {
    const route = this.#routes.get(clusterId);
    if (route !== undefined && route.isFirstHand && route.places.length > 0) {
      const leaderId = route.places[0]!.nodeId;
      return {
        kind: "located",
        source: "hearsay",
        term: route.term,
        leaderId,
        places: route.places,
      };
    }
    const places: Place[] = [];
    for (const { remote, address } of this.#host.links()) {
      const isOther = remote !== undefined && remote.raftAddress === address &&
        remote.nodeHostId !== asker.remote?.nodeHostId;
      if (!isOther || places.length >= maxPlaces) continue;
      places.push({ nodeId: 0, nodeHostId: remote.nodeHostId, address });
    }
    return { kind: "located", source: "nobody", term: 0, leaderId: 0, places };
  }

  /** Asks everybody again. */
  ask(route: Route): void {
    route.questions.clear();
    for (const address of this.#host.peers) this.#askAt(route, address);
    for (const link of this.#host.links()) {
      if (link.isUp) this.#askAt(route, link.address);
    }
  }

  /** Asks the member that is used, whose leader may have changed meanwhile. */
  refresh(route: Route, link: Link): void {
    this.#host.tell(link, route.clusterId, { kind: "locate" });
  }

  /** An answer came; true if the route is another one now. */
  learn(route: Route, link: Link, located: Located, now: number): boolean {
    for (const [address, question] of route.questions) {
      const { remote } = this.#host.linkTo(address);
      const isHis = remote !== undefined &&
        remote.nodeHostId === link.remote?.nodeHostId;
      if (isHis && question !== "answered") {
        route.questions.set(address, "answered");
      }
    }
    if (located.source === "nobody") {
      if (route.places.length > 0 || route.questions.size === 0) return false;
      for (const { address } of located.places) this.#askAt(route, address);
      return false;
    }
    const isFirstHand = located.source === "member";
    const isNewer = route.places.length === 0 ||
      (isFirstHand && located.term >= route.term);
    const places = usable(located, this.#host.ownAddress);
    if (!isNewer || places.length === 0) return false;
    this.#take(route, located, places);
    route.toldAt = now;
    return true;
  }

  #take(route: Route, located: Located, places: Place[]): void {
    const before = route.place;
    const isSameTerm = route.term === located.term && route.isFirstHand;
    route.places = places;
    route.term = located.term;
    route.isFirstHand = located.source === "member";
    route.questions.clear();
    // Within a term the leader stays: whoever was taken instead of it was so for a reason.
    const at = !isSameTerm || before === undefined ? 0 : places.findIndex(
      (place) => place.nodeId === before.nodeId,
    );
    if (places[Math.max(0, at)]?.address !== before?.address) {
      route.triedSince = -1;
    }
    route.current = Math.max(0, at);
  }

  /** A link is up; asks what is to be asked there. */
  linkUp(link: Link): void {
    for (const route of this.#routes.values()) {
      if (route.questions.get(link.address) === "dialling") {
        this.#askAt(route, link.address, true);
      }
    }
  }

  /** A link is down. */
  linkDown(link: Link): void {
    for (const route of this.#routes.values()) {
      const question = route.questions.get(link.address);
      if (question === "dialling" || question === "asked") {
        route.questions.set(link.address, "failed");
      }
    }
  }

  #askAt(route: Route, address: string, isAgain = false): void {
    const { questions } = route;
    if (address === this.#host.ownAddress || !isAddress(address)) return;
    if (!isAgain && (questions.has(address) || questions.size >= maxAsked)) {
      return;
    }
    const link = this.#host.linkTo(address);
    if (link.isUp && !canServe(link)) {
      questions.set(address, "failed");
      return;
    }
    const isSent = this.#host.tell(link, route.clusterId, { kind: "locate" });
    questions.set(address, isSent ? "asked" : "dialling");
  }
}

/** The places of an answer that can be used, the leader first. */
function usable(located: Located, ownAddress: string): Place[] {
  const places = located.places.filter(({ address }) =>
    address !== ownAddress && isAddress(address)
  );
  return places.sort((a, b) =>
    Number(b.nodeId === located.leaderId) -
    Number(a.nodeId === located.leaderId)
  );
}
