/**
 * Who is signed in at a browser (M13). The token is sent once; after that a cookie stands for it, which scripts cannot
 * read and other sites cannot use. Nothing is stored: a cookie is signed with a key that follows from the token, so any
 * instance can check it, and it is void when the token is.
 *
 *     drakkar = ROLE "." EXPIRES "." HMAC-SHA256(key, ROLE "." EXPIRES)      key = SHA-256("drakkar session " TOKEN)
 *
 * Over TLS its name begins with `__Host-`: no other host, and nobody without TLS, can set it.
 */
import { createHash, createHmac, timingSafeEqual } from "../deps.ts";

/** What somebody may do: look, or give commands as well. */
export type Role = "reader" | "operator";

/** Somebody who is signed in. */
export interface Session {
  /** What they may do. */
  readonly role: Role;
  /** When it ends, in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** Which tokens make whom. */
export interface SessionTokens {
  /** Of those who look. */
  readonly readers: readonly string[];
  /** Of operators. */
  readonly operators: readonly string[];
}

/** A session lasts so long. */
export const sessionMs = 12 * 3_600_000;

interface Key {
  readonly role: Role;
  readonly key: Uint8Array;
}

/** Signs in, and knows again. */
export class Sessions {
  /** Operators first: a token that is both makes an operator. */
  readonly #keys: readonly Key[];
  readonly #now: () => number;

  /** Keeps keys that follow from the tokens, and no token. `now` tells milliseconds since 1970. */
  constructor({ readers, operators }: SessionTokens, now: () => number) {
    this.#now = now;
    this.#keys = [
      ...operators.map((token) => ({ role: "operator" as const, token })),
      ...readers.map((token) => ({ role: "reader" as const, token })),
    ].map(({ role, token }) => ({ role, key: keyOf(token) }));
  }

  /** Whether anybody has to sign in. */
  get isNeeded(): boolean {
    return this.#keys.length > 0;
  }

  /** The session that a token makes, with the value of its cookie; `undefined` if it is none of the tokens. */
  signIn(token: string): { session: Session; value: string } | undefined {
    const given = keyOf(token);
    // All are looked at, whichever is right.
    const [found] = this.#keys.filter(({ key }) => timingSafeEqual(key, given));
    if (found === undefined) return undefined;
    const expiresAtMs = this.#now() + sessionMs;
    const text = `${found.role}.${expiresAtMs}`;
    const value = `${text}.${hexOf(sign(found.key, text))}`;
    return { session: { role: found.role, expiresAtMs }, value };
  }

  /** The session in a `Cookie` header; `undefined` if there is none that is valid. */
  check(header: string | undefined): Session | undefined {
    const nowMs = this.#now();
    for (const value of cookiesOf(header)) {
      const match = /^((reader|operator)\.([0-9]{1,15}))\.([0-9a-f]{64})$/
        .exec(value);
      if (match === null) continue;
      const [, text, role, expires, hex] = match;
      const expiresAtMs = Number(expires);
      if (expiresAtMs <= nowMs || expiresAtMs > nowMs + sessionMs) continue;
      const given = bytesOf(hex!);
      const found = this.#keys.filter((one) =>
        one.role === role && timingSafeEqual(sign(one.key, text!), given)
      );
      if (found.length > 0) return { role: role as Role, expiresAtMs };
    }
    return undefined;
  }
}

/** The `Set-Cookie` header of a session, or with `""` of its end. */
export function cookieHeader(value: string, isSecure: boolean): string {
  const seconds = value === "" ? 0 : sessionMs / 1_000;
  const rest = `Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict`;
  return isSecure
    ? `__Host-drakkar=${value}; ${rest}; Secure`
    : `drakkar=${value}; ${rest}`;
}

function cookiesOf(header = ""): string[] {
  return header.split(";").map((pair) => pair.trim())
    .filter((pair) => /^(__Host-)?drakkar=/.test(pair))
    .map((pair) => pair.slice(pair.indexOf("=") + 1))
    .slice(0, 4);
}

function keyOf(token: string): Uint8Array {
  return createHash("sha256").update(`drakkar session ${token}`).digest();
}

function sign(key: Uint8Array, text: string): Uint8Array {
  return createHmac("sha256", key).update(text).digest();
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(
    { length: hex.length / 2 },
    (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
  );
}
