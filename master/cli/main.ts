/** `deno task drakkar`: see `--help`. */
// deno-lint-ignore-file no-console -- a command line speaks to people
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

if (import.meta.main) {
  const around: Surroundings = {
    out: (text) => console.log(text),
    err: (text) => console.error(text),
    env,
    readFile: (path) => Deno.readTextFile(pathOf(path)),
    ...(Deno.stdin.isTerminal() ? { ask } : {}),
    fetch: (url, init) => fetch(url, init),
    newKey: () => crypto.randomUUID(),
  };
  Deno.exit(await runCommandLine(Deno.args, around));
}
