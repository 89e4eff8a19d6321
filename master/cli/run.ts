/**
 * The command line `drakkar`, apart from the process that it runs in. Exit codes: 0 it is done, and all is well; 1 it
 * was refused, or something is not well; 2 the command line cannot be used; 3 no master answered.
 */
import {
  type Action,
  actions,
  type Given,
  UsageError,
  wholeNumber,
} from "./actions.ts";
import { type Fields, MasterCalls, UnreachableError } from "./calls.ts";
import { parseArgs } from "./deps.ts";
import { facts } from "./table.ts";
import { recoveryTable } from "./recovery.ts";
import { type Files, transfers, transferTimeoutMs } from "./transfers.ts";
import { views } from "./views.ts";

/** The world of a command line. */
export interface Surroundings {
  /** A line for the one who asked. */
  out: (text: string) => void;
  /** A line about what goes wrong. */
  err: (text: string) => void;
  /** A variable, if there is one and it may be read. */
  env: (name: string) => string | undefined;
  /** The text of a file. */
  readFile: (path: string) => Promise<string>;
  /** What is in a file, piece by piece; without it nothing is imported. */
  openFile?: Files["openFile"];
  /** Writes a file, piece by piece; without it nothing is exported. */
  saveFile?: Files["saveFile"];
  /** Asks at the terminal; absent where there is none. */
  ask?: (question: string) => string | null;
  /** Does one request. */
  fetch: (url: URL, init: RequestInit) => Promise<Response>;
  /** A random name for a command. */
  newKey: () => string;
}

const defaultMaster = "http://127.0.0.1:8080";
const defaultTimeoutMs = 10_000;

const common = `
  --master URL        a master; several are tried in this order; DRAKKAR_MASTER,
                      or ${defaultMaster}
  --token-file FILE   holds the token; else DRAKKAR_OPERATOR_TOKEN or DRAKKAR_TOKEN
  --timeout-ms N      each master gets so long to answer, ${defaultTimeoutMs} by default
  --json              JSON, for programs
  --help              of a command too: deno task drakkar COMMAND --help`;

const dryRunFlag = `
  --dry-run           only say what would be done`;

const forActions = `${dryRunFlag}
  --yes NAME          for what cannot be undone: the id again; asked for at a terminal
  --as NAME           who it is, for the history
  --key KEY           the command's name: with the same key it is done once`;

const exitCodes = `
Exit codes: 0 done, and well; 1 refused, or not well; 2 wrong usage; 3 no master answers.`;

/** The help for everything. */
export function usageText(): string {
  const lines = (
    all: Readonly<Record<string, { usage: string; what: string }>>,
  ) =>
    Object.entries(all)
      .map(([name, { what }]) => `  ${name.padEnd(14)} ${what}`).join("\n");
  return `Usage: deno task drakkar COMMAND [ID] [flags]

Looks:
${lines(views)}

Commands:
${lines(actions)}

All state:
${lines(transfers)}

Flags:${common}

Flags of commands:${forActions}
${exitCodes}`;
}

function helpOf(name: string): string {
  const action = actions[name];
  const transfer = transfers[name];
  const { usage, what, help = "" } = action ?? transfer ?? views[name]!;
  const flagsText = action === undefined
    ? ""
    : action.isOnce === true
    ? dryRunFlag
    : forActions;
  const warning = action?.isFinal === true
    ? "\nIt cannot be undone: the id must be typed again, or given with --yes.\n"
    : "";
  return `Usage: deno task drakkar ${name}${usage && ` ${usage}`} [flags]

It ${(action ?? transfer) === undefined ? "shows " : ""}${what}.
${warning}
Flags:${help}${flagsText}${common}
${exitCodes}`;
}

const flags = {
  master: { type: "string", multiple: true },
  "token-file": { type: "string" },
  "timeout-ms": { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean" },
  "dry-run": { type: "boolean" },
  yes: { type: "string" },
  as: { type: "string" },
  key: { type: "string" },
  app: { type: "string" },
  none: { type: "boolean" },
  size: { type: "string" },
  "expected-gen": { type: "string" },
  "expected-cci": { type: "string" },
  condemned: { type: "string" },
  "wait-ticks": { type: "string" },
  limit: { type: "string" },
  region: { type: "string", multiple: true },
  "required-region": { type: "string", multiple: true },
  config: { type: "string", multiple: true },
} as const;

const commonFlags = ["master", "token-file", "timeout-ms", "json", "help"];
const actionFlags = ["dry-run", "yes", "as", "key"];

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: flags,
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : `${error}`);
  }
}

type Values = ReturnType<typeof parse>["values"];

/** Does what the arguments say, and returns the exit code. */
export async function runCommandLine(
  args: readonly string[],
  around: Surroundings,
): Promise<number> {
  try {
    return await dispatch(args, around);
  } catch (error) {
    around.err(error instanceof Error ? error.message : String(error));
    if (error instanceof UsageError) {
      around.err("See deno task drakkar --help");
      return 2;
    }
    return error instanceof UnreachableError ? 3 : 1;
  }
}

async function dispatch(
  args: readonly string[],
  around: Surroundings,
): Promise<number> {
  const { values, positionals } = parse(args);
  const [name, id, ...rest] = positionals;
  const isHelp = values.help === true;
  if (name === undefined) {
    (isHelp ? around.out : around.err)(usageText());
    return isHelp ? 0 : 2;
  }
  const named = Object.hasOwn(actions, name) ? actions[name] : undefined;
  const isLook = !isHelp && name === "recover" && isOnlyALook(values);
  const action = isLook ? undefined : named;
  const view = isLook
    ? views.recovery
    : Object.hasOwn(views, name)
    ? views[name]
    : undefined;
  const transfer = Object.hasOwn(transfers, name) ? transfers[name] : undefined;
  const one = action ?? view ?? transfer;
  if (one === undefined) {
    throw new UsageError(`Cannot use "${name}": there is no such command`);
  }
  if (isHelp) {
    around.out(helpOf(name));
    return 0;
  }
  const allowed = [
    ...commonFlags,
    ...one.flags,
    ...(action === undefined ? [] : actionFlags).filter((flag) =>
      flag === "dry-run" || action?.isOnce !== true
    ),
  ];
  for (const flag of Object.keys(values)) {
    if (allowed.includes(flag)) continue;
    throw new UsageError(`Cannot use --${flag}: ${name} has no such flag`);
  }
  if (transfer !== undefined && id === undefined) {
    throw new UsageError(`Cannot use ${name}: the file is missing`);
  }
  checkIds(
    name,
    [id, ...rest],
    action,
    view?.hasId ?? transfer !== undefined,
  );
  if (transfer !== undefined) return await move(name, id!, values, around);
  const given = givenOf(name, id, values);
  // Read before anything is asked: what is wrong with the arguments is told by status 2.
  const call = action?.call(given);
  const calls = await callsOf(values, around);
  if (call === undefined) {
    const { json, text, isBad } = await view!.show(calls, given);
    around.out(values.json === true ? JSON.stringify(json, null, 2) : text);
    return isBad === true ? 1 : 0;
  }
  const isDryRun = values["dry-run"] === true;
  let meant: Fields = {};
  if (action!.isFinal === true && !isDryRun) {
    const shown = await confirm(
      { name, id: id!, values, around },
      () => calls.command(call, true),
    );
    if (shown === undefined) return 1;
    meant = shown;
  }
  const bound = { ...call, body: { ...meant, ...call.body } };
  const result = await give(
    { calls, around, isOnce: action!.isOnce === true },
    () => calls.command(bound, isDryRun),
  );
  around.out(resultText(result, { name, isDryRun, isJson: values.json }));
  return 0;
}

/** Does a transfer. */
async function move(
  name: string,
  path: string,
  values: Values,
  around: Surroundings,
): Promise<number> {
  const { openFile, saveFile } = around;
  if (openFile === undefined || saveFile === undefined) {
    throw new UsageError(`Cannot ${name}: there are no files here`);
  }
  const isDryRun = values["dry-run"] === true;
  const calls = await callsOf(values, around, transferTimeoutMs);
  try {
    const files = { openFile, saveFile };
    const result = await transfers[name]!.run(calls, files, { path, isDryRun });
    around.out(resultText(result, { name, isDryRun, isJson: values.json }));
    return 0;
  } catch (error) {
    if (error instanceof UnreachableError && name === "import" && !isDryRun) {
      around.err(
        "Whether it was done is not known: look with status, or repeat it; a store that has it says that it is in use",
      );
    }
    throw error;
  }
}

/** Whoever does not say what is given up wants to know first. */
function isOnlyALook(values: Values): boolean {
  return Object.keys(values).every((flag) => commonFlags.includes(flag));
}

function checkIds(
  name: string,
  ids: readonly (string | undefined)[],
  action: Action | undefined,
  hasId: boolean,
): void {
  const count = ids.filter((id) => id !== undefined).length;
  const takes = action === undefined ? hasId : action.subject !== "all";
  const isNeeded = takes && action?.subject !== "cluster or all";
  if (isNeeded && count === 0) {
    throw new UsageError(`Cannot use ${name}: the id is missing`);
  }
  if (count > (takes ? 1 : 0)) {
    throw new UsageError(
      `Cannot use ${name}: "${ids[takes ? 1 : 0]}" is too much`,
    );
  }
}

/** A flag that one command takes once and others several times is judged here. */
function givenOf(name: string, id: string | undefined, values: Values): Given {
  const { region, "required-region": required, config } = values;
  if (name === "hosts" && (region?.length ?? 0) > 1) {
    throw new UsageError("Cannot use --region: hosts takes it once");
  }
  return {
    ...(id === undefined ? {} : { id }),
    texts: {
      app: values.app,
      none: values.none === true ? "true" : undefined,
      size: values.size,
      "expected-gen": values["expected-gen"],
      "expected-cci": values["expected-cci"],
      condemned: values.condemned,
      "wait-ticks": values["wait-ticks"],
      limit: values.limit,
      region: region?.[0],
    },
    lists: { region, "required-region": required, config },
  };
}

// ---- Who is asked ----

async function callsOf(
  values: Values,
  around: Surroundings,
  usualTimeoutMs = defaultTimeoutMs,
): Promise<MasterCalls> {
  const listed = values.master ??
    (around.env("DRAKKAR_MASTER") ?? defaultMaster).split(/[\s,]+/)
      .filter((url) => url !== "");
  const token = await tokenOf(values, around);
  const { "timeout-ms": timeout, as: who, key } = values;
  if (key !== undefined && !/^[\x21-\x7e]{1,200}$/.test(key)) {
    throw new UsageError(
      "Cannot use --key: it is not 1 to 200 printable characters",
    );
  }
  if (who !== undefined && !/^[\x20-\x7e]{1,100}$/.test(who)) {
    throw new UsageError(
      "Cannot use --as: it is not 1 to 100 printable characters",
    );
  }
  return new MasterCalls({
    urls: listed.map(masterUrl),
    ...(token === undefined ? {} : { token }),
    ...(who === undefined ? {} : { who }),
    key: key ?? around.newKey(),
    timeoutMs: timeout === undefined
      ? usualTimeoutMs
      : wholeNumber("timeout-ms", timeout),
    fetch: around.fetch,
  });
}

function masterUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isRight = url !== undefined && /^https?:$/.test(url.protocol) &&
    url.username === "" && url.password === "";
  // The text is not repeated: somebody may have put a secret into it.
  if (isRight) return url.href;
  throw new UsageError(
    "Cannot use --master: it is not an http or https URL without credentials",
  );
}

async function tokenOf(
  values: Values,
  { env, readFile }: Surroundings,
): Promise<string | undefined> {
  const path = values["token-file"];
  let text = env("DRAKKAR_OPERATOR_TOKEN") ?? env("DRAKKAR_TOKEN") ?? "";
  if (path !== undefined) {
    try {
      text = await readFile(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new UsageError(`Cannot read the token in ${path}: ${why}`);
    }
  }
  // While one is replaced by another there are two; masters know both.
  const token = text.trim().split(/\s+/)[0] ?? "";
  if (token === "") {
    if (path === undefined) return undefined;
    throw new UsageError(`Cannot read the token in ${path}: it is empty`);
  }
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError("Cannot use the token: it has characters beyond ASCII");
}

// ---- Commands ----

interface Asking {
  readonly name: string;
  readonly id: string;
  readonly values: Values;
  readonly around: Surroundings;
}

/** What a dry run says that binds the command to what it showed. */
const bindings = ["expectedGen", "expectedConfigChangeIndex"];

/**
 * What cannot be undone is said twice: with `--yes`, or at the terminal after a look at what it would do.
 *
 * @returns What binds the command to what was looked at; `undefined` if it was not meant.
 */
async function confirm(
  { name, id, values, around }: Asking,
  tryIt: () => Promise<Fields>,
): Promise<Fields | undefined> {
  if (values.yes !== undefined) {
    if (values.yes === id) return {};
    throw new UsageError(`Cannot ${name} ${id}: --yes names "${values.yes}"`);
  }
  if (around.ask === undefined) {
    throw new UsageError(
      `Cannot ${name} ${id}: it cannot be undone; say --yes ${id}, or --dry-run to look`,
    );
  }
  const would = await tryIt();
  around.err(resultText(would, { name, isDryRun: true, isJson: false }));
  const typed = around.ask(`It cannot be undone. Type ${id} to go on: `);
  if (typed?.trim() === id) {
    return Object.fromEntries(
      Object.entries(would).filter(([field]) => bindings.includes(field)),
    );
  }
  around.err("Nothing was done");
  return undefined;
}

/** When nobody answered, the command may have been done: its key says how to find out. */
async function give(
  { calls, around, isOnce }: {
    calls: MasterCalls;
    around: Surroundings;
    isOnce: boolean;
  },
  command: () => Promise<Fields>,
): Promise<Fields> {
  try {
    return await command();
  } catch (error) {
    if (error instanceof UnreachableError && !isOnce) {
      around.err(
        `Whether it was done is not known: repeat it with --key ${calls.key}`,
      );
    }
    throw error;
  }
}

function resultText(
  result: Fields,
  { name, isDryRun, isJson = false }: {
    name: string;
    isDryRun: boolean;
    isJson: boolean | undefined;
  },
): string {
  if (isJson) return JSON.stringify(result, null, 2);
  const { steps, members, ...rest } = result;
  const pairs = Object.entries(rest)
    .filter(([field]) => field !== "isDryRun")
    .map(([field, value]): [string, string] => [
      field,
      typeof value === "string" ? value : JSON.stringify(value),
    ]);
  const head = isDryRun ? `${name} would give` : `${name}: done`;
  return [
    pairs.length === 0 ? head : `${head}\n${facts(pairs)}`,
    ...(Array.isArray(members) ? [recoveryTable(members)] : []),
    ...(Array.isArray(steps) && steps.length > 0 ? [steps.join("\n")] : []),
  ].join("\n\n");
}
