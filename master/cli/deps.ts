/** What the command line needs of Node's standard library. */
export { parseArgs } from "node:util";
