/** Every field of the configurations, wrong in every way that is checked. */
import { assert } from "../deps.ts";
import {
  clusterFields,
  nodeHostFields,
  resolveClusterConfig,
  resolveNodeHostConfig,
  validateWaitOptions,
} from "../../raft/config.ts";
import type { ClusterConfig, NodeHostConfig } from "../../raft/config.ts";
import { NodeHost } from "../../raft/nodehost.ts";
import { validateAddress } from "../../raft/validation.ts";
import { Hosts } from "../support/hosts.ts";

const host: NodeHostConfig = { dir: "data", raftAddress: "127.0.0.1:7001" };
const cluster: ClusterConfig = {
  clusterId: 1,
  nodeId: 1,
  initialMembers: { 1: "127.0.0.1:7001" },
  stateMachine: "counter",
};

/** Wrong values by field, and the error each must give. */
type WrongValues = Record<
  string,
  readonly (readonly [
    value: unknown,
    error: typeof TypeError | typeof RangeError,
  ])[]
>;

const wrongIds = [
  [0, RangeError],
  [2 ** 53, RangeError],
  [-1, RangeError],
  [1.5, RangeError],
  [NaN, RangeError],
  ["1", TypeError],
  [1n, TypeError],
  [null, TypeError],
] as const;

const wrongAddresses = [
  ["", RangeError],
  ["host", RangeError],
  ["host:", RangeError],
  [":80", RangeError],
  ["host:0", RangeError],
  ["host:65536", RangeError],
  ["host:8o", RangeError],
  ["ho st:80", RangeError],
  ["http://host:80", RangeError],
  ["ho\0st:80", RangeError],
  ["::1:7001", RangeError], // IPv6 needs brackets.
  ["[host]:80", RangeError],
  ["[::1:80", RangeError],
  [`${"h".repeat(100_000)}:80`, RangeError],
  [80, TypeError],
] as const;

const wrongFlags = [["yes", TypeError], [1, TypeError], [
  null,
  TypeError,
]] as const;

const wrongTexts = [
  [1, TypeError],
  [null, TypeError],
  ["x".repeat(256), RangeError],
  ["x".repeat(100_000), RangeError],
  ["a\nb", RangeError],
] as const;

const wrongRates = [
  [256 * 1024 - 1, RangeError],
  [0, RangeError],
  [Infinity, RangeError],
  ["fast", TypeError],
  [null, TypeError],
] as const;

const wrongHost: WrongValues = {
  dir: [["", RangeError], ["a\0b", RangeError], [1, TypeError], [
    null,
    TypeError,
  ]],
  raftAddress: [
    ...wrongAddresses,
    ["0.0.0.0:7001", RangeError], // Others cannot reach it there.
    ["[::]:7001", RangeError],
  ],
  listenAddress: wrongAddresses,
  raftAddressChanged: wrongFlags,
  adoptCopiedDir: wrongFlags,
  tickMs: [[0, RangeError], [60_001, RangeError], [1.5, RangeError], [
    "50",
    TypeError,
  ]],
  deploymentId: [[0n, RangeError], [1n << 64n, RangeError], [1, TypeError]],
  region: wrongTexts,
  failureDomain: wrongTexts,
  capacity: [[0, RangeError], [1_001, RangeError], [1.5, RangeError], [
    "2",
    TypeError,
  ]],
  apiAddress: [...wrongTexts, ["garbage !!", RangeError]],
  masterServers: [
    ["http://m", TypeError],
    [[1], TypeError],
    [[""], RangeError],
    [["http://m", "x".repeat(100_000)], RangeError],
    [["a\0b"], RangeError],
    [["http://m"], TypeError], // Without a factory.
  ],
  masterClientFactory: [["client", TypeError], [{}, TypeError]],
  reportPeriodMs: [[9, RangeError], [86_400_001, RangeError], ["1", TypeError]],
  spreadLeaders: wrongFlags,
  onDamage: [["repair", TypeError], [true, TypeError], [null, TypeError]],
  maxSnapshotSendBytesPerSecond: wrongRates,
  maxSnapshotReceiveBytesPerSecond: wrongRates,
  maxConnections: [[15, RangeError], [65_537, RangeError], ["64", TypeError]],
  peers: [
    ["a:1", TypeError],
    [[1], TypeError],
    [["nowhere"], RangeError],
    [["::1:7001"], RangeError],
    [Array(65).fill("a:1"), RangeError],
    [null, TypeError],
  ],
  nodeHostAddresses: [
    [[], TypeError],
    [new Map([["0".repeat(32), "a:1"]]), TypeError],
    [{ x: "a:1" }, RangeError],
    [{ ["0".repeat(31)]: "a:1" }, RangeError],
    [{ ["0".repeat(32)]: "nowhere" }, RangeError],
    [{ ["0".repeat(32)]: 1 }, TypeError],
    [null, TypeError],
  ],
  tls: [
    ["tls", TypeError],
    [{}, TypeError],
    [{ ca: "a", cert: "b", key: "" }, RangeError],
    [{ ca: "a", cert: "b", key: "c", password: "d" }, TypeError],
    [null, TypeError],
  ],
  stateMachines: [
    [[], TypeError],
    [new Map([["counter", () => {}]]), TypeError],
    [{ counter: "no function" }, TypeError],
    [{ "": () => {} }, RangeError],
    [null, TypeError],
  ],
  logger: [["console", TypeError], [{ warn() {} }, TypeError]],
  segmentBytes: [[1024, RangeError], [2 ** 31, RangeError], ["64", TypeError]],
  maxPayloadBytes: [
    [0, RangeError],
    [8 * 1024 * 1024 + 1, RangeError],
    ["8", TypeError],
  ],
  storage: [
    ["memory", TypeError],
    [{}, TypeError],
    [{ open() {} }, TypeError],
    [null, TypeError],
  ],
};

const wrongCluster: WrongValues = {
  clusterId: wrongIds,
  nodeId: wrongIds,
  initialMembers: [
    ["127.0.0.1:7001", TypeError],
    [new Map([[1, "127.0.0.1:7001"]]), TypeError],
    [[], TypeError],
    [null, TypeError],
    [{ 2: "127.0.0.1:7001" }, RangeError], // This node is not among them.
    [{ 0: "127.0.0.1:7001", 1: "127.0.0.1:7002" }, RangeError],
    [{ 1: "127.0.0.1:7001", 2: "127.0.0.1:7001" }, RangeError],
    [{ 1: "127.0.0.1:7001", 2: "nowhere" }, RangeError],
    [{ 1: 7001 }, TypeError],
    [{ 1: "127.0.0.1:7001", "01": "127.0.0.1:7002" }, RangeError],
    [{ 1: "host:7001", 2: "HOST:7001" }, RangeError], // The same place.
    [
      Object.fromEntries(
        Array.from({ length: 64 }, (_, i) => [i + 1, `host:${i + 1}`]),
      ),
      RangeError,
    ],
  ],
  join: [...wrongFlags, [true, TypeError]], // Together with initialMembers.
  stateMachine: [[1, TypeError], [undefined, TypeError], [null, TypeError]],
  electionTimeoutTicks: [[2, RangeError], [10_001, RangeError], [
    "10",
    TypeError,
  ]],
  heartbeatTicks: [[0, RangeError], [6, RangeError], ["1", TypeError]],
  snapshotEntries: [[-1, RangeError], [0.5, RangeError], ["0", TypeError]],
  compactionOverhead: [[-1, RangeError], ["0", TypeError]],
  maxInMemLogBytes: [[1, RangeError], ["64", TypeError]],
  maxSessions: [[0, RangeError], [100_001, RangeError], ["64", TypeError]],
  witness: wrongFlags,
  quiesce: wrongFlags,
  leaseReads: wrongFlags,
  maxClockDriftPpm: [[0, RangeError], [100_001, RangeError], ["1", TypeError]],
  snapshotCompression: wrongFlags,
  entryCompression: wrongFlags,
};

Deno.test("Every field of both configurations is in these tables", () => {
  assert.deepEqual(Object.keys(wrongHost).sort(), [...nodeHostFields].sort());
  assert.deepEqual(Object.keys(wrongCluster).sort(), [...clusterFields].sort());
});

for (const [field, values] of Object.entries(wrongHost)) {
  Deno.test(`NodeHost.open() refuses a wrong ${field}, naming it`, async () => {
    for (const [value, expected] of values) {
      await assert.rejects(
        NodeHost.open({ ...host, [field]: value } as NodeHostConfig),
        (error) => {
          assert.ok(error instanceof expected, `${field}: ${value}: ${error}`);
          assert.match(
            error.message,
            new RegExp(`^Cannot .*${field}|^MasterClientFactoryFunc`),
          );
          return true;
        },
      );
    }
  });
}

for (const [field, values] of Object.entries(wrongCluster)) {
  Deno.test(`startCluster() refuses a wrong ${field}, naming it`, async () => {
    await using hosts = new Hosts();
    const opened = await hosts.open(1);
    for (const [value, expected] of values) {
      await assert.rejects(
        opened.startCluster({ ...cluster, [field]: value } as ClusterConfig),
        (error) => {
          assert.ok(error instanceof expected, `${field}: ${value}: ${error}`);
          assert.match(
            error.message,
            field === "join"
              ? /join|initialMembers/
              : field === "nodeId"
              ? /nodeId|initialMembers/
              : new RegExp(field),
          );
          return true;
        },
      );
    }
    assert.deepEqual(opened.info().clusters, []);
  });
}

Deno.test("The configurations refuse fields that they do not know, and things that are no objects", () => {
  assert.throws(
    () => resolveNodeHostConfig({ ...host, tickMS: 5 } as NodeHostConfig),
    /no field tickMS/,
  );
  assert.throws(
    () => resolveClusterConfig({ ...cluster, clusterID: 5 } as ClusterConfig),
    /no field clusterID/,
  );
  for (const wrong of [null, undefined, 1, "config", []]) {
    assert.throws(
      () => resolveNodeHostConfig(wrong as unknown as NodeHostConfig),
      TypeError,
    );
    assert.throws(
      () => resolveClusterConfig(wrong as unknown as ClusterConfig),
      TypeError,
    );
  }
});

Deno.test("The configurations fill in the documented defaults, also for fields that are undefined", () => {
  const resolved = resolveNodeHostConfig(
    { ...host, tickMs: undefined } as unknown as NodeHostConfig,
  );
  assert.deepEqual(resolved, {
    ...host,
    listenAddress: host.raftAddress,
    raftAddressChanged: false,
    adoptCopiedDir: false,
    tls: undefined,
    tickMs: 50,
    deploymentId: 1n,
    region: "unknown",
    failureDomain: "",
    capacity: 1,
    apiAddress: "",
    masterServers: [],
    masterClientFactory: undefined,
    reportPeriodMs: 20_000,
    spreadLeaders: true,
    stateMachines: {},
    logger: undefined,
    segmentBytes: 64 * 1024 * 1024,
    maxConnections: 1_024,
    peers: [],
    onDamage: "refuse",
    nodeHostAddresses: {},
    maxPayloadBytes: 8 * 1024 * 1024,
    storage: undefined,
    maxSnapshotSendBytesPerSecond: undefined,
    maxSnapshotReceiveBytesPerSecond: undefined,
  });
  const small = resolveNodeHostConfig({ ...host, segmentBytes: 1024 * 1024 });
  assert.equal(small.maxPayloadBytes, 128 * 1024);
  assert.deepEqual(
    resolveClusterConfig(
      { ...cluster, join: undefined } as unknown as ClusterConfig,
    ),
    {
      ...cluster,
      join: false,
      witness: false,
      electionTimeoutTicks: 10,
      heartbeatTicks: 1,
      quiesce: false,
      leaseReads: false,
      maxClockDriftPpm: 1_000,
      snapshotEntries: 10_000,
      compactionOverhead: 5_000,
      maxInMemLogBytes: 64 * 1024 * 1024,
      maxSessions: 4_096,
      snapshotCompression: false,
      entryCompression: false,
    },
  );
});

Deno.test("A NodeHost's region is that of its configuration, else of the environment, else unknown (issue 6, item 8)", () => {
  const asked: string[] = [];
  const environment = (name: string) => {
    asked.push(name);
    return "fra";
  };
  const regionOf = (
    region: string | undefined,
    read?: (name: string) => string | undefined,
  ) =>
    resolveNodeHostConfig(
      (region === undefined ? host : { ...host, region }) as NodeHostConfig,
      read,
    ).region;
  assert.equal(regionOf("ams", environment), "ams");
  assert.deepEqual(asked, []);
  assert.equal(regionOf(undefined, environment), "fra");
  assert.equal(regionOf("", environment), "fra");
  assert.deepEqual(asked, ["DRAKKAR_REGION", "DRAKKAR_REGION"]);
  for (const value of [undefined, ""]) {
    assert.equal(regionOf(undefined, () => value), "unknown");
    assert.equal(regionOf("", () => value), "unknown");
  }
  assert.equal(regionOf(""), "unknown");
  assert.throws(
    () => regionOf(undefined, () => "a\nb"),
    /Cannot use DRAKKAR_REGION/,
  );
});

Deno.test("denoPorts() reads a variable where that is allowed, and never asks nor throws where it is not", async () => {
  const ports = new URL("../../raft/deno_ports.ts", import.meta.url).href;
  const code = `import { denoPorts } from ${JSON.stringify(ports)};
    const value = denoPorts().environment("DRAKKAR_REGION");
    await Deno.stdout.write(new TextEncoder().encode(String(value)));`;
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, code);
    const cases = {
      "--allow-env=DRAKKAR_REGION": "fra",
      "--no-prompt": "undefined",
      "--deny-env": "undefined",
    };
    for (const [flag, expected] of Object.entries(cases)) {
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-check", "--no-lock", flag, file],
        env: { DRAKKAR_REGION: "fra" },
      }).output();
      const said = new TextDecoder().decode(stdout);
      assert.equal(said, expected, new TextDecoder().decode(stderr));
    }
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("masterServers without a factory is the seed's error, word for word", () => {
  assert.throws(
    () => resolveNodeHostConfig({ ...host, masterServers: ["http://m"] }),
    { name: "TypeError", message: "MasterClientFactoryFunc not specified" },
  );
});

Deno.test("validateWaitOptions() takes what WaitOptions allows, and nothing else", () => {
  assert.equal(validateWaitOptions(undefined), 5_000);
  assert.equal(validateWaitOptions({ timeoutMs: 7 }), 7);
  for (const timeoutMs of [0, -1, 1.5, 2 ** 31]) {
    assert.throws(() => validateWaitOptions({ timeoutMs }), RangeError);
  }
  for (const wrong of [{ signal: {} }, { timeoutMs: "7" }, 7, null]) {
    assert.throws(() => validateWaitOptions(wrong as never), TypeError);
  }
});

Deno.test("validateAddress() takes names, IPv4 and bracketed IPv6", () => {
  for (const address of ["localhost:1", "10.0.0.1:65535", "[::1]:7000"]) {
    validateAddress("address", address);
  }
});

Deno.test("No member has two ids: one disk would count as two members, and make a majority of them (rule I3)", () => {
  const address = (n: number) => `127.0.0.1:700${n}`;
  const spellings = [
    ["02", /"02" is not a node id; write it as 2$/],
    ["2.0", /write it as 2$/],
    ["+2", /write it as 2$/],
    [" 2", /write it as 2$/],
    ["0x2", /write it as 2$/],
    ["2e0", /write it as 2$/],
    ["two", /"two" is not a node id$/],
    ["", /"" is not a node id$/],
    ["9007199254740993", /is not a node id$/],
  ] as const;
  for (const [spelling, text] of spellings) {
    const lists = [
      { 1: address(1), 2: address(2), [spelling]: address(3) },
      { 1: address(1), [spelling]: address(2) },
    ];
    for (const initialMembers of lists) {
      assert.throws(
        () => resolveClusterConfig({ ...cluster, initialMembers }),
        (error) =>
          error instanceof RangeError && text.test(error.message) &&
          error.message.startsWith(
            `Cannot use initialMembers[${spelling}]: `,
          ),
        spelling,
      );
    }
  }
  for (const own of ["01", "1.0"]) {
    const initialMembers = { 1: address(1), [own]: address(2) };
    assert.throws(
      () => resolveClusterConfig({ ...cluster, initialMembers }),
      /is not a node id; write it as 1$/,
    );
  }
});

Deno.test("leaseReads needs an election timeout that leaves time for a lease, and a drift that is one (rule C8)", () => {
  const leased = { ...cluster, leaseReads: true };
  assert.throws(
    () => resolveClusterConfig({ ...leased, electionTimeoutTicks: 4 }),
    /5 at least/,
  );
  for (const maxClockDriftPpm of [0, 100_001, 0.5]) {
    assert.throws(
      () => resolveClusterConfig({ ...leased, maxClockDriftPpm }),
      RangeError,
    );
  }
});

Deno.test("Peers are a few addresses", () => {
  const base = { dir: "/x", raftAddress: "127.0.0.1:7001" };
  const open = (peers: unknown) =>
    resolveNodeHostConfig({ ...base, peers } as NodeHostConfig);
  assert.throws(() => open("127.0.0.1:7002"), TypeError);
  assert.throws(() => open([7]), TypeError);
  assert.throws(
    () => open(["nowhere"]),
    /peers\[0\]: "nowhere" is not host:port/,
  );
  assert.throws(() => open(Array(65).fill("a:1")), RangeError);
  assert.deepEqual(open(["a:1"]).peers, ["a:1"]);
});
