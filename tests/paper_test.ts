/** One test for each sentence of the extended Raft paper, and of the thesis, that says what a server does. */
import { clients } from "./paper/clients.ts";
import { elections } from "./paper/elections.ts";
import { membership } from "./paper/membership.ts";
import { replication } from "./paper/replication.ts";
import { snapshots } from "./paper/snapshots.ts";
import { thesis } from "./paper/thesis.ts";

const sentences = [
  ...elections,
  ...replication,
  ...membership,
  ...snapshots,
  ...clients,
  ...thesis,
];

for (const { section, says, test } of sentences) {
  Deno.test(`Raft paper, ${section}: ${says}`, test);
}
