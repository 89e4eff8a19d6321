/**
 * Three processes with masters (`instance.ts`), behind one address that gives each call to one of them at random. One after
 * the other they are ended as the platform ends them, SIGINT and a little later SIGKILL, in the midst of a call that may be
 * repeated; it is, on another one, and the process is started anew.
 */
import { ChildProcess } from "../../examples/demo/child_process.ts";
import { fileURLToPath } from "./deps.ts";
import { attemptsHeader, repeatableHeader } from "./far_call.ts";

/** What it takes. */
export interface TrioOptions {
  /** The edge's Deno. */
  readonly deno: string;
  /** What masters may read: their own files. */
  readonly root: string;
  /** Variables of the processes. */
  readonly env: Readonly<Record<string, string>>;
  /** Called when a process ends by itself. */
  readonly onUnexpectedEnd: (why: string) => void;
  /** Told of each process. */
  readonly onChild: (child: ChildProcess) => void;
}

interface Instance {
  child: ChildProcess;
  url: string;
  /** It takes calls. */
  isUp: boolean;
  /** It takes only those that may be repeated, since it will be ended. */
  isDoomed: boolean;
  repeatable: number;
  others: number;
}

const count = 3;
/** So often a call may lose the process that has it. */
const lossesMax = 2;
const program = fileURLToPath(new URL("instance.ts", import.meta.url));

/** The three, and who ends them. */
export class Trio implements AsyncDisposable {
  /** Processes that were ended while they had a call. */
  ended = 0;
  /** Calls that lost the process that had them, and were made again. */
  repeated = 0;
  readonly #options: TrioOptions;
  readonly #instances: Instance[] = [];
  #server: Deno.HttpServer<Deno.NetAddr> | undefined;
  #isClosed = false;
  #ending: Promise<void> = Promise.resolve();

  private constructor(options: TrioOptions) {
    this.#options = options;
  }

  /** Starts them. */
  static async start(options: TrioOptions): Promise<Trio> {
    const trio = new Trio(options);
    try {
      await Promise.all(Array.from({ length: count }, () => trio.#add()));
    } catch (error) {
      await trio[Symbol.asyncDispose]();
      throw error;
    }
    trio.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => trio.#pass(request),
    );
    trio.#ending = trio.#endOneAfterTheOther();
    return trio;
  }

  /** Where calls go. */
  get url(): string {
    return `http://127.0.0.1:${this.#server!.addr.port}`;
  }

  /** The last words of the processes. */
  tails(): string {
    return this.#instances.map(({ child }) => child.tail()).join("\n");
  }

  /** Ends all. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#ending;
    await this.#server?.shutdown();
    for (const { child } of this.#instances) child.kill();
    await Promise.all(this.#instances.map(({ child }) => child.ended));
  }

  async #add(): Promise<void> {
    const instance: Instance = {
      child: this.#spawn(),
      url: "",
      isUp: false,
      isDoomed: false,
      repeatable: 0,
      others: 0,
    };
    this.#instances.push(instance);
    await this.#untilUp(instance);
  }

  #spawn(): ChildProcess {
    const { deno, root, env, onUnexpectedEnd, onChild } = this.#options;
    const child = new ChildProcess({
      name: "an instance",
      program: deno,
      args: [
        "run",
        "--no-lock",
        "--no-check",
        "--no-prompt",
        "--quiet",
        "--unstable-kv",
        "--allow-net",
        "--allow-env",
        `--allow-read=${root}`,
        program,
      ],
      cwd: root,
      env,
      onUnexpectedEnd,
    });
    onChild(child);
    return child;
  }

  async #untilUp(instance: Instance): Promise<void> {
    instance.url = await instance.child.firstLine();
    instance.isUp = true;
    instance.isDoomed = false;
  }

  async #pass(request: Request): Promise<Response> {
    const isRepeatable = request.headers.has(repeatableHeader);
    const body = await request.bytes();
    for (let attempts = 1;; attempts++) {
      // On a slow machine some call might lose one after the other, and never end.
      const mayLose = isRepeatable && attempts <= lossesMax;
      const instance = await this.#pick(mayLose);
      const kind = mayLose ? "repeatable" : "others";
      instance[kind]++;
      try {
        const response = await fetch(instance.url, { method: "POST", body });
        return new Response(await response.bytes(), {
          headers: { [attemptsHeader]: String(attempts) },
        });
      } catch (error) {
        if (!isRepeatable || this.#isClosed) {
          return new Response(String(error), { status: 502 });
        }
        this.repeated++;
      } finally {
        instance[kind]--;
      }
    }
  }

  async #pick(mayLose: boolean): Promise<Instance> {
    for (;;) {
      const able = this.#instances.filter(({ isUp, isDoomed }) =>
        isUp && (mayLose || !isDoomed)
      );
      if (able.length > 0) {
        return able[Math.floor(Math.random() * able.length)]!;
      }
      await pause(10);
    }
  }

  async #endOneAfterTheOther(): Promise<void> {
    for (let turn = 0; !this.#isClosed; turn++) {
      await pause(2_000 + Math.random() * 2_000);
      await this.#end(this.#instances[turn % count]!);
    }
  }

  /** Ends one in the midst of calls. */
  async #end(instance: Instance): Promise<void> {
    instance.isDoomed = true;
    while (instance.others > 0 || instance.repeatable === 0) {
      if (this.#isClosed) return;
      await pause(5);
    }
    this.ended++;
    await pause(Math.random() * 50);
    instance.child.interrupt();
    await pause(Math.random() * 100);
    instance.isUp = false;
    instance.child.kill();
    await instance.child.ended;
    if (this.#isClosed) return;
    instance.child = this.#spawn();
    await this.#untilUp(instance);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
