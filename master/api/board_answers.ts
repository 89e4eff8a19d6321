/** What the page's routes answer. */
import { statesBySeverity } from "../board/health.ts";
import type {
  BoardCluster,
  BoardClusterPage,
  BoardEvent,
  BoardHost,
  BoardMember,
  BoardPlan,
  BoardRegion,
  BoardStatus,
  BoardView,
  ClusterGroup,
  ClusterState,
  EventTone,
  Headline,
  HostStanding,
  MemberStanding,
} from "../board/types.ts";
import type { Role } from "../page/session.ts";
import { answerOf } from "./answers.ts";
import {
  boolean,
  described,
  integer,
  list,
  nullable,
  oneOf,
  optional,
  type Shape,
  written,
} from "./shape.ts";

const anyText: Shape<string> = written({ type: "string" });
const count = integer(0);
const milliseconds: Shape<number> = written({ type: "number" });
const group: Shape<ClusterGroup> = oneOf("trouble", "working", "well");
const state: Shape<ClusterState> = oneOf(...statesBySeverity);

/** Who is signed in. */
export interface SessionAnswer {
  /** What they may do; `null`: nobody is. */
  role: Role | null;
  /** There are no tokens: nobody has to sign in. */
  isOpen: boolean;
  /** When the session ends, in milliseconds since 1970. */
  expiresAtMs?: number;
}

/** `/v1/session` */
export const sessionAnswer: Shape<SessionAnswer> = answerOf({
  role: nullable(oneOf("reader", "operator")),
  isOpen: boolean,
  expiresAtMs: optional(milliseconds),
});

const standing: Shape<HostStanding> = oneOf(
  "ok",
  "silent",
  "unreported",
  "dead",
  "gone",
  "revoked",
  "conflict",
);

const host: Shape<BoardHost> = answerOf({
  id: anyText,
  address: anyText,
  region: anyText,
  domain: anyText,
  standing,
  heardMs: milliseconds,
  nodes: count,
  leaders: count,
  placed: count,
  apps: list(anyText),
  isCordoned: boolean,
  isDraining: boolean,
  isDiskLow: boolean,
  gen: count,
});

const region: Shape<BoardRegion> = answerOf({
  name: anyText,
  hosts: count,
  healthy: count,
  nodes: count,
  leaders: count,
});

const memberStanding: Shape<MemberStanding> = oneOf(
  "leader",
  "ok",
  "lagging",
  "starting",
  "stopped",
  "silent",
  "dead",
  "unknown",
);

const member: Shape<BoardMember> = answerOf({
  node: count,
  role: anyText,
  host: anyText,
  address: anyText,
  region: anyText,
  standing: memberStanding,
  asked: optional(count),
  askedForMs: optional(milliseconds),
});

const wish: Shape<BoardCluster["regions"][number]> = answerOf({
  region: anyText,
  count,
  isRequired: optional(boolean),
});

const plan: Shape<BoardPlan> = answerOf({
  kind: anyText,
  why: anyText,
  stage: integer(0, 4),
  doing: anyText,
  forMs: milliseconds,
  to: optional(anyText),
});

const cluster: Shape<BoardCluster> = answerOf({
  id: count,
  state,
  group,
  why: anyText,
  app: anyText,
  size: count,
  regions: list(wish),
  cci: count,
  gen: count,
  isPaused: boolean,
  deletesInMs: optional(milliseconds),
  members: list(member),
  plan: optional(plan),
});

const tone: Shape<EventTone> = oneOf(
  "good",
  "working",
  "bad",
  "operator",
  "plain",
);

const event: Shape<BoardEvent> = answerOf({
  key: anyText,
  atMs: milliseconds,
  what: anyText,
  why: anyText,
  tone,
  cluster: optional(count),
  host: optional(anyText),
  who: optional(anyText),
});

const headline: Shape<Headline> = answerOf({
  tone: oneOf("good", "working", "bad", "warning", "idle"),
  text: described(anyText, "The most important thing, in one sentence."),
  detail: anyText,
});

const status: Shape<BoardStatus> = answerOf({
  deploymentId: anyText,
  tick: count,
  periodMs: milliseconds,
  isPaused: boolean,
  gen: count,
  brake: nullable(
    answerOf({ why: anyText, hosts: list(anyText), isReleased: boolean }),
  ),
  headline,
  hosts: count,
  clusters: count,
  nodes: count,
  groups: answerOf({ trouble: count, working: count, well: count }),
  states: written<BoardStatus["states"]>({
    type: "object",
    propertyNames: { enum: statesBySeverity },
    additionalProperties: count.schema,
  }),
  rev: described(count, "Another one when something about clusters changed."),
});

/** `GET /v1/board` */
export const boardAnswer: Shape<BoardView> = answerOf({
  atMs: milliseconds,
  status,
  hosts: answerOf({ regions: list(region), list: list(host), more: count }),
  work: answerOf({
    list: list(reference<BoardCluster>("BoardCluster")),
    more: count,
  }),
  events: list(event),
});

/** `GET /v1/board/clusters` */
export const boardClustersAnswer: Shape<BoardClusterPage> = answerOf({
  clusters: list(reference<BoardCluster>("BoardCluster")),
  total: count,
  rev: count,
});

/** The shapes that have names in the document. */
export const boardDefinitions: Readonly<Record<string, Shape<unknown>>> = {
  BoardCluster: cluster,
};

function reference<T>(name: string): Shape<T> {
  return written({ $ref: `#/components/schemas/${name}` });
}
