/**
 * The bytes of memberships and their changes. Both are replicated or lie on disk, so they are drawn here and the same
 * for everybody (rule R3). Integers are little-endian, texts UTF-8 with a length before them. What the first version can
 * say is said in it, so that whoever knows no more still reads it; the second is for what only it can say.
 *
 * ```text
 * change       version (1B) = 1, type (1B): 1 addNode, 2 removeNode, 3 identify
 *              node id (8B), expected change index plus one (8B; 0 for any), address (2B + text), nodeHostId (2B + text)
 * change       version (1B) = 2, type (1B): 1 to 3, 4 addObserver, 5 addWitness
 *              flags (1B): bit 0 force, bit 1 whenCaughtUp, bit 2 also (of identify only); at least one, or a type above 3
 *              node id and the rest as in version 1
 *              with bit 2: count (2B; at least 1), and of so many members, ascending behind the first: node id (8B),
 *              nodeHostId (2B + text)
 * membership   version (1B) = 1, change index (8B), voter count (4B), removed count (4B)
 *              voters, ascending: node id (8B), address (2B + text), nodeHostId (2B + text)
 *              removed ids, ascending: node id (8B)
 * membership   version (1B) = 2, change index (8B), voter count (4B), observer count (4B), witness count (4B),
 *              removed count (4B); at least one observer or witness
 *              voters, observers, witnesses, removed ids, each as in version 1
 * ```
 */
import { assert } from "./assert.ts";
import { getUint64, setUint64 } from "./entry_batch.ts";
import type {
  ConfigChange,
  Identification,
  Member,
  Membership,
} from "./types.ts";

const changeTypes = [
  "addNode",
  "removeNode",
  "identify",
  "addObserver",
  "addWitness",
] as const;
/** Types that the first version knows. */
const firstTypeCount = 3;
const flagForce = 1;
const flagWhenCaughtUp = 2;
const flagAlso = 4;
const flagsKnown = flagForce | flagWhenCaughtUp | flagAlso;
const noMembers: readonly Identification[] = [];
/** Longest text in either format. */
const textBytesMax = 1_024;

/** Whether a change can only be said in the second version. */
export function needsChangeVersion2(change: ConfigChange): boolean {
  return change.force === true || change.whenCaughtUp === true ||
    (change.also ?? noMembers).length > 0 ||
    changeTypes.indexOf(change.type) >= firstTypeCount;
}

/** Encodes a change as drawn above. */
export function encodeConfigChange(change: ConfigChange): Uint8Array {
  const address = encodeText(change.address);
  const nodeHostId = encodeText(change.nodeHostId);
  const type = changeTypes.indexOf(change.type) + 1;
  const also = (change.also ?? noMembers).map((member) => ({
    nodeId: member.nodeId,
    nodeHostId: encodeText(member.nodeHostId),
  }));
  const flags = (change.force === true ? flagForce : 0) |
    (change.whenCaughtUp === true ? flagWhenCaughtUp : 0) |
    (also.length > 0 ? flagAlso : 0);
  const isFirst = !needsChangeVersion2(change);
  let at = isFirst ? 2 : 3;
  let length = at + 16 + 4 + address.length + nodeHostId.length;
  if (also.length > 0) length += 2;
  for (const member of also) length += 10 + member.nodeHostId.length;
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, isFirst ? 1 : 2);
  view.setUint8(1, type);
  if (!isFirst) view.setUint8(2, flags);
  setUint64(view, at, change.nodeId);
  setUint64(view, at + 8, (change.expectedConfigChangeIndex ?? -1) + 1);
  at = writeText(bytes, at + 16, address);
  at = writeText(bytes, at, nodeHostId);
  if (also.length === 0) return bytes;
  view.setUint16(at, also.length, true);
  at += 2;
  for (const member of also) {
    setUint64(view, at, member.nodeId);
    at = writeText(bytes, at + 8, member.nodeHostId);
  }
  return bytes;
}

/** Decodes a change; undefined if the bytes are not exactly one. */
export function decodeConfigChange(
  bytes: Uint8Array,
): ConfigChange | undefined {
  const reader = new Reader(bytes);
  const version = reader.uint8();
  if (version !== 1 && version !== 2) return undefined;
  const typeByte = reader.uint8();
  const type = changeTypes[typeByte - 1];
  const flags = version === 1 ? 0 : reader.uint8();
  const nodeId = reader.id();
  const expected = reader.integer();
  const address = reader.text();
  const nodeHostId = reader.text();
  if (flags > flagsKnown) return undefined;
  const also = (flags & flagAlso) === 0
    ? noMembers
    : reader.identifications(reader.uint16());
  if (type === undefined || !reader.isAtEnd()) return undefined;
  if ((flags & flagAlso) !== 0) {
    if (type !== "identify" || also.length === 0) return undefined;
    if (!isAscending([nodeId, ...also.map((member) => member.nodeId)])) {
      return undefined;
    }
  }
  // One change has one encoding.
  const isFirst = typeByte <= firstTypeCount && flags === 0;
  if (isFirst !== (version === 1)) return undefined;
  return {
    type,
    nodeId,
    address,
    nodeHostId,
    expectedConfigChangeIndex: expected === 0 ? undefined : expected - 1,
    ...(also.length === 0 ? {} : { also }),
    ...((flags & flagForce) === 0 ? {} : { force: true }),
    ...((flags & flagWhenCaughtUp) === 0 ? {} : { whenCaughtUp: true }),
  };
}

/** Encodes a membership as drawn above. */
export function encodeMembership(membership: Membership): Uint8Array {
  const { configChangeIndex, observers, witnesses, removed } = membership;
  const isFirst = observers.length === 0 && witnesses.length === 0;
  const kinds = [membership.members, observers, witnesses].map((members) =>
    members.map((member) => ({
      nodeId: member.nodeId,
      address: encodeText(member.address),
      nodeHostId: encodeText(member.nodeHostId),
    }))
  );
  let length = (isFirst ? 17 : 25) + 8 * removed.length;
  for (const member of kinds.flat()) {
    length += 12 + member.address.length + member.nodeHostId.length;
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, isFirst ? 1 : 2);
  setUint64(view, 1, configChangeIndex);
  let at = 9;
  for (const members of isFirst ? kinds.slice(0, 1) : kinds) {
    view.setUint32(at, members.length, true);
    at += 4;
  }
  view.setUint32(at, removed.length, true);
  at += 4;
  for (const member of kinds.flat()) {
    setUint64(view, at, member.nodeId);
    at = writeText(bytes, at + 8, member.address);
    at = writeText(bytes, at, member.nodeHostId);
  }
  for (const nodeId of removed) {
    setUint64(view, at, nodeId);
    at += 8;
  }
  return bytes;
}

/** No encoding of a membership is longer; cheaper than encoding. */
export function membershipBytesMax(membership: Membership): number {
  const { members, observers, witnesses, removed } = membership;
  let bytes = 25 + 8 * removed.length;
  for (const kind of [members, observers, witnesses]) {
    for (const { address, nodeHostId } of kind) {
      bytes += 12 + 3 * (address.length + nodeHostId.length);
    }
  }
  return bytes;
}

/** Decodes a membership; undefined if the bytes are not exactly one. */
export function decodeMembership(bytes: Uint8Array): Membership | undefined {
  const reader = new Reader(bytes);
  const version = reader.uint8();
  if (version !== 1 && version !== 2) return undefined;
  const configChangeIndex = reader.integer();
  const memberCount = reader.uint32();
  const observerCount = version === 1 ? 0 : reader.uint32();
  const witnessCount = version === 1 ? 0 : reader.uint32();
  const removedCount = reader.uint32();
  const count = memberCount + observerCount + witnessCount;
  // A count that the bytes cannot hold must not make us loop or allocate.
  if (count * 12 + removedCount * 8 > bytes.length) return undefined;
  // One membership has one encoding.
  if (version === 2 && count === memberCount) return undefined;
  const members = reader.members(memberCount);
  const observers = reader.members(observerCount);
  const witnesses = reader.members(witnessCount);
  const removed: number[] = [];
  for (let left = removedCount; left > 0; left--) removed.push(reader.id());
  if (!reader.isAtEnd() || !isAscending(removed)) return undefined;
  const kinds = [members, observers, witnesses].map((kind) =>
    kind.map((member) => member.nodeId)
  );
  if (!kinds.every(isAscending)) return undefined;
  if (new Set(kinds.flat()).size < count) return undefined;
  return { configChangeIndex, members, observers, witnesses, removed };
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

  uint16(): number {
    return this.#take(2) ? this.#view.getUint16(this.#at - 2, true) : 0;
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

  members(count: number): Member[] {
    const members: Member[] = [];
    for (let left = count; left > 0; left--) {
      const nodeId = this.id();
      members.push({ nodeId, address: this.text(), nodeHostId: this.text() });
    }
    return members;
  }

  /** Stops at the first defect, so that a count cannot make it loop or allocate. */
  identifications(count: number): Identification[] {
    const all: Identification[] = [];
    for (let left = count; left > 0 && !this.#isDefect; left--) {
      all.push({ nodeId: this.id(), nodeHostId: this.text() });
    }
    return all;
  }

  text(): string {
    const length = this.uint16();
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
