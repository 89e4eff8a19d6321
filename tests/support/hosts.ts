/** NodeHosts of one process for tests: their own network and disks in memory, a real clock with short ticks. */
import { assert } from "../deps.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import type {
  ClusterConfig,
  NodeHostConfig,
  WaitOptions,
} from "../../raft/config.ts";
import type { Clock, Logger } from "../../raft/ports.ts";
import type {
  Entry,
  Result,
  SnapshotWriter,
  StateMachine,
} from "../../raft/state_machine.ts";
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import type { Network } from "../../raft/transport/transport.ts";
import { MemoryFileSystem } from "../../storage/memory_file_system.ts";

/** Adds up the first bytes of commands, and remembers how many there were. */
export class Counter implements StateMachine {
  total = 0;
  count = 0;
  isClosed = false;
  /** Calls of `update` on this object: what a snapshot brought is not among them. */
  updates = 0;

  update(entry: Entry): Result {
    if (entry.command[0] === 255) {
      throw new Error("the counter was told to fail");
    }
    this.total += entry.command[0] ?? 0;
    this.count++;
    this.updates++;
    return { value: this.total };
  }

  lookup(query: unknown): unknown {
    if (query === "throw") throw new Error("no such query");
    return query === "count" ? this.count : this.total;
  }

  async saveSnapshot(writer: SnapshotWriter): Promise<void> {
    await writer.write(
      new TextEncoder().encode(JSON.stringify([this.total, this.count])),
    );
  }

  async recoverFromSnapshot(
    reader: ReadableStream<Uint8Array>,
  ): Promise<void> {
    [this.total, this.count] = await new Response(
      reader as ReadableStream<Uint8Array<ArrayBuffer>>,
    ).json();
  }

  hash(): bigint {
    return BigInt(this.total) * 1_000_003n + BigInt(this.count);
  }

  close(): void {
    this.isClosed = true;
  }
}

/** A logger that keeps what it is told. */
export class KeptLog implements Logger {
  readonly lines: string[] = [];
  debug(): void {}
  info(message: string, fields?: Record<string, unknown>): void {
    this.#keep("info", message, fields);
  }
  warn(message: string, fields?: Record<string, unknown>): void {
    this.#keep("warn", message, fields);
  }
  error(message: string, fields?: Record<string, unknown>): void {
    this.#keep("error", message, fields);
  }
  #keep(level: string, message: string, fields?: Record<string, unknown>) {
    const text = Object.entries(fields ?? {}).map(([k, v]) => `${k}=${v}`);
    this.lines.push([level, message, ...text].join(" "));
  }
}

/** Gives the event loop turns until something is so; what a test waits for in vain fails it. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let turn = 0; turn < 10_000 && !isSo(); turn++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.ok(isSo(), `waited in vain for ${what}`);
}

const givenPorts = new Set<number>();

/** A port of 127.0.0.1 on which nobody listens now; another one at each call. */
export function freePort(): number {
  for (;;) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    if (givenPorts.has(port)) continue;
    givenPorts.add(port);
    return port;
  }
}

/** A few NodeHosts that may be closed, killed and opened again. */
export class Hosts implements AsyncDisposable {
  /** Where the hosts opened from here on listen and dial. */
  network: Network = new MemoryNetwork();
  /** Addresses other than the usual ones. */
  readonly addresses = new Map<number, string>();
  readonly disks = new Map<number, MemoryFileSystem>();
  readonly logs = new Map<number, KeptLog>();
  readonly machines = new Map<string, Counter>();
  /** The newest wire version that a host speaks, where that is not the newest there is: as an older release. */
  readonly wireVersions = new Map<number, number>();
  /** Time for the hosts opened from here on. */
  clock: Clock = denoPorts().clock;
  readonly #hosts = new Map<number, NodeHost>();

  /** The address of host `n`. */
  address(n: number): string {
    return this.addresses.get(n) ?? `host-${n}:7000`;
  }

  /** Host `n`, which is open. */
  host(n: number): NodeHost {
    return this.#hosts.get(n)!;
  }

  /** Its disk. */
  disk(n: number): MemoryFileSystem {
    let disk = this.disks.get(n);
    if (disk === undefined) {
      disk = new MemoryFileSystem({ device: n });
      this.disks.set(n, disk);
    }
    return disk;
  }

  /** Opens host `n`. */
  async open(
    n: number,
    config: Partial<NodeHostConfig> = {},
    options?: WaitOptions,
  ): Promise<NodeHost> {
    const logger = new KeptLog();
    this.logs.set(n, logger);
    const highestWireVersion = this.wireVersions.get(n);
    const host = await NodeHost.open(
      {
        dir: "/data",
        raftAddress: this.address(n),
        tickMs: 5,
        segmentBytes: 1024 * 1024,
        logger,
        ...config,
      },
      {
        ...denoPorts(),
        clock: this.clock,
        network: this.network,
        fileSystem: this.disk(n),
        ...(highestWireVersion === undefined ? {} : { highestWireVersion }),
      },
      options,
    );
    this.#hosts.set(n, host);
    return host;
  }

  /** Closes host `n`. */
  async close(n: number): Promise<void> {
    await this.#hosts.get(n)?.close();
    this.#hosts.delete(n);
  }

  /** The configuration of node `n` of a cluster that hosts 1 to `size` began. */
  cluster(
    n: number,
    size: number,
    config: Partial<ClusterConfig> = {},
  ): ClusterConfig {
    const clusterId = config.clusterId ?? 1;
    const initialMembers: Record<number, string> = {};
    for (let i = 1; i <= size; i++) initialMembers[i] = this.address(i);
    return {
      clusterId,
      nodeId: n,
      ...(config.join === true ? {} : { initialMembers }),
      stateMachine: () => {
        const machine = new Counter();
        this.machines.set(`${clusterId}/${n}`, machine);
        return machine;
      },
      ...config,
    };
  }

  /** Opens hosts 1 to `size` with one cluster over all of them, and waits until it is ready everywhere. */
  static async started(
    size: number,
    config: Partial<ClusterConfig> = {},
    hostConfig: Partial<NodeHostConfig> = {},
  ): Promise<Hosts> {
    const hosts = new Hosts();
    for (let n = 1; n <= size; n++) {
      const host = await hosts.open(n, hostConfig);
      await host.startCluster(hosts.cluster(n, size, config));
    }
    for (let n = 1; n <= size; n++) {
      await hosts.host(n).waitReady(config.clusterId ?? 1);
    }
    return hosts;
  }

  /** Number of the host whose node leads a cluster, as host `asking` knows. */
  leader(asking = 1, clusterId = 1): number {
    return this.host(asking).getLeader(clusterId).leaderId;
  }

  /** Closes all. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of this.#hosts.values()) await host.close();
    // An engine that had asked for a turn of the event loop gets it: Deno 2.5 counts such a wait as a timer of the test.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
