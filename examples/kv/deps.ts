/** What the example needs from outside. */
export { createHash } from "node:crypto";
export { parseArgs } from "node:util";
