/**
 * What a NodeHost proves itself by, in a file that only its user may read (M12):
 *
 *     SECRET            32 to 256 characters; made here, and durable before it is used
 *     TICKET            what a master gave for it; absent before the first report
 */
import type { Random } from "../raft/ports.ts";
import { isSecret } from "./wire/mod.ts";

const secretBytes = 32;

/** What is in the file. */
export interface OwnCredentials {
  /** The NodeHost's own. */
  readonly secret: string;
  /** Stands for a token, together with the secret. */
  readonly ticket?: string;
}

/** Whether something can be a ticket. */
export function isTicket(value: unknown): value is string {
  return typeof value === "string" && /^[\x21-\x7e]{1,256}$/.test(value);
}

/**
 * What is in a file; a new secret is made and durable before it is returned.
 *
 * @throws {TypeError} if the file holds none.
 */
export async function readOrMakeCredentials(
  path: string,
  random: Random,
): Promise<OwnCredentials> {
  const known = await readCredentials(path);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(secretBytes);
  random.fill(bytes);
  const secret = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  await writeCredentials(path, { secret });
  return { secret };
}

/** Writes the file: aside, then moved, since nobody could tell half of a secret from another one. */
export async function writeCredentials(
  path: string,
  { secret, ticket }: OwnCredentials,
): Promise<void> {
  const aside = `${path}.new`;
  const file = await Deno.open(aside, {
    write: true,
    create: true,
    truncate: true,
    mode: 0o600,
  });
  try {
    const lines = ticket === undefined ? [secret] : [secret, ticket];
    await writeAll(file, new TextEncoder().encode(`${lines.join("\n")}\n`));
    await file.sync();
  } finally {
    file.close();
  }
  await Deno.rename(aside, path);
  const at = path.lastIndexOf("/");
  const folder = await Deno.open(at < 0 ? "." : path.slice(0, at + 1));
  try {
    await folder.sync(); // The name is durable as well.
  } finally {
    folder.close();
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await file.write(bytes.subarray(at));
  }
}

async function readCredentials(
  path: string,
): Promise<OwnCredentials | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const [secret = "", ticket] = text.trim().split("\n");
  if (isSecret(secret)) {
    return isTicket(ticket) ? { secret, ticket } : { secret };
  }
  throw new TypeError(
    `Cannot use ${path}: it holds no secret; delete it, and have an operator let the NodeHost enrol again`,
  );
}
