/** What operators do, as requests: the same as `../api/commands.ts`. */
import type { CommandCall, Fields } from "./calls.ts";

/** Why a command line cannot be used. */
export class UsageError extends Error {
  /** Tells it from other errors. */
  override readonly name = "UsageError";
}

/** What the command line gave, beside what concerns all commands. */
export interface Given {
  /** The id, or `undefined`. */
  readonly id?: string;
  /** Flags with a value. */
  readonly texts: Readonly<Record<string, string | undefined>>;
  /** Flags that may be given several times. */
  readonly lists: Readonly<Record<string, readonly string[] | undefined>>;
}

/** What an action is about. */
export type Subject = "cluster" | "nodehost" | "all" | "cluster or all";

/** An action. */
export interface Action {
  /** What follows its name in the usage. */
  readonly usage: string;
  /** One line. */
  readonly what: string;
  /** What the id names. */
  readonly subject: Subject;
  /** Flags of its own. */
  readonly flags: readonly string[];
  /** It cannot be undone: the name must be said again. */
  readonly isFinal?: boolean;
  /** It does nothing the second time, and so has no key. */
  readonly isOnce?: boolean;
  /** More of the help. */
  readonly help?: string;
  /** The request. */
  readonly call: (given: Given) => CommandCall;
}

const genFlag = "expected-gen";
const indexFlag = "expected-cci";
const genHelp = `
  --expected-gen N              refused if the definition has another number by now`;
const stateHelp = `
  --expected-gen N              refused if its "gen" (--json) is another one by now`;
const wishFlags = ["region", "required-region", "config"];
const wishHelp = `
  --region NAME=COUNT           so many voters there, elsewhere rather than nowhere; several
  --required-region NAME=COUNT  so many voters there, rather nowhere than elsewhere; several
  --config NAME=NUMBER          a field of ClusterConfig; several`;

/** The actions by name. */
export const actions: Readonly<Record<string, Action>> = {
  create: {
    usage: "ID --app NAME [--size N] [--region NAME=COUNT ...]",
    what: "makes a cluster, which is launched in the next tick",
    subject: "cluster",
    flags: ["app", "size", ...wishFlags],
    help: `
  --app NAME                    a name in the stateMachines of NodeHosts
  --size N                      voting members, 3 by default${wishHelp}`,
    call: (given) => ({
      method: "POST",
      path: "/v1/clusters",
      body: {
        clusterId: clusterIdOf(given),
        app: required("app", given),
        ...wishOf(given),
      },
    }),
  },
  change: {
    usage: "ID [--size N] [--region NAME=COUNT ...] [--expected-gen N]",
    what: "changes what a cluster should be",
    subject: "cluster",
    flags: ["size", genFlag, ...wishFlags],
    help: `
  --size N                      voting members${genHelp}${wishHelp}`,
    call: (given) => ({
      method: "PATCH",
      path: `/v1/clusters/${clusterIdOf(given)}`,
      body: {
        ...wishOf(given),
        ...shownOf(given),
      },
    }),
  },
  adopt: {
    usage: "ID [--app NAME] [--region NAME=COUNT ...]",
    what: "puts a cluster that NodeHosts merely report into the master's hands",
    subject: "cluster",
    flags: ["app", genFlag, ...wishFlags],
    help: `
  --app NAME                    a name in the stateMachines of NodeHosts; what they report,
                                if it is not given${genHelp}${wishHelp}`,
    call: (given) => ({
      method: "POST",
      path: `/v1/clusters/${clusterIdOf(given)}/adopt`,
      body: {
        ...(given.texts.app === undefined ? {} : { app: given.texts.app }),
        ...wishOf(given),
        ...shownOf(given),
      },
    }),
  },
  adoption: {
    usage: "--app NAME[,NAME ...] [--region NAME=COUNT ...] | --none",
    what: "says which reported clusters are adopted without an operator",
    subject: "all",
    flags: ["app", "none", genFlag, ...wishFlags],
    help: `
  --app NAME,...                those with a state machine of this name; all rules are replaced
  --none                        none: operators adopt${stateHelp}${wishHelp}`,
    call: (given) => {
      if ((given.texts.app === undefined) !== (given.texts.none === "true")) {
        throw new UsageError("Cannot use adoption: give --app or --none");
      }
      const names = given.texts.app?.split(",") ?? [];
      const { size: _, ...wish } = wishOf(given);
      const rules = names.map((app) => ({ app, ...wish }));
      return post("/v1/adoption", { rules, ...shownOf(given) });
    },
  },
  delete: {
    usage: "ID [--wait-ticks N]",
    what: "deletes a cluster and all that it holds; its id is never used again",
    subject: "cluster",
    flags: ["wait-ticks", genFlag],
    isFinal: true,
    help: `
  --wait-ticks N                so long it can still be kept; 30 by default, 0 for at once${genHelp}`,
    call: (given) => ({
      method: "DELETE",
      path: `/v1/clusters/${clusterIdOf(given)}`,
      body: {
        confirm: String(clusterIdOf(given)),
        ...optionalNumber("waitTicks", "wait-ticks", given, 0),
        ...shownOf(given),
      },
    }),
  },
  keep: {
    usage: "ID",
    what: "does not delete a cluster after all, while that can still be said",
    subject: "cluster",
    flags: [genFlag],
    help: genHelp,
    call: (given) =>
      post(`/v1/clusters/${clusterIdOf(given)}/keep`, shownOf(given)),
  },
  recover: {
    usage: "ID [--condemned NODE[,NODE ...]]",
    what: "gives up nodes of a cluster that lost its majority",
    subject: "cluster",
    flags: ["condemned", genFlag, indexFlag],
    isFinal: true,
    help: `
  --condemned NODE,...          the nodes that are given up; their NodeHosts must be revoked or
                                dead. Without it only what is known is shown: how far the log
                                of each survivor goes, and what would be lost
  --expected-cci N              refused if the members are those of another index by now${genHelp}

It then says what is to be done by hand: an image of a survivor's state, and imports.`,
    call: (given) => {
      const clusterId = clusterIdOf(given);
      const condemned = required("condemned", given).split(",")
        .map((text) => wholeNumber("condemned", text));
      return {
        method: "POST",
        path: `/v1/clusters/${clusterId}/recover`,
        body: {
          condemned,
          confirm: String(clusterId),
          ...shownOf(given),
          ...optionalNumber("expectedConfigChangeIndex", indexFlag, given, 0),
        },
      };
    },
  },
  "cancel-plan": {
    usage: "ID",
    what: "gives up the plan of a cluster: the node that came goes again",
    subject: "cluster",
    flags: [genFlag],
    help: genHelp,
    call: (given) =>
      post(`/v1/clusters/${clusterIdOf(given)}/cancel-plan`, shownOf(given)),
  },
  pause: pausing("pause", "stops all decisions, or those about one cluster"),
  resume: pausing("resume", "undoes pause"),
  "release-brake": {
    usage: "",
    what: "says that the NodeHosts that fell silent at once are really gone",
    subject: "all",
    flags: [genFlag],
    help: stateHelp,
    call: (given) => post("/v1/release-brake", shownOf(given)),
  },
  init: {
    usage: "",
    what:
      "makes a deployment in an empty store, where masters do not by themselves",
    subject: "all",
    flags: [],
    isOnce: true,
    call: () => post("/v1/init"),
  },
  cordon: hostAction("cordon", "places nothing more on a NodeHost"),
  drain: hostAction("drain", "moves leaders and nodes away from a NodeHost"),
  uncordon: hostAction("uncordon", "undoes cordon and drain"),
  dead: {
    ...hostAction("dead", "gives a NodeHost up without waiting, for good"),
    isFinal: true,
    call: (given) => finalPost(given, "dead"),
  },
  revoke: {
    ...hostAction("revoke", "refuses the reports of a NodeHost for good"),
    isFinal: true,
    call: (given) => finalPost(given, "revoke"),
  },
  "forget-secret": {
    ...hostAction("forget-secret", "lets a NodeHost give another secret"),
    isFinal: true,
    call: (given) => finalPost(given, "forget-secret"),
  },
};

function post(path: string, body: Fields = {}): CommandCall {
  return { method: "POST", path, body };
}

function pausing(name: "pause" | "resume", what: string): Action {
  return {
    usage: "[ID]",
    what,
    subject: "cluster or all",
    flags: [genFlag],
    help: `
  --expected-gen N              refused if the definition has another number by now; without
                                an ID, the "gen" of status --json`,
    call: (given) => {
      if (given.id !== undefined) {
        const path = `/v1/clusters/${clusterIdOf(given)}/${name}`;
        return post(path, shownOf(given));
      }
      return post(`/v1/${name}`, shownOf(given));
    },
  };
}

function hostAction(name: string, what: string): Action {
  return {
    usage: "HOST",
    what,
    subject: "nodehost",
    flags: [genFlag],
    help: stateHelp,
    call: (given) => post(hostPath(given, name), shownOf(given)),
  };
}

function finalPost(given: Given, action: string): CommandCall {
  const confirm = required("id", given);
  return post(hostPath(given, action), { confirm, ...shownOf(given) });
}

function hostPath(given: Given, action: string): string {
  const id = encodeURIComponent(required("id", given));
  return `/v1/nodehosts/${id}/${action}`;
}

// ---- Values ----

function required(name: string, { id, texts }: Given): string {
  const value = name === "id" ? id : texts[name];
  if (value !== undefined && value !== "") return value;
  const flag = name === "id" ? "the id" : `--${name}`;
  throw new UsageError(`Cannot use the command line: ${flag} is missing`);
}

/** A cluster id. */
export function clusterIdOf(given: Given): number {
  return wholeNumber("the id", required("id", given));
}

/** A whole number, from 1 on if nothing else is said. */
export function wholeNumber(name: string, text: string, min = 1): number {
  const value = Number(text);
  const isWhole = /^(?:0|[1-9][0-9]*)$/.test(text) &&
    Number.isSafeInteger(value);
  if (isWhole && value >= min) return value;
  const flag = name === "the id" ? name : `--${name}`;
  throw new UsageError(
    `Cannot use ${flag}: "${text}" is not a ${
      min === 1 ? "positive " : ""
    }whole number`,
  );
}

function optionalNumber(
  field: string,
  flag: string,
  given: Given,
  min = 1,
): Fields {
  const text = given.texts[flag];
  return text === undefined ? {} : { [field]: wholeNumber(flag, text, min) };
}

/** What the operator saw. */
function shownOf(given: Given): Fields {
  return optionalNumber("expectedGen", genFlag, given, 0);
}

function wishOf(given: Given): Fields {
  const wished = (flag: string, more: Fields) =>
    pairsOf(flag, given).map(([region, count]) => ({
      region,
      count: wholeNumber(flag, count),
      ...more,
    }));
  const regions = [
    ...wished("region", {}),
    ...wished("required-region", { isRequired: true }),
  ];
  const config = pairsOf("config", given)
    .map(([name, text]): [string, number] => {
      if (/^[0-9]{1,15}$/.test(text)) return [name, Number(text)];
      throw new UsageError(
        `Cannot use --config: "${text}" is not a whole number`,
      );
    });
  return {
    ...optionalNumber("size", "size", given),
    ...(regions.length === 0 ? {} : { regions }),
    ...(config.length === 0 ? {} : { config: Object.fromEntries(config) }),
  };
}

function pairsOf(flag: string, { lists }: Given): [string, string][] {
  return (lists[flag] ?? []).map((text) => {
    const at = text.lastIndexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
    throw new UsageError(`Cannot use --${flag}: "${text}" is not NAME=NUMBER`);
  });
}
