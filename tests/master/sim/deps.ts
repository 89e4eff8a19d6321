/** What this program needs from outside. */
export { parseArgs } from "node:util";
