/** One NodeHost process, as the benchmark sees it. */
import {
  type CallLine,
  type Calls,
  readLines,
  type ReplyLine,
} from "./protocol.ts";

interface Waiting {
  resolve(reply: unknown): void;
  reject(error: Error): void;
}

/** Starts a process and calls it. */
export class HostProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #name: string;
  #nextId = 1;

  /** Starts a process; `name` is for error messages. */
  constructor(name: string, options: { canCollect?: boolean } = {}) {
    this.#name = name;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        ...(options.canCollect === true ? ["--v8-flags=--expose-gc"] : []),
        new URL("./host.ts", import.meta.url).href,
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {}); // Its death is noticed on the other side.
    this.#readReplies();
  }

  /** The operating system's number for it. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Calls it; rejects with its error, or when it ends first. */
  call<K extends keyof Calls>(
    call: K,
    request: Calls[K]["request"],
  ): Promise<Calls[K]["reply"]> {
    const id = this.#nextId++;
    const line: CallLine<K> = { id, call, request };
    const { promise, resolve, reject } = Promise.withResolvers<
      Calls[K]["reply"]
    >();
    this.#waiting.set(id, {
      resolve: (reply) => resolve(reply as Calls[K]["reply"]),
      reject,
    });
    this.#input.write(new TextEncoder().encode(`${JSON.stringify(line)}\n`))
      .catch(() => {});
    return promise;
  }

  /** Kills it and waits for its end. */
  async kill(): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#child.status;
  }

  async #readReplies(): Promise<void> {
    for await (const line of readLines(this.#child.stdout)) {
      const { id, reply, error } = JSON.parse(line) as ReplyLine;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(reply);
      else waiting?.reject(new Error(`${this.#name}: ${error}`));
    }
    const { code, signal } = await this.#child.status;
    for (const { reject } of this.#waiting.values()) {
      reject(new Error(`${this.#name} ended with ${signal ?? code}`));
    }
    this.#waiting.clear();
  }
}
