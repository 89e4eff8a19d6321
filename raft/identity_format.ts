/**
 * The format of a directory's identity file. Integers are little-endian; floats are IEEE 754 doubles, since platforms
 * have inodes beyond the safe integers.
 *
 * ```text
 *  0  magic           (8B)  "drkident"
 *  8  version         (4B)  = 1
 * 12  length          (4B)  of the file
 * 16  NodeHost id    (16B)  random
 * 32  incarnation     (8B)  at least 1
 * 40  deployment id   (8B)  0 while it is not known
 * 48  folder's inode  (8B, float)  0 where the platform has none; the same for the next three
 * 56  lock's inode    (8B, float)
 * 64  lock's birth    (8B, float)  milliseconds since 1970
 * 72  device          (8B, float)
 * 80  raft address          UTF-8, behind its length (2B)
 * ..  crc32           (4B)  over all before it
 * ```
 */
import { getUint64, setUint64 } from "./core/entry_batch.ts";
import type { Crc32 } from "./core/types.ts";
import { RaftError } from "./errors.ts";

/** Version in the identity files that this library writes. */
export const identityFormatVersion = 1;

const magic = "drkident";
const fixedBytes = 82;
const checksumBytes = 4;
/** Longest file that can be one. */
export const maxIdentityBytes: number = fixedBytes + 0xffff + checksumBytes;
/** Where a directory lies; 0 where the platform does not say. */
export interface DirectoryPlace {
  /** Inode of the folder. */
  readonly folderInode: number;
  /** Inode of its lock file. */
  readonly lockInode: number;
  /** When the lock file was made, in milliseconds since 1970. */
  readonly lockBirthMs: number;
  /** Device of the folder. */
  readonly device: number;
}

/** What the file says. */
export interface Identity {
  /** 32 hexadecimal digits. */
  readonly nodeHostId: string;
  /** Raised at each opening. */
  readonly incarnation: number;
  /** 0n: not known. */
  readonly deploymentId: bigint;
  /** Where other NodeHosts reach this one. */
  readonly raftAddress: string;
  /** Where the directory lay when this was written. */
  readonly place: DirectoryPlace;
}

/** Encodes an identity. */
export function encodeIdentity(identity: Identity, crc32: Crc32): Uint8Array {
  const address = new TextEncoder().encode(identity.raftAddress);
  const bytes = new Uint8Array(fixedBytes + address.length + checksumBytes);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < magic.length; i++) bytes[i] = magic.charCodeAt(i);
  view.setUint32(8, identityFormatVersion, true);
  view.setUint32(12, bytes.length, true);
  for (let i = 0; i < 16; i++) {
    bytes[16 + i] = parseInt(identity.nodeHostId.slice(2 * i, 2 * i + 2), 16);
  }
  setUint64(view, 32, identity.incarnation);
  view.setBigUint64(40, identity.deploymentId, true);
  const { folderInode, lockInode, lockBirthMs, device } = identity.place;
  [folderInode, lockInode, lockBirthMs, device].forEach((value, i) =>
    view.setFloat64(48 + 8 * i, value, true)
  );
  view.setUint16(80, address.length, true);
  bytes.set(address, fixedBytes);
  const end = bytes.length - checksumBytes;
  view.setUint32(end, crc32(bytes.subarray(0, end)), true);
  return bytes;
}

/** Reads the identity in `path`. @throws {RaftError} `corruption`, with path and offset. */
export function decodeIdentity(
  bytes: Uint8Array,
  path: string,
  crc32: Crc32,
): Identity {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const fail = (what: string) =>
    new RaftError(
      "corruption",
      `Cannot read identity ${path}: ${what}; restore the file, or start with an empty directory and new node ids`,
    );
  if (bytes.length < fixedBytes + checksumBytes) {
    throw fail(`it ends at offset ${bytes.length}`);
  }
  for (let i = 0; i < magic.length; i++) {
    if (bytes[i] !== magic.charCodeAt(i)) {
      throw fail("it does not begin like an identity, at offset 0");
    }
  }
  const version = view.getUint32(8, true);
  if (version !== identityFormatVersion) {
    throw fail(
      `its format version is ${version}, and this library reads ${identityFormatVersion}`,
    );
  }
  const end = bytes.length - checksumBytes;
  const addressBytes = view.getUint16(80, true);
  if (
    view.getUint32(12, true) !== bytes.length ||
    fixedBytes + addressBytes !== end
  ) {
    throw fail(`it has ${bytes.length} bytes, at offset 12 it says otherwise`);
  }
  const expected = view.getUint32(end, true);
  const found = crc32(bytes.subarray(0, end));
  if (found !== expected) {
    throw fail(
      `its checksum at offset ${end} is ${hex(expected, 8)}, found ${
        hex(found, 8)
      }`,
    );
  }
  const incarnation = getUint64(view, 32);
  if (!Number.isSafeInteger(incarnation) || incarnation < 1) {
    throw fail("its incarnation at offset 32 is out of range");
  }
  return {
    nodeHostId: hexOf(bytes.subarray(16, 32)),
    incarnation,
    deploymentId: view.getBigUint64(40, true),
    raftAddress: new TextDecoder().decode(bytes.subarray(fixedBytes, end)),
    place: {
      folderInode: view.getFloat64(48, true),
      lockInode: view.getFloat64(56, true),
      lockBirthMs: view.getFloat64(64, true),
      device: view.getFloat64(72, true),
    },
  };
}

/** Bytes as hexadecimal digits. */
export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => hex(byte, 2)).join("");
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
