/**
 * Commands that are packed (raw deflate) from the proposer to the state machine: on the wire, in memory and in every log. An
 * entry of the kind `packed` has this in the place of its command:
 *
 * ```text
 *  0  raw length (4B)  of the command
 *  4  the command, packed
 * ```
 */
import type { Compression } from "../storage/compression.ts";
import { entryKind } from "./core/entry_batch.ts";
import type { EntryCursor } from "./entries.ts";
import { RaftError } from "./errors.ts";

/** Shorter commands are not worth it. */
const minBytes = 128;
/** Longer than any command can be: an eighth of the largest segment. */
const maxRawBytes = 2 ** 28;
const headBytes = 4;

/** Packs a command; undefined if that makes it no shorter. */
export function packCommand(
  command: Uint8Array,
  compression: Compression,
): Uint8Array | undefined {
  if (command.length < minBytes) return undefined;
  const packed = compression.deflate(command);
  if (packed.length + headBytes >= command.length) return undefined;
  const bytes = new Uint8Array(headBytes + packed.length);
  new DataView(bytes.buffer).setUint32(0, command.length, true);
  bytes.set(packed, headBytes);
  return bytes;
}

/**
 * The command of the entry at the cursor: a view if it was not packed.
 *
 * @throws {RaftError} `corruption` if it cannot be unpacked: on every member alike, since all have the same bytes.
 */
export function commandOf(
  cursor: EntryCursor,
  compression: Compression,
): Uint8Array {
  const bytes = cursor.command();
  if (cursor.kind !== entryKind.packed) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const rawLength = bytes.length < headBytes ? 0 : view.getUint32(0, true);
  let command: Uint8Array | undefined;
  if (rawLength > 0 && rawLength <= maxRawBytes) {
    try {
      command = compression.inflate(bytes.subarray(headBytes), rawLength);
    } catch {
      // Told below, with the rest.
    }
  }
  if (command?.length === rawLength && rawLength > 0) return command;
  throw new RaftError(
    "corruption",
    `Cannot read entry ${cursor.index}: its command of ${rawLength} bytes cannot be unpacked`,
  );
}
