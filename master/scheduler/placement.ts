/** Where a node should be (M7, M16, M18). Pure, and the same for the same input. */
import type { ClusterImage } from "../cluster_image.ts";
import type { HostRecord, RegionWish } from "../schema.ts";
import { isAvoided, type View } from "./view.ts";

/** NodeHosts that were chosen, or what they are waited for. */
export type Placement =
  | { readonly hosts: readonly string[] }
  | { readonly waitsFor: string };

/** Why nothing can be placed on a NodeHost; `undefined` if it can. */
export function obstacle(
  view: View,
  host: HostRecord,
  app: string,
): string | undefined {
  if (host.state !== "ok") return `it is ${host.state}`;
  const { ttl = view.limits.ttl } = host;
  if (view.tick - host.tick >= ttl) return "it is silent";
  if (host.revoked === true) return "it is revoked";
  if (host.drain === true) return "it is being drained";
  if (host.cordon === true) return "it is cordoned";
  if (host.conflict !== undefined) return `${host.conflict} is at its address`;
  if (host.isDiskLow === true) return "its disk is nearly full";
  if (host.apps?.includes(app) !== true) {
    return `it does not have the app "${app}"`;
  }
  return undefined;
}

/** The NodeHosts that have to do with a cluster already. */
function occupied(view: View, image: ClusterImage): Set<string> {
  const hosts = new Set<string>(Object.values(image.zombies));
  const addresses = new Set<string>();
  for (const { host, address } of Object.values(image.members)) {
    if (host !== undefined) hosts.add(host);
    addresses.add(address);
  }
  if (image.plan?.host !== undefined) hosts.add(image.plan.host);
  for (const [id, { addr }] of view.hosts) {
    if (addresses.has(addr)) hosts.add(id);
  }
  return hosts;
}

/** Where the voters that stay are. */
interface Around {
  readonly regions: Map<string, number>;
  readonly domains: Map<string, number>;
}

function domainOf(host: HostRecord): string {
  return `${host.region} ${host.domain ?? ""}`;
}

function count(counts: Map<string, number>, key: string, by = 1): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

function around(view: View, image: ClusterImage, without?: number): Around {
  const regions = new Map<string, number>();
  const domains = new Map<string, number>();
  for (const [id, member] of Object.entries(image.members)) {
    const host = view.hosts.get(member.host ?? "");
    if (host === undefined || Number(id) === without) continue;
    if (member.role === "observer") continue;
    count(regions, host.region);
    if (host.domain !== undefined) count(domains, domainOf(host));
  }
  return { regions, domains };
}

/** How many voters a region still lacks. */
function lack(wish: RegionWish, { regions }: Around): number {
  return wish.count - (regions.get(wish.region) ?? 0);
}

/** What is to be placed. */
export interface PlacementOptions {
  /** So many new nodes. */
  readonly count: number;
  /** A node that goes. */
  readonly without?: number;
  /** Whether a NodeHost takes no more at the moment; by default none is full. */
  readonly isFull?: (host: string) => boolean;
}

/**
 * Chooses NodeHosts for so many new nodes of a cluster: where a region lacks some, in another failure domain than the
 * other nodes, where the fewest nodes are for what the NodeHost takes. One that is full gives way to another that is as
 * good but for its load, never to one in a worse region or domain: the node would have to move again. Where a node of the
 * cluster was given up not long ago comes last.
 */
export function place(
  view: View,
  image: ClusterImage,
  options: PlacementOptions,
): Placement {
  const { def } = image;
  if (def === undefined) return { waitsFor: "a definition" };
  const taken = occupied(view, image);
  const free = [...view.hosts].filter(([id, host]) =>
    !taken.has(id) && obstacle(view, host, def.app) === undefined
  );
  const there = around(view, image, options.without);
  const chosen: string[] = [];
  for (let i = 0; i < options.count; i++) {
    const lacking = def.regions.filter((wish) => lack(wish, there) > 0);
    const { isFull } = options;
    const best = bestOf(view, free, {
      chosen,
      there,
      lacking,
      isFull,
      isAvoided: (id) => isAvoided(view, image, id),
    });
    const missing = lacking.find((wish) =>
      wish.isRequired === true &&
      !free.some(([id, host]) =>
        host.region === wish.region && !chosen.includes(id)
      )
    );
    if (missing !== undefined && mustWait(def.size, lacking, there)) {
      return { waitsFor: `a NodeHost with "${def.app}" in ${missing.region}` };
    }
    if (best === undefined) {
      return { waitsFor: `another NodeHost with the app "${def.app}"` };
    }
    const [id, host] = best;
    chosen.push(id);
    count(there.regions, host.region);
    if (host.domain !== undefined) count(there.domains, domainOf(host));
  }
  return { hosts: chosen };
}

/** Whether all that is still to be placed belongs into regions that require it. */
function mustWait(
  size: number,
  lacking: readonly RegionWish[],
  there: Around,
): boolean {
  const placed = [...there.regions.values()].reduce((sum, n) => sum + n, 0);
  const required = lacking.filter((wish) => wish.isRequired === true)
    .reduce((sum, wish) => sum + lack(wish, there), 0);
  return required >= size - placed;
}

function bestOf(
  view: View,
  free: readonly [string, HostRecord][],
  { chosen, there, lacking, isFull = () => false, isAvoided }: {
    chosen: readonly string[];
    there: Around;
    lacking: readonly RegionWish[];
    isFull: PlacementOptions["isFull"] | undefined;
    isAvoided: (host: string) => boolean;
  },
): [string, HostRecord] | undefined {
  const rank = ([id, host]: [string, HostRecord]): readonly number[] => {
    const wished = lacking.findIndex((wish) => wish.region === host.region);
    return [
      isAvoided(id) ? 1 : 0,
      wished < 0 ? lacking.length : wished,
      host.domain === undefined ? 0 : there.domains.get(domainOf(host)) ?? 0,
      there.regions.get(host.region) ?? 0,
      isFull(id) ? 1 : 0,
      loadOf(view, id, host),
    ];
  };
  let best: [string, HostRecord] | undefined;
  let bestRank: readonly number[] = [];
  for (const one of free) {
    if (chosen.includes(one[0])) continue;
    const oneRank = rank(one);
    if (best === undefined || isLess(oneRank, bestRank, one[0], best[0])) {
      best = one;
      bestRank = oneRank;
    }
  }
  return best;
}

/** Nodes for what the NodeHost takes, in thousandths. */
export function loadOf(view: View, id: string, host: HostRecord): number {
  const nodes = view.load.get(id) ?? host.n;
  return Math.floor(nodes * 1_000 / Math.max(1, host.capacity ?? 1));
}

function isLess(
  a: readonly number[],
  b: readonly number[],
  idA: string,
  idB: string,
): boolean {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    if (value !== other) return value < other;
  }
  return idA < idB;
}

/** A voter that is in a region where it is not wished, while another region lacks one: it should move (M18). */
export function misplaced(
  view: View,
  image: ClusterImage,
): number | undefined {
  const { def } = image;
  if (def === undefined || def.regions.length === 0) return undefined;
  const there = around(view, image);
  const taken = occupied(view, image);
  const lacks = def.regions.filter((wish) => lack(wish, there) > 0);
  const canBe = lacks.some((wish) =>
    [...view.hosts].some(([id, host]) =>
      host.region === wish.region && !taken.has(id) &&
      !isAvoided(view, image, id) &&
      obstacle(view, host, def.app) === undefined
    )
  );
  if (!canBe) return undefined;
  const wished = new Map(def.regions.map((wish) => [wish.region, wish.count]));
  const free = def.size - [...wished.values()].reduce((sum, n) => sum + n, 0);
  let spare = free;
  const ids = Object.keys(image.members).map(Number).sort((a, b) => a - b);
  const seen = new Map<string, number>();
  for (const id of ids) {
    const member = image.members[id]!;
    const region = view.hosts.get(member.host ?? "")?.region;
    if (member.role !== "voter" || region === undefined) continue;
    count(seen, region);
    if ((seen.get(region) ?? 0) <= (wished.get(region) ?? 0)) continue;
    if (spare-- > 0) continue; // Wherever it likes.
    return id;
  }
  return undefined;
}
