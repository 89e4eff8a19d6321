/** Every state of the page: what is in the store, who looks, and what they have opened. */
import type { Page } from "./deps.ts";
import {
  all,
  dead,
  drawBrake,
  drawChanging,
  drawDraining,
  drawGivenUp,
  drawLongNames,
  drawLost,
  drawOneMachine,
  drawQuarantine,
  drawRepair,
  drawRepaired,
  drawThousands,
  drawUnmanaged,
  drawUnstarted,
  fleetOf,
  oslo,
  regionsOfAll,
} from "./page_drawings.ts";
import type { DrawnFleet } from "./page_fleet.ts";
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

// ---- What somebody does ----

/** Opens a cluster of the list. */
export async function openCluster(page: Page, id: number): Promise<void> {
  // In the list: the history names clusters as well, and may be there first.
  await page.locator(".clusters")
    .getByRole("button", { name: `Cluster ${id}`, exact: true }).first()
    .click();
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
  { name: "unstarted", draw: drawUnstarted },
  {
    name: "unstarted-details",
    draw: drawUnstarted,
    act: async (page) => {
      await openCluster(page, 50);
      await openCluster(page, 51);
      await openHost(page, dead);
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
      await page.getByLabel("It can be kept until then").fill("3");
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
  { name: "one-machine", draw: drawOneMachine },
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
