/** Entries for tests of the core, in the layout that `raft/core/entry_batch.ts` draws. */
import { crc32 as nodeCrc32 } from "./deps.ts";
import {
  batchHeaderBytes,
  entryHasProposerKey,
  entryHasSession,
  entryHeaderBytes,
  entryKind,
  proposerKeyBytes,
  sealBatch,
  sessionFieldBytes,
} from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";

/** The checksum of batches. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return nodeCrc32(bytes, seed);
}

/** Room for a batch header, then one application entry per command. */
export function encodeEntries(commands: readonly string[]): Uint8Array {
  const encoded = commands.map((command) => new TextEncoder().encode(command));
  let length = batchHeaderBytes;
  for (const command of encoded) length += entryHeaderBytes + command.length;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = batchHeaderBytes;
  for (const command of encoded) {
    view.setUint8(at, entryKind.application);
    view.setUint32(at + 1, command.length, true);
    bytes.set(command, at + entryHeaderBytes);
    at += entryHeaderBytes + command.length;
  }
  return bytes;
}

/** A sealed batch of application entries. */
export function makeBatch(
  batch: { term: number; firstIndex: number; commands: readonly string[] },
): EntryBatch {
  return sealBatch(encodeEntries(batch.commands), {
    term: batch.term,
    firstIndex: batch.firstIndex,
    entryCount: batch.commands.length,
    isConfigChange: false,
  }, crc32);
}

/** One entry as it lies in a batch. */
export interface DecodedEntry {
  readonly index: number;
  readonly kind: number;
  readonly command: Uint8Array;
}

/** All entries of a batch. */
export function decodeEntries(batch: EntryBatch): DecodedEntry[] {
  const { bytes } = batch;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: DecodedEntry[] = [];
  let at = batchHeaderBytes;
  for (let index = batch.firstIndex; index <= batch.lastIndex; index++) {
    const flags = view.getUint8(at);
    const length = view.getUint32(at + 1, true);
    at += entryHeaderBytes;
    if (flags & entryHasProposerKey) at += proposerKeyBytes;
    if (flags & entryHasSession) at += sessionFieldBytes;
    const command = bytes.subarray(at, at + length);
    entries.push({ index, kind: flags & 0x0f, command });
    at += length;
  }
  return entries;
}
