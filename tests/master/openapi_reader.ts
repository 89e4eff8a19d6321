/** Reads a master's OpenAPI document as a stranger would, and judges requests and answers by nothing else. */
import { assert } from "../deps.ts";
import { decodeCbor } from "../../master/wire/mod.ts";
import { Ajv2020 } from "./deps.ts";

type Json = Record<string, unknown>;

/** A parameter. */
export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required: boolean;
  schema: Json;
}

/** An operation of the document. */
export interface Operation {
  method: string;
  path: string;
  operationId: string;
  parameters: Parameter[];
  /** Schema of the body, if it takes one. */
  body: Json | undefined;
  responses: Record<string, { content?: Record<string, { schema: Json }> }>;
}

/** A document, and a judge of answers. */
export class Reader {
  readonly operations: Operation[] = [];
  readonly #ajv = new Ajv2020({ strict: true, strictRequired: false });
  readonly #root: Json;
  readonly #checks = new Map<string, ReturnType<Ajv2020["compile"]>>();

  /** Fails if the document is none. */
  constructor(readonly document: Json) {
    assert.equal(document.openapi, "3.1.0");
    const components = document.components as Json;
    this.#root = { $id: "api", components: closed(components.schemas) };
    const paths = document.paths as Record<string, Record<string, Json>>;
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, one] of Object.entries(methods)) {
        this.operations.push(readOperation(path, method, one));
      }
    }
  }

  /** The operation of this name. */
  find(operationId: string): Operation {
    const found = this.operations.find((one) =>
      one.operationId === operationId
    );
    assert.ok(found, operationId);
    return found;
  }

  /** Fails unless the document says that the operation may answer so. Returns what is in the answer. */
  async judge(operation: Operation, response: Response): Promise<unknown> {
    const { method, path, responses } = operation;
    const at = `${method} ${path}: ${response.status}`;
    const documented = responses[String(response.status)];
    const bytes = await response.bytes();
    const text = new TextDecoder().decode(bytes);
    assert.ok(documented, `${at} is not documented: ${text.slice(0, 300)}`);
    if (path.startsWith("/v1/")) {
      assert.match(response.headers.get("cache-control")!, /^no-store\b/, at);
    }
    const type = (response.headers.get("content-type") ?? "").split(";")[0]!;
    const content = documented.content?.[type];
    assert.ok(content, `${at} with ${type}`);
    const value = type === "application/cbor"
      ? decodeCbor(bytes)
      : /json$/.test(type) && type !== "application/x-ndjson"
      ? JSON.parse(text)
      : text;
    this.matches(content.schema, value, at);
    return value;
  }

  /** Fails unless a value is as the schema says, with no field beside. */
  matches(schema: Json, value: unknown, at: string): void {
    const key = JSON.stringify(schema);
    let check = this.#checks.get(key);
    if (check === undefined) {
      check = this.#ajv.compile(this.#resolved(schema));
      this.#checks.set(key, check);
    }
    assert.ok(
      check(value),
      `${at}: ${this.#ajv.errorsText(check.errors)}: ${
        JSON.stringify(value)?.slice(0, 500)
      }`,
    );
  }

  #resolved(schema: Json): Json {
    return JSON.parse(
      JSON.stringify({
        ...closed(schema) as Json,
        $defs: this.#root.components,
      })
        .replaceAll("#/components/schemas/", "#/$defs/"),
    );
  }
}

function readOperation(path: string, method: string, one: Json): Operation {
  const body = one.requestBody as { content: Record<string, { schema: Json }> };
  return {
    method: method.toUpperCase(),
    path,
    operationId: String(one.operationId),
    parameters: (one.parameters ?? []) as Parameter[],
    body: body?.content["application/json"]?.schema,
    responses: one.responses as Operation["responses"],
  };
}

/** The same schema, which allows no field that it does not name: the test wants to hear of those. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const fields = Object.fromEntries(
    Object.entries(schema).map(([name, one]) => [name, closed(one)]),
  );
  const isObject = fields.type === "object" && fields.properties !== undefined;
  return isObject ? { additionalProperties: false, ...fields } : fields;
}
