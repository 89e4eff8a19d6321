/**
 * What a NodeHost measures, as named metrics in the manner of Prometheus: base units (seconds, bytes), `_total` for what
 * only grows, and no label per cluster, so that ten thousand clusters make no more series than one. Nothing is computed
 * until somebody asks.
 */
import type { IgnoredCounts } from "../core/peer.ts";
import type { Counters, RefusalReason } from "./counters.ts";
import type { Histogram, HistogramSnapshot } from "./histogram.ts";

/** How a metric behaves. */
export type MetricType = "counter" | "gauge" | "histogram";

/** One value of a metric. */
export interface MetricSample {
  /** What tells it from the metric's other values; usually nothing. */
  readonly labels: Readonly<Record<string, string>>;
  /** The value; of a histogram, how many values it has seen. */
  readonly value: number;
}

/** A metric as it was at one moment. */
export interface Metric {
  /** Its name, such as `drakkar_proposals_total`. */
  readonly name: string;
  /** What it says, in one sentence. */
  readonly help: string;
  /** How it behaves. */
  readonly type: MetricType;
  /** What it counts in; `""` for a plain number. */
  readonly unit: "" | "seconds" | "bytes";
  /** Its values, at least one. */
  readonly samples: readonly MetricSample[];
  /** Of a histogram: all of it. */
  readonly histogram?: HistogramSnapshot;
}

/** What is true now, gathered when somebody asks. */
export interface Gauges {
  /** Nodes that run here. */
  readonly nodes: number;
  /** Those that lead their cluster. */
  readonly leaders: number;
  /** Those that know no leader. */
  readonly leaderless: number;
  /** Committed entries that are not applied yet, of all nodes. */
  readonly applyBacklog: number;
  /** Links to other NodeHosts that are up. */
  readonly links: number;
  /** Bytes that wait to be sent on them. */
  readonly queuedBytes: number;
  /** Bytes of the log on disk. */
  readonly diskBytes: number;
  /** Bytes of its index in memory. */
  readonly indexBytes: number;
  /** Its files. */
  readonly segments: number;
  /** Whether it has no room. */
  readonly isDiskFull: boolean;
  /** How long the write under way has taken. */
  readonly writingMs: number;
  /** How often the folder was opened. */
  readonly incarnation: number;
  /** Messages that cores did not heed, by reason; those of nodes that are gone included. */
  readonly ignored: IgnoredCounts;
}

/** What a NodeHost measures; see the list in `docs/OBSERVABILITY.md`. */
export class HostMetrics {
  readonly #counters: Counters;
  readonly #gauges: () => Gauges;

  /** Made by a NodeHost, which knows how to gather `gauges`. */
  constructor(counters: Counters, gauges: () => Gauges) {
    this.#counters = counters;
    this.#gauges = gauges;
  }

  /** All metrics as they are now, in a fixed order. Takes time in proportion to the nodes here. */
  snapshot(): Metric[] {
    const gauges = this.#gauges();
    return [
      ...latencies(this.#counters),
      ...requests(this.#counters),
      ...elections(this.#counters, gauges),
      ...nodes(this.#counters, gauges),
      ...disk(this.#counters, gauges),
      ...snapshots(this.#counters),
      ...transport(this.#counters, gauges),
    ];
  }

  /**
   * The value of one metric: of a histogram, how many values it has seen; of one with labels, the sum.
   *
   * @throws {RangeError} if there is no metric of that name.
   */
  value(name: string): number {
    const metric = this.snapshot().find((one) => one.name === name);
    if (metric === undefined) {
      throw new RangeError(`Cannot read metric ${name}: there is none`);
    }
    return metric.samples.reduce((sum, sample) => sum + sample.value, 0);
  }
}

function latencies(counters: Counters): Metric[] {
  return [
    histogram(
      "drakkar_propose_duration_seconds",
      "From a proposal being made to its being applied here; the oldest of a batch stands for all of it.",
      counters.propose,
    ),
    histogram(
      "drakkar_log_sync_duration_seconds",
      "From a group of log records being handed to the disk to its being durable.",
      counters.sync,
    ),
    histogram(
      "drakkar_apply_duration_seconds",
      "From a range of entries being known as committed and durable here to its being applied.",
      counters.apply,
    ),
  ];
}

function requests(counters: Counters): Metric[] {
  const refused: Record<RefusalReason, number> = counters.proposalsRefused;
  return [
    counter(
      "drakkar_proposals_total",
      "Entries put into a log here, as its leader.",
      counters.proposals,
    ),
    counter(
      "drakkar_proposals_forwarded_total",
      "Entries sent to a leader on another NodeHost.",
      counters.proposalsForwarded,
    ),
    counter(
      "drakkar_proposals_refused_total",
      "Proposals refused at once, by reason; they were not applied.",
      labelled("reason", refused),
    ),
    counter(
      "drakkar_proposals_dropped_total",
      "Entries that Raft did not take because this node no longer leads, or hands leadership over.",
      counters.core.proposalsDropped,
    ),
    counter(
      "drakkar_proposals_timed_out_total",
      "Proposals whose deadline passed before they were applied here.",
      counters.proposalsTimedOut,
    ),
    counter(
      "drakkar_reads_total",
      "Linearizable reads asked for here.",
      counters.reads,
    ),
    counter(
      "drakkar_read_rounds_total",
      "Rounds by which reads were confirmed; one serves all reads of a turn, by heartbeats or a lease.",
      counters.readRounds,
    ),
    counter(
      "drakkar_read_rounds_dropped_total",
      "Rounds given up because there was no leader, or another.",
      counters.readRoundsDropped,
    ),
    counter(
      "drakkar_entries_applied_total",
      "Entries applied to the state machines here.",
      counters.entriesApplied,
    ),
  ];
}

function elections(counters: Counters, gauges: Gauges): Metric[] {
  const { core } = counters;
  return [
    counter(
      "drakkar_pre_campaigns_total",
      "Times a node asked whether it could win an election.",
      core.preCampaigns,
    ),
    counter(
      "drakkar_campaigns_total",
      "Times a node began a new term to become its leader.",
      core.campaigns,
    ),
    counter(
      "drakkar_campaigns_skipped_total",
      "Times a node that heard no leader had to let others try.",
      core.campaignsSkipped,
    ),
    counter(
      "drakkar_elections_won_total",
      "Elections won by nodes here.",
      core.electionsWon,
    ),
    counter(
      "drakkar_quorums_lost_total",
      "Times a leader here stepped down because it heard from no quorum.",
      core.quorumsLost,
    ),
    counter(
      "drakkar_leader_transfers_total",
      "Transfers of leadership begun by leaders here.",
      core.transfersStarted,
    ),
    counter(
      "drakkar_leader_changes_total",
      "Times a node here saw another leader or term.",
      counters.leaderChanges,
    ),
    counter(
      "drakkar_membership_changes_total",
      "Membership changes that took effect on nodes here.",
      counters.membershipChanges,
    ),
    counter(
      "drakkar_appends_rejected_total",
      "Appends that did not fit the log of a node here.",
      core.appendsRejected,
    ),
    counter(
      "drakkar_messages_ignored_total",
      "Messages that a node here did not heed, by reason.",
      labelled("reason", { ...gauges.ignored }),
    ),
  ];
}

function nodes(counters: Counters, gauges: Gauges): Metric[] {
  return [
    gauge("drakkar_nodes", "Nodes that run here.", gauges.nodes),
    gauge("drakkar_leaders", "Nodes here that lead.", gauges.leaders),
    gauge(
      "drakkar_nodes_without_leader",
      "Nodes here that know no leader.",
      gauges.leaderless,
    ),
    gauge(
      "drakkar_apply_backlog",
      "Entries known as committed here and not applied yet.",
      gauges.applyBacklog,
    ),
    counter(
      "drakkar_nodes_started_total",
      "Nodes started here.",
      counters.nodesStarted,
    ),
    counter(
      "drakkar_nodes_failed_total",
      "Nodes that stopped here because something went wrong with them.",
      counters.nodesFailed,
    ),
    counter(
      "drakkar_loop_holds_total",
      "Times the event loop was held for longer than half an election timeout.",
      counters.loopHolds,
    ),
    gauge(
      "drakkar_incarnation",
      "How often this NodeHost's folder was opened.",
      gauges.incarnation,
    ),
  ];
}

function disk(counters: Counters, gauges: Gauges): Metric[] {
  return [
    counter(
      "drakkar_log_groups_total",
      "Groups of records written to the log, each with one write.",
      counters.logGroups,
    ),
    counter(
      "drakkar_log_records_total",
      "Records in them, each of one node.",
      counters.logRecords,
    ),
    gauge(
      "drakkar_log_bytes",
      "Bytes of the log on disk.",
      gauges.diskBytes,
      "bytes",
    ),
    gauge(
      "drakkar_log_index_bytes",
      "Bytes of the log's index in memory.",
      gauges.indexBytes,
      "bytes",
    ),
    gauge("drakkar_log_segments", "Files of the log.", gauges.segments),
    gauge(
      "drakkar_disk_full",
      "1 while the disk has no room for the log, else 0.",
      gauges.isDiskFull ? 1 : 0,
    ),
    counter(
      "drakkar_disk_stalls_total",
      "Times a write to the log took longer than an election timeout.",
      counters.diskStalls,
    ),
    gauge(
      "drakkar_log_write_age_seconds",
      "How long the write under way has taken, 0 if there is none.",
      gauges.writingMs / 1_000,
      "seconds",
    ),
  ];
}

function snapshots(counters: Counters): Metric[] {
  return [
    counter(
      "drakkar_snapshots_saved_total",
      "Snapshots saved here.",
      counters.snapshotsSaved,
    ),
    counter(
      "drakkar_snapshot_save_failures_total",
      "Attempts to save a snapshot that failed.",
      counters.snapshotSaveFailures,
    ),
    counter(
      "drakkar_snapshots_sent_total",
      "Snapshots that another member has now.",
      counters.snapshotsSent,
    ),
    counter(
      "drakkar_snapshot_send_failures_total",
      "Attempts to send a snapshot that failed.",
      counters.snapshotSendFailures,
    ),
    counter(
      "drakkar_snapshots_received_total",
      "Snapshots received from other members.",
      counters.snapshotsReceived,
    ),
    counter(
      "drakkar_snapshots_rejected_total",
      "Snapshots received that brought a node nothing.",
      counters.core.snapshotsRejected,
    ),
    counter(
      "drakkar_snapshots_recovered_total",
      "Times a state machine was restored from a snapshot while its node ran.",
      counters.snapshotsRecovered,
    ),
  ];
}

function transport({ transport }: Counters, gauges: Gauges): Metric[] {
  return [
    gauge(
      "drakkar_links",
      "NodeHosts this one is connected to.",
      gauges.links,
    ),
    gauge(
      "drakkar_send_queue_bytes",
      "Bytes that wait to be sent to other NodeHosts.",
      gauges.queuedBytes,
      "bytes",
    ),
    counter(
      "drakkar_messages_sent_total",
      "Messages queued for other NodeHosts.",
      transport.recordsSent,
    ),
    counter(
      "drakkar_messages_received_total",
      "Messages that arrived from other NodeHosts.",
      transport.recordsReceived,
    ),
    counter(
      "drakkar_messages_dropped_total",
      "Messages never sent, because nobody was connected or too much waited.",
      transport.recordsDropped,
    ),
    counter(
      "drakkar_frames_sent_total",
      "Frames sent on links; each carries the messages of a turn.",
      transport.framesSent,
    ),
    counter(
      "drakkar_frames_received_total",
      "Frames that arrived on links.",
      transport.framesReceived,
    ),
    counter(
      "drakkar_sent_bytes_total",
      "Bytes sent on links.",
      transport.bytesSent,
      "bytes",
    ),
    counter(
      "drakkar_received_bytes_total",
      "Bytes that arrived on links.",
      transport.bytesReceived,
      "bytes",
    ),
    counter(
      "drakkar_connections_accepted_total",
      "Connections that came in.",
      transport.accepted,
    ),
    counter(
      "drakkar_connections_refused_total",
      "Connections that were turned away, by this side or, once dialled, because the other was not who it should be.",
      transport.refused,
    ),
    counter(
      "drakkar_links_up_total",
      "Times a link to another NodeHost came up.",
      transport.linksUp,
    ),
    counter(
      "drakkar_links_down_total",
      "Times such a link was lost.",
      transport.linksDown,
    ),
    counter(
      "drakkar_dial_failures_total",
      "Times another NodeHost could not be reached.",
      transport.dialFailures,
    ),
    counter(
      "drakkar_snapshot_dials_total",
      "Connections tried for a snapshot.",
      transport.snapshotDials,
    ),
    counter(
      "drakkar_snapshot_dial_failures_total",
      "Connections for a snapshot that could not be made.",
      transport.snapshotDialFailures,
    ),
  ];
}

interface Labelled {
  readonly label: string;
  readonly values: Readonly<Record<string, number>>;
}

function labelled(label: string, values: Record<string, number>): Labelled {
  return { label, values };
}

function samplesOf(values: number | Labelled): MetricSample[] {
  if (typeof values === "number") return [{ labels: {}, value: values }];
  return Object.entries(values.values).map(([name, value]) => ({
    labels: { [values.label]: name },
    value,
  }));
}

function counter(
  name: string,
  help: string,
  values: number | Labelled,
  unit: Metric["unit"] = "",
): Metric {
  return { name, help, type: "counter", unit, samples: samplesOf(values) };
}

function gauge(
  name: string,
  help: string,
  value: number,
  unit: Metric["unit"] = "",
): Metric {
  return { name, help, type: "gauge", unit, samples: samplesOf(value) };
}

function histogram(name: string, help: string, source: Histogram): Metric {
  const snapshot = source.snapshot();
  return {
    name,
    help,
    type: "histogram",
    unit: "seconds",
    samples: samplesOf(snapshot.count),
    histogram: snapshot,
  };
}
