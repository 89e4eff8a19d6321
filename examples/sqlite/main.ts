/**
 * Three NodeHosts, each with a SQLite database that Raft keeps the same: `deno task sqlite --help`. One process stands
 * for three machines here; in earnest each runs one NodeHost.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { NodeHost } from "../../mod.ts";
import { parseArgs } from "./deps.ts";
import { put, remove, SqliteMachine } from "./state_machine.ts";

const usage = `Usage: deno task sqlite [options]

  --dir PATH         folder of the three NodeHosts and their databases; .tmp/sqlite by default
  --port N           first of three ports on 127.0.0.1; 7401 by default
  --put KEY=VALUE    sets a key; may be repeated
  --delete KEY       removes a key; may be repeated
  --query SQL        asks the database, after everything that was decided; the items by default
  --stay             goes on running; kill it, start it again, and ask
  --help             this text`;

const clusterId = 1;
const nodeIds = [1, 2, 3];

async function openAll(dir: string, firstPort: number): Promise<NodeHost[]> {
  const addressOf = (nodeId: number) => `127.0.0.1:${firstPort + nodeId - 1}`;
  const initialMembers = Object.fromEntries(
    nodeIds.map((nodeId) => [nodeId, addressOf(nodeId)]),
  );
  const hosts: NodeHost[] = [];
  for (const nodeId of nodeIds) {
    const own = `${dir}/${nodeId}`;
    await Deno.mkdir(own, { recursive: true });
    const host = await NodeHost.open({
      dir: `${own}/raft`,
      raftAddress: addressOf(nodeId),
      segmentBytes: 4 * 1024 * 1024,
    });
    hosts.push(host);
    await host.startCluster({
      clusterId,
      nodeId,
      initialMembers,
      stateMachine: () => new SqliteMachine(`${own}/items.db`),
    });
  }
  for (const host of hosts) {
    await host.waitReady(clusterId, { timeoutMs: 20_000 });
  }
  return hosts;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "dir": { type: "string", default: ".tmp/sqlite" },
      "port": { type: "string", default: "7401" },
      "put": { type: "string", multiple: true, default: [] },
      "delete": { type: "string", multiple: true, default: [] },
      "query": { type: "string", default: "SELECT * FROM items ORDER BY key" },
      "stay": { type: "boolean", default: false },
      "help": { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(usage);
  const hosts = await openAll(values.dir, Number(values.port));
  try {
    await work(hosts as [NodeHost, ...NodeHost[]], values);
  } catch (error) {
    for (const one of hosts) await one.close();
    throw error;
  }
  if (values.stay) return; // Open ports and timers keep the process running.
  for (const one of hosts) await one.close();
}

/** Does what the command line asks for. */
async function work(
  [host, ...others]: [NodeHost, ...NodeHost[]],
  values: { put: string[]; delete: string[]; query: string },
): Promise<void> {
  for (const text of values.put) {
    const [key, ...value] = text.split("=");
    await host.propose(clusterId, put(key!, value.join("=")));
  }
  for (const key of values.delete) await host.propose(clusterId, remove(key));
  // Any of them gives the same answer.
  const asked = others.at(-1) ?? host;
  const rows = await asked.read<object[]>(clusterId, values.query);
  for (const row of rows) console.log(JSON.stringify(row));
  console.log(`${rows.length} rows`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}
