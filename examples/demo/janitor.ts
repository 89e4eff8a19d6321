/**
 * Cleans up after a demo that died without cleaning up itself (SIGKILL, a closed lid, a crash). The demo starts this
 * program first and tells it on standard input what there is to clean up; when the input ends, the demo is gone.
 *
 *     +PID    this process was started
 *     -PID    it ended
 *     done    the demo has cleaned up itself
 *
 * Its only argument is the temporary folder.
 */
const [dir] = Deno.args;
const processes = new Set<number>();
/** A killed process holds its files a little longer. */
const lastBreathMs = 500;

async function cleanUp(): Promise<void> {
  for (const pid of processes) {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch {
      // It is gone.
    }
  }
  await new Promise((resolve) => setTimeout(resolve, lastBreathMs));
  try {
    Deno.removeSync(dir!, { recursive: true });
    Deno.removeSync(`${dir}/..`);
  } catch {
    // The demo had just removed it itself, or another one is using the folder above.
  }
}

let rest = "";
for await (
  const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())
) {
  const lines = (rest + text).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    if (line === "done") Deno.exit(0);
    const pid = Number(line.slice(1));
    if (line.startsWith("+")) processes.add(pid);
    else processes.delete(pid);
  }
}
await cleanUp();
