/** Making folders that survive a power cut. */
import type { FileSystem } from "./file_system.ts";

/**
 * Creates a folder and its parents, and syncs each into the folder above it, one level at a time: a crash at any
 * point leaves at most the last one made unsynced, and the next call syncs that one too.
 */
export function makeDurableDirectory(
  fileSystem: FileSystem,
  path: string,
): void {
  const missing: string[] = [];
  let at = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  while (!isTop(at) && isMissing(fileSystem, at)) {
    missing.push(at);
    at = parentOf(at);
  }
  if (!isTop(at)) syncExisting(fileSystem, parentOf(at));
  // What may not be synced is refused before anything is made, or the next call would take it for somebody else's.
  if (missing.length > 0) fileSystem.syncDirectory(at === "" ? "/" : at);
  for (const folder of missing.reverse()) {
    fileSystem.makeDirectory(folder);
    fileSystem.syncDirectory(parentOf(folder));
  }
}

/** The folder that holds `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return ".";
  return slash === 0 ? "/" : path.slice(0, slash);
}

function isTop(path: string): boolean {
  return path === "." || path === "/" || path === "";
}

/** Whether there is nothing at `path`. What we may not even look at is somebody else's, and there. */
function isMissing(fileSystem: FileSystem, path: string): boolean {
  try {
    return fileSystem.stat(path) === undefined;
  } catch (error) {
    if (isForbidden(error)) return false;
    throw error;
  }
}

/** Somebody else made this folder's entry long ago, perhaps with rights that do not let us open the one above. */
function syncExisting(fileSystem: FileSystem, path: string): void {
  try {
    fileSystem.syncDirectory(path);
  } catch (error) {
    if (!isForbidden(error)) throw error;
  }
}

/** Whether the operating system or Deno's permissions said no. */
function isForbidden(error: unknown): boolean {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return code === "EACCES" || code === "EPERM" || name === "NotCapable";
}
