/** Every state of the page: what is in the store, who looks, and what they have opened. */
import type { Page } from "./deps.ts";
import { type DrawnFleet, drawnTick, idOf, nodeIdOf } from "./page_fleet.ts";
import { operatorToken, readerToken, type Stage } from "./page_stage.ts";

/** A state of the page. */
export interface Scene {
  /** Of its pictures and of its test. */
  readonly name: string;
  /** What is in the store; without it the store is one that nobody initialised. */
  readonly draw?: (fleet: DrawnFleet) => void;
  /** What they are signed in with, an operator's by default; `null`: nobody is. */
  readonly token?: string | null;
  /** What they do when they see the page, until what is to be looked at is there. */
  readonly act?: (page: Page, stage: Stage) => Promise<void>;
  /** What the browser complains of, and rightly: an answer that is a refusal, or none. */
  readonly complains?: RegExp;
}

const minuteMs = 60_000;
const oslo = ["oslo-1", "oslo-2", "oslo-3"].map(addressOf);
const bergen = ["bergen-1", "bergen-2"].map(addressOf);
const tromso = ["tromso-1", "tromso-2"].map(addressOf);
const all = [...oslo, ...bergen, ...tromso];
const regionsOfAll = [
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

type Hosts = Parameters<DrawnFleet["host"]>[2];

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
    const isUp = hosts[on[id % 3]!]?.is === undefined;
    fleet.cluster(id, { on, ...(isUp ? { leader: id % 3 } : {}) });
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
  fleet.tell(60 * minuteMs, "done", { cluster: 5 });
}

// ---- A NodeHost dies ----

const dead = bergen[1]!;

/** Seven NodeHosts, one of which is dead; what it carried is in the midst of being replaced. */
function drawRepair(fleet: DrawnFleet): void {
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

function drawRepaired(fleet: DrawnFleet): void {
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
    fleet.tell(5 * minuteMs - id * 2_000, "done", { cluster: id, why });
  }
}

// ---- What goes wrong ----

function drawLost(fleet: DrawnFleet): void {
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

function drawQuarantine(fleet: DrawnFleet): void {
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
    condemned: [nodeIdOf(44, 2)],
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

function drawBrake(fleet: DrawnFleet): void {
  const silent: Hosts = { is: "silent", tick: drawnTick - 6 };
  fleetOf(fleet, { [tromso[0]!]: silent, [tromso[1]!]: silent });
  const why = 'all 2 NodeHosts of region "tromso" fell silent at once';
  fleet.clock({
    brake: { at: drawnTick - 2, why, hosts: tromso.map(idOf) },
  });
  fleet.tell(40_000, "brake", { why });
}

function drawDraining(fleet: DrawnFleet): void {
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

function drawChanging(fleet: DrawnFleet): void {
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
  fleet.cluster(23, { on: spread(1), life: "launching", down: [0, 1, 2] });
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

function drawLongNames(fleet: DrawnFleet): void {
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

// ---- What somebody does ----

/** Opens a cluster of the list. */
export async function openCluster(page: Page, id: number): Promise<void> {
  await page.getByRole("button", { name: `Cluster ${id}`, exact: true })
    .first().click();
  await page.locator(".clusters .detail").first().waitFor();
}

/** Opens a NodeHost of the list. */
export async function openHost(page: Page, address: string): Promise<void> {
  const item = page.locator(`.host:has([title="${address}"])`);
  await item.getByRole("button").first().click();
  await item.locator(".more").waitFor();
}

/** Presses a button that opens a dialog. */
export async function press(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name, exact: true }).first().click();
  await page.locator("dialog").waitFor();
}

/** Waits until the dry run was made, and is shown. */
export async function answered(page: Page): Promise<void> {
  await page.getByText("the master would do it").waitFor();
}

/** Sends a dialog's form, to be told what it would do. */
export async function ask(page: Page): Promise<void> {
  await page.getByRole("button", { name: "What would it do?" }).click();
}

async function find(page: Page, text: string): Promise<void> {
  await page.getByLabel("Search clusters").fill(text);
  await page.locator(".clusters .id button", { hasText: text }).first()
    .waitFor();
}

/** Every state of the page. */
export const scenes: readonly Scene[] = [
  { name: "signed-out", draw: () => {}, token: null },
  {
    name: "wrong-token",
    draw: () => {},
    token: null,
    complains: /401/,
    act: async (page) => {
      await page.getByLabel("Token").fill("not this one");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByText("none of the master's tokens").waitFor();
    },
  },
  {
    name: "store-not-initialised",
    act: async (page) => {
      await page.getByText("This store is empty").waitFor();
    },
  },
  {
    name: "store-not-initialised-dialog",
    act: async (page) => {
      await page.getByText("This store is empty").waitFor();
      await press(page, "Make a deployment…");
      await answered(page);
    },
  },
  { name: "no-nodehosts", draw: () => {} },
  {
    name: "no-clusters",
    draw: (fleet) => {
      all.slice(2).forEach((address, i) =>
        fleet.host(address, regionsOfAll[i + 2]!)
      );
    },
  },
  { name: "healthy", draw: fleetOf },
  { name: "healthy-reader", draw: fleetOf, token: readerToken },
  {
    name: "healthy-details",
    draw: fleetOf,
    act: async (page) => {
      await openHost(page, oslo[0]!);
      await openCluster(page, 3);
    },
  },
  { name: "repairing", draw: drawRepair },
  {
    name: "repairing-details",
    draw: drawRepair,
    act: async (page) => {
      await openHost(page, dead);
      await openCluster(page, 1);
      await page.getByRole("button", { name: /^Changing/ }).first().click();
    },
  },
  { name: "repaired", draw: drawRepaired },
  { name: "draining", draw: drawDraining },
  {
    name: "draining-details",
    draw: drawDraining,
    act: (page) => openHost(page, oslo[1]!),
  },
  {
    name: "paused",
    draw: (fleet) => {
      fleetOf(fleet);
      fleet.clock({ paused: true });
      fleet.tell(90_000, "pause", { who: "alice", why: "{}" });
    },
  },
  { name: "brake", draw: drawBrake },
  {
    name: "brake-dialog",
    draw: drawBrake,
    act: async (page) => {
      await press(page, "Release the brake…");
      await answered(page);
    },
  },
  { name: "lost-quorum", draw: drawLost },
  {
    name: "lost-quorum-details",
    draw: drawLost,
    act: (page) => openCluster(page, 1),
  },
  { name: "alarms", draw: drawQuarantine },
  {
    name: "alarms-details",
    draw: drawQuarantine,
    act: async (page) => {
      await openCluster(page, 40);
      await openCluster(page, 44);
      await openHost(page, oslo[2]!);
    },
  },
  { name: "unmanaged", draw: drawUnmanaged },
  {
    name: "unmanaged-details",
    draw: drawUnmanaged,
    act: async (page) => {
      await page.getByRole("button", { name: "Show them" }).click();
      await page.getByText("it never touches them").waitFor();
      await openCluster(page, 71);
    },
  },
  { name: "changing", draw: drawChanging },
  {
    name: "changing-details",
    draw: drawChanging,
    act: async (page) => {
      await openCluster(page, 20);
      await openCluster(page, 25);
    },
  },
  {
    name: "history",
    draw: (fleet) => {
      drawRepaired(fleet);
      for (let i = 0; i < 40; i++) {
        fleet.tell((50 + i * 3) * 3_600_000, i % 3 === 0 ? "move" : "done", {
          cluster: i % 12 + 1,
          why: i % 3 === 0 ? "balance" : "",
        });
      }
    },
    act: async (page) => {
      await page.getByRole("button", { name: "Show more" }).click();
    },
  },
  {
    name: "search-nothing",
    draw: fleetOf,
    act: async (page) => {
      await page.getByLabel("Search clusters").fill("no such thing");
      await page.getByText("No cluster matches").waitFor();
    },
  },
  {
    name: "dialog-drain",
    draw: fleetOf,
    act: async (page) => {
      await openHost(page, oslo[0]!);
      await press(page, "Drain…");
      await answered(page);
    },
  },
  {
    name: "dialog-give-up",
    draw: drawRepair,
    act: async (page) => {
      await openHost(page, dead);
      await press(page, "Give up…");
      await answered(page);
    },
  },
  {
    name: "dialog-create",
    draw: fleetOf,
    act: async (page) => {
      await press(page, "New cluster…");
      await page.getByLabel("Id", { exact: true }).fill("13");
    },
  },
  {
    name: "dialog-create-answer",
    draw: fleetOf,
    act: async (page) => {
      await press(page, "New cluster…");
      await page.getByLabel("Id", { exact: true }).fill("13");
      await page.getByLabel("State machine").fill("ledger");
      await page.getByLabel("Voters in oslo").fill("2");
      await page.getByLabel("only there").nth(1).check();
      await ask(page);
      await answered(page);
      await page.getByText("The command and the master's answer").click();
    },
  },
  {
    name: "dialog-create-refused",
    draw: fleetOf,
    complains: /409/,
    act: async (page) => {
      await press(page, "New cluster…");
      await page.getByLabel("Id", { exact: true }).fill("12");
      await page.getByLabel("State machine").fill("kv");
      await ask(page);
      await page.getByText("There is a cluster of this id").waitFor();
    },
  },
  {
    name: "dialog-change",
    draw: drawChanging,
    act: async (page) => {
      await openCluster(page, 1);
      await press(page, "Change…");
      await page.getByLabel("Size").fill("5");
      await ask(page);
      await answered(page);
    },
  },
  {
    name: "dialog-adopt",
    draw: drawUnmanaged,
    act: async (page) => {
      await find(page, "71");
      await openCluster(page, 71);
      await press(page, "Adopt…");
    },
  },
  {
    name: "dialog-adopt-answer",
    draw: drawUnmanaged,
    act: async (page) => {
      await find(page, "71");
      await openCluster(page, 71);
      await press(page, "Adopt…");
      await page.getByLabel("State machine").fill("kv");
      await ask(page);
      await answered(page);
    },
  },
  {
    name: "dialog-recover",
    draw: drawLost,
    act: async (page) => {
      await openCluster(page, 1);
      await press(page, "Recover…");
    },
  },
  {
    name: "dialog-recover-refused",
    draw: drawLost,
    complains: /409/,
    act: async (page) => {
      await openCluster(page, 1);
      await press(page, "Recover…");
      await ask(page);
      await page.getByText("neither revoked nor declared dead").waitFor();
    },
  },
  {
    name: "dialog-recover-answer",
    draw: drawGivenUp,
    act: async (page) => {
      await openCluster(page, 30);
      await press(page, "Recover…");
      await ask(page);
      await answered(page);
    },
  },
  {
    name: "dialog-recover-steps",
    draw: drawGivenUp,
    act: async (page) => {
      await openCluster(page, 30);
      await press(page, "Recover…");
      await ask(page);
      await answered(page);
      await page.getByLabel("It cannot be undone").fill("30");
      await page.getByRole("button", { name: "Give them up" }).click();
      await page.getByText("what is left to do").waitFor();
    },
  },
  {
    name: "dialog-delete",
    draw: fleetOf,
    act: async (page) => {
      await openCluster(page, 3);
      await press(page, "Delete…");
      await ask(page);
      await answered(page);
      await page.getByLabel("It cannot be undone").fill("3");
    },
  },
  {
    name: "dialog-pause",
    draw: fleetOf,
    act: async (page) => {
      await press(page, "Pause all decisions…");
      await answered(page);
    },
  },
  {
    name: "toast",
    draw: fleetOf,
    act: async (page) => {
      await press(page, "Pause all decisions…");
      await answered(page);
      await page.getByRole("button", { name: "Pause", exact: true }).click();
      await page.locator(".toast").waitFor();
      await page.locator(".notice").waitFor();
    },
  },
  {
    name: "store-fails",
    draw: fleetOf,
    complains: /503/,
    act: async (page, { kv }) => {
      kv.getMany = () => Promise.reject(new Error("no connection"));
      kv.get = () => Promise.reject(new Error("no connection"));
      await page.getByText("but its store does not").waitFor();
    },
  },
  {
    name: "no-master",
    draw: fleetOf,
    complains: /Failed to load resource|ERR_/,
    act: async (page, stage) => {
      await stage.stop();
      await page.locator("#headline", { hasText: "No master reachable" })
        .waitFor();
    },
  },
  { name: "long-names", draw: drawLongNames },
  {
    name: "long-names-details",
    draw: drawLongNames,
    act: async (page) => {
      await page.locator(".host button").first().click();
      await page.locator(".clusters .id button").first().click();
    },
  },
  {
    name: "long-names-dialog",
    draw: drawLongNames,
    act: async (page) => {
      await page.locator(".host button").first().click();
      await press(page, "Revoke…");
      await answered(page);
    },
  },
  { name: "thousands", draw: drawThousands },
];

/** What a scene's people sign in with. */
export function tokenOf({ token }: Scene): string | undefined {
  return token === null ? undefined : token ?? operatorToken;
}
