/** Keeps the address book in a NodeHost's folder. What goes wrong with it is told and does no harm: it holds hints. */
import { AsideFile } from "../storage/aside_file.ts";
import type { FileSystem } from "../storage/file_system.ts";
import type { KnownAddress } from "./address_book.ts";
import {
  decodeAddressBook,
  encodeAddressBook,
  maxAddressBookBytes,
} from "./address_book_format.ts";
import { crc32 } from "./deps.ts";
import type { Logger } from "./ports.ts";

/** The file of one NodeHost. */
export class AddressFile {
  readonly #fileSystem: FileSystem;
  readonly #path: string;
  readonly #logger: Logger;
  #next: readonly KnownAddress[] | undefined;
  #saving: Promise<void> | undefined;

  /** Nothing is read yet. */
  constructor(fileSystem: FileSystem, dir: string, logger: Logger) {
    this.#fileSystem = fileSystem;
    this.#path = `${dir}/addresses`;
    this.#logger = logger;
  }

  /** What was kept; nothing if there is no file, or none that can be read. */
  read(): KnownAddress[] {
    let found: KnownAddress[] | string;
    try {
      if (this.#fileSystem.stat(this.#path) === undefined) return [];
      const file = this.#fileSystem.open(this.#path);
      try {
        const length = Math.min(file.size(), maxAddressBookBytes);
        const bytes = new Uint8Array(length);
        const read = file.readAt(bytes, 0);
        found = decodeAddressBook(bytes.subarray(0, read), crc32);
      } finally {
        file.close();
      }
    } catch (error) {
      found = error instanceof Error ? error.message : String(error);
    }
    if (typeof found !== "string") return found;
    this.#logger.warn("addresses of other NodeHosts cannot be read", {
      path: this.#path,
      reason: found,
    });
    return [];
  }

  /** Keeps these from now on. */
  save(moved: readonly KnownAddress[]): void {
    this.#next = moved;
    this.#saving ??= this.#run();
  }

  /** Resolves when what was to be kept is. */
  async idle(): Promise<void> {
    await this.#saving;
  }

  async #run(): Promise<void> {
    while (this.#next !== undefined) {
      const moved = this.#next;
      this.#next = undefined;
      try {
        const file = new AsideFile({
          fileSystem: this.#fileSystem,
          temporaryPath: `${this.#path}.tmp`,
          path: this.#path,
          what: "addresses",
        });
        file.append(encodeAddressBook(moved, crc32));
        await file.finish();
      } catch (error) {
        this.#logger.warn("addresses of other NodeHosts cannot be kept", {
          path: this.#path,
          reason: error instanceof Error ? error.message : String(error),
        });
      }
    }
    this.#saving = undefined;
  }
}
