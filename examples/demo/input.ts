/** What the demo puts into the store: the files of the input, cut into chunks. */
import { DemoFailure } from "./failure.ts";
import { createHash, join, relative } from "./deps.ts";

/** One file of the input as it was when the demo began. */
export interface InputFile {
  /** Path below the input, with `/`: the first part of its keys. */
  readonly name: string;
  /** Where to read it. */
  readonly path: string;
  /** Its length. A file that grows meanwhile is taken up to here. */
  readonly bytes: number;
}

/** Something in the input that is no readable regular file, and why it is left out. */
export interface Skipped {
  /** Where it is. */
  readonly path: string;
  /** Why it is left out. */
  readonly why: string;
}

/** The whole input. */
export interface Input {
  /** Where it came from, for people. */
  readonly from: string;
  /** In the order in which they are put. */
  readonly files: readonly InputFile[];
  /** What was left out. */
  readonly skipped: readonly Skipped[];
  /** Sum over `files`. */
  readonly bytes: number;
}

/** One piece of a file. */
export interface Chunk {
  /** Its key in the store. */
  readonly key: string;
  /** The file it belongs to. */
  readonly file: InputFile;
  /** Where it starts in the file. */
  readonly offset: number;
  /** What it holds. */
  readonly value: Uint8Array;
}

const chunkBytesMax = 64 * 1024;
const chunkBytesMin = 64;
const chunkCountWanted = 1_024;

/** Folders that belong to tools, not to the project, when there is no git to say so. */
const toolFolders: ReadonlySet<string> = new Set([
  ".git",
  ".tmp",
  "data",
  "node_modules",
]);

/**
 * Lists the input. Without `input` that is the project's own files as git lists them, or as they lie in its folder
 * where there is no git or no repository.
 *
 * @throws {DemoFailure} if the input does not exist.
 */
export async function listInput(
  input: string | undefined,
  projectDir: string,
): Promise<Input> {
  const found = new Collector();
  if (input !== undefined) {
    await found.add(input, baseName(input), { isRoot: true });
    return found.input(input);
  }
  const names = await gitFiles(projectDir);
  if (names === undefined) {
    await found.addFolder(projectDir, "", toolFolders);
    return found.input("the project's own files");
  }
  for (const name of names) {
    await found.add(join(projectDir, name), name, { isRoot: false });
  }
  return found.input("the project's own files, as git lists them");
}

/** Chunks are small enough that a small input is many of them, so that the crash comes in the midst of something. */
export function chunkBytesFor(input: Input): number {
  const wanted = Math.ceil(input.bytes / chunkCountWanted);
  return Math.min(chunkBytesMax, Math.max(chunkBytesMin, wanted));
}

/**
 * Cuts the input into chunks, reading one at a time. An empty file is one empty chunk, so that it is in the store too.
 *
 * @throws {Error} if a file can no longer be read.
 */
export async function* chunksOf(
  input: Input,
  chunkBytes: number,
): AsyncGenerator<Chunk> {
  for (const file of input.files) {
    using handle = await Deno.open(file.path);
    for (let i = 0; i === 0 || i * chunkBytes < file.bytes; i++) {
      const offset = i * chunkBytes;
      const wanted = Math.min(chunkBytes, file.bytes - offset);
      const value = await readFull(handle, wanted);
      yield { key: `${file.name}#${i}`, file, offset, value };
    }
  }
}

/** Reads one chunk of a file again, to compare it with what the store returns. */
export async function readAgain(
  file: InputFile,
  offset: number,
  bytes: number,
): Promise<Uint8Array> {
  using handle = await Deno.open(file.path);
  await handle.seek(offset, Deno.SeekMode.Start);
  return await readFull(handle, bytes); // Awaited here, or the file would be closed while it is read.
}

/** SHA-256 as hex. */
export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function readFull(
  handle: Deno.FsFile,
  bytes: number,
): Promise<Uint8Array> {
  const target = new Uint8Array(bytes);
  let filled = 0;
  while (filled < bytes) {
    const count = await handle.read(target.subarray(filled));
    if (count === null) break; // The file became shorter: what is left of it is taken.
    filled += count;
  }
  return target.subarray(0, filled);
}

class Collector {
  readonly #files: InputFile[] = [];
  readonly #skipped: Skipped[] = [];

  async add(
    path: string,
    name: string,
    { isRoot }: { isRoot: boolean },
  ): Promise<void> {
    let info: Deno.FileInfo;
    try {
      // The input itself may be named by a link; a link inside it is not followed, or a circle of them never ends.
      info = isRoot ? await Deno.stat(path) : await Deno.lstat(path);
    } catch (error) {
      if (isRoot) {
        throw new DemoFailure(
          `Cannot read the input ${path}: ${reason(error)}`,
        );
      }
      // A name that is not UTF-8 cannot be passed back to the system, so its file cannot be found.
      this.#skip(path, path.includes("\ufffd") ? "name is not UTF-8" : error);
      return;
    }
    if (info.isSymlink) this.#skip(path, "symbolic link");
    else if (info.isDirectory) {
      await this.addFolder(path, isRoot ? "" : name, new Set());
    } else if (!info.isFile) this.#skip(path, "not a regular file");
    else await this.#addFile({ name, path, bytes: info.size });
  }

  async addFolder(
    path: string,
    name: string,
    leftOut: ReadonlySet<string>,
  ): Promise<void> {
    const entries: string[] = [];
    try {
      for await (const entry of Deno.readDir(path)) entries.push(entry.name);
    } catch (error) {
      this.#skip(path, error);
      return;
    }
    for (const entry of entries.sort()) {
      if (leftOut.has(entry)) continue;
      const entryName = name === "" ? entry : `${name}/${entry}`;
      await this.add(join(path, entry), entryName, { isRoot: false });
    }
  }

  input(from: string): Input {
    const bytes = this.#files.reduce((sum, file) => sum + file.bytes, 0);
    return { from, files: this.#files, skipped: this.#skipped, bytes };
  }

  async #addFile(file: InputFile): Promise<void> {
    try {
      (await Deno.open(file.path)).close(); // Said now, rather than in the midst of the work.
      this.#files.push(file);
    } catch (error) {
      this.#skip(file.path, error);
    }
  }

  #skip(path: string, why: unknown): void {
    this.#skipped.push({
      path,
      why: typeof why === "string" ? why : reason(why),
    });
  }
}

/** Names of the files that git tracks below a folder, or undefined if it cannot tell. */
async function gitFiles(dir: string): Promise<string[] | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", dir, "ls-files", "-z"],
      stdin: "null",
      stderr: "null",
    }).output();
    if (!success) return undefined;
    const names = new TextDecoder().decode(stdout).split("\0");
    return names.filter((name) => name !== "");
  } catch {
    return undefined; // There is no git.
  }
}

function baseName(path: string): string {
  return relative(join(path, ".."), path);
}

function reason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "it does not exist";
  if (
    error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable
  ) return "permission denied";
  return error instanceof Error ? error.message : String(error);
}
