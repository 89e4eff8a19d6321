/** `deno task drakkar`: see `--help`. */
// deno-lint-ignore-file no-console -- a command line speaks to people
import { LocalError } from "./calls.ts";
import { runCommandLine, type Surroundings } from "./run.ts";

/** A variable that may not be read is not there. */
function env(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/** `deno task` changes the folder, and says in which one it was started. */
function pathOf(path: string): string {
  const start = env("INIT_CWD");
  return start === undefined || path.startsWith("/") || /^[a-z]:/i.test(path)
    ? path
    : `${start}/${path}`;
}

/** Reads a line; the question is no part of the output. */
function ask(question: string): string | null {
  Deno.stderr.writeSync(new TextEncoder().encode(question));
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  while (Deno.stdin.readSync(one) === 1 && one[0] !== 0x0a) {
    bytes.push(one[0]!);
  }
  return bytes.length === 0
    ? null
    : new TextDecoder().decode(new Uint8Array(bytes));
}

/** What is in a file; it is closed when all of it was read, or nobody wants more. */
async function openFile(
  path: string,
): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  return (await Deno.open(pathOf(path))).readable;
}

/** What bears the name is whole, and its owner's alone: it holds what NodeHosts identify themselves by. */
async function saveFile(
  path: string,
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
): Promise<void> {
  const aside = `${pathOf(path)}.new`;
  const refuse = (error: unknown): never => {
    const why = error instanceof Error ? error.message : String(error);
    throw new LocalError(`Cannot write ${path}: ${why}`);
  };
  let file: Deno.FsFile;
  try {
    file = await Deno.open(aside, {
      write: true,
      create: true,
      truncate: true,
      mode: 0o600,
    });
  } catch (error) {
    await bytes.cancel();
    return refuse(error);
  }
  try {
    try {
      for await (const chunk of bytes) {
        for (let at = 0; at < chunk.length;) {
          at += await file.write(chunk.subarray(at)).catch(refuse);
        }
      }
      await file.sync().catch(refuse);
    } finally {
      file.close();
    }
    await Deno.rename(aside, pathOf(path)).catch(refuse);
  } catch (error) {
    await Deno.remove(aside);
    throw error;
  }
}

if (import.meta.main) {
  const around: Surroundings = {
    out: (text) => console.log(text),
    err: (text) => console.error(text),
    env,
    readFile: (path) => Deno.readTextFile(pathOf(path)),
    openFile,
    saveFile,
    ...(Deno.stdin.isTerminal() ? { ask } : {}),
    fetch: (url, init) => fetch(url, init),
    newKey: () => crypto.randomUUID(),
  };
  Deno.exit(await runCommandLine(Deno.args, around));
}
