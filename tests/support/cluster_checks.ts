/**
 * The five properties of the paper's figure 3, checked step by step. Each check looks only at what the step
 * changed: batches as they are written, commit and leadership as they advance.
 */
import { assert } from "../../raft/core/assert.ts";
import { hasPayloads } from "../../raft/core/entry_batch.ts";
import type { EntryBatch } from "../../raft/core/types.ts";
import { crc32 } from "./entries.ts";
import type { CoreNode } from "./core_cluster.ts";

/** What the cluster as a whole has done so far. */
export class ClusterChecks {
  /** The one leader of each term. */
  #leaders = new Map<number, number>();
  /** The one batch that begins at an index in a term; without payloads, of which witnesses hold none, crc 0. */
  #batches = new Map<string, { crc: number; lastIndex: number }>();
  /** The term of the entry before such a batch. */
  #termsBefore = new Map<string, number>();
  /** Term of the entry that was committed at an index. */
  #committedTerms: (number | undefined)[] = [0];
  /** Term in which that was first seen. */
  #commitTerms: number[] = [0];
  /** Checksum of the command that was applied at an index. */
  #applied: (number | undefined)[] = [];

  readonly #nodes: ReadonlyMap<number, CoreNode>;
  /** By term, up to where a quorum was seen to hold what the leader committed. */
  #heldTo = new Map<number, number>();

  /** Nothing was done yet by these nodes. */
  constructor(nodes: ReadonlyMap<number, CoreNode>) {
    this.#nodes = nodes;
  }

  /** Highest index that any node knows to be committed. */
  get committedIndex(): number {
    return this.#committedTerms.length - 1;
  }

  /** Highest term that had a leader. */
  get termCount(): number {
    return this.#leaders.size;
  }

  /** What later checks depend on, as plain values. */
  fingerprint(): unknown[] {
    const sorted = <Value>(map: Map<string | number, Value>) =>
      [...map].sort(([a], [b]) => a < b ? -1 : 1);
    return [
      sorted(this.#leaders),
      sorted(this.#batches),
      sorted(this.#termsBefore),
      this.#committedTerms,
      this.#commitTerms,
      this.#applied,
    ];
  }

  /** Log matching (paper 5.3): one batch for each first index and term. */
  appended(batches: readonly EntryBatch[]): void {
    for (const batch of batches) {
      const key = `${batch.firstIndex}@${batch.term}`;
      const crc = hasPayloads(batch) ? crc32(batch.bytes) : 0;
      const known = this.#batches.get(key);
      if (known === undefined) {
        this.#batches.set(key, { crc, lastIndex: batch.lastIndex });
        continue;
      }
      assert(
        known.lastIndex === batch.lastIndex,
        "logs must match: same index, same term",
      );
      if (known.crc === 0) known.crc = crc;
      assert(
        known.crc === crc || crc === 0,
        "logs must match: same index, same term",
      );
    }
  }

  /** Everything that one step of one node can break. */
  stepped(node: CoreNode): void {
    const core = node.core;
    if (core.isLeader()) {
      this.#checkLeader(node);
      this.#checkQuorum(node);
    }
    this.#checkLog(node);
    this.#checkCommit(node);
  }

  /** State machine safety (paper 5.4.3). */
  applied(index: number, command: Uint8Array): void {
    const crc = crc32(command);
    const known = this.#applied[index];
    assert(
      known === undefined || known === crc,
      "no two nodes may apply different entries at one index",
    );
    this.#applied[index] = crc;
  }

  /** Election safety (paper 5.2) and leader completeness (paper 5.4). */
  #checkLeader(node: CoreNode): void {
    const core = node.core;
    const known = this.#leaders.get(core.term);
    assert(
      known === undefined || known === node.nodeId,
      "a term must have one leader",
    );
    if (known !== undefined) return;
    this.#leaders.set(core.term, node.nodeId);
    // What later terms have committed, a leader that is elected belatedly need not hold.
    let committed = this.committedIndex;
    while ((this.#commitTerms[committed] as number) >= core.term) committed--;
    assert(
      core.lastIndex > committed,
      "a leader must hold every committed entry",
    );
    const term = this.#termAt(node, committed);
    assert(
      isSameTerm(term, this.#committedTerms[committed]),
      "a leader must hold every committed entry",
    );
  }

  /**
   * What a leader commits lies on the disks of a majority of voters and witnesses, and with payloads on one: observers do
   * not count, and witnesses alone are not enough (rule C9).
   */
  #checkQuorum(node: CoreNode): void {
    const { commit, term } = node.core;
    if (commit <= (this.#heldTo.get(term) ?? 0)) return;
    // A new leader knows of commits that it has not made.
    const wasNew = !this.#heldTo.has(term);
    this.#heldTo.set(term, commit);
    if (wasNew || node.core.lastIndex < commit) return;
    const entryTerm = this.#termAt(node, commit);
    const membership = node.core.membership();
    const holds = ({ nodeId }: { nodeId: number }) =>
      this.#nodes.get(nodeId)?.disk.termOf(commit) === entryTerm;
    const voting = [...membership.members, ...membership.witnesses];
    // Those who are not part of the test hold whatever it says.
    const isStarted = ({ nodeId }: { nodeId: number }) =>
      (this.#nodes.get(nodeId)?.incarnation ?? 0) > 0;
    if (!voting.every(isStarted)) return;
    assert(
      voting.filter(holds).length * 2 > voting.length,
      "what is committed is held by a majority of those who vote",
    );
    assert(
      membership.members.some(holds),
      "what is committed is held in full by one who may lead",
    );
  }

  /** Log matching, between neighbours: the entry before a batch is the same in every log that has the batch. */
  #checkLog(node: CoreNode): void {
    const batch = node.writes.at(-1)?.update.records?.batches[0];
    if (batch === undefined) return;
    const before = this.#termAt(node, batch.firstIndex - 1);
    if (before === undefined) return;
    const key = `${batch.firstIndex}@${batch.term}`;
    const known = this.#termsBefore.get(key);
    assert(
      known === undefined || known === before,
      "logs must match before a batch that they share",
    );
    this.#termsBefore.set(key, before);
  }

  #checkCommit(node: CoreNode): void {
    const { commit } = node.core;
    const term = this.#termAt(node, commit);
    if (commit <= this.committedIndex) {
      assert(
        isSameTerm(term, this.#committedTerms[commit]),
        "what is committed must never change",
      );
      return;
    }
    for (let index = this.committedIndex + 1; index <= commit; index++) {
      // Unknown only if a snapshot of a leader that is not part of the test covers it.
      this.#committedTerms[index] = this.#termAt(node, index);
      this.#commitTerms[index] = node.core.term;
    }
  }

  /** Term of an entry in a node's log, written or not; undefined if it is compacted. */
  #termAt(node: CoreNode, index: number): number | undefined {
    for (const write of node.writes.toReversed()) {
      const { records, snapshot } = write.update;
      for (const batch of (records?.batches ?? []).toReversed()) {
        if (batch.firstIndex <= index && index <= batch.lastIndex) {
          return batch.term;
        }
      }
      if (snapshot?.index === index) return snapshot.term;
      if (snapshot !== undefined && index < snapshot.index) return undefined;
    }
    return node.disk.termOf(index);
  }
}

/** Whether two terms are the same, as far as both are known. */
function isSameTerm(
  left: number | undefined,
  right: number | undefined,
): boolean {
  return left === undefined || right === undefined || left === right;
}
