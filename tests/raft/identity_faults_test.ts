/** Folders wiped, restored from an old copy, or copied, while a second host is down (rules I2, I4): on a real disk. */
import { assert, copyFolder } from "../deps.ts";
import { denoPorts } from "../../raft/deno_ports.ts";
import { RaftError } from "../../raft/errors.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import type { NodeHostConfig } from "../../raft/config.ts";
import { MemoryNetwork } from "../../raft/transport/memory.ts";
import { Counter, KeptLog, until } from "../support/hosts.ts";

class Trio implements AsyncDisposable {
  readonly root = Deno.makeTempDirSync();
  readonly network = new MemoryNetwork();
  readonly hosts = new Map<number, NodeHost>();
  readonly logs = new Map<number, KeptLog>();

  dir(n: number): string {
    return `${this.root}/${n}`;
  }

  async open(
    n: number,
    config: Partial<NodeHostConfig> = {},
    nodeId = n,
  ): Promise<void> {
    const logger = new KeptLog();
    this.logs.set(n, logger);
    const host = await NodeHost.open({
      dir: this.dir(n),
      raftAddress: `host-${n}:7000`,
      tickMs: 10,
      segmentBytes: 1024 * 1024,
      logger,
      ...config,
    }, { ...denoPorts(), network: this.network });
    this.hosts.set(n, host);
    await host.startCluster({
      clusterId: 1,
      nodeId,
      initialMembers: {
        1: "host-1:7000",
        2: "host-2:7000",
        3: "host-3:7000",
      },
      stateMachine: () => new Counter(),
    });
  }

  host(n: number): NodeHost {
    return this.hosts.get(n)!;
  }

  async close(n: number): Promise<void> {
    await this.hosts.get(n)?.close();
    this.hosts.delete(n);
  }

  static async started(): Promise<Trio> {
    const trio = new Trio();
    for (const n of [1, 2, 3]) await trio.open(n);
    for (const n of [1, 2, 3]) await trio.host(n).waitReady(1);
    await trio.host(1).propose(1, Uint8Array.of(7));
    for (const n of [1, 2, 3]) await trio.host(n).read(1, "total");
    return trio;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const n of [...this.hosts.keys()]) await this.close(n);
    Deno.removeSync(this.root, { recursive: true });
  }
}

function isRefused(code: string, text: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof RaftError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  };
}

Deno.test("A wiped folder is refused by name while a second host is down, and nothing is lost when that returns (rule I2)", async () => {
  await using trio = await Trio.started();
  await trio.close(1);
  await trio.close(2);
  Deno.removeSync(trio.dir(1), { recursive: true });
  await trio.open(1);
  await assert.rejects(
    trio.host(1).waitReady(1, { timeoutMs: 3_000 }),
    isRefused("rejected", /remove it and add a new one/),
  );
  await assert.rejects(
    trio.host(3).waitReady(1, { timeoutMs: 300 }),
    isRefused("timeout", /no leader/),
  );
  await trio.open(2);
  await trio.host(2).waitReady(1);
  assert.equal(await trio.host(2).read(1, "total"), 7);
});

Deno.test("A folder restored from a copy is refused, with the way to adopt it; adopted, an old one is refused by the others (rules I1, I4)", async () => {
  await using trio = await Trio.started();
  await trio.close(1);
  copyFolder(trio.dir(1), `${trio.root}/backup`);
  // The original goes on for two incarnations, which the others see.
  await trio.open(1);
  await trio.host(1).waitReady(1);
  await trio.close(1);
  await trio.open(1);
  await trio.host(1).waitReady(1);
  await trio.close(1);
  await trio.close(2);
  Deno.removeSync(trio.dir(1), { recursive: true });
  copyFolder(`${trio.root}/backup`, trio.dir(1));
  await assert.rejects(
    trio.open(1),
    isRefused("dirMismatch", /adoptCopiedDir/),
  );
  await trio.open(1, { adoptCopiedDir: true });
  await assert.rejects(
    trio.host(1).waitReady(1, { timeoutMs: 3_000 }),
    isRefused("rejected", /incarnation .*old copy/),
  );
  await assert.rejects(
    trio.host(3).waitReady(1, { timeoutMs: 300 }),
    isRefused("timeout", /no leader/),
  );
});

Deno.test("A copied folder does not open beside its original (rule I4)", async () => {
  await using trio = await Trio.started();
  await trio.close(2);
  copyFolder(trio.dir(1), trio.dir(4));
  await assert.rejects(
    NodeHost.open({
      dir: trio.dir(4),
      raftAddress: "host-1:7000",
      listenAddress: "host-4:7000",
      logger: new KeptLog(),
    }, { ...denoPorts(), network: trio.network }),
    isRefused("dirMismatch", /cop/),
  );
  await assert.rejects(
    NodeHost.open({
      dir: trio.dir(4),
      raftAddress: "host-4:7000",
      logger: new KeptLog(),
    }, { ...denoPorts(), network: trio.network }),
    isRefused("dirMismatch", /address|cop/),
  );
  assert.equal(await trio.host(1).read(1, "total"), 7);
});

Deno.test("A copy adopted while its original runs and a second host is down shuts the original out, by name; what was acknowledged stays (rules I1, I4)", async () => {
  await using trio = await Trio.started();
  await trio.close(2);
  copyFolder(trio.dir(1), trio.dir(4));
  const original = trio.host(1);
  // The copy does not have this one.
  assert.equal((await original.propose(1, Uint8Array.of(8))).value, 15);
  await original.transferLeadership(1, 1);
  await trio.open(4, {
    adoptCopiedDir: true,
    raftAddress: "host-1:7000",
    listenAddress: "host-4:7000",
  }, 1);
  const copy = trio.host(4);
  assert.equal(copy.nodeHostId, original.nodeHostId);
  assert.ok(copy.incarnation > original.incarnation);
  const isSaid = (line: string) =>
    line.includes("host-3:7000") && line.includes(original.nodeHostId) &&
    line.includes(
      `incarnation ${original.incarnation}, after incarnation ${copy.incarnation}`,
    );
  await until(
    "the original to say why it is shut out",
    () => trio.logs.get(1)!.lines.some(isSaid),
  );
  await assert.rejects(
    original.propose(1, Uint8Array.of(1), { timeoutMs: 300 }),
    RaftError,
  );
  await trio.open(2);
  for (const n of [2, 3]) {
    await trio.host(n).waitReady(1);
    assert.equal(await trio.host(n).read(1, "total"), 15);
  }
  assert.ok([0, 7, 15].includes(await copy.staleRead<number>(1, "total")));
});

Deno.test("An empty folder cannot take another's place under its address: it has another NodeHost id (rule I1)", async () => {
  await using trio = await Trio.started();
  const before = trio.host(1).nodeHostId;
  await trio.close(1);
  Deno.removeSync(trio.dir(1), { recursive: true });
  await trio.open(1);
  assert.notEqual(trio.host(1).nodeHostId, before);
  await assert.rejects(
    trio.host(1).waitReady(1, { timeoutMs: 3_000 }),
    isRefused("rejected", new RegExp(before)),
  );
  // The two that are left serve, and can replace the lost member under a new id.
  await trio.host(2).removeNode(1, { nodeId: 1 });
  await trio.host(1).stopCluster(1);
  await trio.host(2).addNode(1, { nodeId: 4, address: "host-1:7000" });
  await trio.host(1).startCluster({
    clusterId: 1,
    nodeId: 4,
    join: true,
    stateMachine: () => new Counter(),
  });
  await trio.host(1).waitReady(1);
  assert.equal(await trio.host(1).read(1, "total"), 7);
});

Deno.test("A wiped folder of a node that had joined is refused by name as well (rule I2)", async () => {
  await using trio = await Trio.started();
  const join = {
    clusterId: 1,
    nodeId: 4,
    join: true,
    stateMachine: () => new Counter(),
  };
  const open = async () => {
    trio.hosts.set(
      4,
      await NodeHost.open({
        dir: trio.dir(4),
        raftAddress: "host-4:7000",
        tickMs: 10,
        logger: new KeptLog(),
      }, { ...denoPorts(), network: trio.network }),
    );
    return trio.host(4).nodeHostId;
  };
  const before = await open();
  await trio.host(1).addNode(1, { nodeId: 4, address: "host-4:7000" });
  await trio.host(4).startCluster(join);
  await trio.host(4).waitReady(1);
  await trio.close(4);
  Deno.removeSync(trio.dir(4), { recursive: true });
  assert.notEqual(await open(), before);
  await trio.host(4).startCluster(join);
  await assert.rejects(
    trio.host(4).waitReady(1, { timeoutMs: 3_000 }),
    isRefused("rejected", new RegExp(`${before}.* remove it and add a new`)),
  );
});
