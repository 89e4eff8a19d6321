/** What these programs need from outside. */
export { join } from "node:path";
export { fileURLToPath } from "node:url";
export { deserialize, serialize } from "node:v8";
