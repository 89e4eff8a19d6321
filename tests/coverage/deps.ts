/** What the command line is read with. */
export { parseArgs } from "node:util";
/** Where the sources lie. */
export { fileURLToPath } from "node:url";
