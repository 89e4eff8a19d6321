/**
 * A route, said once: how it is called, who may call it, what it takes and what it answers. From the same words come
 * the checks of what is sent, the types of what handlers get, and the OpenAPI document (`openapi.ts`).
 */
import type { Context, Hono } from "../deps.ts";
import { RaftError } from "../../raft/errors.ts";
import type { Access, Gate } from "../gate.ts";
import { answer, methodNotAllowed, problem, readBody } from "../http.ts";
import { CommandError } from "../operator.ts";
import { linesOfBody, type LinesParts, TooLargeError } from "./lines.ts";
import {
  ContradictionError,
  fromText,
  InputError,
  type ObjectOf,
  type Shape,
} from "./shape.ts";

/** Methods of routes. */
export type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** Named values: of a path, a query, or headers. */
export type Params = Readonly<Record<string, Shape<unknown>>>;

/** A body that a route takes, in JSON or CBOR. */
export interface BodyParts<B> {
  /** What it looks like. */
  readonly shape: Shape<B>;
  /** Bytes at most. */
  readonly maxBytes: number;
  /** Code of the problem if it is not one; `bad-request` by default. */
  readonly code?: string;
}

/** What a handler gets. Everything has been checked. */
export interface Input<P, Q, H, B> {
  /** Of the path. */
  readonly params: P;
  /** Of the query. */
  readonly query: Q;
  /** Headers. */
  readonly headers: H;
  /** The body. */
  readonly body: B;
  /** The lines of a body of lines, read as they are asked for; else there are none. */
  readonly lines: AsyncIterable<string>;
  /** The request. */
  readonly context: Context;
}

/** What every route has. */
export interface RouteFacts {
  /** Its method. HEAD comes with GET. */
  readonly method: Method;
  /** Its path, with `{name}` for each parameter. */
  readonly path: string;
  /** Its name in the document. */
  readonly operationId: string;
  /** What it is about. */
  readonly tag: string;
  /** One line. */
  readonly summary: string;
  /** More. */
  readonly description?: string;
  /** Who may call it. */
  readonly access: Access;
  /** It answers without a look into the store, and so always. */
  readonly isStoreless?: boolean;
  /** Happens when what is sent cannot be read, before that is answered. */
  readonly onUnreadable?: (context: Context) => Promise<void>;
  /** What can be wrong beside what every route refuses: by status, for people. */
  readonly problems?: Readonly<Record<number, string>>;
}

/** A route as the table holds it. */
export interface Route extends RouteFacts {
  /** Of the path. */
  readonly params: Params;
  /** Of the query. */
  readonly query: Params;
  /** Headers; their names in lower case. */
  readonly headers: Params;
  /** The body, if it takes one. */
  readonly body: BodyParts<unknown> | undefined;
  /** The body, if it is one of lines that is read while it is worked on. */
  readonly lines: LinesParts | undefined;
  /** What it answers. */
  readonly answer: Shape<unknown>;
  /** Content type of the answer, if it is neither JSON nor CBOR. */
  readonly contentType: string | undefined;
  /** Answers. */
  readonly handle: (
    input: Input<never, never, never, never>,
  ) => Promise<unknown>;
}

/** Names a route's parts; what is left out it does not take. */
export function route<
  A,
  B = undefined,
  const P extends Params = Record<never, never>,
  const Q extends Params = Record<never, never>,
  const H extends Params = Record<never, never>,
>(
  parts: RouteFacts & {
    params?: P;
    query?: Q;
    headers?: H;
    body?: BodyParts<B>;
    lines?: LinesParts;
    answer: Shape<A>;
    contentType?: string;
    handle: (
      input: Input<ObjectOf<P>, ObjectOf<Q>, ObjectOf<H>, B>,
    ) => Promise<A | Response>;
  },
): Route {
  return {
    ...parts,
    params: parts.params ?? {},
    query: parts.query ?? {},
    headers: parts.headers ?? {},
    body: parts.body,
    lines: parts.lines,
    contentType: parts.contentType,
    handle: parts.handle as Route["handle"],
  };
}

/** Adds routes to an app, and the refusal of every other method on their paths. */
export function mount(app: Hono, routes: readonly Route[], gate: Gate): void {
  const methods = new Map<string, string[]>();
  for (const one of routes) {
    const path = one.path.replaceAll(/\{(\w+)\}/g, ":$1");
    app.on(one.method, [path], (context) => run(one, context, gate));
    const known = methods.get(path) ?? [];
    known.push(...one.method === "GET" ? ["GET", "HEAD"] : [one.method]);
    methods.set(path, known);
  }
  for (const [path, allowed] of methods) {
    const isOpen = routes.some((one) =>
      one.access === "open" && one.path === path
    );
    app.all(
      path,
      (context) =>
        gate.refuse(context, isOpen ? "open" : "reader") ??
          methodNotAllowed(allowed.join(", ")),
    );
  }
}

async function run(
  one: Route,
  context: Context,
  gate: Gate,
): Promise<Response> {
  const refused = gate.refuse(context, one.access) ??
    (one.method === "GET" ? undefined : gate.refuseForeign(context));
  if (refused !== undefined) return refused;
  try {
    const inputs = {
      params: readParams(
        one.params,
        "the path",
        (name) => context.req.param(name),
      ),
      query: readQuery(one.query, context),
      headers: readParams(
        one.headers,
        "the headers",
        (name) => context.req.header(name),
      ),
    };
    const body = one.body === undefined ? undefined : await readBody(
      context,
      one.body.maxBytes,
      one.body.code ?? "bad-request",
    );
    if (body instanceof Response) {
      await one.onUnreadable?.(context);
      return body;
    }
    const lines = one.lines === undefined
      ? noLines
      : linesOfBody(context, one.lines);
    if (lines instanceof Response) return lines;
    const value = readValue(one, body?.value);
    const input = { ...inputs, body: value, lines, context };
    const result = await one.handle(
      input as unknown as Input<never, never, never, never>,
    );
    if (result instanceof Response) return result;
    return answer(context, result as Record<string, unknown>);
  } catch (error) {
    if (error instanceof InputError) await one.onUnreadable?.(context);
    return refusalOf(error, one.body?.code ?? "bad-request");
  }
}

const noLines: AsyncIterable<string> = {
  async *[Symbol.asyncIterator]() {},
};

function readValue({ body }: Route, value: unknown): unknown {
  return body?.shape.read(value, "the body");
}

function readParams(
  shapes: Params,
  place: string,
  get: (name: string) => string | undefined,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const value = get(name);
    if (value === undefined && "isOptional" in shape) continue;
    result[name] = fromText(shape).read(value, `${place}: ${name}`);
  }
  return result;
}

/** A name that is not known is refused: `?dryrun=true` must not be a command in earnest. */
function readQuery(shapes: Params, context: Context): Record<string, unknown> {
  const given = context.req.queries();
  for (const [name, values] of Object.entries(given)) {
    if (!Object.hasOwn(shapes, name)) {
      throw new InputError(`Cannot read the query: it has no "${name}"`);
    }
    if (values.length > 1) {
      throw new InputError(`Cannot read the query: ${name} is there twice`);
    }
  }
  return readParams(shapes, "the query", (name) => given[name]?.[0]);
}

/** Errors that say what is wrong with a request; others are the server's. */
function refusalOf(error: unknown, code: string): Response {
  if (error instanceof ContradictionError) {
    return problem(422, "contradiction", error.message);
  }
  if (error instanceof InputError) return problem(400, code, error.message);
  if (error instanceof TooLargeError) {
    return problem(413, "too-large", error.message);
  }
  if (error instanceof CommandError) {
    const status = { "not-found": 404, conflict: 409, invalid: 422 };
    return problem(status[error.code], error.code, error.message);
  }
  if (error instanceof RaftError && error.code === "rejected") {
    return problem(403, "rejected", error.message);
  }
  throw error;
}
