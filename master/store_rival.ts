/**
 * Two processes under one id (M10): a folder was copied, or a machine came back that was believed gone. Each opening of a
 * folder counts `boot` up, so the older one is known by its reports, which change nothing. A few of them may merely be
 * late; those that go on are of a process that runs, and that is an alarm, once. The newer one is believed.
 *
 * Copies that were opened equally often differ in their address. An address changes only by opening a folder anew (M17), so
 * the second one is refused, and that is an alarm as well.
 */
import { RaftError } from "../raft/errors.ts";
import { addEvent, commitAndTell } from "./history.ts";
import type { KvEntry } from "./kv.ts";
import type { NodeHostInfo } from "./protocol.ts";
import { type ClockRecord, type HostRecord, schemaVersion } from "./schema.ts";
import type { StoreContext } from "./store_context.ts";

/** So many reports may have been under way when the older process ended. */
const lateMax = 2;

interface Known {
  readonly clock: ClockRecord;
  readonly host: HostRecord;
  readonly hostEntry: KvEntry;
}

/** Looks at a report of an older boot, and writes if it is an alarm. */
export async function watchRival(
  context: StoreContext,
  known: Known,
  info: NodeHostInfo,
): Promise<void> {
  const { boot, seq } = info;
  const { rival, boot: newest } = known.host;
  if (rival === undefined || rival.isTold || boot !== rival.boot) return;
  if (seq === undefined || seq <= rival.seq + lateMax) return;
  await tell(context, known, info, {
    rival: { boot, seq, isTold: true },
    why: `boot ${boot} goes on although boot ${newest} began`,
  });
}

/**
 * Refuses a report from another address that the same boot cannot have moved to.
 *
 * @throws {RaftError} `rejected` if it is one.
 */
export async function refuseCopy(
  context: StoreContext,
  known: Known,
  info: NodeHostInfo,
): Promise<void> {
  const { boot, seq = 0, nodeHostId, nodeHostAddress: address } = info;
  const { host } = known;
  if (boot === undefined || boot !== host.boot || address === host.addr) return;
  if (boot === 0 || host.revoked === true) return;
  if (host.rival?.boot !== boot) {
    await tell(context, known, info, {
      rival: { boot, seq, isTold: true },
      why: `boot ${boot} is at ${host.addr} and at ${address}`,
    });
  }
  throw new RaftError(
    "rejected",
    `Cannot take the report of ${nodeHostId}: another process of the same boot is at ${host.addr}; is its folder a copy?`,
  );
}

async function tell(
  context: StoreContext,
  { clock, host, hostEntry: { key, versionstamp } }: Known,
  { nodeHostId }: NodeHostInfo,
  { rival, why }: { rival: HostRecord["rival"] & object; why: string },
): Promise<void> {
  const { access } = context;
  const w = access.randomHex(8);
  const atomic = access.atomic().check({ key, versionstamp })
    .set(key, { ...host, rival, v: schemaVersion, w });
  const event = addEvent({ access, tick: clock.tick }, atomic, {
    host: nodeHostId,
    what: "interleaved",
    why: `two processes report under its id: ${why}`,
  });
  await commitAndTell(context, atomic, [event]);
}
