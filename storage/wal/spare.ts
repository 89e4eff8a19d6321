/**
 * The spare segment: the next one to be written to, made before it is needed (rule L4). Making it writes it in full,
 * since writing over written blocks syncs 1.5 times as fast as appending; a segment that nobody needs any more is
 * taken instead where there is one. Failing to make it is no failure of the log (rule L5).
 */
import { assert } from "../../raft/core/assert.ts";
import type { Logger } from "../../raft/ports.ts";
import type { FileSystem, StoredFile } from "../file_system.ts";
import { segmentName, segmentSizeFor } from "./format.ts";
import type { Segment } from "./segment.ts";

/** A sync of more than this at once would stall that of the log, which shares the disk. */
const syncEveryBytes = 1024 * 1024;
const chunkBytes = 512 * 1024;
/** A spare is made as the newest segment is used, so much faster that it is there when a quarter of that is left. */
const lead = 1.5;
/** After failures only every so many chances are taken: each may fill the disk and empty it again. */
const chancesPerAttemptMin = 4;
const chancesPerAttemptMax = 64;
/** Name of a segment that is being made. */
export const temporaryName = "new.tmp";

/** What spares are made with. */
export interface SpareOptions {
  readonly fileSystem: FileSystem;
  readonly dir: string;
  /** Least bytes of a segment. */
  readonly segmentBytes: number;
  readonly yield: () => Promise<void>;
  readonly logger: Logger | undefined;
}

/** A segment's file, ready to be written to. */
export interface SpareFile {
  readonly path: string;
  readonly file: StoredFile;
  readonly size: number;
}

/** Keeps one spare segment. */
export class SpareSegment {
  readonly #options: SpareOptions;
  /** Bytes that the next spare is made with; it grows with the checkpoints that segments open with. */
  preferredBytes: number;
  #spare: SpareFile | undefined = undefined;
  #making: Promise<void> | undefined = undefined;
  #makingBytes = 0;
  #failure: unknown = undefined;
  /** Chances to let pass before the next attempt, and how many that were after the last one. */
  #chancesLeft = 0;
  #chancesPerAttempt = chancesPerAttemptMin;
  #isClosed = false;
  /** The part of the spare that may be made by now, and whom to tell when it grows. */
  #dueMost = 1;
  #whenDue: (() => void) | undefined = undefined;

  /** Touches no file. */
  constructor(options: SpareOptions) {
    this.#options = options;
    this.preferredBytes = options.segmentBytes;
  }

  /** Whether the last attempt to make a spare failed, so that there is none. */
  get isMissing(): boolean {
    return this.#failure !== undefined;
  }

  /** What the last attempt failed with. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Bytes of the spare or of what is to become it, 0 if there is neither. */
  get diskBytes(): number {
    return this.#spare?.size ?? this.#makingBytes;
  }

  /** Whether there is neither a spare nor one in the making. */
  get isWanted(): boolean {
    return this.#spare === undefined && this.#making === undefined &&
      !this.#isClosed;
  }

  /** Takes over a file that is a spare already. */
  adopt(spare: SpareFile): void {
    assert(this.#spare === undefined, "there must be one spare at most");
    this.#spare = spare;
    this.#succeed();
  }

  /**
   * Makes a segment that is not needed any more the spare, if its size suits; it is removed otherwise. The name says
   * nothing until the segment is used, but must be durable before that.
   */
  recycle(segment: Segment, number: number): void {
    const { fileSystem, dir } = this.#options;
    const preferred = segmentSizeFor(this.preferredBytes);
    if (segment.size < preferred || segment.size > 2 * preferred) {
      this.discard(segment);
      return;
    }
    const path = `${dir}/${segmentName(number)}`;
    try {
      fileSystem.rename(segment.path, path);
      fileSystem.syncDirectory(dir);
    } catch (error) {
      segment.file.close();
      this.#fail(error);
      return;
    }
    this.adopt({ path, file: segment.file, size: segment.size });
  }

  /** Removes a segment that is not needed any more. If that fails, it is found and removed when the log is opened. */
  discard(segment: { readonly path: string; readonly file: StoredFile }): void {
    segment.file.close();
    try {
      this.#options.fileSystem.remove(segment.path);
    } catch (error) {
      this.#options.logger?.warn("cannot remove an old segment of the log", {
        path: segment.path,
        error: String(error),
      });
    }
  }

  /**
   * The newest segment is used up to this part of it, 0 to 1. Written at full speed, a spare would hold up every sync of
   * the log for a third of a second, and those of all others that share the disk.
   */
  keepAhead(usedPart: number): void {
    this.#setDue(lead * usedPart);
  }

  /** Nothing else is to do, or somebody waits for the spare: it is made at full speed from here. */
  hurry(): void {
    this.#setDue(1);
  }

  /** Starts to make a spare in the background; after a failure only now and then, unless `isUrgent`. */
  prepare(number: number, isUrgent = false): void {
    if (!this.isWanted || (!isUrgent && !this.#isChanceTaken())) return;
    this.#start(number, this.preferredBytes);
  }

  /**
   * Takes the spare, which has at least `bytes`; waits for it, or makes one, if need be. Undefined if none can be made
   * now.
   */
  async obtain(number: number, bytes: number): Promise<SpareFile | undefined> {
    this.hurry();
    await this.#making;
    if (this.#spare !== undefined && this.#spare.size < bytes) {
      this.discard(this.#spare);
      this.#spare = undefined;
    }
    if (this.#spare === undefined) {
      if (!this.#isChanceTaken()) return undefined;
      this.#start(number, Math.max(bytes, this.preferredBytes));
      await this.#making;
    }
    const spare = this.#spare;
    this.#spare = undefined;
    return spare;
  }

  /** Closes the file, after what is being made was given up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.hurry();
    await this.#making;
    this.#spare?.file.close();
  }

  #isChanceTaken(): boolean {
    return !this.isMissing || --this.#chancesLeft <= 0;
  }

  #start(number: number, bytes: number): void {
    const size = segmentSizeFor(bytes);
    this.#makingBytes = size;
    this.#making = this.#make(number, size).finally(() => {
      this.#making = undefined;
      this.#makingBytes = 0;
    });
  }

  async #make(number: number, size: number): Promise<void> {
    const { fileSystem, dir } = this.#options;
    const temporary = `${dir}/${temporaryName}`;
    let file: StoredFile | undefined;
    try {
      file = fileSystem.open(temporary, { create: true });
      file.truncate(0);
      await this.#fill(file, size);
      if (this.#isClosed) {
        file.close();
        return; // Found and removed when the log is opened.
      }
      const path = `${dir}/${segmentName(number)}`;
      fileSystem.rename(temporary, path);
      fileSystem.syncDirectory(dir);
      this.adopt({ path, file, size });
    } catch (error) {
      this.#giveUp(file, temporary);
      this.#fail(error);
    }
  }

  #setDue(part: number): void {
    this.#dueMost = part;
    this.#whenDue?.();
  }

  /** Resolves when so many bytes of `size` may be written. After a full disk, space is looked for at once. */
  async #due(bytes: number, size: number): Promise<void> {
    while (!this.isMissing && bytes > this.#dueMost * size) {
      await new Promise<void>((resolve) => this.#whenDue = resolve);
      this.#whenDue = undefined;
    }
  }

  async #fill(file: StoredFile, size: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(chunkBytes, size));
    for (let at = 0; at < size && !this.#isClosed; at += zeros.length) {
      await this.#due(Math.min(at + zeros.length, size), size);
      file.writeAt(zeros.subarray(0, size - at), at);
      if ((at + zeros.length) % syncEveryBytes === 0) await file.sync();
      await this.#options.yield();
    }
    await file.sync();
  }

  /** Gives the space back. If the file cannot be cut any more, neither is the name ours to remove. */
  #giveUp(file: StoredFile | undefined, path: string): void {
    try {
      file?.truncate(0);
      if (file !== undefined) this.#options.fileSystem.remove(path);
    } catch {
      // Found and removed when the log is opened.
    }
    try {
      file?.close();
    } catch {
      // It is of no use any more.
    }
  }

  #succeed(): void {
    if (this.#failure !== undefined) {
      this.#options.logger?.info("the log has space again");
    }
    this.#failure = undefined;
    this.#chancesPerAttempt = chancesPerAttemptMin;
  }

  #fail(error: unknown): void {
    if (this.#failure === undefined) {
      this.#options.logger?.warn("cannot make another segment of the log", {
        error: String(error),
      });
    }
    this.#failure = error;
    this.#chancesLeft = this.#chancesPerAttempt;
    this.#chancesPerAttempt = Math.min(
      2 * this.#chancesPerAttempt,
      chancesPerAttemptMax,
    );
  }
}
