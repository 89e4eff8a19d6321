/** `deno task inspect`: see `usage`. */
// deno-lint-ignore-file no-console -- a command line speaks to people
import {
  type DirectoryReport,
  inspectDirectory,
  type NodeReport,
} from "../inspect.ts";
import { parseArgs } from "./deps.ts";

const usage = `Usage: deno task inspect DIR [--json]

Tells what a NodeHost's directory holds, and changes nothing in it: whose it is,
the log's segments, each node's term, vote, indexes and snapshots, and the first
damage. It needs --allow-read for the directory only.

  --json   one JSON object instead of text
  --help   this text

Exit status: 0 everything checks, 1 something is damaged, 2 it cannot be read.
`;

/** Runs the command line, and returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let dir: string | undefined;
  let isJson: boolean | undefined;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { json: { type: "boolean" }, help: { type: "boolean" } },
      allowPositionals: true,
    });
    if (values.help === true) {
      console.log(usage);
      return 0;
    }
    isJson = values.json;
    [dir] = positionals;
    if (dir === undefined || positionals.length > 1) {
      console.error(usage);
      return 2;
    }
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  let report: DirectoryReport;
  try {
    report = await inspectDirectory({ dir });
  } catch (error) {
    console.error(`Cannot inspect ${dir}: ${(error as Error).message}`);
    return 2;
  }
  const { identity, segments, damage } = report;
  if (identity === undefined && segments.length === 0 && damage.length === 0) {
    console.error(
      `Cannot inspect ${dir}: no NodeHost was opened in it; give the folder that is its dir`,
    );
    return 2;
  }
  console.log(
    isJson === true
      ? JSON.stringify(report, numbersAsText, 2)
      : textOf(dir, report),
  );
  return damage.length === 0 ? 0 : 1;
}

/** A deployment id is a bigint, which JSON does not have. */
function numbersAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

/** The report as lines for people. */
export function textOf(dir: string, report: DirectoryReport): string {
  const { identity, segments, nodes, damage } = report;
  const lines = [
    identity === undefined
      ? `${dir}: no identity`
      : `${dir}: NodeHost ${identity.nodeHostId}, incarnation ` +
        `${identity.incarnation}, ${identity.raftAddress}, deployment ` +
        (identity.deploymentId === 0n ? "unknown" : identity.deploymentId),
    "",
    `Log: ${segments.length} segments, ${report.records} records` +
    (report.tornBytes > 0
      ? `, ${report.tornBytes} bytes of a torn tail, which opening cuts off`
      : ""),
    ...segments.map((one) =>
      `  ${one.path}: position ${one.position}, ${one.end} of ${one.bytes} ` +
      `bytes written, ${one.liveBytes} still needed`
    ),
    "",
    `Nodes: ${nodes.length}`,
    ...nodes.flatMap(linesOf),
    "",
    damage.length === 0 ? "No damage." : "Damage:",
    ...damage.map(({ message }) => `  ${message}`),
  ];
  return lines.join("\n");
}

function linesOf(node: NodeReport): string[] {
  const { hardState, bootstrap, snapshotIndex } = node;
  const head = `  cluster ${node.clusterId}, node ${node.nodeId}: `;
  if (bootstrap?.isRemoved === true) {
    return [`${head}its data was removed for good`];
  }
  const state = hardState === undefined
    ? "no hard state"
    : `term ${hardState.term}, ` +
      (hardState.votedFor === 0
        ? "no vote"
        : `voted for ${hardState.votedFor}`) +
      `, commit ${hardState.commit}`;
  const log = node.batches === 0
    ? `no entries behind ${node.lastIndex}`
    : `entries ${node.firstIndex} to ${node.lastIndex} (term ` +
      `${node.lastTerm}) in ${node.batches} batches of ${node.batchBytes} bytes`;
  return [
    `${head}${state}, ${log}, ` +
    (snapshotIndex === 0 ? "no snapshot" : `snapshot at ${snapshotIndex}`),
    ...node.snapshots.map((one) =>
      `    snapshot ${one.index}: term ${one.term}, ${one.bytes} bytes` +
      (one.isCurrent ? "" : ", left over") +
      (one.damage === undefined ? "" : `, DAMAGED: ${one.damage.message}`)
    ),
  ];
}

if (import.meta.main) Deno.exit(await main(Deno.args));
