/** The steps of the demo, in order. */
import { checkEverything, compareStates } from "./checks.ts";
import { KvClient } from "./client.ts";
import { writeThroughCrash } from "./crash.ts";
import type { Crash } from "./crash.ts";
import { DemoFailure } from "./failure.ts";
import { appName, clusterIds, hostRegions, projectDir } from "./fleet.ts";
import type { Fleet, Host } from "./fleet.ts";
import { chunkBytesFor, listInput } from "./input.ts";
import type { Input } from "./input.ts";
import { MasterApi } from "./master_api.ts";
import { tellWhatTheMasterKnows } from "./master_report.ts";
import type { Options } from "./options.ts";
import { carriedBy, clusterSize, numbersOf, untilWhole } from "./placement.ts";
import type { Places } from "./placement.ts";
import { say, sizeOf } from "./progress.ts";
import { chooseVictim, killForGood, replacedWithinMs } from "./replacement.ts";
import { findLeaders } from "./verifier.ts";
import { Writer } from "./writer.ts";

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
  /** Those of them that were no piece of a file, because the input is small. */
  readonly filler: number;
  /** Acknowledged chunks that are missing or different. */
  readonly lost: number;
  /** Files of the input that were changed meanwhile. */
  readonly changed: number;
  /** Longest time for which puts waited for a cluster that the killed NodeHost had led. */
  readonly "failover_ms": number;
  /** Time from the death of a NodeHost for good until its nodes were replaced. */
  readonly "repaired_ms": number;
}

const skippedShown = 10;
/** Nothing that the master does takes this long. */
const patienceMs = 60_000;
const pollMs = 100;

/** What the steps have in common. */
interface Stage {
  readonly fleet: Fleet;
  readonly client: KvClient;
  readonly master: MasterApi;
  readonly input: Input;
}

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
  await start(fleet, signal);
  const master = new MasterApi(fleet.masterUrl, fleet.operatorToken, signal);
  const client = new KvClient(fleet.hosts.map((host) => host.url), signal);
  const stage: Stage = { fleet, client, master, input };
  await createClusters(stage);

  say("\n3. Putting the input into them, with a crash at half of it");
  const writer = new Writer(client, input, chunkBytesFor(input));
  const startedAt = performance.now();
  const crash = await writeThroughCrash({ fleet, client, input, writer });
  const seconds = (performance.now() - startedAt) / 1_000;
  const proposals = writer.acknowledged.length;
  const rate = Math.round(proposals / seconds);
  const places = await checkAfterCrash(stage, writer, crash);
  const after = await replace(stage, writer, places);

  await tell(stage, after.places, after.victim);
  say(`\nTime without a leader: ${crash.failoverMs} ms`);
  say(`Time until the dead NodeHost was replaced: ${after.repairedMs} ms`);
  say(
    `Proposals per second: ${rate} with the crash, ${crash.rateBefore} before`,
  );
  if (options.keep) sayAddresses(fleet, after.victim);
  return {
    demo: after.changed === 0 ? "ok" : "changed",
    files: input.files.length,
    bytes: input.bytes,
    proposals,
    filler: writer.acknowledged.filter((one) => one.file === undefined).length,
    lost: 0,
    changed: after.changed,
    "failover_ms": crash.failoverMs,
    "repaired_ms": after.repairedMs,
  };
}

async function start(fleet: Fleet, signal: AbortSignal): Promise<void> {
  say(
    "\n1. A master and four NodeHosts in three regions, each a process of its own",
  );
  await fleet.start();
  signal.throwIfAborted();
  say(
    `   Master: process ${fleet.masterPid}, ${fleet.masterUrl} (a page for people; sign in with ${fleet.operatorToken})`,
  );
  for (const { number, child, region, raftAddress, url } of fleet.hosts) {
    say(
      `   NodeHost ${number}: process ${child.pid}, region ${region}, raft ${raftAddress}, ${url}`,
    );
  }
}

/** Through the master, which decides where their nodes are. */
async function createClusters(
  { fleet, client, master }: Stage,
): Promise<void> {
  say("\n2. Three clusters, created through the master, a node in each region");
  await untilAllReported(fleet, master);
  const regions = [...new Set(hostRegions)]
    .map((region) => ({ region, count: 1 }));
  for (const clusterId of clusterIds) {
    await master.create({
      clusterId,
      app: appName,
      size: clusterSize,
      regions,
    });
  }
  const places = await untilWhole(master, fleet.hosts, { patienceMs });
  const leaders = await findLeaders(client, fleet.hosts);
  for (const [clusterId, carriers] of places) {
    say(
      `   Cluster ${clusterId}: on NodeHost ${numbersOf(carriers)}, ` +
        `leader on NodeHost ${leaders.get(clusterId)!.number}`,
    );
  }
}

/** The master places nodes only where it knows that they can run. */
async function untilAllReported(
  fleet: Fleet,
  master: MasterApi,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (true) {
    const known = await master.nodeHosts();
    if (known.length === fleet.hosts.length) return;
    if (performance.now() > deadline) {
      throw new DemoFailure(
        `Stuck: ${known.length} of ${fleet.hosts.length} NodeHosts reported to the master`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function checkAfterCrash(
  { fleet, client, master, input }: Stage,
  writer: Writer,
  { victim }: Crash,
): Promise<Places> {
  say("\n4. Waiting until the NodeHost that was killed has caught up");
  const { hosts } = fleet;
  const places = await untilWhole(master, hosts, { patienceMs });
  const hashes = await compareStates({ client, places });
  const carried = carriedBy(victim, places);
  say(
    carried.length === 0
      ? `   NodeHost ${victim.number} was away for so long that the master has replaced it`
      : `   NodeHost ${victim.number} has applied what the others have, in cluster ${
        carried.join(", ")
      }`,
  );
  say(
    "\n5. Reading everything back, linearizably, from a NodeHost that follows",
  );
  const { acknowledged } = writer;
  const checking = { client, input, acknowledged, hosts, places };
  await checkEverything(checking, hashes);
  return places;
}

/** The second crash: one that nobody mends by hand. */
async function replace(
  { fleet, client, master, input }: Stage,
  writer: Writer,
  places: Places,
): Promise<{
  readonly victim: Host;
  readonly places: Places;
  readonly repairedMs: number;
  readonly changed: number;
}> {
  const victim = chooseVictim(fleet.hosts, places);
  say(
    `\n6. NodeHost ${victim.number} dies for good; the master has ${
      replacedWithinMs / 1_000
    } s to replace its nodes on the other NodeHost of its region`,
  );
  const { hosts } = fleet;
  const replacement = await killForGood({ master, hosts, victim, places });

  say("\n7. Reading everything back again, from the NodeHost that took over");
  const alive = hosts.filter((host) => host !== victim);
  const checking = {
    client,
    input,
    acknowledged: writer.acknowledged,
    hosts: alive,
    places: replacement.places,
  };
  const neighbours = alive.filter(({ region }) => region === victim.region);
  const hashes = await compareStates(checking);
  const changed = await checkEverything(checking, hashes, neighbours);
  return { ...replacement, victim, changed };
}

async function tell(
  { fleet, master }: Stage,
  places: Places,
  dead: Host,
): Promise<void> {
  say("\n8. What the master knows");
  say("   (waiting until every NodeHost has reported once more)");
  const carried = new Map(
    fleet.hosts.map((host) => [
      host.nodeHostId,
      host === dead ? undefined : carriedBy(host, places),
    ]),
  );
  await tellWhatTheMasterKnows(master, fleet.hosts, { carried, clusterIds });
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
  if (input.files.length === 0) {
    say("   There is no file in it: what is put and read back is filler");
  }
}

function sayAddresses(fleet: Fleet, dead: Host): void {
  say("\nStaying up until Ctrl-C:");
  say(
    `   Master ${fleet.masterUrl} (a page for people; sign in with ${fleet.operatorToken})`,
  );
  const alive = fleet.hosts.filter((host) => host !== dead);
  for (const { number, url, child } of alive) {
    say(`   NodeHost ${number} ${url}, process ${child.pid}`);
  }
  const { url } = alive[0]!;
  say(`Try: curl ${url}/status`);
  say(`     curl '${url}/clusters/1/keys?limit=10'`);
  say(
    `     DRAKKAR_MASTER=${fleet.masterUrl} DRAKKAR_TOKEN=${fleet.operatorToken} deno task drakkar status`,
  );
}
