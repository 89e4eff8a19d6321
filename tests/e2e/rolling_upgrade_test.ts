/**
 * A rolling upgrade from release 0.1.0, as it was: three processes over TCP and real files, which are stopped and started
 * again with the code of today one after the other, while another one is written to (rules I6, L8, docs/VERSIONS.md).
 *
 * The old code comes out of the history of this repository, so nothing is fetched. Where there is no such history (an
 * archive, or a clone of the newest commit only), the test is left out.
 */
import { assert } from "../deps.ts";
import { freePort } from "../support/hosts.ts";

/** Release 0.1.0: wire version 1, and version 1 of every format. */
const firstRelease = "f5dfcfe70f64459342a01347a8e481a489006b44";
const today = `${import.meta.dirname}/../..`;
const program = `${import.meta.dirname}/../support/upgrade_node.ts`;
const numbers = [1, 2, 3];

/** Runs git here; undefined if it is missing or fails. */
function git(...args: string[]): Uint8Array | undefined {
  try {
    const command = new Deno.Command("git", {
      args: ["-C", today, ...args],
      stderr: "null",
    });
    const { success, stdout } = command.outputSync();
    return success ? stdout : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const hasHistory = git("cat-file", "-e", `${firstRelease}^{commit}`) !==
  undefined;

/** Puts what a NodeHost needs of the first release into a folder. */
function extractFirstRelease(folder: string): void {
  const archive = `${folder}.tar`;
  const parts = ["mod.ts", "raft", "storage", "master"];
  git("archive", `--output=${archive}`, firstRelease, ...parts);
  Deno.mkdirSync(folder);
  const { success } = new Deno.Command("tar", {
    args: ["-xf", archive, "-C", folder],
  }).outputSync();
  assert.ok(success, "the old release was not extracted");
}

/** One process. Commands are answered in order. */
class Process implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting: ((line: string) => void)[] = [];
  readonly #read: Promise<void>;

  constructor(root: string, n: number, dir: string, addresses: string[]) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--no-check",
        "--no-lock",
        program,
        root,
        String(n),
        dir,
        ...addresses,
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#read = this.#readLines();
  }

  async #readLines(): Promise<void> {
    let rest = "";
    const texts = this.#child.stdout.pipeThrough(new TextDecoderStream());
    for await (const text of texts) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#waiting.shift()?.(line);
    }
    const ended = JSON.stringify({ error: "the process ended" });
    for (const tell of this.#waiting.splice(0)) tell(ended);
  }

  /** Does something, and tells what came of it. */
  async ask(command: string): Promise<{ value?: unknown; error?: string }> {
    const answer = new Promise<string>((resolve) =>
      this.#waiting.push(resolve)
    );
    await this.#input.write(new TextEncoder().encode(`${command}\n`));
    return JSON.parse(await answer);
  }

  /** Does something that must work. */
  async do<T>(command: string): Promise<T> {
    const { value, error } = await this.ask(command);
    assert.equal(error, undefined, command);
    return value as T;
  }

  /** Ends the process as an operator would. */
  async close(): Promise<void> {
    await this.do("close");
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await this.#read;
    await this.#input.close().catch(() => {});
  }
}

/** Three processes, and how many additions were acknowledged or left in doubt. */
class Fleet implements AsyncDisposable {
  acknowledged = 0;
  unknown = 0;
  readonly folder: string = Deno.makeTempDirSync();
  readonly #addresses = numbers.map(() => `127.0.0.1:${freePort()}`);
  readonly #processes = new Map<number, Process>();

  begin(n: number, root: string): void {
    const dir = `${this.folder}/${n}`;
    this.#processes.set(n, new Process(root, n, dir, this.#addresses));
  }

  /** Starts host `n`; resolves when it is ready. */
  async start(n: number, root: string): Promise<void> {
    this.begin(n, root);
    await this.of(n).do("ready");
  }

  of(n: number): Process {
    return this.#processes.get(n)!;
  }

  /** Host `n` is written to. */
  async write(n: number, count: number): Promise<void> {
    const written = await this.of(n).do<Record<string, number>>(
      `write ${count}`,
    );
    this.acknowledged += written["acknowledged"]!;
    this.unknown += written["unknown"]!;
  }

  /** Stops host `n`, and starts it with another release, while the next one is written to. */
  async change(n: number, root: string): Promise<void> {
    const writing = this.write(n % 3 + 1, 60);
    await this.of(n).close();
    await writing;
    await this.start(n, root);
  }

  /**
   * The same, but host `n` misses so much that it is sent a snapshot: the others, of the release `others`, keep in memory
   * what they could send instead, and so begin anew as well.
   */
  async changeLate(n: number, root: string, others: string): Promise<void> {
    await this.of(n).close();
    await this.write(n % 3 + 1, 150);
    for (const other of numbers.filter((other) => other !== n)) {
      await this.of(other).do("snapshot");
    }
    for (const other of numbers.filter((other) => other !== n)) {
      await this.of(other).close();
      await this.start(other, others);
    }
    await this.start(n, root);
    const received = await this.of(n).do<number>("received");
    assert.ok(received > 0, `host ${n} was sent no snapshot`);
  }

  /** Every host in turn leads and is written to, and all have the same. */
  async exercise(): Promise<void> {
    for (const n of numbers) {
      await this.of(n).do("lead");
      await this.write(n % 3 + 1, 20);
    }
    await this.assertSame();
  }

  /** All hosts have every addition that was acknowledged, once. */
  async assertSame(): Promise<void> {
    const totals: number[] = [];
    for (const n of numbers) totals.push(await this.of(n).do<number>("read"));
    const [first] = totals as [number];
    assert.deepEqual(totals, [first, first, first]);
    const { acknowledged, unknown } = this;
    assert.ok(
      first >= acknowledged && first <= acknowledged + unknown,
      `${first}: acknowledged ${acknowledged}, unknown ${unknown}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes.values()) {
      await process[Symbol.asyncDispose]();
    }
    Deno.removeSync(this.folder, { recursive: true });
  }
}

Deno.test({
  name:
    "A cluster of release 0.1.0 is upgraded host by host, and back, under writes, and loses and doubles nothing (rules I6, L8)",
  ignore: !hasHistory,
}, async () => {
  await using fleet = new Fleet();
  const old = `${fleet.folder}/release`;
  extractFirstRelease(old);
  for (const n of numbers) fleet.begin(n, old);
  for (const n of numbers) await fleet.of(n).do("ready");
  await fleet.exercise();
  await fleet.changeLate(1, today, old);
  await fleet.exercise();
  const refused = await fleet.of(1).ask("session");
  assert.match(
    refused.error ?? "",
    /Cannot use sessions in cluster 1: .*still speaks wire version 1; upgrade it/,
  );
  // While one is of the older release, any other may go back to it.
  await fleet.change(1, old);
  await fleet.exercise();
  for (const n of [1, 2]) {
    await fleet.change(n, today);
    await fleet.exercise();
  }
  await fleet.changeLate(3, old, today);
  await fleet.exercise();
  await fleet.change(3, today);
  await fleet.exercise();
  await fleet.of(3).do("session");
  fleet.acknowledged++;
  await fleet.assertSame();
  for (const n of numbers) await fleet.of(n).close();
});
