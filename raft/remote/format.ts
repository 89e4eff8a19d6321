/**
 * What NodeHosts tell each other beside the traffic of their nodes: where a cluster is, and requests of a NodeHost that
 * has no node of it. The body of a `remote` record (`codec/record.ts`), whose head names the cluster. Integers are
 * little-endian; 8-byte ones hold safe integers.
 *
 * ```text
 *  0  kind  (1B)
 *  1  by kind:
 *       1 locate     nothing: who carries the cluster?
 *       2 located    source (1B: 0 nobody known, 1 a member, 2 hearsay), term (8B), leader's node id (8B, or 0),
 *                    place count (1B), each: node id (8B, or 0), NodeHost id (text), address (text)
 *       3 request    id (8B), timeout in ms (4B), what (1B: 0 propose, 1 propose in a session, 2 read, 3 call),
 *                    wants to know of the commit (flag); with what = 1 client id (8B), series (8B), responded to (8B);
 *                    command, or query as in values.ts, or call: [method, arguments...] as in values.ts
 *       4 committed  id (8B)
 *       5 result     id (8B), value as in values.ts
 *       6 failure    id (8B), type (1B: 0 RaftError, 1 TypeError, 2 RangeError, 3 another), outcome unknown (flag),
 *                    code or name (text), message (text)
 *       7 addresses  count (1B), each: NodeHost id (text), incarnation (8B), address (text): who moved, and where to
 * ```
 */
import { ByteReader, ByteWriter, type CodecDefect } from "../codec/bytes.ts";
import { unreachable } from "../core/assert.ts";
import type { SessionFields } from "../entries.ts";
import type { HostIdentity } from "../transport/link_pool.ts";

/** A NodeHost that carries a node, or may know who does. */
export interface Place {
  /** The node; 0 in a `located` of source `nobody`, which names NodeHosts to ask. */
  readonly nodeId: number;
  /** Its NodeHost, or `""`. */
  readonly nodeHostId: string;
  /** Where that is reached. */
  readonly address: string;
}

/** Most places that a `located` names, and NodeHosts in `addresses`. */
export const maxPlaces = 63;

/** What a request asks for. */
export type RequestWhat = "propose" | "session" | "read" | "call";

/** How a request failed. */
export type FailureType = "RaftError" | "TypeError" | "RangeError" | "other";

/** Who says where a cluster is. */
export type LocatedSource = "nobody" | "member" | "hearsay";

/** A request of another NodeHost. */
export interface RemoteRequest {
  readonly kind: "request";
  readonly id: number;
  /** What is left of its time; 1 at least. */
  readonly timeoutMs: number;
  readonly what: RequestWhat;
  readonly wantsCommit: boolean;
  /** With `what` `session`. */
  readonly session: SessionFields | undefined;
  readonly payload: Uint8Array;
}

/** One of these things. */
export type RemoteBody =
  | { readonly kind: "locate" }
  | {
    readonly kind: "located";
    readonly source: LocatedSource;
    readonly term: number;
    readonly leaderId: number;
    readonly places: readonly Place[];
  }
  | RemoteRequest
  | { readonly kind: "committed"; readonly id: number }
  | {
    readonly kind: "result";
    readonly id: number;
    readonly payload: Uint8Array;
  }
  | {
    readonly kind: "failure";
    readonly id: number;
    readonly type: FailureType;
    readonly isUnknown: boolean;
    readonly name: string;
    readonly message: string;
  }
  | {
    readonly kind: "addresses";
    /** {@link maxPlaces} at most. */
    readonly hosts: readonly HostIdentity[];
  };

const kinds = [
  "locate",
  "located",
  "request",
  "committed",
  "result",
  "failure",
  "addresses",
] as const;
const sources: readonly LocatedSource[] = ["nobody", "member", "hearsay"];
const whats: readonly RequestWhat[] = ["propose", "session", "read", "call"];
const types: readonly FailureType[] = [
  "RaftError",
  "TypeError",
  "RangeError",
  "other",
];

/** Encodes one. Payloads must not change afterwards. */
export function encodeRemote(body: RemoteBody): Uint8Array {
  const writer = new ByteWriter();
  writer.reserve(48);
  writer.uint8(1 + kinds.indexOf(body.kind));
  switch (body.kind) {
    case "locate":
      break;
    case "located":
      writer.uint8(sources.indexOf(body.source));
      writer.integer(body.term);
      writer.integer(body.leaderId);
      writer.uint8(Math.min(body.places.length, maxPlaces));
      for (const place of body.places.slice(0, maxPlaces)) {
        writer.reserve(8);
        writer.integer(place.nodeId);
        writer.text(place.nodeHostId);
        writer.text(place.address);
      }
      break;
    case "request":
      writer.integer(body.id);
      writer.uint32(body.timeoutMs);
      writer.uint8(whats.indexOf(body.what));
      writer.flag(body.wantsCommit);
      if (body.session !== undefined) {
        writer.integer(body.session.clientId);
        writer.integer(body.session.series);
        writer.integer(body.session.respondedTo);
      }
      writer.bytes(body.payload);
      break;
    case "committed":
      writer.integer(body.id);
      break;
    case "result":
      writer.integer(body.id);
      writer.bytes(body.payload);
      break;
    case "failure":
      writer.integer(body.id);
      writer.uint8(types.indexOf(body.type));
      writer.flag(body.isUnknown);
      writer.text(body.name);
      writer.text(body.message);
      break;
    case "addresses":
      writer.uint8(body.hosts.length);
      for (const { nodeHostId, incarnation, raftAddress } of body.hosts) {
        writer.text(nodeHostId);
        writer.reserve(8);
        writer.integer(incarnation);
        writer.text(raftAddress);
      }
      break;
    default:
      unreachable(body);
  }
  return writer.concat();
}

/** Decodes one, or says why the bytes are none. Payloads share memory with `bytes`. */
export function decodeRemote(bytes: Uint8Array): RemoteBody | CodecDefect {
  const reader = new ByteReader(bytes);
  const kind = kinds[reader.uint8() - 1];
  const body = kind === undefined ? undefined : bodyOf(reader, kind);
  if (body === undefined) reader.fail("kind");
  else if (reader.remaining > 0) reader.fail("trailing");
  return reader.defect ?? body!;
}

function bodyOf(
  reader: ByteReader,
  kind: RemoteBody["kind"],
): RemoteBody | undefined {
  switch (kind) {
    case "locate":
      return { kind };
    case "located":
      return {
        kind,
        source: oneOf(reader, sources),
        term: reader.integer(),
        leaderId: reader.integer(),
        places: placesOf(reader),
      };
    case "request":
      return requestOf(reader);
    case "committed":
      return { kind, id: reader.integer() };
    case "result":
      return { kind, id: reader.integer(), payload: rest(reader) };
    case "failure":
      return {
        kind,
        id: reader.integer(),
        type: oneOf(reader, types),
        isUnknown: reader.flag(),
        name: reader.text(),
        message: reader.text(),
      };
    case "addresses":
      return { kind, hosts: hostsOf(reader) };
    default:
      return unreachable(kind);
  }
}

function requestOf(reader: ByteReader): RemoteRequest {
  const id = reader.integer();
  const timeoutMs = reader.uint32();
  if (timeoutMs < 1 || timeoutMs > 0x7fff_ffff) reader.fail("range");
  const what = oneOf(reader, whats);
  const wantsCommit = reader.flag();
  const session = what !== "session" ? undefined : {
    clientId: reader.id(),
    series: reader.id(),
    respondedTo: reader.integer(),
  };
  const payload = rest(reader);
  return {
    kind: "request",
    id,
    timeoutMs,
    what,
    wantsCommit,
    session,
    payload,
  };
}

function placesOf(reader: ByteReader): Place[] {
  const count = reader.uint8();
  if (count > maxPlaces) reader.fail("range");
  const places: Place[] = [];
  for (let i = 0; i < count && reader.defect === undefined; i++) {
    places.push({
      nodeId: reader.integer(),
      nodeHostId: reader.text(),
      address: reader.text(),
    });
  }
  return places;
}

function hostsOf(reader: ByteReader): HostIdentity[] {
  const count = reader.uint8();
  if (count > maxPlaces) reader.fail("range");
  const hosts: HostIdentity[] = [];
  for (let i = 0; i < count && reader.defect === undefined; i++) {
    hosts.push({
      nodeHostId: reader.text(),
      incarnation: reader.integer(),
      raftAddress: reader.text(),
    });
  }
  return hosts;
}

function oneOf<T>(reader: ByteReader, all: readonly T[]): T {
  const value = all[reader.uint8()];
  if (value === undefined) reader.fail("range");
  return value ?? all[0]!;
}

function rest(reader: ByteReader): Uint8Array {
  return reader.bytes(reader.remaining);
}
