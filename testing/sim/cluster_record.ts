/**
 * What the whole world has seen of one cluster: the one sequence of applied commands, who led in which term, and the
 * state at each place in the sequence. Everything new is compared with it, so that each check costs in
 * proportion to what changed (F1).
 */
import type { LogEntry } from "../../raft/log_query.ts";
import type { Entry, Result } from "../../raft/state_machine.ts";
import { digestOf } from "./digest.ts";
import { SimulationFailure } from "./failure.ts";
import type { History, Operation } from "./history.ts";
import { operationOf } from "./observed_machine.ts";
import type { ObservedNode } from "./observed_machine.ts";

/** One command as the first node to apply it saw it. */
interface AppliedCommand {
  readonly index: number;
  readonly term: number;
  readonly operationId: number;
  readonly digest: number;
  readonly firstBy: string;
  resultValue: number;
  resultDigest: number;
  hasResult: boolean;
}

/** The record of one cluster. */
export class ClusterRecord {
  /** The cluster. */
  readonly clusterId: number;
  /** No operation that has ended has an index above this: a new one must come after it. */
  floorIndex = 0;
  readonly #history: History;
  readonly #fail: (failure: SimulationFailure) => void;
  readonly #nowUs: () => number;
  readonly #commands: AppliedCommand[] = [];
  readonly #leaders = new Map<number, { nodeId: number; seenBy: string }>();
  /** Hashes by the last index applied: sessions change with entries that are no commands. */
  readonly #states = new Map<number, { hash: bigint; seenBy: string }>();
  /** Hashes of the state machines alone, by commands applied, as snapshots have them. */
  readonly #snapshotStates = new Map<
    number,
    { hash: bigint; seenBy: string }
  >();
  /** The operation of each session that was applied last. */
  readonly #sessions = new Map<number, number>();
  #highestTerm = 0;
  /** Elections won before the cluster was rebuilt. */
  #electionsBefore = 0;

  /** An empty record. */
  constructor(
    clusterId: number,
    history: History,
    fail: (failure: SimulationFailure) => void,
    nowUs: () => number = () => 0,
  ) {
    this.clusterId = clusterId;
    this.#history = history;
    this.#fail = fail;
    this.#nowUs = nowUs;
  }

  /** Commands that any node has applied. */
  get position(): number {
    return this.#commands.length;
  }

  /** Log index of the last command that any node has applied. */
  get lastIndex(): number {
    return this.#commands[this.#commands.length - 1]?.index ?? 0;
  }

  /** Commands that were applied at `index` and behind it. */
  appliedFrom(index: number): readonly { index: number; term: number }[] {
    return this.#commands.filter((command) => command.index >= index);
  }

  /** Elections that were won. */
  get electionCount(): number {
    return this.#electionsBefore + this.#leaders.size;
  }

  /**
   * The cluster was rebuilt from an image that ends with `index` (rule I3): there is nothing behind it, terms begin anew, and
   * so do sessions.
   */
  rebuilt(index: number): void {
    while (this.lastIndex > index) this.#commands.pop();
    this.floorIndex = Math.min(this.floorIndex, this.lastIndex);
    this.#electionsBefore += this.#leaders.size;
    this.#leaders.clear();
    this.#highestTerm = 0;
    this.#states.clear();
    this.#sessions.clear();
    for (const position of [...this.#snapshotStates.keys()]) {
      if (position > this.position) this.#snapshotStates.delete(position);
    }
  }

  /** The highest term with a leader, and that leader. */
  latestLeader(): { term: number; nodeId: number } {
    return {
      term: this.#highestTerm,
      nodeId: this.#leaders.get(this.#highestTerm)?.nodeId ?? 0,
    };
  }

  /** Somebody says that `nodeId` leads in `term`; returns whether that is news. */
  leaderSeen(term: number, nodeId: number, seenBy: string): boolean {
    const known = this.#leaders.get(term);
    if (known === undefined) {
      this.#leaders.set(term, { nodeId, seenBy });
      this.#highestTerm = Math.max(this.#highestTerm, term);
      return true;
    }
    if (known.nodeId !== nodeId) {
      this.#failed(
        "one leader per term",
        `in term ${term} ${known.seenBy} knows node ${known.nodeId} as leader, and ${seenBy} node ${nodeId}`,
      );
    }
    return false;
  }

  /** A node applies a command. */
  applied(node: ObservedNode, entry: Entry, operationId: number): void {
    const digest = digestOf(entry.command);
    const known = this.#commands[node.position];
    if (known === undefined) this.#append(node, entry, operationId, digest);
    else this.#compare(node, entry, known, digest);
    node.position++;
    node.lastIndex = entry.index;
  }

  /** The state machine answered the command that the node applied last. */
  result(node: ObservedNode, result: Result): void {
    const command = this.#commands[node.position - 1];
    if (command === undefined) return;
    const digest = result.data === undefined ? 0 : digestOf(result.data);
    if (!command.hasResult) {
      command.hasResult = true;
      command.resultValue = result.value;
      command.resultDigest = digest;
    } else if (
      command.resultValue !== result.value || command.resultDigest !== digest
    ) {
      this.#failed(
        "states equal",
        `${node.incarnation} answers the command at index ${command.index} with ${result.value}, ` +
          `${command.firstBy} answered ${command.resultValue}`,
      );
    }
  }

  /** A node has replaced its state by a snapshot that says how far it goes. */
  recovered(node: ObservedNode): void {
    const last = this.#commands[node.position - 1];
    if (
      (last?.index ?? 0) !== node.lastIndex ||
      node.position > this.#commands.length
    ) {
      this.#failed(
        "committed never changes",
        `${node.incarnation} recovers a snapshot of ${node.position} commands up to index ${node.lastIndex}, ` +
          `the cluster's command of that number is at index ${
            last?.index ?? "none"
          }`,
      );
    }
  }

  /** The hash of a node's whole state. */
  state(
    node: ObservedNode,
    status: { readonly applied: number; readonly hash?: bigint },
  ): void {
    const { applied, hash } = status;
    if (hash === undefined) return;
    const known = this.#states.get(applied);
    if (known === undefined) {
      this.#states.set(applied, { hash, seenBy: node.incarnation });
    } else if (known.hash !== hash) {
      this.#failed(
        "states equal",
        `after index ${applied} ${node.incarnation} has the hash ${
          hash.toString(16)
        }, ` +
          `${known.seenBy} had ${known.hash.toString(16)}`,
      );
    }
  }

  /** The state that goes into a snapshot, or came from one: it must be that of its place, whoever wrote it. */
  snapshotState(node: ObservedNode, hash: bigint): void {
    const known = this.#snapshotStates.get(node.position);
    if (known === undefined) {
      const seenBy = node.incarnation;
      this.#snapshotStates.set(node.position, { hash, seenBy });
    } else if (known.hash !== hash) {
      this.#failed(
        "states equal",
        `a snapshot of ${node.position} commands has the hash ${
          hash.toString(16)
        } at ${node.incarnation}, and ` +
          `${known.hash.toString(16)} at ${known.seenBy}`,
      );
    }
  }

  /** A write ended with a result: it must have been applied, once, after all that had ended before it began. */
  writeDone(operation: Operation, result: Result): void {
    const command = operation.index === 0
      ? undefined
      : this.#commandAt(operation.index);
    if (command === undefined) {
      this.#failed(
        "acknowledged is applied",
        `operation ${operation.id} was acknowledged, and no node has applied it`,
      );
      return;
    }
    const digest = result.data === undefined ? 0 : digestOf(result.data);
    if (
      command.resultValue !== result.value || command.resultDigest !== digest
    ) {
      this.#failed(
        "results are the machine's",
        `operation ${operation.id} was answered ${result.value}, the state machine said ${command.resultValue}`,
      );
    }
    if (operation.index <= operation.floorIndex) {
      this.#failed(
        "linearizable",
        `operation ${operation.id} took index ${operation.index}, and another at ${operation.floorIndex} ` +
          `had ended before it began`,
      );
    }
    this.#raiseFloor(operation.index);
  }

  /** A read ended: it must reflect all that had ended before it began. */
  readDone(operation: Operation): void {
    if (operation.index < operation.floorIndex) {
      this.#failed(
        "linearizable",
        `the read ${operation.id} reflects index ${operation.index}, and an operation at ${operation.floorIndex} ` +
          `had ended before it began`,
      );
    }
    this.#raiseFloor(operation.index);
  }

  /** A write ended as not applied: it must not have been, and must never be. */
  writeNotApplied(operation: Operation): void {
    if (operation.index !== 0) {
      this.#failed(
        "not applied means never",
        `operation ${operation.id} ended as not applied (${operation.errorCode}), and stands at index ${operation.index}`,
      );
    }
  }

  /** A node told what stands in its log from `firstIndex` on, all of it applied: nothing is missing, and nothing is other. */
  logQueried(
    label: string,
    firstIndex: number,
    entries: readonly LogEntry[],
  ): void {
    entries.forEach(({ index, term, kind, command }, i) => {
      const known = this.#commandAt(index);
      const isCommand = kind === "command";
      const isSame = known !== undefined && isCommand && known.term === term &&
        known.digest === digestOf(command);
      // What a session repeats stands in the log again, and is not applied again.
      const isRepeated = known === undefined && isCommand &&
        (this.#history.operation(operationOf(command))?.session ?? 0) !== 0;
      const isOther = known === undefined && !isCommand;
      const isInPlace = index === firstIndex + i;
      if (isInPlace && (isSame || isRepeated || isOther)) return;
      this.#failed(
        "log queries are the log",
        `${label} tells of a ${kind} at index ${index} of term ${term}, entry ${i} from ${firstIndex} on, and ` +
          (known === undefined
            ? "nothing was applied there"
            : `${known.firstBy} applied a command of term ${known.term} there`),
      );
    });
  }

  #append(
    node: ObservedNode,
    entry: Entry,
    operationId: number,
    digest: number,
  ): void {
    const last = this.#commands[this.#commands.length - 1];
    if (
      last !== undefined &&
      (entry.index <= last.index || entry.term < last.term)
    ) {
      this.#failed(
        "applied in order",
        `${node.incarnation} applies index ${entry.index} of term ${entry.term} after ${last.index} of term ${last.term}`,
      );
    }
    const operation = this.#history.operation(operationId);
    if (operation === undefined || operation.clusterId !== this.clusterId) {
      this.#failed(
        "applied once",
        `${node.incarnation} applies operation ${operationId}, which no client made`,
      );
    } else if (operation.index !== 0) {
      this.#failed(
        operation.session === 0 ? "applied once" : "exactly once in a session",
        `operation ${operationId} stands at index ${operation.index} and at ${entry.index} again`,
      );
    } else {
      operation.index = entry.index;
      operation.appliedUs = this.#nowUs();
      if (operation.isLost) this.#appliedAfterLoss(operation);
      this.#inSession(operation);
      if (operation.status === "notApplied") this.writeNotApplied(operation);
      if (operation.isSettled) this.#appliedTooLate(operation);
    }
    this.#commands.push({
      index: entry.index,
      term: entry.term,
      operationId,
      digest,
      firstBy: node.incarnation,
      resultValue: 0,
      resultDigest: 0,
      hasResult: false,
    });
  }

  #appliedTooLate({ id, index }: Operation): void {
    this.#failed(
      "not applied means never",
      `operation ${id} is applied at index ${index}, and stood in no log when all processes had ended`,
    );
  }

  #appliedAfterLoss({ id, index }: Operation): void {
    this.#failed(
      "rebuilt from the image",
      `operation ${id} is applied at index ${index}, and was lost when the cluster was rebuilt from an image of before`,
    );
  }

  /** A client does one thing after the other, so its session's commands are applied in the order in which it made them. */
  #inSession(operation: Operation): void {
    const { session, id } = operation;
    if (session === 0) return;
    const last = this.#sessions.get(session) ?? 0;
    if (id < last) {
      this.#failed(
        "exactly once in a session",
        `operation ${id} is applied after operation ${last} of the same session`,
      );
    }
    this.#sessions.set(session, id);
  }

  #compare(
    node: ObservedNode,
    entry: Entry,
    known: AppliedCommand,
    digest: number,
  ): void {
    if (
      known.index === entry.index && known.term === entry.term &&
      known.digest === digest
    ) return;
    if (entry.index > known.index && node.lastIndex < known.index) {
      this.#failed(
        "acknowledged never lost",
        `${node.incarnation} goes from index ${node.lastIndex} to ${entry.index}, and ${known.firstBy} applied a ` +
          `command at ${known.index}`,
      );
      return;
    }
    this.#failed(
      "committed never changes",
      `command ${
        node.position + 1
      } is at index ${entry.index} of term ${entry.term} for ${node.incarnation}, ` +
        `and at index ${known.index} of term ${known.term} for ${known.firstBy}`,
    );
  }

  #commandAt(index: number): AppliedCommand | undefined {
    let low = 0;
    let high = this.#commands.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const command = this.#commands[middle]!;
      if (command.index === index) return command;
      if (command.index < index) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  #raiseFloor(index: number): void {
    if (index > this.floorIndex) this.floorIndex = index;
  }

  #failed(check: SimulationFailure["check"], message: string): void {
    this.#fail(
      new SimulationFailure(check, `cluster ${this.clusterId}: ${message}`),
    );
  }
}
