/**
 * The demo: a master and four NodeHosts as processes, real files put into three clusters, the NodeHost that leads
 * most killed in the midst of it and started again, another one killed for good and replaced by the master, and
 * everything read back and compared. `--help` tells the rest; `story.ts` has the steps in order. Here is what surrounds them: the command line, the temporary folder, Ctrl-C, and the exit status.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { join } from "./deps.ts";
import { DemoFailure } from "./failure.ts";
import { Fleet, projectDir } from "./fleet.ts";
import { readOptions, usage, UsageError } from "./options.ts";
import type { Options } from "./options.ts";
import { tellStory } from "./story.ts";

/** Somebody pressed Ctrl-C. */
class Interrupted extends Error {}

/** Temporary folders are made in the project's own, so that nothing else needs to be writable, on a real disk. */
const scratchDir = join(projectDir, ".tmp");

/** Signals within this time are one Ctrl-C; a later one means that patience is at an end. */
const sameKeystrokeMs = 700;

function makeTempDir(): string {
  Deno.mkdirSync(scratchDir, { recursive: true });
  return Deno.makeTempDirSync({ dir: scratchDir, prefix: "demo-" });
}

function removeTempDir(dir: string): void {
  Deno.removeSync(dir, { recursive: true });
  try {
    Deno.removeSync(scratchDir);
  } catch {
    // Another demo is using it.
  }
}

/** Runs the demo from beginning to end; resolves with the exit status. */
async function run(options: Options): Promise<number> {
  const stop = new AbortController();
  const dir = makeTempDir();
  let isKeeping = false;
  const fleet = Fleet.create({
    dir,
    onUnexpectedEnd: (why) => {
      // Whoever keeps the demo up may also want to see how the others get along without one.
      if (isKeeping) console.log(`${why}; the others stay up`);
      else stop.abort(new DemoFailure(`Died: ${why}`));
    },
  });
  listenForSignals(stop, () => {
    fleet.kill();
    removeTempDir(dir);
  });
  try {
    const summary = await tellStory(fleet, options, stop.signal);
    console.log(JSON.stringify(summary));
    isKeeping = options.keep;
    if (isKeeping) await aborted(stop.signal);
    return summary.demo === "ok" ? 0 : 3;
  } catch (failure) {
    // Whatever failed because of the abort, the reason of the abort is what happened.
    const error = stop.signal.aborted ? stop.signal.reason : failure;
    if (error instanceof Interrupted) {
      console.log("\nInterrupted: stopping all processes");
      return 130;
    }
    return report(error, fleet);
  } finally {
    await fleet.close();
    removeTempDir(dir);
  }
}

function listenForSignals(stop: AbortController, giveUp: () => void): void {
  let interruptedAt = Infinity;
  const interrupt = () => {
    interruptedAt = Math.min(interruptedAt, performance.now());
    stop.abort(new Interrupted());
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      // One Ctrl-C arrives several times: from the terminal, and passed on by `deno task` and npx.
      if (performance.now() - interruptedAt > sameKeystrokeMs) {
        giveUp();
        Deno.exit(130);
      }
      interrupt();
    });
  }
  // The terminal is gone; after Ctrl-C it may go before the demo does, which is no reason to hurry.
  Deno.addSignalListener("SIGHUP", interrupt);
}

async function aborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 60_000); // Keeps the process up.
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      }, { once: true });
    });
  }
  if (signal.reason instanceof Interrupted) return;
  throw signal.reason;
}

function report(error: unknown, fleet: Fleet): number {
  const why = error instanceof Error ? error.message : String(error);
  const isExpected = error instanceof DemoFailure;
  console.error(`\n${isExpected ? why : (error as Error)?.stack ?? why}`);
  console.error(fleet.tails());
  const lost = error instanceof DemoFailure ? error.lost : undefined;
  console.log(JSON.stringify({ demo: "failed", why, lost }));
  return 1;
}

if (import.meta.main) {
  try {
    const options = readOptions(
      Deno.args,
      Deno.env.get("INIT_CWD") ?? Deno.cwd(),
    );
    if (options === "help") console.log(usage);
    else Deno.exit(await run(options));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    Deno.exit(2);
  }
}
