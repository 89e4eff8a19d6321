/** What Deno KV can never open, so that nobody waits for it. Deno's own errors do not tell it from a bad moment. */
import { redact } from "./redact.ts";

const tokenVariable = "DENO_KV_ACCESS_TOKEN";

/**
 * Checks a path of Deno KV: `":memory:"`, a file in a folder that exists, or the URL of a database (KV Connect).
 *
 * @throws {TypeError} if there is no token for a URL.
 * @throws {RangeError} if nothing can be opened there. What may change by itself, such as a network, is not looked at.
 */
export function checkKvPath(path: string): void {
  if (path === ":memory:") return;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(path)?.[1]?.toLowerCase();
  if (scheme === undefined) return checkFile(path);
  const isUrl = scheme === "http" || scheme === "https";
  if (!isUrl || !URL.canParse(path)) {
    refuse(path, "is neither a path nor an http: or https: URL");
  }
  requireToken(path);
}

function refuse(path: string, what: string): never {
  throw new RangeError(`Cannot use masterServers: "${redact(path)}" ${what}`);
}

/** Deno opens no database over a network without one. */
function requireToken(url: string): void {
  const what = `Cannot use masterServers: "${redact(url)}" needs its token`;
  const permission = { name: "env", variable: tokenVariable } as const;
  const { state } = Deno.permissions.querySync(permission);
  if (state === "granted" && (Deno.env.get(tokenVariable) ?? "") !== "") return;
  if (state === "granted") {
    throw new TypeError(`${what} in the variable ${tokenVariable}`);
  }
  // With a terminal Deno asks whoever sits there.
  if (state === "prompt" && Deno.stdin.isTerminal()) return;
  throw new TypeError(
    `${what}, and may not read it; run with --allow-env=${tokenVariable}`,
  );
}

function checkFile(path: string): void {
  if (path.includes("\0")) refuse(path, "has a NUL character");
  if (stat(path)?.isDirectory === true) refuse(path, "is a folder, not a file");
  const slash = path.lastIndexOf("/");
  const folder = slash < 0 ? "." : path.slice(0, slash + 1);
  const found = stat(folder);
  if (found === undefined) {
    refuse(path, `lies in a folder that is not there: make ${folder}`);
  }
}

/** What is at `path`; undefined if nothing is. Where this program may not look there may be a file. */
function stat(path: string): { isDirectory: boolean } | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.NotADirectory;
    return isMissing ? undefined : { isDirectory: false };
  }
}
