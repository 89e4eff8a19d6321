/**
 * Two processes under one id (M10): a folder was copied, or a machine came back that was believed gone. Each opening of a
 * folder counts `boot` up, so the older one is known by its reports, which change nothing. A few of them may merely be
 * late; those that go on are of a process that runs, and that is an alarm, once. The newer one is believed.
 */
import { addEvent } from "./history.ts";
import type { KvEntry } from "./kv.ts";
import type { NodeHostInfo } from "./protocol.ts";
import { type ClockRecord, type HostRecord, schemaVersion } from "./schema.ts";
import type { StoreContext } from "./store_context.ts";

/** So many reports may have been under way when the older process ended. */
const lateMax = 2;

/** Looks at a report of an older boot, and writes if it is an alarm. */
export async function watchRival(
  { access, onEvent }: StoreContext,
  { clock, host, hostEntry: { key, versionstamp } }: {
    clock: ClockRecord;
    host: HostRecord;
    hostEntry: KvEntry;
  },
  { boot, seq, nodeHostId }: NodeHostInfo,
): Promise<void> {
  const { rival } = host;
  if (rival === undefined || rival.isTold || boot !== rival.boot) return;
  if (seq === undefined || seq <= rival.seq + lateMax) return;
  const w = access.randomHex(8);
  const told = { ...host, rival: { boot, seq, isTold: true } };
  const atomic = access.atomic().check({ key, versionstamp })
    .set(key, { ...told, v: schemaVersion, w });
  const event = addEvent({ access, tick: clock.tick }, atomic, {
    host: nodeHostId,
    what: "interleaved",
    why:
      `two processes report under its id: boot ${boot} goes on although boot ${host.boot} began`,
  });
  const { ok } = await access.tryCommit(atomic);
  if (ok) onEvent?.(event);
}
