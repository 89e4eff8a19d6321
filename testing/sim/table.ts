/** The totals of many runs, as lines for people. */
import { faultNames } from "./fault_names.ts";
import type { SimulationTotals } from "./run.ts";

/** Columns of a table of counts. */
const columns = 3;

/** What was simulated, what was done to it, and what it did. */
export function formatTotals(totals: SimulationTotals): string[] {
  const { numbers, faults, messages } = totals;
  const of = (name: string) => numbers.get(name) ?? 0;
  const simulated = of("simulatedSeconds");
  const rate = simulated === 0 ? 0 : of("completedOperations") / simulated;
  const rows: [name: string, text: string][] = [
    [
      "simulated",
      `${hours(simulated)}, with harm ${hours(of("harmSeconds"))}; ` +
      `${count(of("events"))} events`,
    ],
    [
      "operations",
      `${count(of("completedOperations"))} completed, ${
        rate.toFixed(1)
      } in a simulated second; ` +
      `${count(of("failedOperations"))} without effect, ` +
      `${count(of("unknownOperations"))} of unknown outcome, ` +
      `${count(of("sessionRetries"))} repeated in sessions`,
    ],
    [
      "raft",
      `${count(of("elections"))} elections, ${
        count(of("membershipChanges"))
      } changes of members, ` +
      `data of ${count(of("dataRemovals"))} nodes removed, ${
        count(of("rebuilds"))
      } clusters rebuilt, ` +
      `${count(of("restarts"))} restarts, ${
        count(of("snapshotsRestored"))
      } snapshots restored, with ${count(of("filesRestored"))} files`,
    ],
    [
      "network",
      `${count(of("frames"))} frames, ${bytes(of("frameBytes"))}; ` +
      `${count(of("lostFrames"))} lost, ${
        count(of("duplicatedFrames"))
      } doubled, ` +
      `${count(of("reorderedFrames"))} overtaken`,
    ],
    [
      "disk",
      `${count(of("syncs"))} syncs, ${bytes(of("bytesWritten"))} written; ` +
      `${count(of("stalledNodes"))} nodes looked at whose disk stalled`,
    ],
    [
      "checks",
      `${count(of("commandsApplied"))} commands applied and ${
        count(of("statesCompared"))
      } states compared, ` +
      `${count(of("historiesJudged"))} histories judged, ${
        count(of("eventsHeard"))
      } events followed`,
    ],
    [
      "asked too",
      `${count(of("staleReads"))} stale reads, ${
        count(of("entriesQueried"))
      } entries of logs queried, ` +
      `${count(of("commitsTold"))} commits told`,
    ],
  ];
  return [
    ...rows.map(([name, text]) => `${name.padEnd(11)}${text}`),
    "",
    "faults",
    ...table(faultNames.map((name) => [name, faults.get(name) ?? 0])),
    "",
    "messages",
    ...table([...messages].sort(([a], [b]) => a < b ? -1 : 1)),
  ];
}

function table(entries: readonly (readonly [string, number])[]): string[] {
  const nameWidth = Math.max(0, ...entries.map(([name]) => name.length));
  const countWidth = Math.max(0, ...entries.map(([, n]) => count(n).length));
  const cells = entries.map(([name, n]) =>
    `  ${name.padEnd(nameWidth)} ${count(n).padStart(countWidth)}`
  );
  const height = Math.ceil(cells.length / columns);
  return Array.from({ length: height }, (_, row) =>
    Array.from(
      { length: columns },
      (_, column) => cells[column * height + row] ?? "",
    ).join("  ").trimEnd());
}

function count(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

function hours(seconds: number): string {
  return seconds < 3_600
    ? `${(seconds / 60).toFixed(1)} min`
    : `${(seconds / 3_600).toFixed(2)} h`;
}

function bytes(value: number): string {
  return value < 1e9
    ? `${(value / 1e6).toFixed(1)} MB`
    : `${(value / 1e9).toFixed(2)} GB`;
}
