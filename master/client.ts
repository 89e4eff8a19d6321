/**
 * Reaches a master over HTTP. Bodies are CBOR; the token, if any, travels in the `Authorization` header, never in a
 * URL.
 */
import type { WaitOptions } from "../raft/config.ts";
import { RaftError } from "../raft/errors.ts";
import type { NodeHost } from "../raft/nodehost.ts";
import { ClientCalls, handlingTimeoutMs } from "./client_calls.ts";
import { ClientTasks } from "./client_tasks.ts";
import type {
  IMasterClient,
  MasterClientFactory,
  NodeHostInfo,
  ReportReply,
} from "./protocol.ts";
import {
  isTicket,
  type OwnCredentials,
  readOrMakeCredentials,
  writeCredentials,
} from "./secret_file.ts";
import { reasonOf, redact } from "./redact.ts";
import { type MasterClock, systemClock, systemRandom } from "./system.ts";
import { decodeCbor, encodeCbor, writeReport } from "./wire/mod.ts";

const cborType = "application/cbor";

/** Options of an {@link HttpMasterClient}. */
export interface HttpMasterClientOptions {
  /** The master's bearer token, if it wants one. With a `secretFile` it is needed for the first report only. */
  token?: string;
  /**
   * File with this NodeHost's own secret, made if it is not there: the master then takes reports in its name with this
   * secret only. Beside its `dir`, for example. What the master gave in return for a token is kept there, too.
   */
  secretFile?: string;
  /** Sends a request; the platform's `fetch` by default. Give one with a client certificate for mutual TLS. */
  fetch?: (request: Request) => Response | Promise<Response>;
  /** Measures timeouts; real time by default. */
  clock?: MasterClock;
  /** Milliseconds after which the data of a node is removed that a master had stopped; a day by default. */
  retentionMs?: number;
}

/**
 * A factory for `masterClientFactory` of a NodeHost whose `masterServers` are URLs of masters.
 *
 * @throws {TypeError} if the token is not one.
 */
export function httpMasterClient(
  options: HttpMasterClientOptions = {},
): MasterClientFactory {
  checkToken(options.token);
  return (host) => new HttpMasterClient(options, host);
}

function checkToken(token: string | undefined): void {
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new TypeError(
      "Cannot use token: it must be printable ASCII without spaces",
    );
  }
}

/** What a request needs. */
interface Call {
  readonly what: string;
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly path: string;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly signal: AbortSignal;
}

/** The client of one NodeHost. */
export class HttpMasterClient implements IMasterClient {
  readonly #token: string | undefined;
  readonly #fetch: (request: Request) => Response | Promise<Response>;
  readonly #calls: ClientCalls;
  readonly #tasks: ClientTasks;
  readonly #secretFile: string | undefined;
  #credentials: OwnCredentials | undefined;

  /** Makes a client; it connects when it is called. Without `host` it does not do what masters ask for. */
  constructor(options: HttpMasterClientOptions = {}, host?: NodeHost) {
    checkToken(options.token);
    this.#token = options.token;
    this.#secretFile = options.secretFile;
    this.#fetch = options.fetch ?? ((request) => fetch(request));
    const clock = options.clock ?? systemClock;
    this.#calls = new ClientCalls("the master", clock);
    this.#tasks = new ClientTasks(host, {
      now: () => clock.wallTime(),
      retentionMs: options.retentionMs,
    });
  }

  /** Names the client in logs. */
  name(): string {
    return "http";
  }

  /**
   * Checks that a master could be there.
   *
   * @throws {TypeError} if it is no `http:` or `https:` URL.
   */
  checkServer(url: string): void {
    baseUrl(url, "Cannot use masterServers");
  }

  /** Ends the client; pending calls reject with code `closed`. */
  stop(): Promise<void> {
    this.#calls.end();
    return Promise.resolve();
  }

  /**
   * Asks for the deployment id.
   *
   * @throws {RaftError} `notReady` if the master cannot be reached or cannot answer now, `rejected` if it refuses, `timeout`,
   * `closed`.
   */
  getDeploymentId(url: string, options?: WaitOptions): Promise<bigint> {
    const what = "get the deployment id";
    return this.#calls.run(what, options, async (signal) => {
      const path = "v1/deployment";
      const answer = await this.#call({
        what,
        method: "GET",
        url,
        path,
        signal,
      });
      const id = (answer as { deploymentId?: unknown } | null)?.deploymentId;
      if (typeof id !== "string" || !/^[1-9][0-9]{0,19}$/.test(id)) {
        throw notAMaster(what, url);
      }
      return BigInt(id);
    });
  }

  /**
   * Reports. Memberships that the master knows are left out.
   *
   * @throws {RaftError} as {@link getDeploymentId}; also `deploymentMismatch` if the master serves another deployment.
   */
  sendNodeHostInfo(
    url: string,
    info: NodeHostInfo,
    options?: WaitOptions,
  ): Promise<ReportReply> {
    const what = "report";
    return this.#calls.run(what, options, async (signal) => {
      if (this.#tasks.known.isBehind(info)) {
        this.#tasks.known.learn(await this.#getIndexes(url, signal));
      }
      const report = this.#tasks.prepare(info);
      const reply = await this.#call({
        what,
        method: "POST",
        url,
        path: "v1/report",
        body: encodeCbor(writeReport(report.info)),
        signal,
      }) as ReportReply | null;
      if (!Array.isArray(reply?.want)) throw notAMaster(what, url);
      await this.#keepTicket(reply.ticket);
      this.#tasks.delivered(report, reply);
      return reply;
    });
  }

  /** Does what masters asked for in their replies; what became of it is told in the next report. */
  handleMasterRequests(options?: WaitOptions): Promise<void> {
    const timeoutMs = options?.timeoutMs ?? handlingTimeoutMs;
    return this.#calls.run(
      "handle requests",
      { ...options, timeoutMs },
      () => this.#tasks.handleRequests(),
    );
  }

  async #getIndexes(
    url: string,
    signal: AbortSignal,
  ): Promise<Map<number, number>> {
    const what = "ask for the known memberships";
    const answer = await this.#call({
      what,
      method: "GET",
      url,
      path: "v1/cci",
      signal,
    });
    const { cci } = (answer ?? {}) as { cci?: Record<string, unknown> };
    if (typeof cci !== "object" || cci === null) throw notAMaster(what, url);
    return new Map(
      Object.entries(cci).map(([id, index]) => [Number(id), Number(index)]),
    );
  }

  async #keepTicket(ticket: unknown): Promise<void> {
    const known = this.#credentials;
    if (this.#secretFile === undefined || known === undefined) return;
    if (!isTicket(ticket) || ticket === known.ticket) return;
    this.#credentials = { ...known, ticket };
    await writeCredentials(this.#secretFile, this.#credentials);
  }

  /** With the ticket, if there is one; where that is void, for example since a token is, once more with the token. */
  async #call(call: Call): Promise<unknown> {
    if (this.#secretFile !== undefined) {
      this.#credentials ??= await readOrMakeCredentials(
        this.#secretFile,
        systemRandom,
      );
    }
    const { secret, ticket } = this.#credentials ?? {};
    if (ticket === undefined) {
      return await this.#send(call, { token: this.#token, secret });
    }
    try {
      return await this.#send(call, { ticket, secret });
    } catch (error) {
      const isRefused = error instanceof RaftError && error.code === "rejected";
      if (!isRefused || this.#token === undefined) throw error;
      return await this.#send(call, { token: this.#token, secret });
    }
  }

  async #send(
    call: Call,
    { token, ticket, secret }: {
      token?: string | undefined;
      ticket?: string;
      secret?: string | undefined;
    },
  ): Promise<unknown> {
    const { what, method, url, path, body, signal } = call;
    const headers = new Headers({ accept: cborType });
    if (body !== undefined) headers.set("content-type", cborType);
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    if (ticket !== undefined) {
      headers.set("authorization", `NodeHost ${ticket}`);
    }
    if (secret !== undefined && (method === "POST" || ticket !== undefined)) {
      headers.set("x-drakkar-secret", secret);
    }
    const request = new Request(requestUrl(url, path), {
      method,
      headers,
      signal,
      redirect: "manual", // A redirected POST would arrive as a GET, and a token elsewhere.
      ...(body === undefined ? {} : { body }),
    });
    let response: Response;
    let bytes: Uint8Array;
    try {
      response = await this.#fetch(request);
      bytes = new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      signal.throwIfAborted();
      throw new RaftError("notReady", `Cannot ${what}: ${reasonOf(error)}`, {
        outcome: "unknown",
      });
    }
    if (!response.ok) throw refusal(what, url, response, bytes);
    try {
      return readBody(response, bytes);
    } catch {
      throw notAMaster(what, url);
    }
  }
}

/** `path` under the master's URL, which may have a path of its own. */
function requestUrl(url: string, path: string): URL {
  return new URL(path, baseUrl(url, "Cannot reach a master"));
}

/** @throws {TypeError} if it is no `http:` or `https:` URL. */
function baseUrl(url: string, what: string): URL {
  let base: URL;
  try {
    base = new URL(url.endsWith("/") ? url : `${url}/`);
  } catch {
    throw new TypeError(`${what}: "${redact(url)}" is not a URL`);
  }
  if (base.protocol !== "http:" && base.protocol !== "https:") {
    throw new TypeError(
      `${what}: "${redact(url)}" is not an http: or https: URL`,
    );
  }
  return base;
}

function readBody(response: Response, bytes: Uint8Array): unknown {
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith(cborType)) return decodeCbor(bytes);
  return JSON.parse(new TextDecoder().decode(bytes));
}

function notAMaster(what: string, url: string): RaftError {
  return new RaftError(
    "rejected",
    `Cannot ${what}: what answers at ${redact(url)} is not a master`,
  );
}

/** The error that a master's refusal means. */
function refusal(
  what: string,
  url: string,
  response: Response,
  bytes: Uint8Array,
): RaftError {
  const { status } = response;
  let problem: { code?: unknown; detail?: unknown } | null = null;
  try {
    problem = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // Not every answer on the way is a master's: a proxy says its own.
  }
  const detail = typeof problem?.detail === "string"
    ? problem.detail.slice(0, 500)
    : `the status is ${status}`;
  const text = `Cannot ${what}: the master at ${redact(url)} says: ${detail}`;
  if (problem?.code === "deployment-mismatch") {
    return new RaftError("deploymentMismatch", text);
  }
  if (status >= 500 || status === 429) {
    return new RaftError("notReady", text, { outcome: "unknown" });
  }
  return new RaftError("rejected", text);
}
