/**
 * The port to the file system: the dozen operations that the log, the snapshots and the identity need. All
 * are synchronous except `sync`, which is the one that takes long; whoever reads or writes much yields to
 * the event loop between calls. Errors are plain `Error`s with a Node-style `code` (`ENOENT`, `ENOSPC`, `EIO`).
 */

/** A file opened for positional reading and writing. */
export interface StoredFile {
  /** Reads up to `target.length` bytes at `position`; returns how many (fewer only at the end of the file). */
  readAt(target: Uint8Array, position: number): number;
  /** Writes all of `bytes` at `position` (an adapter repeats short writes); throws if it cannot. */
  writeAt(bytes: Uint8Array, position: number): void;
  /** Current length in bytes. */
  size(): number;
  /** Cuts or extends the file with zeros. */
  truncate(size: number): void;
  /**
   * Makes every write that had returned before the call durable (fdatasync: contents and length). A failed
   * sync is final: the caller must treat unsynced writes as lost and never retry (fsync failures, ATC '20).
   */
  sync(): Promise<void>;
  /** Closes the file; unsynced writes stay in the operating system's cache. */
  close(): void;
}

/** What `stat` tells. */
export interface FileStat {
  /** Whether it is a folder. */
  readonly isDirectory: boolean;
  /** Length in bytes. */
  readonly size: number;
  /** Inode number, 0 where the platform has none. */
  readonly inode: number;
  /** Device number, 0 where the platform has none. */
  readonly device: number;
  /** When it was created, in milliseconds since 1970; absent or 0 where the platform does not know. */
  readonly birthTimeMs?: number;
}

/** A lock on a file, held until it is released or the process ends. */
export interface FileLock {
  /** Gives the lock back. */
  release(): void;
}

/** The file operations that storage is written against. Paths use `/`. */
export interface FileSystem {
  /**
   * Opens a file for reading and writing, or only for reading. `createNew` fails with `EEXIST`; without `create` a missing
   * file is `ENOENT`.
   */
  open(
    path: string,
    options?: { create?: boolean; createNew?: boolean; readOnly?: boolean },
  ): StoredFile;
  /** Names in a folder, sorted; fails with `ENOENT`. */
  list(path: string): string[];
  /** Describes a file or folder, or undefined if there is none. */
  stat(path: string): FileStat | undefined;
  /** Creates a folder and its parents; an existing one is fine. */
  makeDirectory(path: string): void;
  /** Renames a file or folder, replacing a file at `to`. Durable once the folder is synced. */
  rename(from: string, to: string): void;
  /** Removes a file, or a folder with what is in it; a missing one is fine. Durable once the folder is synced. */
  remove(path: string): void;
  /** Makes creations, renames and removals in the folder durable. */
  syncDirectory(path: string): void;
  /** The same without holding up the event loop, where the adapter can. */
  syncDirectoryLater?(path: string): Promise<void>;
  /** Takes an exclusive lock on a file (created if missing), or returns undefined if another holder has it. */
  tryLock(path: string): FileLock | undefined;
}
