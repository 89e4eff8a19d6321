/**
 * Membership (thesis chapter 4: one member at a time): how a change is proposed, and how it is decided when it is
 * applied. What each kind of member does stands where it is done; what nobody may become is decided here.
 */
import { assert } from "./assert.ts";
import {
  batchHeaderBytes,
  entryHasProposerKey,
  entryHeaderBytes,
  entryKind,
  proposerKeyBytes,
  sealBatch,
} from "./entry_batch.ts";
import {
  allMembers,
  memberKindOf,
  memberOf,
  votingMembers,
} from "./members.ts";
import { decodeConfigChange, encodeConfigChange } from "./membership_format.ts";
import { quorumSize } from "./quorum.ts";
import type { Raft, Refusal } from "./raft.ts";
import type {
  ConfigChange,
  EntryBatch,
  Identification,
  Member,
  Membership,
} from "./types.ts";

/** What became of a change when it was applied. */
export interface ChangeDecision {
  /** The membership from here on; the old one if the change was refused. */
  readonly membership: Membership;
  /** Whether the change took effect. */
  readonly accepted: boolean;
  /** Why not, as the end of a sentence; `""` if it was accepted. */
  readonly reason: string;
}

/**
 * Decides a change that stands at `index` in the log. Every node comes to the same decision, since it depends on the
 * membership before it alone.
 */
export function decideChange(
  membership: Membership,
  change: ConfigChange,
  index: number,
): ChangeDecision {
  assert(
    membership.members.length > 0,
    "a change must not be decided without the members before it",
  );
  const reason = refusalReason(membership, change);
  if (reason !== "") return { membership, accepted: false, reason };
  return {
    membership: changed(membership, change, index),
    accepted: true,
    reason,
  };
}

/** The membership with a change that may take effect. */
function changed(
  membership: Membership,
  change: ConfigChange,
  index: number,
): Membership {
  const { members, observers, witnesses, removed } = membership;
  const { nodeId } = change;
  if (change.type === "identify") {
    // Who carries a member changes nothing about who the members are, so the change index stays (rule I1).
    const named = identified(change);
    const identify = (kind: readonly Member[]) =>
      kind.map((member) => {
        const found = named.find((one) => one.nodeId === member.nodeId);
        return found === undefined
          ? member
          : { ...member, nodeHostId: found.nodeHostId };
      });
    return {
      ...membership,
      members: identify(members),
      observers: identify(observers),
      witnesses: identify(witnesses),
    };
  }
  const rest = (kind: readonly Member[]) =>
    kind.filter((member) => member.nodeId !== nodeId);
  const others = {
    configChangeIndex: index,
    members: rest(members),
    observers: rest(observers),
    witnesses: rest(witnesses),
    removed,
  };
  const known = memberOf(membership, nodeId);
  const added: Member = known === undefined
    ? { nodeId, address: change.address, nodeHostId: change.nodeHostId }
    : { ...known, nodeHostId: known.nodeHostId || change.nodeHostId };
  switch (change.type) {
    case "addNode":
      return { ...others, members: inOrder([...others.members, added]) };
    case "addObserver":
      return { ...others, observers: inOrder([...others.observers, added]) };
    case "addWitness":
      return { ...others, witnesses: inOrder([...others.witnesses, added]) };
    case "removeNode":
      return {
        ...others,
        removed: [...removed, nodeId].sort((left, right) => left - right),
      };
  }
}

function inOrder(members: Member[]): Member[] {
  return members.sort((left, right) => left.nodeId - right.nodeId);
}

/** Why a change cannot take effect, or `""`. */
function refusalReason(membership: Membership, change: ConfigChange): string {
  if (change.type === "identify") {
    return identified(change).map((one) =>
      identityRefusal(membership, one.nodeId, one.nodeHostId)
    ).find((reason) => reason !== "") ?? "";
  }
  const { nodeId } = change;
  const member = memberOf(membership, nodeId);
  const expected = change.expectedConfigChangeIndex;
  if (expected !== undefined && expected !== membership.configChangeIndex) {
    return `the membership changed at index ${membership.configChangeIndex}, not ${expected}`;
  }
  if (membership.removed.includes(nodeId)) {
    return `node ${nodeId} was removed and cannot come back`;
  }
  if (change.type === "removeNode") {
    if (member === undefined) return `node ${nodeId} is not a member`;
    return membership.members.length === 1 && membership.members[0] === member
      ? `node ${nodeId} is the only voter`
      : "";
  }
  if (change.address.trim() === "") return "the address is empty";
  return member === undefined
    ? addressRefusal(membership, change.address)
    : kindRefusal(membership, change, member);
}

/** The members that an `identify` names. */
function identified(change: ConfigChange): readonly Identification[] {
  const { nodeId, nodeHostId, also } = change;
  const first = { nodeId, nodeHostId };
  return also === undefined ? [first] : [first, ...also];
}

/** Why a member cannot be said to live on a NodeHost, or `""`. */
function identityRefusal(
  membership: Membership,
  nodeId: number,
  nodeHostId: string,
): string {
  const member = memberOf(membership, nodeId);
  if (member === undefined) return `node ${nodeId} is not a member`;
  if (nodeHostId === "") return "the NodeHost is not named";
  return ownerRefusal(member, nodeHostId);
}

/** Why a member cannot become what the change wants. An observer can become a voter, where it is; that is all. */
function kindRefusal(
  membership: Membership,
  change: ConfigChange,
  member: Member,
): string {
  const { nodeId, type } = change;
  const kind = memberKindOf(membership, nodeId);
  if (kind === "voter" && type === "addNode") {
    return `node ${nodeId} is a member already`;
  }
  if (kind === "observer" && type === "addNode") {
    if (!isSameAddress(member.address, change.address)) {
      return `node ${nodeId} is an observer at ${member.address}, and is promoted there or nowhere`;
    }
    return change.nodeHostId === ""
      ? ""
      : ownerRefusal(member, change.nodeHostId);
  }
  const wanted = type === "addNode"
    ? "a voter"
    : type === "addObserver"
    ? "an observer"
    : "a witness";
  const found = kind === "observer" ? "an observer" : `a ${kind}`;
  return found === wanted
    ? `node ${nodeId} is ${found} already`
    : `node ${nodeId} is ${found} and cannot become ${wanted}`;
}

function ownerRefusal(member: Member, nodeHostId: string): string {
  return member.nodeHostId === "" || member.nodeHostId === nodeHostId
    ? ""
    : `node ${member.nodeId} belongs to NodeHost ${member.nodeHostId}`;
}

function addressRefusal(membership: Membership, address: string): string {
  const rival = allMembers(membership).find((other) =>
    isSameAddress(other.address, address)
  );
  return rival === undefined
    ? ""
    : `address ${address} belongs to node ${rival.nodeId}`;
}

function isSameAddress(left: string, right: string): boolean {
  return left.trim().toLowerCase() === right.trim().toLowerCase();
}

/** Why no change at all can be proposed now, or undefined. */
export function tooEarly(raft: Raft): Refusal | undefined {
  if (raft.role !== "leader") return "notLeader";
  if (raft.transferTarget !== 0) return "transferring";
  // Without both, two changes could be under way at once, and two quorums with nobody in common.
  if (!raft.hasCommittedInTerm()) return "noCommitInTerm";
  if (raft.pendingChangeIndex > raft.log.applied) return "pendingChange";
  return undefined;
}

/** Proposes a change as the leader, or says why that would not be safe now (rule C4). */
export function proposeChange(
  raft: Raft,
  change: ConfigChange,
  proposerKey: Uint8Array,
): EntryBatch | Refusal {
  const early = tooEarly(raft);
  if (early !== undefined) return early;
  const lag = change.whenCaughtUp === true ? lagOf(raft, change.nodeId) : "";
  if (lag !== "") return lag;
  if (change.force !== true && !isSafeChange(raft, change)) {
    return "unsafeChange";
  }
  const batch = sealBatch(changeEntry(change, proposerKey), {
    term: raft.term,
    firstIndex: raft.log.lastIndex + 1,
    entryCount: 1,
    isConfigChange: true,
  }, raft.config.crc32);
  raft.lease.end(); // Its quorum may be another one from here on (rule C8).
  raft.appendOwn(batch);
  raft.pendingChangeIndex = batch.firstIndex;
  if (change.type === "removeNode" && change.nodeId === raft.nodeId) {
    raft.ownRemovalIndex = batch.firstIndex;
  } else noteLeaving(raft, change, batch.firstIndex);
  return batch;
}

/** Remembers that another voter's removal stands at `index`: from here on it is told less (rule C9). */
function noteLeaving(raft: Raft, change: ConfigChange, index: number): void {
  if (change.type !== "removeNode") return;
  if (raft.progressOf(change.nodeId)?.kind !== "voter") return;
  raft.leavingId = change.nodeId;
  raft.leavingIndex = index;
  raft.leavingLimit = 0;
}

/**
 * A leader that has just been elected looks for a removal in its log that is not applied yet, its own or another voter's:
 * of its last term, or an earlier leader's.
 */
export function findRemoval(raft: Raft): void {
  raft.ownRemovalIndex = 0;
  raft.leavingId = 0;
  for (const index of raft.log.unappliedChanges()) {
    const run = raft.log.run({ index, limit: index, maxBytes: 1 });
    const change = run === undefined
      ? undefined
      : changeIn(run.batches[0] as EntryBatch);
    if (change?.type !== "removeNode") continue;
    if (change.nodeId === raft.nodeId) raft.ownRemovalIndex = index;
    else noteLeaving(raft, change, index);
  }
}

/** The change that a batch is. */
function changeIn(batch: EntryBatch): ConfigChange | undefined {
  const { bytes } = batch;
  const kind = bytes[batchHeaderBytes] as number;
  let at = batchHeaderBytes + entryHeaderBytes;
  if ((kind & entryHasProposerKey) !== 0) at += proposerKeyBytes;
  return decodeConfigChange(bytes.subarray(at));
}

/** Whether a quorum of the voters after the change was heard within an election timeout. */
function isSafeChange(raft: Raft, change: ConfigChange): boolean {
  const before = raft.membership;
  const decision = decideChange(before, change, raft.log.lastIndex + 1);
  if (!decision.accepted || change.type === "identify") return true;
  const voters = votingMembers(decision.membership);
  const votersBefore = votingMembers(before);
  // Observers come and go without a word from anybody.
  if (voters.length === votersBefore.length) return true;
  // Nobody has heard the second member of a cluster of one; if it counted, such a cluster could never grow.
  const isUnknown = raft.progressOf(change.nodeId) === undefined;
  if (votersBefore.length === 1 && isUnknown) return true;
  let heardCount = 0;
  for (const voter of voters) {
    const progress = raft.progressOf(voter.nodeId);
    if (progress !== undefined && raft.isActive(progress)) heardCount++;
  }
  return heardCount >= quorumSize(voters.length);
}

/**
 * Why an observer should not be promoted yet, or `""`. It has caught up if it holds all that is committed, or if the
 * last round of entries reached it within an election timeout: then so will the rest (thesis 4.2.1).
 */
function lagOf(raft: Raft, nodeId: number): "" | "notHeard" | "notCaughtUp" {
  const progress = raft.progressOf(nodeId);
  if (progress?.kind !== "observer") return ""; // Whatever it is, waiting changes nothing.
  if (!raft.isActive(progress)) return "notHeard";
  return progress.hasCaughtUp({
      commit: raft.log.commit,
      lastIndex: raft.log.lastIndex,
      tick: raft.leaderTicks,
      roundTicks: raft.config.electionTimeoutTicks,
    })
    ? ""
    : "notCaughtUp";
}

/** A batch, not yet sealed, whose only entry is the change. */
function changeEntry(
  change: ConfigChange,
  proposerKey: Uint8Array,
): Uint8Array {
  if (proposerKey.length !== proposerKeyBytes) {
    throw new RangeError(
      `Cannot propose a membership change: the proposer key has ${proposerKey.length} bytes`,
    );
  }
  // What concerns the leader alone need not be remembered.
  const command = encodeConfigChange({
    type: change.type,
    nodeId: change.nodeId,
    address: change.address,
    nodeHostId: change.nodeHostId,
    expectedConfigChangeIndex: change.expectedConfigChangeIndex,
    ...(change.also === undefined ? {} : { also: change.also }),
  });
  const keyAt = batchHeaderBytes + entryHeaderBytes;
  const bytes = new Uint8Array(keyAt + proposerKeyBytes + command.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(batchHeaderBytes, entryKind.configChange | entryHasProposerKey);
  view.setUint32(batchHeaderBytes + 1, command.length, true);
  bytes.set(proposerKey, keyAt);
  bytes.set(command, keyAt + proposerKeyBytes);
  return bytes;
}
