/**
 * Where a NodeHost keeps what it must not forget: the port to the file system, and its two implementations. Tests use
 * `memoryStorage()`; `MemoryFileSystem` is as unkind as a real disk, and loses what was not synced when it is told to.
 *
 * @module
 */
export { DenoFileSystem } from "./deno_file_system.ts";
export type {
  FileLock,
  FileStat,
  FileSystem,
  StoredFile,
} from "./file_system.ts";
export type { DiskPrng } from "./memory_file.ts";
export { MemoryFileSystem, memoryStorage } from "./memory_file_system.ts";
export type {
  DiskChange,
  DiskFaults,
  MemoryDiskOptions,
} from "./memory_file_system.ts";
