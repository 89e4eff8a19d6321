/** Reads what mutual TLS needs, and finds out at once what would otherwise show at the first connection only. */
import { RaftError } from "../errors.ts";
import { createPrivateKey, X509Certificate } from "./deps.ts";
import type { TlsSettings } from "./tls_settings.ts";

/** What was read, all of it PEM. */
export interface Certificates {
  /** Authorities that are believed. */
  readonly ca: string;
  /** Our own certificate, and intermediate ones behind it. */
  readonly cert: string;
  /** Its key. */
  readonly key: string;
}

const parts = ["ca", "cert", "key"] as const;

/** Reads certificates, and again when their files have changed. */
export class CertificateFiles {
  readonly #settings: TlsSettings;
  /** When each file was last changed, as far as the file system tells; `""` for text. */
  #stamp = "";

  /** Reads nothing yet. */
  constructor(settings: TlsSettings) {
    this.#settings = settings;
  }

  /**
   * Reads them and checks that they are of use to a NodeHost that is reached at `host`; undefined if no file has changed
   * since the last time that they were.
   *
   * @throws {RaftError} `rejected`, with what is wrong.
   */
  async read(host: string): Promise<Certificates | undefined> {
    const stamps = await Promise.all(
      parts.map((part) => stampOf(part, this.#settings[part])),
    );
    const stamp = stamps.join(" ");
    if (stamp === this.#stamp) return undefined;
    const [ca, cert, key] = await Promise.all(
      parts.map((part) => textOf(part, this.#settings[part])),
    );
    const certificates = { ca: ca!, cert: cert!, key: key! };
    check(certificates, host);
    this.#stamp = stamp;
    return certificates;
  }
}

function isText(value: string): boolean {
  return value.trimStart().startsWith("-----BEGIN");
}

async function stampOf(part: string, value: string): Promise<string> {
  if (isText(value)) return "text";
  try {
    const { mtime, size, ino } = await Deno.stat(value);
    return `${mtime?.getTime()}/${size}/${ino}`;
  } catch (error) {
    throw refusal(part, `${value} cannot be read: ${messageOf(error)}`, error);
  }
}

async function textOf(part: string, value: string): Promise<string> {
  if (isText(value)) return value;
  try {
    return await Deno.readTextFile(value);
  } catch (error) {
    throw refusal(part, `${value} cannot be read: ${messageOf(error)}`, error);
  }
}

/** @throws {RaftError} `rejected` if the others would turn us away, or nobody could be believed. */
function check({ ca, cert, key }: Certificates, host: string): void {
  const authorities = parseAll("ca", ca);
  const [own, ...intermediate] = parseAll("cert", cert);
  const now = Date.now();
  for (const authority of authorities) requireValid("ca", authority, now);
  requireValid("cert", own!, now);
  requireKey(own!, key);
  requirePurposes(own!);
  const issuers = [...intermediate, ...authorities];
  if (!issuers.some((issuer) => isIssuedBy(own!, issuer))) {
    throw refusal(
      "cert",
      `${own!.subject} was issued by ${
        own!.issuer
      }, who is not in tls.ca; the other NodeHosts would turn it away`,
    );
  }
  if ((own!.checkIP(host) ?? own!.checkHost(host)) === undefined) {
    throw refusal(
      "cert",
      `it names ${
        own!.subjectAltName ?? "nobody"
      }, and not ${host}, which is the host of raftAddress; the other ` +
        `NodeHosts would turn it away`,
    );
  }
}

function parseAll(part: string, pem: string): X509Certificate[] {
  const blocks =
    pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ??
      [];
  if (blocks.length === 0) {
    throw refusal(part, "there is no certificate in PEM form in it");
  }
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw refusal(part, `it is no certificate: ${messageOf(error)}`, error);
  }
}

function requireValid(
  part: string,
  certificate: X509Certificate,
  now: number,
): void {
  const { subject, validFrom, validTo } = certificate;
  if (now > Date.parse(validTo)) {
    throw refusal(part, `${subject} has expired on ${validTo}`);
  }
  if (now < Date.parse(validFrom)) {
    throw refusal(part, `${subject} is valid only from ${validFrom} on`);
  }
}

/** The extension "extended key usage" (RFC 5280, 4.2.1.12), and the purposes in it, as object identifiers in DER. */
const extendedKeyUsage = [0x06, 0x03, 0x55, 0x1d, 0x25];
const keyPurposes = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];
const anyPurpose = [0x06, 0x04, 0x55, 0x1d, 0x25, 0x00];

/** A NodeHost dials and listens; authorities for web sites issue for servers only. Without the extension all is allowed. */
function requirePurposes(own: X509Certificate): void {
  const bytes = new Uint8Array(own.raw);
  const at = indexOf(bytes, extendedKeyUsage);
  if (at < 0) return;
  // An optional `critical`, then a short octet string: nobody has many purposes.
  const start = at + extendedKeyUsage.length;
  const value = bytes[start] === 0x01 ? start + 3 : start;
  const end = value + 2 + (bytes[value + 1] ?? 0);
  const part = bytes.subarray(value, end);
  const allows = (oid: readonly number[]) => indexOf(part, oid) >= 0;
  if (allows(anyPurpose)) return;
  const missing = [[1, "serverAuth"], [2, "clientAuth"]] as const;
  for (const [last, name] of missing) {
    if (allows([...keyPurposes, last])) continue;
    throw refusal(
      "cert",
      `${own.subject} is not issued for ${name} (extended key usage); a NodeHost is server and client, and the ` +
        "others would turn it away",
    );
  }
}

function indexOf(
  bytes: Uint8Array,
  wanted: readonly number[],
): number {
  for (let at = 0; at <= bytes.length - wanted.length; at++) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return -1;
}

function requireKey(own: X509Certificate, pem: string): void {
  let isRight;
  try {
    isRight = own.checkPrivateKey(createPrivateKey(pem));
  } catch (error) {
    throw refusal("key", `it is no private key: ${messageOf(error)}`, error);
  }
  if (!isRight) {
    throw refusal("key", `it is not the key of the certificate in tls.cert`);
  }
}

function isIssuedBy(own: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return own.issuer === issuer.subject && own.verify(issuer.publicKey);
  } catch {
    return false; // A kind of key that it cannot be.
  }
}

function refusal(part: string, reason: string, cause?: unknown): RaftError {
  return new RaftError("rejected", `Cannot use tls.${part}: ${reason}`, {
    cause,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
