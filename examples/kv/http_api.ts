/**
 * The HTTP API of the key-value store. Any NodeHost answers for every cluster it carries a node of; what only the
 * leader can do is forwarded to it by Drakkar.
 *
 *     PUT    /clusters/{id}/keys/{key}   body: the value     200 {"effect":"created"|"replaced"}
 *     GET    /clusters/{id}/keys/{key}                       200 the value as it was put, or 404
 *     DELETE /clusters/{id}/keys/{key}                       200 {"effect":"deleted"|"absent"}
 *     GET    /clusters/{id}/keys?prefix=&after=&limit=       200 {"keys":[{"key":…,"bytes":…}],"more":false}
 *     GET    /clusters/{id}/hash                             200 {"applied":17,"hash":"8c1d…"}: this node's own state
 *     GET    /metrics                                        200 a page for Prometheus
 *     GET    /status                                         200 this NodeHost, its clusters, leaders and indexes
 *
 * A key is percent-encoded (`a/b` is `a%2Fb`) and at most 16 KiB long. Reads are linearizable; with `?stale=1` they
 * answer at once from this node, which may be behind. `?timeoutMs=` bounds the wait, 5,000 by default.
 *
 * Every failure is JSON: `{"error":{"code":…,"message":…,"outcome":…}}`. `outcome` is `notApplied`, or `unknown` if
 * the write may have been made or may yet be made (rule R1). The status says what to do about it: 4xx is the caller's
 * mistake and repeating it is useless; 429 (`busy`), 503 and 504 pass.
 */
import {
  isRetryable,
  prometheus,
  prometheusContentType,
  RaftError,
} from "../../mod.ts";
import type { NodeHost, RaftErrorCode, WaitOptions } from "../../mod.ts";
import { encodeDelete, encodePut } from "./commands.ts";
import { effects } from "./state_machine.ts";
import type { Listing, Query } from "./state_machine.ts";

/** Largest value in bytes that a put may carry. */
export const valueBytesMax = 4 * 1024 * 1024;

const effectNames = new Map<number, string>(
  Object.entries(effects).map(([name, value]) => [value, name]),
);

const statusOfCode: Partial<Record<RaftErrorCode, number>> = {
  payloadTooBig: 413,
  clusterNotFound: 404,
  busy: 429,
  timeout: 504,
};

/** A refusal that is the caller's doing. */
class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Makes the function that `Deno.serve` calls for each request. */
export function kvApi(
  host: NodeHost,
): (request: Request) => Promise<Response> {
  return async (request) => {
    try {
      return await route(host, request);
    } catch (error) {
      return failure(error);
    }
  };
}

function route(host: NodeHost, request: Request): Promise<Response> {
  const url = new URL(request.url);
  const parts = url.pathname.split("/").slice(1);
  if (parts[0] === "status" && parts.length === 1) {
    allow(request, "GET");
    return Promise.resolve(Response.json(status(host)));
  }
  if (parts[0] === "metrics" && parts.length === 1) {
    allow(request, "GET");
    const headers = { "content-type": prometheusContentType };
    return Promise.resolve(new Response(prometheus(host), { headers }));
  }
  if (parts[0] === "clusters" && parts.length >= 3) {
    const clusterId = wholeNumber("cluster id", parts[1]!, 1);
    if (parts[2] === "hash" && parts.length === 3) {
      allow(request, "GET");
      return Promise.resolve(Response.json(hash(host, clusterId)));
    }
    if (parts[2] === "keys" && parts.length === 3) {
      allow(request, "GET");
      return list(host, clusterId, url, request);
    }
    if (parts[2] === "keys" && parts.length === 4) {
      allow(request, "GET", "PUT", "DELETE");
      return oneKey(host, { clusterId, key: decoded(parts[3]!), url, request });
    }
  }
  throw new HttpError(404, `There is nothing at ${url.pathname}`);
}

interface KeyRequest {
  readonly clusterId: number;
  readonly key: string;
  readonly url: URL;
  readonly request: Request;
}

async function oneKey(host: NodeHost, asked: KeyRequest): Promise<Response> {
  const { clusterId, key, url, request } = asked;
  if (request.method === "GET") {
    const query: Query = { type: "get", key };
    const value = await answer<Uint8Array | undefined>(host, asked, query);
    if (value === undefined) {
      throw new HttpError(404, `Cluster ${clusterId} has no such key`);
    }
    return new Response(value as Uint8Array<ArrayBuffer>, {
      headers: { "content-type": "application/octet-stream" },
    });
  }
  const command = await commandOf(request, key);
  const options = waitOptions(url);
  const { value } = await host.propose(clusterId, command, options);
  return Response.json({ effect: effectNames.get(value) });
}

async function commandOf(request: Request, key: string): Promise<Uint8Array> {
  const value = request.method === "PUT" ? await valueOf(request) : undefined;
  try {
    return value === undefined ? encodeDelete(key) : encodePut(key, value);
  } catch (error) {
    if (error instanceof RangeError) throw new HttpError(400, error.message);
    throw error;
  }
}

async function list(
  host: NodeHost,
  clusterId: number,
  url: URL,
  request: Request,
): Promise<Response> {
  const parameters = url.searchParams;
  const query: Query = {
    type: "list",
    prefix: parameters.get("prefix") ?? "",
    after: parameters.get("after") ?? "",
    limit: wholeNumber("limit", parameters.get("limit") ?? "1000", 1, 10_000),
  };
  return Response.json(
    await answer<Listing>(host, { clusterId, url, request }, query),
  );
}

/** Asks the state machine: through a round of the leader's, or this node alone if the caller prefers that. */
function answer<T>(
  host: NodeHost,
  asked: Omit<KeyRequest, "key">,
  query: Query,
): Promise<T> {
  const { clusterId, url } = asked;
  return url.searchParams.get("stale") === "1"
    ? host.staleRead<T>(clusterId, query)
    : host.read<T>(clusterId, query, waitOptions(url));
}

function waitOptions(url: URL): WaitOptions {
  const timeoutMs = url.searchParams.get("timeoutMs") ?? "5000";
  return {
    timeoutMs: wholeNumber("timeoutMs", timeoutMs, 1, 600_000),
  };
}

/** Applied index and hash are taken in one turn, so they belong together. */
function hash(
  host: NodeHost,
  clusterId: number,
): { applied: number; hash: string } {
  const cluster = host.info().clusters.find((one) =>
    one.clusterId === clusterId
  );
  if (cluster === undefined) {
    throw new HttpError(404, `There is no node of cluster ${clusterId} here`);
  }
  if (cluster.hash === undefined) {
    const why = cluster.failure ?? cluster.hashError ??
      "its state is being saved or replaced";
    throw new HttpError(503, `Cluster ${clusterId} has no hash now: ${why}`);
  }
  return {
    applied: cluster.applied,
    hash: hashAsText(cluster.hash),
  };
}

/** A hash has one notation wherever it is shown: 16 hexadecimal digits. */
function hashAsText(hash: bigint): string {
  return hash.toString(16).padStart(16, "0");
}

/** What the NodeHost says of itself, with every `bigint` as text since JSON has none. */
function status(host: NodeHost): Record<string, unknown> {
  const info = host.info();
  return {
    ...info,
    deploymentId: String(info.deploymentId),
    clusters: info.clusters.map((cluster) => ({
      ...cluster,
      hash: cluster.hash === undefined ? undefined : hashAsText(cluster.hash),
    })),
  };
}

/** Reads a body without ever holding more than the limit. */
async function valueOf(request: Request): Promise<Uint8Array> {
  const tooBig = () =>
    new HttpError(413, `A value has at most ${valueBytesMax} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > valueBytesMax) {
    throw tooBig();
  }
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of request.body ?? []) {
    bytes += piece.length;
    if (bytes > valueBytesMax) throw tooBig();
    pieces.push(piece);
  }
  if (pieces.length === 1) return pieces[0]!;
  const value = new Uint8Array(bytes);
  let filled = 0;
  for (const piece of pieces) {
    value.set(piece, filled);
    filled += piece.length;
  }
  return value;
}

function allow(request: Request, ...methods: string[]): void {
  if (!methods.includes(request.method)) {
    throw new HttpError(405, `Only ${methods.join(", ")} can be used here`);
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new HttpError(400, "The key is not percent-encoded UTF-8");
  }
}

function wholeNumber(
  name: string,
  text: string,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < min || value > max) {
    throw new HttpError(
      400,
      `The ${name} must be a whole number from ${min} to ${max}`,
    );
  }
  return value;
}

function failure(error: unknown): Response {
  const { status, code, outcome } = describe(error);
  const message = error instanceof Error ? error.message : String(error);
  return Response.json({
    error: { code, message, outcome, retryable: isRetryable(error) },
  }, { status });
}

function describe(
  error: unknown,
): { status: number; code: string; outcome: string } {
  if (error instanceof HttpError) {
    return { status: error.status, code: "refused", outcome: "notApplied" };
  }
  if (error instanceof RaftError) {
    const status = statusOfCode[error.code] ?? 503;
    return { status, code: error.code, outcome: error.outcome };
  }
  // Whatever it is, the caller must not take it for a refusal.
  return { status: 500, code: "internal", outcome: "unknown" };
}
