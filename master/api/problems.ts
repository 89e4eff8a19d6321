/** What a refusal looks like (RFC 9457). */
import type { JsonSchema } from "./shape.ts";

/** Of every problem. */
export const problemSchema: JsonSchema = {
  type: "object",
  description: "Why a request is refused (RFC 9457).",
  properties: {
    type: { type: "string", const: "about:blank" },
    title: { type: "string", description: "The code in words." },
    status: { type: "integer", minimum: 400, maximum: 599 },
    code: {
      type: "string",
      pattern: "^[a-z][a-z-]*$",
      description: "For programs.",
    },
    detail: { type: "string", description: "For people." },
  },
  required: ["type", "title", "status", "code", "detail"],
};

/** Of the method. */
export const methodNotAllowedProblem =
  "The path takes other methods: `Allow` names them.";
