/** Masters and NodeHosts as processes on one denokv, which can be killed and started again. */
import { ChildProcess } from "../../../examples/demo/child_process.ts";
import { Janitor } from "../../../examples/demo/janitor_link.ts";
import { freePorts } from "../../../examples/demo/ports.ts";
import { fileURLToPath, join } from "./deps.ts";
import { startDenokv } from "./server.ts";

/** What a fleet is made of. */
export interface FleetOptions {
  /** The denokv server's program. */
  readonly denokv: string;
  /** Folder for everything that is written. */
  readonly dir: string;
  /** How many masters. */
  readonly masters: number;
  /** How many NodeHosts. */
  readonly hosts: number;
  /** How often they report. */
  readonly periodMs: number;
  /** The Deno that masters run on; this one by default. */
  readonly masterDeno?: string;
  /** Where masters are told that the database is, if not where it is. */
  readonly kvUrl?: (port: number) => string;
  /** Called when a process ends by itself. */
  readonly onUnexpectedEnd: (why: string) => void;
}

/** A process that comes and goes. */
export interface Member {
  /** For people. */
  readonly name: string;
  /** Its HTTP address. */
  readonly url: string;
  /** The process. */
  child: ChildProcess;
}

/** A NodeHost. */
export interface HostMember extends Member {
  /** Its address for other NodeHosts. */
  readonly raft: string;
  /** Its identity. */
  nodeHostId: string;
}

/** A node that a NodeHost runs. */
export interface RunningNode {
  /** Its cluster. */
  readonly clusterId: number;
  /** The node. */
  readonly nodeId: number;
  /** Why it does not work, if so. */
  readonly failure?: string;
}

const root = fileURLToPath(new URL("../../../", import.meta.url));
const statusTimeoutMs = 5_000;
/** Most of what a NodeHost carried is replaced at the same time: all share one disk anyway. */
const repairsAtOnce = 80;

/** Everything that runs. */
export class Fleet {
  /** What NodeHosts show. */
  readonly token: string = newToken();
  /** What operators show. */
  readonly operatorToken: string = newToken();
  /** The masters. */
  readonly masters: Member[] = [];
  /** The NodeHosts. */
  readonly hosts: HostMember[] = [];
  readonly #options: FleetOptions;
  readonly #children: ChildProcess[] = [];
  readonly #janitor: Janitor;
  readonly #kvToken = newToken();
  readonly #kvPort: number;
  readonly #masterPorts: number[];
  readonly #raftPorts: number[];
  readonly #apiPorts: number[];
  #isClosed = false;

  /** Nothing runs yet. */
  constructor(options: FleetOptions) {
    this.#options = options;
    this.#janitor = new Janitor(options.dir);
    const { masters, hosts } = options;
    const ports = freePorts(1 + masters + 2 * hosts);
    this.#kvPort = ports[0]!;
    this.#masterPorts = ports.slice(1, 1 + masters);
    this.#raftPorts = ports.slice(1 + masters, 1 + masters + hosts);
    this.#apiPorts = ports.slice(1 + masters + hosts);
  }

  /** Addresses of the NodeHosts for other NodeHosts. */
  get raftAddresses(): string[] {
    return this.#raftPorts.map((port) => `127.0.0.1:${port}`);
  }

  /** Starts all of it, and waits until everybody listens. */
  async start(): Promise<void> {
    const { dir, denokv: program, onUnexpectedEnd } = this.#options;
    const denokv = await startDenokv({
      program,
      dir,
      port: this.#kvPort,
      token: this.#kvToken,
      onUnexpectedEnd,
    });
    this.#watch(denokv);
    for (const [i, port] of this.#masterPorts.entries()) {
      const url = `http://127.0.0.1:${port}`;
      const child = this.#startMaster(i);
      this.masters.push({ name: `master ${i + 1}`, url, child });
    }
    await Promise.all(this.masters.map(({ child }) => child.firstLine()));
    for (const [i, raft] of this.raftAddresses.entries()) {
      const url = `http://127.0.0.1:${this.#apiPorts[i]}`;
      const child = this.#startHost(i);
      const name = `NodeHost ${i + 1}`;
      this.hosts.push({ name, url, child, raft, nodeHostId: "" });
    }
    await Promise.all(this.hosts.map(untilListening));
  }

  /** Starts a master again, once what there was of it is gone. */
  async restartMaster(master: Member): Promise<void> {
    await master.child.ended;
    master.child = this.#startMaster(this.masters.indexOf(master));
    await master.child.firstLine();
  }

  /** Starts a NodeHost again, on the same folder and addresses. */
  async restartHost(host: HostMember): Promise<void> {
    await host.child.ended;
    host.child = this.#startHost(this.hosts.indexOf(host));
    await untilListening(host);
  }

  /** The nodes that a NodeHost runs. */
  async nodesOn(host: HostMember): Promise<RunningNode[]> {
    const signal = AbortSignal.timeout(statusTimeoutMs);
    const response = await fetch(`${host.url}/status`, { signal });
    return await response.json();
  }

  /** The last words of every process that is not well. */
  tails(): string {
    return this.#children.map((child) => child.tail())
      .filter((tail) => tail !== "").join("\n");
  }

  /** Stops everything, denokv last. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const [denokv, ...others] = this.#children;
    await Promise.all(others.map((child) => child.stop()));
    await denokv?.stop();
    this.#janitor.tell("done");
  }

  #startMaster(i: number): ChildProcess {
    const { periodMs, masterDeno: program } = this.#options;
    const { kvUrl = (port) => `http://127.0.0.1:${port}` } = this.#options;
    return this.#start(`master ${i + 1}`, [
      "--unstable-kv",
      "--allow-net=127.0.0.1",
      "--allow-env",
      `--allow-read=${root}`,
      join(root, "master/main.ts"),
      `--port=${this.#masterPorts[i]}`,
      `--kv=${kvUrl(this.#kvPort)}`,
      `--period-ms=${periodMs}`,
      `--repairs=${repairsAtOnce}`,
    ], {
      DENO_KV_ACCESS_TOKEN: this.#kvToken,
      DRAKKAR_TOKEN: this.token,
      DRAKKAR_OPERATOR_TOKEN: this.operatorToken,
    }, program);
  }

  #startHost(i: number): ChildProcess {
    const { dir, periodMs } = this.#options;
    const own = join(dir, `host-${i + 1}`);
    Deno.mkdirSync(join(own, "data"), { recursive: true });
    const masters = this.masters.map(({ url }) => url);
    const peers = this.raftAddresses.filter((_, at) => at !== i);
    return this.#start(`NodeHost ${i + 1}`, [
      "--allow-net=127.0.0.1",
      "--allow-env=DRAKKAR_TOKEN",
      `--allow-read=${own}`,
      `--allow-write=${own}`,
      fileURLToPath(new URL("host.ts", import.meta.url)),
      `--dir=${join(own, "data")}`,
      `--raft=${this.raftAddresses[i]}`,
      `--api=127.0.0.1:${this.#apiPorts[i]}`,
      `--region=region-${i + 1}`,
      `--masters=${masters.join(",")}`,
      `--peers=${peers.join(",")}`,
      `--period-ms=${periodMs}`,
    ], { DRAKKAR_TOKEN: this.token });
  }

  #start(
    name: string,
    args: readonly string[],
    env: Record<string, string>,
    program?: string,
  ): ChildProcess {
    if (this.#isClosed) throw new Error(`Cannot start ${name}: closing`);
    const child = new ChildProcess({
      name,
      ...(program === undefined ? {} : { program }),
      args: [
        "run",
        "--no-prompt",
        "--quiet",
        "--no-check",
        "--no-lock",
        ...args,
      ],
      cwd: root,
      env,
      onUnexpectedEnd: this.#options.onUnexpectedEnd,
    });
    this.#watch(child);
    return child;
  }

  #watch(child: ChildProcess): void {
    this.#children.push(child);
    this.#janitor.tell(`+${child.pid}`);
    child.ended.then(() => this.#janitor.tell(`-${child.pid}`));
  }
}

async function untilListening(host: HostMember): Promise<void> {
  host.nodeHostId = JSON.parse(await host.child.firstLine()).nodeHostId;
}

function newToken(): string {
  return crypto.randomUUID() + crypto.randomUUID();
}
