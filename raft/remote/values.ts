/**
 * Queries and answers as bytes, for reads that travel to another NodeHost (rule C7): CBOR (RFC 8949), and of that only
 * what the values below need, because what arrives may be anything. Nothing of it is ever replicated or stored.
 *
 * ```text
 * null, undefined, booleans  simple values
 * number      an integer of at most 53 bits, or a float of 64 bits (so -0 and NaN survive)
 * bigint      tag 2 or 3: a byte string, big-endian
 * string      text string; must be well-formed
 * Uint8Array  byte string
 * array       array
 * object      map with text keys; only plain ones
 * Map         tag 259: a map
 * Set         tag 258: an array
 * Date        tag 1: seconds since 1970, a float
 * ```
 */
import { ByteReader, ByteWriter } from "../codec/bytes.ts";
import type { CodecDefect } from "../codec/bytes.ts";
import { RaftError } from "../errors.ts";

const maxDepth = 64;
/** An empty map takes one byte on the wire and a hundred here, so they are counted. */
const maxValues = 1_000_000;
const maxBigintBytes = 64 * 1024;

const major = {
  unsigned: 0,
  negative: 1,
  bytes: 2,
  text: 3,
  array: 4,
  map: 5,
  tag: 6,
} as const;
const simple = { false: 0xf4, true: 0xf5, null: 0xf6, undefined: 0xf7 };
const float64 = 0xfb;
const tag = { date: 1, bigint: 2, negativeBigint: 3, set: 258, map: 259 };

const textEncoder = new TextEncoder();
const textDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Encodes a value; `what` names it in errors.
 *
 * @throws {TypeError} if it, or something in it, cannot travel.
 * @throws {RaftError} `payloadTooBig` if it takes more than `maxBytes`.
 */
export function encodeValue(
  value: unknown,
  what: string,
  maxBytes: number,
): Uint8Array {
  const encoder = new Encoder(what, maxBytes);
  encoder.value(value, 0, () => what);
  return encoder.writer.concat();
}

/** Tells where in a value something is; asked only when it must be told. */
type Path = () => string;

class Encoder {
  readonly writer = new ByteWriter();
  readonly #what: string;
  readonly #maxBytes: number;
  #bytes = 0;
  #count = 0;

  constructor(what: string, maxBytes: number) {
    this.#what = what;
    this.#maxBytes = maxBytes;
  }

  value(value: unknown, depth: number, path: Path): void {
    if (++this.#count > maxValues) {
      throw this.#refusal(`it has more than ${maxValues} values in it`);
    }
    if (depth > maxDepth) {
      throw this.#refusal(
        `it is nested more than ${maxDepth} deep, or contains itself`,
      );
    }
    switch (typeof value) {
      case "undefined":
        return this.#byte(simple.undefined);
      case "boolean":
        return this.#byte(value ? simple.true : simple.false);
      case "number":
        return this.#number(value);
      case "bigint":
        return this.#bigint(value, path);
      case "string":
        return this.#text(value, path);
      case "object":
        return this.#object(value, depth, path);
      default:
        throw this.#refusal(`${path()} is a ${typeof value}`);
    }
  }

  #object(value: object | null, depth: number, path: Path): void {
    if (value === null) return this.#byte(simple.null);
    if (value instanceof Uint8Array) {
      this.#head(major.bytes, value.length);
      return this.#raw(value.slice());
    }
    if (Array.isArray(value)) {
      this.#head(major.array, value.length);
      for (let i = 0; i < value.length; i++) {
        this.value(value[i], depth + 1, () => `${path()}[${i}]`);
      }
      return;
    }
    if (value instanceof Map) {
      this.#head(major.tag, tag.map);
      this.#head(major.map, value.size);
      for (const [key, inner] of value) {
        this.value(key, depth + 1, () => `a key of ${path()}`);
        this.value(inner, depth + 1, () => `a value of ${path()}`);
      }
      return;
    }
    if (value instanceof Set) {
      this.#head(major.tag, tag.set);
      this.#head(major.array, value.size);
      for (const inner of value) {
        this.value(inner, depth + 1, () => `a member of ${path()}`);
      }
      return;
    }
    if (value instanceof Date) return this.#date(value, path);
    this.#plain(value, depth, path);
  }

  #plain(value: object, depth: number, path: Path): void {
    const prototype = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) {
      const name = prototype?.constructor?.name;
      throw this.#refusal(
        `${path()} is ${
          typeof name === "string" && name !== ""
            ? `an instance of ${name}`
            : "not a plain object"
        }`,
      );
    }
    const entries = Object.entries(value);
    this.#head(major.map, entries.length);
    for (const [key, inner] of entries) {
      this.#text(key, () => `a key of ${path()}`);
      this.value(inner, depth + 1, () => `${path()}.${key}`);
    }
  }

  #date(value: Date, path: Path): void {
    const seconds = value.getTime() / 1000;
    const isExact = Object.is(timeOf(seconds), value.getTime());
    if (!isExact) throw this.#refusal(`${path()} is a Date too far away`);
    this.#head(major.tag, tag.date);
    this.#float(seconds);
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      return this.#float(value);
    }
    if (value >= 0) this.#head(major.unsigned, value);
    else this.#head(major.negative, -1 - value);
  }

  #float(value: number): void {
    const bytes = new Uint8Array(9);
    bytes[0] = float64;
    new DataView(bytes.buffer).setFloat64(1, value);
    this.#raw(bytes);
  }

  #bigint(value: bigint, path: Path): void {
    this.#head(major.tag, value < 0n ? tag.negativeBigint : tag.bigint);
    const digits = (value < 0n ? -1n - value : value).toString(16);
    const even = digits.length % 2 === 0 ? digits : `0${digits}`;
    const bytes = new Uint8Array(even.length / 2);
    if (bytes.length > maxBigintBytes) {
      throw this.#refusal(`${path()} has more than ${maxBigintBytes} bytes`);
    }
    for (let i = 0; i < bytes.length; i++) {
      bytes[i] = parseInt(even.slice(2 * i, 2 * i + 2), 16);
    }
    this.#head(major.bytes, bytes.length);
    this.#raw(bytes);
  }

  #text(value: string, path: Path): void {
    if (!value.isWellFormed()) {
      throw this.#refusal(`${path()} has half of a surrogate pair in it`);
    }
    const bytes = textEncoder.encode(value);
    this.#head(major.text, bytes.length);
    this.#raw(bytes);
  }

  #head(type: number, value: number): void {
    this.#raw(headOf(type, value));
  }

  #byte(value: number): void {
    this.#raw(Uint8Array.of(value));
  }

  #raw(bytes: Uint8Array): void {
    this.#bytes += bytes.length;
    if (this.#bytes > this.#maxBytes) {
      throw new RaftError(
        "payloadTooBig",
        `Cannot send ${this.#what}: it takes more than ${this.#maxBytes} bytes`,
      );
    }
    this.writer.bytes(bytes);
  }

  #refusal(why: string): TypeError {
    return new TypeError(
      `Cannot send ${this.#what} to another NodeHost: ${why}; it may consist of null, undefined, booleans, numbers, ` +
        "bigints, strings, Uint8Array, arrays, plain objects, Map, Set and Date",
    );
  }
}

/** The type of what follows, with its value or length. */
function headOf(type: number, value: number): Uint8Array {
  const first = type << 5;
  if (value < 24) return Uint8Array.of(first | value);
  if (value <= 0xff) return Uint8Array.of(first | 24, value);
  const bytes = new Uint8Array(
    value <= 0xffff ? 3 : value <= 0xffff_ffff ? 5 : 9,
  );
  const view = new DataView(bytes.buffer);
  if (bytes.length === 3) {
    bytes[0] = first | 25;
    view.setUint16(1, value);
  } else if (bytes.length === 5) {
    bytes[0] = first | 26;
    view.setUint32(1, value);
  } else {
    bytes[0] = first | 27;
    view.setUint32(1, Math.floor(value / 2 ** 32));
    view.setUint32(5, value % 2 ** 32);
  }
  return bytes;
}

/** Milliseconds of a date that is so many seconds after 1970. */
function timeOf(seconds: number): number {
  return Math.round(seconds * 1000) + 0;
}

/** Decodes what {@link encodeValue} made, or says why the bytes are none. */
export function decodeValue(
  bytes: Uint8Array,
): { readonly value: unknown } | CodecDefect {
  const decoder = new Decoder(bytes);
  const value = decoder.value(0);
  if (decoder.defect !== undefined) return decoder.defect;
  return decoder.isAtEnd ? { value } : "trailing";
}

class Decoder {
  readonly #reader: ByteReader;
  #count = 0;

  constructor(bytes: Uint8Array) {
    this.#reader = new ByteReader(bytes);
  }

  get defect(): CodecDefect | undefined {
    return this.#reader.defect;
  }

  get isAtEnd(): boolean {
    return this.#reader.remaining === 0;
  }

  /** The next value; of no meaning once there is a defect. */
  value(depth: number): unknown {
    if (depth > maxDepth || ++this.#count > maxValues) {
      return this.#fail("range");
    }
    const first = this.#reader.uint8();
    switch (first) {
      case simple.false:
        return false;
      case simple.true:
        return true;
      case simple.null:
        return null;
      case simple.undefined:
        return undefined;
      case float64:
        return this.#float();
    }
    const length = this.#argument(first & 31);
    switch (first >> 5) {
      case major.unsigned:
        return length;
      case major.negative:
        return -1 - length;
      case major.bytes:
        return this.#reader.bytes(length).slice();
      case major.text:
        return this.#text(length);
      case major.array:
        return this.#array(length, depth);
      case major.map:
        return this.#plain(length, depth);
      case major.tag:
        return this.#tagged(length, depth);
      default:
        return this.#fail("kind");
    }
  }

  #argument(low: number): number {
    const reader = this.#reader;
    if (low < 24) return low;
    if (low === 24) return reader.uint8();
    if (low === 25) return swap16(reader.uint16());
    if (low === 26) return swap32(reader.uint32());
    if (low !== 27) {
      reader.fail("kind");
      return 0;
    }
    const value = swap32(reader.uint32()) * 2 ** 32 + swap32(reader.uint32());
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    reader.fail("range");
    return 0;
  }

  #float(): number {
    const bytes = this.#reader.bytes(8);
    if (bytes.length < 8) return 0;
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0);
  }

  #text(length: number): string {
    const bytes = this.#reader.bytes(length);
    try {
      return textDecoder.decode(bytes);
    } catch {
      this.#fail("text");
      return "";
    }
  }

  #array(length: number, depth: number): unknown[] {
    const values: unknown[] = [];
    if (length > this.#reader.remaining) this.#fail("short");
    for (let i = 0; i < length && this.defect === undefined; i++) {
      values.push(this.value(depth + 1));
    }
    return values;
  }

  #plain(length: number, depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (let i = 0; i < length && this.defect === undefined; i++) {
      const first = this.#reader.uint8();
      if (first >> 5 !== major.text) this.#fail("kind");
      const key = this.#text(this.#argument(first & 31));
      const value = this.value(depth + 1);
      // An assignment to this one would set the prototype.
      if (key === "__proto__") {
        Object.defineProperty(object, key, {
          value,
          configurable: true,
          enumerable: true,
          writable: true,
        });
      } else object[key] = value;
    }
    return object;
  }

  #tagged(number: number, depth: number): unknown {
    const first = this.#reader.uint8();
    switch (number) {
      case tag.date:
        if (first !== float64) this.#fail("kind");
        return this.#date();
      case tag.bigint:
      case tag.negativeBigint: {
        const value = this.#bigint(first);
        return number === tag.bigint ? value : -1n - value;
      }
      case tag.set:
        if (first >> 5 !== major.array) this.#fail("kind");
        return new Set(this.#array(this.#argument(first & 31), depth));
      case tag.map: {
        if (first >> 5 !== major.map) this.#fail("kind");
        const length = this.#argument(first & 31);
        const map = new Map<unknown, unknown>();
        for (let i = 0; i < length && this.defect === undefined; i++) {
          const key = this.value(depth + 1);
          map.set(key, this.value(depth + 1));
        }
        return map;
      }
      default:
        return this.#fail("kind");
    }
  }

  #date(): Date {
    const ms = timeOf(this.#float());
    if (!Object.is(timeOf(ms / 1000), ms)) this.#fail("range");
    return new Date(ms);
  }

  #bigint(first: number): bigint {
    if (first >> 5 !== major.bytes) this.#fail("kind");
    const length = this.#argument(first & 31);
    if (length > maxBigintBytes) this.#fail("range");
    const bytes = this.#reader.bytes(length);
    let digits = "0x0";
    for (const byte of bytes) digits += byte.toString(16).padStart(2, "0");
    return BigInt(digits);
  }

  #fail(defect: CodecDefect): undefined {
    this.#reader.fail(defect);
    return undefined;
  }
}

/** The reader is little-endian, CBOR is not. */
function swap16(value: number): number {
  return (value & 0xff) << 8 | value >> 8;
}

function swap32(value: number): number {
  return (swap16(value & 0xffff) * 0x10000) + swap16(value >>> 16);
}
