/**
 * Which wire version the members of a cluster speak, and what may therefore be written (rule I6). A new format enters a
 * log or a membership only when every member has announced that it reads it: a member that does not would end the
 * connection, or stop at that entry. Once the cluster has such a thing, it is the older member that is refused.
 *
 * What each member announced is known from connections. Who did when all had, the node remembers beside its settings, so
 * that a member which is down while the others are restarted does not count as unknown, though others come and go.
 */
import { allMembers } from "./core/members.ts";
import { needsChangeVersion2 } from "./core/membership_format.ts";
import type { Peer } from "./core/peer.ts";
import type { ConfigChange, EntryBatch } from "./core/types.ts";
import { needsVersion2 } from "./codec/record_versions.ts";
import { announcedAt, announcedIds, withAnnounced } from "./bootstrap.ts";
import type { RaftError } from "./errors.ts";
import { olderText, unmetText } from "./errors.ts";
import { requestError } from "./requests.ts";
import type { Routes } from "./routes.ts";
import type { HostIdentity } from "./transport/link_pool.ts";
import { wireVersions } from "./transport/handshake.ts";
import type { Bootstrap } from "../storage/log_store.ts";

/** What NodeHosts announced to this one, by NodeHost id, and what this one speaks. */
export class HostVersions {
  /** The newest that this NodeHost speaks. */
  readonly own: number;
  readonly #announced = new Map<string, number>();

  /** Nobody was met yet. */
  constructor(own: number = wireVersions.highest) {
    this.own = own;
  }

  /** A NodeHost was met. */
  met(nodeHostId: string, version: number): void {
    this.#announced.set(nodeHostId, version);
  }

  /** What is spoken with a NodeHost that was met since this one opened. */
  of(nodeHostId: string): number | undefined {
    return this.#announced.get(nodeHostId);
  }
}

/** What {@link MemberVersions} need of their node. */
export interface VersionsOwner {
  readonly clusterId: number;
  readonly nodeId: number;
  readonly config: { readonly entryCompression: boolean };
  readonly peer: Peer;
  readonly routes: Routes;
  readonly self: HostIdentity;
  readonly host: { readonly versions: HostVersions };
  readonly applier: { readonly sessions: { readonly count: number } };
  bootstrap(): Bootstrap;
  /** Replaces the bootstrap record with the next write, without a sync of its own. */
  noteBootstrap(bootstrap: Bootstrap): void;
}

const newest = wireVersions.highest;

/** The versions of the members of one cluster, as one of its nodes knows them. */
export class MemberVersions {
  readonly #node: VersionsOwner;
  /** By node id. */
  readonly #known = new Map<number, number>();
  /** Every member has announced the newest version. */
  #isCurrent = false;
  /** What only the newest version knows was seen in the cluster's log. */
  #isUsed = false;

  /** Begins with what the node remembers. */
  constructor(node: VersionsOwner) {
    this.#node = node;
    const membership = node.peer.membership();
    const bootstrap = node.bootstrap();
    const isSame = announcedAt(bootstrap) === membership.configChangeIndex;
    const remembered = isSame
      ? allMembers(membership).map(({ nodeId }) => nodeId)
      : announcedIds(bootstrap);
    for (const nodeId of remembered) this.#known.set(nodeId, newest);
  }

  /** Whether what only the newest version knows may be written. */
  get isNewest(): boolean {
    return this.#isCurrent || this.#usesNewest();
  }

  /** Whether every member was met, or is remembered. */
  get knowsAll(): boolean {
    return allMembers(this.#node.peer.membership()).every(({ nodeId }) =>
      this.#known.has(nodeId)
    );
  }

  /** Members have changed, or somebody was met. */
  look(): void {
    const { nodeId, peer, routes, host } = this.#node;
    let isMixed = false;
    let isCurrent = true;
    const membership = peer.membership();
    for (const member of allMembers(membership)) {
      const version = member.nodeId === nodeId
        ? host.versions.own
        : host.versions.of(routes.knownNodeHost(member.nodeId)) ??
          this.#known.get(member.nodeId);
      if (version === undefined) {
        isCurrent = false;
        continue;
      }
      this.#known.set(member.nodeId, version);
      if (version === newest) continue;
      isMixed = true;
      isCurrent = false;
    }
    peer.setMixed(isMixed);
    this.#isCurrent = isCurrent;
    const { configChangeIndex } = membership;
    const bootstrap = this.#node.bootstrap();
    if (!isCurrent || announcedAt(bootstrap) === configChangeIndex) return;
    const nodeIds = allMembers(membership).map((member) => member.nodeId);
    this.#node.noteBootstrap(
      withAnnounced(bootstrap, configChangeIndex, nodeIds),
    );
  }

  /** A batch was applied. */
  applied(batch: EntryBatch): void {
    if (!this.#isUsed && needsVersion2(batch)) this.#isUsed = true;
  }

  /** Why a proposal in a session cannot be taken here. Only a leader needs to know of every member. */
  refuseSessions(isLeader: boolean): RaftError | undefined {
    if (this.isNewest) return undefined;
    const what = `Cannot use sessions in cluster ${this.#node.clusterId}`;
    return this.#objection(what, isLeader);
  }

  /** Why the leader, which this node is or knows, cannot take a change; to be sent, and read by {@link refusalOf}. */
  refuseChange(change: ConfigChange): string | undefined {
    if (!needsChangeVersion2(change)) return undefined;
    const { peer } = this.#node;
    if (!peer.isLeader()) {
      return this.#known.get(peer.leaderId) === 1
        ? `rejected: ${this.#olderText(peer.leaderId)}`
        : undefined;
    }
    const addsKind = change.type === "addObserver" ||
      change.type === "addWitness";
    if (!addsKind || this.isNewest) return undefined;
    const error = this.#objection("", change.force !== true);
    return error && `${error.code}: ${error.message}`;
  }

  /** Why a NodeHost that speaks `version` cannot carry a member; undefined if it can. */
  refuseHost(version: number): string | undefined {
    if (version === newest || this.#node.host.versions.own !== newest) {
      return undefined;
    }
    if (!this.#usesNewest()) return undefined;
    return `its NodeHost speaks wire version ${version}, and cluster ${this.#node.clusterId} has sessions, observers, ` +
      `witnesses, packed commands or members recorded together, which need version ${newest}: upgrade it`;
  }

  #usesNewest(): boolean {
    if (this.#isUsed) return true;
    // Since all members could read them, packed commands may be anywhere in the log; batches do not say so.
    const { config } = this.#node;
    if (config.entryCompression && announcedAt(this.#node.bootstrap()) >= 0) {
      return true;
    }
    const { peer, applier } = this.#node;
    const { observers, witnesses } = peer.membership();
    this.#isUsed = applier.sessions.count > 0 || observers.length > 0 ||
      witnesses.length > 0;
    return this.#isUsed;
  }

  #objection(what: string, needsAll: boolean): RaftError | undefined {
    const { peer } = this.#node;
    const members = allMembers(peer.membership());
    const start = what === "" ? "" : `${what}: `;
    const older = members.find(({ nodeId }) => {
      const version = this.#known.get(nodeId);
      return version !== undefined && version !== newest;
    });
    if (older !== undefined) {
      return requestError("rejected", start + this.#olderText(older.nodeId));
    }
    const unknown = members.find(({ nodeId }) => !this.#known.has(nodeId));
    if (unknown === undefined || !needsAll) return undefined;
    return requestError(
      "notReady",
      start + unmetText(unknown, newest),
    );
  }

  #olderText(nodeId: number): string {
    const { self, routes } = this.#node;
    const nodeHostId = nodeId === this.#node.nodeId
      ? self.nodeHostId
      : routes.knownNodeHost(nodeId);
    return olderText(nodeId, nodeHostId, this.#known.get(nodeId)!);
  }
}

/** A leader's refusal for want of a version, as it is sent to a follower. */
const refusalForm = /^(rejected|notReady): (.*)$/s;

/** Reads such a refusal; undefined if it is another one. */
export function refusalOf(
  text: string,
): { code: "rejected" | "notReady"; reason: string } | undefined {
  const [, code, reason] = refusalForm.exec(text) ?? [];
  if (reason === undefined) return undefined;
  return { code: code as "rejected" | "notReady", reason };
}
