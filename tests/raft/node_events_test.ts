import { assert } from "../deps.ts";
import { EventHub } from "../../raft/events.ts";
import type { MemberProgress, Peer } from "../../raft/core/peer.ts";
import { NodeEvents } from "../../raft/node_events.ts";
import type { EventsOwner } from "../../raft/node_events.ts";
import { KeptLog } from "../support/hosts.ts";

Deno.test("NodeEvents warns and tells of a follower that lost entries, once for each follower and term, and says what it means", async () => {
  const logger = new KeptLog();
  const lost = new Set<number>();
  const hub = new EventHub();
  const stream = hub.subscribe();
  const peer = {
    term: 4,
    leaderId: 0,
    lossCount: 0,
    progress: () =>
      [1, 2, 3].map((nodeId) => ({
        nodeId,
        match: 70 + nodeId,
        hasLostEntries: lost.has(nodeId),
      } as MemberProgress)),
  };
  const events = new NodeEvents({
    clusterId: 9,
    nodeId: 1,
    host: { logger, events: hub, counters: {} },
    peer: peer as unknown as Peer,
  } as unknown as EventsOwner);
  const lose = (nodeId: number) => {
    lost.add(nodeId);
    peer.lossCount++;
    events.look();
    events.look();
    return logger.lines.splice(0);
  };
  const [line, ...more] = lose(2);
  assert.deepEqual(more, []);
  assert.match(
    line!,
    /^warn .*lost entries .*clusterId=9 .*follower=2 term=4 acknowledged=72 meaning=.* remove it, and add a new node id/,
  );
  assert.match(lose(3).join(), /follower=3/);
  assert.deepEqual(lose(3), []);
  peer.term = 5;
  lost.clear();
  assert.match(lose(2).join(), /follower=2 term=5/);
  hub.close();
  const told: string[] = [];
  for await (const event of stream) {
    if (event.type !== "entriesLost") continue; // The term changed as well.
    told.push(`${event.followerId} ${event.acknowledged} ${event.term}`);
  }
  assert.deepEqual(told, ["2 72 4", "3 73 4", "2 72 5"]);
});
