/**
 * Disks that fail, made by the operating system where it lets us: a small file system that can be filled, and syncs that
 * end with an error. A quota of our own making would prove nothing about real files, so without these the fault is left
 * out, with a word.
 */
import { join } from "./deps.ts";
import { readLines } from "./protocol.ts";

/** Room for a NodeHost of this run: a few segments of 1 MiB, snapshots, and a second folder. */
const smallBytes = 48 * 1024 * 1024;
const pieceBytes = 64 * 1024;

/** A small file system in memory, mounted at a folder. */
export class SmallFileSystem {
  /** Where it is. */
  readonly path: string;
  readonly #helper: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(
    path: string,
    helper: Deno.ChildProcess,
    input: WritableStreamDefaultWriter<Uint8Array>,
  ) {
    this.path = path;
    this.#helper = helper;
    this.#input = input;
  }

  /** Mounts one at a folder; returns why not where that is not allowed. */
  static async mount(path: string): Promise<SmallFileSystem | string> {
    // The helper unmounts when its input ends: also when this process is killed.
    const script =
      `mount -t tmpfs -o size=${smallBytes} drakkar-chaos "$0" && echo mounted && cat > /dev/null; umount -l "$0"`;
    let helper: Deno.ChildProcess;
    try {
      helper = new Deno.Command("sh", {
        args: ["-c", script, path],
        stdin: "piped",
        stdout: "piped",
        stderr: "null",
        detached: true,
      }).spawn();
    } catch (error) {
      return (error as Error).message;
    }
    const input = helper.stdin.getWriter();
    input.closed.catch(() => {});
    for await (const line of readLines(helper.stdout)) {
      if (line === "mounted") return new SmallFileSystem(path, helper, input);
    }
    await helper.status;
    return "this user may not mount";
  }

  /** Leaves no space. */
  fill(): void {
    const file = Deno.openSync(join(this.path, "filler"), {
      create: true,
      append: true,
    });
    try {
      for (let bytes = pieceBytes; bytes > 0; bytes >>= 1) {
        const piece = new Uint8Array(bytes);
        for (;;) if (file.writeSync(piece) < bytes) break;
      }
    } catch {
      // No space left: that is what was wanted.
    } finally {
      file.close();
    }
  }

  /** Gives the space back. */
  empty(): void {
    try {
      Deno.removeSync(join(this.path, "filler"));
    } catch {
      // It was not filled.
    }
  }

  /** Unmounts; what is in it is gone. */
  async close(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#helper.status;
  }
}

/** Whether a process's system calls can be made to fail here; else why not. */
export async function canInjectErrors(): Promise<true | string> {
  try {
    const { success } = await new Deno.Command("strace", {
      args: [
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO",
        "true",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    return success || "strace may not trace here";
  } catch {
    return "there is no strace here";
  }
}

/** Exit status of strace where it may not trace a process. */
const mayNotTrace = 1;

/** Makes the syncs of a running process fail, until it ends or the time is over. False: that is not allowed. */
export async function failSyncs(pid: number, forMs: number): Promise<boolean> {
  const calls = "fdatasync,fsync";
  const strace = new Deno.Command("strace", {
    args: [
      "-f",
      "-qq",
      "-o",
      "/dev/null",
      "-e",
      `trace=${calls}`,
      "-e",
      `inject=${calls}:error=EIO`,
      "-p",
      `${pid}`,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  const timer = setTimeout(() => {
    try {
      strace.kill("SIGINT"); // It lets go of the process.
    } catch {
      // The process has ended, and strace with it.
    }
  }, forMs);
  const { code } = await strace.status;
  clearTimeout(timer);
  return code !== mayNotTrace;
}

/** Stops a process for a while. Who continues it is a process of its own, so that none stays stopped if this one dies. */
export async function pauseProcess(pid: number, forMs: number): Promise<void> {
  const script = `kill -STOP "$0" && sleep "$1"; kill -CONT "$0"`;
  await new Deno.Command("sh", {
    args: ["-c", script, `${pid}`, `${forMs / 1_000}`],
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).output();
}
