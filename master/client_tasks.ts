/**
 * What every client of a master does with reports and replies: it leaves out what the master knows, adds what became of
 * requests, and keeps what the reply asks for.
 */
import type { NodeHost } from "../raft/nodehost.ts";
import { KnownMemberships } from "./known_memberships.ts";
import { NodeHostTarget } from "./nodehost_target.ts";
import type {
  Acknowledgement,
  NodeHostInfo,
  NodeInfo,
  ReportReply,
} from "./protocol.ts";
import { RequestRunner } from "./request_runner.ts";

/** A master looks at so many leftovers of a report. */
const leftoversMax = 50;

/** A master takes so many of those that are heard in a report. */
const hearsMax = 16;

/** A report as it is sent. */
export interface PreparedReport {
  /** The report. */
  readonly info: NodeHostInfo;
  /** What it says about requests. */
  readonly acknowledgements: readonly Acknowledgement[];
}

/** The work of one NodeHost's client. */
export class ClientTasks {
  /** What the master knows. */
  readonly known = new KnownMemberships();
  readonly #host: NodeHost | undefined;
  readonly #target: NodeHostTarget | undefined;
  readonly #runner: RequestRunner | undefined;
  #silent: readonly string[] = [];
  /** Reports that told who of them is heard. */
  #silentReports = 0;
  /** Nodes that are no members any more, as masters said, and that nothing was done about yet. */
  #forget: readonly NodeInfo[] = [];
  /** Reports that told of leftovers: each begins with others. */
  #leftoverReports = 0;

  /** Without a NodeHost it only reports. */
  constructor(
    host: NodeHost | undefined,
    options: { now: () => number; retentionMs: number | undefined },
  ) {
    const { now, retentionMs } = options;
    this.#host = host;
    if (host === undefined) return;
    this.#target = new NodeHostTarget(host, now, retentionMs);
    this.#runner = new RequestRunner(this.#target, now);
  }

  /** The report as it is to be sent. */
  prepare(info: NodeHostInfo): PreparedReport {
    const { leftovers: all, ...stripped } = this.known.strip(info);
    const leftovers = this.#some(all ?? []);
    const acknowledgements = this.#runner?.acknowledgements() ?? [];
    const epoch = this.#runner?.epoch;
    const hears = this.#hears();
    return {
      info: {
        ...stripped,
        ...(leftovers.length === 0 ? {} : { leftovers }),
        ...(acknowledgements.length === 0 ? {} : { acknowledgements }),
        ...(epoch === undefined ? {} : { epoch }),
        ...(hears.length === 0 ? {} : { hears }),
      },
      acknowledgements,
    };
  }

  /** The master answered the report. What it did not take counts as told to nobody: the next report says it again. */
  delivered(report: PreparedReport, reply: ReportReply): void {
    if (reply.accepted !== false) {
      this.known.delivered(report.info, reply.want);
      this.#runner?.told(report.acknowledgements);
    }
    this.#runner?.receive(reply);
    this.#silent = Array.isArray(reply.silent) ? reply.silent : [];
    if (Array.isArray(reply.forget)) this.#forget = reply.forget;
  }

  /** Does what masters asked for. */
  async handleRequests(): Promise<void> {
    if (this.#runner?.hasWork === true) await this.#runner.run();
    const forget = this.#forget;
    this.#forget = [];
    if (forget.length > 0) await this.#target?.forget(forget);
    await this.#target?.removeOld();
  }

  /** Those that nothing was decided about yet, as many as a master looks at. */
  #some(leftovers: readonly NodeInfo[]): NodeInfo[] {
    const open = leftovers.filter((one) =>
      this.#target?.isWaiting(one) !== true
    );
    if (open.length <= leftoversMax) return open;
    const from = this.#leftoverReports++ * leftoversMax % open.length;
    return [...open.slice(from), ...open.slice(0, from)]
      .slice(0, leftoversMax);
  }

  /** Those of the NodeHosts that are silent to masters whom this one is connected with. */
  #hears(): string[] {
    if (this.#host === undefined || this.#silent.length === 0) return [];
    const silent = new Set(this.#silent);
    const { nodeHostId: hostId, links } = this.#host.info();
    const heard = links
      .filter((link) => link.isUp && silent.has(link.nodeHostId))
      .map((link) => link.nodeHostId);
    return someHeard(heard, hostId, this.#silentReports++);
  }
}

/**
 * As many as a report takes. Each NodeHost begins elsewhere, and elsewhere in each report: together they tell of all.
 */
export function someHeard(
  heard: string[],
  hostId: string,
  reportCount: number,
): string[] {
  if (heard.length <= hearsMax) return heard;
  let own = 0;
  for (let i = 0; i < hostId.length; i++) {
    own = (own * 31 + hostId.charCodeAt(i)) % 65_536;
  }
  const begin = (own + reportCount * hearsMax) % heard.length;
  return [...heard.slice(begin), ...heard.slice(0, begin)].slice(0, hearsMax);
}
