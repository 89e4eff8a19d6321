/**
 * A state machine whose state is a SQLite database: it is not held in memory, and it is there again after a restart
 * without a snapshot. What makes that safe is one table with one row: the index of the last entry applied, changed in
 * the transaction that applies it.
 *
 * Commands are JSON: `["put", key, value]` or `["delete", key]`. Queries are SQL text, or `[text, ...parameters]`.
 */
import type {
  Entry,
  OnDiskStateMachine,
  RecoveredSnapshot,
  Result,
  SnapshotWriter,
} from "../../mod.ts";
import { DatabaseSync, dirname } from "./deps.ts";

const schema = `
  CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, value TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS raft (id INTEGER PRIMARY KEY CHECK (id = 1), applied INTEGER NOT NULL);
  INSERT OR IGNORE INTO raft VALUES (1, 0);
`;

/** Encodes a command that sets a key. */
export function put(key: string, value: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(["put", key, value]));
}

/** Encodes a command that removes a key. */
export function remove(key: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(["delete", key]));
}

/** A copy of the database as of one moment, in a file. */
interface Copy {
  readonly path: string;
}

/** Keys and values in a database. */
export class SqliteMachine implements OnDiskStateMachine<Copy> {
  /** Says that the state is on a disk of its own. */
  readonly kind = "onDisk";
  readonly #path: string;
  #writer: DatabaseSync | undefined;
  /** Queries go through a connection that cannot write. */
  #reader: DatabaseSync | undefined;
  #copies = 0;

  /** The database at `path`, which is this node's alone; its folder exists. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Opens the database, and tells what it has applied. */
  open(): Promise<number> {
    const { applied } = this.#connect().prepare("SELECT applied FROM raft")
      .get() as { applied: number };
    return Promise.resolve(applied);
  }

  /** Applies commands and the index of the last one in one transaction. */
  update(entries: readonly Entry[]): Result[] {
    const db = this.#db();
    db.exec("BEGIN");
    const results = entries.map((entry) => ({ value: apply(db, entry) }));
    const last = entries.at(-1)!.index;
    db.prepare("UPDATE raft SET applied = ?").run(last);
    db.exec("COMMIT");
    return results;
  }

  /** Before this a crash may cost the last transactions, each as a whole and none before another. */
  sync(): void {
    // That somebody was in the way is told in a row, not by an error.
    const row = this.#db().prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
    if (row?.busy !== 0) {
      throw new Error(
        `Cannot sync ${this.#path}: another program reads it; let nobody else open it for long`,
      );
    }
  }

  /** Runs a query. */
  lookup(query: unknown): unknown {
    const [sql, ...parameters] = Array.isArray(query) ? query : [query];
    return this.#reader!.prepare(String(sql)).all(...parameters);
  }

  /** Copies the database as it is now. */
  prepareSnapshot(): Copy {
    const path = `${this.#path}.copy-${++this.#copies}`;
    removeDatabase(path); // One of a crash.
    this.#db().prepare("VACUUM INTO ?").run(path);
    return { path };
  }

  /** Adds the copy to the snapshot, as a file. */
  async saveSnapshot(copy: Copy, writer: SnapshotWriter): Promise<void> {
    try {
      await writer.addFile(1, copy.path);
    } finally {
      removeDatabase(copy.path);
    }
  }

  /** Puts the database of a snapshot in the place of ours. A crash leaves one or the other. */
  async recoverFromSnapshot(
    _state: ReadableStream<Uint8Array>,
    snapshot: RecoveredSnapshot,
  ): Promise<void> {
    const file = snapshot.files.find(({ id }) => id === 1);
    if (file === undefined) throw new Error("the snapshot has no database");
    const next = `${this.#path}.next`;
    await Deno.copyFile(file.path, next);
    using copied = await Deno.open(next, { read: true, write: true });
    await copied.sync();
    this.close();
    // A log of the old database beside the new one would be taken for its own: it goes first, for good.
    removeBeside(this.#path);
    await syncFolderOf(this.#path);
    await Deno.rename(next, this.#path);
    await syncFolderOf(this.#path);
    this.#connect().prepare("UPDATE raft SET applied = ?").run(snapshot.index);
  }

  /** Closes the database. */
  close(): void {
    this.#reader?.close();
    this.#writer?.close();
    this.#reader = undefined;
    this.#writer = undefined;
  }

  #db(): DatabaseSync {
    if (this.#writer === undefined) throw new Error("the database is closed");
    return this.#writer;
  }

  #connect(): DatabaseSync {
    const db = new DatabaseSync(this.#path);
    this.#writer = db;
    // With a write-ahead log, NORMAL keeps the order of transactions, and syncs at a checkpoint.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    db.exec("PRAGMA busy_timeout = 1000"); // milliseconds
    db.exec(schema);
    this.#reader = new DatabaseSync(this.#path, { readOnly: true });
    return db;
  }
}

/** Applies one command, and returns how many rows it changed. What is no command changes none, on every node. */
function apply(db: DatabaseSync, entry: Entry): number {
  let command: unknown;
  try {
    command = JSON.parse(new TextDecoder().decode(entry.command));
  } catch {
    return 0;
  }
  if (!Array.isArray(command)) return 0;
  const [what, key, value] = command.map(String);
  if (what === "put" && key !== undefined && value !== undefined) {
    const put = db.prepare("INSERT OR REPLACE INTO items VALUES (?, ?)");
    return Number(put.run(key, value).changes);
  }
  if (what === "delete" && key !== undefined) {
    const drop = db.prepare("DELETE FROM items WHERE key = ?");
    return Number(drop.run(key).changes);
  }
  return 0;
}

/** Removes a database and what SQLite keeps beside it. */
function removeDatabase(path: string): void {
  removeIfThere(path);
  removeBeside(path);
}

/** Removes what SQLite keeps beside a database. */
function removeBeside(path: string): void {
  for (const end of ["-wal", "-shm", "-journal"]) removeIfThere(path + end);
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Makes durable which files are in the folder of `path`. Windows opens no folder, and needs no such thing. */
async function syncFolderOf(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(dirname(path));
  await folder.sync();
}
