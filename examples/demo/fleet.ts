/** The processes of the demo: a master and four NodeHosts, with their folders and addresses. */
import { ChildProcess } from "./child_process.ts";
import { fileURLToPath, join } from "./deps.ts";
import { Janitor } from "./janitor_link.ts";
import { freePorts } from "./ports.ts";

/** A NodeHost process. */
export interface Host {
  /** What the demo calls it: 1 to 4. */
  readonly number: number;
  /** Where it runs, as the master is told. */
  readonly region: string;
  /** Where it talks to the other NodeHosts. */
  readonly raftAddress: string;
  /** Its HTTP API. */
  readonly url: string;
  /** The process; another one after a restart. */
  child: ChildProcess;
  /** Its identity, as it said itself when it began to listen. */
  nodeHostId: string;
}

/** The clusters that the demo starts. */
export const clusterIds: readonly number[] = [1, 2, 3];

/** The region of each NodeHost. The last one has two, so that one of them can stand in for the other. */
export const hostRegions: readonly string[] = [
  "north",
  "south",
  "west",
  "west",
];
/** What the NodeHosts call the state machine that they can run. */
export const appName = "kv";

const reportPeriodMs = 1_000;
/** So many reports may be missed: enough to be killed and started again without being replaced. */
const missedReportsMax = 6;
/** The project's folder. */
export const projectDir: string = fileURLToPath(
  new URL("../../", import.meta.url),
);

/** What a fleet needs to know. */
export interface FleetOptions {
  /** Folder for everything that is written. */
  readonly dir: string;
  /** Called when a process ends by itself. */
  readonly onUnexpectedEnd: (why: string) => void;
}

/** A master and four NodeHosts. */
export class Fleet {
  /** Where the master answers. */
  readonly masterUrl: string;
  /** What an operator shows the master: it may give commands. */
  readonly operatorToken: string = newToken();
  /** The NodeHosts. */
  readonly hosts: Host[] = [];
  /** What a NodeHost shows the master: it may report. */
  readonly #token = newToken();
  readonly #options: FleetOptions;
  readonly #children: ChildProcess[] = [];
  readonly #raftAddresses: readonly string[];
  readonly #apiAddresses: readonly string[];
  readonly #janitor: Janitor;
  #isClosed = false;

  private constructor(options: FleetOptions, ports: readonly number[]) {
    this.#janitor = new Janitor(options.dir);
    this.#options = options;
    const addresses = ports.map((port) => `127.0.0.1:${port}`);
    this.masterUrl = `http://${addresses[0]}`;
    this.#raftAddresses = addresses.slice(1, 1 + hostRegions.length);
    this.#apiAddresses = addresses.slice(1 + hostRegions.length);
  }

  /** Makes a fleet that is not running yet, so that whatever happens it can be closed. */
  static create(options: FleetOptions): Fleet {
    return new Fleet(options, freePorts(1 + 2 * hostRegions.length));
  }

  /** Starts the master, then the NodeHosts, and waits until all of them listen. */
  async start(): Promise<void> {
    const master = this.#startMaster();
    await master.firstLine();
    for (const [i, region] of hostRegions.entries()) {
      this.hosts.push({
        number: i + 1,
        region,
        raftAddress: this.#raftAddresses[i]!,
        url: `http://${this.#apiAddresses[i]}`,
        child: this.#startHost(i),
        nodeHostId: "",
      });
    }
    await Promise.all(this.hosts.map(untilListening));
  }

  /** The process of the master. */
  get masterPid(): number {
    return this.#children[0]!.pid;
  }

  /** Starts a killed NodeHost again, on the same folder and addresses. */
  async restart(host: Host): Promise<void> {
    await host.child.ended; // Its lock and its ports are free only then.
    host.child = this.#startHost(host.number - 1);
    await untilListening(host);
  }

  /** The last words of every process. */
  tails(): string {
    return this.#children.map((child) => child.tail())
      .filter((tail) => tail !== "").join("\n");
  }

  /** Stops all processes; the NodeHosts first, so that their last words find a master. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const [master, ...hosts] = this.#children;
    await Promise.all(hosts.map((host) => host.stop()));
    await master?.stop();
    this.#janitor.tell("done");
  }

  /** Kills all processes at once. */
  kill(): void {
    this.#isClosed = true;
    for (const child of this.#children) child.kill();
  }

  #startMaster(): ChildProcess {
    const dir = join(this.#options.dir, "master");
    Deno.mkdirSync(dir);
    const { host, hostname, port } = new URL(this.masterUrl);
    return this.#start("master", [
      `--allow-net=${host}`,
      `--allow-read=${dir}`,
      `--allow-write=${dir}`,
      "--allow-env=DRAKKAR_KV,DRAKKAR_TOKEN,DRAKKAR_OPERATOR_TOKEN",
      "--unstable-kv",
      join(projectDir, "master/main.ts"),
      `--hostname=${hostname}`,
      `--port=${port}`,
      `--kv=${join(dir, "kv.sqlite")}`,
      `--period-ms=${reportPeriodMs}`,
      `--dead-after=${missedReportsMax}`,
      `--silent-after-ms=${3 * reportPeriodMs}`,
    ], {
      DRAKKAR_TOKEN: this.#token,
      DRAKKAR_OPERATOR_TOKEN: this.operatorToken,
    });
  }

  #startHost(i: number): ChildProcess {
    const dir = join(this.#options.dir, `host-${i + 1}`);
    // One folder deeper than its permissions: a NodeHost also syncs the folder that holds its own.
    const hostDir = join(dir, "data");
    Deno.mkdirSync(hostDir, { recursive: true });
    const api = this.#apiAddresses[i]!;
    const reachable = [
      ...this.#raftAddresses,
      api,
      new URL(this.masterUrl).host,
    ];
    const peers = this.#raftAddresses.filter((_, at) => at !== i);
    return this.#start(`NodeHost ${i + 1}`, [
      `--allow-net=${reachable.join(",")}`,
      `--allow-read=${dir}`,
      `--allow-write=${dir}`,
      "--allow-env=DRAKKAR_TOKEN",
      join(projectDir, "examples/kv/main.ts"),
      `--dir=${hostDir}`,
      `--raft-address=${this.#raftAddresses[i]}`,
      `--api-address=${api}`,
      `--peers=${peers.join(",")}`,
      `--master=${this.masterUrl}`,
      `--region=${hostRegions[i]}`,
      `--report-period-ms=${reportPeriodMs}`,
    ], { DRAKKAR_TOKEN: this.#token });
  }

  #start(
    name: string,
    args: readonly string[],
    env: Record<string, string>,
  ): ChildProcess {
    if (this.#isClosed) throw new Error(`Cannot start ${name}: closing`);
    const child = new ChildProcess({
      name,
      args: ["run", "--no-prompt", "--quiet", ...args],
      cwd: projectDir,
      env,
      onUnexpectedEnd: this.#options.onUnexpectedEnd,
    });
    this.#children.push(child);
    this.#janitor.tell(`+${child.pid}`);
    child.ended.then(() => this.#janitor.tell(`-${child.pid}`));
    return child;
  }
}

/** A NodeHost tells where it listens, and who it is, in the first line that it prints. */
async function untilListening(host: Host): Promise<void> {
  const { nodeHostId } = JSON.parse(await host.child.firstLine());
  host.nodeHostId = nodeHostId;
}

/** Tokens live as long as the demo. They go through the environment: arguments can be read by everybody here. */
function newToken(): string {
  return crypto.randomUUID() + crypto.randomUUID();
}
