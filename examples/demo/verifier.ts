/** Reads everything back and compares it: with the input byte for byte, and the state machines with one another. */
import { DemoFailure } from "./failure.ts";
import type { HostStatus, KvClient, StateHash } from "./client.ts";
import { clusterIds } from "./fleet.ts";
import type { Host } from "./fleet.ts";
import { digestOf, readAgain } from "./input.ts";
import type { Acknowledged } from "./writer.ts";

const readersWanted = 32;
const pollMs = 50;
/** NodeHosts that are not alike after this long never will be. */
const patienceMs = 60_000;

/** Something that is not as it should be. */
export interface Finding {
  /** Where: cluster and key. */
  readonly where: string;
  /** What is wrong there. */
  readonly what: string;
  /**
   * `lost`: an acknowledged chunk is missing or different. `apart`: state machines differ. `inputChanged`: the store
   * returned what was put, but the file holds something else by now, so it is not the store that changed.
   */
  readonly kind: "lost" | "apart" | "inputChanged";
  /** `inputChanged`: the file. */
  readonly path?: string;
}

/** What reading back goes by. */
export interface ReadBack {
  /** Reads and asks. */
  readonly client: KvClient;
  /** What must be there. */
  readonly acknowledged: readonly Acknowledged[];
  /** Through which NodeHost to read each cluster. */
  readonly through: ReadonlyMap<number, Host>;
  /** Told the length of each chunk as it was read. */
  readonly onRead: (bytes: number) => void;
}

/** Reads every acknowledged chunk linearizably and compares it with what was put, and with the file as it is now. */
export async function readBack(options: ReadBack): Promise<Finding[]> {
  const findings: Finding[] = [];
  let next = 0;
  let hasFailed = false;
  const read = async () => {
    while (!hasFailed && next < options.acknowledged.length) {
      const expected = options.acknowledged[next++]!;
      const { clusterId, key } = expected;
      const { url } = options.through.get(clusterId)!;
      const value = await options.client.get(url, clusterId, key);
      const finding = await compare(expected, value);
      if (finding !== undefined) {
        findings.push({ where: `cluster ${clusterId}, ${key}`, ...finding });
      }
      options.onRead(expected.file === undefined ? 0 : expected.bytes);
    }
  };
  const readers = Array.from(
    { length: readersWanted },
    () =>
      read().catch((error) => {
        hasFailed = true; // The others need not go on.
        throw error;
      }),
  );
  await Promise.all(readers);
  return findings;
}

async function compare(
  expected: Acknowledged,
  value: Uint8Array | undefined,
): Promise<Omit<Finding, "where"> | undefined> {
  if (value === undefined) return { what: "missing", kind: "lost" };
  if (digestOf(value) !== expected.digest) {
    const what = `different: ${value.length} bytes, ${expected.bytes} were put`;
    return { what, kind: "lost" };
  }
  if (expected.file === undefined) return undefined;
  const { file, offset, bytes } = expected;
  try {
    if (isEqual(value, await readAgain(file, offset, bytes))) return undefined;
  } catch {
    // Gone: as different as can be.
  }
  return {
    what: "the file was changed meanwhile",
    kind: "inputChanged",
    path: file.path,
  };
}

/** The hashes of one cluster's state machines, one for each NodeHost, once all have applied the same. */
export async function equalHashes(
  client: KvClient,
  hosts: readonly Host[],
  clusterId: number,
): Promise<readonly StateHash[]> {
  const deadline = performance.now() + patienceMs;
  while (true) {
    const hashes = await Promise.all(
      hosts.map((host) => client.hash(host.url, clusterId)),
    );
    const applied = hashes.map((one) => one.applied);
    if (new Set(applied).size === 1) return hashes;
    if (performance.now() > deadline) {
      throw new DemoFailure(
        `Stuck: cluster ${clusterId} was applied up to ${
          applied.join(", ")
        } on NodeHosts ${hosts.map((host) => host.number).join(", ")}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** The NodeHost that leads, by cluster. */
export type Leaders = ReadonlyMap<number, Host>;

/** For each cluster the NodeHost that says that it leads it; waits until all have one. */
export async function findLeaders(
  client: KvClient,
  hosts: readonly Host[],
): Promise<Leaders> {
  const deadline = performance.now() + patienceMs;
  while (true) {
    const statuses = await Promise.all(
      hosts.map((host) => client.status(host.url)),
    );
    const leaders = new Map<number, Host>();
    for (const [i, host] of hosts.entries()) {
      for (const clusterId of ledBy(statuses[i])) leaders.set(clusterId, host);
    }
    if (leaders.size === clusterIds.length) return leaders;
    if (performance.now() > deadline) {
      const missing = clusterIds.filter((id) => !leaders.has(id));
      const failures = statuses.flatMap((status) =>
        status?.clusters.map((cluster) => cluster.failure) ?? []
      ).filter((failure) => failure !== undefined);
      throw new DemoFailure(
        `Stuck: no leader of cluster ${missing.join(", ")}${
          failures.map((failure) => `; ${failure}`).join("")
        }`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** The clusters that a NodeHost says it leads itself. */
function ledBy(status: HostStatus | undefined): number[] {
  return (status?.clusters ?? [])
    .filter((cluster) => cluster.leaderId === cluster.nodeId)
    .map((cluster) => cluster.clusterId);
}

function isEqual(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length &&
    left.every((byte, i) => byte === right[i]);
}
