/** What the command lines need of Node's standard library. */
export { parseArgs } from "node:util";
