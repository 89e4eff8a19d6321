/**
 * What an operator does when a machine has lost its folder: under new ids it gets new members, or another machine does,
 * and the old ones are removed. Sometimes the machine first comes back as if nothing had happened: then none of its old
 * nodes may take part, since each may have voted and acknowledged what nobody knows here any more (rule I2).
 */
import { allMembers, memberKindOf } from "../../raft/core/members.ts";
import type { Member, Membership } from "../../raft/core/types.ts";
import { RaftError } from "../../raft/errors.ts";
import type { ClusterStatus } from "../../raft/host_info.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { eventKind } from "./clock.ts";
import { SimulationFailure } from "./failure.ts";
import type { Machine, Placement } from "./machine.ts";
import type { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

const secondUs = 1_000_000;
const retryUs = 300_000;
const callMs = 2_000;
const replaceMs = 5_000;

/** A machine whose folder is gone. */
export class LostMachine {
  /** Called once, when nothing counts on what it had stored. */
  onReplaced: () => void = () => {};
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #placements: readonly Placement[];
  #left: number;

  /** Its process is down, and its folder gone. */
  constructor(
    world: World,
    random: SimRandom,
    /** The machine. */
    readonly machine: Machine,
  ) {
    this.#world = world;
    this.#random = random;
    this.#placements = [...machine.placements.values()];
    this.#left = this.#placements.length;
  }

  /** Whether other nodes are in the place of all that it had. */
  get isReplaced(): boolean {
    return this.#left === 0;
  }

  /** From now on its nodes count as lost; in a while they are replaced. */
  begin(): void {
    const { membership, checks } = this.#world;
    const { machine } = this;
    machine.forgetStates();
    this.#world.removals.forget(machine);
    for (const { cluster: { clusterId }, nodeId } of this.#placements) {
      membership.condemn(clusterId, nodeId);
      checks.wire.wiped(clusterId, nodeId);
    }
    if (this.#left === 0) return this.onReplaced();
    const returns = this.#random.chance(0.6);
    if (returns) return this.#later(() => this.#lookAtStranger());
    for (const { cluster } of this.#placements) {
      machine.dropPlacement(cluster.clusterId);
    }
    this.#later(() => this.#replaceAll());
  }

  /** Its old nodes run again on an empty folder: none may become part of its cluster. */
  #lookAtStranger(): void {
    const { machine } = this;
    if (!machine.isUp) return this.#later(() => this.#lookAtStranger());
    const { checks } = this.#world;
    for (const { cluster: { clusterId }, nodeId } of this.#placements) {
      if (!checks.wire.isSilenced(clusterId, nodeId)) continue;
      if (!machine.startedClusters.has(clusterId)) continue;
      machine.run((host) => {
        host.waitReady(clusterId, { timeoutMs: 1_000 }).then(
          () =>
            this.#world.fail(
              new SimulationFailure(
                "wiped means silent",
                `${machine.label} is ready as node ${nodeId} of cluster ${clusterId}, whose folder was lost`,
              ),
            ),
          () => {},
        );
      });
    }
    this.#later(() => this.#replaceAll());
  }

  #replaceAll(): void {
    for (const placement of this.#placements) {
      new Replacement(
        this.#world,
        this.#random,
        this.machine,
        placement,
        () => {
          if (--this.#left === 0) this.onReplaced();
        },
      ).begin();
    }
  }

  #later(work: () => void): void {
    const { timeline } = this.#world;
    const delayUs = this.#random.between(retryUs, 3 * secondUs);
    timeline.schedule(timeline.world, delayUs, eventKind.world, work);
  }
}

/** One node of a lost machine, and who comes in its place. */
class Replacement {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #lost: Machine;
  readonly #old: Placement;
  readonly #done: () => void;
  /** Where the new one is to run. */
  readonly #where: Machine;
  #newNodeId = 0;
  /** A new node that the others refuse. */
  #refusedId = 0;
  /** Nobody knows what the lost one can read, or it was too little, so that nothing new may enter the log before it is removed (rule I6). */
  #goesFirst = false;

  constructor(
    world: World,
    random: SimRandom,
    lost: Machine,
    old: Placement,
    done: () => void,
  ) {
    this.#world = world;
    this.#random = random;
    this.#lost = lost;
    this.#old = old;
    this.#done = done;
    const free = world.machines.filter((one) =>
      one !== lost && !one.placements.has(old.cluster.clusterId)
    );
    this.#where = free.length > 0 && random.chance(0.7)
      ? random.pick(free)
      : lost;
  }

  get #clusterId(): number {
    return this.#old.cluster.clusterId;
  }

  /** Starts the new node, and has it take the old one's place. */
  begin(): void {
    if (!this.#isSettled(this.#where) || !this.#isSettled(this.#lost)) {
      return this.#later(() => this.begin());
    }
    if (this.#where !== this.#lost && this.#runsOldNode()) {
      this.#lost.dropPlacement(this.#clusterId);
    }
    this.#placeNew();
    this.#later(() => this.#step());
  }

  /** Whether it can be told which nodes to run: it is not about to start or to stop. */
  #isSettled({ state }: Machine): boolean {
    return state === "up" || state === "down";
  }

  #runsOldNode(): boolean {
    return this.#lost.placements.get(this.#clusterId)?.nodeId ===
      this.#old.nodeId;
  }

  #placeNew(): void {
    const { cluster } = this.#old;
    const { membership } = this.#world;
    this.#newNodeId = membership.newNode(this.#clusterId).nodeId;
    const placement = { cluster, nodeId: this.#newNodeId, join: true };
    // If a replacement is given up, the new one is removed again.
    membership.condemn(this.#clusterId, this.#newNodeId);
    this.#where.placeAnew(placement);
  }

  #step(): void {
    const carriers = this.#world.machines.filter((one) =>
      one.serves(this.#clusterId) && one !== this.#lost && one !== this.#where
    );
    if (carriers.length === 0) return this.#later(() => this.#step());
    const asked = this.#random.pick(carriers);
    this.#ask(
      asked,
      (host) => host.getMembership(this.#clusterId, { timeoutMs: callMs }),
      (membership) => this.#goOn(asked, membership),
    );
  }

  #goOn(asked: Machine, membership: Membership | undefined): void {
    if (membership === undefined) return this.#later(() => this.#step());
    const { nodeId } = this.#old;
    const newKind = memberKindOf(membership, this.#newNodeId);
    const isOldIn = allMembers(membership).some((one) => one.nodeId === nodeId);
    if (!isOldIn && newKind === "voter" && this.#hasApplied(membership)) {
      return this.#done();
    }
    if (membership.removed.includes(this.#newNodeId)) {
      if (!this.#isSettled(this.#where)) {
        return this.#later(() => this.#step());
      }
      this.#placeNew();
    }
    if (!asked.isUp) return this.#later(() => this.#step());
    this.#ask(
      asked,
      (host) => this.#change(host, membership, isOldIn),
      () => this.#later(() => this.#step()),
    );
  }

  /**
   * The next change of the membership. At one address there is one node, so on the same machine the old one goes first; and
   * so it does where the others were never in touch with it.
   */
  #change(
    host: NodeHost,
    membership: Membership,
    isOldIn: boolean,
  ): Promise<unknown> {
    const clusterId = this.#clusterId;
    const { nodeId } = this.#old;
    const newNodeId = this.#newNodeId;
    // What was begun goes on under the address that the new one was added with, which its machine may have left since.
    const added = allMembers(membership).find((one) =>
      one.nodeId === newNodeId
    );
    const address = added?.address ?? this.#where.address;
    if (isOldIn && this.#where !== this.#lost && !this.#goesFirst) {
      const replacement = { nodeId, newNodeId, address };
      return host.replaceNode(clusterId, replacement, { timeoutMs: replaceMs });
    }
    if (isOldIn) {
      return host.removeNode(clusterId, { nodeId }, { timeoutMs: callMs });
    }
    if (added !== undefined && this.#isElsewhere(added)) {
      this.#refusedId = newNodeId; // Where its machine has moved since, nobody meets it to refuse it.
    }
    if (this.#refusedId === newNodeId) {
      // Added while its address still led to the lost one. Its id is used up, as the error says.
      return host.removeNode(clusterId, { nodeId: newNodeId }, {
        timeoutMs: callMs,
      });
    }
    const member = { nodeId: newNodeId, address };
    if (added === undefined) {
      return host.addObserver(clusterId, member, { timeoutMs: callMs });
    }
    // A voter that holds nothing would be one more that is missing.
    if (this.#hasApplied(membership)) {
      return host.addNode(clusterId, member, { timeoutMs: callMs });
    }
    this.#askNewNode();
    return Promise.resolve();
  }

  /** Whether the membership has the new node on another NodeHost than the one that is to run it. */
  #isElsewhere({ nodeHostId }: Member): boolean {
    const own = this.#where.host?.nodeHostId;
    return nodeHostId !== "" && own !== undefined && own !== nodeHostId;
  }

  /** Whether the new node has come as far as the membership, and so holds all that was acknowledged before that. */
  #hasApplied({ configChangeIndex }: Membership): boolean {
    const status = this.#status();
    return status !== undefined && status.failure === undefined &&
      status.applied >= configChangeIndex;
  }

  /** Has the new node say whether others refuse it. */
  #askNewNode(): void {
    const where = this.#where;
    const newNodeId = this.#newNodeId;
    if (!where.isUp || this.#status() === undefined) return;
    where.run((host) => {
      host.waitReady(this.#clusterId, { timeoutMs: retryUs / 1_000 }).catch(
        (error) => {
          if (error instanceof RaftError && error.code === "rejected") {
            this.#refusedId = newNodeId;
          }
        },
      );
    });
  }

  #status(): ClusterStatus | undefined {
    return this.#where.info()?.clusters.find((one) =>
      one.clusterId === this.#clusterId && one.nodeId === this.#newNodeId
    );
  }

  /** Asks a process; `then` gets the answer, or undefined if there was none. */
  #ask<T>(
    asked: Machine,
    call: (host: NodeHost) => Promise<T>,
    then: (answer: T | undefined) => void,
  ): void {
    let isOver = false;
    const end = (answer: T | undefined) => {
      if (isOver) return;
      isOver = true;
      asked.onDeath.delete(onDeath);
      then(answer);
    };
    const onDeath = () => end(undefined);
    asked.onDeath.add(onDeath);
    asked.run((host) => {
      call(host).then(end, (error) => {
        // What the error says is done: the lost one cannot be started any more.
        if (
          /start it, or remove it|remove the node if it is gone/.test(
            String(error),
          )
        ) {
          this.#goesFirst = true;
        }
        end(undefined);
        this.#world.expectRefusals(Promise.reject(error));
      });
    });
  }

  #later(work: () => void): void {
    const { timeline } = this.#world;
    timeline.schedule(
      timeline.world,
      this.#random.between(retryUs / 3, retryUs),
      eventKind.world,
      work,
    );
  }
}
