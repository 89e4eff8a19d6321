/** All state of the masters' store to a file, and from one (M11): neither is in memory as a whole. */
import { type Fields, LocalError, type MasterCalls } from "./calls.ts";

/** Files, as transfers need them. */
export interface Files {
  /** What is in a file. */
  readonly openFile: (
    path: string,
  ) => Promise<ReadableStream<Uint8Array<ArrayBuffer>>>;
  /** Writes a file that only its owner reads; it is there when all of it is, and an old one stays until then. */
  readonly saveFile: (
    path: string,
    bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
  ) => Promise<void>;
}

/** A transfer. */
export interface Transfer {
  /** What follows its name in the usage. */
  readonly usage: string;
  /** One line. */
  readonly what: string;
  /** Flags of its own. */
  readonly flags: readonly string[];
  /** More of the help. */
  readonly help: string;
  /** Does it. */
  readonly run: (
    calls: MasterCalls,
    files: Files,
    given: { path: string; isDryRun: boolean },
  ) => Promise<Fields>;
}

/** Milliseconds that a master gets for all state, if nothing else is said. */
export const transferTimeoutMs = 600_000;

const timeHelp = `
                      (--timeout-ms: ${transferTimeoutMs} by default here)`;

/** The transfers by name. */
export const transfers: Readonly<Record<string, Transfer>> = {
  export: {
    usage: "FILE",
    what: "writes all state of the masters' store to a file",
    flags: [],
    help: `
  FILE                made when all of it is there; keep it as you keep a secret${timeHelp}`,
    run: exportTo,
  },
  import: {
    usage: "FILE",
    what: "fills an empty store with what was exported",
    flags: ["dry-run", "as"],
    help: `
  FILE                what export, GET /v1/export or DRAKKAR_EXPORT wrote${timeHelp}
  --dry-run           only read and judge it; nothing is written
  --as NAME           who it is, for the history`,
    run: importFrom,
  },
};

async function exportTo(
  calls: MasterCalls,
  { saveFile }: Files,
  { path }: { path: string },
): Promise<Fields> {
  let lines = 0;
  let bytes = 0;
  await calls.download("/v1/export", (body) => {
    lines = 0;
    bytes = 0;
    const count = new TransformStream<
      Uint8Array<ArrayBuffer>,
      Uint8Array<ArrayBuffer>
    >({
      transform(chunk, controller) {
        bytes += chunk.length;
        for (const byte of chunk) if (byte === 0x0a) lines++;
        controller.enqueue(chunk);
      },
    });
    return saveFile(path, body.pipeThrough(count));
  });
  // The first line names the format.
  return { file: path, records: Math.max(0, lines - 1), bytes };
}

async function importFrom(
  calls: MasterCalls,
  { openFile }: Files,
  { path, isDryRun }: { path: string; isDryRun: boolean },
): Promise<Fields> {
  return await calls.upload("/v1/import", isDryRun, async () => {
    try {
      return await openFile(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new LocalError(`Cannot read ${path}: ${why}`);
    }
  });
}
