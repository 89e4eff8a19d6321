/** Runs the programs of the README as they stand there, but for addresses, which must differ on another machine. */
import {
  type NodeHost,
  RaftError,
  type StateMachine,
  type StateMachineFactory,
} from "../mod.ts";
import { assert } from "./deps.ts";
import { Counter, Hosts } from "./support/hosts.ts";
import { programsOf, projectDir } from "./support/programs.ts";

const patienceMs = 60_000;

const readme = Deno.readTextFileSync(new URL("README.md", projectDir));

const programs = programsOf("README.md");

/** The options in the README's own command line for a program, behind the `mkdir` that they need. */
function optionsOf(program: string): string[] {
  const command = new RegExp(
    `^mkdir -p data\\ndeno run ((?:--\\S+ )+)${program}$`,
    "m",
  );
  const options = command.exec(readme)?.[1]?.trim().split(" ");
  assert.ok(options !== undefined, `how to run ${program}`);
  return options;
}

const permissions = optionsOf("counter\\.ts 1");

/** A folder to run programs in, after the README's `mkdir`. */
async function withFolder(test: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "drakkar-readme-" });
  try {
    await Deno.mkdir(`${dir}/data`);
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Some free ports below those that the system gives to outgoing connections, which could take one in between. */
function freePorts(count = 3): number[] {
  const ports = new Set<number>();
  while (ports.size < count) {
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

/** Starts a program, with the permissions that the README gives it unless it says otherwise. */
function start(
  dir: string,
  args: string[],
  allowed: readonly string[] = permissions,
): Program {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...allowed, ...args],
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

Deno.test("README: a proposal is made again until it is known what became of it", () =>
  withFolder(async (dir) => {
    const name = "retry.ts";
    Deno.writeTextFileSync(`${dir}/${name}`, programs.get(name)!);
    const { proposeAgain }: {
      proposeAgain(host: NodeHost, command: Uint8Array): Promise<unknown>;
    } = await import(`file://${dir}/${name}`);
    await using hosts = new Hosts();
    const host = await hosts.open(1, { maxPayloadBytes: 1_000 });
    await host.startCluster(hosts.cluster(1, 1));
    // Nobody leads yet, so that the first attempt fails, and certainly was not applied.
    await assert.rejects(
      host.propose(1, new Uint8Array([7])),
      (error) => error instanceof RaftError && error.code === "notReady",
    );
    assert.deepEqual(await proposeAgain(host, new Uint8Array([7])), {
      value: 7,
    });
    await assert.rejects(
      proposeAgain(host, new Uint8Array(1_001)),
      (error) => error instanceof RaftError && error.code === "payloadTooBig",
    );
  }));

Deno.test("README: typed commands", () =>
  withFolder(async (dir) => {
    const name = "typed.ts";
    Deno.writeTextFileSync(`${dir}/${name}`, programs.get(name)!);
    const { bank, deposit }: {
      bank: StateMachineFactory;
      deposit(host: NodeHost): Promise<number>;
    } = await import(`file://${dir}/${name}`);
    await using hosts = await Hosts.started(1, { stateMachine: bank });
    assert.equal(await deposit(hosts.host(1)), 5);
    assert.equal(await deposit(hosts.host(1)), 10);
  }));

Deno.test("README: exactly once in a session", () =>
  withFolder(async (dir) => {
    const name = "session.ts";
    Deno.writeTextFileSync(`${dir}/${name}`, programs.get(name)!);
    const { addThrice }: { addThrice(host: NodeHost): Promise<void> } =
      await import(`file://${dir}/${name}`);
    await using hosts = await Hosts.started(1);
    await addThrice(hosts.host(1));
    assert.equal(await hosts.host(1).read(1, "total"), 15);
  }));

Deno.test("README: a machine is replaced", () =>
  withFolder(async (dir) => {
    const name = "replace.ts";
    Deno.writeTextFileSync(`${dir}/${name}`, programs.get(name)!);
    const { replaceThird }: {
      replaceThird(
        survivor: NodeHost,
        fresh: NodeHost,
        stateMachine: () => StateMachine,
      ): Promise<void>;
    } = await import(`file://${dir}/${name}`);
    await using hosts = await Hosts.started(3);
    await hosts.host(1).propose(1, new Uint8Array([7]));
    await hosts.close(3);
    const fresh = await hosts.open(4);
    await replaceThird(hosts.host(1), fresh, () => new Counter());
    assert.equal(await fresh.read(1, "total"), 7);
    const { members } = await fresh.getMembership(1);
    assert.deepEqual(members.map((member) => member.nodeId), [1, 2, 4]);
  }));

Deno.test("README: a NodeHost reports to a master", () =>
  withFolder(async (dir) => {
    const [raftPort, masterPort] = freePorts(2);
    const url = `http://127.0.0.1:${masterPort}`;
    const master = start(dir, [
      "--unstable-kv",
      new URL("master/main.ts", projectDir).href,
      `--port=${masterPort}`,
      "--kv=:memory:",
    ], ["--allow-net=127.0.0.1", "--allow-env=DRAKKAR_KV,DRAKKAR_TOKEN"]);
    const name = "reporting_host.ts";
    const code = programs.get(name)!
      .replace("127.0.0.1:7001", `127.0.0.1:${raftPort}`)
      .replace("http://127.0.0.1:8080", url);
    Deno.writeTextFileSync(`${dir}/${name}`, code);
    const running = [master];
    try {
      await master.firstLine;
      const host = start(dir, [name], optionsOf("reporting_host\\.ts"));
      running.push(host);
      const { deploymentId } = await ask(`${url}/v1/deployment`);
      assert.equal(await host.firstLine, `deployment ${deploymentId}`);
      let addresses: string[] = [];
      while (addresses.length === 0) { // The program's own patience ends this too: the master is killed then.
        const { nodeHosts } = await ask(`${url}/v1/nodehosts`);
        addresses = nodeHosts.map((known: { nodeHostAddress: string }) =>
          known.nodeHostAddress
        );
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.deepEqual(addresses, [`127.0.0.1:${raftPort}`]);
    } finally {
      await Promise.all(running.map((program) => program.end()));
    }
  }));

// deno-lint-ignore no-explicit-any -- whatever the master answers is compared with what it must be
async function ask(url: string): Promise<any> {
  return await (await fetch(url)).json();
}
