/**
 * A file system in memory that is as unkind as a real disk (rule L6), for simulation and for users' tests.
 *
 * Contents: see `memory_file.ts`. Names: every creation, rename and removal takes effect at once for whoever looks,
 * and waits in a list until its folder is synced; a power cut applies any subset of that list to what is durable. A
 * rename is one element of it, so a cut leaves the old state or the new one and never neither.
 */
import { type DiskPrng, MemoryFile } from "./memory_file.ts";
import type {
  FileLock,
  FileStat,
  FileSystem,
  StoredFile,
} from "./file_system.ts";

/** Changes other than writes and syncs, as told to {@link DiskFaults.beforeChange}. */
export type DiskChange =
  | "truncate"
  | "makeDirectory"
  | "rename"
  | "remove"
  | "syncDirectory";

/**
 * What a simulator may do to a disk. Each hook is called before the operation and may throw an `Error` with a
 * Node-style `code`, which then happens instead of it. Paths are as the caller gave them.
 */
export interface DiskFaults {
  /** Before a new file is made. */
  beforeCreate?(path: string): void;
  /** Before each read. */
  beforeRead?(path: string, position: number, length: number): void;
  /**
   * Before each write. A returned number makes the write a short one of so many bytes (at least 1): the rest is
   * written by further calls, so an error thrown by the second leaves the first part in place.
   */
  beforeWrite?(path: string, position: number, length: number): number | void;
  /** Before a sync ends, which waits for the promise; an error makes it fail and drops what was unsynced. */
  beforeSync?(path: string): Promise<void> | void;
  /** Before any other change. */
  beforeChange?(change: DiskChange, path: string): void;
}

/** How a disk in memory is made. */
export interface MemoryDiskOptions {
  /** Bytes that files may take together; beyond it writes fail with `ENOSPC`. No limit by default. */
  readonly capacityBytes?: number;
  /** Device number, so that the disks of several hosts can be told apart; 1 by default. */
  readonly device?: number;
}

interface Folder {
  readonly isDirectory: true;
  readonly inode: number;
  readonly birthTimeMs: number;
  /** What whoever looks sees. */
  entries: Map<string, DiskNode>;
  /** What a power cut now would leave, were no waiting change to survive. */
  readonly durable: Map<string, DiskNode>;
}

type DiskNode = Folder | MemoryFile;

/** A name in a folder. */
interface Place {
  readonly folder: Folder;
  readonly name: string;
}

/** A change of names that waits for its folder's sync: a creation has no `from`, a removal no `to`. */
interface PendingChange {
  readonly node: DiskNode;
  readonly from: Place | undefined;
  readonly to: Place | undefined;
}

/** A {@link FileSystem} in memory, with crashes and faults. */
export class MemoryFileSystem implements FileSystem {
  /** Faults to inject; none by default. */
  faults: DiskFaults = {};
  /** See {@link MemoryDiskOptions.capacityBytes}; may change at any time. */
  capacityBytes: number;
  /** See {@link MemoryDiskOptions.device}. */
  readonly device: number;
  #usedBytes = 0;
  #nextInode = 2;
  #root: Folder;
  #pending: PendingChange[] = [];
  /** Where a node durably is. */
  #durablePlaces = new Map<DiskNode, Place>();
  #locked = new Set<MemoryFile>();
  /** Handles and locks of an older epoch are dead. */
  #epoch = 0;

  /** Makes an empty disk. */
  constructor(options: MemoryDiskOptions = {}) {
    this.capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER;
    this.device = options.device ?? 1;
    this.#root = this.#newFolder();
  }

  /** Bytes that files take, as a disk counts them (zeros included). */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Opens a file; a created one gets its parent folders as well. */
  open(
    path: string,
    options: { create?: boolean; createNew?: boolean } = {},
  ): StoredFile {
    const creates = options.create === true || options.createNew === true;
    const node = this.#find(path);
    if (node !== undefined && options.createNew === true) {
      throw diskError("EEXIST", `file already exists, open '${path}'`);
    }
    if (node?.isDirectory === true) {
      throw diskError(
        "EISDIR",
        `illegal operation on a directory, open '${path}'`,
      );
    }
    if (node === undefined && !creates) throw noEntry("open", path);
    return this.#handle(node ?? this.#createFile(path), path);
  }

  /** Names in a folder, sorted. */
  list(path: string): string[] {
    return [...this.#folder("readdir", path).entries.keys()].sort();
  }

  /** Describes a file or folder, or returns undefined. */
  stat(path: string): FileStat | undefined {
    const node = this.#find(path);
    if (node === undefined) return undefined;
    return {
      isDirectory: node.isDirectory,
      size: node.isDirectory ? 0 : node.size,
      inode: node.inode,
      device: this.device,
      birthTimeMs: node.birthTimeMs,
    };
  }

  /** Creates a folder and its parents. */
  makeDirectory(path: string): void {
    this.faults.beforeChange?.("makeDirectory", path);
    this.#makeFolders(namesOf(path), path);
  }

  /** Renames a file or folder. */
  rename(from: string, to: string): void {
    this.faults.beforeChange?.("rename", from);
    const source = this.#place("rename", from);
    const node = source.folder.entries.get(source.name);
    if (node === undefined) throw noEntry("rename", from);
    const target = this.#place("rename", to);
    const replaced = target.folder.entries.get(target.name);
    if (replaced === node) return;
    if (replaced?.isDirectory === true) {
      if (!node.isDirectory) throw diskError("EISDIR", `rename to '${to}'`);
      if (replaced.entries.size > 0) {
        throw diskError("ENOTEMPTY", `directory not empty, rename to '${to}'`);
      }
    } else if (replaced !== undefined && node.isDirectory) {
      throw diskError("ENOTDIR", `not a directory, rename to '${to}'`);
    }
    source.folder.entries.delete(source.name);
    target.folder.entries.set(target.name, node);
    if (replaced !== undefined) this.#unlink(replaced);
    this.#pending.push({ node, from: source, to: target });
  }

  /** Removes a file, or a folder with what is in it. */
  remove(path: string): void {
    this.faults.beforeChange?.("remove", path);
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw diskError("EBUSY", "cannot remove '/'");
    const folder = this.#walk(names);
    const node = folder?.isDirectory === true
      ? folder.entries.get(name)
      : undefined;
    if (folder?.isDirectory === true && node !== undefined) {
      this.#removeTree({ folder, name }, node);
    }
  }

  /** Makes creations, renames and removals in the folder durable. */
  syncDirectory(path: string): void {
    this.faults.beforeChange?.("syncDirectory", path);
    const folder = this.#folder("open", path);
    const touches = (change: PendingChange) =>
      change.from?.folder === folder || change.to?.folder === folder;
    // A rename between two folders is durable on both sides or on none.
    for (const change of this.#pending) {
      if (touches(change)) this.#makeDurable(change);
    }
    for (const [name, node] of folder.durable) {
      if (folder.entries.get(name) !== node) this.#forgetPlace(node);
    }
    for (const [name, node] of folder.entries) {
      this.#putDurably(node, { folder, name });
    }
    // What else waits for a node that is durable here lies in its past.
    const here = new Set(folder.entries.values());
    this.#pending = this.#pending.filter((change) =>
      !touches(change) && !here.has(change.node)
    );
  }

  /** Takes an exclusive lock on a file. */
  tryLock(path: string): FileLock | undefined {
    const found = this.#find(path);
    if (found?.isDirectory === true) {
      throw diskError(
        "EISDIR",
        `illegal operation on a directory, open '${path}'`,
      );
    }
    const file = found ?? this.#createFile(path);
    if (this.#locked.has(file)) return undefined;
    this.#locked.add(file);
    const epoch = this.#epoch;
    let isHeld = true;
    return {
      release: () => {
        if (isHeld && epoch === this.#epoch) this.#locked.delete(file);
        isHeld = false;
      },
    };
  }

  /**
   * Cuts the power: any subset of unsynced changes of names survives, and per 512-byte sector any subset of unsynced
   * writes. Handles and locks are dead; a sync under way never settles.
   */
  crash(prng: DiskPrng): void {
    this.#endProcess();
    const survives = survivors(prng);
    for (const change of this.#pending) {
      if (survives()) this.#makeDurable(change);
    }
    this.#pending = [];
    this.#usedBytes = 0;
    this.#forgetUnreachable();
    this.#restore(this.#root, prng);
  }

  /** Ends the process: what was written stays, but for what a failed sync dropped. Handles and locks are dead. */
  halt(): void {
    this.#endProcess();
    this.#usedBytes = 0;
    this.#forEachFile(this.#root, (file) => {
      file.openCount = 0;
      file.halt();
      this.#usedBytes += file.size;
    });
  }

  #endProcess(): void {
    this.#epoch++;
    this.#locked.clear();
  }

  #forEachFile(folder: Folder, visit: (file: MemoryFile) => void): void {
    for (const node of folder.entries.values()) {
      if (node.isDirectory) this.#forEachFile(node, visit);
      else visit(node);
    }
  }

  /** Shows what survived of a folder and of all below it. */
  #restore(folder: Folder, prng: DiskPrng): void {
    folder.entries = new Map(folder.durable);
    for (const node of folder.entries.values()) {
      if (node.isDirectory) {
        this.#restore(node, prng);
      } else {
        node.crash(prng);
        node.openCount = 0;
        node.linkCount = 1;
        this.#usedBytes += node.size;
      }
    }
  }

  #forgetUnreachable(): void {
    const places = new Map<DiskNode, Place>();
    const visit = (folder: Folder) => {
      for (const [name, node] of folder.durable) {
        places.set(node, { folder, name });
        if (node.isDirectory) visit(node);
      }
    };
    visit(this.#root);
    this.#durablePlaces = places;
  }

  #makeDurable(change: PendingChange): void {
    if (change.to === undefined) this.#forgetPlace(change.node);
    else this.#putDurably(change.node, change.to);
  }

  #putDurably(node: DiskNode, place: Place): void {
    const replaced = place.folder.durable.get(place.name);
    if (replaced === node) return;
    this.#forgetPlace(node);
    if (replaced !== undefined) this.#durablePlaces.delete(replaced);
    place.folder.durable.set(place.name, node);
    this.#durablePlaces.set(node, place);
  }

  #forgetPlace(node: DiskNode): void {
    const place = this.#durablePlaces.get(node);
    if (place === undefined) return;
    place.folder.durable.delete(place.name);
    this.#durablePlaces.delete(node);
  }

  #removeTree(place: Place, node: DiskNode): void {
    if (node.isDirectory) {
      for (const [name, child] of [...node.entries]) {
        this.#removeTree({ folder: node, name }, child);
      }
    }
    place.folder.entries.delete(place.name);
    this.#pending.push({ node, from: place, to: undefined });
    this.#unlink(node);
  }

  #unlink(node: DiskNode): void {
    if (node.isDirectory) return;
    node.linkCount = 0;
    this.#maybeFree(node);
  }

  /** A removed file takes space until the last handle is closed. */
  #maybeFree(file: MemoryFile): void {
    if (file.linkCount === 0 && file.openCount === 0) {
      this.#usedBytes -= file.size;
    }
  }

  #newFolder(): Folder {
    const inode = this.#nextInode++;
    return {
      isDirectory: true,
      inode,
      birthTimeMs: this.#birthTimeMs(inode),
      entries: new Map(),
      durable: new Map(),
    };
  }

  /** Not a time, but as different on every disk and for every file as a time would be. */
  #birthTimeMs(inode: number): number {
    return this.device * 1_000_000_000 + inode;
  }

  #createFile(path: string): MemoryFile {
    this.faults.beforeCreate?.(path);
    if (this.#usedBytes >= this.capacityBytes) {
      throw diskError("ENOSPC", `no space left on device, open '${path}'`);
    }
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw diskError("EISDIR", `open '${path}'`);
    const folder = this.#makeFolders(names, path);
    const inode = this.#nextInode++;
    const file = new MemoryFile(inode, this.#birthTimeMs(inode));
    file.linkCount = 1;
    folder.entries.set(name, file);
    this.#pending.push({ node: file, from: undefined, to: { folder, name } });
    return file;
  }

  #makeFolders(names: readonly string[], path: string): Folder {
    let folder = this.#root;
    for (const name of names) {
      const existing = folder.entries.get(name);
      if (existing?.isDirectory === false) {
        throw diskError("ENOTDIR", `not a directory, '${name}' of '${path}'`);
      }
      const next = existing ?? this.#newFolder();
      if (existing === undefined) {
        folder.entries.set(name, next);
        const to = { folder, name };
        this.#pending.push({ node: next, from: undefined, to });
      }
      folder = next;
    }
    return folder;
  }

  #find(path: string): DiskNode | undefined {
    return this.#walk(namesOf(path));
  }

  #walk(names: readonly string[]): DiskNode | undefined {
    let node: DiskNode | undefined = this.#root;
    for (const name of names) {
      if (node?.isDirectory !== true) return undefined;
      node = node.entries.get(name);
    }
    return node;
  }

  #folder(operation: string, path: string): Folder {
    const node = this.#find(path);
    if (node === undefined) throw noEntry(operation, path);
    if (!node.isDirectory) {
      throw diskError("ENOTDIR", `not a directory, ${operation} '${path}'`);
    }
    return node;
  }

  #place(operation: string, path: string): Place {
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw diskError("EBUSY", `${operation} '${path}'`);
    const folder = this.#walk(names);
    if (folder?.isDirectory !== true) throw noEntry(operation, path);
    return { folder, name };
  }

  #handle(file: MemoryFile, path: string): StoredFile {
    const epoch = this.#epoch;
    file.openCount++;
    let isOpen = true;
    const requireOpen = (operation: string) => {
      if (!isOpen || epoch !== this.#epoch) {
        throw diskError("EBADF", `bad file descriptor, ${operation} '${path}'`);
      }
    };
    return {
      readAt: (target, position) => {
        requireOpen("read");
        this.faults.beforeRead?.(path, position, target.length);
        return file.readAt(target, position);
      },
      writeAt: (bytes, position) => {
        requireOpen("write");
        this.#write(file, path, bytes, position);
      },
      size: () => {
        requireOpen("stat");
        return file.size;
      },
      truncate: (size) => {
        requireOpen("truncate");
        this.faults.beforeChange?.("truncate", path);
        const growth = size - file.size;
        if (growth > 0 && growth > this.capacityBytes - this.#usedBytes) {
          throwFull(path);
        }
        this.#usedBytes += growth;
        file.truncate(size);
      },
      sync: async () => {
        requireOpen("sync");
        await this.#sync(file, path, epoch);
      },
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        if (epoch !== this.#epoch) return;
        file.openCount--;
        this.#maybeFree(file);
      },
    };
  }

  #write(
    file: MemoryFile,
    path: string,
    bytes: Uint8Array,
    position: number,
  ): void {
    let done = 0;
    do {
      const at = position + done;
      const left = bytes.length - done;
      const taken = this.faults.beforeWrite?.(path, at, left) ?? left;
      const part = bytes.subarray(done, done + Math.max(1, taken));
      const free = Math.max(0, this.capacityBytes - this.#usedBytes);
      const room = Math.max(0, file.size + free - at);
      const isInPlace = at + part.length <= file.size;
      const fits = isInPlace ? part : part.subarray(0, room);
      this.#usedBytes += Math.max(0, at + fits.length - file.size);
      file.writeAt(fits, at);
      // A full disk takes what fits, as a real one does.
      if (fits.length < part.length) throwFull(path);
      done += part.length;
    } while (done < bytes.length);
  }

  async #sync(file: MemoryFile, path: string, epoch: number): Promise<void> {
    const pending = file.beginSync();
    let failure: { readonly error: unknown } | undefined;
    try {
      await this.faults.beforeSync?.(path);
    } catch (error) {
      failure = { error };
    }
    // The process that asked is gone; what it left unsynced met its fate in `crash` or `halt`.
    if (epoch !== this.#epoch) await new Promise<never>(() => {});
    if (failure === undefined) {
      pending.succeed();
    } else {
      pending.fail();
      throw failure.error;
    }
  }
}

/** Files in memory for a NodeHost in a test: nothing is written to a disk, and nothing outlives the object. */
export function memoryStorage(): FileSystem {
  return new MemoryFileSystem();
}

/** Which waiting changes survive a power cut: none, all, the first few, or any. */
function survivors(prng: DiskPrng): () => boolean {
  const shape = prng.below(5);
  if (shape === 0) return () => false;
  if (shape === 1) return () => true;
  if (shape === 2) {
    let isCut = false;
    return () => !(isCut ||= prng.below(4) === 0);
  }
  return () => prng.below(2) === 0;
}

function namesOf(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names;
}

function diskError(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

function throwFull(path: string): never {
  throw diskError("ENOSPC", `no space left on device, write '${path}'`);
}

function noEntry(operation: string, path: string): Error {
  return diskError(
    "ENOENT",
    `no such file or directory, ${operation} '${path}'`,
  );
}
