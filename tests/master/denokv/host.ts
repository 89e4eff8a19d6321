/**
 * A NodeHost as a process: it runs what masters ask for, and tells what it runs.
 *
 *     GET /status     [{ clusterId, nodeId, isReady, failure }]
 *
 * Its first line of output is `{"listening":…,"nodeHostId":…}`. The token comes in `DRAKKAR_TOKEN`.
 */
// deno-lint-ignore-file no-console -- a program that is started from the command line
import { NodeHost } from "../../../mod.ts";
import { httpMasterClient } from "../../../master/mod.ts";
import { parseArgs } from "./deps.ts";
import { Ledger, ledgerName } from "./ledger.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string", default: "" },
    raft: { type: "string", default: "" },
    api: { type: "string", default: "" },
    region: { type: "string", default: "" },
    masters: { type: "string", default: "" },
    peers: { type: "string", default: "" },
    "period-ms": { type: "string", default: "500" },
  },
});
await using host = await NodeHost.open({
  dir: values.dir,
  raftAddress: values.raft,
  apiAddress: values.api,
  region: values.region,
  tickMs: 100, // Many processes share few processors.
  segmentBytes: 4 * 1024 * 1024,
  masterServers: values.masters.split(","),
  masterClientFactory: httpMasterClient({
    token: Deno.env.get("DRAKKAR_TOKEN") ?? "",
  }),
  reportPeriodMs: Number(values["period-ms"]),
  peers: values.peers.split(","),
  stateMachines: { [ledgerName]: () => new Ledger() },
});
const [hostname, port] = values.api.split(":");
const server = Deno.serve({
  hostname: hostname!,
  port: Number(port),
  onListen: () =>
    console.log(
      JSON.stringify({ listening: values.api, nodeHostId: host.nodeHostId }),
    ),
}, () =>
  Response.json(
    host.info().clusters.map(({ clusterId, nodeId, isReady, failure }) => ({
      clusterId,
      nodeId,
      isReady,
      failure,
    })),
  ));
await new Promise<void>((resolve) => {
  Deno.addSignalListener("SIGTERM", () => resolve());
});
await host.close();
await server.shutdown();
