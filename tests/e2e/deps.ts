/** What the tests of the page drive a browser with, and what they judge it by. */
export { parseArgs } from "node:util";
export { type Browser, chromium, type Page } from "npm:playwright-core@^1.60.0";
export { default as axe } from "npm:axe-core@^4.10.0";
