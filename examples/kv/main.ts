/**
 * A replicated key-value store with an HTTP API: one NodeHost in one process.
 *
 * Three of these with the same `--members` are a fault-tolerant service of three fixed nodes. Without `--members` a
 * NodeHost starts nothing by itself: it offers its state machine to a master by the name "kv", and the master decides
 * which clusters have a node here. `deno task demo` starts four of that kind, and kills two.
 *
 * In here: how a NodeHost is opened, how its clusters are started, and how it is closed. The state machine is in
 * `state_machine.ts`, the API in `http_api.ts`.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { NodeHost } from "../../mod.ts";
import type { NodeHostConfig } from "../../mod.ts";
import { httpMasterClient } from "../../master/mod.ts";
import { parseArgs } from "./deps.ts";
import { kvApi } from "./http_api.ts";
import { KvStateMachine } from "./state_machine.ts";

const usage = `Usage: deno run <permissions> examples/kv/main.ts <options>

  --dir PATH             folder of this NodeHost alone (created if missing)
  --raft-address ADDR    host:port for the other NodeHosts
  --api-address ADDR     host:port for HTTP; port 0 takes a free one
  --members LIST         1=host:port,2=host:port,3=host:port: every node by id, the same list on each;
                         without it a master decides which nodes run here
  --clusters LIST        with --members: cluster ids, 1 by default: 1,2,3
  --master URL           master to report to; may be repeated
  --peers LIST           host:port,host:port: other NodeHosts, through which clusters without a node here are served
  --region NAME          region told to the master
  --report-period-ms N   time between reports, 20000 by default
  --snapshot-entries N   applied entries between snapshots, 10000 by default
  --help                 this text

DRAKKAR_TOKEN is the master's bearer token, if it wants one.

Permissions: --allow-net for these addresses and the members', --allow-read and --allow-write for the folder,
--allow-env=DRAKKAR_TOKEN if the master wants a token.`;

/** The name by which masters know the state machine. */
const appName = "kv";

/** The nodes that run here, where no master decides it. */
interface FixedNodes {
  readonly members: Record<number, string>;
  readonly nodeId: number;
  readonly clusterIds: readonly number[];
}

interface Options {
  readonly dir: string;
  readonly raftAddress: string;
  readonly apiAddress: string;
  readonly nodes: FixedNodes | undefined;
  readonly peers: readonly string[];
  readonly masters: readonly string[];
  readonly token: string | undefined;
  readonly region: string;
  readonly reportPeriodMs: number;
  readonly snapshotEntries: number;
}

/** The command line cannot be understood. */
class UsageError extends Error {}

function readOptions(args: string[]): Options | "help" {
  const { values } = parseArgs({
    args,
    options: {
      "dir": { type: "string" },
      "raft-address": { type: "string" },
      "api-address": { type: "string", default: "127.0.0.1:0" },
      "members": { type: "string" },
      "clusters": { type: "string", default: "1" },
      "master": { type: "string", multiple: true, default: [] },
      "peers": { type: "string", default: "" },
      "region": { type: "string", default: "" },
      "report-period-ms": { type: "string", default: "20000" },
      "snapshot-entries": { type: "string", default: "10000" },
      "help": { type: "boolean", default: false },
    },
  });
  if (values.help) return "help";
  const raftAddress = required("--raft-address", values["raft-address"]);
  const { members, clusters } = values;
  if (members === undefined && values.master.length === 0) {
    throw new UsageError(
      "--members is missing, and no --master could decide what runs here",
    );
  }
  return {
    dir: required("--dir", values.dir),
    raftAddress,
    apiAddress: values["api-address"],
    nodes: members === undefined
      ? undefined
      : readNodes(members, clusters, raftAddress),
    peers: values.peers.split(",").filter((peer) => peer !== ""),
    masters: values.master,
    token: readToken(),
    region: values.region,
    reportPeriodMs: Number(values["report-period-ms"]),
    snapshotEntries: Number(values["snapshot-entries"]),
  };
}

function required(name: string, value: string | undefined): string {
  if (value === undefined) throw new UsageError(`${name} is missing`);
  return value;
}

function readId(what: string, text: string): number {
  const id = Number(text);
  if (String(id) !== text || !Number.isSafeInteger(id) || id < 1) {
    throw new UsageError(`"${text}" is not a ${what} id`);
  }
  return id;
}

/** Without the permission to read it there is none. */
function readToken(): string | undefined {
  const variable = "DRAKKAR_TOKEN";
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

function readNodes(
  list: string,
  clusters: string,
  raftAddress: string,
): FixedNodes {
  const members = readMembers(list);
  const own = Object.entries(members).find(([, address]) =>
    address === raftAddress
  );
  if (own === undefined) {
    throw new UsageError(`--members does not name ${raftAddress}`);
  }
  const clusterIds = clusters.split(",").map((id) => readId("cluster", id));
  return { members, nodeId: Number(own[0]), clusterIds };
}

function readMembers(list: string): Record<number, string> {
  const members: Record<number, string> = {};
  for (const member of list.split(",")) {
    const [id = "", address = ""] = member.split("=");
    const nodeId = readId("node", id);
    if (Object.hasOwn(members, nodeId)) {
      throw new UsageError(`--members names node ${nodeId} twice`);
    }
    members[nodeId] = address;
  }
  return members;
}

function nodeHostConfig(options: Options): NodeHostConfig {
  const { masters, token } = options;
  const config: NodeHostConfig = {
    dir: options.dir,
    raftAddress: options.raftAddress,
    apiAddress: options.apiAddress,
    region: options.region,
    reportPeriodMs: options.reportPeriodMs,
    peers: [...options.peers],
  };
  // What a master starts here it asks for by name; after a restart it starts again without being asked.
  if (options.nodes === undefined) {
    config.stateMachines = { [appName]: () => new KvStateMachine() };
  }
  // With a master the deployment id is the master's: NodeHosts of another deployment are refused by it.
  if (masters.length > 0) {
    config.masterServers = [...masters];
    config.masterClientFactory = httpMasterClient(
      token === undefined ? {} : { token },
    );
  }
  return config;
}

/** Settles when somebody wants this process to end. */
function stopRequested(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const listener = () => {
        Deno.removeSignalListener(signal, listener); // A second one ends the process at once.
        resolve(signal);
      };
      Deno.addSignalListener(signal, listener);
    }
  });
}

async function run(options: Options): Promise<void> {
  const stop = stopRequested();
  await using host = await NodeHost.open(nodeHostConfig(options));
  const { nodes } = options;
  for (const clusterId of nodes?.clusterIds ?? []) {
    await host.startCluster({
      clusterId,
      nodeId: nodes!.nodeId,
      initialMembers: nodes!.members,
      stateMachine: () => new KvStateMachine(),
      snapshotEntries: options.snapshotEntries,
    });
  }
  const colon = options.apiAddress.lastIndexOf(":");
  const server = Deno.serve({
    hostname: options.apiAddress.slice(0, colon),
    port: Number(options.apiAddress.slice(colon + 1)),
    onListen: ({ hostname, port }) =>
      console.log(JSON.stringify({
        listening: `http://${hostname}:${port}`,
        nodeHostId: host.nodeHostId,
        nodeId: nodes?.nodeId,
        deploymentId: String(host.deploymentId),
      })),
  }, kvApi(host));
  console.error(`Closing: ${await stop}`);
  // Closing the NodeHost answers what is still waiting, and only then can the server come to rest.
  await host.close();
  await server.shutdown();
}

if (import.meta.main) {
  try {
    const options = readOptions(Deno.args);
    if (options === "help") {
      console.log(usage);
    } else {
      await run(options);
    }
  } catch (error) {
    const isUsage = error instanceof UsageError ||
      (error instanceof TypeError && "code" in error);
    const message = error instanceof Error ? error.message : String(error);
    console.error(isUsage ? `${message}\n\n${usage}` : `Failed: ${message}`);
    Deno.exit(isUsage ? 2 : 1);
  }
}
