/**
 * The page in a real Chromium: somebody signs in, sees a NodeHost die and its nodes replaced without touching anything,
 * and drains another one. What axe finds, and what the browser complains of, are failures. Without a Chromium these are
 * skipped: `CHROMIUM` names one that is elsewhere.
 */
import { assert } from "../deps.ts";
import { axe, type Browser, chromium, type Page } from "./deps.ts";
import { createMaster, type Master } from "../../master/server.ts";
import { LiveWorld } from "../master/live_world.ts";

const token = "a-token-of-nodehosts-and-those-who-look";
const operatorToken = "a-token-of-operators-and-nobody-else-at-all";
const periodMs = 250;
const waitMs = 60_000;

const executablePath = [
  Deno.env.get("CHROMIUM"),
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && isFile(path));
if (executablePath === undefined) {
  // deno-lint-ignore no-console -- whoever runs the tests should know
  console.log("no Chromium found: the tests of the page are skipped");
}
const ignore = executablePath === undefined;

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

interface Scene {
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
  act: (scene: Scene) => Promise<void>,
): Promise<void> {
  const world = new LiveWorld(regions, periodMs);
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const master = createMaster({
    store: world.store,
    token,
    operatorToken,
    boardIntervalMs: periodMs,
    logger,
  });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => master.fetch(request),
  );
  const browser = await chromium.launch({
    executablePath: executablePath!,
    args: ["--no-sandbox"],
  });
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

interface Look {
  readonly colorScheme?: "light" | "dark";
  readonly width?: number;
}

/** A new browser at the page; nobody is signed in. */
async function open(
  { browser, url, complaints }: Scene,
  { colorScheme = "light", width = 1_280 }: Look = {},
): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme,
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(waitMs);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      complaints.push(message.text());
    }
  });
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  return page;
}

async function signIn(page: Page, given = operatorToken): Promise<void> {
  await page.getByLabel("Token").fill(given);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("#headline").waitFor();
}

async function headline(page: Page, text: string): Promise<void> {
  await page.locator("#headline", { hasText: text }).waitFor();
}

/** Fails with what axe finds. */
async function judge(page: Page, what: string): Promise<void> {
  // Not as a script of the page: its policy allows none but its own.
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(): Promise<
          {
            violations: {
              id: string;
              help: string;
              nodes: { target: unknown; failureSummary?: string }[];
            }[];
          }
        >;
      };
    };
    const { violations } = await axe.run();
    return violations.map(({ id, help, nodes }) =>
      `${id}: ${help}: ${
        nodes.slice(0, 3).map((node) =>
          `${JSON.stringify(node.target)} ${node.failureSummary}`
        ).join("; ")
      }`
    );
  });
  assert.deepEqual(found, [], what);
}

async function create({ world }: Scene, count: number): Promise<void> {
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
      const item = page.locator(".host", { hasText: drained!.address });
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

Deno.test({
  name:
    "In a browser: axe finds nothing in both themes and at the width of a phone, and nothing is wider than that",
  ignore,
  fn: () =>
    play(["north", "north", "south", "west"], async (scene) => {
      const { world, complaints } = scene;
      await create(scene, 3);
      const first = await open(scene);
      await signIn(first);
      await headline(first, "All is well");
      await first.context().close();
      for (const host of world.hosts) host.catchUpMs = 600_000;
      world.hosts[0]!.crash();
      for (const colorScheme of ["light", "dark"] as const) {
        for (const width of [1_280, 390]) {
          const page = await open(scene, { colorScheme, width });
          await signIn(page);
          await page.getByText("Repair begins").first().waitFor();
          await page.locator(".clusters .id button").first().click();
          await page.locator(".host button").first().click();
          await page.locator(".clusters .detail").waitFor();
          await judge(page, `${colorScheme}, ${width} wide`);
          const excess = await page.evaluate(() => {
            const { documentElement } =
              (globalThis as unknown as { document: unknown })
                .document as {
                  documentElement: { scrollWidth: number; clientWidth: number };
                };
            return documentElement.scrollWidth - documentElement.clientWidth;
          });
          assert.ok(excess <= 0, `${excess} pixels too wide at ${width}`);
          await page.context().close();
        }
      }
      assert.deepEqual(complaints, []);
    }),
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
      await signIn(page, token);
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
