/** A file system that remembers what was done to it, file by file: a handle keeps its file when that gets another name. */
import type { FileSystem, StoredFile } from "../../../storage/file_system.ts";

/** One operation on a file. */
export interface FileEvent {
  readonly what: "read" | "write" | "sync";
  /** Tells files apart, in the order in which they were first opened. */
  readonly file: number;
  readonly position: number;
  readonly length: number;
}

/** Passes everything on, and records it. */
export class Recorder implements FileSystem {
  readonly events: FileEvent[] = [];
  readonly created: string[] = [];
  readonly #disk: FileSystem;
  readonly #numbers = new Map<number, number>();

  constructor(disk: FileSystem) {
    this.#disk = disk;
  }

  open(
    path: string,
    options?: { create?: boolean; createNew?: boolean },
  ): StoredFile {
    if (this.#disk.stat(path) === undefined) this.created.push(path);
    const opened = this.#disk.open(path, options);
    const { inode } = this.#disk.stat(path)!;
    const file = this.#numbers.get(inode) ?? this.#numbers.size;
    this.#numbers.set(inode, file);
    const record = (what: FileEvent["what"], position = 0, length = 0) =>
      this.events.push({ what, file, position, length });
    return {
      readAt: (target, position) => {
        const count = opened.readAt(target, position);
        record("read", position, count);
        return count;
      },
      writeAt: (bytes, position) => {
        record("write", position, bytes.length);
        opened.writeAt(bytes, position);
      },
      size: () => opened.size(),
      truncate: (size) => opened.truncate(size),
      sync: async () => {
        await opened.sync();
        record("sync");
      },
      close: () => opened.close(),
    };
  }

  list(path: string): string[] {
    return this.#disk.list(path);
  }

  stat(path: string): ReturnType<FileSystem["stat"]> {
    return this.#disk.stat(path);
  }

  makeDirectory(path: string): void {
    this.#disk.makeDirectory(path);
  }

  rename(from: string, to: string): void {
    this.#disk.rename(from, to);
  }

  remove(path: string): void {
    this.#disk.remove(path);
  }

  syncDirectory(path: string): void {
    this.#disk.syncDirectory(path);
  }

  tryLock(path: string): ReturnType<FileSystem["tryLock"]> {
    return this.#disk.tryLock(path);
  }
}
