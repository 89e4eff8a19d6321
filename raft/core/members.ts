/** Who is who in a membership: look-ups that do not depend on the kind of a member, and those that do. */
import type { Member, MemberKind, Membership } from "./types.ts";

/** Every member of any kind: voters, then witnesses, then observers; ascending within each. */
export function allMembers(membership: Membership): readonly Member[] {
  const { members, observers, witnesses } = membership;
  // Nearly every cluster has voters alone.
  if (observers.length === 0 && witnesses.length === 0) return members;
  return [...members, ...witnesses, ...observers];
}

/** Those whose votes count, for elections, commit, check-quorum and reads: voters and witnesses. */
export function votingMembers(membership: Membership): readonly Member[] {
  const { members, witnesses } = membership;
  return witnesses.length === 0 ? members : [...members, ...witnesses];
}

/** The member with this id, of any kind; undefined if there is none. */
export function memberOf(
  membership: Membership,
  nodeId: number,
): Member | undefined {
  const has = (member: Member) => member.nodeId === nodeId;
  return membership.members.find(has) ?? membership.witnesses.find(has) ??
    membership.observers.find(has);
}

/** What a member is; undefined if `nodeId` is none. */
export function memberKindOf(
  membership: Membership,
  nodeId: number,
): MemberKind | undefined {
  const has = (member: Member) => member.nodeId === nodeId;
  if (membership.members.some(has)) return "voter";
  if (membership.witnesses.some(has)) return "witness";
  return membership.observers.some(has) ? "observer" : undefined;
}
