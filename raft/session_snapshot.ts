/** The table of the clients' sessions in a snapshot: blocks of their own kind, before all others. */
import { blockKind } from "../storage/snapshot_format.ts";
import type { SnapshotBlock } from "../storage/snapshot_format.ts";
import { RaftError } from "./errors.ts";
import { SessionTable } from "./sessions.ts";

/** More than any table takes. */
const maxTableBytes = 64 * 1024 * 1024;

/** A snapshot that was opened for reading. */
export interface SnapshotBlocks {
  /** For errors. */
  readonly path: string;
  /** Every block, in order. */
  blocks(): AsyncGenerator<SnapshotBlock>;
  /** The data of a block. */
  unpack(block: SnapshotBlock): Uint8Array;
}

/**
 * Reads the table of sessions in a snapshot; an empty one if there is none. `generation` is the cluster's.
 *
 * @throws {RaftError} `corruption` if it is damaged, or of an unknown version.
 */
export async function readSessions(
  snapshot: SnapshotBlocks,
  generation: number,
): Promise<SessionTable> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const block of snapshot.blocks()) {
    if (block.kind !== blockKind.sessions) break;
    const data = snapshot.unpack(block);
    length += data.length;
    if (length > maxTableBytes) {
      throw defect(snapshot, `it has more than ${maxTableBytes} bytes`);
    }
    pieces.push(data);
  }
  if (length === 0) return new SessionTable();
  const table = SessionTable.decode(joined(pieces, length), generation);
  if (typeof table === "string") throw defect(snapshot, table);
  return table;
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function defect(snapshot: SnapshotBlocks, what: string): RaftError {
  return new RaftError(
    "corruption",
    `Cannot read snapshot ${snapshot.path}: its table of sessions is not one: ${what}`,
  );
}
