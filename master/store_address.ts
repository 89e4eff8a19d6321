/** Who may be at a Raft address (M17): one NodeHost at a time, and a new one only where the old one fell silent. */
import type { KvAtomic, KvEntry } from "./kv.ts";
import type { KvAccess } from "./kv_access.ts";
import {
  addressKey,
  type AddressRecord,
  hostKey,
  type HostRecord,
  readHost,
  schemaVersion,
  ttlOf,
} from "./schema.ts";

/** What a report's address means. */
export type AddressClaim =
  | {
    /** It is the NodeHost's own. */
    readonly kind: "own";
  }
  | {
    /** Another NodeHost that is alive is there. */
    readonly kind: "taken";
    readonly by: string;
  }
  | {
    /** It can have it. */
    readonly kind: "free";
    readonly entry: KvEntry;
    /** The NodeHost that was there, and is gone for good: its directory was replaced. */
    readonly replaces?: KvEntry;
    /** The address it had before. */
    readonly old?: KvEntry;
  };

/** The NodeHost that last reported from an address. */
export async function hostAt(
  access: KvAccess,
  address: string,
): Promise<string | undefined> {
  const { value } = await access.get(addressKey(address));
  return (value as AddressRecord | null)?.host;
}

/** Looks who is at an address. */
export async function claimAddress(
  access: KvAccess,
  claim: {
    readonly hostId: string;
    readonly address: string;
    readonly host: HostRecord | undefined;
    readonly tick: number;
    readonly ttl: number;
  },
): Promise<AddressClaim> {
  const { hostId, address, host, tick, ttl } = claim;
  if (host?.addr === address && host.conflict === undefined) {
    return { kind: "own" };
  }
  const keys = [addressKey(address)];
  if (host !== undefined && host.addr !== address) {
    keys.push(addressKey(host.addr));
  }
  const [entry, before] = await access.getMany(keys);
  const isMine = (one: KvEntry | undefined) =>
    (one?.value as AddressRecord | null)?.host === hostId;
  const old = isMine(before) ? { old: before! } : {};
  const there = (entry!.value as AddressRecord | null)?.host;
  if (there === undefined || there === hostId) {
    return { kind: "free", entry: entry!, ...old };
  }
  const other = await access.get(hostKey(there));
  const record = readHost(other.value);
  const isThere = record !== undefined && record.addr === address &&
    record.state !== "gone" && record.conflict === undefined;
  if (!isThere) return { kind: "free", entry: entry!, ...old };
  if (tick - record.tick <= ttlOf(record, ttl)) {
    return { kind: "taken", by: there };
  }
  return { kind: "free", entry: entry!, replaces: other, ...old };
}

/** Adds what a claim changes to the commit of a report. */
export function addClaim(
  atomic: KvAtomic,
  claim: AddressClaim,
  { hostId, address, w }: { hostId: string; address: string; w: string },
): void {
  if (claim.kind !== "free") return;
  const { entry, replaces, old } = claim;
  const value = { v: schemaVersion, w, host: hostId };
  atomic.check({ key: entry.key, versionstamp: entry.versionstamp })
    .set(addressKey(address), value satisfies AddressRecord);
  if (old !== undefined) {
    atomic.check({ key: old.key, versionstamp: old.versionstamp })
      .delete(old.key);
  }
  if (replaces !== undefined) {
    const gone = readHost(replaces.value)!;
    atomic.check({ key: replaces.key, versionstamp: replaces.versionstamp })
      .set(replaces.key, {
        ...gone,
        v: schemaVersion,
        w,
        state: "gone",
        cursor: 0,
        gen: (gone.gen ?? 0) + 1,
      });
  }
}
