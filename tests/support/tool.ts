// deno-lint-ignore-file no-console -- command lines.
/** What the command lines of tools for tests have in common. */

/** A command line that is no good; the message says what is wrong. */
export class UsageError extends Error {}

/**
 * Runs a tool: `read` takes its settings from the command line, or undefined if only its text of help was asked for;
 * `work` tells whether all is well. Returns the exit status: 0, 1 if not all is well, 2 for a wrong command line.
 */
export async function runTool<Settings>(
  usage: string,
  read: (args: string[]) => Settings | undefined,
  work: (settings: Settings) => Promise<boolean>,
): Promise<number> {
  try {
    const settings = read(Deno.args);
    if (settings !== undefined) return await work(settings) ? 0 : 1;
    console.log(usage);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    return 2;
  }
}
