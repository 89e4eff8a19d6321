/**
 * What damage leaves in doubt, node by node, and what is made of it when the log was read to its end (rule L7; after
 * Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST '18).
 *
 * A record that cannot be read may have held anything of the nodes that it names, of all nodes if nobody can tell which.
 * What stood in the log before it and was committed by then cannot have changed. What comes behind it says some things
 * again: a hard state is always whole; a batch cuts off all that stands at and behind its first index; a checkpoint tells
 * where the log ends. So the doubt about a node shrinks as the log is read on:
 *
 * ```text
 *   committed before | doubt: from ... to | said again by later batches
 * ```
 *
 * At the end: if its vote is still in doubt, or an entry above what is provably committed, the node is lost, since it may
 * have promised what it does not know any more. Otherwise what is left of the doubt is committed, and every member that
 * knows so can send it again.
 */
import type { LogDamage } from "../log_store.ts";
import type { LogBounds, WalNodeLog } from "./node_log.ts";
import type { NodeTable } from "./node_table.ts";

interface Doubt {
  /** First index in doubt. */
  from: number;
  /** Last index in doubt; infinite until something behind the damage tells. */
  to: number;
  /** Term and vote are in doubt. */
  isBallot: boolean;
  /** What was copied forward, or mended, behind the damage: it is what the log held then. */
  copied: { readonly first: number; readonly last: number }[];
  readonly reason: string;
}

/** The node that stands for those that damage may have hidden. */
export const hiddenNode = { clusterId: 0, nodeId: 0 } as const;

/** The doubts about all nodes of a log that is being read. */
export class Doubts {
  readonly #nodes: NodeTable;
  readonly #doubts = new Map<WalNodeLog, Doubt>();
  /** Damage that may have held nodes of which nothing else is known. */
  #hidden: string | undefined;

  /** No doubts yet. */
  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }

  /** Whether there is any. */
  get any(): boolean {
    return this.#doubts.size > 0 || this.#hidden !== undefined;
  }

  /** A record is damaged that names these nodes. */
  damaged(nodes: Iterable<WalNodeLog>, reason: string): void {
    for (const node of nodes) this.#doubt(node, reason);
  }

  /** A record is damaged, and nobody can tell which nodes it named. */
  allDamaged(reason: string): void {
    this.damaged([...this.#nodes.all], reason);
    this.#hidden ??= reason;
  }

  /** A node comes up of which nothing was known. */
  met(node: WalNodeLog): void {
    if (this.#hidden !== undefined) this.#doubt(node, this.#hidden);
  }

  /** A hard state follows. */
  ballotSeen(node: WalNodeLog): void {
    const doubt = this.#doubts.get(node);
    if (doubt !== undefined) doubt.isBallot = false;
  }

  /** A batch follows that begins at `index`, or a snapshot before it that empties the log. */
  restatedFrom(node: WalNodeLog, index: number): void {
    const doubt = this.#doubts.get(node);
    if (doubt !== undefined) doubt.to = Math.min(doubt.to, index - 1);
  }

  /** Batches follow that were copied from an older place, or fetched from another member. */
  copiedSeen(node: WalNodeLog, first: number, last: number): void {
    this.#doubts.get(node)?.copied.push({ first, last });
  }

  /** A checkpoint follows that names a node. */
  checkpointed(node: WalNodeLog, bounds: LogBounds): void {
    this.ballotSeen(node);
    this.restatedFrom(node, bounds.lastIndex + 1);
  }

  /** A whole checkpoint was read: it names all nodes there are. */
  allNamed(): void {
    this.#hidden = undefined;
  }

  /** A node was removed. */
  removed(node: WalNodeLog): void {
    this.#doubts.delete(node);
  }

  /** Decides, and tells each node what damage took from it. Returns whether that is more than was known. */
  judge(): boolean {
    let isNews = this.#hidden !== undefined;
    for (const [node, doubt] of this.#doubts) {
      const found = joined(verdictOn(node, doubt), missingOf(node, doubt));
      const known = node.damage();
      const damage = joined(known, found);
      if (damage === undefined || isSame(damage, known)) continue;
      // What a snapshot covers is compacted instead; that record may be what was damaged.
      if (known === undefined && node.compactOver(damage)) continue;
      isNews = true;
      node.isWritten = true;
      node.setDamage(damage);
    }
    this.#doubts.clear();
    if (this.#hidden === undefined) return isNews;
    const { clusterId, nodeId } = hiddenNode;
    const hidden = this.#nodes.obtain(clusterId, nodeId);
    hidden.isWritten = true;
    hidden.setDamage(lost(this.#hidden));
    this.#hidden = undefined;
    return isNews;
  }

  #doubt(node: WalNodeLog, reason: string): void {
    const known = this.#doubts.get(node);
    // What was committed by now stays as it is, and so does the batch that holds the last of it (rule B1).
    const base = Math.max(
      node.hardState()?.commit ?? 0,
      node.bounds.compactedIndex,
    );
    const from = node.endOfBatchWith(base) + 1;
    if (known === undefined) {
      this.#doubts.set(node, {
        from,
        to: Infinity,
        isBallot: true,
        copied: [],
        reason,
      });
      return;
    }
    known.from = Math.min(known.from, from);
    known.copied = [];
    known.to = Infinity;
    known.isBallot = true;
  }
}

function lost(reason: string): LogDamage {
  return { kind: "lost", firstIndex: 0, lastIndex: 0, reason };
}

function verdictOn(node: WalNodeLog, doubt: Doubt): LogDamage | undefined {
  const { reason, isBallot } = doubt;
  // Nor does it take part if what it began with is gone.
  if (isBallot || node.bootstrap() === undefined) return lost(reason);
  // The batch with the last entry that was committed then may have been found only later, where it was copied to.
  const firstIndex = Math.max(
    node.endOfBatchWith(doubt.from - 1) + 1,
    node.bounds.compactedIndex + 1,
  );
  const left = withoutCopied(doubt, firstIndex);
  if (left.firstIndex > left.lastIndex) return undefined; // All of it was said again.
  return entriesOrLost(node, left, reason);
}

/** What is left of a doubt from `firstIndex` on, without what was copied at its ends. */
function withoutCopied(
  { to, copied }: Doubt,
  firstIndex: number,
): { firstIndex: number; lastIndex: number } {
  let lastIndex = to;
  const ascending = copied.toSorted((a, b) => a.first - b.first);
  for (const { first, last } of ascending) {
    if (first <= firstIndex) firstIndex = Math.max(firstIndex, last + 1);
  }
  for (const { first, last } of ascending.reverse()) {
    if (last >= lastIndex) lastIndex = Math.min(lastIndex, first - 1);
  }
  return { firstIndex, lastIndex };
}

function isSame(a: LogDamage, b: LogDamage | undefined): boolean {
  return a.kind === b?.kind && a.firstIndex === b.firstIndex &&
    a.lastIndex === b.lastIndex;
}

/** What is not there although it should be: the damaged record may have held older entries that were copied forward. */
function missingOf(
  node: WalNodeLog,
  { reason }: Doubt,
): LogDamage | undefined {
  const missing = node.missing();
  if (missing === undefined) return undefined;
  return entriesOrLost(node, missing, reason);
}

function entriesOrLost(
  node: WalNodeLog,
  range: { firstIndex: number; lastIndex: number },
  reason: string,
): LogDamage {
  const commit = Math.max(
    node.hardState()?.commit ?? 0,
    node.snapshot()?.index ?? 0,
  );
  return range.lastIndex > commit
    ? lost(reason)
    : { kind: "entries", ...range, reason };
}

/** Two losses of one node together. */
function joined(
  before: LogDamage | undefined,
  found: LogDamage | undefined,
): LogDamage | undefined {
  if (before === undefined || found === undefined) return found ?? before;
  if (before.kind === "lost") return before;
  if (found.kind === "lost") return found;
  return {
    ...found,
    firstIndex: Math.min(before.firstIndex, found.firstIndex),
    lastIndex: Math.max(before.lastIndex, found.lastIndex),
  };
}
