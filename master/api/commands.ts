/**
 * What operators do. Every command takes an `Idempotency-Key`, under which its repetition does nothing, and with
 * `?dryRun=true` only says what it would do. `X-Operator` names who it is, for the history. What cannot be undone wants
 * `confirm`, which repeats the id.
 */
import { RaftError } from "../../raft/errors.ts";
import { problem } from "../http.ts";
import type { KvStore } from "../kv_store.ts";
import type { Command, CommandOptions, CommandResult } from "../operator.ts";
import {
  clusterResult,
  globalResult,
  hostResult,
  importAnswer,
  initAnswer,
  recoverResult,
} from "./answers.ts";
import {
  adoptBody,
  adoptionBody,
  changeBody,
  checkChange,
  checkConfirmed,
  checkRegions,
  checkRules,
  clusterBody,
  command,
  createBody,
  deleteBody,
  emptyBody,
  finalBody,
  hostIdText,
  id,
  recoverBody,
  stateBody,
} from "./bodies.ts";
import { type Route, route, type RouteFacts } from "./route.ts";
import {
  boolean,
  described,
  InputError,
  type ObjectOf,
  optional,
  type Shape,
  text,
} from "./shape.ts";

/** Ticks in which a cluster that an operator deletes can still be kept (M19). */
const deletionWaitTicks = 30;

/** Bytes of an export at most: that of a million clusters has about half of it. */
const maxImportBytes = 1024 * 1024 * 1024;
/** Bytes of one of its lines at most: a value has 64 KiB, and JSON makes six of one where it is worst. */
const maxImportLineBytes = 512 * 1024;

const query = {
  dryRun: optional(
    described(boolean, "Only say what would be done; nothing is written."),
  ),
};

const headers = {
  "idempotency-key": optional(described(
    text({
      minLength: 1,
      maxLength: 200,
      pattern: "^[\\x21-\\x7e]+$",
      words: "1 to 200 printable ASCII characters without spaces",
    }),
    "Names the command: with the same key it is done once, for a day.",
  )),
  "x-operator": optional(described(
    text({
      minLength: 1,
      maxLength: 100,
      pattern: "^[\\x21-\\x7e]([\\x20-\\x7e]*[\\x21-\\x7e])?$",
      words: "1 to 100 printable ASCII characters",
    }),
    "Who gives the command, for the history.",
  )),
};

const clusterParams = { clusterId: described(id, "The cluster.") };
const hostParams = { nodeHostId: described(hostIdText, "The NodeHost.") };

const conflict = "It makes no sense as things are, or the key is another's.";
const contradiction = "What is sent contradicts itself, or what is known.";

type CommandFacts =
  & Pick<RouteFacts, "method" | "path" | "operationId" | "summary" | "tag">
  & { description?: string };

/** Adds to a table what all commands have. */
function commandsOf(store: KvStore) {
  return <const P extends Readonly<Record<string, Shape<unknown>>>, B>(
    facts: CommandFacts,
    parts: {
      params: P;
      body: Shape<B>;
      answer: Shape<CommandResult>;
      read: (params: ObjectOf<P>, body: B) => Command;
    },
  ): Route =>
    route({
      ...facts,
      access: "operator",
      params: parts.params,
      query,
      headers,
      body: command(parts.body),
      answer: parts.answer,
      problems: {
        ...(Object.keys(parts.params).length === 0
          ? {}
          : { 404: "There is no such thing." }),
        409: conflict,
        422: contradiction,
      },
      handle: async ({ params, query, headers, body }) => {
        const key = headers["idempotency-key"];
        const who = headers["x-operator"];
        const options: CommandOptions = {
          isDryRun: query.dryRun === true,
          ...(key === undefined ? {} : { key }),
          ...(who === undefined ? {} : { who }),
        };
        return await store.command(parts.read(params, body), options);
      },
    });
}

function asShown(expectedGen: number | undefined): { expectedGen?: number } {
  return expectedGen === undefined ? {} : { expectedGen };
}

/** The routes of commands. */
export function commandRoutes(store: KvStore): Route[] {
  return [
    ...clusterCommands(store),
    ...hostCommands(store),
    ...globalCommands(store),
    importCommand(store),
  ];
}

function clusterCommands(store: KvStore): Route[] {
  const add = commandsOf(store);
  const tag = "clusters";
  const path = "/v1/clusters/{clusterId}";
  const answer = clusterResult;
  const simple = (
    action: string,
    operationId: string,
    summary: string,
    type: "pauseCluster" | "resumeCluster" | "cancelPlan" | "keepCluster",
  ) =>
    add({
      method: "POST",
      path: `${path}/${action}`,
      operationId,
      summary,
      tag,
    }, {
      params: clusterParams,
      body: clusterBody,
      answer,
      read: ({ clusterId }, shown) => ({ type, clusterId, ...shown }),
    });
  return [
    add({
      method: "POST",
      path: "/v1/clusters",
      operationId: "createCluster",
      summary: "Makes a cluster, which is launched in the next tick.",
      tag,
    }, {
      params: {},
      body: createBody,
      answer,
      read: (_, { clusterId, size = 3, ...rest }) => {
        checkRegions(rest.regions, size);
        return { type: "createCluster", clusterId, wish: { size, ...rest } };
      },
    }),
    add({
      method: "PATCH",
      path,
      operationId: "changeCluster",
      summary: "Changes what a cluster should be.",
      tag,
    }, {
      params: clusterParams,
      body: changeBody,
      answer,
      read: ({ clusterId }, { expectedGen, ...wish }) => {
        checkChange(wish);
        checkRegions(wish.regions, wish.size);
        const shown = asShown(expectedGen);
        return { type: "changeCluster", clusterId, wish, ...shown };
      },
    }),
    add({
      method: "DELETE",
      path,
      operationId: "deleteCluster",
      summary: "Deletes a cluster and all that it holds, after a waiting time.",
      description: "Its id is never used again. Until then `keep` undoes it.",
      tag,
    }, {
      params: clusterParams,
      body: deleteBody,
      answer,
      read: ({ clusterId }, body) => {
        checkConfirmed(body, String(clusterId));
        const waitTicks = body.waitTicks ?? deletionWaitTicks;
        const shown = asShown(body.expectedGen);
        return { type: "deleteCluster", clusterId, waitTicks, ...shown };
      },
    }),
    add({
      method: "POST",
      path: `${path}/adopt`,
      operationId: "adoptCluster",
      summary: "Takes a cluster that NodeHosts merely report into its hands.",
      tag,
    }, {
      params: clusterParams,
      body: adoptBody,
      answer,
      read: ({ clusterId }, { expectedGen, ...wish }) => {
        checkRegions(wish.regions);
        const shown = asShown(expectedGen);
        return { type: "adoptCluster", clusterId, wish, ...shown };
      },
    }),
    add({
      method: "POST",
      path: `${path}/recover`,
      operationId: "recoverCluster",
      summary: "Gives up nodes of a cluster that lost its majority.",
      description:
        "Their NodeHosts must be revoked or declared dead. A dry run says what would be lost; `steps` is what is then to be done by hand.",
      tag,
    }, {
      params: clusterParams,
      body: recoverBody,
      answer: recoverResult,
      read: ({ clusterId }, body) => {
        checkConfirmed(body, String(clusterId));
        const { condemned, expectedGen, expectedConfigChangeIndex } = body;
        const shown = {
          ...asShown(expectedGen),
          ...(expectedConfigChangeIndex === undefined
            ? {}
            : { expectedConfigChangeIndex }),
        };
        return { type: "recoverCluster", clusterId, condemned, ...shown };
      },
    }),
    simple(
      "keep",
      "keepCluster",
      "Does not delete it after all.",
      "keepCluster",
    ),
    simple(
      "pause",
      "pauseCluster",
      "Stops decisions about it.",
      "pauseCluster",
    ),
    simple("resume", "resumeCluster", "Undoes pause.", "resumeCluster"),
    simple(
      "cancel-plan",
      "cancelPlan",
      "Gives up its plan: the node that came goes again.",
      "cancelPlan",
    ),
  ];
}

function hostCommands(store: KvStore): Route[] {
  const add = commandsOf(store);
  const tag = "nodehosts";
  const facts = (action: string, operationId: string, summary: string) => ({
    method: "POST" as const,
    path: `/v1/nodehosts/{nodeHostId}/${action}`,
    operationId,
    summary,
    tag,
  });
  const parts = { params: hostParams, answer: hostResult };
  const simple = (
    action: string,
    type: "cordonHost" | "uncordonHost" | "drainHost",
    summary: string,
  ) =>
    add(facts(action, type, summary), {
      ...parts,
      body: stateBody,
      read: ({ nodeHostId: hostId }, shown) => ({ type, hostId, ...shown }),
    });
  const final = (
    action: string,
    type: "revokeHost" | "declareHostDead" | "forgetHostSecret",
    summary: string,
  ) =>
    add(facts(action, type, summary), {
      ...parts,
      body: finalBody,
      read: ({ nodeHostId: hostId }, body) => {
        checkConfirmed(body, hostId);
        return { type, hostId, ...asShown(body.expectedGen) };
      },
    });
  return [
    simple("cordon", "cordonHost", "Places nothing more on it."),
    simple("uncordon", "uncordonHost", "Undoes cordon and drain."),
    simple("drain", "drainHost", "Moves leaders and nodes away from it."),
    final("dead", "declareHostDead", "Gives it up without waiting, for good."),
    final("revoke", "revokeHost", "Refuses its reports for good."),
    final(
      "forget-secret",
      "forgetHostSecret",
      "Lets it give another secret, and believes the old one no more.",
    ),
  ];
}

function globalCommands(store: KvStore): Route[] {
  const add = commandsOf(store);
  const tag = "everything";
  const simple = (
    action: string,
    type: "pause" | "resume" | "releaseBrake",
    summary: string,
  ) =>
    add({
      method: "POST",
      path: `/v1/${action}`,
      operationId: type,
      summary,
      tag,
    }, {
      params: {},
      body: stateBody,
      answer: globalResult,
      read: (_, shown) => ({ type, ...shown }),
    });
  return [
    simple("pause", "pause", "Stops all decisions."),
    simple("resume", "resume", "Undoes pause."),
    simple(
      "release-brake",
      "releaseBrake",
      "Says that the NodeHosts that fell silent at once are really gone.",
    ),
    add({
      method: "POST",
      path: "/v1/adoption",
      operationId: "setAdoption",
      summary: "Says which clusters are adopted without an operator.",
      description:
        "Those of two voters or more, when the NodeHosts of a majority of them say that their state machine has that name.",
      tag,
    }, {
      params: {},
      body: adoptionBody,
      answer: globalResult,
      read: (_, { rules, expectedGen }) => {
        checkRules(rules);
        return { type: "setAdoption", rules, ...asShown(expectedGen) };
      },
    }),
    route({
      method: "POST",
      path: "/v1/init",
      operationId: "init",
      summary: "Makes a deployment in an empty store; else it changes nothing.",
      tag,
      access: "operator",
      query,
      body: command(emptyBody),
      answer: initAnswer,
      handle: async ({ query }) => {
        if (query.dryRun !== true) {
          return { deploymentId: (await store.init()).toString() };
        }
        const known = await store.knownDeploymentId();
        return { deploymentId: known?.toString() ?? null, isDryRun: true };
      },
    }),
  ];
}

function importCommand(store: KvStore): Route {
  return route({
    method: "POST",
    path: "/v1/import",
    operationId: "importStore",
    summary: "Fills an empty store with the lines of an export.",
    description:
      "Until it is done no master writes; one that was cut off is repeated from its beginning. Then the brake is on until all NodeHosts reported. A dry run reads and judges everything.",
    tag: "everything",
    access: "operator",
    query,
    headers: { "x-operator": headers["x-operator"] },
    lines: {
      contentType: "application/x-ndjson",
      maxBytes: maxImportBytes,
      maxLineBytes: maxImportLineBytes,
    },
    answer: importAnswer,
    problems: {
      409: "The store is not empty, or somebody else writes to it.",
    },
    handle: async ({ query, headers, lines }) => {
      const who = headers["x-operator"];
      const isDryRun = query.dryRun === true;
      try {
        const { deploymentId, epoch, clusters, nodeHosts } = await store
          .importLines(lines, {
            isDryRun,
            ...(who === undefined ? {} : { who }),
          });
        return {
          deploymentId: deploymentId.toString(),
          clusters,
          nodeHosts,
          ...(isDryRun ? { isDryRun } : { epoch }),
        };
      } catch (error) {
        if (error instanceof RaftError && error.code === "rejected") {
          return problem(409, "conflict", error.message);
        }
        if (error instanceof RangeError) throw new InputError(error.message);
        throw error;
      }
    },
  });
}
