/** Everything under `/v1`, as one table; `/healthz` beside it. */
import type { Gate } from "../gate.ts";
import { problem } from "../http.ts";
import type { KvStore } from "../kv_store.ts";
import { isSecret, namePattern } from "../wire/mod.ts";
import {
  definitions,
  documentAnswer,
  reportAnswer,
  textAnswer,
} from "./answers.ts";
import { type BoardParts, boardRoutes } from "./board.ts";
import { boardDefinitions } from "./board_answers.ts";
import { reportBody } from "./bodies.ts";
import { commandRoutes } from "./commands.ts";
import { type OpenApiDocument, openApiOf } from "./openapi.ts";
import { type Route, route } from "./route.ts";
import { described, optional, text } from "./shape.ts";
import { viewRoutes } from "./views.ts";

/** Version of the API: it grows with what is added; another `/v1` would be another API. */
const apiVersion = "1.0.0";

/** What routes work with. */
export interface ApiParts {
  /** The state. */
  readonly store: KvStore;
  /** Who may do what. */
  readonly gate: Gate;
  /** A report without a NodeHost's own secret is refused. */
  readonly wantsSecrets: boolean;
  /** Reports are taken here. */
  readonly takesReports: boolean;
  /** What the page shows. */
  readonly page: BoardParts;
}

/** The routes. */
export function apiRoutes(parts: ApiParts): Route[] {
  const { store, gate, page } = parts;
  const routes = [
    reportRoute(parts),
    ...viewRoutes(store, parts.takesReports),
    ...commandRoutes(store),
    ...boardRoutes(gate, page),
    healthRoute,
  ];
  let document: OpenApiDocument | undefined;
  routes.push(route({
    method: "GET",
    path: "/v1/openapi.json",
    operationId: "getDocument",
    summary: "This document.",
    tag: "everything",
    access: "open",
    isStoreless: true,
    answer: documentAnswer,
    contentType: "application/json",
    handle: ({ context }) => {
      document ??= openApiOf(routes, {
        version: apiVersion,
        definitions: { ...definitions, ...boardDefinitions },
      });
      context.header("cache-control", "no-store");
      return Promise.resolve(context.json(document));
    },
  }));
  return routes;
}

const healthRoute = route({
  method: "GET",
  path: "/healthz",
  operationId: "getHealth",
  summary: "That the process answers; it touches no store.",
  tag: "everything",
  access: "open",
  isStoreless: true,
  answer: textAnswer,
  contentType: "text/plain",
  handle: ({ context }) => Promise.resolve(context.text("ok")),
});

function reportRoute(parts: ApiParts): Route {
  const { store, gate, wantsSecrets, takesReports } = parts;
  return route({
    method: "POST",
    path: "/v1/report",
    operationId: "report",
    summary: "Tells what a NodeHost carries, and asks what it should do.",
    description:
      "The first secret that a NodeHost gives is the one that it has to give from then on. With a ticket it needs no token.",
    tag: "nodehosts",
    access: "nodehost",
    headers: {
      "x-drakkar-secret": optional(described(
        text({
          minLength: 32,
          maxLength: 256,
          pattern: namePattern,
          words: "a secret: 32 to 256 printable ASCII characters",
        }),
        "The NodeHost's own secret.",
      )),
    },
    body: reportBody,
    onUnreadable: async (context) => {
      const known = gate.nodeHostOf(context);
      if (known === undefined || !takesReports) return;
      await store.heard(known, context.req.header("x-drakkar-secret") ?? "");
    },
    answer: reportAnswer,
    problems: {
      403: "The NodeHost is revoked, or its secret is another one or missing.",
      409: "The NodeHost belongs to another deployment.",
      422: "The report contradicts itself.",
    },
    handle: async ({ headers, body: info, context }) => {
      if (!takesReports) {
        const what = "This is not production: it takes no reports";
        return problem(503, "not-production", what);
      }
      const secret = headers["x-drakkar-secret"];
      const known = gate.nodeHostOf(context);
      if (known !== undefined && known !== info.nodeHostId) {
        return problem(403, "foreign-ticket", "The ticket is another's");
      }
      if (secret === undefined && wantsSecrets) {
        return problem(403, "secret-wanted", "Reports want X-Drakkar-Secret");
      }
      // A ticket may be older than what an operator forgot: only a token lets a NodeHost give a new secret.
      const mayEnrol = known === undefined;
      const reply = await store.report(info, { secret, mayEnrol });
      const ticket = secret === undefined || !isSecret(secret)
        ? undefined
        : gate.ticketFor(info.nodeHostId, secret);
      return ticket === undefined ? reply : { ...reply, ticket };
    },
  });
}
