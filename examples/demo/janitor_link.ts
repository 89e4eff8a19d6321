/** The line to the process that cleans up after a demo that cannot do it itself. */
import { fileURLToPath, join } from "./deps.ts";

/** The process that cleans up if this one cannot (`janitor.ts`). */
export class Janitor {
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  /** Starts it for a temporary folder. */
  constructor(dir: string) {
    const process = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--quiet",
        "--allow-run", // Deno asks for it where a process is to be killed.
        `--allow-read=${join(dir, "..")}`,
        `--allow-write=${join(dir, "..")}`,
        fileURLToPath(new URL("janitor.ts", import.meta.url)),
        dir,
      ],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    process.unref();
    this.#input = process.stdin.getWriter();
  }

  /** Tells it a line of those that `janitor.ts` lists. */
  tell(line: string): void {
    this.#input.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
  }
}
