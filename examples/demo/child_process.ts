/** One operating-system process of the demo: started with few permissions, watched, and certainly stopped. */

/** How to start it. */
export interface ChildOptions {
  /** What people call it. */
  readonly name: string;
  /** What is run, `deno` by default. */
  readonly program?: string;
  /** Its arguments. */
  readonly args: readonly string[];
  /** Where it runs. */
  readonly cwd: string;
  /** Variables that it gets beside those of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Called when it ends although nobody stopped or killed it. */
  readonly onUnexpectedEnd: (why: string) => void;
}

const tailLines = 40;
const stopTimeoutMs = 5_000;

/** A running child process. */
export class ChildProcess {
  /** What people call it. */
  readonly name: string;
  /** Settles when the process is gone. */
  readonly ended: Promise<void>;
  readonly #process: Deno.ChildProcess;
  readonly #firstLine = Promise.withResolvers<string>();
  readonly #tail: string[] = [];
  #isExpectedToEnd = false;
  #hasEnded = false;

  /** Starts it. */
  constructor(options: ChildOptions) {
    this.name = options.name;
    this.#process = new Deno.Command(options.program ?? Deno.execPath(), {
      args: [...options.args],
      cwd: options.cwd,
      env: { ...options.env, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      // A process group of its own: Ctrl-C reaches only this process, which stops its children in order.
      detached: true,
    }).spawn();
    this.#firstLine.promise.catch(() => {}); // Not everybody asks for it.
    const output = Promise.all([
      this.#readLines(this.#process.stdout, true),
      this.#readLines(this.#process.stderr, false),
    ]);
    this.ended = this.#watch(options, output);
  }

  /** Its process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The first line it printed to standard output; rejects if it ends without one. */
  firstLine(): Promise<string> {
    return this.#firstLine.promise;
  }

  /** The last lines of its output, for the report of a failure. */
  tail(): string {
    return this.#tail.map((line) => `  ${this.name}: ${line}`).join("\n");
  }

  /** SIGKILL: no goodbye, as in a crash. */
  kill(): void {
    this.#isExpectedToEnd = true;
    this.#signal("SIGKILL");
  }

  /** Ctrl-C: it may finish what it has begun. */
  interrupt(): void {
    this.#isExpectedToEnd = true;
    this.#signal("SIGINT");
  }

  /** Asks it to close, and kills it if it does not. */
  async stop(): Promise<void> {
    this.#isExpectedToEnd = true;
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), stopTimeoutMs);
    await this.ended;
    clearTimeout(timer);
  }

  #signal(signal: Deno.Signal): void {
    if (this.#hasEnded) return;
    try {
      this.#process.kill(signal);
    } catch {
      // It ended in this moment.
    }
  }

  async #watch(options: ChildOptions, output: Promise<unknown>): Promise<void> {
    const status = await this.#process.status;
    this.#hasEnded = true;
    await output;
    const how = status.signal ?? `exit status ${status.code}`;
    this.#firstLine.reject(new Error(`${this.name} ended with ${how}`));
    if (!this.#isExpectedToEnd) {
      options.onUnexpectedEnd(`${this.name} ended with ${how}`);
    }
  }

  async #readLines(
    stream: ReadableStream<Uint8Array<ArrayBuffer>>,
    isStdout: boolean,
  ): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!.slice(-10_000);
      for (const line of lines) {
        if (isStdout) this.#firstLine.resolve(line);
        this.#tail.push(line.slice(0, 500));
        if (this.#tail.length > tailLines) this.#tail.shift();
      }
    }
  }
}
