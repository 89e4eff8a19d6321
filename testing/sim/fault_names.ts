/** The kinds of fault, by name. What they do: `fault_kinds.ts`. */
export const faultNames = [
  /** A process ends, its machine and what it wrote stay. */
  "kill",
  /** A machine loses its power, and what was not synced. */
  "powerLoss",
  /** All machines at once. */
  "powerLossOfAll",
  /** More than half of the machines, each by a kill or a power cut. */
  "killMajority",
  /** A NodeHost closes and opens again. */
  "cleanRestart",
  /** A process is stopped for a while and continues, its clock having gone on. */
  "pause",
  /** A machine is cut off from all others. */
  "isolate",
  /** A machine is only heard, or only hears. */
  "isolateOneWay",
  /** Two groups of machines do not reach each other. */
  "split",
  /** Two machines do not reach each other. */
  "cutLink",
  /** One machine does not reach another. */
  "cutLinkOneWay",
  /** Two groups reach each other only through one machine. */
  "bridge",
  /** One direction between two machines is slow. */
  "slowLink",
  /** All directions to and from a machine are slow. */
  "slowMachine",
  /** A leader hears answers late, and then is heard no more, while it goes on hearing: with leases it must not trust them. */
  "lateAnswers",
  /** Connections are reset, what is under way is lost. */
  "breakConnections",
  /** Connections are refused for a while. */
  "refuseDials",
  /** Frames are lost inside connections. */
  "loss",
  /** Frames arrive twice inside connections. */
  "duplicate",
  /** Frames are overtaken inside connections. */
  "reorder",
  /** Syncs take long. */
  "slowDisk",
  /** A sync fails, what it should have kept is dropped. */
  "failSync",
  /** A write fails. */
  "failWrite",
  /** There is no space for new files. */
  "fullDisk",
  /** The wall clock is set. */
  "wallClockJump",
  /** A leader is asked to hand over. */
  "transfer",
  /** A node is asked for a snapshot. */
  "snapshot",
  /** One node is stopped and started, its NodeHost stays. */
  "restartCluster",
  /** A member is added or removed. */
  "changeMember",
  /** A bit of a machine's log changes while it is down. */
  "bitRot",
  /** A machine loses its folder. */
  "wipedFolder",
  /** An old copy is restored in the place of a machine's folder; or a new copy, as it should be done. */
  "restoredFolder",
  /** A copy of a machine's folder is opened, there or elsewhere. */
  "copiedFolder",
  /** A machine's NodeHost ends and comes back under an address that it never had. */
  "newAddress",
] as const;

/** One of {@link faultNames}. */
export type FaultName = typeof faultNames[number];

/** Those that befall whole folders, seldom: replacing what one lost takes a while. */
export const folderFaultNames: readonly FaultName[] = [
  "wipedFolder",
  "restoredFolder",
  "copiedFolder",
];
