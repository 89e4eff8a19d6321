/**
 * Which NodeHosts a report asks masters for: those that carry members of clusters here, and that there is no connection
 * with. They may have moved, and where to is known to masters from their own reports (M17).
 */
import { allMembers } from "./core/members.ts";
import type { Node } from "./node.ts";
import type { HostAddress } from "../master/protocol.ts";

/** One report asks for no more. */
const maxSought = 8;
/** One that stays away, perhaps for ever, is asked for in every so many reports. */
const longestPause = 16;
const maxAddressLength = 255;

/** NodeHosts that carry members of the clusters of `nodes`, by id, as far as `isConnected` does not hold for them. */
export function unreached(
  nodes: readonly Node[],
  isConnected: (nodeHostId: string) => boolean,
): string[] {
  const connected = new Map<string, boolean>();
  for (const { routes, nodeId: own, peer } of nodes) {
    for (const { nodeId } of allMembers(peer.membership())) {
      if (nodeId === own) continue;
      const id = routes.knownNodeHost(nodeId);
      if (id !== "" && !connected.has(id)) connected.set(id, isConnected(id));
    }
  }
  return [...connected].filter(([, isUp]) => !isUp).map(([id]) => id).sort();
}

/** How often one was asked for, and in which report it is asked for again. */
interface Search {
  readonly askedCount: number;
  readonly dueAt: number;
}

/** What the reports of one NodeHost ask for: each at once, and then less and less often. */
export class Seeking {
  readonly #searches = new Map<string, Search>();
  #reportCount = 0;

  /** Those to ask for in the next report; `missing` are all that cannot be reached. */
  next(missing: readonly string[]): string[] {
    this.#reportCount++;
    const isMissing = new Set(missing);
    for (const id of [...this.#searches.keys()]) {
      if (!isMissing.has(id)) this.#searches.delete(id);
    }
    const dueAt = (id: string) => this.#searches.get(id)?.dueAt ?? 0;
    return missing.filter((id) => dueAt(id) <= this.#reportCount)
      .sort((a, b) => dueAt(a) - dueAt(b) || (a < b ? -1 : 1))
      .slice(0, maxSought);
  }

  /** A master has taken the report that asked for `ids`. */
  asked(ids: readonly string[]): void {
    for (const id of ids) {
      const askedCount = (this.#searches.get(id)?.askedCount ?? 0) + 1;
      const pause = Math.min(2 ** (askedCount - 1), longestPause);
      const dueAt = this.#reportCount + pause;
      this.#searches.set(id, { askedCount, dueAt });
    }
  }
}

/** What a reply says of those that were asked for; it comes from afar, so whatever else is in it is passed over. */
export function readAddresses(
  value: unknown,
  sought: readonly string[],
): HostAddress[] {
  if (!Array.isArray(value)) return [];
  const asked = new Set(sought);
  const found: HostAddress[] = [];
  for (const one of value.slice(0, maxSought) as Partial<HostAddress>[]) {
    const { nodeHostId, nodeHostAddress, boot } = one ?? {};
    const isOne = typeof nodeHostId === "string" && asked.has(nodeHostId) &&
      typeof nodeHostAddress === "string" &&
      nodeHostAddress.length <= maxAddressLength &&
      typeof boot === "number" && Number.isSafeInteger(boot) && boot > 0;
    if (isOne) found.push({ nodeHostId, nodeHostAddress, boot });
  }
  return found;
}
