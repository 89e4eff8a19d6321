/** The invariant of a master's store: what follows from a cluster's record is stored beside it, and nothing else. */
import type { KvKey } from "../../master/kv.ts";
import {
  readCluster,
  type SlotName,
  type SlotRecord,
} from "../../master/schema.ts";
import { indexOf } from "../../master/store_index.ts";
import type { MemoryKv } from "./memory_kv.ts";

/** The clusters that keys are about. */
function clustersOf(kv: MemoryKv, keys: readonly KvKey[]): Set<number> {
  const ids = new Set<number>();
  for (const key of keys) {
    if (key[0] === "c" || key[0] === "att") ids.add(Number(key[1]));
    if (key[0] === "m" || key[0] === "q") ids.add(Number(key[2]));
    if (key[0] === "slot") {
      const { value } = kv.peek(key);
      if (value !== null) ids.add((value as SlotRecord).cluster);
    }
  }
  return ids;
}

/** What is wrong about the clusters that `keys` are about; `undefined` if nothing is. */
export function checkIndexes(
  kv: MemoryKv,
  keys: readonly KvKey[],
): string | undefined {
  const ids = clustersOf(kv, keys);
  if (ids.size === 0) return undefined;
  const stored = {
    m: kv.peekAll(["m"]),
    q: kv.peekAll(["q"]),
    slot: kv.peekAll(["slot"]),
  };
  for (const id of ids) {
    const image = readCluster(kv.peek(["c", id]).value);
    const index = indexOf(image, "");
    const members = stored.m.filter(({ key }) => key[2] === id)
      .map(({ key, value }) => `${key[1]} ${(value as { node: number }).node}`);
    const requests = stored.q.filter(({ key }) => key[2] === id)
      .map(({ key, value }) => `${key[1]} ${(value as { n: number }).n}`);
    const slots = stored.slot
      .filter(({ value }) => (value as SlotRecord).cluster === id)
      .map(({ key }) => (key.slice(1) as SlotName).join());
    const wanted = {
      m: [...index.members].map(([host, node]) => `${host} ${node}`),
      q: [...index.requests].map(([host, { n }]) => `${host} ${n}`),
      slot: index.slots.map((slot) => slot.join()),
    };
    const problem = differs("m", id, members, wanted.m) ??
      differs("q", id, requests, wanted.q) ??
      differs("slot", id, slots, wanted.slot);
    if (problem !== undefined) return problem;
    const isListed = kv.peek(["att", id]).value !== null;
    if (index.needsAttention && !isListed) {
      return `cluster ${id} needs attention and is not on the list`;
    }
  }
  return undefined;
}

function differs(
  name: string,
  id: number,
  stored: string[],
  wanted: string[],
): string | undefined {
  if (stored.sort().join() === wanted.sort().join()) return undefined;
  return `["${name}"] of cluster ${id} holds ${stored.join("; ")} instead of ${
    wanted.join("; ")
  }`;
}
