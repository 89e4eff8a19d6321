/** Which fields of `ClusterConfig` a cluster's definition may set: those that are plain numbers. */
export const clusterConfigFields: ReadonlySet<string> = new Set([
  "electionTimeoutTicks",
  "heartbeatTicks",
  "snapshotEntries",
  "compactionOverhead",
  "maxInMemLogBytes",
]);
