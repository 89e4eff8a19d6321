/** `deno task import-snapshot`: see `usage`. */
// deno-lint-ignore-file no-console -- a command line speaks to people
import { RaftError } from "../errors.ts";
import { type ImportReport, importSnapshot } from "../import_snapshot.ts";
import { parseArgs } from "./deps.ts";

const usage =
  `Usage: deno task import-snapshot --image FILE --dir DIR --address HOST:PORT --node ID
    --member ID=HOST:PORT [--member ...] [--generation N] [--deployment N]
    [--state-machine NAME] [--dry-run]

Rebuilds a cluster that lost its quorum from an exported snapshot.

Run it once on each NodeHost that is to carry a member, while it is closed, with
the same image, the same members and, if you give one, the same generation.
What the cluster decided after the image is lost. --dry-run says what that is.

  --image          what exportSnapshot wrote
  --dir            the NodeHost's folder
  --address        its raftAddress
  --node           the member that it is to carry
  --member         every member from now on; one that the image has keeps its address
  --generation     of the rebuilt cluster; by default the image's and one more
  --deployment     deployment id, 1 by default
  --state-machine  the name under which the NodeHost starts the node by itself
  --dry-run        check and tell, and change nothing
  --help           this text
`;

/** Runs the command line, and returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        image: { type: "string" },
        dir: { type: "string" },
        address: { type: "string" },
        node: { type: "string" },
        member: { type: "string", multiple: true },
        generation: { type: "string" },
        deployment: { type: "string" },
        "state-machine": { type: "string" },
        "dry-run": { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    if (values.help === true || args.length === 0) {
      console.log(usage);
      return args.length === 0 ? 2 : 0;
    }
    const { generation, deployment } = values;
    const report = await importSnapshot({
      path: required("image", values.image),
      dir: required("dir", values.dir),
      raftAddress: required("address", values.address),
      nodeId: Number(required("node", values.node)),
      members: membersOf(values.member ?? []),
      ...(generation === undefined ? {} : { generation: Number(generation) }),
      ...(deployment === undefined ? {} : { deploymentId: BigInt(deployment) }),
      ...(values["state-machine"] === undefined
        ? {}
        : { stateMachine: values["state-machine"] }),
      dryRun: values["dry-run"] === true,
    });
    console.log(describe(report));
    return 0;
  } catch (error) {
    const isExpected = error instanceof RaftError ||
      error instanceof TypeError || error instanceof RangeError ||
      error instanceof SyntaxError;
    console.error(isExpected ? error.message : error);
    if (isUsage(error)) {
      console.error(`\n${usage}`);
      return 2;
    }
    return 1;
  }
}

/** Whether it is about the command line itself. */
function isUsage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === "string" && code.startsWith("ERR_PARSE_ARGS");
}

function required(name: string, value: string | undefined): string {
  if (value !== undefined) return value;
  throw new TypeError(`Cannot import a snapshot: --${name} is missing; --help`);
}

function membersOf(texts: readonly string[]): Record<number, string> {
  const members: Record<number, string> = {};
  for (const text of texts) {
    const [, id, address] = /^([0-9]+)=(.+)$/.exec(text) ?? [];
    if (id === undefined || address === undefined) {
      throw new TypeError(`Cannot use --member ${text}: give ID=HOST:PORT`);
    }
    if (String(Number(id)) !== id) {
      throw new TypeError(
        `Cannot use --member ${text}: ${id} is not a node id; write it as ${
          Number(id)
        }`,
      );
    }
    if (Object.hasOwn(members, id)) {
      throw new TypeError(`Cannot use --member ${text}: node ${id} has one`);
    }
    members[Number(id)] = address;
  }
  return members;
}

function describe(report: ImportReport): string {
  const { clusterId, nodeId, index, term, generation, membership } = report;
  const members = membership.members.map((member) =>
    `${member.nodeId} at ${member.address}`
  );
  const found = report.found.map((node) =>
    `  node ${node.nodeId} of generation ${node.generation}: log up to index ${node.lastIndex}, term ${node.lastTerm}, ` +
    `committed ${node.commit}; ${node.entriesBehindImage} entries behind the image, of which ${node.committedBehindImage} are known as committed`
  );
  return [
    `cluster ${clusterId}: the image holds everything up to index ${index}, term ${term}`,
    found.length === 0
      ? "this NodeHost has nothing of the cluster"
      : "this NodeHost has:",
    ...found,
    report.isDone
      ? `imported as node ${nodeId}, generation ${generation}`
      : `would be imported as node ${nodeId}, generation ${generation}; nothing was changed`,
    `client sessions ${report.isDone ? "are" : "would be"} void`,
    `members: ${members.join(", ")}`,
    ...(membership.removed.length === 0
      ? []
      : [`removed for ever: node ${membership.removed.join(", ")}`]),
  ].join("\n");
}

if (import.meta.main) Deno.exit(await main(Deno.args));
