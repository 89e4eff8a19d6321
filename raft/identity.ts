/**
 * Whose a directory is (rules I1, I4). `<dir>/lock` is held while a NodeHost has the directory open. `<dir>/identity`
 * says who that NodeHost is; it is written aside, renamed and synced at each opening, because the incarnation grows.
 *
 * A copied folder would be a second NodeHost with the first one's votes, so the identity records where it lies:
 * - the inode of the folder. `cp -r` makes a new one, and `cp -al`, which shares the files, does too.
 * - the inode of the lock file, which is made once and never renamed (the identity file itself gets a new inode with
 *   each rename). It tells what the folder cannot if the folder is the root of a volume, whose inode is always the same.
 * - when the lock file was made, because a file system gives the inodes of removed files to new ones: a folder that
 *   was removed and restored from a backup may get all the same numbers, never the same time.
 * - the device. Many file systems number their device anew at each mount, so it counts only where that time is unknown.
 *
 * `identity_format.ts` draws the file.
 */
import { AsideFile, diskError } from "../storage/aside_file.ts";
import { makeDurableDirectory } from "../storage/directories.ts";
import type { FileLock, FileSystem } from "../storage/file_system.ts";
import { crc32 } from "./deps.ts";
import { RaftError } from "./errors.ts";
import {
  decodeIdentity,
  type DirectoryPlace,
  encodeIdentity,
  hexOf,
  type Identity,
  maxIdentityBytes,
} from "./identity_format.ts";
import type { Random } from "./ports.ts";

/** What a directory has only after its identity was written. */
const dataNames = ["log", "snapshots"];

/** How a directory is opened. */
export interface IdentityOptions {
  /** Where the directory is. */
  readonly fileSystem: FileSystem;
  /** The directory; made if missing. */
  readonly dir: string;
  /** Where other NodeHosts reach this one. */
  readonly raftAddress: string;
  /** A directory of another `raftAddress` is taken, and has this one from now on. */
  readonly raftAddressChanged: boolean;
  /** A directory that is a copy is taken, and is the original from now on. */
  readonly adoptCopiedDir: boolean;
  /** The deployment, or undefined if the directory, or a master later, is to say. */
  readonly deploymentId: bigint | undefined;
  /** For the id of a new NodeHost. */
  readonly random: Random;
}

/** What an opened directory says of its NodeHost. */
export interface OpenedIdentity {
  /** Random, 32 hexadecimal digits, for the life of the directory. */
  readonly nodeHostId: string;
  /** Higher than at any opening before; durable. */
  readonly incarnation: number;
  /** Whether the directory was new. */
  readonly isNew: boolean;
  /** The deployment, or undefined as long as nobody has said. */
  readonly deploymentId: bigint | undefined;
  /**
   * Records the deployment of a new directory, durably.
   *
   * @throws {RaftError} `deploymentMismatch` if there is another already; `diskFull`; `diskFailed`.
   */
  record(deploymentId: bigint): Promise<void>;
  /** Lets others open the directory. */
  release(): void;
}

/**
 * Opens a NodeHost's directory: takes its lock, checks that it may be used so, and raises its incarnation. A directory
 * that is refused is left as it was.
 *
 * @throws {RaftError} `dirLocked` if another NodeHost has it open; `dirMismatch` if it is another address's, or a copy;
 * `deploymentMismatch`; `corruption`; `diskFull`; `diskFailed`.
 */
export async function openIdentity(
  options: IdentityOptions,
): Promise<OpenedIdentity> {
  const { fileSystem, dir } = options;
  const directory = new Directory(options);
  try {
    // A copy may have come without the lock; refusing it must not make one.
    if (fileSystem.stat(directory.lockPath) === undefined) directory.check();
    if (fileSystem.stat(directory.path) === undefined) {
      makeDurableDirectory(fileSystem, dir);
    }
  } catch (error) {
    throw diskError(`open directory ${dir}`, error);
  }
  const lock = directory.lock();
  try {
    const found = directory.check();
    const identity: Identity = {
      nodeHostId: found?.nodeHostId ?? randomId(options.random),
      incarnation: (found?.incarnation ?? 0) + 1,
      deploymentId: options.deploymentId ?? found?.deploymentId ?? 0n,
      raftAddress: options.raftAddress,
      place: directory.place(),
    };
    await directory.write(identity);
    return new Opened(directory, identity, found === undefined, lock);
  } catch (error) {
    lock.release();
    throw diskError(`open directory ${dir}`, error);
  }
}

/**
 * Checks that a directory may be opened so, and changes nothing. A new or missing one may.
 *
 * @throws {RaftError} as {@link openIdentity}.
 */
export function checkDirectory(options: IdentityOptions): void {
  try {
    new Directory(options).check();
  } catch (error) {
    throw diskError(`open directory ${options.dir}`, error);
  }
}

class Opened implements OpenedIdentity {
  readonly isNew: boolean;
  readonly #directory: Directory;
  readonly #lock: FileLock;
  #identity: Identity;

  constructor(
    directory: Directory,
    identity: Identity,
    isNew: boolean,
    lock: FileLock,
  ) {
    this.#directory = directory;
    this.#identity = identity;
    this.isNew = isNew;
    this.#lock = lock;
  }

  get nodeHostId(): string {
    return this.#identity.nodeHostId;
  }

  get incarnation(): number {
    return this.#identity.incarnation;
  }

  get deploymentId(): bigint | undefined {
    const { deploymentId } = this.#identity;
    return deploymentId === 0n ? undefined : deploymentId;
  }

  async record(deploymentId: bigint): Promise<void> {
    this.#directory.checkDeployment(this.#identity, deploymentId);
    if (this.#identity.deploymentId === deploymentId) return;
    const identity = { ...this.#identity, deploymentId };
    await this.#directory.write(identity);
    this.#identity = identity;
  }

  release(): void {
    this.#lock.release();
  }
}

/** The files of a directory, and the rules about them. */
class Directory {
  readonly path: string;
  readonly lockPath: string;
  readonly #options: IdentityOptions;

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.path = `${options.dir}/identity`;
    this.lockPath = `${options.dir}/lock`;
  }

  /** Takes the lock. The file's name is durable before an identity speaks of its inode. */
  lock(): FileLock {
    const { fileSystem, dir } = this.#options;
    let lock: FileLock | undefined;
    try {
      lock = fileSystem.tryLock(this.lockPath);
      if (lock !== undefined) fileSystem.syncDirectory(dir);
    } catch (error) {
      lock?.release();
      throw diskError(`open directory ${dir}`, error);
    }
    if (lock !== undefined) return lock;
    throw new RaftError(
      "dirLocked",
      `Cannot open directory ${dir}: another NodeHost has it open; close that one first, or use another directory`,
    );
  }

  /** Reads the identity and checks that the directory may be opened so; changes nothing. Undefined: a new directory. */
  check(): Identity | undefined {
    const { fileSystem } = this.#options;
    if (fileSystem.stat(this.path) === undefined) {
      this.#requireNoData();
      return undefined;
    }
    const identity = this.#read();
    if (this.#options.deploymentId !== undefined) {
      this.checkDeployment(identity, this.#options.deploymentId);
    }
    this.#checkAddress(identity);
    this.#checkPlace(identity.place);
    return identity;
  }

  /** Refuses a deployment if the directory has another (rule I4: always). */
  checkDeployment(identity: Identity, deploymentId: bigint): void {
    const known = identity.deploymentId;
    if (known === 0n || known === deploymentId) return;
    throw new RaftError(
      "deploymentMismatch",
      `Cannot open directory ${this.#options.dir}: it belongs to deployment ${known}, and this is deployment ` +
        `${deploymentId}; use a directory of this deployment, or an empty one`,
    );
  }

  place(): DirectoryPlace {
    const { fileSystem, dir } = this.#options;
    const folder = fileSystem.stat(dir);
    const lock = fileSystem.stat(this.lockPath);
    return {
      folderInode: folder?.inode ?? 0,
      lockInode: lock?.inode ?? 0,
      lockBirthMs: lock?.birthTimeMs ?? 0,
      device: folder?.device ?? 0,
    };
  }

  async write(identity: Identity): Promise<void> {
    const { fileSystem } = this.#options;
    const file = new AsideFile({
      fileSystem,
      temporaryPath: `${this.path}.tmp`,
      path: this.path,
      what: "identity",
    });
    file.append(encodeIdentity(identity, crc32));
    await file.finish();
  }

  #read(): Identity {
    const { fileSystem } = this.#options;
    const file = fileSystem.open(this.path);
    try {
      const bytes = new Uint8Array(Math.min(file.size(), maxIdentityBytes + 1));
      const length = file.readAt(bytes, 0);
      return decodeIdentity(bytes.subarray(0, length), this.path, crc32);
    } finally {
      file.close();
    }
  }

  #checkAddress(identity: Identity): void {
    const { dir, raftAddress, raftAddressChanged } = this.#options;
    if (identity.raftAddress === raftAddress || raftAddressChanged) return;
    throw new RaftError(
      "dirMismatch",
      `Cannot open directory ${dir}: it was used with raftAddress ${identity.raftAddress}, and this is ` +
        `${raftAddress}; if the address of this NodeHost has changed, open it with raftAddressChanged: true`,
    );
  }

  #checkPlace(recorded: DirectoryPlace): void {
    const difference = differenceBetween(recorded, this.place());
    if (difference === undefined || this.#options.adoptCopiedDir) return;
    throw new RaftError(
      "dirMismatch",
      `Cannot open directory ${this.#options.dir}: it is a copy of the one it was written in, or its lock file was ` +
        `removed (${difference}); if the original will never be opened again, open it with adoptCopiedDir: true, ` +
        `otherwise start with an empty directory and new node ids`,
    );
  }

  /** An identity is written before anything else, so data without one lost it: its votes must not be forgotten. */
  #requireNoData(): void {
    const { fileSystem, dir } = this.#options;
    for (const name of dataNames) {
      if (fileSystem.stat(`${dir}/${name}`) === undefined) continue;
      throw new RaftError(
        "corruption",
        `Cannot open directory ${dir}: it holds ${name} but no identity; restore ${this.path}, or start with an ` +
          `empty directory and new node ids`,
      );
    }
  }
}

/** What shows that a directory is not where it was written, or undefined. 0 stands for "the platform has none". */
function differenceBetween(
  recorded: DirectoryPlace,
  now: DirectoryPlace,
): string | undefined {
  if (now.lockInode === 0 && recorded.lockInode !== 0) {
    return "it has no lock file";
  }
  const differs = (one: number, other: number) =>
    one !== 0 && other !== 0 && one !== other;
  if (differs(recorded.folderInode, now.folderInode)) {
    return `its inode is ${now.folderInode}, and was ${recorded.folderInode}`;
  }
  if (differs(recorded.lockInode, now.lockInode)) {
    return `its lock file has inode ${now.lockInode}, and had ${recorded.lockInode}`;
  }
  if (differs(recorded.lockBirthMs, now.lockBirthMs)) {
    return `its lock file was made at another time`;
  }
  const isBirthKnown = recorded.lockBirthMs !== 0 && now.lockBirthMs !== 0;
  if (!isBirthKnown && differs(recorded.device, now.device)) {
    return `its device is ${now.device}, and was ${recorded.device}`;
  }
  return undefined;
}

function randomId(random: Random): string {
  const bytes = new Uint8Array(16);
  random.fill(bytes);
  return hexOf(bytes);
}
