/**
 * A file that is written aside, under a name that no reader looks for, and takes its place when it is whole and
 * durable: write, sync, rename, sync the folder. A crash at any point leaves the old file or the new one.
 */
import { assert } from "../raft/core/assert.ts";
import { RaftError } from "../raft/errors.ts";
import { parentOf } from "./directories.ts";
import type { FileSystem, StoredFile } from "./file_system.ts";

/** A sync of more than this at once would stall that of the log, which shares the disk (rule L5). */
const syncEveryBytes = 4 * 1024 * 1024;

/** Where and as what an {@link AsideFile} is written. */
export interface AsideFileOptions {
  /** Where the file is. */
  readonly fileSystem: FileSystem;
  /** Path while it is written; what a crash left there goes. Its folder exists. */
  readonly temporaryPath: string;
  /** Path in the end, in the same folder; a file there is replaced. */
  readonly path: string;
  /** What it is, for errors: "snapshot", "identity". */
  readonly what: string;
}

/** A file on its way to its place. After an error it is gone. */
export class AsideFile {
  readonly #options: AsideFileOptions;
  readonly #file: StoredFile;
  #bytes = 0;
  #unsyncedBytes = 0;
  #state: "open" | "done" | "gone" = "open";

  /** Creates the file. @throws {RaftError} `diskFull` or `diskFailed`. */
  constructor(options: AsideFileOptions) {
    this.#options = options;
    this.#file = this.#guard(() => {
      options.fileSystem.remove(options.temporaryPath);
      return options.fileSystem.open(options.temporaryPath, {
        createNew: true,
      });
    });
  }

  /** Bytes written. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether so much was written that `sync` is due. */
  get needsSync(): boolean {
    return this.#unsyncedBytes >= syncEveryBytes;
  }

  /** Writes the next bytes. @throws {RaftError} `diskFull` or `diskFailed`. */
  append(bytes: Uint8Array): void {
    assert(this.#state === "open", "a file must be open to be written");
    this.#guard(() => this.#file.writeAt(bytes, this.#bytes));
    this.#bytes += bytes.length;
    this.#unsyncedBytes += bytes.length;
  }

  /** Makes what was written durable. @throws {RaftError} `diskFull` or `diskFailed`; it is never tried again. */
  async sync(): Promise<void> {
    assert(this.#state === "open", "a file must be open to be synced");
    this.#unsyncedBytes = 0;
    try {
      await this.#file.sync();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Puts the whole file in its place, durably. @throws {RaftError} `diskFull` or `diskFailed`. */
  async finish(): Promise<void> {
    const { fileSystem, temporaryPath, path } = this.#options;
    await this.sync();
    // Given up while the sync was under way.
    if (this.#state !== "open") throw closedError(this.#options);
    this.#guard(() => {
      this.#file.close();
      fileSystem.rename(temporaryPath, path);
    });
    this.#state = "done";
    const folder = parentOf(path);
    try {
      if (fileSystem.syncDirectoryLater === undefined) {
        fileSystem.syncDirectory(folder);
      } else await fileSystem.syncDirectoryLater(folder);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Reads what was written. */
  readBack(position: number, length: number): Uint8Array {
    const rest = Math.max(0, this.#bytes - position);
    const bytes = new Uint8Array(Math.min(length, rest));
    this.#guard(() => this.#file.readAt(bytes, position));
    return bytes;
  }

  /** Another file for the same place. */
  again(): AsideFile {
    const { temporaryPath } = this.#options;
    return new AsideFile({
      ...this.#options,
      temporaryPath: `${temporaryPath}.tmp`,
    });
  }

  /** Gives up and removes it, unless it is in its place already. */
  abort(): void {
    if (this.#state !== "open") return;
    this.#state = "gone";
    try {
      this.#file?.close();
      this.#options.fileSystem.remove(this.#options.temporaryPath);
    } catch {
      // The disk is failing, or the process is ending; what stays is removed at the next start.
    }
  }

  #guard<T>(operation: () => T): T {
    try {
      return operation();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): Error {
    this.abort();
    return diskError(
      `write ${this.#options.what} ${this.#options.path}`,
      error,
    );
  }
}

/** The error for a use of a file that was given up. */
function closedError(options: AsideFileOptions): RaftError {
  return new RaftError(
    "closed",
    `Cannot write ${options.what} ${options.path}: it was given up`,
  );
}

/** Whether an error of the file system says that the disk, or the part of it that is ours, is full. */
export function isNoSpace(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === "ENOSPC" || code === "EDQUOT";
}

/**
 * Words an error of the file system: a full disk passes, anything else does not. What did not come from there (a bug,
 * or an error worded already) stays as it is.
 */
export function diskError(doing: string, error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const { code } = error as { code?: unknown };
  if (error instanceof RaftError || typeof code !== "string") return error;
  const isFull = isNoSpace(error);
  return new RaftError(
    isFull ? "diskFull" : "diskFailed",
    `Cannot ${doing}: ${isFull ? "the disk is full" : error.message}`,
    { cause: error },
  );
}
