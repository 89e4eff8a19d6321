/** URLs in messages. */

/** Without what a URL may hold of a secret. */
export function redact(text: string): string {
  return text.replaceAll(/\/\/[^/@\s]*@/g, "//***@")
    .replaceAll(/\?[^\s)"]*/g, "?***");
}
