/** What messages say of URLs, and of what went wrong with them. */

/** Without what a URL may hold of a secret. */
export function redact(text: string): string {
  return text.replaceAll(/\/\/[^/@\s]*@/g, "//***@")
    .replaceAll(/\?[^\s)"]*/g, "?***");
}

/**
 * Why a request failed, without where it went. The platform's `fetch` says "fetch failed" since Deno 2.9, and why in the
 * error's cause; before that it said all in one.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  const text = cause instanceof Error && !message.includes(cause.message)
    ? `${message}: ${cause.message}`
    : message;
  const said = text.replaceAll(
    /error sending request.*?(?=client error \()/g,
    "",
  );
  return said.includes("://") ? redact(said) : said;
}
