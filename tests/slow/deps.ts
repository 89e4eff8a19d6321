/** How much room a disk has: Deno itself does not tell. */
export { statfsSync } from "node:fs";
