/** What is known of tokens, and what is signed with them: tickets of NodeHosts. */
import { createHash, createHmac, timingSafeEqual } from "./deps.ts";

const minTokenLength = 32;

/** Compares tokens without telling by its duration how much of a guess was right. */
export class TokenCheck {
  readonly #digests: readonly Uint8Array[];
  /** What is signed with a token cannot be turned back into it. */
  readonly #keys: readonly Uint8Array[];

  /**
   * Keeps digests of the tokens, so that they can neither be logged nor shown. Without any, none is right.
   *
   * @throws {RangeError} if a token is too short to be a secret.
   */
  constructor(tokens: readonly string[]) {
    for (const token of tokens) {
      if (token.length >= minTokenLength && /^[\x21-\x7e]+$/.test(token)) {
        continue;
      }
      throw new RangeError(
        `Cannot use the token: it must be ${minTokenLength} or more printable ASCII characters without spaces`,
      );
    }
    this.#digests = tokens.map(digest);
    this.#keys = tokens.map((token) => digest(`drakkar signs with ${token}`));
  }

  /** Whether there are none. */
  get isEmpty(): boolean {
    return this.#digests.length === 0;
  }

  /** Whether an `Authorization` header carries the token as a bearer. */
  isBearer(header: string | undefined): boolean {
    const match = /^bearer +(\S+)$/i.exec(header ?? "");
    return match?.[1] !== undefined && this.#isToken(match[1]);
  }

  /** Signs a text with the first token. */
  sign(text: string): string {
    const [key] = this.#keys;
    if (key === undefined) throw new TypeError("Cannot sign: there is no key");
    return signature(key, text);
  }

  /** Whether a text was signed with one of the tokens that are valid now. */
  isSigned(text: string, given: string): boolean {
    const known = digest(given);
    return this.#keys.filter((key) =>
      timingSafeEqual(digest(signature(key, text)), known)
    ).length > 0;
  }

  #isToken(text: string): boolean {
    const given = digest(text);
    // All are looked at, whichever is right.
    return this.#digests.filter((one) => timingSafeEqual(given, one))
      .length > 0;
  }
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function signature(key: Uint8Array, text: string): string {
  return createHmac("sha256", key).update(text).digest("hex");
}
