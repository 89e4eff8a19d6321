/**
 * Files that a state machine adds to its snapshots (`addFile`). Some of its snapshots hold the state in files, and nothing
 * but the simulator's header beside them, so that whoever is restored has no other copy of it. Metadata tell
 * what each file was when it was added:
 *
 * ```text
 * data      0 number of files (1B)   1 what is written
 * metadata  0 place among the files (4B)   4 digest of its bytes (4B)   8 commands applied (8B)
 * ```
 */
import { concatBytes } from "../../raft/codec/bytes.ts";
import { getUint64, setUint64 } from "../../raft/core/entry_batch.ts";
import type {
  RecoveredSnapshot,
  SnapshotWriter,
} from "../../raft/state_machine.ts";
import { digestOf } from "./digest.ts";
import type { SimDisk } from "./disk.ts";
import { readFile } from "./folder_images.ts";
import type { MachineObserver, ObservedNode } from "./observed_machine.ts";
import type { SimRandom } from "./random.ts";

const filesMax = 3;
const metadataBytes = 16;

type ExternalFile = RecoveredSnapshot["files"][number];

/** A state, as it goes into a snapshot. */
export interface FiledState {
  /** What is written. */
  readonly written: readonly Uint8Array[];
  /** What is added as files. */
  readonly filed: readonly Uint8Array[];
}

/** The files of one node's snapshots. */
export class SnapshotFiles {
  readonly #disk: SimDisk;
  readonly #dir: string;
  readonly #random: SimRandom;
  readonly #observer: MachineObserver;
  #added = 0;

  /** Files are made below `dir`, and reported to `observer`. */
  constructor(
    options: {
      disk: SimDisk;
      dir: string;
      random: SimRandom;
      observer: MachineObserver;
    },
  ) {
    this.#disk = options.disk;
    this.#dir = options.dir;
    this.#random = options.random;
    this.#observer = options.observer;
  }

  /** Divides a state, whose first piece is the simulator's header, between what is written and files. */
  divide([header, ...rest]: readonly Uint8Array[]): FiledState {
    const count = this.#random.below(filesMax + 1);
    const head = new Uint8Array(1 + (header?.length ?? 0));
    head[0] = count;
    head.set(header ?? new Uint8Array(0), 1);
    if (count === 0) return { written: [head, ...rest], filed: [] };
    const state = concatBytes(rest);
    const filed: Uint8Array[] = [];
    let from = 0;
    while (filed.length < count) {
      const isLast = filed.length === count - 1;
      const to = isLast
        ? state.length
        : this.#random.between(from, state.length);
      filed.push(state.subarray(from, to));
      from = to;
    }
    return { written: [head], filed };
  }

  /** Adds files, each of which is there only until it is added; `position` is how many commands their state reflects. */
  async add(
    writer: SnapshotWriter,
    filed: readonly Uint8Array[],
    position: number,
  ): Promise<void> {
    // Files come back in the order in which they were added, whatever their ids are.
    const firstId = this.#random.between(filesMax, 1_000_000_000);
    for (const [place, bytes] of filed.entries()) {
      const path = `${this.#dir}/${this.#added++}`;
      this.#change((fileSystem) => {
        fileSystem.makeDirectory(this.#dir);
        fileSystem.remove(path); // Of a process that ended before.
        const file = fileSystem.open(path, { createNew: true });
        file.writeAt(bytes, 0);
        file.close();
      });
      const metadata = new Uint8Array(metadataBytes);
      const view = new DataView(metadata.buffer);
      view.setUint32(0, place, true);
      view.setInt32(4, digestOf(bytes), true);
      setUint64(view, 8, position);
      await writer.addFile(firstId - place, path, metadata);
      this.#change((fileSystem) => fileSystem.remove(path));
    }
  }

  /** Puts a state together again, and looks at each file. */
  async unite(
    node: ObservedNode,
    reader: ReadableStream<Uint8Array>,
    files: readonly ExternalFile[],
  ): Promise<Uint8Array[]> {
    const written: Uint8Array[] = [];
    for await (const chunk of reader) written.push(chunk.slice());
    const data = concatBytes(written);
    if (files.length !== data[0]) {
      this.#wrong(node, `${files.length} files, and ${data[0]} were added`);
    }
    const position = getUint64(new DataView(data.buffer), 1);
    const state: Uint8Array[] = [data.subarray(1)];
    for (const [place, file] of files.entries()) {
      const bytes = this.#take(file);
      this.#look(node, file, { place, bytes, position });
      state.push(bytes);
    }
    return state;
  }

  /** Reads a file, and moves it away now and then, as an application may. */
  #take({ path }: ExternalFile): Uint8Array {
    const bytes = readFile(this.#disk.fileSystem, path);
    if (this.#random.chance(0.5)) {
      this.#change((fileSystem) => fileSystem.remove(path));
    }
    return bytes;
  }

  #look(
    node: ObservedNode,
    { id, metadata }: ExternalFile,
    found: { place: number; bytes: Uint8Array; position: number },
  ): void {
    const { place, bytes, position } = found;
    const { buffer, byteOffset, length } = metadata;
    const view = new DataView(buffer, byteOffset, length);
    const isAsAdded = length === metadataBytes &&
      view.getUint32(0, true) === place &&
      view.getInt32(4, true) === digestOf(bytes) &&
      getUint64(view, 8) === position;
    if (isAsAdded) this.#observer.onFile(node, undefined);
    else {
      this.#wrong(
        node,
        `file ${id}, number ${place}, of ${bytes.length} bytes, which is not what was added there`,
      );
    }
  }

  #wrong(node: ObservedNode, what: string): void {
    this.#observer.onFile(node, what);
  }

  #change(change: Parameters<SimDisk["changeFolders"]>[0]): void {
    this.#disk.changeFolders(change);
  }
}
