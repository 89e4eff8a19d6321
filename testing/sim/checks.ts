/**
 * All checks of a world. After every event what that event can have changed is looked at; once a simulated second and
 * at the end whole states are compared (F1).
 */
import type { HostEvent } from "../../raft/events.ts";
import type { ClusterStatus } from "../../raft/host_info.ts";
import { RaftError } from "../../raft/errors.ts";
import type { NodeHost } from "../../raft/nodehost.ts";
import type { Entry, Result } from "../../raft/state_machine.ts";
import { ClusterRecord } from "./cluster_record.ts";
import { EventWatch } from "./event_watch.ts";
import { SimulationFailure } from "./failure.ts";
import type { History } from "./history.ts";
import type { Machine } from "./machine.ts";
import type { MachineObserver, ObservedNode } from "./observed_machine.ts";
import { WireWatch } from "./wire.ts";

/** The checks, and the first failure. */
export class Checks implements MachineObserver {
  /** What did not hold, or undefined. */
  failure: SimulationFailure | undefined;
  /** The wire's part. */
  readonly wire: WireWatch;
  /** Called when a term's leader becomes known. */
  onElection: (clusterId: number, leaderId: number) => void = () => {};
  /** Called when a NodeHost tells of its disk. */
  onDisk: (
    machine: Machine,
    event: Extract<HostEvent, { type: "diskSlow" }>,
  ) => void = () => {};
  /** Commands compared, for the report. */
  appliedCount = 0;
  /** Snapshots that state machines were restored from, for the report. */
  restoredCount = 0;
  /** Files in those snapshots, each as it was added, for the report. */
  filesRestoredCount = 0;
  /** Whole states compared, for the report. */
  statesCompared = 0;
  /** What listens to the events of each process. */
  readonly watches: EventWatch[] = [];
  readonly #records: readonly ClusterRecord[];

  /** Nothing seen yet. */
  constructor(
    clusterIds: readonly number[],
    history: History,
    nowUs: () => number,
  ) {
    const fail = (failure: SimulationFailure) => this.fail(failure);
    this.#records = clusterIds.map((clusterId) =>
      new ClusterRecord(clusterId, history, fail, nowUs)
    );
    this.wire = new WireWatch(fail);
  }

  /** The record of a cluster. */
  record(clusterId: number): ClusterRecord {
    // Plans number their clusters from 1.
    const record = this.#records[clusterId - 1];
    if (record === undefined) {
      throw new RangeError(
        `Cannot check cluster ${clusterId}: it is not in the plan`,
      );
    }
    return record;
  }

  /** Listens to the events of a NodeHost that has just opened. */
  listen(machine: Machine, host: NodeHost): void {
    const watch = new EventWatch(machine.label, {
      fail: (failure) => this.fail(failure),
      leaderTold: (clusterId, term, leaderId) =>
        this.#leaderSeen(machine, { clusterId, term, leaderId }),
      diskTold: (event) => this.onDisk(machine, event),
    });
    this.watches.push(watch);
    watch.follow(host.events());
  }

  /** Keeps the first failure; the run ends after the event that it came up in. */
  fail(failure: SimulationFailure): void {
    this.failure ??= failure;
  }

  /** See {@link MachineObserver}. */
  onApply(node: ObservedNode, entry: Entry, operationId: number): void {
    this.appliedCount++;
    this.record(node.clusterId).applied(node, entry, operationId);
    this.wire.applied(node.clusterId, node.nodeId, entry.index);
  }

  /** See {@link MachineObserver}. */
  onResult(node: ObservedNode, result: Result): void {
    this.record(node.clusterId).result(node, result);
  }

  /** See {@link MachineObserver}. */
  onRecover(node: ObservedNode): void {
    this.restoredCount++;
    this.record(node.clusterId).recovered(node);
  }

  /** See {@link MachineObserver}. */
  onState(node: ObservedNode, hash: bigint): void {
    this.record(node.clusterId).snapshotState(node, hash);
  }

  /** See {@link MachineObserver}. */
  onFile(node: ObservedNode, wrong: string | undefined): void {
    this.filesRestoredCount++;
    if (wrong === undefined) return;
    this.fail(
      new SimulationFailure(
        "states equal",
        `${node.incarnation}, node ${node.nodeId} of cluster ${node.clusterId}, is restored from a snapshot with ${wrong}`,
      ),
    );
  }

  /** See {@link MachineObserver}. */
  onForeign(node: ObservedNode, entry: Entry): void {
    this.fail(
      new SimulationFailure(
        "applied once",
        `${node.incarnation} applies a command to cluster ${node.clusterId} at index ${entry.index} that no client made`,
      ),
    );
  }

  /** After an event of a machine: whom do its nodes take for the leader? */
  afterEvent(machine: Machine): void {
    const { host } = machine;
    if (host === undefined) return;
    for (const clusterId of machine.startedClusters) {
      const seen = leaderIn(host, clusterId);
      if (seen === undefined) return;
      const known = machine.leaders.get(clusterId);
      if (known?.leaderId === seen.leaderId && known.term === seen.term) {
        continue;
      }
      machine.leaders.set(clusterId, seen);
      if (seen.leaderId !== 0) {
        this.#leaderSeen(machine, { clusterId, ...seen });
      }
    }
  }

  #leaderSeen(
    machine: Machine,
    seen: { clusterId: number; term: number; leaderId: number },
  ): void {
    const { clusterId, term, leaderId } = seen;
    const record = this.record(clusterId);
    if (!record.leaderSeen(term, leaderId, machine.label)) return;
    this.#checkLeader(machine, clusterId, leaderId);
    this.onElection(clusterId, leaderId);
  }

  /** Whoever was elected knows what it is itself. */
  #checkLeader(machine: Machine, clusterId: number, leaderId: number): void {
    const status = machine.info()?.clusters.find((one) =>
      one.clusterId === clusterId
    );
    if (status?.nodeId !== leaderId || status.kind === "voter") return;
    this.fail(
      new SimulationFailure(
        "only voters lead",
        `${machine.label}, node ${leaderId} of cluster ${clusterId}, leads, and is ${status.kind}`,
      ),
    );
  }

  /** A node was started on what its disk holds: it must know what it had promised. */
  nodeStarted(machine: Machine, status: ClusterStatus): void {
    const { clusterId, nodeId, term, lastIndex, commit, snapshotIndex } =
      status;
    this.wire.restarted(clusterId, nodeId);
    // It has forgotten everything; the wire tells whether it keeps silent.
    if (this.wire.isSilenced(clusterId, nodeId)) return;
    const promised = this.wire.promises(clusterId, nodeId);
    const what = `${machine.label}, node ${nodeId} of cluster ${clusterId},`;
    if (term < promised.term || lastIndex < promised.index) {
      this.fail(
        new SimulationFailure(
          "durable before promised",
          `${what} starts with term ${term} and last index ${lastIndex}, ` +
            `it had answered in term ${promised.term} and acknowledged index ${promised.index}`,
        ),
      );
    }
    // What a snapshot ends with did not come as an entry.
    const last = { index: lastIndex, term: status.lastTerm };
    const floor = lastIndex > snapshotIndex
      ? this.wire.commitFloor(clusterId, nodeId, last)
      : 0;
    if (commit < floor) {
      this.fail(
        new SimulationFailure(
          "commit before entries",
          `${what} starts with commit index ${commit} and last index ${lastIndex}, ` +
            `when that entry came, it knew of commit ${floor}`,
        ),
      );
    }
  }

  /** Compares the whole states of all nodes of a machine, and looks for nodes that stopped. */
  compareStates(machine: Machine): void {
    const info = machine.info();
    if (info === undefined) return;
    for (const status of info.clusters) {
      const node = machine.machines.get(status.clusterId)?.node;
      if (status.failure !== undefined) {
        if (!machine.mayStop(status.clusterId)) {
          this.fail(
            new SimulationFailure(
              "stops only when told",
              `${machine.label}, node ${status.nodeId} of cluster ${status.clusterId}, stopped: ${status.failure}`,
            ),
          );
        }
        continue;
      }
      if (node === undefined || status.hash === undefined) continue;
      this.statesCompared++;
      this.record(status.clusterId).state(node, status);
      if (status.commit < status.applied || status.lastIndex < status.applied) {
        this.fail(
          new SimulationFailure(
            "applied in order",
            `${machine.label} has applied index ${status.applied} of cluster ${status.clusterId}, ` +
              `committed ${status.commit} and stored ${status.lastIndex}`,
          ),
        );
      }
    }
  }

  /** A NodeHost has closed: nothing of it may still be waiting. */
  hostClosed(machine: Machine): void {
    const left = machine.scope.pendingTimers;
    if (left > 0) {
      this.fail(
        new SimulationFailure(
          "close leaves nothing",
          `${machine.label} has closed and left ${left} timers behind`,
        ),
      );
    }
  }
}

/** Whom a NodeHost takes for the leader of a cluster; undefined if it is closed, or its log failed. */
function leaderIn(
  host: NodeHost,
  clusterId: number,
): { leaderId: number; term: number } | undefined {
  try {
    return host.getLeader(clusterId);
  } catch (error) {
    const code = error instanceof RaftError ? error.code : "";
    if (code === "closed" || code === "diskFailed") return undefined;
    throw error;
  }
}
