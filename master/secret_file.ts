/** A NodeHost's own secret, in a file that only its user may read (M12). */
import type { Random } from "../raft/ports.ts";
import { isSecret } from "./wire/mod.ts";

const secretBytes = 32;

/**
 * The secret in a file; a new one is made and durable before it is returned.
 *
 * @throws {TypeError} if the file holds none.
 */
export async function readOrMakeSecret(
  path: string,
  random: Random,
): Promise<string> {
  const known = await readSecret(path);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(secretBytes);
  random.fill(bytes);
  const secret = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  // Written aside and moved: a crash leaves no half of one, which nobody could tell from another.
  const aside = `${path}.new`;
  const file = await Deno.open(aside, {
    write: true,
    create: true,
    truncate: true,
    mode: 0o600,
  });
  try {
    await file.write(new TextEncoder().encode(secret));
    await file.sync();
  } finally {
    file.close();
  }
  await Deno.rename(aside, path);
  return secret;
}

async function readSecret(path: string): Promise<string | undefined> {
  let text: string;
  try {
    text = (await Deno.readTextFile(path)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  if (isSecret(text)) return text;
  throw new TypeError(
    `Cannot use ${path}: it holds no secret; delete it, and have an operator let the NodeHost enrol again`,
  );
}
