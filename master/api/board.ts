/** The routes that the page lives on: who is signed in, and what is shown. */
import { statesBySeverity } from "../board/health.ts";
import type { Board } from "../board/types.ts";
import type { Context } from "../deps.ts";
import type { Gate } from "../gate.ts";
import { problem } from "../http.ts";
import { cookieHeader, type Session } from "../page/session.ts";
import type { BoardStreams } from "../page/stream.ts";
import { eventStream } from "./answers.ts";
import {
  boardAnswer,
  boardClustersAnswer,
  type SessionAnswer,
  sessionAnswer,
} from "./board_answers.ts";
import { type Route, route } from "./route.ts";
import { described, integer, object, oneOf, optional, text } from "./shape.ts";

/** What the page's routes work with. */
export interface BoardParts {
  /** What is shown. */
  readonly board: Board;
  /** Those who watch. */
  readonly streams: BoardStreams;
  /** A reading not older than this is fresh enough. */
  readonly intervalMs: number;
}

const sessionBytes = 4_096;
const limitMax = 200;
const tag = "page";

/** The routes. */
export function boardRoutes(gate: Gate, parts: BoardParts): Route[] {
  return [...sessionRoutes(gate), ...viewRoutes(gate, parts)];
}

// ---- Who is signed in ----

function sessionRoutes(gate: Gate): Route[] {
  const path = "/v1/session";
  const facts = { path, tag, access: "open", isStoreless: true } as const;
  return [
    route({
      ...facts,
      method: "GET",
      operationId: "getSession",
      summary: "Who is signed in at this browser.",
      answer: sessionAnswer,
      handle: ({ context }) =>
        Promise.resolve(
          tellSession(gate, gate.sessions.check(context.req.header("cookie"))),
        ),
    }),
    route({
      ...facts,
      method: "POST",
      operationId: "signIn",
      summary: "Gives a browser a cookie that stands for a token.",
      description:
        "For 12 hours. Scripts cannot read it, other sites cannot use it, and it is void when the token is.",
      body: {
        shape: object({
          token: text({
            maxLength: 1_000,
            words: "a text of at most 1,000 characters",
          }),
        }),
        maxBytes: sessionBytes,
      },
      answer: sessionAnswer,
      problems: {
        401: "It is none of the tokens.",
        403: "The origin is foreign.",
      },
      handle: ({ context, body }) => {
        const signed = gate.sessions.signIn(body.token);
        if (signed === undefined) {
          const what = "This is none of the tokens";
          return Promise.resolve(problem(401, "unauthorized", what));
        }
        const cookie = cookieHeader(signed.value, isSecure(context));
        context.header("set-cookie", cookie);
        return Promise.resolve(tellSession(gate, signed.session));
      },
    }),
    route({
      ...facts,
      method: "DELETE",
      operationId: "signOut",
      summary: "Takes the cookie away.",
      answer: sessionAnswer,
      problems: { 403: "The origin is foreign." },
      handle: ({ context }) => {
        context.header("set-cookie", cookieHeader("", isSecure(context)));
        return Promise.resolve(tellSession(gate, undefined));
      },
    }),
  ];
}

function tellSession(gate: Gate, session: Session | undefined): SessionAnswer {
  if (gate.isOpen) return { role: "operator", isOpen: true };
  return session === undefined
    ? { role: null, isOpen: false }
    : { ...session, isOpen: false };
}

/** What ends TLS in front of a master says so; who lies about it only gets a cookie that is of no use. */
function isSecure(context: Context): boolean {
  return new URL(context.req.url).protocol === "https:" ||
    context.req.header("x-forwarded-proto") === "https";
}

// ---- What is shown ----

function viewRoutes(gate: Gate, parts: BoardParts): Route[] {
  const { board, streams, intervalMs } = parts;
  return [
    route({
      method: "GET",
      path: "/v1/board",
      operationId: "getBoard",
      summary: "Everything that the page shows at once.",
      tag,
      access: "reader",
      answer: boardAnswer,
      handle: () => board.view(intervalMs),
    }),
    route({
      method: "GET",
      path: "/v1/board/clusters",
      operationId: "listBoardClusters",
      summary: "Some of all clusters, the worst first.",
      tag,
      access: "reader",
      query: {
        state: optional(
          described(
            oneOf("trouble", "working", "well", ...statesBySeverity),
            "Only those of this group, or in this state.",
          ),
        ),
        text: optional(
          described(
            text({ maxLength: 200, words: "a text of at most 200 characters" }),
            "The beginning of their ids; or part of the name of their app, or of the id or address of a NodeHost; or its region.",
          ),
        ),
        offset: optional(
          described(integer(0, 9_999_999), "So many are left out."),
        ),
        limit: optional(
          described(integer(1, limitMax), "So many; 50 if it is not said."),
        ),
      },
      answer: boardClustersAnswer,
      // The stream's readings are as good: asking costs nothing while somebody watches.
      handle: ({ query }) =>
        board.clusters({ ...query, limit: query.limit ?? 50 }, 2 * intervalMs),
    }),
    route({
      method: "GET",
      path: "/v1/board/stream",
      operationId: "watchBoard",
      summary: "What the page shows, as server-sent events when it changes.",
      description:
        "`board` has what changed of the board; `trouble` says that the store cannot be read; `bye` is the last one.",
      tag,
      access: "reader",
      answer: eventStream,
      contentType: "text/event-stream",
      handle: ({ context }) =>
        Promise.resolve(streamAnswer(gate, streams, context)),
    }),
  ];
}

function streamAnswer(
  gate: Gate,
  streams: BoardStreams,
  context: Context,
): Response {
  if (streams.isFull) {
    const what = "Too many watch at this instance: ask for /v1/board";
    const refused = problem(503, "too-many-streams", what);
    refused.headers.set("retry-after", "60");
    return refused;
  }
  const stream = streams.open(() =>
    gate.refuse(context, "reader") === undefined
  );
  return new Response(stream, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      // Compressed, an event might wait for the next one.
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    },
  });
}
