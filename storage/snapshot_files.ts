/**
 * Files of their own in a snapshot: what a state machine adds with `addFile` stands in the snapshot's file, so that it
 * is checked, sent, exported and removed together with the state. A block of kind 2 begins one:
 *
 * ```text
 *  0  id        (8B)  the state machine's name for it, unique in the snapshot
 *  8  size      (8B)  bytes that follow in blocks of kind 3
 * 16  metadata        the state machine's, at most 65,536 bytes, to the end
 * ```
 */
import { getUint64, setUint64 } from "../raft/core/entry_batch.ts";
import { RaftError } from "../raft/errors.ts";
import { diskError } from "./aside_file.ts";
import type { FileSystem, StoredFile } from "./file_system.ts";
import { blockKind, type SnapshotBlock } from "./snapshot_format.ts";

/** Longest metadata of one file. */
export const maxFileMetadataBytes = 65_536;
const fileHeadBytes = 16;

/** The beginning of a file in a snapshot. */
export interface SnapshotFileHead {
  /** The state machine's name for it. */
  readonly id: number;
  /** Its size. */
  readonly size: number;
  /** What the state machine wants to know of it. */
  readonly metadata: Uint8Array;
}

/** A file that a snapshot brought, as the state machine is given it. */
export interface SnapshotExternalFile {
  /** The id that `addFile` was given. */
  readonly id: number;
  /** Where it lies now. It is removed when the state machine has recovered: move it, copy it or read it. */
  readonly path: string;
  /** What `addFile` was given, empty if nothing. */
  readonly metadata: Uint8Array;
}

/** Encodes the data of a block that begins a file. */
export function encodeFileHead(head: SnapshotFileHead): Uint8Array {
  const bytes = new Uint8Array(fileHeadBytes + head.metadata.length);
  const view = new DataView(bytes.buffer);
  setUint64(view, 0, head.id);
  setUint64(view, 8, head.size);
  bytes.set(head.metadata, fileHeadBytes);
  return bytes;
}

/** Decodes it; undefined if it is none. The metadata are a copy. */
export function decodeFileHead(
  bytes: Uint8Array,
): SnapshotFileHead | undefined {
  if (bytes.length < fileHeadBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const id = getUint64(view, 0);
  const size = getUint64(view, 8);
  const metadata = bytes.slice(fileHeadBytes);
  const isGood = Number.isSafeInteger(id) && Number.isSafeInteger(size) &&
    metadata.length <= maxFileMetadataBytes;
  return isGood ? { id, size, metadata } : undefined;
}

/** Puts the files of a snapshot into a folder, from the blocks of it in order. */
export class FileExtractor {
  readonly #fileSystem: FileSystem;
  readonly #folder: string;
  readonly #files: SnapshotExternalFile[] = [];
  #head: SnapshotFileHead | undefined;
  #file: StoredFile | undefined;
  #written = 0;

  /** Files go into `folder`, which is made with the first one. */
  constructor(fileSystem: FileSystem, folder: string) {
    this.#fileSystem = fileSystem;
    this.#folder = folder;
  }

  /** Takes a block with its data unpacked. @throws {RaftError} `corruption`, `diskFull`, `diskFailed`. */
  push(block: SnapshotBlock, data: Uint8Array): void {
    if (block.kind === blockKind.fileBegins) this.#begin(data);
    else if (block.kind === blockKind.fileContents) this.#append(data);
  }

  /** Ends the last file, and returns all of them. @throws {RaftError} `corruption`. */
  finish(): SnapshotExternalFile[] {
    this.#end();
    return this.#files;
  }

  /** Closes what is open. */
  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #begin(data: Uint8Array): void {
    this.#end();
    const head = decodeFileHead(data);
    if (
      head === undefined || this.#files.some((file) => file.id === head.id)
    ) throw damaged("a file begins that cannot be");
    const path = `${this.#folder}/${head.id}`;
    this.#guard(path, () => {
      this.#fileSystem.makeDirectory(this.#folder);
      this.#file = this.#fileSystem.open(path, { createNew: true });
    });
    this.#head = head;
    this.#written = 0;
    this.#files.push({ id: head.id, path, metadata: head.metadata });
  }

  #append(data: Uint8Array): void {
    const { size } = this.#head ?? { size: 0 };
    if (this.#written + data.length > size) {
      throw damaged("a file is longer than its beginning says");
    }
    this.#guard(
      this.#files.at(-1)!.path,
      () => this.#file!.writeAt(data, this.#written),
    );
    this.#written += data.length;
  }

  #end(): void {
    if (this.#head !== undefined && this.#written !== this.#head.size) {
      throw damaged("a file is shorter than its beginning says");
    }
    this.#head = undefined;
    this.close();
  }

  #guard(path: string, operation: () => void): void {
    try {
      operation();
    } catch (error) {
      throw diskError(`write ${path}, which a snapshot brought`, error);
    }
  }
}

function damaged(what: string): RaftError {
  return new RaftError("corruption", `Cannot read the snapshot: ${what}`);
}
