/** What the example needs from outside. */
export { DatabaseSync } from "node:sqlite";
export { parseArgs } from "node:util";
