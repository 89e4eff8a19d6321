/** Tells callers that their proposals are committed, before they are applied. It looks at those who asked, and no others. */
import type { ProposalGroup } from "./requests.ts";

/** One proposal whose caller wants to know. */
interface Watched {
  readonly group: ProposalGroup;
  readonly slot: number;
  readonly tell: () => void;
}

/** What a {@link CommitWatch} looks at. */
export interface CommittedLog {
  /** Highest index known to be committed. */
  readonly commit: number;
  /** Term of the entry at an index, if the log has it. */
  termOf(index: number): number | undefined;
}

/** Those of one node. */
export class CommitWatch {
  #watched: Watched[] = [];

  /** Whether anybody wants to know. */
  get hasWork(): boolean {
    return this.#watched.length > 0;
  }

  /** `tell` is called once when the proposal in `slot` of `group` is committed; never once it has ended. */
  add(group: ProposalGroup, slot: number, tell: () => void): void {
    this.#watched.push({ group, slot, tell });
  }

  /** The log may have committed more. */
  look(log: CommittedLog): void {
    const due: Watched[] = [];
    this.#watched = this.#watched.filter((watched) => {
      const { group, slot } = watched;
      if (group.settles[slot] === undefined) return false; // It has ended.
      const index = group.firstIndex + slot;
      // What was forwarded has no place yet, as far as is known here.
      if (group.firstIndex === 0 || index > log.commit) return true;
      // Another term's entry in its place: it will end as dropped.
      if (log.termOf(index) === group.term) due.push(watched);
      return false;
    });
    for (const { tell } of due) tell();
  }
}
