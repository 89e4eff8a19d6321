/**
 * CBOR (RFC 8949) of reports and HTTP bodies. What is read comes from strangers, so its shape is checked before
 * the decoder sees it: a decoder believes the lengths that it is told, and would reserve memory for them.
 *
 * Accepted is one item, made of integers, floats, `true`, `false`, `null`, `undefined`, texts, arrays and maps of
 * definite length, at most {@link maxDepth} deep, the keys of maps texts or integers. Byte strings, tags and indefinite
 * lengths are refused.
 */
import { Decoder, Encoder } from "./deps.ts";

const maxDepth = 16;

const encoder = new Encoder({ useRecords: false, variableMapSize: true });
// Integers of eight bytes as numbers; whoever reads a field checks that it is a safe one.
const decoderOptions = { useRecords: false, int64AsNumber: true };
const decoder = new Decoder(decoderOptions);

/** Encodes plain values: no `bigint`, no typed arrays. */
export function encodeCbor(value: unknown): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encoder.encode(value)); // A copy: the encoder's buffer is bigger, and shared.
}

/**
 * Decodes one item that fills `bytes`.
 *
 * @throws {RangeError} if it is damaged, or holds what is not accepted.
 */
export function decodeCbor(bytes: Uint8Array): unknown {
  checkCbor(bytes);
  return decoder.decode(bytes);
}

/** Bytes of the argument that follows a head, by its low five bits; 28 to 31 are refused. */
function argumentBytes(low: number, at: number): number {
  if (low < 24) return 0;
  if (low > 27) {
    throw new RangeError(
      `Cannot read CBOR: byte ${at} has an indefinite or reserved length`,
    );
  }
  return 1 << (low - 24);
}

function readArgument(bytes: Uint8Array, at: number, low: number): number {
  const size = argumentBytes(low, at);
  if (size === 0) return low;
  if (at + 1 + size > bytes.length) {
    throw new RangeError("Cannot read CBOR: it ends in the middle of an item");
  }
  let value = 0;
  for (let i = 1; i <= size; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}

/** Walks over the items without building any, so that a length that is not true costs nothing. */
function checkCbor(bytes: Uint8Array): void {
  const open: number[] = [1]; // Items still to come, per level.
  const isMap: boolean[] = [false];
  let at = 0;
  while (open.length > 0) {
    const level = open.length - 1;
    const left = open[level] ?? 0;
    if (left === 0) {
      open.pop();
      isMap.pop();
      continue;
    }
    const isKey = isMap[level] === true && left % 2 === 0;
    open[level] = left - 1;
    if (at >= bytes.length) {
      throw new RangeError(
        "Cannot read CBOR: it ends in the middle of an item",
      );
    }
    const head = bytes[at] ?? 0;
    const major = head >> 5;
    const argument = readArgument(bytes, at, head & 31);
    const next = at + 1 + argumentBytes(head & 31, at);
    const rest = bytes.length - next;
    if (isKey && major > 1 && major !== 3) {
      throw new RangeError(
        `Cannot read CBOR: byte ${at} opens a map's key that is neither a text nor an integer`,
      );
    }
    if (major === 2 || major === 6 || (major === 7 && !isPlainSimple(head))) {
      throw new RangeError(
        `Cannot read CBOR: byte ${at} opens an item of a kind that is not used here`,
      );
    }
    at = next;
    if (major === 3) {
      if (argument > rest) {
        throw new RangeError(
          `Cannot read CBOR: a text of ${argument} bytes where ${rest} are left`,
        );
      }
      at += argument;
    } else if (major === 4 || major === 5) {
      const items = major === 4 ? argument : argument * 2;
      if (open.length >= maxDepth) {
        throw new RangeError(
          `Cannot read CBOR: it is nested deeper than ${maxDepth}`,
        );
      }
      open.push(items);
      isMap.push(major === 5);
    }
  }
  if (at !== bytes.length) {
    throw new RangeError(
      `Cannot read CBOR: ${bytes.length - at} bytes follow the item`,
    );
  }
}

/** `false`, `true`, `null`, `undefined`, and floats of two, four and eight bytes. */
function isPlainSimple(head: number): boolean {
  const low = head & 31;
  return (low >= 20 && low <= 23) || (low >= 25 && low <= 27);
}
