/**
 * One file of the simulated disk: what reads return, and what a power cut would leave (rule L6).
 *
 * ```text
 *   pages        what reads return now; a page that is all zeros is not stored
 *   generations  oldest first: what was written between two syncs, with each page as it was before
 *
 *   write  -> the open generation          sync begins   -> it is "syncing", later writes open a new one
 *   sync succeeds -> dropped: durable      sync fails    -> "failed": read, but never again written to the disk
 * ```
 *
 * A power cut picks for each 512-byte sector written since the last sync one of the contents that it had.
 */

/** Bytes of a page, the unit in which contents are stored. */
const pageBytes = 4096;
/** Bytes of a sector, the unit that a disk writes whole or not at all. */
const sectorBytes = 512;
const allSectors = 0xff;
const slabBytes = 64 * 1024;
/** A page remembers this many overwritten sectors; beyond it the oldest are forgotten, so that a loop without syncs is bounded. */
const maxOlderPerPage = 64;

/** The randomness of a power cut: a `Prng` is one. */
export interface DiskPrng {
  /** An integer from 0 to `limit - 1`. */
  below(limit: number): number;
}

interface DirtyPage {
  /** Each written sector as it was before this generation, by its place; undefined if there was no page. */
  readonly before: (Uint8Array | undefined)[];
  /** Bit n: sector n was written in this generation. */
  sectors: number;
  /** Contents of sectors that were written and then overwritten in this generation, in order. */
  older: { readonly sector: number; readonly bytes: Uint8Array }[] | undefined;
}

interface Generation {
  state: "dirty" | "failed";
  readonly pages: Map<number, DirtyPage>;
  /** The smallest size that the disk may hold: the file's before this generation, or that of a later good sync. */
  sizeBefore: number;
}

/** One captured sync; `succeed` or `fail` ends it. */
export interface PendingSync {
  /** Everything written before the sync began is durable. */
  succeed(): void;
  /** Everything written before the sync began is dropped: reads return it until the process ends, the disk never has it. */
  fail(): void;
}

/** A file of the simulated disk. */
export class MemoryFile {
  /** Tells files from folders. */
  readonly isDirectory = false;
  /** Inode number. */
  readonly inode: number;
  /** When it was created, in milliseconds of the disk's own count. */
  readonly birthTimeMs: number;
  /** Names that lead to it: 1, or 0 once removed. */
  linkCount = 0;
  /** Open handles. */
  openCount = 0;
  #size = 0;
  #pages = new Map<number, Uint8Array>();
  #generations: Generation[] = [];
  /** Where writes go; the last of `#generations`, or undefined if the next write opens one. */
  #current: Generation | undefined;

  /** Makes an empty file. */
  constructor(inode: number, birthTimeMs: number) {
    this.inode = inode;
    this.birthTimeMs = birthTimeMs;
  }

  /** Length in bytes. */
  get size(): number {
    return this.#size;
  }

  /** See `StoredFile.readAt`. */
  readAt(target: Uint8Array, position: number): number {
    const end = Math.min(this.#size, position + target.length);
    let at = position;
    while (at < end) {
      const pageIndex = Math.floor(at / pageBytes);
      const from = at - pageIndex * pageBytes;
      const to = Math.min(pageBytes, from + (end - at));
      const page = this.#pages.get(pageIndex);
      const offset = at - position;
      if (page === undefined) target.fill(0, offset, offset + (to - from));
      else target.set(page.subarray(from, to), offset);
      at += to - from;
    }
    return Math.max(0, end - position);
  }

  /** See `StoredFile.writeAt`. */
  writeAt(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    let done = 0;
    while (done < bytes.length) {
      const at = position + done;
      const pageIndex = Math.floor(at / pageBytes);
      const from = at - pageIndex * pageBytes;
      const to = Math.min(pageBytes, from + (bytes.length - done));
      const part = bytes.subarray(done, done + (to - from));
      // Zeros over zeros change nothing, not even after a power cut, and a fresh segment is nothing else.
      if (this.#pages.has(pageIndex) || !isZero(part)) {
        this.#touch(pageIndex, from, to).set(part, from);
      }
      done += to - from;
    }
    if (position + bytes.length > this.#size) {
      this.#resize(position + bytes.length);
    }
  }

  /** See `StoredFile.truncate`. */
  truncate(size: number): void {
    if (size === this.#size) return;
    if (size < this.#size) {
      const boundary = Math.floor(size / pageBytes);
      for (const pageIndex of [...this.#pages.keys()]) {
        if (pageIndex < boundary) continue;
        const from = pageIndex === boundary ? size - boundary * pageBytes : 0;
        this.#touch(pageIndex, from, pageBytes).fill(0, from);
        if (from === 0) this.#pages.delete(pageIndex);
      }
    }
    this.#resize(size);
  }

  /** Captures what a sync that begins now would make durable (rule L2: only writes that had returned). */
  beginSync(): PendingSync {
    const captured = this.#generations.filter((one) => one.state === "dirty");
    const size = this.#size;
    this.#current = undefined;
    return {
      succeed: () => this.#makeDurable(captured, size),
      fail: () => {
        for (const generation of captured) generation.state = "failed";
      },
    };
  }

  /** The process ended: what a failed sync dropped is gone now, the rest is in the operating system's cache still. */
  halt(): void {
    const failed = this.#generations.filter((one) => one.state === "failed");
    this.#current = undefined;
    if (failed.length === 0) return;
    for (const [pageIndex, sectors] of dirtySectors(failed)) {
      this.#rebuild(pageIndex, sectors, (versions) => {
        // Written again after the failure: the last content is in the cache; otherwise the disk's own comes back.
        return versions[versions.length - 1];
      });
    }
    // The failed ones stay: a later power cut must still know what the disk holds below newer writes.
  }

  /** A power cut: each unsynced sector keeps one of the contents it had since the last sync, the size likewise. */
  crash(prng: DiskPrng): void {
    this.#current = undefined;
    const oldest = this.#generations[0];
    if (oldest === undefined) return;
    const pick = versionPicker(prng);
    const pages = dirtySectors(this.#generations);
    const size = this.#sizeAfterCrash(oldest, prng);
    for (const [pageIndex, sectors] of pages) {
      this.#rebuild(pageIndex, sectors, pick);
    }
    this.#generations = [];
    this.#size = size;
    this.#dropBeyondSize();
  }

  #sizeAfterCrash(oldest: Generation, prng: DiskPrng): number {
    const sizes = this.#generations.map((one) => one.sizeBefore);
    sizes.push(this.#size);
    if (this.#size > oldest.sizeBefore) {
      // A growing file may have got anywhere between the two.
      const grown = this.#size - oldest.sizeBefore;
      sizes.push(oldest.sizeBefore + prng.below(Math.min(grown, 2 ** 31)));
    }
    return sizes[prng.below(sizes.length)] ?? this.#size;
  }

  /** Puts one of the versions of each given sector into the page. */
  #rebuild(
    pageIndex: number,
    sectors: number,
    pick: (versions: readonly Uint8Array[]) => Uint8Array | undefined,
  ): void {
    const current = this.#pages.get(pageIndex);
    const page = current === undefined
      ? new Uint8Array(pageBytes)
      : current.slice();
    for (let sector = 0; sector < 8; sector++) {
      if ((sectors & (1 << sector)) === 0) continue;
      const chosen = pick(this.#versions(pageIndex, sector));
      if (chosen !== undefined) page.set(chosen, sector * sectorBytes);
    }
    if (isZero(page)) this.#pages.delete(pageIndex);
    else this.#pages.set(pageIndex, page);
  }

  /** What the disk may hold for a sector: the durable content, then all that was written since, without what failed. */
  #versions(pageIndex: number, sector: number): Uint8Array[] {
    const holders = this.#generations.filter((one) =>
      ((one.pages.get(pageIndex)?.sectors ?? 0) & (1 << sector)) !== 0
    );
    const versions: Uint8Array[] = [];
    holders.forEach((generation, i) => {
      const dirty = generation.pages.get(pageIndex);
      if (i === 0) versions.push(dirty?.before[sector] ?? zeroSector);
      if (generation.state === "failed") return;
      for (const older of dirty?.older ?? []) {
        if (older.sector === sector) versions.push(older.bytes);
      }
      const next = holders[i + 1];
      versions.push(
        next === undefined
          ? sectorOf(this.#pages.get(pageIndex), sector)
          : next.pages.get(pageIndex)?.before[sector] ?? zeroSector,
      );
    });
    return versions;
  }

  #makeDurable(captured: readonly Generation[], size: number): void {
    const synced = new Set(
      captured.filter((one) =>
        one.state === "dirty" && this.#generations.includes(one)
      ),
    );
    this.#generations = this.#generations.filter((one) => !synced.has(one));
    for (const failed of this.#generations) {
      if (failed.state !== "failed") continue;
      failed.sizeBefore = size;
      // Written again and synced since the failure: durable after all.
      for (const generation of synced) {
        for (const [pageIndex, dirty] of generation.pages) {
          const lost = failed.pages.get(pageIndex);
          if (lost !== undefined) lost.sectors &= ~dirty.sectors;
        }
      }
    }
  }

  #generation(): Generation {
    if (this.#current === undefined) {
      this.#current = {
        state: "dirty",
        pages: new Map(),
        sizeBefore: this.#size,
      };
      this.#generations.push(this.#current);
    }
    return this.#current;
  }

  /** The page, ready to be changed from `from` to `to`. */
  #touch(pageIndex: number, from: number, to: number): Uint8Array {
    const { pages } = this.#generation();
    const sectors = sectorMask(from, to);
    const page = this.#pages.get(pageIndex);
    let dirty = pages.get(pageIndex);
    if (dirty === undefined) {
      dirty = { before: [], sectors: 0, older: undefined };
      pages.set(pageIndex, dirty);
    } else if (page !== undefined) {
      rememberOverwritten(dirty, page, sectors);
    }
    // Only what is written is kept as it was: a log writes a few hundred bytes between two syncs.
    if (page !== undefined) rememberBefore(dirty, page, sectors);
    dirty.sectors |= sectors;
    if (page !== undefined) return page;
    const fresh = new Uint8Array(pageBytes);
    this.#pages.set(pageIndex, fresh);
    return fresh;
  }

  #resize(size: number): void {
    this.#generation();
    this.#size = size;
  }

  #dropBeyondSize(): void {
    const boundary = Math.floor(this.#size / pageBytes);
    for (const [pageIndex, page] of [...this.#pages]) {
      if (pageIndex > boundary) this.#pages.delete(pageIndex);
      // A file that grows again later shows zeros there, never what was cut off.
      if (pageIndex === boundary) page.fill(0, this.#size % pageBytes);
    }
  }
}

function rememberBefore(
  dirty: DirtyPage,
  page: Uint8Array,
  sectors: number,
): void {
  const fresh = sectors & ~dirty.sectors;
  if (fresh === 0) return;
  const first = 31 - Math.clz32(fresh & -fresh);
  const last = 31 - Math.clz32(fresh);
  const kept = copyOf(
    page.subarray(first * sectorBytes, (last + 1) * sectorBytes),
  );
  for (let sector = first; sector <= last; sector++) {
    if ((fresh & (1 << sector)) === 0) continue;
    dirty.before[sector] = sectorOf(kept, sector - first);
  }
}

/** Copies of a few sectors share their memory: making it costs more than filling it. */
let slab = new Uint8Array(0);
let slabUsed = 0;

function copyOf(bytes: Uint8Array): Uint8Array {
  if (slabUsed + bytes.length > slab.length) {
    slab = new Uint8Array(slabBytes);
    slabUsed = 0;
  }
  const copy = slab.subarray(slabUsed, slabUsed + bytes.length);
  slabUsed += bytes.length;
  copy.set(bytes);
  return copy;
}

function rememberOverwritten(
  dirty: DirtyPage,
  page: Uint8Array,
  sectors: number,
): void {
  const again = dirty.sectors & sectors;
  if (again === 0) return;
  dirty.older ??= [];
  for (let sector = 0; sector < 8; sector++) {
    if ((again & (1 << sector)) === 0) continue;
    if (dirty.older.length >= maxOlderPerPage) dirty.older.shift();
    dirty.older.push({ sector, bytes: sectorOf(page, sector).slice() });
  }
}

/** Sectors written in any of the generations, by page, in ascending order of pages. */
function dirtySectors(
  generations: readonly Generation[],
): [pageIndex: number, sectors: number][] {
  const merged = new Map<number, number>();
  for (const generation of generations) {
    for (const [pageIndex, dirty] of generation.pages) {
      merged.set(pageIndex, (merged.get(pageIndex) ?? 0) | dirty.sectors);
    }
  }
  return [...merged].sort(([a], [b]) => a - b);
}

/**
 * How one file fares in a power cut. Independent sectors alone would hardly ever lose all, keep all, or cut a long
 * write cleanly, so these shapes have a chance of their own.
 */
function versionPicker(
  prng: DiskPrng,
): (versions: readonly Uint8Array[]) => Uint8Array | undefined {
  const shape = prng.below(6);
  if (shape === 0) return (versions) => versions[0];
  if (shape === 1) return (versions) => versions[versions.length - 1];
  if (shape === 2) {
    let isCut = false; // Sectors come in order: a prefix survives.
    return (versions) => {
      isCut ||= prng.below(16) === 0;
      return isCut ? versions[0] : versions[versions.length - 1];
    };
  }
  return (versions) => versions[prng.below(versions.length)];
}

const zeroSector = new Uint8Array(sectorBytes);

function sectorOf(page: Uint8Array | undefined, sector: number): Uint8Array {
  if (page === undefined) return zeroSector;
  return page.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
}

function sectorMask(from: number, to: number): number {
  const first = Math.floor(from / sectorBytes);
  const last = Math.floor((to - 1) / sectorBytes);
  return (allSectors << first) & (allSectors >> (7 - last)) & allSectors;
}

function isZero(bytes: Uint8Array): boolean {
  if (bytes.length === 0) return true;
  if (bytes[0] !== 0) return false;
  const words = bytes.byteOffset % 4 === 0 ? bytes.length >> 2 : 0;
  const view = new Uint32Array(
    bytes.buffer,
    words > 0 ? bytes.byteOffset : 0,
    words,
  );
  for (let i = 0; i < words; i++) {
    if (view[i] !== 0) return false;
  }
  for (let i = words * 4; i < bytes.length; i++) {
    if (bytes[i] !== 0) return false;
  }
  return true;
}
