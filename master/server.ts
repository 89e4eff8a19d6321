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
 * Operators' routes are in `routes.ts`. With a token, all but `/healthz` and the style sheet want it: as a bearer, or for
 * the page as the password of any user; commands want an operator's.
 */
import { RaftError } from "../raft/errors.ts";
import { consoleLogger } from "../raft/logger.ts";
import type { Logger } from "../raft/ports.ts";
import { TokenCheck } from "./auth.ts";
import { type Context, Hono, type Next } from "./deps.ts";
import { answer, methodNotAllowed, problem, readBody } from "./http.ts";
import { type KvStore, NotInitialisedError } from "./kv_store.ts";
import { pagePolicy, renderPage, styleSheet } from "./page.ts";
import type { NodeHostInfo } from "./protocol.ts";
import { addOperatorRoutes } from "./routes.ts";
import { isSecret, maxReportBytes, readReport } from "./wire/mod.ts";

/** What a master is made of. */
export interface MasterOptions {
  /** Its state, from `openStore()`. The caller closes it. */
  store: KvStore;
  /**
   * Bearer token that NodeHosts and people who look must know, 32 characters at least; none by default. Two while one is
   * being replaced by another.
   */
  token?: string | readonly string[];
  /** Bearer token of operators, who may give commands; with `token` and without this, nobody may. Two as above. */
  operatorToken?: string | readonly string[];
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

/**
 * Makes a master.
 *
 * @throws {RangeError} if the token is too short to be a secret.
 */
export function createMaster(options: MasterOptions): Master {
  const { store, logger = consoleLogger, silentAfterMs = 60_000 } = options;
  const gate = gateOf(options);
  const app = new Hono();
  app.onError((error) => answerError(error, logger));
  app.notFound(() => problem(404, "not-found", "There is nothing here"));
  app.use("*", (context, next) => authorize(context, next, gate));
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
    const info = await readReportBody(context);
    if (info instanceof Response) return info;
    const secret = context.req.header("x-drakkar-secret");
    if (secret !== undefined && !isSecret(secret)) {
      return problem(400, "bad-secret", "X-Drakkar-Secret is not a secret");
    }
    return answer(context, { ...await store.report(info, { secret }) });
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
  app.all("/v1/nodehosts/:id/log", () => methodNotAllowed("GET, HEAD"));
  addOperatorRoutes(app, store);
  app.all("/v1/report", () => methodNotAllowed("POST"));
  for (const name of ["deployment", "nodehosts", "cci"]) {
    app.all(`/v1/${name}`, () => methodNotAllowed("GET, HEAD"));
  }
  app.all("/v1/clusters", () => methodNotAllowed("GET, HEAD, POST"));
}

/** Who may do what. */
interface Gate {
  /** Reports and looks; `undefined`: everybody. */
  readonly reader: TokenCheck | undefined;
  /** Gives commands; `undefined`: everybody. */
  readonly operator: TokenCheck | undefined;
}

function gateOf({ token, operatorToken }: MasterOptions): Gate {
  const operators = [operatorToken ?? []].flat();
  const readers = [[token ?? []].flat(), operators].flat();
  if (readers.length === 0) return { reader: undefined, operator: undefined };
  return {
    reader: new TokenCheck(readers),
    operator: new TokenCheck(operators),
  };
}

/** Turns away whoever does not know the token, before anything is read from the store. */
async function authorize(
  context: Context,
  next: Next,
  gate: Gate,
): Promise<Response | void> {
  const { path, method } = context.req;
  const isRead = method === "GET" || method === "HEAD";
  // What is exported includes what NodeHosts identify themselves by.
  const isCommand = path === "/v1/export" ||
    (!isRead && path.startsWith("/v1/") && path !== "/v1/report");
  const isOpen = path === "/healthz" || path === "/style.css";
  const check = isOpen ? undefined : isCommand ? gate.operator : gate.reader;
  const header = context.req.header("authorization");
  const isPage = path === "/";
  if (
    check !== undefined && !check.isBearer(header) &&
    !(isPage && check.isBasic(header))
  ) return refuse(gate, { isPage, isCommand, header });
  await next();
  context.header("x-content-type-options", "nosniff");
  context.header("referrer-policy", "no-referrer");
}

function refuse(
  gate: Gate,
  { isPage, isCommand, header }: {
    isPage: boolean;
    isCommand: boolean;
    header: string | undefined;
  },
): Response {
  if (isCommand && gate.reader?.isBearer(header) === true) {
    const what = "Commands want an operator's token; this one only reports";
    return problem(403, "not-an-operator", what);
  }
  const refused = problem(
    401,
    "unauthorized",
    isPage ? "Sign in with the token as password" : "A bearer token is wanted",
  );
  refused.headers.set(
    "www-authenticate",
    isPage ? 'Basic realm="drakkar", charset="UTF-8"' : "Bearer",
  );
  return refused;
}

/** The report in the body, or the answer to a body that is none. */
async function readReportBody(
  context: Context,
): Promise<NodeHostInfo | Response> {
  const body = await readBody(context, maxReportBytes, "bad-report");
  if (body instanceof Response) return body;
  try {
    return readReport(body.value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return problem(400, "bad-report", reason);
  }
}

/** The store's failures pass; anything else is a fault of this program, and its text is for the log only. */
function answerError(error: Error, logger: Logger): Response {
  if (!(error instanceof RaftError)) {
    logger.error("Cannot answer a request", { reason: error.stack });
    return problem(500, "internal", "The master failed; its log says why");
  }
  if (error.code === "rejected") {
    return problem(403, "rejected", error.message);
  }
  if (error.code === "deploymentMismatch") {
    return problem(409, "deployment-mismatch", error.message);
  }
  if (error instanceof NotInitialisedError) {
    return problem(503, "store-not-initialised", error.message);
  }
  logger.warn("Cannot answer a request now", { reason: error.message });
  const refused = problem(503, "store-unavailable", error.message);
  refused.headers.set("retry-after", "1");
  return refused;
}
