/** Calls of the command line to masters: each of them is tried until one answers. */
import { reasonOf } from "../redact.ts";

/** Fields of an answer. */
export type Fields = Record<string, unknown>;

/** No master answered. */
export class UnreachableError extends Error {
  /** Tells it from other errors. */
  override readonly name = "UnreachableError";
}

/** A master answered, and would not do it. */
export class RefusedError extends Error {
  /** Tells it from other errors. */
  override readonly name = "RefusedError";
  /** Status of the answer. */
  readonly status: number;

  /** With the master's words. */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Something is wrong on this side, which no other master would mend. */
export class LocalError extends Error {
  /** Tells it from other errors. */
  override readonly name = "LocalError";
}

/** Who is asked, and how. */
export interface CallOptions {
  /** Addresses of masters, in the order in which they are tried. */
  urls: readonly string[];
  /** Bearer token; none if absent. */
  token?: string;
  /** The operator's name, for the history. */
  who?: string;
  /** Idempotency key of commands: it makes it safe to give one to the next master when nobody knows if it was done. */
  key: string;
  /** Each master gets so many milliseconds. */
  timeoutMs: number;
  /** Does one request. */
  fetch: (url: URL, init: RequestInit) => Promise<Response>;
}

/** What a command wants. */
export interface CommandCall {
  /** HTTP method. */
  method: "POST" | "PATCH" | "DELETE";
  /** Path below the master's address. */
  path: string;
  /** What is sent. */
  body: Fields;
}

/** The calls. */
export class MasterCalls {
  readonly #options: CallOptions;

  /** Nothing is asked yet. */
  constructor(options: CallOptions) {
    this.#options = options;
  }

  /** The idempotency key of its command. */
  get key(): string {
    return this.#options.key;
  }

  /**
   * Looks at something.
   *
   * @throws {RefusedError} if a master said no.
   * @throws {UnreachableError} if none answered.
   */
  async get(path: string): Promise<Fields> {
    return await this.#tryAll(path, { method: "GET" });
  }

  /**
   * Gives a command, or only asks what it would do.
   *
   * @throws {RefusedError} if a master said no.
   * @throws {UnreachableError} if none answered: it may have been done, and with the same key may be repeated.
   */
  async command(
    { method, path, body }: CommandCall,
    isDryRun: boolean,
  ): Promise<Fields> {
    const { key, who } = this.#options;
    return await this.#tryAll(isDryRun ? `${path}?dryRun=true` : path, {
      method,
      body: JSON.stringify(body),
      headers: {
        "content-type": "application/json",
        // A dry run is not kept, and the same key then names the command itself.
        ...(isDryRun ? {} : { "idempotency-key": key }),
        ...(who === undefined ? {} : { "x-operator": who }),
      },
    });
  }

  /**
   * Gets something that is too much for memory: `save` is given it, and once more from its beginning if it breaks off.
   *
   * @throws {RefusedError} if a master said no.
   * @throws {UnreachableError} if none answered to the end.
   */
  async download(
    path: string,
    save: (body: ReadableStream<Uint8Array<ArrayBuffer>>) => Promise<void>,
  ): Promise<void> {
    const headers = {
      accept: "application/x-ndjson, application/problem+json",
    };
    await this.#tryAll(path, { method: "GET", headers }, async (response) => {
      const type = response.headers.get("content-type") ?? "";
      const isIt = response.ok && type.startsWith("application/x-ndjson") &&
        response.body !== null;
      if (!isIt) return await readAnswer(response);
      await save(response.body);
      return {};
    });
  }

  /**
   * Sends something that is too much for memory; each master that is tried is sent all of it.
   *
   * @throws {RefusedError} if a master said no.
   * @throws {UnreachableError} if none answered: it may have been done.
   */
  async upload(
    path: string,
    isDryRun: boolean,
    open: () => Promise<ReadableStream<Uint8Array<ArrayBuffer>>>,
  ): Promise<Fields> {
    const { who } = this.#options;
    return await this.#tryAll(
      isDryRun ? `${path}?dryRun=true` : path,
      {
        method: "POST",
        headers: {
          "content-type": "application/x-ndjson",
          ...(who === undefined ? {} : { "x-operator": who }),
        },
      },
      readAnswer,
      open,
    );
  }

  /** A master whose store fails is as good as none: the next may have a better one. */
  async #tryAll(
    path: string,
    init: RequestInit,
    read: (response: Response) => Promise<Fields> = readAnswer,
    open?: () => Promise<ReadableStream<Uint8Array<ArrayBuffer>>>,
  ): Promise<Fields> {
    const failures: string[] = [];
    let broken: RefusedError | undefined;
    for (const url of this.#options.urls) {
      // What cannot be read here is no master's fault.
      const more = open === undefined ? {} : { body: await open() };
      try {
        return await this.#ask(new URL(path, url), { ...init, ...more }, read);
      } catch (error) {
        if (error instanceof LocalError) throw error;
        if (error instanceof RefusedError) {
          if (error.status < 500) throw error;
          broken = error;
        }
        failures.push(`  ${url}: ${reasonOf(error)}`);
      }
    }
    if (broken !== undefined) throw broken;
    throw new UnreachableError(
      `Cannot reach any master:\n${failures.join("\n")}`,
    );
  }

  async #ask(
    url: URL,
    init: RequestInit,
    read: (response: Response) => Promise<Fields>,
  ): Promise<Fields> {
    const { token, timeoutMs, fetch } = this.#options;
    const ending = new AbortController();
    const late = new Error(`it did not answer within ${timeoutMs} ms`);
    const timer = setTimeout(() => ending.abort(late), timeoutMs);
    try {
      const headers = new Headers(init.headers);
      if (!headers.has("accept")) headers.set("accept", "application/json");
      if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
      // A redirection would carry a command, and perhaps a token, to somebody who was not named.
      const response = await fetch(url, {
        ...init,
        headers,
        redirect: "error",
        signal: ending.signal,
      });
      return await read(response);
    } finally {
      clearTimeout(timer);
    }
  }
}

async function readAnswer(response: Response): Promise<Fields> {
  const { status } = response;
  const text = await response.text();
  const body = parsed(text);
  if (response.ok && body !== undefined) return body;
  const words = typeof body?.detail === "string"
    ? body.detail
    : typeof body?.title === "string"
    ? body.title
    : undefined;
  if (words === undefined) {
    throw new RefusedError(
      response.ok ? 502 : status,
      `What answers is no master (status ${status})`,
    );
  }
  throw new RefusedError(status, words);
}

function parsed(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null &&
      !Array.isArray(value);
    return isObject ? value as Fields : undefined;
  } catch {
    return undefined;
  }
}
