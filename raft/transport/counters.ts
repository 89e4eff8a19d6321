/** What the connections of a NodeHost count together, for whoever watches it. */

/** Whole numbers that only grow. */
export interface TransportCounters {
  /** Frames of records handed to a connection. */
  framesSent: number;
  /** Bytes in them. */
  bytesSent: number;
  /** Frames that arrived on links. */
  framesReceived: number;
  /** Bytes in them. */
  bytesReceived: number;
  /** Records queued to be sent: messages of clusters, mostly. */
  recordsSent: number;
  /** Records that arrived. */
  recordsReceived: number;
  /** Records that were never sent: the link was down, or too much waited. Raft sends what matters again. */
  recordsDropped: number;
  /** Connections that came in. */
  accepted: number;
  /** Connections that came in and were turned away, or were turned away by this side after it had dialled. */
  refused: number;
  /** Times a link came up. */
  linksUp: number;
  /** Times a link that was up went down. */
  linksDown: number;
  /** Times a link could not be made. */
  dialFailures: number;
  /** Connections made for a snapshot. */
  snapshotDials: number;
  /** Times that failed. */
  snapshotDialFailures: number;
}

/** Counters that have counted nothing. */
export function newTransportCounters(): TransportCounters {
  return {
    framesSent: 0,
    bytesSent: 0,
    framesReceived: 0,
    bytesReceived: 0,
    recordsSent: 0,
    recordsReceived: 0,
    recordsDropped: 0,
    accepted: 0,
    refused: 0,
    linksUp: 0,
    linksDown: 0,
    dialFailures: 0,
    snapshotDials: 0,
    snapshotDialFailures: 0,
  };
}
