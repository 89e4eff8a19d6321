/**
 * Keeps the tree in the shape that `docs/ARCHITECTURE.md` describes: who may import whom, what the deterministic parts
 * may name, how large a file may be. It reads the sources as text, so it says what a reader would see.
 */
import { assert } from "./deps.ts";

interface Import {
  readonly specifier: string;
  readonly isTypeOnly: boolean;
}

interface Source {
  /** Path below the project, with `/`. */
  readonly path: string;
  readonly text: string;
  /** The text without comments and without the contents of strings. */
  readonly code: string;
  readonly imports: readonly Import[];
}

const projectDir = `${import.meta.dirname}/../`;
const ownName = "tests/tidy_test.ts";

/** Top level of the project; what is not listed does not belong there. */
const topLevel: ReadonlySet<string> = new Set([
  ".ci",
  ".gitignore",
  "CHANGELOG.md",
  "LICENSE",
  "README.md",
  "SECURITY.md",
  "bench",
  "deno.json",
  "deno.lock",
  "docs",
  "examples",
  "master",
  "mod.ts",
  "raft",
  "storage",
  "testing",
  "tests",
]);

/** What tools and programs leave there, and git ignores. */
const ignored: ReadonlySet<string> = new Set([
  ".git",
  ".tmp",
  "coverage",
  "data",
  "node_modules",
]);

/** Files with this ending, by their paths. */
function filesBelow(dir: string, ending: string): string[] {
  const paths: string[] = [];
  for (const entry of Deno.readDirSync(projectDir + dir)) {
    const path = dir === "" ? entry.name : `${dir}/${entry.name}`;
    if (entry.isDirectory && !ignored.has(path)) {
      paths.push(...filesBelow(path, ending));
    } else if (entry.isFile && path.endsWith(ending)) {
      paths.push(path);
    }
  }
  return paths.sort();
}

function readSource(path: string): Source {
  const text = Deno.readTextFileSync(projectDir + path);
  const uncommented = withoutComments(text);
  return {
    path,
    text,
    code: uncommented.replace(/(["'`])(?:\\.|(?!\1)[^\\])*\1/g, '""'),
    imports: importsOf(uncommented),
  };
}

/**
 * Templates go as well: there may be a whole program in one. Strings are matched so that `//` inside one is not taken
 * for a comment.
 */
function withoutComments(text: string): string {
  const tokens =
    /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return text.replace(
    tokens,
    (token) =>
      /^[/`]/.test(token) ? token.slice(0, 1).replace("/", " ") : token,
  );
}

function importsOf(code: string): Import[] {
  const found: Import[] = [];
  const statement =
    /^(?:import|export)\s+(?:(type)\s+)?(?:[\w*{][^"';]*?from\s*)?"([^"]+)"/gm;
  for (const [whole, type, specifier] of code.matchAll(statement)) {
    // `import { type A, type B }` needs nothing at run time either.
    const names = /\{([^}]*)\}/.exec(whole)?.[1]?.split(",") ?? [""];
    const isTypeOnly = type !== undefined ||
      names.every((name) =>
        name.trim() === "" ? names.length > 1 : name.trim().startsWith("type ")
      );
    found.push({ specifier: specifier!, isTypeOnly });
  }
  for (const [, specifier] of code.matchAll(/\bimport\(\s*"([^"]+)"/g)) {
    found.push({ specifier: specifier!, isTypeOnly: false });
  }
  return found;
}

const sources = filesBelow("", ".ts").map(readSource);
const byPath = new Map(sources.map((source) => [source.path, source]));

function targetOf(source: Source, specifier: string): string {
  return new URL(specifier, `file:///${source.path}`).pathname.slice(1);
}

function isDeps(path: string): boolean {
  return path === "deps.ts" || path.endsWith("/deps.ts");
}

/** Fails with everything that is wrong at once. */
function assertNone(problems: string[], rule: string): void {
  assert.deepEqual(problems, [], rule);
}

/** Files that state vocabulary, which every layer above the core may know. */
const errorsAndLimits = ["raft/errors.ts", "raft/config.ts"];
const logVocabulary = [
  "raft/core/types.ts",
  "raft/core/entry_batch.ts",
  "raft/core/assert.ts",
  "raft/core/membership_format.ts",
  "raft/errors.ts",
];
/** The parts of the master that only a server needs; a NodeHost must not reach them. */
const masterServer =
  /^master\/(server|gate|http|main|deps|auth|page|api\/.*|cli\/.*)\b/;

interface Layer {
  readonly name: string;
  readonly holds: (path: string) => boolean;
  /** What its modules may use at run time, beside each other. */
  readonly values: readonly string[];
  /** What they may know the types of, beside that. */
  readonly types: readonly string[];
}

const below = (...dirs: string[]) => (path: string) =>
  dirs.some((dir) => path.startsWith(`${dir}/`));

/** A file belongs to the first layer that holds it. An arrow that is not here does not exist. */
const layers: readonly Layer[] = [
  { name: "core", holds: below("raft/core"), values: [], types: [] },
  {
    name: "codec",
    holds: below("raft/codec"),
    values: ["raft/core/"],
    types: [],
  },
  {
    name: "transport",
    holds: below("raft/transport"),
    values: ["raft/core/", "raft/codec/", ...errorsAndLimits],
    types: ["raft/ports.ts"],
  },
  {
    name: "storage",
    holds: below("storage"),
    values: logVocabulary,
    types: ["raft/ports.ts"],
  },
  {
    name: "raft",
    holds: below("raft"),
    values: ["raft/", "storage/"],
    types: ["master/protocol.ts"],
  },
  {
    name: "master/wire",
    holds: below("master/wire"),
    values: errorsAndLimits,
    types: ["master/protocol.ts"],
  },
  {
    name: "master/scheduler",
    holds: below("master/scheduler"),
    values: ["master/cluster_image.ts"],
    types: ["master/schema.ts"],
  },
  {
    name: "master server",
    holds: (path) => masterServer.test(path),
    values: ["master/", "raft/logger.ts", ...errorsAndLimits],
    types: ["raft/"],
  },
  {
    name: "master",
    holds: below("master"),
    values: ["master/wire/", "master/scheduler/", ...errorsAndLimits],
    types: ["raft/"],
  },
  {
    name: "testing",
    holds: below("testing"),
    values: ["raft/", "storage/", "master/", "mod.ts"],
    types: [],
  },
  {
    name: "mod",
    holds: (path) => path === "mod.ts",
    values: ["raft/", "storage/"],
    types: ["master/protocol.ts"],
  },
  {
    name: "examples",
    holds: below("examples"),
    values: ["mod.ts", "master/mod.ts", "raft/mod.ts", "storage/mod.ts"],
    types: [],
  },
  {
    name: "bench",
    holds: below("bench"),
    values: ["mod.ts"],
    types: [],
  },
];

function layerOf(path: string): Layer | undefined {
  return layers.find((layer) => layer.holds(path));
}

function mayImport(layer: Layer, target: string, isTypeOnly: boolean): boolean {
  if (layerOf(target) === layer) return true;
  const allowed = isTypeOnly ? [...layer.values, ...layer.types] : layer.values;
  return allowed.some((one) =>
    one.endsWith("/") ? target.startsWith(one) : target === one
  ) && !(masterServer.test(target) && layer.name !== "testing" &&
    layer.name !== "examples");
}

Deno.test("Modules import only what their layer may", () => {
  const problems: string[] = [];
  for (const source of sources) {
    const layer = layerOf(source.path);
    if (layer === undefined) continue;
    for (const { specifier, isTypeOnly } of source.imports) {
      if (!specifier.startsWith(".")) continue;
      const target = targetOf(source, specifier);
      if (!mayImport(layer, target, isTypeOnly)) {
        problems.push(`${source.path} (${layer.name}) imports ${target}`);
      }
    }
  }
  assertNone(problems, "an arrow that docs/ARCHITECTURE.md does not have");
});

Deno.test("Modules do not need each other in a circle at run time", () => {
  const state = new Map<string, "entered" | "left">();
  const problems: string[] = [];
  const visit = (path: string, trail: string[]): void => {
    if (state.get(path) === "left") return;
    if (state.get(path) === "entered") {
      problems.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    state.set(path, "entered");
    const source = byPath.get(path);
    for (const { specifier, isTypeOnly } of source?.imports ?? []) {
      if (isTypeOnly || !specifier.startsWith(".")) continue;
      visit(targetOf(source!, specifier), [...trail, path]);
    }
    state.set(path, "left");
  };
  for (const { path } of sources) visit(path, []);
  assertNone(problems, "a circle of imports");
});

Deno.test("The NodeHost's driver is built upwards: node, engine, nodehost", () => {
  const order = ["raft/node.ts", "raft/engine.ts", "raft/nodehost.ts"];
  const problems: string[] = [];
  for (const [i, path] of order.entries()) {
    const source = byPath.get(path)!;
    for (const { specifier, isTypeOnly } of source.imports) {
      if (isTypeOnly || !specifier.startsWith(".")) continue;
      const target = targetOf(source, specifier);
      if (order.indexOf(target) > i) problems.push(`${path} uses ${target}`);
    }
  }
  assertNone(problems, "a lower part uses a higher one");
});

Deno.test("Imports work by URL: relative paths with an extension, packages in deps.ts only", () => {
  const problems: string[] = [];
  for (const { path, imports } of sources) {
    for (const { specifier } of imports) {
      const isRelative = /^\.\.?\//.test(specifier);
      const isRight = isRelative ? specifier.endsWith(".ts") : isDeps(path) &&
        /^(node:\w+|npm:(@[\w-]+\/)?[\w-]+@\^\d)/.test(specifier);
      if (!isRight) problems.push(`${path} imports "${specifier}"`);
    }
  }
  assertNone(
    problems,
    "an import that fails when the project is imported by URL",
  );
});

Deno.test("Every import finds its file", () => {
  const problems: string[] = [];
  for (const source of sources) {
    for (const { specifier } of source.imports) {
      if (!specifier.startsWith(".")) continue;
      const target = targetOf(source, specifier);
      if (!byPath.has(target)) problems.push(`${source.path}: ${target}`);
    }
  }
  assertNone(problems, "an import of a file that is not there");
});

Deno.test("Modules name what they export one by one", () => {
  const problems = sources.filter((source) => /^export \*/m.test(source.code))
    .map((source) => source.path);
  assertNone(problems, "an `export *` hides what is exported");
});

/** Files that implement a port: the only ones that touch the world. */
const adapters: ReadonlySet<string> = new Set([
  "raft/deno_ports.ts",
  "raft/logger.ts",
  "raft/transport/certificates.ts",
  "raft/transport/loop_watch.ts",
  "raft/transport/stream_connection.ts",
  "raft/transport/tcp.ts",
  "raft/transport/tls.ts",
  "storage/deno_file_system.ts",
]);

/** Command lines and the real event loop under the simulation. */
const simulationAdapters =
  /^testing\/(sim\/(main|clock|cli\w*|options|worker\w*)|linearizability\/clock)\.ts$/;

const worldly =
  /\b(Date|setTimeout|setInterval|setImmediate|Deno|fetch|crypto|performance|console|CompressionStream|DecompressionStream|Worker|process|Temporal)\b(?!\s*[?:]|\w)|\bMath\.random\b/g;

/** Takes dates apart and puts them together again, and never asks what time it is. */
const passesDatesOn = "raft/remote/values.ts";

Deno.test("The deterministic parts name nothing that differs from run to run", () => {
  const isPure = (path: string) =>
    (below("raft", "storage")(path) && !adapters.has(path) &&
        !below("raft/cli")(path) ||
      below("testing")(path) && !simulationAdapters.test(path)) &&
    !isDeps(path);
  const problems: string[] = [];
  for (const { path, code } of sources) {
    if (!isPure(path)) continue;
    for (const [name] of code.matchAll(worldly)) {
      const isValue = path === passesDatesOn && name === "Date" &&
        !/\bDate\.\w|new Date(?!\(\w)/.test(code);
      if (isValue) continue;
      problems.push(`${path} names ${name}`);
    }
  }
  assertNone(problems, "time, randomness, files and network come by a port");
});

Deno.test("The core is synchronous and computes with integers only (rule C11)", () => {
  const banned =
    /\b(async|await|Promise|queueMicrotask)\b|\bMath\.(log\w*|exp|pow|sqrt|sin|cos)\b|\*\*/g;
  const problems: string[] = [];
  for (const { path, code } of sources) {
    if (!path.startsWith("raft/core/")) continue;
    for (const [name] of code.matchAll(banned)) {
      problems.push(`${path} uses ${name}`);
    }
  }
  assertNone(problems, "the core never waits, and never rounds");
});

Deno.test("Nothing that a NodeHost imports reaches the packages of the master's server", () => {
  const reached = new Set<string>();
  const packages = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    const source = byPath.get(path)!;
    for (const { specifier, isTypeOnly } of source.imports) {
      if (isTypeOnly) continue;
      if (specifier.startsWith("npm:")) packages.add(specifier);
      if (specifier.startsWith(".")) visit(targetOf(source, specifier));
    }
  };
  visit("mod.ts");
  assertNone([...packages], "mod.ts needs no package at all");
  assert.ok(!reached.has("raft/otel/mod.ts"), "nor OpenTelemetry");
  visit("master/mod.ts");
  const theirs = [...packages].filter((name) => !name.includes("cbor-x"));
  assertNone(theirs, "a client of the master needs cbor-x and nothing else");
});

Deno.test("Files are short enough to be read, and named in snake case", () => {
  const problems: string[] = [];
  for (const { path, text } of sources) {
    const lines = text.split("\n").length - 1;
    if (lines > 800) problems.push(`${path} has ${lines} lines`);
    if (!/^[a-z0-9_/]+\.ts$/.test(path)) problems.push(`${path}: its name`);
  }
  assertNone(problems, "a file is one idea of 100 to 400 lines, 800 at most");
});

Deno.test("No path of a file is taken from a URL as it is: it would be wrong in a folder with a space in its name", () => {
  const problems = sources
    .filter(({ code }) =>
      /import\.meta\.url\)[^;{}]{0,40}\.pathname/.test(code)
    )
    .map(({ path }) => path);
  assertNone(problems, "use import.meta.dirname, or give the URL itself");
});

Deno.test("No source and no document promises what is not there", () => {
  const unfinished = /\b(TODO|FIXME|XXX|HACK|not implemented|unimplemented)\b/;
  const problems = sources
    .filter(({ path, text }) => path !== ownName && unfinished.test(text))
    .map(({ path }) => path);
  for (const path of filesBelow("", ".md")) {
    const text = Deno.readTextFileSync(projectDir + path);
    // A reader does not see a comment: it is a note about what is still to be written.
    if (unfinished.test(text) || text.includes("<!--")) problems.push(path);
  }
  assertNone(problems, "what is not there is not there");
});

Deno.test("The top level holds what it should and nothing else", () => {
  const names = [...Deno.readDirSync(projectDir)].map((entry) => entry.name);
  const strange = names.filter((name) =>
    !topLevel.has(name) && !ignored.has(name)
  );
  assertNone(strange, "does not belong on the top level");
  const missing = [...topLevel].filter((name) => !names.includes(name));
  assertNone(missing, "is missing");
});

Deno.test("deno.json exports files that exist, and maps no names", () => {
  const config = JSON.parse(
    Deno.readTextFileSync(`${projectDir}deno.json`),
  );
  assert.equal(config.imports, undefined, "a name that works only at home");
  assert.equal(config.importMap, undefined);
  const exported: string[] = Object.values(config.exports);
  for (const path of exported) {
    assert.ok(byPath.has(path.replace("./", "")), `${path} is exported`);
  }
  const linted = config.tasks.ok.command as string;
  for (const path of exported) {
    assert.ok(linted.includes(path.replace("./", "")), `${path} is linted`);
  }
});

Deno.test("Documents name files that exist", () => {
  const problems: string[] = [];
  for (const document of filesBelow("", ".md")) {
    const text = Deno.readTextFileSync(projectDir + document);
    const named =
      /\b((?:raft|storage|master|testing|tests|examples|bench|docs)\/[\w/]+\.(?:ts|md))\b/g;
    for (const [, path] of text.matchAll(named)) {
      if (!exists(path!)) problems.push(`${document} names ${path}`);
    }
  }
  assertNone(problems, "a file that is not there");
});

Deno.test("Every rule that is named stands in docs/RULES.md", () => {
  const page = Deno.readTextFileSync(`${projectDir}docs/RULES.md`);
  const known = new Set(
    [...page.matchAll(/^- \*\*([A-Z]\d+)\b/gm)].map(([, rule]) => rule),
  );
  assert.ok(known.size > 25);
  const problems: string[] = [];
  const list = "([LBCIRF]\\d{1,2}(?:(?:, | and | to )[LBCIRF]\\d{1,2})*)";
  const named = new RegExp(`\\brules? ${list}|\\(${list}\\)`, "g");
  for (const path of [...byPath.keys(), ...filesBelow("", ".md")]) {
    // A comment may break between the word and the number.
    const text = Deno.readTextFileSync(projectDir + path)
      .replace(/\s*\n\s*(?:\*|\/\/)?\s*/g, " ");
    for (const [, one, other] of text.matchAll(named)) {
      for (const [rule] of (one ?? other)!.matchAll(/[A-Z]\d+/g)) {
        if (!known.has(rule)) problems.push(`${path} names rule ${rule}`);
      }
    }
  }
  assertNone(problems, "a rule that nobody can look up");
});

function exists(path: string): boolean {
  try {
    return Deno.statSync(projectDir + path).isFile;
  } catch {
    return false;
  }
}

Deno.test("Tasks run programs that exist", () => {
  const { tasks } = JSON.parse(
    Deno.readTextFileSync(`${projectDir}deno.json`),
  );
  const problems: string[] = [];
  for (const [name, task] of Object.entries<{ command: string }>(tasks)) {
    for (const [path] of task.command.matchAll(/[\w/]+\.ts\b/g)) {
      if (!exists(path)) problems.push(`deno task ${name}: ${path}`);
    }
  }
  assertNone(problems, "a task that cannot run");
});
