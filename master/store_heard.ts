/**
 * A report that cannot be read still says that its NodeHost is alive (M5): who sends nonsense, or too much, is not to be
 * replaced for it. It must have proved who it is, since there is nothing in the body to believe: a ticket alone may be
 * older than what an operator made void.
 */
import type { KvEntry } from "./kv.ts";
import {
  clockKey,
  hostKey,
  readClock,
  readHost,
  schemaVersion,
} from "./schema.ts";
import type { StoreContext } from "./store_context.ts";
import { isSecretOf } from "./wire/mod.ts";

/** Notes that a known NodeHost was heard, once a tick. If the write fails, its next report does as well. */
export async function noteHeard(
  { access }: StoreContext,
  hostId: string,
  secret: string,
): Promise<void> {
  const [clockEntry, entry] = await access.getMany([
    clockKey,
    hostKey(hostId),
  ]) as [KvEntry, KvEntry];
  const host = readHost(entry.value);
  const nowMs = access.now();
  const { tick } = readClock(clockEntry.value, nowMs);
  if (host === undefined || host.revoked === true) return;
  const { secretHash } = host;
  if (secretHash === undefined || !isSecretOf(secret, secretHash)) return;
  // Whoever was given up tells everything anew first.
  if (host.state !== "ok" || host.tick === tick) return;
  const w = access.randomHex(8);
  const atomic = access.atomic()
    .check({ key: entry.key, versionstamp: entry.versionstamp })
    .set(entry.key, { ...host, tick, atMs: nowMs, v: schemaVersion, w });
  await access.tryCommit(atomic);
}
