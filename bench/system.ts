/** What the operating system says: disks, memory, addresses, and what machine this is. */
import { cpus, join, process, release, statfsSync, tmpdir } from "./deps.ts";

const memoryFileSystems: Record<number, string> = {
  0x0102_1994: "tmpfs",
  0x8584_58f6: "ramfs",
};

/** The name of the file system that keeps `dir` in memory, where a sync would mean nothing; undefined for a disk. */
export function memoryFileSystemOf(dir: string): string | undefined {
  return memoryFileSystems[statfsSync(dir).type];
}

/**
 * Makes a folder of the benchmark's own, on a disk: in `dir`, which is made if it is not there, or else in the system's
 * temporary folder or, if that is in memory, in `from`.
 *
 * @throws {Error} if the place is not on a disk.
 */
export function makeBenchDir(dir: string | undefined, from: string): string {
  if (dir !== undefined) Deno.mkdirSync(dir, { recursive: true });
  const places = dir === undefined ? [tmpdir(), from] : [dir];
  const place = places.find((each) => memoryFileSystemOf(each) === undefined);
  if (place === undefined) {
    throw new Error(
      `Cannot measure in ${places[0]}: it is a ${
        memoryFileSystemOf(places[0]!)
      }, which never syncs; name a folder on a disk with --dir`,
    );
  }
  return Deno.makeTempDirSync({ dir: place, prefix: "drakkar-bench-" });
}

/** Waits, and lets the event loop look at its sockets. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** As many free addresses on loopback. */
export function freeAddresses(count: number): string[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  return listeners.map((listener) => {
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    return `127.0.0.1:${port}`;
  });
}

/** Finds a size, such as `VmHWM` (the most memory ever resident), in the text of `/proc/PID/status`, in MiB. */
export function parseProcessStatus(text: string, key: string): number {
  const match = new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(text);
  return match === null ? NaN : Number(match[1]) / 1024;
}

/** Resident memory of a process now and at its peak, in MiB; NaN where the system does not tell. */
export function memoryOf(pid: number): { rssMb: number; peakMb: number } {
  let text = "";
  try {
    text = Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    // Only Linux has it.
  }
  return {
    rssMb: parseProcessStatus(text, "VmRSS"),
    peakMb: parseProcessStatus(text, "VmHWM"),
  };
}

/** Bytes that a folder takes on disk, in MiB. */
export function diskMb(dir: string): number {
  let bytes = 0;
  for (const entry of Deno.readDirSync(dir)) {
    const path = join(dir, entry.name);
    try {
      if (entry.isDirectory) bytes += diskMb(path) * 2 ** 20;
      else bytes += (Deno.statSync(path).blocks ?? 0) * 512;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // Removed meanwhile.
    }
  }
  return bytes / 2 ** 20;
}

/** One line on what was measured, and where. */
export function describeMachine(): string {
  const models = cpus();
  const commit = new Deno.Command("git", {
    args: ["describe", "--always", "--dirty"],
    cwd: new URL("..", import.meta.url),
    stdout: "piped",
    stderr: "null",
  });
  let revision = "unknown";
  try {
    const { success, stdout } = commit.outputSync();
    if (success) revision = new TextDecoder().decode(stdout).trim();
  } catch {
    // No git here: the code may have come as an archive.
  }
  return `commit ${revision}; Deno ${Deno.version.deno}; ${models.length} x ${
    models[0]?.model ?? "unknown processor"
  }; ${process.platform} ${release()}`;
}
