/** Who may talk to a master: whoever knows its bearer token. */
import { createHash, timingSafeEqual } from "./deps.ts";

const minTokenLength = 32;

/** Compares tokens without telling by its duration how much of a guess was right. */
export class TokenCheck {
  readonly #digest: Uint8Array;

  /**
   * Keeps a digest of the token, so that it can neither be logged nor shown.
   *
   * @throws {RangeError} if the token is too short to be a secret.
   */
  constructor(token: string) {
    if (token.length < minTokenLength || !/^[\x21-\x7e]+$/.test(token)) {
      throw new RangeError(
        `Cannot use the token: it must be ${minTokenLength} or more printable ASCII characters without spaces`,
      );
    }
    this.#digest = digest(token);
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
    return token !== undefined && timingSafeEqual(digest(token), this.#digest);
  }
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
