/**
 * Files of the operating system. Positional reads and writes are `node:fs`'s, because `Deno.FsFile` has none and
 * seeking would make two readers of one file disturb each other; the lock is Deno's, because `node:fs` has none.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "./deps.ts";
import type {
  FileLock,
  FileStat,
  FileSystem,
  StoredFile,
} from "./file_system.ts";

/** The log and the snapshots hold what users stored, so new files and folders are the owner's alone. */
const fileMode = 0o600;
const folderMode = 0o700;

/** `Deno.FsFile` as far as every Deno has it: the lock came late. */
type Lockable = Deno.FsFile & {
  tryLockSync?: (exclusive?: boolean) => boolean;
};

/** A {@link FileSystem} over the files of the operating system. */
export class DenoFileSystem implements FileSystem {
  /** Opens a file; a created one gets its parent folders as well. */
  open(
    path: string,
    options: { create?: boolean; createNew?: boolean; readOnly?: boolean } = {},
  ): StoredFile {
    const creates = options.create === true || options.createNew === true;
    const access = options.readOnly === true
      ? constants.O_RDONLY
      : constants.O_RDWR;
    const flags = access |
      (creates ? constants.O_CREAT : 0) |
      (options.createNew === true ? constants.O_EXCL : 0);
    const fd = creates
      ? withParents(path, () => openSync(path, flags, fileMode))
      : openSync(path, flags);
    return new DenoStoredFile(fd, path);
  }

  /** Names in a folder, in the order of their code units, which no locale changes. */
  list(path: string): string[] {
    return readdirSync(path).sort();
  }

  /** Describes a file or folder, or returns undefined. */
  stat(path: string): FileStat | undefined {
    try {
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return undefined;
      return {
        isDirectory: stat.isDirectory(),
        size: stat.size,
        inode: stat.ino ?? 0,
        device: stat.dev ?? 0,
        birthTimeMs: stat.birthtimeMs ?? 0,
      };
    } catch (error) {
      // A parent that is a file: there can be nothing below it.
      if (codeOf(error) === "ENOTDIR") return undefined;
      throw error;
    }
  }

  /** Creates a folder and its parents. */
  makeDirectory(path: string): void {
    mkdirSync(path, { recursive: true, mode: folderMode });
  }

  /** Renames a file or folder. */
  rename(from: string, to: string): void {
    renameSync(from, to);
  }

  /** Removes a file, or a folder with what is in it. */
  remove(path: string): void {
    rmSync(path, { recursive: true, force: true });
  }

  /** Syncs a folder. Windows can neither open nor sync one; there the journal of NTFS keeps the order. */
  syncDirectory(path: string): void {
    if (Deno.build.os === "windows") return;
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  /** Syncs a folder on another thread: it takes milliseconds while the log syncs too. */
  syncDirectoryLater(path: string): Promise<void> {
    if (Deno.build.os === "windows") return Promise.resolve();
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    return new Promise((resolve, reject) => {
      fsync(fd, (error: Error | null | undefined) => {
        closeSync(fd);
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  }

  /**
   * Takes an exclusive lock that another process, and another holder in this one, respects.
   *
   * @throws {Error} on a Deno that is too old to lock files.
   */
  tryLock(path: string): FileLock | undefined {
    const file: Lockable = withParents(
      path,
      () =>
        Deno.openSync(path, {
          read: true,
          write: true,
          create: true,
          mode: fileMode,
        }),
    );
    let isLocked = false;
    try {
      if (file.tryLockSync === undefined) {
        throw new Error(
          `Cannot lock ${path}: Deno ${Deno.version.deno} has no Deno.FsFile.tryLockSync; use Deno 2.9 or newer`,
        );
      }
      isLocked = file.tryLockSync(true);
    } finally {
      if (!isLocked) file.close();
    }
    return isLocked ? new DenoFileLock(file) : undefined;
  }
}

class DenoFileLock implements FileLock {
  #file: Deno.FsFile | undefined;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  release(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

class DenoStoredFile implements StoredFile {
  readonly #path: string;
  #fd: number;
  /** Syncs under way: the descriptor must not be closed, and perhaps given to another file, before they end. */
  #syncing = 0;
  #isClosed = false;

  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  readAt(target: Uint8Array, position: number): number {
    this.#requireOpen("read");
    let done = 0;
    while (done < target.length) {
      const count = readSync(
        this.#fd,
        target,
        done,
        target.length - done,
        position + done,
      );
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  writeAt(bytes: Uint8Array, position: number): void {
    this.#requireOpen("write");
    let done = 0;
    while (done < bytes.length) {
      // A short write, as before a full disk or a signal: what is left is written, or fails with the reason.
      const count = writeSync(
        this.#fd,
        bytes,
        done,
        bytes.length - done,
        position + done,
      );
      if (count === 0) {
        throw codedError("EIO", `cannot write to ${this.#path}: 0 bytes taken`);
      }
      done += count;
    }
  }

  size(): number {
    this.#requireOpen("stat");
    return fstatSync(this.#fd).size;
  }

  truncate(size: number): void {
    this.#requireOpen("truncate");
    ftruncateSync(this.#fd, size);
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#requireOpen("sync");
      this.#syncing++;
      fdatasync(this.#fd, (error: Error | null | undefined) => {
        this.#syncing--;
        if (this.#isClosed && this.#syncing === 0) closeSync(this.#fd);
        if (error === null || error === undefined) resolve();
        else reject(error);
      });
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#syncing === 0) closeSync(this.#fd);
  }

  #requireOpen(operation: string): void {
    if (this.#isClosed) {
      throw codedError("EBADF", `cannot ${operation} ${this.#path}: closed`);
    }
  }
}

function withParents<T>(path: string, create: () => T): T {
  try {
    return create();
  } catch (error) {
    const slash = path.lastIndexOf("/");
    if (codeOf(error) !== "ENOENT" || slash < 1) throw error;
    mkdirSync(path.slice(0, slash), { recursive: true, mode: folderMode });
    return create();
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error
    ? String(error.code)
    : undefined;
}

function codedError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}
