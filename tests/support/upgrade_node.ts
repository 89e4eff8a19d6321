/**
 * A process with one NodeHost of any release, for `tests/e2e/rolling_upgrade_test.ts`:
 *
 * ```text
 * upgrade_node.ts ROOT NODE DIR ADDRESS...   ROOT: the folder of the release; an address for each of the nodes
 * ```
 *
 * It takes a command a line, and answers each with a line of JSON. Only what release 0.1.0 has is used, but for sessions.
 */
import { pathToFileURL } from "./deps.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import type { Session } from "../../raft/session.ts";
import type { SnapshotWriter, StateMachine } from "../../raft/state_machine.ts";

const clusterId = 1;
const [root, nodeText, dir, ...addresses] = Deno.args as [
  string,
  string,
  string,
  ...string[],
];
const nodeId = Number(nodeText);
const patienceMs = 60_000;
const one = Uint8Array.of(1);

let recoveries = 0;

function counter(): StateMachine {
  let total = 0;
  return {
    update: ({ command }) => ({ value: total += command[0] ?? 0 }),
    lookup: () => total,
    saveSnapshot: async (writer: SnapshotWriter) => {
      await writer.write(new TextEncoder().encode(String(total)));
    },
    recoverFromSnapshot: async (reader) => {
      const stream = reader as ReadableStream<Uint8Array<ArrayBuffer>>;
      total = Number(await new Response(stream).text());
      recoveries++;
    },
    hash: () => BigInt(total),
  };
}

const release = await import(pathToFileURL(`${root}/mod.ts`).href);
const host: NodeHost = await release.NodeHost.open({
  dir,
  raftAddress: addresses[nodeId - 1]!,
  segmentBytes: 1024 * 1024,
  maxPayloadBytes: 64 * 1024,
});
await host.startCluster({
  clusterId,
  nodeId,
  initialMembers: Object.fromEntries(
    addresses.map((address, i) => [i + 1, address]),
  ),
  stateMachine: counter,
  snapshotEntries: 100,
  compactionOverhead: 10,
});
const ownRecoveries = recoveries;

/** What a call comes to, made again as long as it is certain that nothing came of it. */
async function persist<T>(call: () => Promise<T>): Promise<T> {
  const end = Date.now() + patienceMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!release.isRetryable(error) || Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Adds one, so many times; who never heard may have added one all the same. */
async function write(count: number): Promise<unknown> {
  let acknowledged = 0;
  let unknown = 0;
  while (acknowledged < count) {
    try {
      await persist(() => host.propose(clusterId, one));
      acknowledged++;
    } catch (error) {
      if ((error as { outcome?: string }).outcome !== "unknown") throw error;
      unknown++;
    }
  }
  return { acknowledged, unknown };
}

async function lead(): Promise<unknown> {
  const end = Date.now() + patienceMs;
  while (host.getLeader(clusterId).leaderId !== nodeId) {
    try {
      await host.transferLeadership(clusterId, nodeId);
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
  return { leads: nodeId };
}

let session: Session | undefined;

async function run(command: string, count: number): Promise<unknown> {
  switch (command) {
    case "ready":
      return await host.waitReady(clusterId, { timeoutMs: patienceMs });
    case "write":
      return await write(count);
    case "lead":
      return await lead();
    case "read":
      return await persist(() => host.read(clusterId, "total"));
    case "received": // Snapshots of others.
      return recoveries - ownRecoveries;
    case "snapshot":
      return await host.takeSnapshot(clusterId);
    case "session":
      session ??= await host.openSession(clusterId);
      return await host.propose(session, one);
    case "close":
      return await host.close();
    default:
      throw new Error(`no command ${command}`);
  }
}

const say = (answer: unknown) =>
  Deno.stdout.writeSync(
    new TextEncoder().encode(`${JSON.stringify(answer)}\n`),
  );
let rest = "";
for await (
  const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
) {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    const [command, count] = line.split(" ");
    try {
      say({ value: await run(command!, Number(count)) });
    } catch (error) {
      say({ error: String(error) });
    }
    if (command === "close") Deno.exit(0);
  }
}
