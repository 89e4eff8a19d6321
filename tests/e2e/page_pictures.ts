/**
 * Takes pictures of the page in all its states, in both themes, at the widths of a desk, a tablet and a phone.
 *
 *     deno task pictures --out DIR [--scene TEXT] [--width N]
 *
 * `DIR/NAME.WIDTH.THEME.png`. Needs a Chromium; `CHROMIUM` names one that is elsewhere.
 */
// deno-lint-ignore-file no-console -- a command-line program speaks to its user through the console
import { parseArgs } from "./deps.ts";
import type { Browser } from "./deps.ts";
import { type Scene, scenes, tokenOf } from "./page_scenes.ts";
import { openPage, stageOf, startBrowser } from "./page_stage.ts";

const widths = [1_280, 360];
/** States that look different between a phone and a desk. */
const alsoWidths: Readonly<Record<string, readonly number[]>> = {
  "healthy-details": [820],
  repairing: [820, 1_680],
  "long-names-details": [820],
};

/** What is to be taken. */
interface Wanted {
  readonly out: string;
  readonly scene: string;
  readonly width: number | undefined;
}

function readArguments(args: string[]): Wanted {
  const { values } = parseArgs({
    args,
    options: {
      out: { type: "string" },
      scene: { type: "string", default: "" },
      width: { type: "string" },
    },
  });
  if (values.out === undefined) {
    throw new TypeError("Cannot take pictures: say where to with --out DIR");
  }
  const width = values.width === undefined ? undefined : Number(values.width);
  return { out: values.out, scene: values.scene, width };
}

async function takePictures(
  browser: Browser,
  scene: Scene,
  { out, width }: Wanted,
): Promise<void> {
  const wanted = width === undefined
    ? [...widths, ...(alsoWidths[scene.name] ?? [])]
    : [width];
  const stage = await stageOf(scene.draw);
  const complaints: string[] = [];
  try {
    const token = tokenOf(scene);
    const page = await openPage(browser, stage.url, complaints, { token });
    if (token !== undefined && scene.draw !== undefined) {
      await page.locator("#headline").waitFor();
      await page.getByText("Reading…").waitFor({ state: "detached" });
    }
    await scene.act?.(page, stage);
    // A dialog, or what is told in passing, is over what can be seen.
    const isOver = await page.locator("dialog, .toast").count() > 0;
    for (const width of wanted) {
      await page.setViewportSize({ width, height: width < 600 ? 760 : 860 });
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({
          path: `${out}/${scene.name}.${width}.${colorScheme}.png`,
          fullPage: !isOver,
        });
      }
    }
    await page.context().close();
  } finally {
    await stage.stop();
  }
  for (const text of complaints) {
    if (scene.complains?.test(text) === true) continue;
    console.log(`${scene.name}: ${text}`);
  }
}

if (import.meta.main) {
  const wanted = readArguments(Deno.args);
  Deno.mkdirSync(wanted.out, { recursive: true });
  const browser = await startBrowser();
  try {
    for (const scene of scenes) {
      if (!scene.name.includes(wanted.scene)) continue;
      const startedAt = performance.now();
      try {
        await takePictures(browser, scene, wanted);
        const ms = Math.round(performance.now() - startedAt);
        console.log(`${scene.name}: ${ms} ms`);
      } catch (error) {
        console.log(`${scene.name}: ${error}`);
      }
    }
  } finally {
    await browser.close();
  }
}
