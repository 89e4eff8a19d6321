/**
 * What operators do over HTTP. Commands need a JSON or CBOR body (`{}` at least), take an `Idempotency-Key`, and with
 * `?dryRun=true` only say what they would do. `X-Operator` names who it is, for the history. What cannot be undone wants
 * `confirm`, which repeats the name.
 *
 *     POST   /v1/clusters                    { clusterId, app, size?, regions?, config? }
 *     PATCH  /v1/clusters/ID                 { size?, regions?, config?, expectedGen? }
 *     DELETE /v1/clusters/ID                 { confirm: "ID" }
 *     POST   /v1/clusters/ID/adopt           { app, regions?, config? }
 *     POST   /v1/clusters/ID/pause | resume | cancel-plan
 *     POST   /v1/clusters/ID/recover         { condemned, confirm: "ID" }
 *     POST   /v1/nodehosts/ID/cordon | uncordon | drain
 *     POST   /v1/nodehosts/ID/revoke | dead | forget-secret   { confirm: "ID" }
 *     POST   /v1/pause | resume | release-brake
 *     POST   /v1/init                        {}; makes a deployment in an empty store
 *     GET    /v1/clusters/ID                 the record
 *     GET    /v1/plan                        what the next round would do, and why not
 *     GET    /v1/events?limit=N              the history, newest first
 *     GET    /v1/status                      { tick, busy, paused, brake }
 *     GET    /v1/metrics                     counts for Prometheus
 *     GET    /v1/export                      everything, as lines of text (`export.ts`); wants an operator's token
 */
import type { Context, Hono } from "./deps.ts";
import { answer, methodNotAllowed, problem, readBody } from "./http.ts";
import type { KvStore } from "./kv_store.ts";
import { type Command, CommandError, type HostCommand } from "./operator.ts";
import {
  InputError,
  readAdoption,
  readChange,
  readCondemned,
  readFields,
  readInteger,
  readWish,
  requireConfirmed,
} from "./operator_input.ts";

const maxCommandBytes = 64 * 1024;
const maxKeyLength = 200;
const eventsMax = 1_000;

const hostActions: Readonly<Record<string, HostCommand["type"]>> = {
  cordon: "cordonHost",
  uncordon: "uncordonHost",
  drain: "drainHost",
  revoke: "revokeHost",
  dead: "declareHostDead",
  "forget-secret": "forgetHostSecret",
};

const clusterActions = ["adopt", "pause", "resume", "cancel-plan", "recover"];

/** Adds the routes. */
export function addOperatorRoutes(app: Hono, store: KvStore): void {
  const run =
    (read: (context: Context, body: unknown) => Command) =>
    async (context: Context): Promise<Response> =>
      await runCommand(context, store, read);
  app.post("/v1/clusters", run(readCreate));
  app.patch("/v1/clusters/:id", run(readPatch));
  app.delete("/v1/clusters/:id", run(readDelete));
  app.post("/v1/clusters/:id/:action", run(readClusterAction));
  app.post("/v1/nodehosts/:id/:action", run(readHostAction));
  app.post("/v1/pause", run((_, body) => readGlobal("pause", body)));
  app.post("/v1/resume", run((_, body) => readGlobal("resume", body)));
  app.post(
    "/v1/release-brake",
    run((_, body) => readGlobal("releaseBrake", body)),
  );
  app.post("/v1/init", async (context) => {
    const foreign = refuseForeign(context);
    if (foreign !== undefined) return foreign;
    return answer(context, { deploymentId: (await store.init()).toString() });
  });
  addViews(app, store);
}

function addViews(app: Hono, store: KvStore): void {
  app.get("/v1/clusters/:id", async (context) => {
    const id = readId(context);
    const cluster = id === undefined ? undefined : await store.cluster(id);
    if (cluster !== undefined) return answer(context, { ...cluster });
    return problem(404, "not-found", "There is no such cluster");
  });
  app.get(
    "/v1/plan",
    async (context) => answer(context, { decisions: await store.plan() }),
  );
  app.get("/v1/events", async (context) => {
    const text = context.req.query("limit") ?? "100";
    const limit = Number(text);
    if (!/^[0-9]+$/.test(text) || limit < 1 || limit > eventsMax) {
      return problem(400, "bad-request", `limit is not from 1 to ${eventsMax}`);
    }
    return answer(context, { events: await store.events(limit) });
  });
  app.get(
    "/v1/status",
    async (context) => answer(context, { ...await store.status() }),
  );
  app.get("/v1/export", () =>
    new Response(linesOf(store), {
      headers: {
        "content-type": "application/x-ndjson",
        "cache-control": "no-store",
      },
    }));
  app.get(
    "/v1/metrics",
    async () =>
      new Response(metricsText(await store.counts()), {
        headers: {
          "content-type": "text/plain; version=0.0.4; charset=utf-8",
          "cache-control": "no-store",
        },
      }),
  );
  for (const name of ["plan", "events", "status", "export", "metrics"]) {
    app.all(`/v1/${name}`, () => methodNotAllowed("GET, HEAD"));
  }
  for (const name of ["pause", "resume", "release-brake", "init"]) {
    app.all(`/v1/${name}`, () => methodNotAllowed("POST"));
  }
  app.all(
    "/v1/clusters/:id",
    () => methodNotAllowed("GET, HEAD, PATCH, DELETE"),
  );
  app.all("/v1/clusters/:id/:action", () => methodNotAllowed("POST"));
  app.all("/v1/nodehosts/:id/:action", () => methodNotAllowed("POST"));
}

/** As Prometheus reads it. */
function metricsText(counts: Readonly<Record<string, number>>): string {
  const lines: string[] = [];
  let last = "";
  for (const [name, value] of Object.entries(counts)) {
    const family = `drakkar_master_${name.replace(/\{.*/, "")}`;
    if (family !== last) lines.push(`# TYPE ${family} gauge`);
    lines.push(`drakkar_master_${name} ${value}`);
    last = family;
  }
  return lines.join("\n") + "\n";
}

/** A line is made when somebody reads it. */
function linesOf(store: KvStore): ReadableStream<Uint8Array<ArrayBuffer>> {
  const lines = store.exportLines();
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await lines.next();
      if (done === true) controller.close();
      else controller.enqueue(encoder.encode(`${value}\n`));
    },
    async cancel() {
      await lines.return(undefined);
    },
  });
}

async function runCommand(
  context: Context,
  store: KvStore,
  read: (context: Context, body: unknown) => Command,
): Promise<Response> {
  const foreign = refuseForeign(context);
  if (foreign !== undefined) return foreign;
  const key = context.req.header("idempotency-key");
  if (key !== undefined && !/^[\x21-\x7e]{1,200}$/.test(key)) {
    const what =
      `Idempotency-Key is not 1 to ${maxKeyLength} printable characters`;
    return problem(400, "bad-request", what);
  }
  const body = await readBody(context, maxCommandBytes, "bad-request");
  if (body instanceof Response) return body;
  const who = context.req.header("x-operator") ?? "";
  try {
    const command = read(context, body.value);
    const result = await store.command(command, {
      ...(key === undefined ? {} : { key }),
      ...(/^[\x20-\x7e]{1,100}$/.test(who) ? { who } : {}),
      isDryRun: context.req.query("dryRun") === "true",
    });
    return answer(context, result);
  } catch (error) {
    if (error instanceof InputError) {
      return problem(400, "bad-request", error.message);
    }
    if (!(error instanceof CommandError)) throw error;
    const status = { "not-found": 404, conflict: 409, invalid: 400 };
    return problem(status[error.code], error.code, error.message);
  }
}

/** A page of somebody else must not give commands with a browser's credentials (M13). */
function refuseForeign(context: Context): Response | undefined {
  const site = context.req.header("sec-fetch-site");
  const origin = context.req.header("origin");
  const isForeign = (site !== undefined && site !== "same-origin" &&
    site !== "none") ||
    (origin !== undefined && origin !== new URL(context.req.url).origin);
  if (!isForeign) return undefined;
  return problem(403, "foreign-origin", "Commands come from the same origin");
}

function readId(context: Context): number | undefined {
  const text = context.req.param("id") ?? "";
  const id = Number(text);
  return /^[1-9][0-9]{0,15}$/.test(text) && Number.isSafeInteger(id)
    ? id
    : undefined;
}

function requireId(context: Context): number {
  const id = readId(context);
  if (id !== undefined) return id;
  throw new InputError("Cannot read the path: it has no cluster id");
}

function readCreate(_context: Context, body: unknown): Command {
  const known = ["clusterId", "app", "size", "regions", "config"];
  const fields = readFields(body, known);
  const clusterId = readInteger("clusterId", fields.clusterId, 1);
  return { type: "createCluster", clusterId, wish: readWish(fields) };
}

function readPatch(context: Context, body: unknown): Command {
  const fields = readFields(body, ["size", "regions", "config", "expectedGen"]);
  const { expectedGen } = fields;
  return {
    type: "changeCluster",
    clusterId: requireId(context),
    wish: readChange(fields),
    ...(expectedGen === undefined
      ? {}
      : { expectedGen: readInteger("expectedGen", expectedGen, 1) }),
  };
}

function readDelete(context: Context, body: unknown): Command {
  const clusterId = requireId(context);
  requireConfirmed(readFields(body, ["confirm"]), String(clusterId));
  return { type: "deleteCluster", clusterId };
}

function readClusterAction(context: Context, body: unknown): Command {
  const clusterId = requireId(context);
  const action = context.req.param("action") ?? "";
  switch (action) {
    case "adopt": {
      const fields = readFields(body, ["app", "regions", "config"]);
      return { type: "adoptCluster", clusterId, wish: readAdoption(fields) };
    }
    case "recover": {
      const fields = readFields(body, ["condemned", "confirm"]);
      requireConfirmed(fields, String(clusterId));
      const condemned = readCondemned(fields.condemned);
      return { type: "recoverCluster", clusterId, condemned };
    }
    case "pause":
    case "resume":
      readFields(body, []);
      return {
        type: action === "pause" ? "pauseCluster" : "resumeCluster",
        clusterId,
      };
    case "cancel-plan":
      readFields(body, []);
      return { type: "cancelPlan", clusterId };
    default:
      throw new CommandError(
        "not-found",
        `There is no action "${action}"; there are ${
          clusterActions.join(", ")
        }`,
      );
  }
}

function readHostAction(context: Context, body: unknown): Command {
  const hostId = context.req.param("id") ?? "";
  const action = context.req.param("action") ?? "";
  const type = Object.hasOwn(hostActions, action)
    ? hostActions[action]
    : undefined;
  if (type === undefined) {
    const known = Object.keys(hostActions).join(", ");
    throw new CommandError(
      "not-found",
      `There is no action "${action}"; there are ${known}`,
    );
  }
  const fields = readFields(body, ["confirm"]);
  if (["revoke", "dead", "forget-secret"].includes(action)) {
    requireConfirmed(fields, hostId);
  }
  return { type, hostId };
}

function readGlobal(
  type: "pause" | "resume" | "releaseBrake",
  body: unknown,
): Command {
  readFields(body, []);
  return { type };
}
