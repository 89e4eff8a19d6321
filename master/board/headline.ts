/** The most important thing, in one sentence. Pure. */
import { unknownRegion } from "../../raft/config.ts";
import type { BoardHost, BoardStatus, Headline } from "./types.ts";

/** What the sentence is made of. */
export interface HeadlineParts {
  /** Everything that is counted. */
  readonly status: Omit<BoardStatus, "headline">;
  /** All NodeHosts. */
  readonly hosts: readonly BoardHost[];
  /** How many regions there are. */
  readonly regions: number;
}

/** `1 cluster`, `2 clusters`. */
export function counted(count: number, one: string): string {
  return `${count.toLocaleString("en-US")} ${one}${count === 1 ? "" : "s"}`;
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;
}

function isOrAre(count: number): string {
  return count === 1 ? "is" : "are";
}

/** The sentence, and one more. The first thing that is true of the list, which is sorted by how much it matters. */
export function headlineOf(parts: HeadlineParts): Headline {
  const { status, hosts } = parts;
  const { states, groups, brake, isPaused } = status;
  if (hosts.length === 0) {
    return {
      tone: "idle",
      text: "Waiting for the first NodeHost",
      detail: "Nothing has reported to this master yet.",
    };
  }
  const bad = worst(parts);
  if (bad !== undefined) return bad;
  const silent = hosts.filter(({ standing }) =>
    standing === "silent" || standing === "conflict"
  );
  if (brake !== null && !brake.isReleased) {
    return {
      tone: "warning",
      text: "The brake is on",
      detail: sentence(brake.why),
    };
  }
  const short = (states.degraded ?? 0) + (states.recovering ?? 0);
  if (short > 0) {
    return {
      tone: "warning",
      text: `${counted(short, "cluster")} ${isOrAre(short)} short of a node`,
      detail: namesOf(hosts, "dead", "silent") ?? summary(parts),
    };
  }
  const repairs = (states.repairing ?? 0) + (states.waiting ?? 0);
  if (repairs > 0) {
    return {
      tone: "working",
      text: `Repairing ${counted(repairs, "cluster")}`,
      detail: namesOf(hosts, "dead", "gone") ?? summary(parts),
    };
  }
  if (silent.length > 0) {
    return {
      tone: "warning",
      text: `${counted(silent.length, "NodeHost")} ${
        isOrAre(silent.length)
      } silent`,
      detail: namesOf(hosts, "silent", "conflict") ?? summary(parts),
    };
  }
  if (isPaused) {
    return {
      tone: "warning",
      text: "Decisions are paused",
      detail: "An operator stopped them. What runs goes on running.",
    };
  }
  if (groups.working > 0) {
    return {
      tone: "working",
      text: `${counted(groups.working, "cluster")} ${
        isOrAre(groups.working)
      } changing`,
      detail: summary(parts),
    };
  }
  if (groups.trouble > 0) {
    return {
      tone: "warning",
      text: `${counted(groups.trouble, "cluster")} ${
        groups.trouble === 1 ? "lags" : "lag"
      } behind`,
      detail: summary(parts),
    };
  }
  if (status.clusters === 0) {
    return {
      tone: "idle",
      text: "Ready for the first cluster",
      detail: summary(parts),
    };
  }
  return { tone: "good", text: "All is well", detail: summary(parts) };
}

/** Clusters that serve nobody. */
function worst({ status, hosts }: HeadlineParts): Headline | undefined {
  const { lost = 0, quarantine = 0, leaderless = 0, unstarted = 0 } =
    status.states;
  const detail = namesOf(hosts, "dead", "silent");
  if (lost > 0) {
    return {
      tone: "bad",
      text: `${counted(lost, "cluster")} without a majority`,
      detail: `${detail ?? "Too few of their nodes run."} ${
        lost === 1 ? "It serves" : "They serve"
      } again when enough nodes return; what is lost for good can be recovered.`,
    };
  }
  if (quarantine > 0) {
    return {
      tone: "bad",
      text: `${counted(quarantine, "cluster")} in quarantine`,
      detail:
        "Two memberships were reported under one index. Masters leave it alone until somebody has looked.",
    };
  }
  if (leaderless > 0) {
    return {
      tone: "bad",
      text: `${counted(leaderless, "cluster")} without a leader`,
      detail: detail ?? "An election is under way, or cannot be won.",
    };
  }
  if (unstarted > 0) {
    return {
      tone: "bad",
      text: `${counted(unstarted, "cluster")} ${
        unstarted === 1 ? "does" : "do"
      } not start`,
      detail: detail ??
        "NodeHosts were told to start the first nodes, and did not.",
    };
  }
  return undefined;
}

const namesMax = 2;

/** `host-3 (north) is dead`. */
function namesOf(
  hosts: readonly BoardHost[],
  ...standings: BoardHost["standing"][]
): string | undefined {
  for (const standing of standings) {
    const found = hosts.filter((host) => host.standing === standing);
    if (found.length === 0) continue;
    const names = found.slice(0, namesMax).map(({ address, region }) =>
      region === unknownRegion ? address : `${address} (${region})`
    );
    const more = found.length - names.length;
    const list = more > 0
      ? `${names.join(", ")} and ${more} more`
      : names.join(" and ");
    return `${list} ${isOrAre(found.length)} ${
      standing === "conflict" ? "at another's address" : standing
    }.`;
  }
  return undefined;
}

function summary({ status, regions }: HeadlineParts): string {
  const { hosts, clusters, nodes } = status;
  const where = regions > 1 ? ` in ${counted(regions, "region")}` : "";
  if (clusters === 0) return `${counted(hosts, "NodeHost")}${where}.`;
  return `${counted(hosts, "NodeHost")}${where}, ${
    counted(clusters, "cluster")
  }, ${counted(nodes, "node")}.`;
}
