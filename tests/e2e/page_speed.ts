/**
 * How long it takes until the page shows 10,000 clusters on 100 NodeHosts, and what is sent for that: from the address in
 * a new browser window to the first clusters, by a master that has read nothing yet, over an embedded Deno KV file; where
 * nobody has to sign in, and for an operator who is signed in.
 *
 *     deno run -A tests/e2e/page_speed.ts [--runs N]
 *
 * It ends with 1 if half of the windows took longer, or one was sent more, than docs/BUDGET.md allows.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { openDenoKv } from "../../master/kv.ts";
import { KvStore } from "../../master/kv_store.ts";
import { createMaster } from "../../master/server.ts";
import { type Browser, parseArgs } from "./deps.ts";
import { DrawnFleet, drawnPeriodMs } from "./page_fleet.ts";
import { drawThousands } from "./page_drawings.ts";
import {
  countBytes,
  operatorToken,
  readerToken,
  startBrowser,
} from "./page_stage.ts";

/** What docs/BUDGET.md allows, whoever looks. */
const allowed = { ms: 1_000, bytes: 200 * 1_024 };

const isShown = ".clusters .id button";

/** One look. */
interface FirstView {
  /** Milliseconds from the beginning of the navigation until the first clusters stood there, by the browser's clock. */
  readonly ms: number;
  /** Bytes of the bodies that were sent until then. */
  readonly bytes: number;
  /** Requests. */
  readonly requests: number;
}

async function look(
  browser: Browser,
  store: KvStore,
  isSignedIn: boolean,
): Promise<FirstView> {
  const master = createMaster({
    store,
    boardIntervalMs: 5_000,
    ...(isSignedIn ? { token: readerToken, operatorToken } : {}),
  });
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => master.fetch(request),
  );
  const context = await browser.newContext({
    viewport: { width: 1_280, height: 900 },
  });
  const url = `http://127.0.0.1:${server.addr.port}/`;
  try {
    if (isSignedIn) {
      // The cookie of the answer is the window's; the master reads nothing for it.
      const data = { token: operatorToken };
      await context.request.post(`${url}v1/session`, { data });
    }
    const page = await context.newPage();
    const counted = await countBytes(page);
    // In the browser's own time, so that nothing of the driver is in it.
    await page.addInitScript((selector: string) => {
      const { document, MutationObserver, performance } =
        globalThis as unknown as {
          document: { querySelector(selector: string): unknown };
          MutationObserver: new (callback: () => void) => {
            observe(target: unknown, options: unknown): void;
            disconnect(): void;
          };
          performance: { now(): number };
        };
      const observer = new MutationObserver(() => {
        if (document.querySelector(selector) === null) return;
        observer.disconnect();
        Object.assign(globalThis, { shownAtMs: performance.now() });
      });
      observer.observe(document, { childList: true, subtree: true });
    }, isShown);
    await page.goto(url);
    await page.locator(isShown).first().waitFor();
    const ms = await page.evaluate(() =>
      (globalThis as unknown as { shownAtMs: number }).shownAtMs
    );
    return { ms, ...counted() };
  } finally {
    await context.close();
    master.close();
    await server.shutdown();
  }
}

/** Says how long it took and what was sent, and whether docs/BUDGET.md allows that. */
function judge(who: string, views: readonly FirstView[]): boolean {
  const times = views.map(({ ms }) => Math.round(ms)).sort((a, b) => a - b);
  const median = times[times.length >> 1]!;
  const bytes = Math.max(...views.map((one) => one.bytes));
  console.log(
    `10,000 clusters, first view, ${who}: ${median} ms (median of ` +
      `${times.length}, ${times[0]} to ${times.at(-1)}), ${
        (bytes / 1_024).toFixed(0)
      } KiB in ${views[0]!.requests} requests`,
  );
  if (median <= allowed.ms && bytes <= allowed.bytes) return true;
  console.error(
    `More than docs/BUDGET.md allows: ${allowed.ms} ms, ${
      allowed.bytes / 1_024
    } KiB`,
  );
  return false;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { runs: { type: "string", default: "7" } },
  });
  const dir = Deno.makeTempDirSync({ prefix: "drakkar-page-" });
  const browser = await startBrowser();
  const kv = await openDenoKv(`${dir}/kv`);
  try {
    const store = new KvStore({ kv, periodMs: drawnPeriodMs });
    await store.deploymentId();
    const fleet = new DrawnFleet(Date.now());
    drawThousands(fleet);
    await fleet.write(kv);
    for (const isSignedIn of [false, true]) {
      await look(browser, store, isSignedIn); // The browser's own first time, and the compiler's.
      const views: FirstView[] = [];
      for (let i = 0; i < Number(values.runs); i++) {
        views.push(await look(browser, store, isSignedIn));
      }
      const who = isSignedIn ? "an operator" : "nobody signed in";
      if (!judge(who, views)) Deno.exitCode = 1;
    }
  } finally {
    await browser.close();
    kv.close();
    Deno.removeSync(dir, { recursive: true });
  }
}
