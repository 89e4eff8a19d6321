/** Who may talk to a master: whoever knows its bearer token. */
import { createHash, timingSafeEqual } from "./deps.ts";

const minTokenLength = 32;

/** Compares tokens without telling by its duration how much of a guess was right. */
export class TokenCheck {
  readonly #digests: readonly Uint8Array[];

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
  }

  /** Whether an `Authorization` header carries the token as a bearer. */
  isBearer(header: string | undefined): boolean {
    const match = /^bearer +(\S+)$/i.exec(header ?? "");
    return this.#matches(match?.[1]);
  }

  /** Whether it carries the token as the password of any user, which is how a browser sends it. */
  isBasic(header: string | undefined): boolean {
    const match = /^basic +([A-Za-z0-9+/=]+)$/i.exec(header ?? "");
    let pair: string;
    try {
      pair = atob(match?.[1] ?? "");
    } catch {
      return false;
    }
    return this.#matches(pair.slice(pair.indexOf(":") + 1));
  }

  #matches(token: string | undefined): boolean {
    if (token === undefined) return false;
    const given = digest(token);
    // All are looked at, whichever is right.
    return this.#digests.filter((one) => timingSafeEqual(given, one))
      .length > 0;
  }
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
