/**
 * The folder of snapshots: `<dir>/snapshots/<cluster id>-<node id>/<index>.snap`. A file is written aside and takes its
 * place when it is durable, so whatever bears that name was whole once; what is damaged since is found by checksums.
 */
import { assert } from "../raft/core/assert.ts";
import type { SnapshotMeta } from "../raft/core/types.ts";
import { RaftError } from "../raft/errors.ts";
import { AsideFile, diskError } from "./aside_file.ts";
import { makeDurableDirectory, parentOf } from "./directories.ts";
import type { FileSystem, StoredFile } from "./file_system.ts";
import { FileExtractor, type SnapshotExternalFile } from "./snapshot_files.ts";
import {
  blockKind,
  type SnapshotHeader,
  type SnapshotTraits,
} from "./snapshot_format.ts";
import { SnapshotFile } from "./snapshot_reader.ts";
import {
  type SnapshotCodecOptions,
  SnapshotFileReceiver,
  SnapshotFileWriter,
  type SnapshotSink,
} from "./snapshot_writer.ts";

/** How a {@link SnapshotStore} is made. */
export interface SnapshotStoreOptions extends SnapshotCodecOptions {
  /** Where the files are. */
  readonly fileSystem: FileSystem;
  /** The NodeHost's folder; snapshots lie in `snapshots` below it. */
  readonly dir: string;
}

/** How a snapshot is made. */
export interface SnapshotMaking {
  /** What it is, if that is more than version 1 says. */
  readonly traits?: SnapshotTraits;
  /** Whether blocks are packed where that makes them shorter. */
  readonly isPacked?: boolean;
}

/** Behind a snapshot's path: the folder of the files that were in it. */
const filesEnding = ".files";

/** Writes, reads and removes the snapshots of all nodes of a NodeHost. */
export class SnapshotStore {
  readonly #options: SnapshotStoreOptions;
  readonly #root: string;
  readonly #durableFolders = new Set<string>();
  /** Tells files apart that are written at the same time. */
  #nextTemporary = 1;

  /** Touches no file. */
  constructor(options: SnapshotStoreOptions) {
    const { fileSystem } = options;
    this.#options = {
      openFile: (path) => fileSystem.open(path, { readOnly: true }),
      ...options,
    };
    this.#root = `${options.dir}/snapshots`;
  }

  /**
   * Begins a snapshot of the node's own state.
   *
   * @throws {RaftError} `diskFull` or `diskFailed`.
   */
  create(
    clusterId: number,
    nodeId: number,
    meta: SnapshotMeta,
    making: SnapshotMaking = {},
  ): SnapshotFileWriter {
    const file = this.#begin(clusterId, nodeId, meta.index);
    return this.#writerOf(file, { clusterId, meta }, making);
  }

  /**
   * Begins a snapshot in a file of any place, whose folder is made.
   *
   * @throws {RaftError} `diskFull` or `diskFailed`.
   */
  createAt(
    path: string,
    header: SnapshotHeader,
    making: SnapshotMaking,
  ): SnapshotFileWriter {
    const { fileSystem } = this.#options;
    const temporaryPath = `${path}.${this.#nextTemporary++}.tmp`;
    try {
      makeDurableDirectory(fileSystem, parentOf(path));
    } catch (error) {
      throw diskError(`write snapshot ${path}`, error);
    }
    const file = new AsideFile({
      fileSystem,
      temporaryPath,
      path,
      what: "snapshot",
    });
    return this.#writerOf(file, header, making);
  }

  /** A writer whose bytes go to `sink`. */
  createInto(
    sink: SnapshotSink,
    header: SnapshotHeader,
    making: SnapshotMaking,
  ): SnapshotFileWriter {
    return this.#writerOf(sink, header, making);
  }

  /** Replaces a snapshot whose state the state machine now has on its own disk by one without state. */
  async shrink(
    clusterId: number,
    nodeId: number,
    meta: SnapshotMeta,
    traits: SnapshotTraits,
  ): Promise<void> {
    const dummy = { ...traits, isDummy: true, isImported: false };
    const making = { traits: dummy };
    await this.create(clusterId, nodeId, meta, making).finish();
  }

  /**
   * Puts the files in a snapshot into a folder beside it, and says where they are. Nothing is made if there are none.
   *
   * @throws {RaftError} `corruption`, `diskFull`, `diskFailed`.
   */
  async extractFiles(
    snapshot: SnapshotFile,
    nodeId: number,
  ): Promise<SnapshotExternalFile[]> {
    const { clusterId, meta } = snapshot;
    const folder = `${this.#path(clusterId, nodeId, meta.index)}${filesEnding}`;
    this.#remove(folder);
    const extractor = new FileExtractor(this.#options.fileSystem, folder);
    try {
      for await (const block of snapshot.blocks()) {
        if (block.kind !== blockKind.state) {
          extractor.push(block, snapshot.unpack(block));
        }
      }
      return extractor.finish();
    } finally {
      extractor.close();
    }
  }

  /** Removes what `extractFiles` made. @throws {RaftError} `diskFailed`. */
  removeFiles(clusterId: number, nodeId: number, index: number): void {
    this.#remove(`${this.#path(clusterId, nodeId, index)}${filesEnding}`);
  }

  /**
   * Begins a snapshot that another node sends as the bytes of its file.
   *
   * @throws {RaftError} `diskFull` or `diskFailed`.
   */
  receive(
    clusterId: number,
    nodeId: number,
    meta: SnapshotMeta,
  ): SnapshotFileReceiver {
    const file = this.#begin(clusterId, nodeId, meta.index);
    return new SnapshotFileReceiver(file, { clusterId, meta }, this.#options);
  }

  /**
   * Opens a snapshot. It stays readable until it is closed, also if it is removed meanwhile.
   *
   * @throws {RaftError} `corruption` if it is missing, or its header or its end is damaged; `diskFailed`.
   */
  open(clusterId: number, nodeId: number, index: number): SnapshotFile {
    const path = this.#path(clusterId, nodeId, index);
    return this.openAt(path, { clusterId, index });
  }

  /** Opens a snapshot at any place. @throws {RaftError} as {@link open}. */
  openAt(
    path: string,
    expected?: { clusterId: number; index: number },
  ): SnapshotFile {
    let file: StoredFile;
    try {
      file = this.#options.fileSystem.open(path);
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ENOENT") {
        throw diskError(`read snapshot ${path}`, error);
      }
      const what = `Cannot read snapshot ${path}: it is missing`;
      throw new RaftError("corruption", what, { cause: error });
    }
    try {
      const snapshot = new SnapshotFile(file, path, this.#options);
      if (expected !== undefined) snapshot.requireHeader(expected);
      return snapshot;
    } catch (error) {
      file.close();
      throw diskError(`read snapshot ${path}`, error);
    }
  }

  /** The indexes of a node's snapshots, ascending. @throws {RaftError} `diskFailed`. */
  indexes(clusterId: number, nodeId: number): number[] {
    const found: number[] = [];
    for (const name of this.#names(this.#folder(clusterId, nodeId))) {
      const index = indexOf(name);
      if (index !== undefined) found.push(index);
    }
    return found.sort((a, b) => a - b);
  }

  /**
   * Removes the node's snapshots before `index`, which the log has recorded. Later ones stay: one may have been
   * received already that the log is yet to record. Who has one open keeps it. Returns how many were removed.
   *
   * @throws {RaftError} `diskFailed`.
   */
  retain(clusterId: number, nodeId: number, index: number): number {
    let count = 0;
    for (const other of this.indexes(clusterId, nodeId)) {
      if (other >= index) continue;
      this.#remove(this.#path(clusterId, nodeId, other));
      count++;
    }
    return count;
  }

  /**
   * At start: removes what was never finished, and what the log does not know. `keep` says which snapshot of a node
   * the log names, or undefined for none. Returns the paths removed.
   *
   * @throws {RaftError} `diskFailed`.
   */
  cleanUp(
    keep: (clusterId: number, nodeId: number) => number | undefined,
  ): string[] {
    const removed: string[] = [];
    for (const name of this.#names(this.#root)) {
      const node = /^([1-9][0-9]*)-([1-9][0-9]*)$/.exec(name);
      if (node === null) continue; // Not ours.
      const index = keep(Number(node[1]), Number(node[2]));
      const folder = `${this.#root}/${name}`;
      const unwanted = index === undefined
        ? [folder]
        : this.#names(folder).filter((file) =>
          file.endsWith(".tmp") || file.endsWith(filesEnding) ||
          (indexOf(file) ?? index) !== index
        ).map((file) => `${folder}/${file}`);
      for (const path of unwanted) this.#remove(path);
      removed.push(...unwanted);
    }
    return removed;
  }

  /** Removes all snapshots of a node, durably. @throws {RaftError} `diskFailed`. */
  removeNode(clusterId: number, nodeId: number): void {
    const folder = this.#folder(clusterId, nodeId);
    this.#durableFolders.delete(folder);
    if (this.#options.fileSystem.stat(folder) === undefined) return;
    this.#remove(folder);
    try {
      this.#options.fileSystem.syncDirectory(this.#root);
    } catch (error) {
      throw diskError(`remove snapshots ${folder}`, error);
    }
  }

  #writerOf(
    sink: SnapshotSink,
    header: SnapshotHeader,
    making: SnapshotMaking,
  ): SnapshotFileWriter {
    const { traits, isPacked } = making;
    const { compression } = this.#options;
    return new SnapshotFileWriter(
      sink,
      traits === undefined ? header : { ...header, traits },
      this.#options,
      isPacked === true ? compression : undefined,
    );
  }

  #begin(clusterId: number, nodeId: number, index: number): AsideFile {
    assert(Number.isSafeInteger(index), "an index must be a safe integer");
    assert(index >= 1, "a snapshot must contain an entry");
    const { fileSystem } = this.#options;
    const path = this.#path(clusterId, nodeId, index);
    this.#makeFolder(this.#folder(clusterId, nodeId), path);
    const temporaryPath = `${path}.${this.#nextTemporary++}.tmp`;
    return new AsideFile({ fileSystem, temporaryPath, path, what: "snapshot" });
  }

  /** Makes a node's folder durable, once: syncing the one above takes as long as syncing a small snapshot. */
  #makeFolder(folder: string, path: string): void {
    if (this.#durableFolders.has(folder)) return;
    try {
      makeDurableDirectory(this.#options.fileSystem, folder);
    } catch (error) {
      throw diskError(`write snapshot ${path}`, error);
    }
    this.#durableFolders.add(folder);
  }

  #folder(clusterId: number, nodeId: number): string {
    return `${this.#root}/${clusterId}-${nodeId}`;
  }

  #path(clusterId: number, nodeId: number, index: number): string {
    return `${this.#folder(clusterId, nodeId)}/${index}.snap`;
  }

  #names(folder: string): string[] {
    try {
      return this.#options.fileSystem.list(folder);
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return [];
      throw diskError(`list snapshots ${folder}`, error);
    }
  }

  #remove(path: string): void {
    try {
      this.#options.fileSystem.remove(path);
    } catch (error) {
      throw diskError(`remove snapshot ${path}`, error);
    }
  }
}

function indexOf(name: string): number | undefined {
  const match = /^([1-9][0-9]*)\.snap$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
