/** The demo's command line. */
import { parseArgs, resolve } from "./deps.ts";

/** What `--help` prints. */
export const usage = `Usage: deno task demo [--input PATH] [--keep]

Starts a master and four NodeHosts in three regions as processes of their own, creates three clusters through
the master, puts every file of the input into them over HTTP, kills the NodeHost that leads most with SIGKILL at
half of the bytes, goes on writing, starts it again, reads everything back and compares it byte for byte. Then it
kills another NodeHost and leaves it dead: the master replaces its nodes on the fourth, and everything is read
back and compared again.

  --input PATH   a file or a folder; by default the project's own files. A relative path counts from
                 where you are
  --keep         stay up at the end and print the addresses, until Ctrl-C
  --help         this text

The last line is JSON. Exit status:
  0    everything was read back and is equal; with --keep as soon as you press Ctrl-C
  1    something was lost, different or stuck
  2    a wrong command line
  3    nothing was lost, but a file of the input was changed meanwhile: the store holds what was put, and that
       differs from the file as it is now
  130  Ctrl-C before the end`;

/** What the user asked for. */
export interface Options {
  /** Absolute path of the input, or undefined for the project's own files. */
  readonly input: string | undefined;
  /** Whether to stay up at the end. */
  readonly keep: boolean;
}

/** The command line cannot be understood. */
export class UsageError extends Error {}

/**
 * Reads the command line. `callerDir` is where the user is: `deno task` itself runs in the project's folder.
 *
 * @throws {UsageError} for options that there are not.
 */
export function readOptions(
  args: string[],
  callerDir: string,
): Options | "help" {
  try {
    const { values } = parseArgs({
      args,
      options: {
        input: { type: "string" },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", default: false, short: "h" },
      },
    });
    if (values.help) return "help";
    if (values.input === "") throw new UsageError("--input is empty");
    const input = values.input === undefined
      ? undefined
      : resolve(callerDir, values.input);
    return { input, keep: values.keep };
  } catch (error) {
    if (error instanceof UsageError || !(error instanceof Error)) throw error;
    throw new UsageError(error.message);
  }
}
