/** What the example needs from outside. */
export { dirname } from "node:path";
export { DatabaseSync } from "node:sqlite";
export { parseArgs } from "node:util";
