/** The steps of the demo, in order. */
import { KvClient } from "./client.ts";
import type { StateHash } from "./client.ts";
import { DemoFailure } from "./failure.ts";
import { clusterIds, projectDir } from "./fleet.ts";
import type { Fleet, Host } from "./fleet.ts";
import { chunkBytesFor, listInput } from "./input.ts";
import type { Input } from "./input.ts";
import { tellWhatTheMasterKnows } from "./master_report.ts";
import type { Options } from "./options.ts";
import { say, showProgress, sizeOf } from "./progress.ts";
import { equalHashes, findLeaders, readBack } from "./verifier.ts";
import type { Finding } from "./verifier.ts";
import { Writer } from "./writer.ts";
import type { Acknowledged } from "./writer.ts";

/** The last line of a demo that lost nothing. */
export interface Summary {
  /** That it went well; `changed` if files of the input are no longer what was put. */
  readonly demo: "ok" | "changed";
  /** Files of the input. */
  readonly files: number;
  /** Their bytes. */
  readonly bytes: number;
  /** Puts that were acknowledged. */
  readonly proposals: number;
  /** Acknowledged chunks that are missing or different. */
  readonly lost: number;
  /** Files of the input that were changed meanwhile. */
  readonly changed: number;
  /** Longest time for which puts waited for a cluster that the killed NodeHost had led. */
  readonly "failover_ms": number;
}

/** At the moment of the kill, at least this many puts must be on their way. */
const outstandingAtKill = 64;
const findingsShown = 20;
const skippedShown = 10;

/**
 * Tells the whole story on a fleet that is not running yet.
 *
 * @throws {DemoFailure} if anything is lost, different or stuck.
 */
export async function tellStory(
  fleet: Fleet,
  options: Options,
  signal: AbortSignal,
): Promise<Summary> {
  const input = await listInput(options.input, projectDir);
  sayInput(input);

  say("\n1. A master and three NodeHosts, each a process of its own");
  await fleet.start();
  signal.throwIfAborted();
  for (const host of fleet.hosts) {
    say(
      `   NodeHost ${host.nodeId}: process ${host.child.pid}, raft ${host.raftAddress}, ${host.url}`,
    );
  }
  const client = new KvClient(fleet.hosts.map((host) => host.url), signal);
  const leaders = await findLeaders(client, fleet.hosts);
  say(`   Leaders: ${leadersAsText(leaders)}`);

  say("\n2. Putting the input into three clusters, with a crash at half of it");
  const writer = new Writer(client, input, chunkBytesFor(input));
  const startedAt = performance.now();
  const crash = await writeThroughCrash({ fleet, client, input, writer });
  const seconds = (performance.now() - startedAt) / 1_000;
  const proposals = writer.acknowledged.length;
  const rate = Math.round(proposals / seconds);

  say("\n3. Waiting until the NodeHost that was killed has caught up");
  const hashes = await compareStates(fleet, client);
  say(`   NodeHost ${crash.victim.nodeId} has applied what the others have`);

  say(
    "\n4. Reading everything back, linearizably, from a NodeHost that follows",
  );
  const findings = await readEverything(fleet, client, input, writer);
  sayHashes(hashes);
  const changed = judge(findings, hashes);

  say("\n5. What the master knows");
  say("   (waiting until every NodeHost has reported once more)");
  const expected = { hosts: fleet.hosts.length, clusterIds };
  await tellWhatTheMasterKnows(fleet.masterUrl, expected, signal);

  say(`\nTime without a leader: ${crash.failoverMs} ms`);
  say(
    `Proposals per second: ${rate} with the crash, ${crash.rateBefore} before`,
  );
  if (options.keep) sayAddresses(fleet);
  return {
    demo: changed === 0 ? "ok" : "changed",
    files: input.files.length,
    bytes: input.bytes,
    proposals,
    lost: 0,
    changed,
    "failover_ms": crash.failoverMs,
  };
}

interface Writing {
  readonly fleet: Fleet;
  readonly client: KvClient;
  readonly input: Input;
  readonly writer: Writer;
}

interface Crash {
  readonly victim: Host;
  readonly failoverMs: number;
  /** Proposals per second until the kill. */
  readonly rateBefore: number;
}

/** Writes everything; meanwhile one NodeHost is killed and started again. */
async function writeThroughCrash(writing: Writing): Promise<Crash> {
  const { input, writer } = writing;
  const startedAt = performance.now();
  const finish = showProgress("   put ", () => ({
    doneBytes: writer.doneBytes,
    totalBytes: input.bytes,
    note: `${writer.acknowledged.length} acknowledged, ` +
      `${writer.outstanding} on their way`,
  }));
  try {
    const [crash] = await Promise.all([killAndRestart(writing), writer.run()]);
    return {
      victim: crash.victim,
      rateBefore: Math.round(
        crash.acknowledged * 1_000 / (crash.killedAt - startedAt),
      ),
      failoverMs: Math.round(writer.longestGapMs(crash.clusters)),
    };
  } finally {
    finish();
  }
}

interface Kill {
  readonly victim: Host;
  /** The clusters that it led. */
  readonly clusters: readonly number[];
  readonly killedAt: number;
  /** Puts acknowledged until then. */
  readonly acknowledged: number;
}

async function killAndRestart(
  { fleet, client, writer }: Writing,
): Promise<Kill> {
  await writer.half;
  let leaders: Map<number, number>;
  do {
    leaders = await findLeaders(client, fleet.hosts);
  } while (writer.outstanding < outstandingAtKill);
  const victim = busiest(fleet.hosts, leaders);
  const clusters = clusterIds.filter((id) => leaders.get(id) === victim.nodeId);
  const { outstanding, outstandingFiller: filler } = writer;
  const acknowledged = writer.acknowledged.length;
  const killedAt = performance.now();
  victim.child.kill();
  writer.crashed(clusters);
  say(
    `   Killed NodeHost ${victim.nodeId} with SIGKILL: it led cluster ${
      clusters.join(", ")
    }, ${outstanding} puts were on their way` +
      (filler > 0 ? `, ${filler} of them filler: the input is small` : ""),
  );
  await writer.back;
  say(`   The others lead now; starting NodeHost ${victim.nodeId} again`);
  await fleet.restart(victim);
  return { victim, clusters, killedAt, acknowledged };
}

function busiest(
  hosts: readonly Host[],
  leaders: ReadonlyMap<number, number>,
): Host {
  const leads = (host: Host) =>
    [...leaders.values()].filter((nodeId) => nodeId === host.nodeId).length;
  return hosts.reduce((most, host) => leads(host) > leads(most) ? host : most);
}

async function compareStates(
  fleet: Fleet,
  client: KvClient,
): Promise<Map<number, readonly StateHash[]>> {
  const all = new Map<number, readonly StateHash[]>();
  for (const clusterId of clusterIds) {
    all.set(clusterId, await equalHashes(client, fleet.hosts, clusterId));
  }
  return all;
}

async function readEverything(
  fleet: Fleet,
  client: KvClient,
  input: Input,
  writer: Writer,
): Promise<Finding[]> {
  const leaders = await findLeaders(client, fleet.hosts);
  const through = new Map<number, Host>();
  for (const [clusterId, leader] of leaders) {
    through.set(
      clusterId,
      fleet.hosts.find((host) => host.nodeId !== leader)!,
    );
  }
  let doneBytes = 0;
  let count = 0;
  const finish = showProgress("   read", () => ({
    doneBytes,
    totalBytes: input.bytes,
    note: `${count} of ${writer.acknowledged.length} chunks`,
  }));
  const onRead = (bytes: number) => {
    doneBytes += bytes;
    count++;
  };
  try {
    const { acknowledged } = writer;
    const findings = await readBack({ client, acknowledged, through, onRead });
    return [...findings, ...incomplete(input, acknowledged)];
  } finally {
    finish();
  }
}

/** A file of which fewer bytes were put than it had when it was listed. */
function incomplete(
  input: Input,
  acknowledged: readonly Acknowledged[],
): Finding[] {
  const put = new Map<string, number>();
  for (const { file, bytes } of acknowledged) {
    if (file === undefined) continue;
    put.set(file.name, (put.get(file.name) ?? 0) + bytes);
  }
  return input.files
    .filter((file) => put.get(file.name) !== file.bytes)
    .map((file) => ({
      where: file.path,
      what: `${put.get(file.name) ?? 0} of ${file.bytes} bytes were put: ` +
        "it became shorter meanwhile",
      kind: "inputChanged",
      path: file.path,
    }));
}

/**
 * Everything must be there and equal, and the three machines of each cluster must be alike. Returns how many files of
 * the input were changed meanwhile.
 */
function judge(
  findings: readonly Finding[],
  hashes: ReadonlyMap<number, readonly StateHash[]>,
): number {
  const all = [...findings];
  for (const [clusterId, states] of hashes) {
    if (new Set(states.map((state) => state.hash)).size > 1) {
      all.push({
        where: `cluster ${clusterId}`,
        what: "the state machines differ",
        kind: "apart",
      });
    }
  }
  for (const { where, what } of all.slice(0, findingsShown)) {
    say(`   ${where}: ${what}`);
  }
  const more = all.length - findingsShown;
  if (more > 0) say(`   ... and ${more} more`);
  const wrong = all.filter((finding) => finding.kind !== "inputChanged");
  if (wrong.length === 0) {
    say(
      "   Every byte that was put is there, and the state machines are alike",
    );
    const changed = new Set(all.map((finding) => finding.path)).size;
    if (changed > 0) {
      say(
        `   Files of the input that were changed meanwhile, and differ from what was put: ${changed}`,
      );
    }
    return changed;
  }
  const lost = wrong.filter((finding) => finding.kind === "lost").length;
  throw new DemoFailure(
    `${lost} acknowledged chunks lost, ${wrong.length} findings in all; ` +
      `the first: ${wrong[0]!.where}: ${wrong[0]!.what}`,
    lost,
  );
}

function sayInput(input: Input): void {
  say(
    `Input: ${input.from}: ${input.files.length} files, ${
      sizeOf(input.bytes)
    }, in chunks of ${sizeOf(chunkBytesFor(input))}`,
  );
  for (const { path, why } of input.skipped.slice(0, skippedShown)) {
    say(`   left out: ${path}: ${why}`);
  }
  const more = input.skipped.length - skippedShown;
  if (more > 0) say(`   left out: ${more} more`);
}

function sayHashes(hashes: ReadonlyMap<number, readonly StateHash[]>): void {
  for (const [clusterId, states] of hashes) {
    say(
      `   Cluster ${clusterId}: applied up to ${
        states[0]!.applied
      }, state hashes ${states.map((state) => state.hash).join(" ")}`,
    );
  }
}

function sayAddresses(fleet: Fleet): void {
  say("\nStaying up until Ctrl-C:");
  say(`   master ${fleet.masterUrl} (a page for people)`);
  for (const { nodeId, url, child } of fleet.hosts) {
    say(`   NodeHost ${nodeId} ${url}, process ${child.pid}`);
  }
  say(`Try: curl ${fleet.hosts[0]!.url}/status`);
  say(`     curl '${fleet.hosts[0]!.url}/clusters/1/keys?limit=10'`);
}

function leadersAsText(leaders: ReadonlyMap<number, number>): string {
  return clusterIds
    .map((id) => `cluster ${id} on NodeHost ${leaders.get(id)}`)
    .join(", ");
}
