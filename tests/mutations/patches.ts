/** The patches of this folder, and how they are applied. */
import { fileURLToPath } from "./deps.ts";

const folder = fileURLToPath(new URL(".", import.meta.url));

/** What the simulator must find nothing in. */
export const neutral = "neutral";

/** What a patch says of itself before its first hunk. */
export interface PatchHeader {
  /** What it breaks. */
  readonly what: string;
  /** The test file that must find it, if the simulator does not; undefined if the simulator must. */
  readonly test: string | undefined;
  /** Whether the simulator is to try at all: by the nature of some, it cannot find them. */
  readonly isForSimulator: boolean;
}

/** Names the test file for what the simulator cannot find. */
const testLabel = "Caught by: ";
/** Names the test file for what the simulator finds only now and then. */
const otherLabel = "Or by: ";

/** Reads the header of a patch: what it breaks, and perhaps a line with one of the labels. */
export function parseHeader(patch: string): PatchHeader {
  const lines = patch.slice(0, Math.max(0, patch.indexOf("\n--- a/")))
    .trim().split("\n");
  const labelled = (label: string) =>
    lines.find((line) => line.startsWith(label))?.slice(label.length).trim();
  const test = labelled(testLabel);
  return {
    what: lines.filter((line) =>
      !line.startsWith(testLabel) && !line.startsWith(otherLabel)
    ).join(" ").trim(),
    test: test ?? labelled(otherLabel),
    isForSimulator: test === undefined,
  };
}

/** The header of the patch with this name. */
export function readHeader(name: string): PatchHeader {
  return parseHeader(Deno.readTextFileSync(`${folder}/${name}.patch`));
}

/** Names of the patches, sorted. */
export function patchNames(): string[] {
  return [...Deno.readDirSync(folder)]
    .filter((entry) => entry.name.endsWith(".patch"))
    .map((entry) => entry.name.slice(0, -".patch".length))
    .sort();
}

/**
 * Applies a patch to the tree at `root`; with `isCheck` it only looks whether it could.
 *
 * @throws {Error} if it does not apply.
 */
export async function applyPatch(
  name: string,
  root: string,
  { isCheck = false }: { isCheck?: boolean } = {},
): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command("git", {
    args: [
      "apply",
      "--whitespace=nowarn",
      "-C1", // What stands further away may change.
      "--numstat", // Turns applying off, so that what is counted is what would be changed ...
      ...(isCheck ? ["--check"] : ["--apply"]), // ... and this turns it on again.
      `${folder}/${name}.patch`,
    ],
    cwd: root,
    // A repository around the tree would make git leave out, silently, what is not below its own folder.
    env: { GIT_CEILING_DIRECTORIES: fileURLToPath(parentOf(root)) },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  if (!success || decoder.decode(stdout).trim() === "") {
    throw new Error(
      `Cannot apply ${name}.patch: ${
        decoder.decode(stderr).trim() || "it changes nothing here"
      }; make it anew against the sources as they are`,
    );
  }
}

function parentOf(root: string): URL {
  return new URL("..", `file://${root.replace(/\/*$/, "/")}`);
}
