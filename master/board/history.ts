/** Events in words. Pure. */
import type { EventRecord } from "../schema.ts";
import type { BoardEvent, EventTone } from "./types.ts";

interface Wording {
  readonly what: string;
  readonly tone: EventTone;
}

/** What masters decide and find. */
const decisions: Readonly<Record<string, Wording>> = {
  plan: { what: "Repair planned", tone: "working" },
  repair: { what: "Repair begins", tone: "working" },
  drain: { what: "Moving off a drained NodeHost", tone: "working" },
  move: { what: "Move begins", tone: "working" },
  grow: { what: "A node is added", tone: "working" },
  shrink: { what: "A node is removed", tone: "working" },
  promote: { what: "New node gets its vote", tone: "working" },
  remove: { what: "Old node is removed", tone: "working" },
  transfer: { what: "Leadership handed over", tone: "working" },
  launch: { what: "Launch begins", tone: "working" },
  restore: { what: "Node is started again", tone: "working" },
  kill: { what: "Node is stopped", tone: "working" },
  done: { what: "Done", tone: "good" },
  launched: { what: "Launched", tone: "good" },
  trusted: { what: "Imported record is trusted", tone: "good" },
  recovered: { what: "Recovered", tone: "good" },
  deleted: { what: "Deleted", tone: "plain" },
  abandon: { what: "Plan given up", tone: "bad" },
  failed: { what: "NodeHost is dead", tone: "bad" },
  returned: { what: "NodeHost is back", tone: "good" },
  replaced: { what: "NodeHost was replaced", tone: "bad" },
  interleaved: { what: "Two processes under one id", tone: "bad" },
  "brake-off": { what: "The brake went off", tone: "good" },
  brake: { what: "The brake engaged", tone: "bad" },
  quarantine: { what: "Cluster in quarantine", tone: "bad" },
};

/** What operators do. */
const commands: Readonly<Record<string, string>> = {
  createCluster: "created the cluster",
  adoptCluster: "adopted the cluster",
  changeCluster: "changed what the cluster should be",
  deleteCluster: "deleted the cluster",
  keepCluster: "keeps the cluster",
  pauseCluster: "paused the cluster",
  resumeCluster: "resumed the cluster",
  cancelPlan: "gave up the cluster's plan",
  recoverCluster: "gave up nodes of the cluster",
  cordonHost: "cordoned the NodeHost",
  uncordonHost: "put the NodeHost back to use",
  drainHost: "drains the NodeHost",
  revokeHost: "revoked the NodeHost",
  declareHostDead: "declared the NodeHost dead",
  forgetHostSecret: "lets the NodeHost enrol again",
  pause: "paused all decisions",
  resume: "resumed decisions",
  releaseBrake: "released the brake",
};

/** An event as the page shows it. What this version does not know is shown by its own word. */
export function describeEvent(
  key: string,
  event: Omit<EventRecord, "v" | "w">,
): BoardEvent {
  const { atMs, what, why, who, cluster, host } = event;
  const rest = {
    key,
    atMs,
    ...(cluster === undefined ? {} : { cluster }),
    ...(host === undefined ? {} : { host }),
  };
  if (who !== undefined) {
    const done = commands[what] ?? what;
    const given = wishOf(why);
    return {
      ...rest,
      what: `${who} ${done}`,
      why: given,
      tone: "operator",
      who,
    };
  }
  const wording = Object.hasOwn(decisions, what) ? decisions[what] : undefined;
  return { ...rest, why, ...(wording ?? { what, tone: "plain" }) };
}

/** What a command says beside its name and whom it is about: it is stored as it was given. */
function wishOf(text: string): string {
  let command: Record<string, unknown>;
  try {
    command = JSON.parse(text);
  } catch {
    return ""; // It was too long to be stored whole.
  }
  const { wish, condemned } = command;
  if (Array.isArray(condemned)) return `nodes ${condemned.join(", ")}`;
  if (typeof wish !== "object" || wish === null) return "";
  const { app, size, regions } = wish as Record<string, unknown>;
  return [
    typeof app === "string" ? `app ${app}` : "",
    typeof size === "number" ? `size ${size}` : "",
    Array.isArray(regions) && regions.length > 0
      ? regions.map(({ region, count }) => `${count} in ${region}`).join(", ")
      : "",
  ].filter((part) => part !== "").join(", ");
}
