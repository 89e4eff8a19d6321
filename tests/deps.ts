/** What the tests assert with. */
export { default as assert } from "node:assert/strict";
/** Property tests. */
export { default as fc } from "npm:fast-check@^4";
