/** What this folder, and nothing that `mod.ts` reaches, needs of others. */
export { metrics } from "npm:@opentelemetry/api@^1.9.0";
