/**
 * Stores and masters of a test that are in other processes, and look as if they were here: each call goes to one of
 * three, which may be ended while it has it (`trio.ts`). What may be repeated is, as NodeHosts and operators do it.
 */
import { decodeCbor, encodeCbor } from "../../master/wire/mod.ts";
import type { KvStore, KvStoreOptions } from "../../master/kv_store.ts";
import type { NodeHostInfo, ReportReply } from "../../master/protocol.ts";
import {
  createMaster,
  type Master,
  type MasterOptions,
} from "../../master/server.ts";
import type { FaultyKv, ManualClock } from "../master/fixtures.ts";
import {
  attemptsHeader,
  decode,
  encode,
  type FarAnswer,
  type FarCall,
  type FarMethod,
  type FarRequest,
  type FarResponse,
  readError,
  repeatableHeader,
} from "./far_call.ts";

/** Where a test's calls go, and what goes with them. */
export interface FarRoom {
  /** Where the processes are reached. */
  readonly url: string;
  /** The part of the database. */
  readonly name: string;
  /** The test's own connection, if it is told what was done elsewhere. */
  readonly kv?: FaultyKv | undefined;
  /** The test's clock; real time without it. */
  readonly clock?: ManualClock | undefined;
  /** Options of the store. */
  readonly store: Readonly<Record<string, unknown>>;
  /** The newest report of each NodeHost: boot and seq. */
  readonly newest: Map<string, readonly [number, number]>;
}

const readMethods = [
  "deploymentId",
  "knownDeploymentId",
  "requireDeployment",
  "init",
  "plan",
  "counts",
  "cluster",
  "events",
  "status",
  "configChangeIndexes",
  "nodeHosts",
  "clusters",
  "logInfo",
];
const writeMethods = ["tick", "report", "heard", "command"];
const plainMasterOptions = [
  "token",
  "operatorToken",
  "silentAfterMs",
  "boardIntervalMs",
  "wantsSecrets",
  "takesReports",
] as const;

/** Whether everything in the options can be written down. */
export function canBeFar(options: KvStoreOptions): boolean {
  const { kv: _, clock: __, ...rest } = options;
  return Object.values(rest).every((value) => typeof value !== "function") &&
    rest.random === undefined;
}

/** A store in other processes. `local` has the same state, and does what cannot be asked for there. */
export function farStore(room: FarRoom, local: KvStore): KvStore {
  const call = (name: string, args: unknown[]) => callMethod(room, name, args);
  return new Proxy(local, {
    get(_target, name) {
      if (name === "exportLines") {
        return async function* () {
          yield* await call(name, []) as string[];
        };
      }
      if (name === "importLines") {
        return async (lines: Iterable<string> | AsyncIterable<string>) =>
          await call(name, [await Array.fromAsync(lines)]);
      }
      if (readMethods.includes(String(name))) {
        return (...args: unknown[]) => call(String(name), args);
      }
      if (writeMethods.includes(String(name))) {
        return (...args: unknown[]) => call(String(name), args);
      }
      const member = Reflect.get(local, name, local);
      return typeof member === "function" ? member.bind(local) : member;
    },
    set(_target, name) {
      throw new Error(`${String(name)} is elsewhere: say inThisProcess`);
    },
  });
}

async function callMethod(
  room: FarRoom,
  name: string,
  given: unknown[],
): Promise<unknown> {
  let args = given;
  let isRepeatable = readMethods.includes(name);
  let isNewest = false;
  if (name === "command") {
    const options = (args[1] ?? {}) as { key?: string; isDryRun?: boolean };
    isRepeatable = true;
    if (options.isDryRun !== true) {
      args = [args[0], { key: crypto.randomUUID(), ...options }];
    }
  } else if (name === "report") {
    isNewest = noteReport(room, args[0] as NodeHostInfo);
    isRepeatable = isNewest;
  }
  const work: FarMethod = { kind: "method", name, args };
  const { result, attempts } = await ask(room, work, isRepeatable);
  if (isNewest && attempts > 1) {
    // The first time it was taken, and the answer was lost; or it is taken now.
    return { ...result as ReportReply, accepted: true };
  }
  return result;
}

/** Notes a report; whether it is newer than all others of its NodeHost, so that it is the same when it comes twice. */
function noteReport({ newest }: FarRoom, info: NodeHostInfo): boolean {
  const { nodeHostId, boot, seq } = info;
  if (typeof boot !== "number" || typeof seq !== "number") return false;
  const [lastBoot, lastSeq] = newest.get(nodeHostId) ?? [0, 0];
  if (boot < lastBoot || (boot === lastBoot && seq <= lastSeq)) return false;
  newest.set(nodeHostId, [boot, seq]);
  return true;
}

/** A master in other processes. */
export class FarMaster implements Master {
  readonly #room: FarRoom;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #logger: MasterOptions["logger"];
  #isClosed = false;

  /** Wrong options are told here. */
  constructor(room: FarRoom, options: MasterOptions) {
    createMaster(options).close();
    this.#room = room;
    this.#logger = options.logger;
    this.#options = Object.fromEntries(
      plainMasterOptions.filter((name) => options[name] !== undefined)
        .map((name) => [name, options[name]]),
    );
  }

  /** As {@link Master.request}. */
  request(path: string, init?: RequestInit): Promise<Response> {
    return this.fetch(new Request(new URL(path, "http://localhost/"), init));
  }

  /** As {@link Master.fetch}. */
  async fetch(request: Request): Promise<Response> {
    const { url, method } = request;
    const headers = new Headers(request.headers);
    const body = request.body === null ? undefined : await request.bytes();
    const isNewest = this.#isNewestReport(url, headers, body);
    let isRepeatable = isNewest || method === "GET" || method === "HEAD";
    if (isCommand(method, new URL(url))) {
      isRepeatable = true;
      if (!headers.has("idempotency-key")) {
        headers.set("idempotency-key", crypto.randomUUID());
      }
    }
    const work: FarRequest = {
      kind: "request",
      master: this.#options,
      isClosed: this.#isClosed,
      url,
      method,
      headers: [...headers],
      body,
    };
    const { result, attempts, logs } = await ask(
      this.#room,
      work,
      isRepeatable,
    );
    for (const [level, message, fields] of logs) {
      this.#logger?.[level](message, fields as Record<string, unknown>);
    }
    return responseOf(result as FarResponse, isNewest && attempts > 1);
  }

  /** As {@link Master.close}. */
  close(): void {
    this.#isClosed = true;
  }

  #isNewestReport(
    url: string,
    headers: Headers,
    body: Uint8Array | undefined,
  ): boolean {
    if (new URL(url).pathname !== "/v1/report" || body === undefined) {
      return false;
    }
    try {
      const isCbor = headers.get("content-type") === "application/cbor";
      const info = isCbor
        ? decodeCbor(body)
        : JSON.parse(new TextDecoder().decode(body));
      return noteReport(this.#room, info as NodeHostInfo);
    } catch {
      return false; // A bad one.
    }
  }
}

/** What operators command, other than signing in, making a deployment and importing one. */
function isCommand(method: string, url: URL): boolean {
  return ["POST", "PATCH", "DELETE"].includes(method) &&
    !url.searchParams.has("dryRun") && url.pathname.startsWith("/v1/") &&
    !["/v1/report", "/v1/session", "/v1/init", "/v1/import"]
      .includes(url.pathname);
}

function responseOf(
  { status, headers, body }: FarResponse,
  wasRepeated: boolean,
): Response {
  const list: [string, string][] = [...headers];
  const isEmpty = body.length === 0 || status === 204 || status === 304;
  if (isEmpty) return new Response(null, { status, headers: list });
  if (!wasRepeated || status !== 200) {
    return new Response(body.slice(), { status, headers: list });
  }
  // As in a reply to a method: it was taken before, or is now.
  const isCbor = new Headers(list).get("content-type") === "application/cbor";
  const reply = isCbor
    ? decodeCbor(body) as Record<string, unknown>
    : JSON.parse(new TextDecoder().decode(body));
  const taken = { ...reply, accepted: true };
  return new Response(
    isCbor ? encodeCbor(taken).slice() : JSON.stringify(taken),
    { status, headers: list },
  );
}

async function ask(
  room: FarRoom,
  work: FarCall["work"],
  isRepeatable: boolean,
): Promise<{
  result: unknown;
  attempts: number;
  logs: FarAnswer["logs"];
}> {
  const { url, name, kv, clock, store } = room;
  const commitMs = kv?.commitMs ?? 0;
  const faults = kv?.faults ?? [];
  if (faults.includes("hangs")) {
    throw new Error("A commit that hangs is elsewhere: say inThisProcess");
  }
  if (kv?.beforeCommit !== undefined && commitMs === 0) {
    throw new Error("Commits are elsewhere: say inThisProcess");
  }
  const call: FarCall = {
    room: name,
    nowMs: clock?.nowMs,
    commitMs,
    faults,
    store,
    work,
  };
  const response = await fetch(url, {
    method: "POST",
    body: encode(call),
    headers: isRepeatable && faults.length === 0
      ? { [repeatableHeader]: "1" }
      : {},
  });
  const bytes = await response.bytes();
  if (!response.ok) {
    throw new Error(`Far masters: ${new TextDecoder().decode(bytes)}`);
  }
  const answer = decode<FarAnswer>(bytes);
  if (clock !== undefined && commitMs > 0) {
    clock.nowMs = Math.max(clock.nowMs, answer.nowMs);
  }
  if (kv !== undefined) {
    if (faults.length > 0) kv.faults = answer.faults;
    for (const [what, count] of Object.entries(answer.counts)) {
      kv.counts[what as keyof typeof kv.counts] += count;
    }
  }
  if (answer.error !== undefined) throw readError(answer.error);
  return {
    result: answer.result,
    attempts: Number(response.headers.get(attemptsHeader)),
    logs: answer.logs,
  };
}
