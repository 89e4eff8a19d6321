/** What a master's server needs from outside. Never imported by what a NodeHost imports. */
export { Hono } from "npm:hono@^4";
export type { Context, Next } from "npm:hono@^4";
export { createHash, createHmac, timingSafeEqual } from "node:crypto";
export { parseArgs } from "node:util";
