/**
 * Three masters as processes on the edge's Deno, with the permissions that they have there, on a denokv server that is 10
 * to 100 ms away. The platform ends them as it does, SIGINT and then SIGKILL, in the midst of requests, while clusters
 * are created and written to. No NodeHost dies, so nothing may be replaced; every command happens once.
 */
import { assert } from "../deps.ts";
import { Fleet, type Member } from "../master/denokv/fleet.ts";
import { ledgerName } from "../master/denokv/ledger.ts";
import { Operator } from "../master/denokv/operator.ts";
import { survey } from "../master/denokv/survey.ts";
import { Writers } from "../master/denokv/writers.ts";
import { freePort } from "../support/hosts.ts";
import { SlowLine } from "./slow_line.ts";

/** What it takes. */
export interface DangerOptions {
  /** The edge's Deno. */
  readonly masterDeno: string;
  /** The server's program. */
  readonly denokv: string;
  /** An empty folder. */
  readonly dir: string;
  /** Told what happens. */
  readonly say: (text: string) => void;
}

const clusterIds = Array.from({ length: 12 }, (_, i) => i + 1);
const hostCount = 4;
const periodMs = 1_000;
const patienceMs = 60_000;
const delayMs = () => 10 + Math.random() * 90;

/**
 * Does it.
 *
 * @throws {Error} that says what went wrong.
 */
export async function mastersInDanger(options: DangerOptions): Promise<void> {
  const lines: SlowLine[] = [];
  const died = Promise.withResolvers<never>();
  died.promise.catch(() => {});
  const fleet = new Fleet({
    ...options,
    masters: 3,
    hosts: hostCount,
    periodMs,
    kvUrl: (port) => {
      lines[0] ??= new SlowLine(port, delayMs);
      return lines[0].url;
    },
    onUnexpectedEnd: (why) => died.reject(new Error(`Died: ${why}`)),
  });
  try {
    await Promise.race([tell(fleet, options.say), died.promise]);
  } catch (error) {
    options.say(fleet.tails());
    throw error;
  } finally {
    await fleet.close();
    for (const line of lines) line[Symbol.dispose]();
  }
}

async function tell(fleet: Fleet, say: (text: string) => void): Promise<void> {
  await fleet.start();
  const urls = fleet.masters.map(({ url }) => url);
  const operator = new Operator(urls, fleet.operatorToken);
  const deploymentId = await operator.deploymentId();
  await until(
    "all NodeHosts are known",
    async () => (await operator.hostStates()).size === hostCount,
  );

  const writers = await Writers.open({
    raftAddress: `127.0.0.1:${freePort()}`,
    peers: fleet.raftAddresses,
    deploymentId,
    clusterIds,
  });
  try {
    writers.start(100);
    // Each command is made while the master that took the one before is being ended.
    for (const id of clusterIds) {
      const master = fleet.masters[id % fleet.masters.length]!;
      const order = operator.create(id, ledgerName, {});
      await endAsThePlatformDoes(fleet, master);
      await order;
    }
    say(`   ${clusterIds.length} clusters created while masters were ended`);
    await until("every cluster is whole", async () => {
      const { lacks, zombies } = await survey(fleet, operator, clusterIds, []);
      return lacks.length + zombies.length === 0;
    });
    for (const master of fleet.masters) {
      await endAsThePlatformDoes(fleet, master);
    }
    await until(
      "everybody could write",
      () => Promise.resolve(writers.acknowledged >= 10 * clusterIds.length),
    );
    await writers.stop();
    assert.equal(writers.failure, undefined);
    assert.deepEqual(await writers.findings(), []);
    say(`   ${writers.acknowledged} commands acknowledged, and all are there`);
  } finally {
    await writers.close();
  }
  assert.equal(await operator.deploymentId(), deploymentId);
  await checkHistory(operator);
  const states = await operator.hostStates();
  assert.deepEqual([...states.values()], Array(hostCount).fill("ok"));
}

/** Every cluster was created once and launched once, and nothing was taken for dead. */
async function checkHistory(operator: Operator): Promise<void> {
  const counts = new Map<string, number>();
  for (const { what, cluster } of await operator.events()) {
    const name = `${what} ${cluster ?? ""}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    assert.notEqual(what, "repair", `cluster ${cluster} was repaired`);
  }
  for (const id of clusterIds) {
    assert.equal(counts.get(`launch ${id}`), 1, `launches of cluster ${id}`);
    const { members } = await operator.cluster(id);
    assert.equal(Object.keys(members).length, 3);
  }
}

/** SIGINT; after a while, which is shorter here, SIGKILL. Then there is a new instance. */
async function endAsThePlatformDoes(
  fleet: Fleet,
  master: Member,
): Promise<void> {
  await pause(Math.random() * 100);
  master.child.interrupt();
  await pause(Math.random() * 200);
  master.child.kill();
  await fleet.restartMaster(master);
}

async function until(
  what: string,
  isSo: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!await isSo()) {
    if (performance.now() > deadline) throw new Error(`In vain: ${what}`);
    await pause(200);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
