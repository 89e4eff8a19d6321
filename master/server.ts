/**
 * The master as an HTTP service. Bodies are JSON, or CBOR for those who send or accept it; errors are problem details
 * (RFC 9457). Any number of instances share a store.
 *
 * Everything under `/v1` is in one table, `api/mod.ts`, from which the OpenAPI document at `/v1/openapi.json` is made.
 * Beside it there is a page for people at `/` (`page/`). With a token, all but `/healthz`, the document and what the page
 * is made of want it: as a bearer, or once to sign in, after which a cookie stands for it; commands want an operator's
 * (`gate.ts`).
 */
import { RaftError } from "../raft/errors.ts";
import { consoleLogger } from "../raft/logger.ts";
import type { Logger } from "../raft/ports.ts";
import { apiRoutes } from "./api/mod.ts";
import { mount } from "./api/route.ts";
import { Hono } from "./deps.ts";
import { Gate } from "./gate.ts";
import { problem } from "./http.ts";
import { type KvStore, NotInitialisedError } from "./kv_store.ts";
import { addPageRoutes } from "./page/routes.ts";
import { BoardStreams, type Trouble } from "./page/stream.ts";

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
  /**
   * The page shows a NodeHost as silent after so many milliseconds; by default after two and a half of the store's
   * periods, and not before 60,000.
   */
  silentAfterMs?: number;
  /**
   * While somebody looks at the page, the store is read every so many milliseconds; by default half of the store's
   * period, from one second to 15.
   */
  boardIntervalMs?: number;
  /** Reports without a NodeHost's own secret are refused (M12); they are taken by default. */
  wantsSecrets?: boolean;
  /** Whether reports are taken, which is the default. A preview beside the real thing should take none (M20). */
  takesReports?: boolean;
}

/** A master: a Hono app, of which this much is promised. */
export interface Master {
  /** Answers a request; give it to `Deno.serve`. */
  fetch(request: Request): Response | Promise<Response>;
  /** Answers a request made of a path and an `init`, for tests. */
  request(path: string, init?: RequestInit): Response | Promise<Response>;
  /** Ends the streams of events that browsers have open: a server that is to stop would wait for them. */
  close(): void;
}

/**
 * Makes a master.
 *
 * @throws {RangeError} if the token is too short to be a secret.
 */
export function createMaster(options: MasterOptions): Master {
  const { app, streams } = assemble(options);
  // Hono's own `request` has other types under older versions of Deno, so this one is made of `fetch`.
  return {
    fetch: (request) => app.fetch(request),
    request: (path, init) =>
      app.fetch(new Request(new URL(path, "http://localhost/"), init)),
    close: () => streams.close(),
  };
}

/** The same as an app, which knows its routes. */
export function createApp(options: MasterOptions): Hono {
  return assemble(options).app;
}

function assemble(
  options: MasterOptions,
): { app: Hono; streams: BoardStreams } {
  const { store, logger = consoleLogger } = options;
  const { wantsSecrets = false, takesReports = true } = options;
  const { clock } = store;
  const gate = new Gate({ ...options, now: () => clock.wallTime() });
  const app = new Hono();
  app.onError((error) => answerError(error, logger));
  app.notFound((context) =>
    gate.refuse(context, "reader") ??
      problem(404, "not-found", "There is nothing here")
  );
  app.use("*", async (context, next) => {
    await next();
    context.header("x-content-type-options", "nosniff");
    context.header("referrer-policy", "no-referrer");
  });
  const intervalMs = options.boardIntervalMs ??
    Math.min(15_000, Math.max(1_000, store.periodMs / 2));
  const board = store.board(
    options.silentAfterMs ?? Math.max(60_000, 2.5 * store.periodMs),
  );
  const describe = (error: unknown) => troubleOf(error, logger);
  const streams = new BoardStreams({ board, clock, intervalMs, describe });
  const page = { board, streams, intervalMs };
  const parts = { store, gate, wantsSecrets, takesReports, page };
  mount(app, apiRoutes(parts), gate);
  addPageRoutes(app);
  return { app, streams };
}

/** What the page says while its store cannot be read. */
function troubleOf(error: unknown, logger: Logger): Trouble {
  if (error instanceof NotInitialisedError) {
    return { code: "store-not-initialised", detail: error.message };
  }
  if (error instanceof RaftError) {
    logger.warn("Cannot read what the page shows", { reason: error.message });
    return { code: "store-unavailable", detail: error.message };
  }
  const reason = error instanceof Error ? error.stack : String(error);
  logger.error("Cannot make what the page shows", { reason });
  return {
    code: "internal",
    detail: "The master failed; its log says why",
  };
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
  if (error instanceof NotInitialisedError) {
    return problem(503, "store-not-initialised", error.message);
  }
  logger.warn("Cannot answer a request now", { reason: error.message });
  const refused = problem(503, "store-unavailable", error.message);
  refused.headers.set("retry-after", "1");
  return refused;
}
