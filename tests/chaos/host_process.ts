/** One NodeHost process, as the chaos run sees it. */
import { CallFailure, processEnded, readLines } from "./protocol.ts";
import type { CallLine, Calls, ReplyLine } from "./protocol.ts";

interface Waiting {
  resolve(reply: unknown): void;
  reject(error: Error): void;
}

/** A running process. */
export class HostProcess {
  /** Settles with how it ended. */
  readonly ended: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #status: Deno.CommandStatus | undefined;

  /** Starts it; what it says to standard error is added to the file `log`. */
  constructor(log: string) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "-A",
        new URL("./host.ts", import.meta.url).href,
        log, // So that a list of processes tells whose it is.
      ],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      // A process group of its own: Ctrl-C reaches the chaos run alone, which ends its processes.
      detached: true,
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#input.closed.catch(() => {}); // Its death is noticed on the other side.
    const file = Deno.openSync(log, { create: true, append: true });
    const logged = this.#child.stderr.pipeTo(file.writable).catch(() => {});
    this.ended = this.#run(logged);
  }

  /** The operating system's number for it. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    return this.#status !== undefined;
  }

  /** Calls it; rejects with a {@link CallFailure}, also when it ends first. */
  call<K extends keyof Calls>(
    call: K,
    request: Calls[K]["request"],
  ): Promise<Calls[K]["reply"]> {
    if (this.hasEnded) return Promise.reject(processEnded("it had ended"));
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

  /** SIGKILL, and waits for its end. */
  async kill(): Promise<void> {
    if (!this.hasEnded) {
      try {
        this.#child.kill("SIGKILL");
      } catch {
        // It ended in this moment.
      }
    }
    await this.ended;
  }

  async #run(logged: Promise<void>): Promise<Deno.CommandStatus> {
    try {
      for await (const line of readLines(this.#child.stdout)) {
        const { id, reply, error } = JSON.parse(line) as ReplyLine;
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error === undefined) waiting?.resolve(reply);
        else waiting?.reject(new CallFailure(error));
      }
    } catch {
      // A line was cut off by its end.
    }
    this.#status = await this.#child.status;
    const { signal, code } = this.#status;
    for (const { reject } of this.#waiting.values()) {
      reject(processEnded(`it ended with ${signal ?? `status ${code}`}`));
    }
    this.#waiting.clear();
    await logged;
    return this.#status;
  }
}
