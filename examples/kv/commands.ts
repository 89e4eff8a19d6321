/**
 * The commands of the key-value store, as they travel through the log. A command is replicated, lies on disks and is
 * read back by other versions of this program, so its bytes are drawn here and start with a version:
 *
 *     +-- version (1B) = 1 --+-- operation (1B) --+-- keyBytes (2B, LE) --+-- key (UTF-8) --+-- value ... --+
 *
 * Operation 1 is a put, whose value is the rest of the command (it may be empty). Operation 2 is a delete; nothing
 * follows its key.
 */

/** Sets a key. */
export interface Put {
  /** Which command this is. */
  readonly type: "put";
  /** The key. */
  readonly key: string;
  /** The value: a view of the command it was decoded from. */
  readonly value: Uint8Array;
}

/** Removes a key. */
export interface Delete {
  /** Which command this is. */
  readonly type: "delete";
  /** The key. */
  readonly key: string;
}

/** A command of the store. */
export type Command = Put | Delete;

/** Longest key in bytes of UTF-8. */
export const keyBytesMax = 16_384;

const version = 1;
const headerBytes = 4;
const operations = { put: 1, delete: 2 } as const;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function encode(
  operation: number,
  key: string,
  value: Uint8Array,
): Uint8Array {
  const keyBytes = encoder.encode(key);
  if (keyBytes.length === 0 || keyBytes.length > keyBytesMax) {
    throw new RangeError(
      `Cannot use this key: ${keyBytes.length} bytes are not from 1 to ${keyBytesMax}`,
    );
  }
  const command = new Uint8Array(headerBytes + keyBytes.length + value.length);
  command[0] = version;
  command[1] = operation;
  command[2] = keyBytes.length & 0xff;
  command[3] = keyBytes.length >> 8;
  command.set(keyBytes, headerBytes);
  command.set(value, headerBytes + keyBytes.length);
  return command;
}

/**
 * Encodes a put.
 *
 * @throws {RangeError} if the key is empty or too long.
 */
export function encodePut(key: string, value: Uint8Array): Uint8Array {
  return encode(operations.put, key, value);
}

/**
 * Encodes a delete.
 *
 * @throws {RangeError} if the key is empty or too long.
 */
export function encodeDelete(key: string): Uint8Array {
  return encode(operations.delete, key, new Uint8Array(0));
}

/**
 * Decodes a command, or returns undefined for bytes that are none. It does not throw: the bytes are in the log of
 * every node already, and each of them must come to the same result.
 */
export function decodeCommand(bytes: Uint8Array): Command | undefined {
  if (bytes.length < headerBytes || bytes[0] !== version) return undefined;
  const keyBytes = bytes[2]! | (bytes[3]! << 8);
  const valueStart = headerBytes + keyBytes;
  if (keyBytes === 0 || valueStart > bytes.length) return undefined;
  let key: string;
  try {
    key = decoder.decode(bytes.subarray(headerBytes, valueStart));
  } catch {
    return undefined;
  }
  switch (bytes[1]) {
    case operations.put:
      return { type: "put", key, value: bytes.subarray(valueStart) };
    case operations.delete:
      return valueStart === bytes.length ? { type: "delete", key } : undefined;
    default:
      return undefined;
  }
}
