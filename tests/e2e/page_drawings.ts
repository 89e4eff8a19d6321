/** What is in the store in each state of the page. */
import { type DrawnFleet, drawnTick, idOf, nodeIdOf } from "./page_fleet.ts";

const minuteMs = 60_000;
/** NodeHosts in Oslo. */
export const oslo = ["oslo-1", "oslo-2", "oslo-3"].map(addressOf);
/** NodeHosts in Bergen. */
export const bergen = ["bergen-1", "bergen-2"].map(addressOf);
/** NodeHosts in Tromsø. */
export const tromso = ["tromso-1", "tromso-2"].map(addressOf);
/** All of them. */
export const all = [...oslo, ...bergen, ...tromso];
/** Where each is. */
export const regionsOfAll = [
  ...oslo.map(() => "oslo"),
  ...bergen.map(() => "bergen"),
  ...tromso.map(() => "tromso"),
];

function addressOf(name: string): string {
  return `${name}.example.net:7001`;
}

/** Three members of a cluster, one per region. */
function spread(id: number): string[] {
  return [oslo, bergen, tromso].map((hosts) => hosts[id % hosts.length]!);
}

/** What is to be seen of a NodeHost. */
export type Hosts = Parameters<DrawnFleet["host"]>[2];

/** Seven NodeHosts in three regions, and clusters on them. */
export function fleetOf(
  fleet: DrawnFleet,
  hosts: Readonly<Record<string, Hosts>> = {},
  clusters = 12,
): void {
  all.forEach((address, i) =>
    fleet.host(address, regionsOfAll[i]!, hosts[address])
  );
  for (let id = 1; id <= clusters; id++) {
    const on = spread(id);
    const up = on.filter((address) => hosts[address]?.is === undefined);
    const wished = on[id % 3]!;
    const leader = up.includes(wished) ? id % 3 : on.indexOf(up[0] ?? "");
    fleet.cluster(id, { on, leader: up.length > 1 ? leader : null });
  }
  pastOf(fleet);
}

/** What happened before anything that a scene is about. */
function pastOf(fleet: DrawnFleet): void {
  const hourMs = 60 * minuteMs;
  fleet.tell(30 * hourMs, "createCluster", {
    cluster: 12,
    who: "ingrid",
    why: JSON.stringify({
      wish: { app: "kv", size: 3, regions: [{ region: "oslo", count: 1 }] },
    }),
  });
  fleet.tell(30 * hourMs - 20_000, "launch", {
    cluster: 12,
    why: "3 nodes, one in each region",
  });
  fleet.tell(30 * hourMs - 40_000, "launched", { cluster: 12 });
  fleet.tell(95 * minuteMs, "cordonHost", { host: tromso[1]!, who: "alice" });
  fleet.tell(70 * minuteMs, "uncordonHost", { host: tromso[1]!, who: "alice" });
  fleet.tell(62 * minuteMs, "move", {
    cluster: 5,
    why: "balance: oslo-1 carries 7 nodes, oslo-3 carries 4",
  });
  fleet.tell(61 * minuteMs, "promote", { cluster: 5, why: "it has caught up" });
  fleet.tell(60 * minuteMs, "done", { cluster: 5, why: "the move is done" });
}

// ---- A NodeHost dies ----

/** The NodeHost that dies. */
export const dead = bergen[1]!;

/** Seven NodeHosts, one of which is dead; what it carried is in the midst of being replaced. */
export function drawRepair(fleet: DrawnFleet): void {
  const hosts: Record<string, Hosts> = { [dead]: { is: "dead" } };
  all.forEach((address, i) =>
    fleet.host(address, regionsOfAll[i]!, hosts[address])
  );
  for (let id = 1; id <= 12; id++) {
    const on = spread(id);
    const isHit = on.includes(dead);
    if (!isHit) {
      fleet.cluster(id, { on });
      continue;
    }
    const to = bergen[0]!;
    const at = drawnTick - 3 - id % 3;
    const plan = {
      kind: "repair" as const,
      out: nodeIdOf(id, 1),
      at,
      slots: [],
      failures: 0,
      why: `node ${nodeIdOf(id, 1)} is dead: ${idOf(dead)} is lost`,
    };
    if (id > 8) {
      fleet.cluster(id, { on, plan });
      continue;
    }
    const isStarted = id % 4 === 1;
    fleet.cluster(id, {
      on: [...on, to],
      observers: 1,
      down: isStarted ? [] : [3],
      plan: {
        ...plan,
        in: nodeIdOf(id, 3),
        host: idOf(to),
        address: to,
      },
    });
  }
  pastOf(fleet);
  fleet.tell(3 * minuteMs, "failed", {
    host: dead,
    why: "silent for 4 ticks",
  });
  for (const id of [1, 3, 5, 7]) {
    fleet.tell(150_000 - id * 1_000, "repair", {
      cluster: id,
      why: `node ${nodeIdOf(id, 1)} is dead: ${idOf(dead)} is lost`,
    });
  }
}

/** The same when it is over. */
export function drawRepaired(fleet: DrawnFleet): void {
  all.forEach((address, i) =>
    fleet.host(
      address,
      regionsOfAll[i]!,
      address === dead ? { is: "dead" } : {},
    )
  );
  for (let id = 1; id <= 12; id++) {
    fleet.cluster(id, {
      on: spread(id).map((address) => address === dead ? bergen[0]! : address),
    });
  }
  pastOf(fleet);
  fleet.tell(9 * minuteMs, "failed", { host: dead, why: "silent for 4 ticks" });
  for (const id of [1, 3, 5]) {
    const why = `node ${nodeIdOf(id, 1)} is dead: ${idOf(dead)} is lost`;
    fleet.tell(8 * minuteMs - id * 2_000, "repair", { cluster: id, why });
    fleet.tell(7 * minuteMs - id * 2_000, "promote", {
      cluster: id,
      why: "it has caught up",
    });
    fleet.tell(6 * minuteMs - id * 2_000, "remove", { cluster: id, why });
    fleet.tell(5 * minuteMs - id * 2_000, "done", {
      cluster: id,
      why: "the repair is done",
    });
  }
}

// ---- What goes wrong ----

/** Two NodeHosts are dead, one of them for good: some clusters lost their majority. */
export function drawLost(fleet: DrawnFleet): void {
  const lost: Hosts = { is: "gone" };
  fleetOf(fleet, { [bergen[1]!]: { is: "dead" }, [tromso[1]!]: lost });
  fleet.tell(12 * minuteMs, "failed", {
    host: bergen[1]!,
    why: "silent for 4 ticks",
  });
  fleet.tell(11 * minuteMs, "declareHostDead", {
    host: tromso[1]!,
    who: "alice",
  });
}

/** A majority of some clusters is given up for good; what is left tells how far its log goes. */
export function drawGivenUp(fleet: DrawnFleet): void {
  const gone: Hosts = { is: "gone" };
  fleetOf(fleet, { [bergen[1]!]: gone, [tromso[1]!]: gone });
  fleet.cluster(30, {
    on: [oslo[1]!, bergen[1]!, tromso[1]!],
    leader: null,
    positions: [
      { lastTerm: 7, lastIndex: 41_382, appliedIndex: 41_380 },
      { lastTerm: 7, lastIndex: 41_390, appliedIndex: 41_377 },
      null,
    ],
  });
}

/** Everything that somebody should look at, at once. */
export function drawQuarantine(fleet: DrawnFleet): void {
  fleetOf(fleet, {
    [oslo[2]!]: { conflict: idOf("somebody else") },
    [tromso[0]!]: { is: "revoked" },
    [bergen[0]!]: { isDiskLow: true, domain: "rack-7" },
  }, 6);
  fleet.cluster(40, {
    on: [oslo[0]!, bergen[0]!, tromso[1]!],
    life: "quarantine",
  });
  fleet.cluster(41, {
    on: [oslo[0]!, bergen[0]!, tromso[1]!],
    lagging: [1],
  });
  fleet.cluster(42, {
    on: [oslo[1]!, bergen[0]!, tromso[1]!],
    down: [2],
  });
  fleet.cluster(43, { on: [oslo[1]!, bergen[0]!, tromso[1]!], leader: null });
  fleet.cluster(44, {
    on: [oslo[1]!, bergen[0]!, tromso[1]!],
    life: "recovering",
    down: [1, 2],
    leader: null,
    condemned: [nodeIdOf(44, 1), nodeIdOf(44, 2)],
  });
  fleet.tell(4 * minuteMs, "quarantine", {
    cluster: 40,
    why: "two memberships under index 45",
  });
  fleet.tell(2 * minuteMs, "interleaved", {
    host: oslo[0]!,
    why: "boot 3 goes on although boot 4 reports: a copy of its folder?",
  });
}

/** The first nodes of two clusters do not start: a NodeHost died before, or lacks the state machine. */
export function drawUnstarted(fleet: DrawnFleet): void {
  fleetOf(fleet, { [dead]: { is: "dead" } }, 3);
  fleet.cluster(50, {
    on: [oslo[0]!, dead, tromso[0]!],
    life: "launching",
    cci: 0,
    down: [0, 1, 2],
    asked: { count: 5, ticks: 48 },
  });
  fleet.cluster(51, {
    on: [oslo[1]!, bergen[0]!, tromso[1]!],
    app: "search",
    life: "launching",
    cci: 0,
    down: [0, 1, 2],
    asked: { count: 7, ticks: 80 },
  });
  fleet.cluster(52, {
    on: [oslo[2]!, bergen[0]!, tromso[1]!],
    life: "launching",
    cci: 0,
    down: [2],
    leader: null,
    asked: { count: 1, ticks: 1 },
  });
  fleet.tell(20 * minuteMs, "failed", {
    host: dead,
    why: "silent for 4 ticks",
  });
  fleet.tell(16 * minuteMs, "createCluster", { cluster: 50, who: "ingrid" });
}

/** A whole region fell silent. */
export function drawBrake(fleet: DrawnFleet): void {
  const silent: Hosts = { is: "silent", tick: drawnTick - 6 };
  fleetOf(fleet, { [tromso[0]!]: silent, [tromso[1]!]: silent });
  const why = 'all 2 NodeHosts of region "tromso" fell silent at once';
  fleet.clock({
    brake: { at: drawnTick - 2, why, hosts: tromso.map(idOf) },
  });
  fleet.tell(40_000, "brake", { why });
}

/** A NodeHost is being drained, and another one cordoned. */
export function drawDraining(fleet: DrawnFleet): void {
  all.forEach((address, i) =>
    fleet.host(
      address,
      regionsOfAll[i]!,
      address === oslo[1]
        ? { drain: true }
        : address === tromso[1]
        ? { cordon: true }
        : {},
    )
  );
  for (let id = 1; id <= 12; id++) {
    const on = spread(id);
    if (on[0] !== oslo[1]) {
      fleet.cluster(id, { on, leader: id % 3 });
      continue;
    }
    const plan = {
      kind: "drain" as const,
      out: nodeIdOf(id, 0),
      at: drawnTick - 2,
      slots: [],
      failures: 0,
      why: `${idOf(oslo[1]!)} is drained`,
    };
    const to = oslo[id % 2 * 2]!;
    if (id > 4) fleet.cluster(id, { on, leader: 1, plan });
    else {
      fleet.cluster(id, {
        on: [on[1]!, on[2]!, to, on[0]!],
        leader: 0,
        plan: {
          ...plan,
          out: nodeIdOf(id, 3),
          in: nodeIdOf(id, 2),
          host: idOf(to),
        },
      });
    }
  }
  pastOf(fleet);
  fleet.tell(50_000, "drainHost", { host: oslo[1]!, who: "alice", why: "{}" });
  fleet.tell(45_000, "transfer", {
    cluster: 4,
    why: `${idOf(oslo[1]!)} is drained`,
  });
  fleet.tell(40_000, "drain", {
    cluster: 4,
    why: `${idOf(oslo[1]!)} is drained`,
  });
}

/** Clusters that nobody gave to the master, beside others. */
export function drawUnmanaged(fleet: DrawnFleet): void {
  fleetOf(fleet, {}, 4);
  for (const id of [71, 72, 73]) {
    fleet.cluster(id, { on: spread(id), app: null });
  }
}

/** Clusters grow, shrink, are launched, paused and deleted. */
export function drawChanging(fleet: DrawnFleet): void {
  fleetOf(fleet, {}, 3);
  fleet.cluster(20, {
    on: [...spread(2), oslo[0]!],
    observers: 1,
    plan: {
      kind: "grow",
      in: nodeIdOf(20, 3),
      host: idOf(oslo[0]!),
      at: drawnTick - 1,
      slots: [],
      failures: 0,
      why: "it has 3 voters of 5",
    },
    def: {
      gen: 2,
      app: "ledger",
      size: 5,
      regions: [{ region: "oslo", count: 2, isRequired: true }, {
        region: "bergen",
        count: 1,
      }],
      config: {},
    },
  });
  fleet.cluster(21, {
    on: [...spread(1), oslo[0]!],
    plan: {
      kind: "shrink",
      out: nodeIdOf(21, 3),
      at: drawnTick - 1,
      slots: [],
      failures: 0,
      why: "it has 4 voters of 3",
    },
  });
  fleet.cluster(22, { on: [], life: "defined", def: wish("search") });
  fleet.cluster(23, {
    on: spread(1),
    life: "launching",
    down: [0, 1, 2],
    asked: { count: 1, ticks: 1 },
  });
  fleet.cluster(24, { on: spread(2), isPaused: true });
  fleet.cluster(25, { on: spread(3), deleteAt: drawnTick + 26 });
  fleet.cluster(26, { on: spread(3), life: "deleting" });
  fleet.tell(30_000, "changeCluster", {
    cluster: 20,
    who: "ingrid",
    why: JSON.stringify({ wish: { size: 5 } }),
  });
  fleet.tell(20_000, "deleteCluster", { cluster: 25, who: "alice" });
}

function wish(app: string) {
  return { gen: 1, app, size: 3, regions: [], config: {} };
}

/** Names as long as they may be. */
export function drawLongNames(fleet: DrawnFleet): void {
  const hosts = [
    "ip-10-211-254-117.eu-central-1.compute.internal.customer-facing.example.com:65535",
    "ip-10-211-254-118.eu-central-1.compute.internal.customer-facing.example.com:65535",
    "[2001:0db8:85a3:0000:0000:8a2e:0370:7334]:65535",
  ];
  const region = "europe-central-1-availability-zone-with-a-very-long-name";
  hosts.forEach((address, i) =>
    fleet.host(
      address,
      i === 0 ? region : i === 1 ? "Ærøskøbing & Måløy" : "",
      {
        domain: "row-19/rack-44/chassis-7/slot-3-which-is-long-as-well",
        apps: Array.from(
          { length: 14 },
          (_, n) => `com.example.state-machine-${n}`,
        ),
        ...(i === 1 ? { is: "dead" as const } : {}),
      },
    )
  );
  fleet.cluster(9_007_199_254_740_991, {
    on: hosts,
    app: "com.example.a-state-machine-with-a-name-nobody-can-remember",
  });
  fleet.cluster(9_007_199_254_740_990, { on: hosts });
  fleet.tell(90_000, "createCluster", {
    cluster: 9_007_199_254_740_991,
    who: "Wolfeschlegelsteinhausenbergerdorff the Elder <wolfe@example.com>",
    why: JSON.stringify({
      wish: {
        app: "com.example.a-state-machine-with-a-name-nobody-can-remember",
        size: 3,
      },
    }),
  });
  fleet.tell(60_000, "failed", { host: hosts[1]!, why: "silent for 4 ticks" });
}

/** Ports tell these NodeHosts apart, as in the demo. */
export function drawOneMachine(fleet: DrawnFleet): void {
  const on = [7_001, 7_002, 7_003, 7_004].map((port) => `127.0.0.1:${port}`);
  on.forEach((address, i) =>
    fleet.host(
      address,
      ["north", "south", "west"][i] ?? "west",
      i === 3 ? { is: "silent" } : {},
    )
  );
  for (let id = 1; id <= 3; id++) fleet.cluster(id, { on: on.slice(0, 3) });
  fleet.cluster(4, { on: on.slice(1) });
}

/** 10,000 clusters on 100 NodeHosts in five regions; a few are in trouble. */
export function drawThousands(fleet: DrawnFleet): void {
  const regions = ["fra", "iad", "nrt", "sfo", "syd"];
  const addresses = Array.from(
    { length: 100 },
    (_, i) => `${regions[i % 5]}-${Math.floor(i / 5) + 1}.example.net:7001`,
  );
  addresses.forEach((address, i) =>
    fleet.host(address, regions[i % 5]!, i === 42 ? { is: "dead" } : {})
  );
  for (let id = 1; id <= 10_000; id++) {
    const on = [0, 1, 2].map((n) =>
      addresses[(id * 7 + n * (31 + id % 3)) % 100]!
    );
    fleet.cluster(id, { on });
  }
  fleet.tell(60_000, "failed", {
    host: addresses[42]!,
    why: "silent for 4 ticks",
  });
}
