/**
 * What a witness has in place of a state machine and snapshots (rule C9): nothing. It stores the headers of batches and
 * membership changes, and now and then notes in its log how far it has come and who the members are there; that note is
 * all the snapshot it has, and all that is sent to one that is behind.
 */
import { RaftError } from "./errors.ts";
import type { StateMachine } from "./state_machine.ts";

/** Entries after which a witness notes where it stands, and forgets the headers before. */
export const witnessNoteEntries = 1_000;

/** Stands where others have a state machine. */
export const noStateMachine: StateMachine = {
  update: () => ({ value: 0 }),
  lookup: () => undefined,
  saveSnapshot: () => Promise.resolve(),
  recoverFromSnapshot: () => Promise.resolve(),
};

/** Why a witness does not do what it is asked. */
export function witnessRefusal(clusterId: number, nodeId: number): RaftError {
  return new RaftError(
    "rejected",
    `Cannot use cluster ${clusterId} here: node ${nodeId} is a witness, which has no state machine; ask a NodeHost ` +
      `that carries a voter or an observer`,
  );
}
