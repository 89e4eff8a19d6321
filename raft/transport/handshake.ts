/**
 * How two NodeHosts greet each other (rules I1, I6). The one that dialled says hello; the other answers welcome, or
 * refused and closes. Integers are little-endian; texts are UTF-8 behind their length (2B).
 *
 * ```text
 * hello and welcome
 *  0  kind             (1B)   1 hello, 2 welcome
 *  1  magic            (4B)   "DRKR"
 *  5  lowest version   (2B)   of the wire format that the sender speaks; in a welcome: the one chosen
 *  7  highest version  (2B)   likewise
 *  9  deployment id    (8B)
 * 17  incarnation      (8B)   of the sender
 * 25  purpose          (1B)   1 link, 2 snapshot
 * 26  NodeHost id      (text) of the sender
 *     Raft address     (text) of the sender: where others reach it
 *     anything that a later version adds, ignored
 * refused
 *  0  kind             (1B)   3
 *  1  magic            (4B)   "DRKR"
 *  5  code             (text) from `RefusalCode`
 *     reason           (text) for people
 *     NodeHost id      (text) of the sender
 *
 * After the welcome, frames of a link are
 *  0  kind             (1B)   16 records, which follow (record.ts); 17 ping, with nothing behind it
 * and frames of a snapshot connection belong to the snapshot transfer.
 * ```
 */
import { ByteReader, ByteWriter } from "../codec/bytes.ts";
import { isAddress } from "./address.ts";
import { PendingConnection } from "./pending_connection.ts";
import { type Network, PeerRefusedError } from "./transport.ts";

/** The wire versions that this library speaks. The one before the newest stays (rule I6); `docs/VERSIONS.md` lists them. */
export const wireVersions: VersionRange = { lowest: 1, highest: 2 };

/** First byte of a frame. */
export const frameKind = {
  hello: 1,
  welcome: 2,
  refused: 3,
  records: 16,
  ping: 17,
} as const;

const magic = 0x524b5244; // "DRKR" in little-endian order.
const maxHostIdBytes = 128;

/** Versions of the wire format, both ends included. */
export interface VersionRange {
  /** Oldest spoken. */
  readonly lowest: number;
  /** Newest spoken. */
  readonly highest: number;
}

/** Who a NodeHost is. */
export interface HostIdentity {
  /** Random, for the life of its directory. */
  readonly nodeHostId: string;
  /** Raised at each opening of that directory. */
  readonly incarnation: number;
  /** Where others reach it. */
  readonly raftAddress: string;
}

/** What a connection is for. */
export type Purpose = "link" | "snapshot";

/** Why a handshake failed. */
export type RefusalCode =
  /** What arrived is no handshake. */
  | "malformed"
  /** No wire version in common. */
  | "version"
  /** The other belongs to another deployment. */
  | "deployment"
  /** The other presents our own NodeHost id: we dialled ourselves, or the directory was copied. */
  | "self"
  /** The other is an older life of a NodeHost that was seen since. */
  | "incarnation"
  /** Another NodeHost is known at that address. */
  | "address"
  /** The owner of the link pool does not want it. */
  | "identity"
  /** Its certificate is not one of ours, or does not name the host that it says it is. */
  | "tls"
  /** There is a connection between the two already, and it wins. Not an error. */
  | "duplicate"
  /** The connection could not be made, or ended. */
  | "unreachable";

/** Who we are, to any other NodeHost. */
export interface Greeting {
  /** Our own identity. */
  readonly self: HostIdentity;
  /** Ours and theirs must be the same. */
  readonly deploymentId: bigint;
  /** What we speak, if that is not all of {@linkcode wireVersions}. */
  readonly versions?: VersionRange;
}

/** A hello or a welcome, read. */
export interface Hello {
  /** What the sender speaks. */
  readonly versions: VersionRange;
  /** The sender's deployment. */
  readonly deploymentId: bigint;
  /** What the connection is for. */
  readonly purpose: Purpose;
  /** The sender. */
  readonly remote: HostIdentity;
}

/** A refusal, given or received. */
export interface RefusalNotice {
  /** For programs. */
  readonly code: RefusalCode;
  /** For people. */
  readonly reason: string;
}

/** A handshake that failed. */
export class HandshakeError extends Error {
  /** Always `"HandshakeError"`. */
  override readonly name = "HandshakeError";
  /** Why. */
  readonly code: RefusalCode;
  /** The NodeHost that refused; `""` if it was this one. */
  readonly refusedBy: string;

  /** Makes an error out of a refusal. */
  constructor({ code, reason }: RefusalNotice, refusedBy = "") {
    super(reason);
    this.code = code;
    this.refusedBy = refusedBy;
  }
}

/** The frame that says who we are. */
export function encodeHello(
  kind: "hello" | "welcome",
  greeting: Greeting,
  purpose: Purpose,
  versions: VersionRange = greeting.versions ?? wireVersions,
): Uint8Array {
  const writer = new ByteWriter();
  writer.reserve(26);
  writer.uint8(frameKind[kind]);
  writer.uint32(magic);
  writer.uint16(versions.lowest);
  writer.uint16(versions.highest);
  writer.uint64(greeting.deploymentId);
  writer.integer(greeting.self.incarnation);
  writer.uint8(purpose === "link" ? 1 : 2);
  writer.text(greeting.self.nodeHostId);
  writer.text(greeting.self.raftAddress);
  return writer.concat();
}

/** The frame that refuses the other. */
export function encodeRefusal(
  refusal: RefusalNotice,
  { self }: Greeting,
): Uint8Array {
  const writer = new ByteWriter();
  writer.reserve(5);
  writer.uint8(frameKind.refused);
  writer.uint32(magic);
  writer.text(refusal.code);
  writer.text(refusal.reason);
  writer.text(self.nodeHostId);
  return writer.concat();
}

/** Reads a hello or a welcome; undefined if the bytes are none. */
export function decodeHello(
  kind: "hello" | "welcome",
  frame: Uint8Array,
): Hello | undefined {
  const reader = new ByteReader(frame);
  if (reader.uint8() !== frameKind[kind]) return undefined;
  if (reader.uint32() !== magic) return undefined;
  const versions = { lowest: reader.uint16(), highest: reader.uint16() };
  const deploymentId = reader.uint64();
  const incarnation = reader.integer();
  const purpose = reader.uint8();
  const nodeHostId = reader.text();
  const raftAddress = reader.text();
  if (reader.defect !== undefined || versions.lowest > versions.highest) {
    return undefined;
  }
  if (purpose !== 1 && purpose !== 2) return undefined;
  if (nodeHostId === "" || nodeHostId.length > maxHostIdBytes) return undefined;
  if (!isAddress(raftAddress)) return undefined;
  return {
    versions,
    deploymentId,
    purpose: purpose === 1 ? "link" : "snapshot",
    remote: { nodeHostId, incarnation, raftAddress },
  };
}

/** Reads a refusal; undefined if the bytes are none. */
export function decodeRefusal(
  frame: Uint8Array,
): (RefusalNotice & { nodeHostId: string }) | undefined {
  const reader = new ByteReader(frame);
  if (reader.uint8() !== frameKind.refused) return undefined;
  if (reader.uint32() !== magic) return undefined;
  const code = reader.text();
  const reason = reader.text();
  const nodeHostId = reader.text();
  if (reader.defect !== undefined) return undefined;
  // A code that a later version adds is still a refusal, with its reason.
  return { code: isRefusalCode(code) ? code : "identity", reason, nodeHostId };
}

/** Says why a hello or welcome does not fit us; undefined if it does. */
export function findMisfit(
  hello: Hello,
  { self, deploymentId, versions: own = wireVersions }: Greeting,
): RefusalNotice | undefined {
  const { versions, remote } = hello;
  if (versions.lowest > own.highest || versions.highest < own.lowest) {
    return {
      code: "version",
      reason: `wire versions ${rangeText(versions)} and ` +
        `${rangeText(own)} have none in common`,
    };
  }
  if (hello.deploymentId !== deploymentId) {
    return {
      code: "deployment",
      reason: `deployments ${hello.deploymentId} and ${deploymentId} differ`,
    };
  }
  if (remote.nodeHostId !== self.nodeHostId) return undefined;
  return {
    code: "self",
    reason: `both ends are NodeHost ${self.nodeHostId}: ` +
      `an address leads back to its own host, or a directory was copied`,
  };
}

/** The newest version that both sides speak, if {@linkcode findMisfit} has no objection. */
export function versionInCommon(
  { versions }: Hello,
  { versions: own = wireVersions }: Greeting,
): number {
  return Math.min(versions.highest, own.highest);
}

/** A connection whose handshake is done; held until its owner calls `start`. */
export interface Handshaken {
  /** The other side. */
  readonly remote: HostIdentity;
  /** The wire version that both sides speak on it. */
  readonly version: number;
  /** The connection. */
  readonly connection: PendingConnection;
}

/** What `dial` needs. */
export interface DialOptions {
  /** Makes the connection. */
  readonly network: Network;
  /** Where to. */
  readonly address: string;
  /** Who we are. */
  readonly greeting: Greeting;
  /** What for. */
  readonly purpose: Purpose;
  /** Gives up. */
  readonly signal: AbortSignal;
  /** Our hello is on its way: from now on the other side may count on this connection. */
  readonly onHelloSent?: () => void;
}

/**
 * Connects and shakes hands.
 *
 * @throws {HandshakeError} if that fails; `signal.reason` if it is aborted.
 */
export async function dial(options: DialOptions): Promise<Handshaken> {
  const { network, address, greeting, purpose, signal } = options;
  let connection: PendingConnection;
  try {
    connection = new PendingConnection(await network.connect(address, signal));
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    const code = error instanceof PeerRefusedError ? "tls" : "unreachable";
    throw new HandshakeError({ code, reason });
  }
  const hello = encodeHello("hello", greeting, purpose);
  const answer = await exchange(connection, hello, options);
  const welcome = decodeHello("welcome", answer);
  const misfit = welcome === undefined
    ? malformed
    : findMisfit(welcome, greeting) ?? findPretence(connection, welcome);
  if (welcome !== undefined && misfit === undefined) {
    const version = versionInCommon(welcome, greeting);
    return { remote: welcome.remote, version, connection };
  }
  connection.close();
  const refusal = decodeRefusal(answer);
  throw refusal === undefined
    ? new HandshakeError(misfit ?? malformed)
    : new HandshakeError(refusal, refusal.nodeHostId);
}

const malformed: RefusalNotice = {
  code: "malformed",
  reason: "the answer is no handshake",
};

/** Why the other's certificate does not fit what it says it is. */
export function findPretence(
  connection: PendingConnection,
  { remote }: Hello,
): RefusalNotice | undefined {
  const reason = connection.refusePeer(remote.raftAddress);
  return reason === undefined ? undefined : { code: "tls", reason };
}

/** Sends one frame and waits for the first one back. */
function exchange(
  connection: PendingConnection,
  hello: Uint8Array,
  { signal, onHelloSent }: DialOptions,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const onAbort = () => connection.close();
    const settle = () => signal.removeEventListener("abort", onAbort);
    connection.start({
      onFrame: (frame) => {
        settle();
        connection.hold();
        resolve(frame);
      },
      onClose: (reason) => {
        settle();
        if (signal.aborted) return reject(signal.reason);
        reject(new HandshakeError({ code: "unreachable", reason }));
      },
    });
    if (signal.aborted) return connection.close();
    signal.addEventListener("abort", onAbort);
    connection.send([hello]);
    onHelloSent?.();
  });
}

const refusalCodes: ReadonlySet<string> = new Set<RefusalCode>([
  "malformed",
  "version",
  "deployment",
  "self",
  "incarnation",
  "address",
  "identity",
  "tls",
  "duplicate",
  "unreachable",
]);

function isRefusalCode(text: string): text is RefusalCode {
  return refusalCodes.has(text);
}

function rangeText({ lowest, highest }: VersionRange): string {
  return lowest === highest ? `${lowest}` : `${lowest}-${highest}`;
}
