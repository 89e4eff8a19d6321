/** The OpenAPI document (3.1) of routes: nothing in it is said twice. */
import { methodNotAllowedProblem, problemSchema } from "./problems.ts";
import type { Params, Route } from "./route.ts";
import type { JsonSchema, Shape } from "./shape.ts";

/** A document, as plain values. */
export type OpenApiDocument = Record<string, unknown>;

/** What the document says of itself. */
export interface DocumentFacts {
  /** Version of the API's program. */
  readonly version: string;
  /** The shapes that have names. */
  readonly definitions: Readonly<Record<string, Shape<unknown>>>;
}

const description = `
What NodeHosts and operators say to a Drakkar master. Bodies and answers are JSON or CBOR, by \`Content-Type\` and
\`Accept\`; refusals are problem details (RFC 9457). What is sent is read strictly; answers may gain fields, so pass
over those that you do not know. Ids and indexes are below 2^53.
`.trim().replaceAll("\n", " ");

/** Makes the document. */
export function openApiOf(
  routes: readonly Route[],
  { version, definitions }: DocumentFacts,
): OpenApiDocument {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const one of routes) {
    const item = paths[one.path] ??= {};
    item[one.method.toLowerCase()] = operationOf(one);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Drakkar master",
      version,
      description,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: {
        Problem: problemSchema,
        ...Object.fromEntries(
          Object.entries(definitions).map(([name, { schema }]) => [
            name,
            schema,
          ]),
        ),
      },
      securitySchemes,
    },
  };
}

const securitySchemes = {
  token: {
    type: "http",
    scheme: "bearer",
    description: "The token of NodeHosts and of people who look.",
  },
  session: {
    type: "apiKey",
    in: "cookie",
    name: "__Host-drakkar",
    description:
      "What `signIn` gave to a browser: all that its token may, but for reports. Without TLS it is named `drakkar`.",
  },
  operator: {
    type: "http",
    scheme: "bearer",
    description: "An operator's token: commands, and all that `token` may.",
  },
  ticket: {
    type: "http",
    scheme: "nodehost",
    description:
      "What the reply to a report with a secret gave to a NodeHost; the secret goes with it.",
  },
} as const;

/** Any of these will do. */
const security: Readonly<Record<Route["access"], readonly unknown[]>> = {
  open: [],
  reader: [{ token: [] }, { operator: [] }, { session: [] }],
  nodehost: [{ token: [] }, { operator: [] }, { ticket: [] }],
  operator: [{ operator: [] }, { session: [] }],
};

function operationOf(one: Route): Record<string, unknown> {
  const { operationId, tag, summary, access, body, lines } = one;
  const parameters = [
    ...parametersOf("path", one.params),
    ...parametersOf("query", one.query),
    ...parametersOf("header", one.headers),
  ];
  return {
    operationId,
    tags: [tag],
    summary,
    ...(one.description === undefined ? {} : { description: one.description }),
    security: security[access],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : {
      requestBody: { required: true, content: bothFormats(body.shape.schema) },
    }),
    ...(lines === undefined ? {} : {
      requestBody: {
        required: true,
        content: { [lines.contentType]: { schema: { type: "string" } } },
      },
    }),
    responses: responsesOf(one),
  };
}

function parametersOf(place: string, params: Params): unknown[] {
  return Object.entries(params).map(([name, shape]) => {
    const { description, ...schema } = shape.schema;
    return {
      name: place === "header" ? headerName(name) : name,
      in: place,
      required: !("isOptional" in shape),
      ...(description === undefined ? {} : { description }),
      schema,
    };
  });
}

/** As people write it. */
function headerName(name: string): string {
  return name.replaceAll(/(^|-)(\w)/g, (part) => part.toUpperCase());
}

function bothFormats(schema: JsonSchema): Record<string, unknown> {
  return {
    "application/json": { schema },
    "application/cbor": { schema },
  };
}

function responsesOf(one: Route): Record<string, unknown> {
  const { answer, contentType, summary } = one;
  const responses: Record<string, unknown> = {
    200: {
      description: summary,
      content: contentType === undefined
        ? bothFormats(answer.schema)
        : { [contentType]: { schema: answer.schema } },
    },
  };
  for (const [status, text] of Object.entries(problemsOf(one))) {
    responses[status] = {
      description: text,
      ...(status === "503"
        ? { headers: { "Retry-After": { schema: { type: "integer" } } } }
        : {}),
      content: {
        "application/problem+json": {
          schema: { $ref: "#/components/schemas/Problem" },
        },
      },
    };
  }
  return responses;
}

/** What a route may refuse, by status. */
export function problemsOf(one: Route): Record<number, string> {
  const hasParts = [one.params, one.query, one.headers]
    .some((params) => Object.keys(params).length > 0);
  return {
    400: hasParts || one.body !== undefined || one.lines !== undefined
      ? "Something in the request is not what it should be."
      : "The query has something that is not known.",
    ...(one.access === "open"
      ? {}
      : { 401: "The token is missing, wrong, or void." }),
    ...(one.access === "operator" || one.method !== "GET"
      ? { 403: "An operator's token is wanted, or the origin is foreign." }
      : {}),
    405: methodNotAllowedProblem,
    ...(one.body === undefined ? {} : {
      413: `The body has more than ${one.body.maxBytes} bytes.`,
      415: "The body is neither JSON nor CBOR.",
    }),
    ...(one.lines === undefined ? {} : {
      413:
        `The body has more than ${one.lines.maxBytes} bytes, or a line of it more than ${one.lines.maxLineBytes}.`,
      415: `The body is not ${one.lines.contentType}.`,
    }),
    ...(one.isStoreless === true ? {} : {
      409: "The store is another deployment's than it was.",
      503: "The store is empty, or fails: try again, or another master.",
    }),
    ...one.problems,
  };
}
