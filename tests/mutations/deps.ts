/** What the command line is read with. */
export { parseArgs } from "node:util";
/** Where the patches lie. */
export { fileURLToPath } from "node:url";
