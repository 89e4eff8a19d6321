/** Folders as bytes: what `cp -r`, a backup and its restoring see of them, and what they cannot keep, which is where they lay. */
import type { FileSystem } from "../../storage/file_system.ts";

/** A folder with all that is in it. */
export interface FolderImage {
  /** Paths below it of the folders, each before what it holds. */
  readonly folders: readonly string[];
  /** Contents by path below it. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Reads a folder as it is now, whoever writes to it; undefined if there is none. */
export function readFolder(
  fileSystem: FileSystem,
  dir: string,
): FolderImage | undefined {
  if (fileSystem.stat(dir) === undefined) return undefined;
  const folders = [""];
  const files = new Map<string, Uint8Array>();
  for (const folder of folders) {
    for (const name of fileSystem.list(dir + folder)) {
      const path = `${folder}/${name}`;
      if (fileSystem.stat(dir + path)?.isDirectory === true) folders.push(path);
      else files.set(path, readFile(fileSystem, dir + path));
    }
  }
  return { folders, files };
}

/** Writes a folder anew, durably: every file and folder in it is another one than it was. */
export function writeFolder(
  fileSystem: FileSystem,
  dir: string,
  { folders, files }: FolderImage,
): void {
  for (const path of folders) fileSystem.makeDirectory(dir + path);
  for (const [path, bytes] of files) {
    const file = fileSystem.open(dir + path, { createNew: true });
    file.writeAt(bytes, 0);
    // Nothing delays or fails these syncs.
    void file.sync();
    file.close();
  }
  for (const path of folders) fileSystem.syncDirectory(dir + path);
  fileSystem.syncDirectory("/");
}

/** All bytes of a file. */
export function readFile(fileSystem: FileSystem, path: string): Uint8Array {
  const file = fileSystem.open(path);
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}
