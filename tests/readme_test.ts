/** Runs the programs of the README as they stand there, but for what must differ on another machine. */
import { assert } from "./deps.ts";

const projectDir = new URL("..", import.meta.url);
const publishedAt = "https://raw.githubusercontent.com/OWNER/drakkar/v0.1.0/";
const patienceMs = 60_000;

/** Blocks of TypeScript by the file name in their first line. */
function readPrograms(): Map<string, string> {
  const text = Deno.readTextFileSync(new URL("README.md", projectDir));
  const programs = new Map<string, string>();
  for (const [, code] of text.matchAll(/^```ts.*\n([^]*?)^```$/gm)) {
    const name = /^\/\/ (\w+\.ts)\n/.exec(code!)?.[1];
    assert.ok(name !== undefined, `a block without a name:\n${code}`);
    programs.set(name, code!.replaceAll(publishedAt, projectDir.href));
  }
  return programs;
}

const programs = readPrograms();

async function withFolder(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-readme-" });
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Three free ports below those that the system gives to outgoing connections, which could take one in between. */
function freePorts(): number[] {
  const ports = new Set<number>();
  while (ports.size < 3) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      ports.add(port);
    } catch {
      // Taken: another one.
    }
  }
  return [...ports];
}

interface Program {
  /** The first line it prints. */
  readonly firstLine: Promise<string>;
  /** Kills it and waits for its end. */
  end(): Promise<void>;
}

/** Starts a program with the permissions that the README gives it. */
function start(dir: string, args: string[]): Program {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--allow-net=127.0.0.1",
      "--allow-read=.",
      "--allow-write=data",
      ...args,
    ],
    cwd: dir,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const reading = (async () => {
    let text = "";
    for await (
      const part of child.stdout.pipeThrough(new TextDecoderStream())
    ) {
      text += part;
      if (text.includes("\n")) resolve(text.split("\n")[0]!);
    }
    reject(new Error(`${args.join(" ")} ended without a word`));
  })();
  return {
    firstLine: promise,
    async end() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended already.
      }
      await child.status;
      await reading;
      clearTimeout(timer);
    },
  };
}

Deno.test("README: every program type-checks", () =>
  withFolder(async (dir) => {
    for (const [name, code] of programs) {
      Deno.writeTextFileSync(`${dir}/${name}`, code);
    }
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", "--minimum-dependency-age=P30D", ...programs.keys()],
      cwd: dir,
      env: { NO_COLOR: "1" },
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  }));

Deno.test("README: three NodeHosts in thirty lines", () =>
  withFolder(async (dir) => {
    const [one, two, three] = freePorts();
    const code = programs.get("counter.ts")!;
    assert.ok(code.trimEnd().split("\n").length <= 30, "it says thirty lines");
    const address = "`127.0.0.1:700${id}`";
    assert.ok(code.includes(address));
    Deno.writeTextFileSync(
      `${dir}/counter.ts`,
      code.replace(
        address,
        `\`127.0.0.1:\${[0, ${one}, ${two}, ${three}][id]}\``,
      ),
    );
    const hosts = [1, 2, 3].map((id) => start(dir, ["counter.ts", String(id)]));
    try {
      const lines = await Promise.all(hosts.map((host) => host.firstLine));
      const values = lines.map((line) =>
        Number(/^\{ value: (\d+), total: \d+ \}$/.exec(line)?.[1])
      );
      assert.deepEqual(values.sort((a, b) => a - b), [5, 10, 15]);
      // One of them stops, and comes back: it has not forgotten, and the others did not wait.
      await hosts[1]!.end();
      hosts[1] = start(dir, ["counter.ts", "2"]);
      assert.equal(await hosts[1].firstLine, "{ value: 20, total: 20 }");
    } finally {
      await Promise.all(hosts.map((host) => host.end()));
    }
  }));

Deno.test("README: the first program, on each of its three members", () =>
  withFolder(async (dir) => {
    const ports = freePorts();
    let code = programs.get("first_program.ts")!;
    for (const [i, port] of ports.entries()) {
      code = code.replaceAll(`127.0.0.1:700${i + 1}`, `127.0.0.1:${port}`);
    }
    const hosts = [1, 2, 3].map((id) => {
      const own = code.replace("data/1", `data/${id}`)
        .replace("nodeId: 1", `nodeId: ${id}`)
        .replace(
          `raftAddress: "127.0.0.1:${ports[0]}"`,
          `raftAddress: "127.0.0.1:${ports[id - 1]}"`,
        );
      Deno.writeTextFileSync(`${dir}/host_${id}.ts`, own);
      return start(dir, [`host_${id}.ts`]);
    });
    try {
      const lines = await Promise.all(hosts.map((host) => host.firstLine));
      for (const line of lines) {
        assert.match(line, /^\{ value: \d+, total: \d+ \}$/);
      }
    } finally {
      await Promise.all(hosts.map((host) => host.end()));
    }
  }));

Deno.test("README: the counter in the simulator", () =>
  withFolder(async (dir) => {
    const name = "counter_test.ts";
    const code = programs.get(name)!.replace("seed <= 3", "seed <= 1");
    assert.notEqual(code, programs.get(name));
    Deno.writeTextFileSync(`${dir}/${name}`, code);
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-prompt", name],
      cwd: dir,
      env: { NO_COLOR: "1" },
    }).output();
    assert.ok(success, new TextDecoder().decode(stdout));
  }));
