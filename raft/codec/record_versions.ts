/**
 * Which wire version knows which record (rule I6). Version 1 is that of release 0.1.0; `docs/VERSIONS.md` lists what came
 * since. Who is sent more than its version knows ends the connection, which all clusters of two NodeHosts share.
 */
import {
  batchHeaderBytes,
  entryHasProposerKey,
  entryHasSession,
  entryHeaderBytes,
  entryKind,
  proposerKeyBytes,
} from "../core/entry_batch.ts";
import { needsChangeVersion2 } from "../core/membership_format.ts";
import { unreachable } from "../core/assert.ts";
import type { EntryBatch, Message } from "../core/types.ts";
import type { WireRecord } from "./record.ts";

/** Flags of batches that version 1 knows: the batch is one membership change. */
const firstFlags = 1;

/** The first wire version that knows a record, and all that is in it. */
export function wireVersionOf(record: WireRecord): 1 | 2 {
  switch (record.kind) {
    case "message":
      return versionOfMessage(record.message);
    case "forward":
      return areNewer(record.entries) ? 2 : 1;
    case "forwardChange":
      return needsChangeVersion2(record.change) ? 2 : 1;
    case "logHeld":
    case "remote":
    case "fetchEntries":
    case "fetchedEntries":
      return 2;
    case "hello":
    case "welcome":
    case "refused":
    case "forwarded":
    case "forwardTransfer":
      return 1;
    default:
      return unreachable(record); // A new kind does not compile until it has a version.
  }
}

function versionOfMessage(message: Message): 1 | 2 {
  switch (message.type) {
    case "append":
      return message.batches.some(needsVersion2) ? 2 : 1;
    case "snapshot": // Version 1 can read it, and does not heed it: it was for nobody.
    case "quiesce":
    case "quiesceResponse":
    case "stopped":
      return 2;
    case "appendResponse":
    case "heartbeat":
    case "heartbeatResponse":
    case "vote":
    case "voteResponse":
    case "preVote":
    case "preVoteResponse":
    case "timeoutNow":
    case "readIndex":
    case "readIndexResponse":
      return 1;
    default:
      return unreachable(message);
  }
}

/** Whether a batch has what version 1 does not know: sessions, payloads left out, an observer or a witness added. */
export function needsVersion2({ bytes, isConfigChange }: EntryBatch): boolean {
  if (bytes[1]! > firstFlags) return true;
  return isConfigChange && bytes[changeAt] !== 1;
}

/** Where the version of a membership change stands in its batch. */
const changeAt = batchHeaderBytes + entryHeaderBytes + proposerKeyBytes;

/** Whether some of the entries of a forwarded record have session fields or packed commands. Entries are well-formed. */
function areNewer(entries: Uint8Array): boolean {
  const view = new DataView(
    entries.buffer,
    entries.byteOffset,
    entries.length,
  );
  for (let at = 0; at + entryHeaderBytes <= entries.length;) {
    const head = view.getUint8(at);
    if ((head & entryHasSession) !== 0) return true;
    if ((head & ~entryHasProposerKey) === entryKind.packed) return true;
    at += entryHeaderBytes + proposerKeyBytes + view.getUint32(at + 1, true);
  }
  return false;
}
