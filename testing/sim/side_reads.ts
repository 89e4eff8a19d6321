/**
 * What applications ask a NodeHost beside proposals and reads: its state as it is now (`staleRead`), and what stands in
 * its log (`queryLog`). Once a simulated second one machine is asked for each cluster; the draws are of a
 * generator of their own.
 */
import { RaftError } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import { SimulationFailure } from "./failure.ts";
import { describeError } from "./machine.ts";
import type { Machine } from "./machine.ts";
import type { ObservedAnswer, ObservedNode } from "./observed_machine.ts";
import { SimRandom } from "./random.ts";
import type { World } from "./world.ts";

/** A query begins at most so many entries before the last command applied. */
const queriedEntriesMax = 300;

/** Asks, and checks the answers. */
export class SideReads {
  /** Answers of `staleRead`, for the report. */
  staleCount = 0;
  /** Entries that `queryLog` gave, for the report. */
  entryCount = 0;
  readonly #world: World;
  readonly #random: SimRandom;
  /** Index of the last command that a state machine's answer reflected; another run of a node has another one. */
  readonly #seen = new WeakMap<ObservedNode, number>();
  #isStopped = false;

  /** Nothing asked yet. */
  constructor(world: World) {
    this.#world = world;
    this.#random = new SimRandom(world.plan.seed, "side reads");
  }

  /** Nothing more is asked: clusters are rebuilt from images, and their logs begin anew. */
  stop(): void {
    this.#isStopped = true;
  }

  /** A simulated second has passed. */
  second(): void {
    if (this.#isStopped) return;
    const { plan, machines } = this.#world;
    for (const { clusterId } of plan.clusters) {
      const carriers = machines.filter((one) => one.serves(clusterId));
      if (carriers.length === 0) continue;
      const machine = this.#random.pick(carriers);
      const back = this.#random.below(queriedEntriesMax);
      const maxBytes = this.#random.pick([1, 2_000, 1_000_000]);
      machine.run((host) => {
        const node = machine.machines.get(clusterId)?.node;
        if (node === undefined) return;
        this.#readStale(machine, host, node);
        this.#queryLog(machine, host, node, { back, maxBytes });
      });
    }
  }

  #readStale(machine: Machine, host: NodeHost, node: ObservedNode): void {
    const query = this.#world.application.query(this.#random);
    host.staleRead<ObservedAnswer>(node.clusterId, query).then(
      ({ index }) => this.staleAnswer(node, index),
      (error) => this.#refused(machine, "staleRead", error),
    );
  }

  /** A node answered from its state as of a command. */
  staleAnswer(node: ObservedNode, index: number): void {
    this.staleCount++;
    const seen = this.#seen.get(node) ?? 0;
    this.#seen.set(node, index);
    if (index >= seen) return;
    this.#fail(
      `${node.incarnation}, node ${node.nodeId} of cluster ${node.clusterId}, answers from index ${index}, ` +
        `and had answered from ${seen}`,
    );
  }

  #queryLog(
    machine: Machine,
    host: NodeHost,
    node: ObservedNode,
    { back, maxBytes }: { back: number; maxBytes: number },
  ): void {
    const { clusterId, lastIndex } = node;
    if (lastIndex === 0) return;
    const firstIndex = Math.max(1, lastIndex - back);
    try {
      const { entries } = host.queryLog(clusterId, {
        firstIndex,
        lastIndex,
        maxBytes,
      });
      this.entryCount += entries.length;
      const record = this.#world.checks.record(clusterId);
      record.logQueried(machine.label, firstIndex, entries);
    } catch (error) {
      if (error instanceof RangeError) return; // Compacted.
      this.#refused(machine, "queryLog", error);
    }
  }

  #refused(machine: Machine, what: string, error: unknown): void {
    if (error instanceof RaftError) return;
    this.#world.fail(
      new SimulationFailure(
        "stops only when told",
        `${what} at ${machine.label} failed with ${describeError(error)}`,
        { cause: error },
      ),
    );
  }

  #fail(what: string): void {
    this.#world.fail(
      new SimulationFailure("stale reads never go back", what),
    );
  }
}
