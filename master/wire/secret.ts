/** What a NodeHost proves itself by (M12): a master keeps a hash of it, and compares without telling how much was right. */
import { createHash, timingSafeEqual } from "./deps.ts";

/** Characters of a secret at least: 128 bits in hexadecimal. */
export const minSecretLength = 32;

/** Whether a text can be a secret. */
export function isSecret(text: string): boolean {
  return text.length >= minSecretLength && text.length <= 256 &&
    /^[\x21-\x7e]+$/.test(text);
}

/** SHA-256 of a secret, in hexadecimal. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** Whether a secret has this hash. */
export function isSecretOf(secret: string, hash: string): boolean {
  const encoder = new TextEncoder();
  const own = encoder.encode(hashSecret(secret));
  const other = encoder.encode(hash);
  return own.length === other.length && timingSafeEqual(own, other);
}
