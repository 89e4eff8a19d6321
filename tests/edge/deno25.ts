/** The Deno that Deno Deploy runs, as far as its vendor says. */

/** The release. */
export const edgeVersion = "2.5.6";

/** Its program, which npx fetches; undefined where there is no npx, or it cannot be had. */
export async function findEdgeDeno(): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("npx", {
      args: [
        "-y",
        `deno@${edgeVersion}`,
        "eval",
        "console.log(Deno.execPath())",
      ],
      env: edgeEnv,
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch {
    return undefined;
  }
}

/** It needs to be told to trust what the system trusts. */
export const edgeEnv: Readonly<Record<string, string>> = {
  DENO_TLS_CA_STORE: "system",
  NO_COLOR: "1",
};
