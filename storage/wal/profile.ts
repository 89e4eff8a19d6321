/** What the log knows of a node that changes seldom, encoded as `format.ts` draws it. */
import { getUint64, setUint64 } from "../../raft/core/entry_batch.ts";
import {
  decodeMembership,
  encodeMembership,
  membershipBytesMax,
} from "../../raft/core/membership_format.ts";
import type { SnapshotMeta } from "../../raft/core/types.ts";
import type { Bootstrap, LogDamage, PeerIdentity } from "../log_store.ts";

const profileVersion = 1;
/** Version of a profile whose bootstrap says more than version 1 can. */
const profileVersion2 = 2;
/** Version of a profile that tells of damage. */
const profileVersion3 = 3;
const damageKinds = ["entries", "lost"] as const;
const damageFixedBytes = 24;
const damageReasonMax = 300;
const snapshotIndexAt = 4;
const snapshotTermAt = 12;
const flagJoin = 1;
const flagAdmitted = 2;
const flagConcurrent = 4;
const flagOnDisk = 8;
const flagRemoved = 16;
const flagWitness = 32;
/** What version 1 does not have. */
const flagsOfVersion2 = flagConcurrent | flagOnDisk | flagRemoved |
  flagWitness;

/** Snapshot record, bootstrap and peers of one node. */
export interface NodeProfile {
  readonly snapshot: SnapshotMeta | undefined;
  readonly bootstrap: Bootstrap | undefined;
  readonly peers: readonly PeerIdentity[];
  readonly damage?: LogDamage | undefined;
}

/** The profile of a node of which nothing is known. */
export const emptyProfile: NodeProfile = {
  snapshot: undefined,
  bootstrap: undefined,
  peers: [],
};

/** Encodes a profile. */
export function encodeProfile(profile: NodeProfile): Uint8Array {
  const { snapshot, bootstrap, peers, damage } = profile;
  const writer = outerWriter;
  const needs2 = bootstrap !== undefined &&
    (flagsOf(bootstrap) & flagsOfVersion2) !== 0;
  writer.uint32(
    damage !== undefined
      ? profileVersion3
      : needs2
      ? profileVersion2
      : profileVersion,
  );
  writer.integer(snapshot?.index ?? 0);
  writer.integer(snapshot?.term ?? 0);
  writer.block(
    snapshot === undefined ? noBytes : encodeMembership(snapshot.membership),
  );
  writer.block(bootstrap === undefined ? noBytes : encodeBootstrap(bootstrap));
  writer.uint32(peers.length);
  for (const peer of peers) {
    writer.integer(peer.nodeId);
    writer.integer(peer.incarnation);
    writer.text(peer.nodeHostId);
  }
  if (damage !== undefined) {
    writer.uint32(damageKinds.indexOf(damage.kind) + 1);
    writer.integer(damage.firstIndex);
    writer.integer(damage.lastIndex);
    writer.text(damage.reason.slice(0, damageReasonMax));
  }
  return writer.finish();
}

/** No encoding of these fields is longer than this and what else the profile holds; cheaper than encoding. */
export function profileBytesMax(fields: Partial<NodeProfile>): number {
  const { snapshot, bootstrap, peers, damage } = fields;
  let bytes = 64;
  if (damage !== undefined) bytes += damageFixedBytes + 3 * damageReasonMax;
  if (snapshot !== undefined) {
    bytes += 32 + membershipBytesMax(snapshot.membership);
  }
  if (bootstrap !== undefined) {
    const { stateMachineName, fingerprint, settings } = bootstrap;
    bytes += 48 + 8 * settings.length;
    bytes += 3 * (stateMachineName.length + fingerprint.length);
    for (const [, address] of bootstrap.initialMembers) {
      bytes += 12 + 3 * address.length;
    }
  }
  for (const peer of peers ?? []) bytes += 20 + 3 * peer.nodeHostId.length;
  return bytes;
}

/** Decodes a profile; undefined if the bytes are not exactly one. */
export function decodeProfile(bytes: Uint8Array): NodeProfile | undefined {
  const reader = new Reader(bytes);
  const version = reader.uint32();
  if (version < profileVersion || version > profileVersion3) return undefined;
  const index = reader.integer();
  const term = reader.integer();
  const membershipBytes = reader.block();
  const bootstrapBytes = reader.block();
  const peers: PeerIdentity[] = [];
  for (let count = reader.uint32(); count > 0 && reader.isGood; count--) {
    const nodeId = reader.integer();
    const incarnation = reader.integer();
    peers.push({ nodeId, nodeHostId: reader.text(), incarnation });
  }
  let damage: LogDamage | undefined;
  if (version === profileVersion3) {
    const kind = damageKinds[reader.uint32() - 1];
    if (kind === undefined) return undefined;
    const firstIndex = reader.integer();
    const lastIndex = reader.integer();
    damage = { kind, firstIndex, lastIndex, reason: reader.text() };
  }
  if (!reader.isAtEnd) return undefined;
  let snapshot: SnapshotMeta | undefined;
  if (index > 0) {
    const membership = decodeMembership(membershipBytes);
    if (membership === undefined) return undefined;
    snapshot = { index, term, membership };
  }
  let bootstrap: Bootstrap | undefined;
  if (bootstrapBytes.length > 0) {
    bootstrap = decodeBootstrap(bootstrapBytes, version);
    if (bootstrap === undefined) return undefined;
  }
  return damage === undefined
    ? { snapshot, bootstrap, peers }
    : { snapshot, bootstrap, peers, damage };
}

/** Index and term of the snapshot in an encoded profile, without decoding the rest; index 0 if there is none. */
export function snapshotPlace(
  bytes: Uint8Array,
): { readonly index: number; readonly term: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return {
    index: getUint64(view, snapshotIndexAt),
    term: getUint64(view, snapshotTermAt),
  };
}

/** Whether an encoded profile tells of damage. */
export function tellsDamage(bytes: Uint8Array): boolean {
  return bytes[0] === profileVersion3;
}

function flagsOf(bootstrap: Bootstrap): number {
  const { join, admitted, machineKind, isRemoved, witness } = bootstrap;
  return (join ? flagJoin : 0) | (admitted ? flagAdmitted : 0) |
    (machineKind === "concurrent" ? flagConcurrent : 0) |
    (machineKind === "onDisk" ? flagOnDisk : 0) |
    (isRemoved === true ? flagRemoved : 0) |
    (witness === true ? flagWitness : 0);
}

function encodeBootstrap(bootstrap: Bootstrap): Uint8Array {
  const writer = innerWriter;
  writer.uint32(flagsOf(bootstrap));
  writer.integer(bootstrap.generation);
  writer.text(bootstrap.stateMachineName);
  writer.text(bootstrap.fingerprint);
  writer.uint32(bootstrap.settings.length);
  for (const setting of bootstrap.settings) writer.number(setting);
  writer.uint32(bootstrap.initialMembers.length);
  for (const [nodeId, address] of bootstrap.initialMembers) {
    writer.integer(nodeId);
    writer.text(address);
  }
  return writer.finish();
}

function decodeBootstrap(
  bytes: Uint8Array,
  version: number,
): Bootstrap | undefined {
  const reader = new Reader(bytes);
  const flags = reader.uint32() &
    (version === profileVersion ? ~flagsOfVersion2 : ~0);
  const generation = reader.integer();
  const stateMachineName = reader.text();
  const fingerprint = reader.text();
  const settings: number[] = [];
  for (let count = reader.uint32(); count > 0 && reader.isGood; count--) {
    settings.push(reader.number());
  }
  const initialMembers: [number, string][] = [];
  for (let count = reader.uint32(); count > 0 && reader.isGood; count--) {
    const nodeId = reader.integer();
    initialMembers.push([nodeId, reader.text()]);
  }
  if (!reader.isAtEnd) return undefined;
  return {
    join: (flags & flagJoin) !== 0,
    initialMembers,
    stateMachineName,
    fingerprint,
    generation,
    admitted: (flags & flagAdmitted) !== 0,
    ...((flags & flagWitness) === 0 ? {} : { witness: true }),
    settings,
    ...((flags & flagConcurrent) === 0 ? {} : { machineKind: "concurrent" }),
    ...((flags & flagOnDisk) === 0 ? {} : { machineKind: "onDisk" }),
    ...((flags & flagRemoved) === 0 ? {} : { isRemoved: true }),
  };
}

const noBytes = new Uint8Array(0);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Collects fields; profiles are written seldom, so it may grow by copying. */
class Writer {
  #bytes = new Uint8Array(512);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  uint32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, true);
  }

  integer(value: number): void {
    const at = this.#reserve(8);
    setUint64(this.#view, at, value);
  }

  number(value: number): void {
    const at = this.#reserve(8);
    this.#view.setFloat64(at, value, true);
  }

  block(bytes: Uint8Array): void {
    this.uint32(bytes.length);
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  text(text: string): void {
    const at = this.#reserve(4 + text.length);
    let length = 0;
    for (; length < text.length; length++) {
      const code = text.charCodeAt(length);
      if (code > 0x7f) break;
      this.#bytes[at + 4 + length] = code;
    }
    if (length === text.length) {
      this.#view.setUint32(at, length, true); // Nearly all are names, addresses and ids: the encoder is dear.
      return;
    }
    this.#length = at;
    this.block(encoder.encode(text));
  }

  finish(): Uint8Array {
    const bytes = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** Used again and again: ten thousand clusters that start at once write each profile several times. */
const outerWriter = new Writer();
/** For what stands inside another. */
const innerWriter = new Writer();

/** Reads fields; what goes beyond the end, or is no safe integer, makes it bad, and nothing throws. */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #isGood = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get isGood(): boolean {
    return this.#isGood;
  }

  get isAtEnd(): boolean {
    return this.#isGood && this.#at === this.#bytes.length;
  }

  uint32(): number {
    return this.#take(4) ? this.#view.getUint32(this.#at - 4, true) : 0;
  }

  integer(): number {
    const value = this.#take(8) ? getUint64(this.#view, this.#at - 8) : 0;
    if (!Number.isSafeInteger(value)) this.#isGood = false;
    return value;
  }

  number(): number {
    return this.#take(8) ? this.#view.getFloat64(this.#at - 8, true) : 0;
  }

  block(): Uint8Array {
    const length = this.uint32();
    return this.#take(length)
      ? this.#bytes.subarray(this.#at - length, this.#at)
      : noBytes;
  }

  text(): string {
    return decoder.decode(this.block());
  }

  #take(count: number): boolean {
    if (this.#at + count > this.#bytes.length) this.#isGood = false;
    if (this.#isGood) this.#at += count;
    return this.#isGood;
  }
}
