/**
 * A denokv server: where it is found, how it is built, and how it is started. It is looked for in `DRAKKAR_DENOKV`, on
 * the `PATH`, and where {@link build} puts it, which is kept between runs.
 */
import { ChildProcess } from "../../../examples/demo/child_process.ts";
import { fileURLToPath, join } from "./deps.ts";

/** The release that is built. */
export const denokvVersion = "0.14.0";

/** How it is started. */
export interface DenokvOptions {
  /** The program. */
  readonly program: string;
  /** Folder for its database. */
  readonly dir: string;
  /** Where it listens. */
  readonly port: number;
  /** What its clients must know. */
  readonly token: string;
  /** Called when it ends by itself. */
  readonly onUnexpectedEnd: (why: string) => void;
}

const projectDir = fileURLToPath(new URL("../../../", import.meta.url));
const startTimeoutMs = 20_000;

/** The folder that keeps a server that was built here. */
export function cacheDir(): string {
  const caches = Deno.env.get("XDG_CACHE_HOME") ??
    join(Deno.env.get("HOME") ?? projectDir, ".cache");
  return join(caches, "drakkar", `denokv-${denokvVersion}`);
}

/** The program, or undefined if there is none. */
export function findDenokv(): string | undefined {
  const given = Deno.env.get("DRAKKAR_DENOKV");
  if (given !== undefined && given !== "") return given;
  return [...onPath("denokv"), join(cacheDir(), "bin", "denokv")].find(isFile);
}

/** Cargo, with which it is built; undefined if there is none. */
export function findCargo(): string | undefined {
  return onPath("cargo").find(isFile);
}

function onPath(name: string): string[] {
  return (Deno.env.get("PATH") ?? "").split(":").filter((dir) => dir !== "")
    .map((dir) => join(dir, name));
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/**
 * Begins to build it, with little claim to the processors; undefined if there is no cargo. It takes five minutes on two
 * cores; afterwards {@link findDenokv} finds it.
 */
export function beginToBuild(): Deno.ChildProcess | undefined {
  const cargo = findCargo();
  if (cargo === undefined) return undefined;
  const install = [
    "install",
    "denokv",
    "--version",
    denokvVersion,
    "--locked",
    "--quiet",
    "--root",
    cacheDir(),
  ];
  return new Deno.Command("nice", {
    args: ["-n", "10", cargo, ...install],
    env: { CARGO_TARGET_DIR: join(cacheDir(), "target") },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** Starts it, and waits until it listens. */
export async function startDenokv(
  options: DenokvOptions,
): Promise<ChildProcess> {
  const { program, dir, port, token, onUnexpectedEnd } = options;
  const child = new ChildProcess({
    name: "denokv",
    program,
    args: [
      "--sqlite-path",
      join(dir, "kv.sqlite"),
      "serve",
      "--access-token",
      token,
      "--addr",
      `127.0.0.1:${port}`,
    ],
    cwd: dir,
    env: {},
    onUnexpectedEnd,
  });
  const deadline = performance.now() + startTimeoutMs;
  while (!await canConnect(port)) {
    if (child.hasEnded || performance.now() > deadline) {
      throw new Error(`Cannot start denokv: ${child.tail()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return child;
}

async function canConnect(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}
