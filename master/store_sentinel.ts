/** A store whose record of the deployment is gone, while others are there (M11). */
import type { KvAccess } from "./kv_access.ts";
import { clockKey } from "./schema.ts";

/** What is never there before the record of the deployment is. */
const prefixes = ["h", "c", "tomb"] as const;

/**
 * Whether records of a deployment are there. Without the record that names it nobody knows whose they are: a new one in
 * its place would take them for its own, with their numbers of steps, tombstones and secrets.
 */
export async function holdsRecords(access: KvAccess): Promise<boolean> {
  if ((await access.get(clockKey)).value !== null) return true;
  for (const prefix of prefixes) {
    const found = await access.listNow({ prefix: [prefix] }, 1);
    if (found.length > 0) return true;
  }
  return false;
}
