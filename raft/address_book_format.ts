/**
 * The file in which a NodeHost keeps where others have moved to. Integers are little-endian; 8-byte ones hold safe
 * integers. It may be lost, or left out of a backup.
 *
 * ```text
 *  0  magic    (8B)  "drkaddrs"
 *  8  version  (4B)  = 1
 * 12  length   (4B)  of the file
 * 16  count    (4B)  then, for each NodeHost:
 *       NodeHost id (text), incarnation (8B), address (text)
 * ..  crc32    (4B)  over all before it
 *
 * text  length (2B), UTF-8
 * ```
 */
import type { KnownAddress } from "./address_book.ts";
import { ByteReader, ByteWriter } from "./codec/bytes.ts";
import type { Crc32 } from "./core/types.ts";

const magic = "drkaddrs";
/** Version in the files that this library writes. */
export const addressBookVersion = 1;
const checksumBytes = 4;
/** Longest file that is read. */
export const maxAddressBookBytes: number = 4 * 1024 * 1024;

/** Encodes those that moved. */
export function encodeAddressBook(
  moved: readonly KnownAddress[],
  crc32: Crc32,
): Uint8Array {
  const writer = new ByteWriter();
  writer.reserve(20);
  for (const letter of magic) writer.uint8(letter.charCodeAt(0));
  writer.uint32(addressBookVersion);
  writer.uint32(0); // The length, below.
  writer.uint32(moved.length);
  for (const { nodeHostId, incarnation, raftAddress } of moved) {
    writer.text(nodeHostId);
    writer.reserve(8);
    writer.integer(incarnation);
    writer.text(raftAddress);
  }
  writer.reserve(checksumBytes);
  writer.uint32(0); // The checksum, below.
  const bytes = writer.concat();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(12, bytes.length, true);
  const end = bytes.length - checksumBytes;
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Decodes a file; a text says why it is none. */
export function decodeAddressBook(
  bytes: Uint8Array,
  crc32: Crc32,
): KnownAddress[] | string {
  const reader = new ByteReader(bytes);
  for (const letter of magic) {
    if (reader.uint8() !== letter.charCodeAt(0)) {
      return "it does not begin like one, at offset 0";
    }
  }
  const version = reader.uint32();
  if (version !== addressBookVersion) {
    return `its format version is ${version}, and this library reads ${addressBookVersion}`;
  }
  const end = bytes.length - checksumBytes;
  if (reader.uint32() !== bytes.length) {
    return `it has ${bytes.length} bytes, at offset 12 it says otherwise`;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint32(end, true) !== crc32(bytes.subarray(0, end))) {
    return `its checksum at offset ${end} does not fit`;
  }
  const count = reader.uint32();
  const moved: KnownAddress[] = [];
  for (let i = 0; i < count && reader.defect === undefined; i++) {
    moved.push({
      nodeHostId: reader.text(),
      incarnation: reader.integer(),
      raftAddress: reader.text(),
      isMoved: true,
    });
  }
  if (reader.defect !== undefined || reader.remaining !== checksumBytes) {
    return `its entries are none (${reader.defect ?? "trailing"})`;
  }
  return moved;
}
