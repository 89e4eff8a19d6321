/** Makes authorities and certificates for tests: X.509 version 3 over P-256, encoded here, so that no tool is needed. */
import { Buffer, generateKeyPairSync, sign } from "./deps.ts";

/** A certificate and its key, as PEM. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** What a certificate says. */
export interface Claims {
  /** Common name of the subject. */
  readonly name: string;
  /** Subject alternative names: IPv4 addresses and DNS names. */
  readonly hosts?: readonly string[];
  /** Days from now; one day ago by default. */
  readonly fromDays?: number;
  /** Days from now; ten by default. */
  readonly toDays?: number;
  /** What it may be used as: the last number of each id; a server (1) and a client (2) by default. */
  readonly purposes?: readonly number[];
}

const dayMs = 86_400_000;

function der(tag: number, ...contents: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(contents);
  const length = body.length < 128
    ? [body.length]
    : body.length < 256
    ? [0x81, body.length]
    : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Uint8Array.from([tag, ...length]), body]);
}

const sequence = (...contents: Uint8Array[]) => der(0x30, ...contents);
const octets = (content: Uint8Array) => der(0x04, content);
const text = (value: string) => new TextEncoder().encode(value);
const oid = (...bytes: number[]) => der(0x06, Uint8Array.from(bytes));
const truth = der(0x01, Uint8Array.from([255]));

const ecdsaWithSha256 = sequence(
  oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02),
);

function nameOf(name: string): Uint8Array {
  const commonName = oid(0x55, 0x04, 0x03);
  return sequence(der(0x31, sequence(commonName, der(0x0c, text(name)))));
}

function timeOf(days: number): Uint8Array {
  const digits = new Date(Date.now() + days * dayMs).toISOString()
    .replace(/[-:T]/g, "").slice(0, 14);
  return der(0x18, text(`${digits}Z`));
}

function extension(
  id: number[],
  isCritical: boolean,
  value: Uint8Array,
): Uint8Array {
  return sequence(oid(...id), ...(isCritical ? [truth] : []), octets(value));
}

function alternativeName(host: string): Uint8Array {
  if (/^[\d.]+$/.test(host)) {
    return der(0x87, Uint8Array.from(host.split(".").map(Number)));
  }
  return der(0x82, text(host));
}

function extensionsOf(
  isAuthority: boolean,
  { hosts = [], purposes = [1, 2] }: Claims,
) {
  const usages = sequence(
    ...purposes.map((last) =>
      oid(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last)
    ),
  );
  const usage = Uint8Array.from(isAuthority ? [1, 0x06] : [7, 0x80]);
  const list = [
    extension(
      [0x55, 0x1d, 0x13],
      true,
      isAuthority ? sequence(truth) : sequence(),
    ),
    extension([0x55, 0x1d, 0x0f], true, der(0x03, usage)),
  ];
  if (!isAuthority) {
    list.push(extension([0x55, 0x1d, 0x25], false, usages));
  }
  if (hosts.length > 0) {
    const names = sequence(...hosts.map(alternativeName));
    list.push(extension([0x55, 0x1d, 0x11], false, names));
  }
  return der(0xa3, sequence(...list));
}

function pem(bytes: Uint8Array): string {
  const lines = Buffer.from(bytes).toString("base64").match(/.{1,64}/g)!;
  return [
    "-----BEGIN CERTIFICATE-----",
    ...lines,
    "-----END CERTIFICATE-----",
    "",
  ].join("\n");
}

/** An authority that issues certificates. */
export class Authority {
  readonly name: string;
  /** Its own certificate. */
  readonly cert: string;
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  #serial = 1;

  constructor(name: string) {
    this.name = name;
    this.cert = this.#sign(
      { name, toDays: 100 },
      this.#keys.publicKey.export({ type: "spki", format: "der" }),
      true,
    );
  }

  /** Issues a certificate. */
  issue(claims: Claims): Pair {
    const keys = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    const spki = keys.publicKey.export({ type: "spki", format: "der" });
    return {
      cert: this.#sign(claims, spki, false),
      key: keys.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    };
  }

  #sign(claims: Claims, spki: Uint8Array, isAuthority: boolean): string {
    const { name, fromDays = -1, toDays = 10 } = claims;
    const body = sequence(
      der(0xa0, der(0x02, Uint8Array.from([2]))),
      der(0x02, Uint8Array.from([this.#serial++])),
      ecdsaWithSha256,
      nameOf(this.name),
      sequence(timeOf(fromDays), timeOf(toDays)),
      nameOf(name),
      spki,
      extensionsOf(isAuthority, claims),
    );
    const signature = sign("sha256", body, this.#keys.privateKey);
    const bits = der(0x03, Uint8Array.from([0]), signature);
    return pem(sequence(body, ecdsaWithSha256, bits));
  }
}
