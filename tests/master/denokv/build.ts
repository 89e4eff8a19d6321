/** Builds denokv if it is not there and cargo is; `deno task test` runs this beside its first tests. */
// deno-lint-ignore-file no-console -- a program that is started from the command line
import { beginToBuild, findDenokv } from "./server.ts";

if (findDenokv() === undefined) {
  const output = await beginToBuild()?.output();
  if (output !== undefined && !output.success) {
    console.error(new TextDecoder().decode(output.stderr));
    Deno.exit(1);
  }
}
