/** NodeHosts that moved while nobody was up who could tell the others: their masters know where they are (M17). */
import { httpMasterClient } from "../../master/client.ts";
import type { Kv } from "../../master/kv.ts";
import { kvMasterClient } from "../../master/kv_client.ts";
import type { KvStore } from "../../master/kv_store.ts";
import type {
  IMasterClient,
  MasterClientFactory,
  NodeHostInfo,
} from "../../master/protocol.ts";
import { RaftError } from "../../raft/errors.ts";
import { assert } from "../deps.ts";
import { Hosts, until } from "../support/hosts.ts";
import {
  inThisProcess,
  isFar,
  masterOver,
  openEmptyKv,
  type Place,
  storeOver,
} from "./instances.ts";

/** A store that is far away takes its time. */
const periodMs = isFar ? 300 : 60;
/** What a NodeHost had asked for when it was closed may be under way for longer than the test. */
const lastWords = { sanitizeOps: !isFar, sanitizeResources: !isFar };
const patience = { timeoutMs: 20_000 };

/** NodeHosts with a master. */
class Managed extends Hosts {
  readonly kv: Kv;
  readonly store: KvStore;
  readonly factory: MasterClientFactory;

  constructor(
    kv: Kv,
    factory: (hosts: Managed) => MasterClientFactory,
    place: Place = {},
  ) {
    super();
    this.kv = kv;
    const options = { kv, periodMs, busyPeriodMs: periodMs };
    this.store = storeOver(options, place);
    this.factory = factory(this);
  }

  managed(more: object = {}): object {
    return {
      masterServers: ["http://master"],
      masterClientFactory: this.factory,
      reportPeriodMs: periodMs,
      ...more,
    };
  }

  /** Hosts 1 to `size` with one cluster. */
  async begin(size: number): Promise<void> {
    for (let n = 1; n <= size; n++) {
      const host = await this.open(n, this.managed());
      await host.startCluster(this.cluster(n, size));
    }
    for (let n = 1; n <= size; n++) await this.host(n).waitReady(1, patience);
  }

  /** Closes some hosts, all of them before any is opened elsewhere. */
  async move(...numbers: number[]): Promise<void> {
    for (const n of numbers) await this.close(n);
    for (const n of numbers) this.addresses.set(n, `moved:${n}`);
    for (const n of numbers) {
      const host = await this.open(
        n,
        this.managed({ raftAddressChanged: true }),
      );
      const { initialMembers: _, ...rest } = this.cluster(n, 3);
      await host.startCluster(rest);
    }
  }
}

async function withManaged(
  factory: (hosts: Managed) => MasterClientFactory,
  work: (hosts: Managed) => Promise<void>,
  place: Place = {},
): Promise<void> {
  const kv = await openEmptyKv();
  try {
    await using hosts = new Managed(kv, factory, place);
    await work(hosts);
  } finally {
    kv.close();
  }
}

const overHttp = (hosts: Managed): MasterClientFactory => {
  const master = masterOver({ store: hosts.store });
  return httpMasterClient({ fetch: (request) => master.fetch(request) });
};

const overKv = (hosts: Managed): MasterClientFactory => {
  const { kv } = hosts;
  const shared = {
    get: kv.get.bind(kv),
    getMany: kv.getMany.bind(kv),
    list: kv.list.bind(kv),
    atomic: kv.atomic.bind(kv),
    close: () => {},
  };
  return kvMasterClient({
    openKv: () => Promise.resolve(shared),
    periodMs,
    busyPeriodMs: periodMs,
  });
};

for (const [how, factory] of [["HTTP", overHttp], ["KV", overKv]] as const) {
  Deno.test(
    `Two NodeHosts that move at the same time find each other through a master alone, over ${how} (M17, rule I1)`,
    lastWords,
    async () => {
      await withManaged(factory, async (hosts) => {
        await hosts.begin(2);
        await hosts.host(1).propose(1, Uint8Array.of(5));
        await hosts.move(1, 2);
        await hosts.host(1).waitReady(1, patience);
        await hosts.host(2).waitReady(1, patience);
        assert.equal(await hosts.host(2).read(1, "total", patience), 5);
        await hosts.host(2).propose(1, Uint8Array.of(1), patience);
        assert.equal(await hosts.host(1).read(1, "total", patience), 6);
      });
    },
  );
}

/** A client of the release before: it neither asks for addresses nor hears of any. */
function olderClient(factory: MasterClientFactory): MasterClientFactory {
  return (host) => {
    const client = factory(host);
    const older: IMasterClient = {
      name: () => client.name(),
      stop: () => client.stop(),
      getDeploymentId: (...args) => client.getDeploymentId(...args),
      handleMasterRequests: (...args) => client.handleMasterRequests(...args),
      sendNodeHostInfo: (url, info, options) => {
        const { seeks: _, ...rest }: NodeHostInfo = info;
        return client.sendNodeHostInfo(url, rest, options);
      },
    };
    return older;
  };
}

Deno.test(
  "A NodeHost that does not ask, or whose master does not answer, goes on as before (M17, M20)",
  lastWords,
  async () => {
    const factory = (all: Managed) => olderClient(overHttp(all));
    await withManaged(factory, async (hosts) => {
      await hosts.begin(2);
      await hosts.move(1, 2);
      // Nobody tells them; what they can do is say so, and go on when somebody does.
      await assert.rejects(
        hosts.host(1).waitReady(1, { timeoutMs: 500 }),
        (error) => error instanceof RaftError && error.code === "timeout",
      );
      const { nodeHostId, raftAddress } = hosts.host(2);
      hosts.host(1).learnAddress(nodeHostId, raftAddress);
      await hosts.host(1).waitReady(1, patience);
      await hosts.host(2).waitReady(1, patience);
    });
  },
);

Deno.test(
  "Reports of connected NodeHosts ask for nobody, so that they cost what they did (M17)",
  lastWords,
  async () => {
    await withManaged(overHttp, async (hosts) => {
      const { store } = hosts;
      const asked: (readonly string[] | undefined)[] = [];
      const take = store.report.bind(store);
      store.report = (info, credentials) => {
        asked.push(info.seeks);
        return take(info, credentials);
      };
      await hosts.begin(3);
      await until(
        "links",
        () =>
          [1, 2, 3].every((n) =>
            hosts.host(n).info().links.filter((link) => link.isUp).length === 2
          ),
      );
      // What was under way may have been made before the links stood.
      const before = asked.length + 3;
      await until("reports", () => asked.length > before + 9);
      assert.ok(asked.slice(before).every((seeks) => seeks === undefined));
      const gone = hosts.host(3).nodeHostId;
      await hosts.close(3);
      await until("a question", () => asked.some((ids) => ids?.includes(gone)));
    }, inThisProcess("it sees what a master is sent"));
  },
);
