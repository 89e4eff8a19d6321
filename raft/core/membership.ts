/**
 * Membership (thesis 4.1: one member at a time): its formats, and how a change is decided when it is applied. Both
 * formats are replicated or lie on disk, so they are drawn here and the same for everybody (rule R3). Integers are
 * little-endian, texts UTF-8 with a length before them.
 *
 * ```text
 * change:      version (1B) = 1, type (1B): 1 addNode, 2 removeNode, 3 identify
 *              node id (8B), expected change index plus one (8B; 0 for any), address (2B + text), nodeHostId (2B + text)
 * membership:  version (1B) = 1, change index (8B), member count (4B), removed count (4B)
 *              members, ascending: node id (8B), address (2B + text), nodeHostId (2B + text)
 *              removed ids, ascending: node id (8B)
 * ```
 */
import { assert } from "./assert.ts";
import {
  batchHeaderBytes,
  entryHasProposerKey,
  entryHeaderBytes,
  entryKind,
  getUint64,
  proposerKeyBytes,
  setUint64,
} from "./entry_batch.ts";
import { quorumSize } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import type { ConfigChange, EntryBatch, Member, Membership } from "./types.ts";
import type { Refusal } from "./raft.ts";
import { sealBatch } from "./entry_batch.ts";

const formatVersion = 1;
const changeTypes = ["addNode", "removeNode", "identify"] as const;
/** Longest text in either format. */
const textBytesMax = 1_024;

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
  switch (change.type) {
    case "addNode":
      return accept({
        configChangeIndex: index,
        members: [...membership.members, {
          nodeId: change.nodeId,
          address: change.address,
          nodeHostId: change.nodeHostId,
        }].sort((left, right) => left.nodeId - right.nodeId),
        removed: membership.removed,
      });
    case "removeNode":
      return accept({
        configChangeIndex: index,
        members: membership.members.filter((member) =>
          member.nodeId !== change.nodeId
        ),
        removed: [...membership.removed, change.nodeId].sort((left, right) =>
          left - right
        ),
      });
    case "identify":
      // Who carries a member changes nothing about who the members are, so the change index stays (rule I1).
      return accept({
        ...membership,
        members: membership.members.map((member) =>
          member.nodeId === change.nodeId
            ? { ...member, nodeHostId: change.nodeHostId }
            : member
        ),
      });
  }
}

function accept(membership: Membership): ChangeDecision {
  return { membership, accepted: true, reason: "" };
}

/** Why a change cannot take effect, or `""`. */
function refusalReason(membership: Membership, change: ConfigChange): string {
  const { nodeId } = change;
  const member = membership.members.find((other) => other.nodeId === nodeId);
  if (change.type === "identify") {
    if (member === undefined) return `node ${nodeId} is not a member`;
    if (change.nodeHostId === "") return "the NodeHost is not named";
    if (member.nodeHostId === "") return "";
    return member.nodeHostId === change.nodeHostId
      ? ""
      : `node ${nodeId} belongs to NodeHost ${member.nodeHostId}`;
  }
  const expected = change.expectedConfigChangeIndex;
  if (expected !== undefined && expected !== membership.configChangeIndex) {
    return `the membership changed at index ${membership.configChangeIndex}, not ${expected}`;
  }
  if (membership.removed.includes(nodeId)) {
    return `node ${nodeId} was removed and cannot come back`;
  }
  if (change.type === "removeNode") {
    if (member === undefined) return `node ${nodeId} is not a member`;
    return membership.members.length > 1
      ? ""
      : `node ${nodeId} is the only member`;
  }
  if (member !== undefined) return `node ${nodeId} is a member already`;
  if (change.address.trim() === "") return "the address is empty";
  const rival = membership.members.find((other) =>
    isSameAddress(other.address, change.address)
  );
  return rival === undefined
    ? ""
    : `address ${change.address} belongs to node ${rival.nodeId}`;
}

function isSameAddress(left: string, right: string): boolean {
  return left.trim().toLowerCase() === right.trim().toLowerCase();
}

/** Proposes a change as the leader, or says why that would not be safe now (rule C4). */
export function proposeChange(
  raft: Raft,
  change: ConfigChange,
  proposerKey: Uint8Array,
): EntryBatch | Refusal {
  if (raft.role !== "leader") return "notLeader";
  if (raft.transferTarget !== 0) return "transferring";
  // Without both, two changes could be under way at once, and two quorums with nobody in common.
  if (!raft.hasCommittedInTerm()) return "noCommitInTerm";
  if (raft.pendingChangeIndex > raft.log.applied) return "pendingChange";
  if (!isSafeChange(raft, change)) return "unsafeChange";
  const batch = sealBatch(changeEntry(change, proposerKey), {
    term: raft.term,
    firstIndex: raft.log.lastIndex + 1,
    entryCount: 1,
    isConfigChange: true,
  }, raft.config.crc32);
  raft.appendOwn(batch);
  raft.pendingChangeIndex = batch.firstIndex;
  if (change.type === "removeNode" && change.nodeId === raft.nodeId) {
    raft.ownRemovalIndex = batch.firstIndex;
  }
  return batch;
}

/** Whether a quorum of the voters after the change was heard within an election timeout. */
function isSafeChange(raft: Raft, change: ConfigChange): boolean {
  const before = raft.membership;
  const decision = decideChange(before, change, raft.log.lastIndex + 1);
  if (!decision.accepted || change.type === "identify") return true;
  const voters = decision.membership.members;
  // Nobody has heard the second member of a cluster of one; if it counted, such a cluster could never grow.
  if (before.members.length === 1) return true;
  let heardCount = 0;
  for (const voter of voters) {
    const progress = raft.progressOf(voter.nodeId);
    if (progress !== undefined && raft.isActive(progress)) heardCount++;
  }
  return heardCount >= quorumSize(voters.length);
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
  const command = encodeConfigChange(change);
  const keyAt = batchHeaderBytes + entryHeaderBytes;
  const bytes = new Uint8Array(keyAt + proposerKeyBytes + command.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(batchHeaderBytes, entryKind.configChange | entryHasProposerKey);
  view.setUint32(batchHeaderBytes + 1, command.length, true);
  bytes.set(proposerKey, keyAt);
  bytes.set(command, keyAt + proposerKeyBytes);
  return bytes;
}

/** Encodes a change as drawn above. */
export function encodeConfigChange(change: ConfigChange): Uint8Array {
  const address = encodeText(change.address);
  const nodeHostId = encodeText(change.nodeHostId);
  const bytes = new Uint8Array(18 + 4 + address.length + nodeHostId.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, formatVersion);
  view.setUint8(1, changeTypes.indexOf(change.type) + 1);
  setUint64(view, 2, change.nodeId);
  setUint64(view, 10, (change.expectedConfigChangeIndex ?? -1) + 1);
  writeText(bytes, writeText(bytes, 18, address), nodeHostId);
  return bytes;
}

/** Decodes a change; undefined if the bytes are not exactly one. */
export function decodeConfigChange(
  bytes: Uint8Array,
): ConfigChange | undefined {
  const reader = new Reader(bytes);
  const version = reader.uint8();
  const type = changeTypes[reader.uint8() - 1];
  const nodeId = reader.id();
  const expected = reader.integer();
  const address = reader.text();
  const nodeHostId = reader.text();
  if (version !== formatVersion || type === undefined) return undefined;
  if (!reader.isAtEnd()) return undefined;
  return {
    type,
    nodeId,
    address,
    nodeHostId,
    expectedConfigChangeIndex: expected === 0 ? undefined : expected - 1,
  };
}

/** Encodes a membership as drawn above. */
export function encodeMembership(membership: Membership): Uint8Array {
  const members = membership.members.map((member) => ({
    nodeId: member.nodeId,
    address: encodeText(member.address),
    nodeHostId: encodeText(member.nodeHostId),
  }));
  let length = 17 + 8 * membership.removed.length;
  for (const member of members) {
    length += 12 + member.address.length + member.nodeHostId.length;
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, formatVersion);
  setUint64(view, 1, membership.configChangeIndex);
  view.setUint32(9, members.length, true);
  view.setUint32(13, membership.removed.length, true);
  let at = 17;
  for (const member of members) {
    setUint64(view, at, member.nodeId);
    at = writeText(bytes, at + 8, member.address);
    at = writeText(bytes, at, member.nodeHostId);
  }
  for (const nodeId of membership.removed) {
    setUint64(view, at, nodeId);
    at += 8;
  }
  return bytes;
}

/** Decodes a membership; undefined if the bytes are not exactly one. */
export function decodeMembership(bytes: Uint8Array): Membership | undefined {
  const reader = new Reader(bytes);
  const version = reader.uint8();
  const configChangeIndex = reader.integer();
  const memberCount = reader.uint32();
  const removedCount = reader.uint32();
  // A count that the bytes cannot hold must not make us loop or allocate.
  if (version !== formatVersion) return undefined;
  if (memberCount * 12 + removedCount * 8 > bytes.length) return undefined;
  const members: Member[] = [];
  for (let count = 0; count < memberCount; count++) {
    members.push({
      nodeId: reader.id(),
      address: reader.text(),
      nodeHostId: reader.text(),
    });
  }
  const removed: number[] = [];
  for (let count = 0; count < removedCount; count++) removed.push(reader.id());
  if (!reader.isAtEnd()) return undefined;
  if (!isAscending(members.map((member) => member.nodeId))) return undefined;
  if (!isAscending(removed)) return undefined;
  return { configChangeIndex, members, removed };
}

function isAscending(ids: readonly number[]): boolean {
  return ids.every((id, position) =>
    position === 0 || id > (ids[position - 1] as number)
  );
}

function encodeText(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  assert(bytes.length <= textBytesMax, "an address or id must be short");
  return bytes;
}

function writeText(bytes: Uint8Array, at: number, text: Uint8Array): number {
  new DataView(bytes.buffer).setUint16(at, text.length, true);
  bytes.set(text, at + 2);
  return at + 2 + text.length;
}

/** Reads the formats above from bytes that need not be any: a defect is remembered, and nothing throws. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #isDefect = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Whether everything was read, and well. */
  isAtEnd(): boolean {
    return !this.#isDefect && this.#at === this.#bytes.length;
  }

  uint8(): number {
    return this.#take(1) ? this.#view.getUint8(this.#at - 1) : 0;
  }

  uint32(): number {
    return this.#take(4) ? this.#view.getUint32(this.#at - 4, true) : 0;
  }

  integer(): number {
    const value = this.#take(8) ? getUint64(this.#view, this.#at - 8) : 0;
    if (!Number.isSafeInteger(value)) this.#isDefect = true;
    return value;
  }

  id(): number {
    const value = this.integer();
    if (value < 1) this.#isDefect = true;
    return value;
  }

  text(): string {
    const length = this.#take(2) ? this.#view.getUint16(this.#at - 2, true) : 0;
    if (length > textBytesMax || !this.#take(length)) {
      this.#isDefect = true;
      return "";
    }
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
        .decode(this.#bytes.subarray(this.#at - length, this.#at));
    } catch {
      this.#isDefect = true;
      return "";
    }
  }

  #take(length: number): boolean {
    if (this.#isDefect || this.#at + length > this.#bytes.length) {
      this.#isDefect = true;
      return false;
    }
    this.#at += length;
    return true;
  }
}
