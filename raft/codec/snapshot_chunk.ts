/**
 * What travels on a connection that carries one snapshot, after the handshake. The sender offers, the receiver
 * accepts or refuses; then the snapshot's file travels in chunks, each acknowledged when it was written, so that
 * neither side holds more than a window of them; at the end the receiver says whether the file is durable.
 *
 * ```text
 *   sender    offer               chunk chunk chunk ...                   chunk
 *   receiver        accept                    progress  progress ...            progress  done
 *                   or refused                or, at any time, failed
 * ```
 *
 * Every frame begins with its kind. Integers are little-endian, 64-bit ones hold safe integers, texts are UTF-8
 * behind their length (2B).
 *
 * ```text
 * 32 offer     version (1B) = 1, or 2 if the length of the file is not known yet: it then ends where the file says, and
 *              file bytes is 0, cluster (8B), from (8B), to (8B), sender's term (8B), index (8B), term at index (8B),
 *              file bytes (8B), generation (8B), fingerprint (text), membership (to the end)
 * 33 accept
 * 34 refused   reason (text)
 * 35 chunk     offset (8B), crc32 (4B) over offset and data, data (to the end)
 * 36 progress  bytes written (8B)
 * 37 done
 * 38 failed    reason (text)
 * ```
 */
import { setUint64 } from "../core/entry_batch.ts";
import {
  decodeMembership,
  encodeMembership,
} from "../core/membership_format.ts";
import type { Crc32, SnapshotMeta } from "../core/types.ts";
import { ByteReader, ByteWriter, type CodecDefect } from "./bytes.ts";

/** Version of an offer of a file. */
export const snapshotOfferVersion = 1;
/** Version of an offer of what is being written. */
export const snapshotOfferVersion2 = 2;
/** Largest frame of a chunk: with its head it fits in 256 KiB. */
export const snapshotChunkFrameBytes = 256 * 1024;
/** Bytes of a chunk's frame before the data. */
export const snapshotChunkHeadBytes = 13;
/** Most data that one chunk carries. */
export const snapshotChunkBytes = snapshotChunkFrameBytes -
  snapshotChunkHeadBytes;

const kinds = {
  offer: 32,
  accept: 33,
  refused: 34,
  chunk: 35,
  progress: 36,
  done: 37,
  failed: 38,
} as const;

/** A snapshot that a leader wants to send to a node. */
export interface SnapshotOffer {
  /** The cluster. */
  readonly clusterId: number;
  /** The sending node. */
  readonly from: number;
  /** The receiving node. */
  readonly to: number;
  /** The sender's term. */
  readonly term: number;
  /** Where the snapshot stands in the log. */
  readonly meta: SnapshotMeta;
  /** Size of its file, 0 if it is not known yet. */
  readonly fileBytes: number;
  /** Digest of the cluster's initial members (rule I3). */
  readonly fingerprint: string;
  /** Generation of the cluster (rule I3). */
  readonly generation: number;
}

/** One frame of a snapshot transfer. */
export type SnapshotFrame =
  | { readonly kind: "offer"; readonly offer: SnapshotOffer }
  | { readonly kind: "accept" }
  | { readonly kind: "refused"; readonly reason: string }
  | {
    readonly kind: "chunk";
    readonly offset: number;
    readonly data: Uint8Array;
  }
  | { readonly kind: "progress"; readonly bytes: number }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly reason: string };

/** Why bytes are not a frame of a snapshot transfer. */
export type SnapshotFrameDefect = CodecDefect | "crc" | "version";

/** Encodes a frame, in parts; a chunk's data are not copied and must not change. */
export function encodeSnapshotFrame(
  frame: SnapshotFrame,
  crc32: Crc32,
): Uint8Array[] {
  if (frame.kind === "chunk") return encodeChunk(frame, crc32);
  const writer = new ByteWriter();
  writer.reserve(80);
  writer.uint8(kinds[frame.kind]);
  if (frame.kind === "offer") writeOffer(writer, frame.offer);
  if (frame.kind === "progress") writer.integer(frame.bytes);
  if (frame.kind === "refused" || frame.kind === "failed") {
    writer.text(frame.reason);
  }
  return writer.takeParts();
}

/** Decodes a frame. Never throws for what it is given; a chunk's data are a view of `bytes`. */
export function decodeSnapshotFrame(
  bytes: Uint8Array,
  crc32: Crc32,
): SnapshotFrame | SnapshotFrameDefect {
  const reader = new ByteReader(bytes);
  const kind = reader.uint8();
  if (reader.defect !== undefined) return reader.defect;
  switch (kind) {
    case kinds.offer:
      return readOffer(reader);
    case kinds.accept:
      return atEnd(reader, { kind: "accept" });
    case kinds.refused:
      return atEnd(reader, { kind: "refused", reason: reader.text() });
    case kinds.chunk:
      return readChunk(reader, bytes, crc32);
    case kinds.progress:
      return atEnd(reader, { kind: "progress", bytes: reader.integer() });
    case kinds.done:
      return atEnd(reader, { kind: "done" });
    case kinds.failed:
      return atEnd(reader, { kind: "failed", reason: reader.text() });
    default:
      return "kind";
  }
}

function encodeChunk(
  chunk: { readonly offset: number; readonly data: Uint8Array },
  crc32: Crc32,
): Uint8Array[] {
  const head = new Uint8Array(snapshotChunkHeadBytes);
  const view = new DataView(head.buffer);
  head[0] = kinds.chunk;
  setUint64(view, 1, chunk.offset);
  view.setUint32(9, crc32(chunk.data, crc32(head.subarray(1, 9))), true);
  return [head, chunk.data];
}

function writeOffer(writer: ByteWriter, offer: SnapshotOffer): void {
  writer.uint8(
    offer.fileBytes === 0 ? snapshotOfferVersion2 : snapshotOfferVersion,
  );
  writer.integer(offer.clusterId);
  writer.integer(offer.from);
  writer.integer(offer.to);
  writer.integer(offer.term);
  writer.integer(offer.meta.index);
  writer.integer(offer.meta.term);
  writer.integer(offer.fileBytes);
  writer.integer(offer.generation);
  writer.text(offer.fingerprint);
  writer.bytes(encodeMembership(offer.meta.membership));
}

function readOffer(reader: ByteReader): SnapshotFrame | SnapshotFrameDefect {
  // Refused by name, never guessed (rule L8).
  const version = reader.uint8();
  const isStreamed = version === snapshotOfferVersion2;
  if (
    reader.defect === undefined && version !== snapshotOfferVersion &&
    !isStreamed
  ) return "version";
  const fields = {
    clusterId: reader.id(),
    from: reader.id(),
    to: reader.id(),
    term: reader.id(),
    index: reader.id(),
    termAtIndex: reader.id(),
    fileBytes: isStreamed ? reader.integer() : reader.id(),
    generation: reader.integer(),
    fingerprint: reader.text(),
  };
  if (isStreamed && fields.fileBytes !== 0) reader.fail("range");
  if (reader.defect !== undefined) return reader.defect;
  const membership = decodeMembership(reader.bytes(reader.remaining));
  if (membership === undefined) return "membership";
  const { index, termAtIndex, ...offer } = fields;
  const meta = { index, term: termAtIndex, membership };
  return { kind: "offer", offer: { ...offer, meta } };
}

function readChunk(
  reader: ByteReader,
  bytes: Uint8Array,
  crc32: Crc32,
): SnapshotFrame | SnapshotFrameDefect {
  const offset = reader.integer();
  const checksum = reader.uint32();
  const data = reader.bytes(reader.remaining);
  if (reader.defect !== undefined) return reader.defect;
  if (data.length === 0) return "short";
  if (crc32(data, crc32(bytes.subarray(1, 9))) !== checksum) return "crc";
  return { kind: "chunk", offset, data };
}

function atEnd(
  reader: ByteReader,
  frame: SnapshotFrame,
): SnapshotFrame | SnapshotFrameDefect {
  if (reader.remaining > 0) reader.fail("trailing");
  return reader.defect ?? frame;
}
