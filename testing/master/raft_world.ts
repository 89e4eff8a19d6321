/**
 * Everything in one process on virtual time: real NodeHosts with their logs and Raft, and several real masters over one
 * store. Machines crash, lose their power or their disks, are cut off; masters die in the middle of a request; the store
 * lies; reports are lost, late and repeated.
 *
 * Always watched: the store's indexes agree with its truth after every commit; members that could run are a majority in
 * every membership there ever was, and no two of these have one index; no node id is used twice, and none returns. At the
 * end, see {@link RaftWorld.verify}.
 */
import { during } from "./during.ts";
import type { KvKey } from "../../master/kv.ts";
import { KvStore } from "../../master/kv_store.ts";
import type {
  ClusterRecord,
  HostRecord,
  MetaRecord,
} from "../../master/schema.ts";
import type { Membership } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import { eventKind, HostClock, Timeline } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { SimNetwork } from "../sim/network.ts";
import { SimRandom } from "../sim/random.ts";
import { Trace } from "../sim/trace.ts";
import { checkIndexes } from "./index_check.ts";
import { ledgerCommand } from "./ledger.ts";
import { type KvFaults, MemoryKv } from "./memory_kv.ts";
import {
  type MachineWorld,
  RaftMachine,
  type ReachedMaster,
} from "./raft_machine.ts";
import { ScopedKv } from "./scoped_kv.ts";
import type { Roads } from "./world.ts";

/** What a world is made of. */
export interface RaftWorldOptions {
  readonly seed: number;
  /** Region of each machine. */
  readonly regions: readonly string[];
  readonly masterCount: number;
  readonly faults?: Partial<KvFaults>;
  /** Milliseconds for which the data of a stopped node is kept; 3,000 by default. */
  readonly retentionMs?: number;
}

interface SeenCluster {
  cci: number;
  membership: Membership | undefined;
  readonly removed: Set<number>;
  /** Members that a rebuilt cluster does not have: who tells of one is of the generation before. */
  readonly dropped: Set<number>;
}

/** What a cluster that lost its majority was rebuilt to. */
export interface RebuiltCluster {
  /** Last entry of the image. */
  readonly index: number;
  /** Its members from now on. */
  readonly nodeIds: readonly number[];
  /** Values that the image holds: nothing else has to be there. */
  readonly values: ReadonlySet<number>;
}

/** The world. */
export class RaftWorld implements MachineWorld {
  readonly timeline: Timeline;
  readonly random: SimRandom;
  readonly network: SimNetwork;
  /** The masters' store. */
  kv: MemoryKv;
  readonly machines: RaftMachine[] = [];
  readonly masters: ReachedMaster[] = [];
  readonly servers: readonly string[];
  readonly periodMs = 500;
  /** The period that each master's next process is told. */
  readonly masterPeriodsMs: number[];
  readonly retentionMs: number;
  readonly clockTraits = { driftPpm: 100, timerSlackUs: 200, turnUs: 20 };
  readonly roads: Roads = {
    lostRequests: 0,
    lostReplies: 0,
    repeated: 0,
    delayMs: 5,
  };
  /** What was wrong at any time. */
  readonly problems: string[] = [];
  /** Values that clients were told are written, by cluster. */
  readonly written = new Map<number, Set<number>>();
  /** Membership changes that were seen. */
  changeCount = 0;
  /** How many messages between machines and masters were lost or repeated. */
  readonly messages = { lost: 0, repeated: 0 };
  readonly #trace = new Trace();
  readonly #seen = new Map<number, SeenCluster>();
  /** Which cluster uses a node id. */
  readonly #clusterOf = new Map<number, number>();
  /** Machines that a node ever ran on. */
  readonly #ranOn = new Map<string, RaftMachine>();
  #nextValue = 1;
  #isWriting = true;
  /** Whether an empty store gets a deployment by whoever asks first. */
  #makesDeployment = true;

  /** Machines are off until {@link start}. */
  constructor(options: RaftWorldOptions) {
    const { seed, regions, masterCount, faults } = options;
    this.retentionMs = options.retentionMs ?? 3_000;
    this.random = new SimRandom(seed, "masters over raft");
    this.timeline = new Timeline(this.#trace);
    this.kv = this.#makeKv(faults);
    this.servers = Array.from({ length: masterCount }, (_, i) => `sim:${i}`);
    this.masterPeriodsMs = this.servers.map(() => this.periodMs);
    for (let i = 0; i < masterCount; i++) this.masters.push(this.#makeMaster());
    const addresses = regions.map((_, i) => `machine-${i + 1}:7000`);
    this.network = new SimNetwork({
      timeline: this.timeline,
      trace: this.#trace,
      random: this.random.fork("network"),
      traits: { latencyUs: [100, 500, 5_000], roundUs: 20, bytesPerUs: 100 },
      addresses,
      watcher: { onSend: () => {}, bearsDisorder: () => false },
    });
    regions.forEach((region, i) => {
      this.machines.push(this.#makeMachine(i, addresses[i]!, region));
    });
  }

  /** Lets machines and clients begin. */
  start(): void {
    for (const machine of this.machines) machine.start();
    this.#superviseLater();
    this.#writeLater();
  }

  /** Milliseconds since the beginning. */
  now(): number {
    return Math.floor(this.timeline.nowUs / 1_000);
  }

  /** The same for the same seed. */
  get hash(): string {
    return this.#trace.hash();
  }

  /** Lets time pass. */
  async run(ms: number, isDone?: () => boolean): Promise<void> {
    await this.timeline.run(this.timeline.nowUs + ms * 1_000, isDone);
  }

  /** Awaits `work` while time passes. */
  async during<T>(work: Promise<T>): Promise<T> {
    return await during(this.timeline, work);
  }

  /** A store over the same data, for operators. */
  operator(): KvStore {
    return this.#makeMaster().store;
  }

  /** A master's process ends in the middle of whatever it does; another one takes its place. */
  killMaster(index: number): void {
    this.masters[index]!.scope.kill();
    this.masters[index] = this.#makeMaster(this.masterPeriodsMs[index]);
  }

  /** The store is gone, and all masters with it: others begin over an empty one, and make no deployment in it. */
  loseStore(): void {
    const { faults, happened } = this.kv;
    this.kv.afterCommit = () => {};
    this.kv = this.#makeKv(faults);
    Object.assign(this.kv.happened, happened);
    this.#makesDeployment = false;
    for (let i = 0; i < this.masters.length; i++) this.killMaster(i);
  }

  /** A machine's disk is replaced by an empty one: what returns at its address is another NodeHost. */
  replaceDisk(index: number): void {
    const old = this.machines[index]!;
    old.stop("powerLoss");
    old.isLost = true;
    const { address, region } = old;
    const next = this.#makeMachine(index, address, region);
    this.machines[index] = next;
    next.start();
  }

  /** Cuts a machine off from the others, or lets it back. */
  setIsolated(index: number, isIsolated: boolean): void {
    for (let other = 0; other < this.machines.length; other++) {
      if (other === index) continue;
      for (const [a, b] of [[index, other], [other, index]] as const) {
        if (isIsolated) this.network.cut(a, b);
        else this.network.mend(a, b);
      }
    }
  }

  #makeKv(faults: Partial<KvFaults> | undefined): MemoryKv {
    const { timeline } = this;
    const kv = new MemoryKv({
      wait: (ms) => timeline.wait(timeline.world, ms * 1_000, eventKind.disk),
      now: () => this.now(),
      random: this.random.fork("store"),
      ...(faults === undefined ? {} : { faults }),
    });
    kv.afterCommit = (keys) => this.#checkStore(keys);
    return kv;
  }

  #makeMaster(periodMs: number = this.periodMs): ReachedMaster {
    const { timeline, random } = this;
    const scope = timeline.scope("master");
    const clock = new HostClock(timeline, scope, random.fork("clock"), {
      driftPpm: random.between(-200, 200),
      timerSlackUs: 100,
      turnUs: 1,
    });
    clock.wallSkewMs = random.between(-5_000, 5_000);
    const store = new KvStore({
      kv: new ScopedKv(this.kv, scope),
      clock,
      random: random.fork("master"),
      timeoutMs: 400,
      periodMs,
      busyPeriodMs: this.periodMs,
      limits: { settleTicks: 4 },
      makesDeployment: this.#makesDeployment,
    });
    return { scope, store, clock };
  }

  #makeMachine(index: number, address: string, region: string): RaftMachine {
    const disk = new SimDisk({
      timeline: this.timeline,
      trace: this.#trace,
      random: this.random.fork("disk"),
      traits: { syncUs: [100, 500, 5_000] },
      machine: index,
    });
    const machine = new RaftMachine(this, index, address, region, disk);
    disk.onFailure = () => {
      const { scope } = machine;
      this.#later(this.random.below(500), () => {
        if (machine.scope === scope) machine.stop("kill");
      });
    };
    return machine;
  }

  #later(ms: number, callback: () => void): void {
    const { timeline } = this;
    timeline.schedule(timeline.world, ms * 1_000, eventKind.world, callback);
  }

  // ---- What machines ask ----

  /** See {@link MachineWorld}. */
  masterAt(url: string): ReachedMaster {
    return this.masters[Number(url.slice("sim:".length))]!;
  }

  /** See {@link MachineWorld}. */
  async travel(
    machine: RaftMachine,
    way: "there" | "back",
  ): Promise<boolean> {
    const { delayMs, lostRequests, lostReplies } = this.roads;
    const ms = this.random.longTail(0, 2, delayMs);
    const { timeline } = this;
    await timeline.wait(timeline.world, ms * 1_000, eventKind.network);
    const arrives = !machine.isCutFromMasters &&
      this.random.below(1_000) >=
        (way === "there" ? lostRequests : lostReplies);
    if (!arrives) this.messages.lost++;
    return arrives;
  }

  /** See {@link MachineWorld}. */
  isRepeated(): boolean {
    const isRepeated = this.random.below(1_000) < this.roads.repeated;
    if (isRepeated) this.messages.repeated++;
    return isRepeated;
  }

  /** See {@link MachineWorld}. */
  problem(text: string): void {
    if (this.problems.length < 10) {
      this.problems.push(`at ${this.now()} ms: ${text}`);
    }
  }

  // ---- Always watched ----

  #checkStore(keys: readonly KvKey[]): void {
    // While an import writes, nobody reads; when it is done, all of it must agree.
    const meta = this.kv.peek(["meta"]).value as MetaRecord | null;
    if (meta?.minWriter === Number.MAX_SAFE_INTEGER) return;
    const isDone = keys.some((key) => key[0] === "meta");
    const all = isDone ? this.kv.peekAll(["c"]).map(({ key }) => key) : [];
    const problem = checkIndexes(this.kv, [...keys, ...all]);
    if (problem !== undefined) this.problem(problem);
  }

  /** See {@link MachineWorld}. */
  sawNode(clusterId: number, nodeId: number, machine: RaftMachine): void {
    const owner = this.#clusterOf.get(nodeId);
    if (owner !== undefined && owner !== clusterId) {
      this.problem(`node ${nodeId} is of clusters ${owner} and ${clusterId}`);
    }
    this.#clusterOf.set(nodeId, clusterId);
    const name = `${clusterId} ${nodeId}`;
    const before = this.#ranOn.get(name);
    if (before !== undefined && before !== machine) {
      this.problem(`node ${nodeId} ran on two machines`);
    }
    this.#ranOn.set(name, machine);
  }

  /** See {@link MachineWorld}. */
  sawMembership(clusterId: number, membership: Membership): void {
    const { configChangeIndex: cci, members } = membership;
    const seen: SeenCluster = this.#seen.get(clusterId) ??
      {
        cci: -1,
        membership: undefined,
        removed: new Set(),
        dropped: new Set(),
      };
    this.#seen.set(clusterId, seen);
    const now = new Set(nodeIdsOf(membership));
    if ([...now].some((id) => seen.dropped.has(id))) return;
    const isFirst = seen.membership === undefined;
    if (
      cci === seen.cci && !isFirst &&
      nodeIdsOf(seen.membership!).join() !== [...now].join()
    ) this.problem(`cluster ${clusterId} has two memberships of index ${cci}`);
    if (cci <= seen.cci) return;
    for (const id of now) {
      if (seen.removed.has(id)) {
        this.problem(`node ${id} was removed, and is back`);
      }
    }
    const { membership: old } = seen;
    for (const one of [...old?.members ?? [], ...old?.observers ?? []]) {
      if (!now.has(one.nodeId)) seen.removed.add(one.nodeId);
    }
    seen.cci = cci;
    seen.membership = membership;
    if (isFirst) return; // Its members start now.
    this.changeCount++;
    // A voter that never ran, or whose disk is gone, cannot be counted on (M1).
    const able = members.filter(({ nodeId }) => {
      const machine = this.#ranOn.get(`${clusterId} ${nodeId}`);
      return machine !== undefined && !machine.isLost;
    });
    if (able.length * 2 <= members.length) {
      this.problem(
        `cluster ${clusterId} gave its majority away: ${able.length} of ${members.length} voters could run`,
      );
    }
  }

  /**
   * Whether all other voters of every cluster run, so that this machine may be lost for good. One loss at a time is what
   * is promised: of two, the second can be the node that was just being promoted in place of the first.
   */
  canLoseMachine(index: number): boolean {
    const lost = this.machines[index]!;
    return [...this.#seen].every(([clusterId, { membership }]) => {
      const voters = membership?.members ?? [];
      const others = voters.map(({ nodeId }) =>
        this.#ranOn.get(`${clusterId} ${nodeId}`)
      ).filter((machine) => machine !== lost);
      return others.length * 2 > voters.length &&
        others.every((one) => one?.isUp === true && !one.isLost);
    });
  }

  /** The last known members of a cluster; `undefined` if none ever ran. */
  membershipOf(clusterId: number): Membership | undefined {
    return this.#seen.get(clusterId)?.membership;
  }

  /** The machine that a node ever ran on. */
  machineOf(clusterId: number, nodeId: number): RaftMachine | undefined {
    return this.#ranOn.get(`${clusterId} ${nodeId}`);
  }

  /** Whether so many voters are lost for good that the others are no majority. */
  hasLostMajority(clusterId: number): boolean {
    const voters = this.membershipOf(clusterId)?.members ?? [];
    const left = voters.filter(({ nodeId }) =>
      this.machineOf(clusterId, nodeId)?.isLost !== true
    );
    return left.length * 2 <= voters.length;
  }

  /** A cluster that lost its majority was rebuilt: what its image lacks is lost, and who is not in it is out. */
  rebuilt(clusterId: number, { index, nodeIds, values }: RebuiltCluster): void {
    const seen = this.#seen.get(clusterId)!;
    const before = nodeIdsOf(seen.membership!);
    this.#seen.set(clusterId, {
      cci: index - 1,
      membership: undefined,
      removed: seen.removed,
      dropped: new Set([
        ...seen.dropped,
        ...before.filter((id) => !nodeIds.includes(id)),
      ]),
    });
    const written = this.written.get(clusterId) ?? new Set();
    const left = [...written].filter((value) => values.has(value));
    this.written.set(clusterId, new Set(left));
  }

  // ---- Supervisors and clients ----

  /** A process that ended by itself is started again, as a supervisor does; one that was stopped is not its business. */
  #superviseLater(): void {
    this.#later(1_000, () => {
      for (const machine of this.machines) {
        if (!machine.isUp && !this.stopped.has(machine)) machine.start();
      }
      this.#superviseLater();
    });
  }

  /** Machines that are to stay off for now. */
  readonly stopped = new Set<RaftMachine>();

  /** No client begins anything more. */
  stopWriting(): void {
    this.#isWriting = false;
  }

  #writeLater(): void {
    this.#later(20 + this.random.below(100), () => {
      if (!this.#isWriting) return;
      this.#write();
      this.#writeLater();
    });
  }

  #write(): void {
    const ids = [...this.#seen.keys()];
    if (ids.length === 0) return;
    const clusterId = this.random.pick(ids);
    const carriers = this.machines.filter((one) => one.runs(clusterId));
    if (carriers.length === 0) return;
    const value = this.#nextValue++;
    this.random.pick(carriers).ask((host) => {
      host.propose(clusterId, ledgerCommand(value), { timeoutMs: 2_000 })
        .then(() => {
          const known = this.written.get(clusterId) ?? new Set();
          this.written.set(clusterId, known.add(value));
        }, (error) => {
          if (!(error instanceof RaftError)) this.problem(String(error));
        });
    });
  }

  // ---- The end ----

  /** What is not as it should be: for each cluster that is to be there, and for each machine. */
  unsettled(clusterIds: readonly number[]): string[] {
    return [
      ...clusterIds.flatMap((id) => this.#clusterTroubles(id)),
      ...this.machines.flatMap((machine) => this.#machineTroubles(machine)),
    ];
  }

  #clusterTroubles(clusterId: number): string[] {
    const record = this.kv.peek(["c", clusterId]).value as ClusterRecord | null;
    const name = `cluster ${clusterId}`;
    if (record?.life !== "ok") return [`${name} is ${record?.life}`];
    const isListed = this.kv.peek(["att", clusterId]).value !== null;
    if (isListed) {
      return [`${name} is on the to-do list: ${JSON.stringify(record)}`];
    }
    const membership = this.membershipOf(clusterId);
    if (membership === undefined) return [`${name} never ran`];
    const { members, observers } = membership;
    const wanted = record.def!.size;
    if (members.length !== wanted || observers.length > 0) {
      return [`${name} has ${members.length} voters of ${wanted}`];
    }
    const known = Object.keys(record.members).map(Number);
    return members.flatMap(({ nodeId }) => {
      const machine = this.#ranOn.get(`${clusterId} ${nodeId}`);
      if (!known.includes(nodeId)) return [`node ${nodeId} is not known`];
      return machine?.runs(clusterId, nodeId) === true
        ? []
        : [`node ${nodeId} of ${name} does not run`];
    });
  }

  /** Nothing runs, and nothing is kept, that is no member. */
  #machineTroubles(machine: RaftMachine): string[] {
    const troubles: string[] = [];
    const isMember = (clusterId: number, nodeId: number) =>
      this.kv.peek(["c", clusterId]).value !== null &&
      this.#seen.get(clusterId)?.membership?.members
          .some((one) => one.nodeId === nodeId) === true;
    for (const { clusterId, nodeId } of machine.info()?.clusters ?? []) {
      if (isMember(clusterId, nodeId)) continue;
      troubles.push(
        `${machine.address} runs node ${nodeId} of cluster ${clusterId}`,
      );
    }
    for (const { clusterId, nodeId } of machine.kept) {
      if (isMember(clusterId, nodeId)) continue;
      troubles.push(
        `${machine.address} keeps node ${nodeId} of cluster ${clusterId}`,
      );
    }
    const id = machine.host?.nodeHostId ?? "";
    const record = this.kv.peek(["h", id]).value as HostRecord | null;
    if (record?.state !== "ok") troubles.push(`${machine.address} is unknown`);
    return troubles;
  }

  /** Everything that was written is there, once, in the same order on every member. */
  async verify(clusterIds: readonly number[]): Promise<string[]> {
    const troubles = [...this.problems, ...this.unsettled(clusterIds)];
    for (const clusterId of clusterIds) {
      const carriers = this.machines.filter((one) => one.runs(clusterId));
      const all: string[] = [];
      for (const machine of carriers) {
        const values = await this.during(
          new Promise<readonly number[]>((resolve, reject) =>
            machine.ask((host) => {
              host.read<readonly number[]>(clusterId, "all", {
                timeoutMs: 20_000,
              }).then(resolve, reject);
            })
          ),
        );
        all.push(values.join());
        const known = new Set(values);
        if (known.size !== values.length) {
          troubles.push(`cluster ${clusterId} holds a value twice`);
        }
        for (const value of this.written.get(clusterId) ?? []) {
          if (!known.has(value)) {
            troubles.push(`cluster ${clusterId} lost ${value}`);
          }
        }
      }
      if (new Set(all).size > 1) {
        troubles.push(`members of cluster ${clusterId} differ`);
      }
    }
    return troubles;
  }
}

/** All members, in order. */
function nodeIdsOf({ members, observers, witnesses }: Membership): number[] {
  return [...members, ...observers, ...witnesses].map(({ nodeId }) => nodeId)
    .sort((a, b) => a - b);
}
