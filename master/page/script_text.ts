/** The part of the page's script that says things in words. Pure: no document, no clock. */
export const textScript: string = String.raw`
/** Since when nothing was heard. */
function silenceText(ms) {
  return ms < 5000 ? Math.max(0, Math.floor(ms / 1000)) + " s ago" : agoText(ms);
}

/** How long ago, in steps that do not make a page restless. */
function agoText(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 5) return "now";
  if (seconds < 120) return seconds - seconds % 5 + " s ago";
  if (seconds < 7200) return Math.floor(seconds / 60) + " min ago";
  if (seconds < 172800) return Math.floor(seconds / 3600) + " h ago";
  return Math.floor(seconds / 86400) + " days ago";
}

function spanText(ms) {
  if (ms < 1000) return ms / 1000 + " s";
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return Math.round(seconds / 3600) + " h";
}

function counted(count, one) {
  return count.toLocaleString("en-US") + " " + one + (count === 1 ? "" : "s");
}

/** What a master says has no full stop. */
function sentence(text) {
  return /[.!?]$/.test(text) ? text : text + ".";
}

/** An address stays as it is. */
function sentenceCase(text) {
  return !/^[a-z]+ /.test(text) ? text : text.slice(0, 1).toUpperCase() + text.slice(1);
}

/**
 * What all addresses end with, from a dot or a colon on: it tells nothing, so it is left out wherever there is little
 * room. Of numbers only the port.
 */
function commonEnd(addresses) {
  const [first = "", ...others] = addresses;
  const areNames = addresses.every((one) => /^[a-z]/i.test(one));
  for (let at = 1; others.length > 0 && at < first.length; at++) {
    const end = first.slice(at);
    if ((areNames ? /^[.:]/ : /^:[0-9]+$/).test(end) && others.every((one) => one.length > end.length && one.endsWith(end))) return end;
  }
  return "";
}

/** The machine of all addresses, if there is only one: then the port tells one from another. */
function commonStart(addresses) {
  const [first = ""] = addresses;
  const start = first.slice(0, first.lastIndexOf(":"));
  return addresses.length > 1 && start !== "" && addresses.every((one) => one.slice(0, one.lastIndexOf(":")) === start) ? start : "";
}

/** Random ids of nodes have sixteen digits, of which the last four tell one from another. */
function withShortIds(text) {
  return text.replace(/\bnode (\d{9,})\b/g, (_, id) => "node …" + id.slice(-4));
}

/** The first of a list, and how many more there are. */
function listText(all, max) {
  return all.length <= max ? all.join(", ") : all.slice(0, max).join(", ") + " and " + (all.length - max) + " more";
}

function timeText(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return two(at.getHours()) + ":" + two(at.getMinutes()) + ":" + two(at.getSeconds());
}

/** "Today", "Yesterday", or the date. */
function dayText(ms, nowMs) {
  const day = (value) => { const at = new Date(value); at.setHours(12, 0, 0, 0); return at.getTime(); };
  const days = Math.round((day(nowMs) - day(ms)) / 86400000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
}

/** What a state is called, how it is shown, and by which icon. */
const stateWords = {
  quarantine: ["Quarantine", "bad", "alert"],
  lost: ["No majority", "bad", "alert"],
  leaderless: ["No leader", "bad", "alert"],
  unstarted: ["Does not start", "bad", "alert"],
  recovering: ["Recovering", "warning", "alert"],
  degraded: ["Short of a node", "warning", "alert"],
  lagging: ["Lagging", "warning", "slow"],
  waiting: ["Repair waits", "working", "work"],
  repairing: ["Repairing", "working", "work"],
  draining: ["Draining", "working", "work"],
  moving: ["Moving", "working", "work"],
  growing: ["Growing", "working", "work"],
  shrinking: ["Shrinking", "working", "work"],
  launching: ["Launching", "working", "work"],
  deleting: ["Deleting", "working", "work"],
  paused: ["Paused", "idle", "pause"],
  unmanaged: ["Unmanaged", "idle", "dot"],
  ok: ["Well", "good", "check"],
};

/** What somebody can do about a state, or why nobody need do anything. */
const stateAdvice = {
  quarantine: () => "Some NodeHost is wrong about who the members are: a folder was copied, or two clusters have one id. Close that one, then adopt the cluster as it stands here.",
  lost: () => "It serves again when enough of these nodes return. If they are lost for good, give up their NodeHosts, then recover the cluster from what is left.",
  leaderless: () => "An election takes seconds. If this lasts, see whether its NodeHosts reach each other, and what their logs say.",
  unstarted: ({ app }) => "Where its first nodes run is decided for ever. Start these NodeHosts, with the state machine " + app + "; or delete the cluster, which holds nothing yet, and create one with another id.",
  degraded: () => "Masters mend it: what stopped is started again, and what is dead is replaced, if another NodeHost can take it.",
  lagging: () => "It catches up by itself. If this lasts, its disk or its network is too slow.",
  waiting: () => "Repairs take turns. One that waits for a NodeHost goes on when one is added, or put back to use.",
  launching: ({ members }) => members.length === 0 ? "It is launched when enough NodeHosts can take it." : "",
  paused: () => "Nothing is decided about it until somebody resumes it.",
};

const standingWords = {
  ok: ["heard", "good", "check"],
  silent: ["silent", "warning", "slow"],
  unreported: ["unreported", "warning", "slow"],
  dead: ["dead", "bad", "cross"],
  gone: ["gone for good", "idle", "cross"],
  revoked: ["revoked", "bad", "cross"],
  conflict: ["conflict", "bad", "alert"],
};

/** What is behind a word that does not say it all. */
const standingReasons = {
  silent: "Nothing was heard from it for a while. If this lasts it is taken for dead, and its nodes are replaced.",
  dead: "Its nodes are replaced elsewhere. Start it again, and it is used again; if it is lost for good, give it up.",
  unreported: "Silent to masters, but others hear it: it is left alone for ten times as long as another.",
  conflict: "Another NodeHost, which is alive, is at its address: what it reports is not believed. Give each its own address.",
  revoked: "An operator revoked it: its reports are refused for good. Open it with a new folder to use the machine again.",
};

const memberWords = {
  leader: ["leads", "good", "star"],
  ok: ["follows", "good", "check"],
  lagging: ["lags", "warning", "slow"],
  starting: ["starting", "working", "work"],
  unstarted: ["not started", "warning", "slow"],
  observer: ["observes", "good", "check"],
  stopped: ["stopped", "bad", "cross"],
  silent: ["silent", "warning", "slow"],
  dead: ["dead", "bad", "cross"],
  unknown: ["not heard of yet", "idle", "dot"],
};

/** The word for a member: one that only listens follows nobody's vote, and one that was asked again and again is not just starting. */
function memberWord({ standing, role, asked = 0 }) {
  if (standing === "ok" && role === "observer") return memberWords.observer;
  return memberWords[standing === "starting" && asked > 1 ? "unstarted" : standing];
}

/** How long nodes that were asked to start have not, of all that did not; 0 if there are none. */
function unstartedMs({ state, members }) {
  if (state !== "unstarted" && state !== "launching") return 0;
  return Math.max(0, ...members.map(({ askedForMs = 0 }) => askedForMs));
}

/** Parts a stream of events; returns what is left. */
function takeFrames(text, take) {
  for (;;) {
    const end = text.indexOf("\n\n");
    if (end < 0) return text;
    let event = "message";
    let data = "";
    for (const line of text.slice(0, end).split("\n")) {
      if (line.startsWith("event: ")) event = line.slice(7);
      if (line.startsWith("data: ")) data += line.slice(6);
    }
    text = text.slice(end + 2);
    if (data !== "") take(event, JSON.parse(data));
  }
}

/** Milliseconds before the next try, the more the longer it failed. */
function retryMs(failures) {
  return Math.min(15000, 500 * 2 ** Math.min(failures, 6));
}
`;
