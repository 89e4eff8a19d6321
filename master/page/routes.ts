/**
 * What the page is made of. It holds no data, so it is open to everybody; what is shown comes from `api/board.ts`.
 *
 *     GET    /  /page.css  /page.js  /icon.svg
 */
import { createHash, type Hono } from "../deps.ts";
import { methodNotAllowed } from "../http.ts";
import { documentText, iconText } from "./document.ts";
import { scriptText } from "./script.ts";
import { styleText } from "./style.ts";

/** Nothing loads but the page's own script, style and icon; nothing may frame it, and no text becomes markup. */
const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** Adds the routes. */
export function addPageRoutes(app: Hono): void {
  addFile(app, "/", "text/html", documentText);
  addFile(app, "/page.css", "text/css", styleText);
  addFile(app, "/page.js", "text/javascript", scriptText);
  addFile(app, "/icon.svg", "image/svg+xml", iconText);
}

/** A file that never changes while this version runs: asked for again, it is not sent again. */
function addFile(app: Hono, path: string, type: string, text: string): void {
  const digest = createHash("sha256").update(text).digest("hex");
  const etag = `"${digest.slice(0, 32)}"`;
  app.get(path, (context) => {
    const headers = {
      "content-type": `${type}; charset=utf-8`,
      "content-security-policy": pagePolicy,
      "cache-control": "no-cache",
      etag,
    };
    const known = context.req.header("if-none-match") ?? "";
    return known.includes(etag)
      ? new Response(null, { status: 304, headers })
      : new Response(text, { headers });
  });
  app.all(path, () => methodNotAllowed("GET, HEAD"));
}
