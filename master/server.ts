/**
 * The master as an HTTP service. Bodies are JSON, or CBOR for those who send or accept it; errors are problem details
 * (RFC 9457). Any number of instances share a store.
 *
 *     GET  /v1/deployment           { deploymentId }     decimal text; set by whoever asks first
 *     POST /v1/report               { accepted, want }   body: a report of at most 4 MiB
 *     GET  /v1/nodehosts            { nodeHosts }        NodeHostSummary of each
 *     GET  /v1/nodehosts/ID/log     { logInfo }          the nodes its log holds data of
 *     GET  /v1/clusters             { clusters }         ClusterSummary of each
 *     GET  /v1/cci                  { cci }              index of the last known membership change, by cluster
 *     GET  /healthz                 ok                   the process answers; touches no store
 *     GET  /                        a page for people
 *
 * With a token, all but `/healthz` and the style sheet want it: as a bearer, or for the page as the password of any user.
 */
import { RaftError } from "../raft/errors.ts";
import { consoleLogger } from "../raft/logger.ts";
import type { Logger } from "../raft/ports.ts";
import { TokenCheck } from "./auth.ts";
import { type Context, Hono, type Next } from "./deps.ts";
import type { KvStore } from "./kv_store.ts";
import { pagePolicy, renderPage, styleSheet } from "./page.ts";
import type { NodeHostInfo } from "./protocol.ts";
import {
  decodeCbor,
  encodeCbor,
  maxReportBytes,
  readReport,
} from "./wire/mod.ts";

/** What a master is made of. */
export interface MasterOptions {
  /** Its state, from `openStore()`. The caller closes it. */
  store: KvStore;
  /** Bearer token that NodeHosts and people must know, 32 characters at least; none by default. */
  token?: string;
  /** Where failures are logged; the console by default. Never told a token. */
  logger?: Logger;
  /** The page shows a NodeHost as silent after so many milliseconds, 60,000 by default: three periods of 20 s. */
  silentAfterMs?: number;
}

/** A master: a Hono app, of which this much is promised. */
export interface Master {
  /** Answers a request; give it to `Deno.serve`. */
  fetch(request: Request): Response | Promise<Response>;
  /** Answers a request made of a path and an `init`, for tests. */
  request(path: string, init?: RequestInit): Response | Promise<Response>;
}

const cborType = "application/cbor";
const jsonType = "application/json";

/**
 * Makes a master.
 *
 * @throws {RangeError} if the token is too short to be a secret.
 */
export function createMaster(options: MasterOptions): Master {
  const { store, logger = consoleLogger, silentAfterMs = 60_000 } = options;
  const check = options.token === undefined
    ? undefined
    : new TokenCheck(options.token);
  const app = new Hono();
  app.onError((error) => answerError(error, logger));
  app.notFound(() => problem(404, "not-found", "There is nothing here"));
  app.use("*", (context, next) => authorize(context, next, check));
  addApi(app, store);
  app.get("/healthz", (context) => context.text("ok"));
  app.get("/style.css", () =>
    new Response(styleSheet, {
      headers: {
        "content-type": "text/css; charset=utf-8",
        "cache-control": "max-age=300",
      },
    }));
  app.get("/", async (context) => {
    const page = await renderPage({
      deploymentId: await store.deploymentId(),
      nodeHosts: await store.nodeHosts(),
      clusters: await store.clusters(),
      silentAfterMs,
    });
    context.header("content-security-policy", pagePolicy);
    context.header("cache-control", "no-store");
    return context.html(page);
  });
  for (const path of ["/", "/style.css", "/healthz"]) {
    app.all(path, () => methodNotAllowed("GET, HEAD"));
  }
  // Hono's own `request` has other types under older versions of Deno, so this one is made of `fetch`.
  return {
    fetch: (request) => app.fetch(request),
    request: (path, init) =>
      app.fetch(new Request(new URL(path, "http://localhost/"), init)),
  };
}

function addApi(app: Hono, store: KvStore): void {
  app.get("/v1/deployment", async (context) => {
    const deploymentId = (await store.deploymentId()).toString();
    return answer(context, { deploymentId });
  });
  app.post("/v1/report", async (context) => {
    const info = await readBody(context);
    if (info instanceof Response) return info;
    return answer(context, { ...await store.report(info) });
  });
  app.get("/v1/nodehosts", async (context) => {
    return answer(context, { nodeHosts: await store.nodeHosts() });
  });
  app.get("/v1/nodehosts/:id/log", async (context) => {
    const logInfo = await store.logInfo(context.req.param("id"));
    if (logInfo !== undefined) return answer(context, { logInfo });
    return problem(404, "not-found", "No NodeHost of this id has reported");
  });
  app.get("/v1/clusters", async (context) => {
    return answer(context, { clusters: await store.clusters() });
  });
  app.get("/v1/cci", async (context) => {
    const cci = Object.fromEntries(await store.configChangeIndexes());
    return answer(context, { cci });
  });
  app.all("/v1/report", () => methodNotAllowed("POST"));
  for (const name of ["deployment", "nodehosts", "clusters", "cci"]) {
    app.all(`/v1/${name}`, () => methodNotAllowed("GET, HEAD"));
  }
  app.all("/v1/nodehosts/:id/log", () => methodNotAllowed("GET, HEAD"));
}

/** Turns away whoever does not know the token, before anything is read from the store. */
async function authorize(
  context: Context,
  next: Next,
  check: TokenCheck | undefined,
): Promise<Response | void> {
  const { path } = context.req;
  const header = context.req.header("authorization");
  const isOpen = check === undefined || path === "/healthz" ||
    path === "/style.css";
  const isPage = path === "/";
  if (
    !isOpen && !check.isBearer(header) && !(isPage && check.isBasic(header))
  ) {
    const refused = problem(
      401,
      "unauthorized",
      isPage
        ? "Sign in with the token as password"
        : "A bearer token is wanted",
    );
    refused.headers.set(
      "www-authenticate",
      isPage ? 'Basic realm="drakkar", charset="UTF-8"' : "Bearer",
    );
    return refused;
  }
  await next();
  context.header("x-content-type-options", "nosniff");
  context.header("referrer-policy", "no-referrer");
}

/** The report in the body, or the answer to a body that is none. */
async function readBody(context: Context): Promise<NodeHostInfo | Response> {
  const type = (context.req.header("content-type") ?? "").split(";")[0]?.trim()
    .toLowerCase();
  if (type !== cborType && type !== jsonType) {
    const what = `A report is ${cborType} or ${jsonType}`;
    return problem(415, "unsupported-type", what);
  }
  const bytes = await readBytes(context.req.raw.body, maxReportBytes);
  if (bytes === undefined) {
    const what = `The report has more than ${maxReportBytes} bytes`;
    return problem(413, "too-large", what);
  }
  try {
    return readReport(
      type === cborType
        ? decodeCbor(bytes)
        : JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return problem(400, "bad-report", reason);
  }
}

/** The whole body; `undefined` if it is longer than `max`, and then the rest of it is not read. */
async function readBytes(
  body: ReadableStream<Uint8Array> | null,
  max: number,
): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > max) return undefined;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function answer(context: Context, value: Record<string, unknown>): Response {
  context.header("cache-control", "no-store");
  if ((context.req.header("accept") ?? "").includes(cborType)) {
    context.header("content-type", cborType);
    return context.body(encodeCbor(value));
  }
  return context.json(value);
}

function problem(status: number, code: string, detail: string): Response {
  const title = code.replaceAll("-", " ");
  const body = JSON.stringify({
    type: "about:blank",
    title,
    status,
    code,
    detail,
  });
  return new Response(body, {
    status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
    },
  });
}

function methodNotAllowed(allowed: string): Response {
  const refused = problem(
    405,
    "method-not-allowed",
    `The methods here are: ${allowed}`,
  );
  refused.headers.set("allow", allowed);
  return refused;
}

/** The store's failures pass; anything else is a fault of this program, and its text is for the log only. */
function answerError(error: Error, logger: Logger): Response {
  if (!(error instanceof RaftError)) {
    logger.error("Cannot answer a request", { reason: error.stack });
    return problem(500, "internal", "The master failed; its log says why");
  }
  if (error.code === "deploymentMismatch") {
    return problem(409, "deployment-mismatch", error.message);
  }
  logger.warn("Cannot answer a request now", { reason: error.message });
  const refused = problem(503, "store-unavailable", error.message);
  refused.headers.set("retry-after", "1");
  return refused;
}
