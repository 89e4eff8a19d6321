/** Reads everything back, compares it and the state machines, and says what was found. */
import type { KvClient, StateHash } from "./client.ts";
import { DemoFailure } from "./failure.ts";
import type { Host } from "./fleet.ts";
import type { Input } from "./input.ts";
import type { Places } from "./placement.ts";
import { say, showProgress } from "./progress.ts";
import { equalHashes, findLeaders, readBack } from "./verifier.ts";
import type { Finding } from "./verifier.ts";
import type { Acknowledged } from "./writer.ts";

/** What is compared with what. */
export interface Checking {
  /** Reads. */
  readonly client: KvClient;
  /** What was put. */
  readonly input: Input;
  /** What must be there. */
  readonly acknowledged: readonly Acknowledged[];
  /** The NodeHosts that run. */
  readonly hosts: readonly Host[];
  /** Where the nodes are. */
  readonly places: Places;
}

const findingsShown = 20;

/** The hashes of the state machines, by cluster, in the order of the NodeHosts that carry it. */
export type Hashes = ReadonlyMap<number, readonly StateHash[]>;

/** Waits until all nodes of each cluster have applied the same. */
export async function compareStates(
  { client, places }: Pick<Checking, "client" | "places">,
): Promise<Hashes> {
  const all = new Map<number, readonly StateHash[]>();
  for (const [clusterId, carriers] of places) {
    all.set(clusterId, await equalHashes(client, carriers, clusterId));
  }
  return all;
}

/**
 * Reads every file back from NodeHosts that follow, those in `preferred` first, and compares it with the input.
 *
 * @returns How many files of the input were changed meanwhile.
 * @throws {DemoFailure} if anything is lost or different.
 */
export async function checkEverything(
  checking: Checking,
  hashes: Hashes,
  preferred: readonly Host[] = [],
): Promise<number> {
  const findings = await readEverything(checking, preferred);
  sayHashes(hashes);
  return judge(findings, hashes);
}

async function readEverything(
  { client, hosts, input, acknowledged, places }: Checking,
  preferred: readonly Host[],
): Promise<Finding[]> {
  const leaders = await findLeaders(client, hosts);
  const through = new Map<number, Host>();
  for (const [clusterId, carriers] of places) {
    const followers = carriers.filter((one) => one !== leaders.get(clusterId));
    const host = followers.find((one) => preferred.includes(one)) ??
      followers[0]!;
    through.set(clusterId, host);
  }
  let doneBytes = 0;
  let count = 0;
  const finish = showProgress("   read", () => ({
    doneBytes,
    totalBytes: input.bytes,
    note: `${count} of ${acknowledged.length} chunks`,
  }));
  const onRead = (bytes: number) => {
    doneBytes += bytes;
    count++;
  };
  try {
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
  hashes: Hashes,
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

function sayHashes(hashes: Hashes): void {
  for (const [clusterId, states] of hashes) {
    say(
      `   Cluster ${clusterId}: applied up to ${
        states[0]!.applied
      }, state hashes ${states.map((state) => state.hash).join(" ")}`,
    );
  }
}
