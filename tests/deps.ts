/** What the tests assert with. */
export { default as assert } from "node:assert/strict";
/** Property tests. */
export { default as fc } from "npm:fast-check@^4";

import { cpSync } from "node:fs";

/** Copies a folder with all that is in it. */
export function copyFolder(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
}
export { cpuUsage } from "node:process";
