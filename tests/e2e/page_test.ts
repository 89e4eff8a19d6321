/**
 * The page in a real Chromium: somebody signs in, sees a NodeHost die and its nodes replaced without touching anything,
 * and drains another one. What axe finds, and what the browser complains of, are failures. Without a Chromium these are
 * skipped: `CHROMIUM` names one that is elsewhere.
 */
import { assert } from "../deps.ts";
import type { Browser, Page } from "./deps.ts";
import {
  drawGivenUp,
  drawThousands,
  drawUnmanaged,
  fleetOf,
} from "./page_drawings.ts";
import {
  answered,
  ask,
  openCluster,
  openHost,
  press,
  scenes,
  tokenOf,
} from "./page_scenes.ts";
import { type DrawnFleet, idOf, nodeIdOf } from "./page_fleet.ts";
import {
  chromiumPath,
  countBytes,
  excessOf,
  type Look,
  objectionsTo,
  openPage,
  operatorToken,
  readerToken,
  type Stage,
  stageOf,
  startBrowser,
} from "./page_stage.ts";
import { createMaster, type Master } from "../../master/server.ts";
import { LiveWorld } from "../master/live_world.ts";

const periodMs = 250;

if (chromiumPath === undefined) {
  // deno-lint-ignore no-console -- whoever runs the tests should know
  console.log("no Chromium found: the tests of the page are skipped");
}
const ignore = chromiumPath === undefined;

interface Play {
  readonly world: LiveWorld;
  readonly master: Master;
  readonly url: string;
  readonly browser: Browser;
  /** What browsers complained of. */
  readonly complaints: string[];
  /** Nobody answers any more. */
  stop(): Promise<void>;
}

/** A master, NodeHosts in these regions, and a browser. */
async function play(
  regions: readonly string[],
  act: (play: Play) => Promise<void>,
): Promise<void> {
  const world = new LiveWorld(regions, periodMs);
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const master = createMaster({
    store: world.store,
    token: readerToken,
    operatorToken,
    boardIntervalMs: periodMs,
    logger,
  });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => master.fetch(request),
  );
  const browser = await startBrowser();
  let isUp = true;
  const stop = async () => {
    if (!isUp) return;
    isUp = false;
    master.close();
    await server.shutdown();
  };
  const url = `http://127.0.0.1:${server.addr.port}/`;
  try {
    await act({ world, master, url, browser, complaints: [], stop });
  } finally {
    await browser.close();
    await stop();
    world.close();
  }
}

/** A new browser at the page; nobody is signed in. */
function open(
  { browser, url, complaints }: Play,
  look?: Look,
): Promise<Page> {
  return openPage(browser, url, complaints, look);
}

async function signIn(page: Page, given = operatorToken): Promise<void> {
  await page.getByLabel("Token").fill(given);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#headline").waitFor();
}

async function headline(page: Page, text: string): Promise<void> {
  await page.locator("#headline", { hasText: text }).waitFor();
}

/** Where the page is looked at, with width and height in pixels. */
const places = [["at a desk", 1_280, 900], ["on a phone", 360, 720]] as const;

/** Fails with what axe finds. */
async function judge(page: Page, what: string): Promise<void> {
  assert.deepEqual(await objectionsTo(page), [], what);
}

async function create({ world }: Play, count: number): Promise<void> {
  for (let clusterId = 1; clusterId <= count; clusterId++) {
    await world.store.command({
      type: "createCluster",
      clusterId,
      wish: { app: "kv", size: 3 },
    });
  }
}

Deno.test({
  name:
    "In a browser: from nothing to clusters, a NodeHost dies and is replaced, another one is drained, without a reload",
  ignore,
  fn: () =>
    play([], async (scene) => {
      const { world, complaints } = scene;
      const page = await open(scene);
      await judge(page, "signed out");
      await signIn(page);
      await headline(page, "Waiting for the first NodeHost");
      await judge(page, "empty");
      await page.evaluate(() => {
        (globalThis as unknown as { isSame: boolean }).isSame = true;
      });
      for (const region of ["north", "north", "south", "west"]) {
        world.add(region);
      }
      await headline(page, "Ready for the first cluster");
      await create(scene, 4);
      await headline(page, "All is well");
      // Somebody pulls a plug.
      const [dead, drained] = world.hosts;
      dead!.crash();
      await page.locator(".host", { hasText: "dead" }).waitFor();
      await page.getByText("Repair begins").first().waitFor();
      await headline(page, "All is well");
      assert.ok(
        [...world.clusters.values()].every(({ membership }) =>
          membership.voters.size === 3
        ),
      );
      dead!.restart();
      const item = page.locator(
        `.host:has([title="${drained!.address}"])`,
      );
      await item.getByRole("button").first().click();
      await item.getByRole("button", { name: "Drain…" }).click();
      await page.getByText("The master would do it").waitFor();
      await judge(page, "the dialog");
      await page.getByLabel("Your name").fill("alice");
      await page.getByRole("button", { name: "Drain it" }).click();
      await page.getByText("alice drains the NodeHost").waitFor();
      await item.getByText("draining").waitFor();
      await item.getByText("0 nodes, leads 0").waitFor();
      await headline(page, "All is well");
      assert.ok(
        await page.evaluate(() =>
          (globalThis as unknown as { isSame: boolean }).isSame
        ),
        "it was not reloaded",
      );
      assert.deepEqual(complaints, []);
    }),
});

/** An operator at the page of a drawn store. */
async function withStage(
  draw: (fleet: DrawnFleet) => void,
  act: (page: Page, stage: Stage, complaints: string[]) => Promise<void>,
): Promise<void> {
  const browser = await startBrowser();
  const stage = await stageOf(draw);
  const complaints: string[] = [];
  try {
    const look = { token: operatorToken };
    const page = await openPage(browser, stage.url, complaints, look);
    await page.locator("#headline").waitFor();
    await act(page, stage, complaints);
  } finally {
    await browser.close();
    await stage.stop();
  }
}

function dialogButton(page: Page, name: string) {
  return page.locator("dialog").getByRole("button", { name, exact: true });
}

Deno.test({
  name:
    "In a browser: a cluster is created, changed and paused, each only after its dry run was shown",
  ignore,
  fn: () =>
    withStage(fleetOf, async (page, { store }, complaints) => {
      await press(page, "New cluster…");
      await page.getByLabel("Id", { exact: true }).fill("13");
      await page.getByLabel("State machine").fill("ledger");
      await page.getByLabel("Voters in oslo").fill("2");
      await ask(page);
      await answered(page);
      await page.getByText("Where: 2 in oslo.").waitFor();
      assert.equal(await store.cluster(13), undefined);
      await page.getByLabel("Your name").fill("ingrid");
      await dialogButton(page, "Create it").click();
      await page.getByText("ingrid created the cluster").first().waitFor();
      const created = await store.cluster(13);
      assert.deepEqual(created?.def, {
        gen: 1,
        app: "ledger",
        size: 3,
        regions: [{ region: "oslo", count: 2 }],
        config: {},
      });
      await page.locator(".clusters .id", { hasText: "13" }).waitFor();
      await openCluster(page, 13);
      await press(page, "Change…");
      await page.getByLabel("Size").fill("1");
      await ask(page);
      await page.getByText("The regions want 2 voters of 1").waitFor();
      await page.getByLabel("Size").fill("5");
      await ask(page);
      await answered(page);
      await dialogButton(page, "Change it").click();
      await page.getByText("ingrid changed what the cluster should be")
        .waitFor();
      assert.equal((await store.cluster(13))?.def?.size, 5);
      await press(page, "Pause…");
      await answered(page);
      assert.equal((await store.cluster(13))?.isPaused, undefined);
      await dialogButton(page, "Pause it").click();
      await page.getByText("ingrid paused the cluster").waitFor();
      assert.equal((await store.cluster(13))?.isPaused, true);
      assert.deepEqual(complaints, []);
    }),
});

Deno.test({
  name:
    "In a browser: a cluster is adopted as it is, and another one recovered when its id was typed",
  ignore,
  fn: async () => {
    await withStage(drawUnmanaged, async (page, { store }) => {
      await page.getByRole("button", { name: "Show them" }).click();
      await openCluster(page, 71);
      await press(page, "Adopt…");
      await page.getByLabel("State machine").fill("kv");
      await ask(page);
      await answered(page);
      assert.equal((await store.cluster(71))?.life, "unmanaged");
      await dialogButton(page, "Adopt it").click();
      await page.getByText("operator adopted the cluster").waitFor();
      const { life, def } = (await store.cluster(71))!;
      assert.deepEqual([life, def?.app, def?.size], ["ok", "kv", 3]);
    });
    await withStage(drawGivenUp, async (page, { store }) => {
      await openCluster(page, 30);
      await press(page, "Recover…");
      await ask(page);
      await answered(page);
      await page.getByText("oslo-2 is furthest: its log goes to index 41382")
        .waitFor();
      const confirm = dialogButton(page, "Give them up");
      assert.equal(await confirm.isEnabled(), false);
      await page.getByLabel("It cannot be undone").fill("3");
      assert.equal(await confirm.isEnabled(), false);
      await page.getByLabel("It cannot be undone").fill("30");
      assert.equal((await store.cluster(30))?.life, "ok");
      await confirm.click();
      await page.getByText("deno task import-snapshot --image FILE").waitFor();
      await dialogButton(page, "Close").click();
      await page.getByText("operator gave up nodes of the cluster").waitFor();
      const { life, condemned } = (await store.cluster(30))!;
      assert.equal(life, "recovering");
      const lost = [nodeIdOf(30, 1), nodeIdOf(30, 2)].sort((a, b) => a - b);
      assert.deepEqual(condemned, lost);
    });
  },
});

Deno.test({
  name:
    "In a browser: a command rests on what was shown, and is refused when that is no longer so (M19)",
  ignore,
  fn: () =>
    withStage(fleetOf, async (page, { store }, complaints) => {
      const address = "oslo-1.example.net:7001";
      await openHost(page, address);
      await press(page, "Drain…");
      await answered(page);
      const hostId = idOf(address);
      await store.command({ type: "cordonHost", hostId }, { who: "bob" });
      await dialogButton(page, "Drain it").click();
      await page.getByText("by now, not 0: look again").waitFor();
      const host = (await store.nodeHosts())
        .find(({ nodeHostId }) => nodeHostId === hostId);
      assert.deepEqual([host?.cordon, host?.drain], [true, undefined]);
      assert.ok(complaints.every((text) => /409/.test(text)), `${complaints}`);
    }),
});

Deno.test({
  name:
    "In a browser: everything can be reached with the keyboard, and a dialog gives the focus back",
  ignore,
  fn: () =>
    withStage(fleetOf, async (page) => {
      const focused = () =>
        page.evaluate(() => {
          const { document } = globalThis as unknown as {
            document: { activeElement: { id: string; textContent: string } };
          };
          const { id, textContent } = document.activeElement;
          return id || textContent;
        });
      const button = page.getByRole("button", { name: "New cluster…" });
      await button.focus();
      await page.keyboard.press("Enter");
      await page.locator("dialog").waitFor();
      assert.equal(await focused(), "field-id");
      await page.keyboard.type("77");
      await page.keyboard.press("Tab");
      await page.keyboard.type("kv");
      await page.keyboard.press("Enter");
      await answered(page);
      assert.equal(await focused(), "question");
      await page.keyboard.press("Escape");
      await page.locator("dialog").waitFor({ state: "detached" });
      assert.equal(await focused(), "New cluster…");
      // From the first thing on the page to a cluster's details, by Tab alone.
      await page.locator("body").focus();
      const isThere = async () => await focused() === "1";
      for (let i = 0; i < 60 && !await isThere(); i++) {
        await page.keyboard.press("Tab");
      }
      await page.keyboard.press("Enter");
      await page.locator(".clusters .detail").waitFor();
    }),
});

Deno.test({
  name:
    "In a browser: the first view of 10,000 clusters is 200 KiB at most, and ends with 25 of them",
  ignore,
  fn: async () => {
    const browser = await startBrowser();
    const stage = await stageOf(drawThousands);
    try {
      const context = await browser.newContext();
      const page = await context.newPage();
      const counted = await countBytes(page);
      await page.goto(stage.url);
      await signIn(page, readerToken);
      await page.locator(".clusters .id button").first().waitFor();
      const { bytes } = counted();
      assert.ok(bytes > 50 * 1_024, `${bytes} bytes were counted`);
      assert.ok(bytes <= 200 * 1_024, `${bytes} bytes`);
      assert.equal(await page.locator(".clusters .id button").count(), 25);
      await page.getByText("1–25 of 10,000").waitFor();
    } finally {
      await browser.close();
      await stage.stop();
    }
  },
});

Deno.test({
  name:
    "In a browser: axe finds nothing in any state, in both themes, at a desk and on a phone, and nothing is wider than a desk or a phone",
  ignore,
  fn: async (test) => {
    const browser = await startBrowser();
    try {
      for (const scene of scenes) {
        await test.step(scene.name, async () => {
          const stage = await stageOf(scene.draw);
          const complaints: string[] = [];
          try {
            const token = tokenOf(scene);
            const page = await openPage(browser, stage.url, complaints, {
              token,
            });
            if (token !== undefined && scene.draw !== undefined) {
              await page.locator("#headline").waitFor();
            }
            await scene.act?.(page, stage);
            for (const [place, width, height] of places) {
              await page.setViewportSize({ width, height });
              for (const colorScheme of ["light", "dark"] as const) {
                await page.emulateMedia({ colorScheme });
                await judge(page, `${colorScheme}, ${place}`);
              }
              assert.ok(await excessOf(page) <= 0, place);
            }
            await page.context().close();
          } finally {
            await stage.stop();
          }
          const unexpected = complaints.filter((text) =>
            scene.complains?.test(text) !== true
          );
          assert.deepEqual(unexpected, []);
        });
      }
    } finally {
      await browser.close();
    }
  },
});

Deno.test({
  name:
    "In a browser: a wrong token is refused, a reader has no commands, a store that fails and no master are told",
  ignore,
  fn: () =>
    play(["north", "south"], async (scene) => {
      const { world, stop } = scene;
      const page = await open(scene);
      await page.getByLabel("Token").fill("wrong");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByText("This is none of the master's tokens").waitFor();
      await signIn(page, readerToken);
      await headline(page, "Ready for the first cluster");
      await page.locator(".host button").first().click();
      await page.getByText("of managed clusters").waitFor();
      assert.equal(
        await page.getByRole("button", { name: "Drain…" }).count(),
        0,
      );
      const { faults } = world.kv;
      world.kv.faults = { ...faults, failsToRead: 1_001 };
      world.kv.getMany = () => Promise.reject(new Error("no connection"));
      await page.getByText("but its store does not").waitFor();
      await judge(page, "trouble");
      await stop();
      await headline(page, "No master reachable");
      await page.getByRole("button", { name: "Try now" }).waitFor();
      await judge(page, "no master");
      await page.reload().catch(() => {}); // The browser's own page now.
    }),
});
