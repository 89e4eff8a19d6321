/**
 * Replaces a member by another one without ever staking the quorum (master decision M1): the new one comes as an
 * observer, which nothing waits for; when its log has caught up it is promoted, and only then the old one is removed.
 * Each step looks at the membership first and holds for that membership alone, so that the call can be made again
 * after any failure, by anybody, and goes on where it was.
 */
import { memberKindOf, memberOf } from "./core/members.ts";
import { decideChange } from "./core/membership.ts";
import type { ConfigChange, Membership } from "./core/types.ts";
import { defaultTimeoutMs } from "./config.ts";
import { RaftError } from "./errors.ts";
import type { HostRuntime } from "./host_runtime.ts";
import { addMember, type Wait } from "./membership_calls.ts";
import type { Node } from "./node.ts";
import { validateId } from "./validation.ts";

/** Which member is to be replaced, and by whom. */
export interface NodeReplacement {
  /** The member to replace: a voter, or an observer. */
  nodeId: number;
  /** The id of the new one, never used before in the cluster. */
  newNodeId: number;
  /** `raftAddress` of the NodeHost that will carry it. */
  address: string;
  /** That NodeHost's id, if it is known already; without it the NodeHost at `address` is asked, so it must be open. */
  nodeHostId?: string;
}

/** How long a replacement may take if the caller does not say: snapshots are sent on the way. */
export const replaceTimeoutMs = 60_000;

/** Checks ids. */
export function validateReplacement(replacement: NodeReplacement): void {
  validateId("newNodeId", replacement.newNodeId);
  if (replacement.newNodeId === replacement.nodeId) {
    throw new RangeError(
      `Cannot use newNodeId: ${replacement.newNodeId} is the node to be replaced, and ids never come back`,
    );
  }
}

/** What is to be done next. */
export type ReplacementStep =
  | "addObserver"
  | "promote"
  | "remove"
  | "done"
  /** Why it cannot be done. */
  | { readonly refusal: string };

/** The next step of a replacement in this membership. */
export function nextStep(
  membership: Membership,
  { nodeId, newNodeId, address }: NodeReplacement,
): ReplacementStep {
  const { removed } = membership;
  const oldKind = memberKindOf(membership, nodeId);
  const newKind = memberKindOf(membership, newNodeId);
  if (removed.includes(newNodeId)) {
    return {
      refusal:
        `node ${newNodeId} was removed and cannot come back, give another newNodeId`,
    };
  }
  const found = memberOf(membership, newNodeId);
  if (found !== undefined && found.address !== address) {
    return { refusal: `node ${newNodeId} is at ${found.address}` };
  }
  if (oldKind === undefined) {
    if (newKind !== undefined && removed.includes(nodeId)) return "done";
    return {
      refusal: removed.includes(nodeId)
        ? `node ${nodeId} was removed already, add the new one with addObserver and addNode`
        : `node ${nodeId} is not a member`,
    };
  }
  if (oldKind === "witness" || newKind === "witness") {
    const witness = oldKind === "witness" ? nodeId : newNodeId;
    return {
      refusal:
        `node ${witness} is a witness: it holds nothing, so remove it and add another with addWitness`,
    };
  }
  if (newKind === undefined) return "addObserver";
  return oldKind === "voter" && newKind === "observer" ? "promote" : "remove";
}

/** Replaces a member; resolves with the membership that has the new one in place of the old one. */
export async function replaceMember(
  runtime: HostRuntime,
  clusterId: number,
  replacement: NodeReplacement,
  wait: Wait,
): Promise<Membership> {
  runtime.requireOpen();
  const node = runtime.node(clusterId);
  const replacer = new Replacer(runtime, node, replacement, wait);
  try {
    return await replacer.run();
  } catch (error) {
    throw await replacer.failed(error);
  }
}

/** One call. */
class Replacer {
  readonly #runtime: HostRuntime;
  readonly #node: Node;
  readonly #replacement: NodeReplacement;
  readonly #signal: AbortSignal | undefined;
  readonly #deadline: number;
  /** What was done so far, for the error. */
  readonly #done: string[] = [];
  /** Why the leader did not take the latest change, or `""`. */
  #refusal = "";
  /** The leader has heard from the new node: it runs. */
  #wasHeard = false;

  constructor(
    runtime: HostRuntime,
    node: Node,
    replacement: NodeReplacement,
    wait: Wait,
  ) {
    this.#runtime = runtime;
    this.#node = node;
    this.#replacement = replacement;
    this.#signal = wait.signal;
    this.#deadline = runtime.ports.clock.now() + wait.timeoutMs;
  }

  async run(): Promise<Membership> {
    for (;;) {
      const membership = await this.#try(() => this.#read(this.#wait()));
      if (membership === undefined) continue;
      const step = nextStep(membership, this.#replacement);
      if (step === "done") return membership;
      if (typeof step === "object") {
        throw new RaftError("rejected", `${this.#what}: ${step.refusal}`);
      }
      const changed = await this.#try(() => this.#take(step, membership));
      if (changed === undefined) continue;
      if (step === "remove") return changed;
    }
  }

  /** What the caller is told: what happened, what was done, and how to go on. */
  async failed(error: unknown): Promise<unknown> {
    const isAborted = this.#signal?.aborted === true;
    const isTimeout = error instanceof RaftError && error.code === "timeout";
    if (!isAborted && !isTimeout && this.#done.length === 0) return error;
    const isGivenUp = (isAborted || (isTimeout && !this.#wasHeard)) &&
      await this.#giveUp();
    if (isAborted && this.#done.length === 0) return error;
    const reason = error instanceof Error ? error.message : String(error);
    const what = this.#what;
    const why = isAborted
      ? "it was aborted"
      : reason.startsWith(what)
      ? reason.slice(what.length + 2)
      : reason;
    const done = this.#done.length === 0
      ? "nothing was changed"
      : this.#done.join(", ");
    const advice = isGivenUp
      ? "its id is used up, so try again with another newNodeId"
      : "the same call goes on from there";
    const code = isAborted
      ? "aborted"
      : error instanceof RaftError
      ? error.code
      : "rejected";
    return new RaftError(code, `${what}: ${why}; ${done}; ${advice}`, {
      cause: isAborted ? this.#signal?.reason : error,
      outcome: this.#done.length === 0 ? "notApplied" : "unknown",
    });
  }

  /** Does one step; undefined if it may have to be tried again, after a look at the membership. */
  async #try<T>(step: () => Promise<T>): Promise<T | undefined> {
    this.#refusal = "";
    try {
      return await step();
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!(error instanceof RaftError) || !this.#isPassing(error)) throw error;
      const { clock } = this.#runtime.ports;
      const leftMs = this.#deadline - clock.now();
      if (leftMs <= 0) throw this.#tooLate(error);
      // A tick, so that what was in the way can pass.
      const { tickMs } = this.#runtime.config;
      await this.#runtime.pause(Math.min(tickMs, leftMs), this.#signal);
      return undefined;
    }
  }

  #isPassing(error: RaftError): boolean {
    switch (error.code) {
      case "timeout":
      case "dropped":
      case "notReady":
      case "busy":
        return true;
      case "rejected":
        // The leader may not have heard from everybody yet, or the membership is no longer the one that was read.
        return this.#refusal === "unsafeChange" ||
          error.message.includes("the membership changed at index");
      default:
        return false;
    }
  }

  #tooLate(error: RaftError): RaftError {
    const why = this.#wasHeard && this.#refusal === "notCaughtUp"
      ? `node ${this.#replacement.newNodeId} has not caught up`
      : this.#refusal === "notHeard"
      ? `the leader has not heard from node ${this.#replacement.newNodeId}: was it started with join: true?`
      : error.message;
    return new RaftError("timeout", `${this.#what}: not in time: ${why}`, {
      cause: error,
    });
  }

  async #take(
    step: "addObserver" | "promote" | "remove",
    membership: Membership,
  ): Promise<Membership> {
    const { nodeId, newNodeId, address, nodeHostId } = this.#replacement;
    const expectedConfigChangeIndex = membership.configChangeIndex;
    const onRefusal = (refusal: string) => {
      this.#refusal = refusal;
      if (refusal === "notCaughtUp") this.#wasHeard = true;
    };
    let changed: Membership;
    if (step === "remove") {
      await this.#handOver();
      changed = await this.#remove(membership, onRefusal);
      this.#done.push(`node ${nodeId} was removed`);
      return changed;
    }
    const isPromotion = step === "promote";
    changed = await addMember(this.#runtime, this.#node.clusterId, {
      type: isPromotion ? "addNode" : "addObserver",
      nodeId: newNodeId,
      address,
      ...(nodeHostId === undefined ? {} : { nodeHostId }),
      expectedConfigChangeIndex,
      whenCaughtUp: isPromotion,
      onRefusal,
    }, isPromotion ? this.#wait() : this.#untilDeadline());
    this.#done.push(
      isPromotion
        ? `node ${newNodeId} was promoted`
        : `node ${newNodeId} was added as an observer`,
    );
    return changed;
  }

  async #remove(
    membership: Membership,
    onRefusal: (refusal: string) => void,
  ): Promise<Membership> {
    const { nodeId } = this.#replacement;
    const removal = this.#removal(nodeId, membership);
    try {
      return await this.#node.change(removal, this.#wait(), onRefusal);
    } catch (error) {
      const isGone = error instanceof RaftError &&
        error.code === "nodeRemoved" && this.#node.nodeId === nodeId;
      if (!isGone) throw error;
      // The others may tell the node here that it was removed before it comes to that entry itself.
      const { peer } = this.#node;
      return decideChange(membership, removal, peer.commit).membership;
    }
  }

  /** A leader that is removed need not lead to the end: the new one has all that it has. Whether it succeeds or not. */
  async #handOver(): Promise<void> {
    const { nodeId, newNodeId } = this.#replacement;
    const { peer } = this.#node;
    const isVoter = memberKindOf(peer.membership(), newNodeId) === "voter";
    if (peer.leaderId !== nodeId || !isVoter) return;
    try {
      await this.#node.transfer(newNodeId, this.#wait());
    } catch {
      this.#signal?.throwIfAborted();
    }
  }

  /**
   * Removes an observer that will not be waited for any longer. Whether its promotion was under way or not, only one of
   * the two can take effect, since both hold for the same membership.
   */
  async #giveUp(): Promise<boolean> {
    const { newNodeId } = this.#replacement;
    const wait = { signal: undefined, timeoutMs: defaultTimeoutMs };
    try {
      const membership = await this.#read(wait);
      if (memberKindOf(membership, newNodeId) !== "observer") return false;
      await this.#node.change(this.#removal(newNodeId, membership), wait);
      this.#done.push(`node ${newNodeId} was removed again`);
      return true;
    } catch {
      return false; // What was done is told; whoever calls again finds the rest.
    }
  }

  #removal(nodeId: number, membership: Membership): ConfigChange {
    return {
      type: "removeNode",
      nodeId,
      address: "",
      nodeHostId: "",
      expectedConfigChangeIndex: membership.configChangeIndex,
    };
  }

  async #read(wait: Wait): Promise<Membership> {
    const { peer } = this.#node;
    return await this.#node.read(() => peer.membership(), wait);
  }

  get #what(): string {
    const { nodeId, newNodeId } = this.#replacement;
    return `Cannot replace node ${nodeId} of cluster ${this.#node.clusterId} by node ${newNodeId}`;
  }

  /**
   * For one attempt. A change that was forwarded to a leader which died is not heard of again, so an attempt is over
   * before the whole call is.
   */
  #wait(): Wait {
    const { electionTimeoutTicks } = this.#node.config;
    const { tickMs } = this.#runtime.config;
    const attemptMs = Math.max(1_000, 4 * electionTimeoutTicks * tickMs);
    const wait = this.#untilDeadline();
    return { ...wait, timeoutMs: Math.min(wait.timeoutMs, attemptMs) };
  }

  #untilDeadline(): Wait {
    const leftMs = this.#deadline - this.#runtime.ports.clock.now();
    return { signal: this.#signal, timeoutMs: Math.max(1, Math.ceil(leftMs)) };
  }
}
