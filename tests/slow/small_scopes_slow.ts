import { exploreAll, usual } from "../scopes/main.ts";

Deno.test("Small scopes: everything within the bounds of a minute", async () => {
  await exploreAll(usual, [2]);
});
