/** A browser, and a master whose page it shows: what the tests of the page and its pictures are made with. */
import { axe, type Browser, chromium, type Page } from "./deps.ts";
import { KvStore } from "../../master/kv_store.ts";
import { createMaster } from "../../master/server.ts";
import { MemoryKv } from "../../testing/master/memory_kv.ts";
import { SimRandom } from "../../testing/sim/random.ts";
import { DrawnFleet, drawnPeriodMs } from "./page_fleet.ts";

/** What those who look sign in with. */
export const readerToken = "a-token-of-nodehosts-and-those-who-look";
/** What operators sign in with. */
export const operatorToken = "a-token-of-operators-and-nobody-else-at-all";
/** Nothing on a page takes this long. */
export const waitMs = 30_000;

const places = [
  Deno.env.get("CHROMIUM"),
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** Where a Chromium is, or `undefined`; `CHROMIUM` names one that is elsewhere. */
export const chromiumPath: string | undefined = places.find((path) =>
  path !== undefined && isFile(path)
);

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Starts one. The caller closes it. */
export async function startBrowser(): Promise<Browser> {
  if (chromiumPath === undefined) {
    throw new Error("Cannot start a browser: no Chromium found; set CHROMIUM");
  }
  return await chromium.launch({
    executablePath: chromiumPath,
    args: ["--no-sandbox"],
  });
}

/** How somebody looks at the page. */
export interface Look {
  /** The theme of their system. */
  readonly colorScheme?: "light" | "dark";
  /** Pixels. */
  readonly width?: number;
  /** Pixels. */
  readonly height?: number;
  /** What they are signed in with; nobody is if it is not given. */
  readonly token?: string | undefined;
}

/** A new window at the page. What the browser complains of goes to `complaints`. */
export async function openPage(
  browser: Browser,
  url: string,
  complaints: string[],
  { colorScheme = "light", width = 1_280, height = 900, token }: Look = {},
): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme,
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(waitMs);
  if (token !== undefined) {
    // The cookie of the answer is the window's.
    await context.request.post(`${url}v1/session`, { data: { token } });
  }
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

/** A master over a drawn store, while it answers. */
export interface Stage {
  /** Its address. */
  readonly url: string;
  /** The store. */
  readonly store: KvStore;
  /** Its database. */
  readonly kv: MemoryKv;
  /** Nobody answers any more. */
  stop(): Promise<void>;
}

/** Serves the page of a store that `draw` fills; without `draw` the store is one that nobody initialised. */
export async function stageOf(
  draw: ((fleet: DrawnFleet) => void) | undefined,
): Promise<Stage> {
  // In the morning, wherever the browser is: what happened within two hours was today.
  const morning = new Date(2026, 2, 12, 10, 24, 36).getTime();
  const startedAt = performance.now();
  const clock = {
    wallTime: () => Math.round(morning + performance.now() - startedAt),
    setTimer(delayMs: number, callback: () => void) {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
  };
  const kv = new MemoryKv();
  const store = new KvStore({
    kv,
    clock,
    random: new SimRandom(1),
    periodMs: drawnPeriodMs,
    makesDeployment: draw !== undefined,
    timeoutMs: 1_000,
  });
  if (draw !== undefined) {
    await store.deploymentId();
    const fleet = new DrawnFleet(morning);
    draw(fleet);
    await fleet.write(kv);
  }
  const master = createMaster({
    store,
    token: readerToken,
    operatorToken,
    silentAfterMs: 24 * 3_600_000,
    boardIntervalMs: 400,
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => master.fetch(request),
  );
  let isUp = true;
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    store,
    kv,
    stop: async () => {
      if (!isUp) return;
      isUp = false;
      master.close();
      await server.shutdown();
    },
  };
}

interface Axe {
  run(): Promise<{
    violations: {
      id: string;
      help: string;
      nodes: { target: unknown; failureSummary?: string }[];
    }[];
  }>;
}

/** What axe objects to. */
export async function objectionsTo(page: Page): Promise<string[]> {
  // Not as a script of the page: its policy allows none but its own.
  await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: Axe };
    const { violations } = await axe.run();
    return violations.map(({ id, help, nodes }) =>
      `${id}: ${help}: ${
        nodes.slice(0, 3).map((node) =>
          `${JSON.stringify(node.target)} ${node.failureSummary}`
        ).join("; ")
      }`
    );
  });
}

/** By how many pixels the page is wider than its window. */
export async function excessOf(page: Page): Promise<number> {
  return await page.evaluate(() => {
    const { documentElement } = (globalThis as unknown as {
      document: {
        documentElement: { scrollWidth: number; clientWidth: number };
      };
    }).document;
    return documentElement.scrollWidth - documentElement.clientWidth;
  });
}

/** Counts the bytes of bodies that a page gets from now on; what it returns tells them, and how many requests there were. */
export async function countBytes(
  page: Page,
): Promise<() => { bytes: number; requests: number }> {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  let requests = 0;
  session.on("Network.requestWillBeSent", () => requests++);
  session.on("Network.dataReceived", ({ dataLength }) => bytes += dataLength);
  return () => ({ bytes, requests });
}
