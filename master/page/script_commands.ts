/**
 * The part of the page's script that knows the commands: what each asks, sends, and says that it would do.
 *
 *     title, lead     what it is called, and a sentence above its form
 *     method, path    where it goes; body(values) makes what is sent, or throws what is wrong with the form
 *     fields, values  its form, if it has one
 *     facts           what it would do, in words: a list, or what makes one of the form and the dry run's answer
 *     line(values)    the same for the command line
 *     again           what must be typed, since it cannot be undone, or as finality(values) says
 *     confirm, done   the words on its button, and afterwards
 *     after           what happens then, of the master's answer
 *
 * What wants no form is a row of a table.
 */
export const commandsScript: string = String.raw`
// ---- NodeHosts ----

const movesText = (one) => " of managed clusters " + (one === 1 ? "moves" : "move") + " to other NodeHosts, one after the other.";
const replacedText = (one) => counted(one, "node") + " of managed clusters " + (one === 1 ? "is" : "are") + " replaced elsewhere, where a majority still runs.";

/** Commands about a NodeHost, by their names in the API; "{}" is its address, and what "isFinal" says wants it typed again. */
const hostCommands = {
  drain: {
    title: "Drain {}?", confirm: "Drain it", done: "Draining {}",
    facts: (host) => {
      const others = state.board.hosts.list.filter((one) => one.id !== host.id && one.standing === "ok" && !one.isDraining && !one.isCordoned).length;
      return [
        counted(host.placed, "node") + movesText(host.placed),
        host.leaders > 0 && counted(host.leaders, "leadership") + " " + (host.leaders === 1 ? "is" : "are") + " handed over first.",
        others === 0 ? "No other NodeHost can take them: they stay until one can." : counted(others, "other NodeHost") + " can take them.",
        "Nothing is placed on it any more. No cluster loses a vote, and it can be put back to use at any time.",
      ];
    },
  },
  cordon: {
    title: "Cordon {}?", confirm: "Cordon it", done: "Cordoned {}",
    facts: () => ["Nothing more is placed on it.", "What it carries stays where it is."],
  },
  uncordon: {
    title: "Put {} back to use?", confirm: "Put it back", done: "{} is in use again",
    facts: () => ["Nodes may be placed on it again.", "What has moved away may come back for balance, later."],
  },
  dead: {
    title: "Give up {}?", confirm: "Give it up", done: "{} is given up", isFinal: true,
    facts: ({ placed }) => ["The master takes it for dead at once, for good.", replacedText(placed), "If it comes back, what it runs is stopped. Open it with a new folder to use the machine again."],
  },
  revoke: {
    title: "Revoke {}?", confirm: "Revoke it", done: "{} is revoked", isFinal: true,
    facts: ({ placed }) => ["Its reports are refused from now on, for good: as if its secret had been stolen.", replacedText(placed)],
  },
  "forget-secret": {
    title: "Forget the secret of {}?", confirm: "Forget it", done: "{} may enrol again", isFinal: true,
    facts: () => ["Its secret and its ticket are void.", "It enrols again with a token, and the secret that it gives then is believed."],
  },
};

function askHost(action, host) {
  const { title, confirm, done, facts, isFinal } = hostCommands[action];
  const named = (text) => text.replace("{}", short(host.address));
  open({
    path: "v1/nodehosts/" + encodeURIComponent(host.id) + "/" + action,
    line: () => action + " " + host.id,
    body: () => ({ expectedGen: host.gen, ...(isFinal ? { confirm: host.id } : {}) }),
    title: named(title), confirm, done: named(done), facts: facts(host),
    ...(isFinal ? { again: host.address, tone: "danger" } : {}),
  });
}

// ---- Clusters ----

function clusterCommand(cluster, action, more) {
  const { id, gen } = cluster;
  open({
    path: "v1/clusters/" + id + "/" + action,
    line: () => action + " " + id,
    body: () => ({ expectedGen: gen }),
    ...more,
  });
}

function knownApps() {
  return [...new Set(state.board.hosts.list.flatMap((host) => host.apps))].sort();
}

const sizeField = { name: "size", kind: "number", max: "9", label: "Size", hint: "Voting members. Of three, one may fail; of five, two." };
const regionsHint = "How many voters where. What is left over is placed anywhere.";

function sizeOf(values) {
  const rows = wishOf(values.regions);
  const total = rows.reduce((sum, { count }) => sum + count, 0);
  const size = Number(values.size);
  if (total > size) throw new Error("The regions want " + total + " voters of " + size + ".");
  return size;
}

function askCreate() {
  const apps = knownApps();
  open({
    title: "Create a cluster",
    path: "v1/clusters",
    fields: [
      { name: "id", kind: "number", label: "Id", hint: "Any whole number. One that was used before is never used again.", isFirst: true, max: "9007199254740991" },
      { name: "app", kind: "text", label: "State machine", hint: apps.length === 0 ? "A name in the stateMachines of NodeHosts." : "NodeHosts can run: " + apps.join(", ") + ".", choices: apps },
      sizeField,
      { kind: "regions", label: "Where", hint: regionsHint },
    ],
    values: { id: "", app: apps.length === 1 ? apps[0] : "", size: "3", regions: wishRows([]) },
    body: (values) => {
      const size = sizeOf(values);
      const regions = wishOf(values.regions);
      return { clusterId: Number(values.id), app: values.app, size, ...(regions.length === 0 ? {} : { regions }) };
    },
    facts: (values) => {
      const can = state.board.hosts.list.filter((host) => host.standing === "ok" && !host.isCordoned && !host.isDraining && host.apps.includes(values.app));
      const wish = wishOf(values.regions);
      return [
        "Cluster " + values.id + " is launched in the next tick, with " + counted(Number(values.size), "voter") + " that run " + values.app + ".",
        wish.length > 0 && "Where: " + wishText(wish) + ".",
        can.length < Number(values.size)
          ? "Only " + counted(can.length, "NodeHost") + " can run it now: it waits until there are more."
          : counted(can.length, "NodeHost") + " can run it.",
      ];
    },
    line: (values) => "create " + values.id + " --app " + values.app + " --size " + values.size + wishLine(wishOf(values.regions)),
    confirm: "Create it",
    done: "Created",
    after: ({ clusterId }) => search({ state: "", text: String(clusterId) }),
  });
}

function askChange(cluster) {
  const { id, gen, size, regions } = cluster;
  const before = JSON.stringify(wishOf(wishRows(regions)));
  open({
    title: "Change cluster " + id,
    method: "PATCH",
    path: "v1/clusters/" + id,
    fields: [{ ...sizeField, isFirst: true }, { kind: "regions", label: "Where", hint: regionsHint }],
    values: { size: String(size), regions: wishRows(regions) },
    body: (values) => {
      const next = sizeOf(values);
      const wish = wishOf(values.regions);
      const change = { ...(next === size ? {} : { size: next }), ...(JSON.stringify(wish) === before ? {} : { regions: wish }) };
      if (Object.keys(change).length === 0) throw new Error("This is what it is already.");
      return { ...change, expectedGen: gen };
    },
    facts: (values) => {
      const next = Number(values.size);
      const wish = wishOf(values.regions);
      return [
        next > size && counted(next - size, "node") + " more, one after the other: each catches up before it gets a vote.",
        next < size && counted(size - next, "node") + " fewer, one after the other.",
        JSON.stringify(wish) !== before && (wish.length === 0 ? "Its nodes may be anywhere." : "Where: " + wishText(wish) + ". Nodes that are elsewhere move."),
        "It serves its clients meanwhile.",
      ];
    },
    line: (values) => "change " + id + " --size " + values.size + wishLine(wishOf(values.regions)) + " --expected-gen " + gen,
    confirm: "Change it",
    done: "Cluster " + id + " is being changed",
  });
}

function askAdopt(cluster) {
  const { id, gen, members } = cluster;
  const carriers = new Set(members.map(({ host }) => host));
  const apps = [...new Set(state.board.hosts.list.filter((host) => carriers.has(host.id)).flatMap((host) => host.apps))].sort();
  const voters = members.filter(({ role }) => role !== "observer").length;
  clusterCommand(cluster, "adopt", {
    title: "Adopt cluster " + id,
    lead: "NodeHosts report it, and nobody told the master what it should be. From then on it is repaired as if the master had made it.",
    fields: [
      { name: "app", kind: "text", label: "State machine", hint: "What a new node of it must run" + (apps.length === 0 ? "." : ". Its NodeHosts know: " + apps.join(", ") + "."), choices: apps, isFirst: true },
      { kind: "regions", label: "Where", hint: regionsHint },
    ],
    values: { app: apps.length === 1 ? apps[0] : "", size: String(voters), regions: wishRows([]) },
    body: (values) => {
      sizeOf(values);
      const regions = wishOf(values.regions);
      return { app: values.app, expectedGen: gen, ...(regions.length === 0 ? {} : { regions }) };
    },
    facts: (values) => {
      const wish = wishOf(values.regions);
      return [
        "Cluster " + id + " is in the master's hands, as it is: " + counted(voters, "voter") + ", " + values.app + ".",
        wish.length > 0 && "Where: " + wishText(wish) + ". Nodes that are elsewhere move.",
        "Its nodes are restarted, replaced and moved when it is needed.",
      ];
    },
    line: (values) => "adopt " + id + " --app " + values.app + wishLine(wishOf(values.regions)) + " --expected-gen " + gen,
    confirm: "Adopt it",
    done: "Cluster " + id + " is adopted",
  });
}

function askRecover(cluster) {
  const { id, gen, cci, members } = cluster;
  const isUp = ({ standing }) => ["leader", "ok", "lagging"].includes(standing);
  const named = (list) => list.map(({ node, address }) => brief(address + ", node " + node)).join("; ");
  // People know members by their NodeHosts.
  const inWords = (text) => text.replace(/\b[Nn]ode (\d+)\b/g, (all, node) => {
    const member = members.find((one) => String(one.node) === node);
    return member === undefined ? all : short(member.address);
  });
  const chosen = (values, areThey) => members.filter(({ node }) => values.condemned.includes(node) === areThey);
  clusterCommand(cluster, "recover", {
    title: "Recover cluster " + id,
    lead: "For a cluster that lost its majority for good. The NodeHosts of the lost nodes must be given up or revoked before: what they hold would be a second truth.",
    fields: [{ name: "condemned", kind: "nodes", label: "Nodes that are lost", hint: "They are given up for ever, and stopped if they return.", nodes: members }],
    hint: "Give it up first: open it under NodeHosts.",
    values: { condemned: members.filter((one) => !isUp(one)).map(({ node }) => node) },
    body: (values) => {
      if (values.condemned.length === 0) throw new Error("Choose the nodes that are lost.");
      return { condemned: [...values.condemned].sort((a, b) => a - b), confirm: String(id), expectedGen: gen, expectedConfigChangeIndex: cci };
    },
    facts: (values, result) => [
      "Given up for ever: " + named(chosen(values, true)) + ".",
      "Left: " + named(chosen(values, false)) + ".",
      inWords(result.lost || ""),
      "Nothing more happens by itself. What is to be done by hand is shown afterwards.",
    ],
    line: (values) => "recover " + id + " --condemned " + values.condemned.join() + " --expected-gen " + gen + " --expected-cci " + cci,
    again: String(id),
    tone: "danger",
    confirm: "Give them up",
    after: ({ steps }) => tellSteps("Cluster " + id + ": what is left to do", steps || []),
  });
}

function askDelete(cluster) {
  const { id, gen, members } = cluster;
  const ticks = (count) => spanText(count * state.board.status.periodMs);
  open({
    title: "Delete cluster " + id,
    method: "DELETE",
    path: "v1/clusters/" + id,
    fields: [{
      name: "wait", kind: "choice", label: "It can still be kept for", isFirst: true, hint: "Until then it is kept as it should be. Time passes only while NodeHosts report.",
      choices: [["30", "30 ticks, " + ticks(30)], ["4320", "4,320 ticks, " + ticks(4320)], ["0", "no time: at once"]],
    }],
    values: { wait: "30" },
    body: ({ wait }) => ({ confirm: String(id), waitTicks: Number(wait), expectedGen: gen }),
    facts: ({ wait }) => [
      wait === "0" ? "Its " + counted(members.length, "node") + " are stopped at once." : "Its " + counted(members.length, "node") + " are stopped in " + ticks(Number(wait)) + ", unless it is kept.",
      "All that it holds is gone. Its id is never used again.",
    ],
    line: ({ wait }) => "delete " + id + " --wait-ticks " + wait + " --expected-gen " + gen,
    again: String(id),
    finality: ({ wait }) => wait === "0" ? finalText : "It can be kept until then.",
    tone: "danger",
    confirm: "Delete it",
    done: "Cluster " + id + " is deleted",
  });
}

/** What wants no form, by its name in the API; "{}" is the cluster. */
const clusterCommands = {
  keep: { title: "Keep {}?", confirm: "Keep it", done: "{} is kept", facts: () => ["It is not deleted after all."] },
  pause: {
    title: "Pause {}?", confirm: "Pause it", done: "{} is paused",
    facts: () => ["Nothing is decided about it any more: it is not repaired either.", "What runs goes on running."],
  },
  resume: { title: "Resume {}?", confirm: "Resume", done: "{} is resumed", facts: () => ["What it needs is done, within the limits."] },
  "cancel-plan": {
    title: "Give up the plan of {}?", confirm: "Give it up", done: "The plan of {} is given up",
    facts: ({ plan }) => ["Now: " + brief(plan.doing) + ".", "The node that came goes again, and the master decides afresh."],
  },
};

function askCluster(action, cluster) {
  const { title, confirm, done, facts } = clusterCommands[action];
  const named = (text) => text.replace("{}", "cluster " + cluster.id);
  clusterCommand(cluster, action, { title: named(title), confirm, done: sentenceCase(named(done)), facts: facts(cluster) });
}

// ---- Everything ----

/** By their names in the API. What is bound is bound to what is on the page now: nobody releases a brake that holds others by then. */
const globalCommands = {
  "release-brake": {
    title: "Release the brake?", confirm: "They are gone: release", done: "The brake is released", tone: "danger", isBound: true,
    facts: ({ brake }) => [
      "You say that these are really gone: " + brake.hosts.map(addressOf).join(", ") + ".",
      "Their nodes are replaced elsewhere. If they come back, what they run is stopped.",
    ],
  },
  pause: {
    title: "Pause all decisions?", confirm: "Pause", done: "Decisions are paused", isBound: true,
    facts: () => ["Nothing is launched, repaired, moved or removed until somebody resumes.", "What runs goes on running, and clients notice nothing."],
  },
  resume: { title: "Resume decisions?", confirm: "Resume", done: "Decisions are resumed", isBound: true, facts: () => ["What waits is done, within the limits."] },
  init: {
    title: "Make a deployment in this store?", confirm: "Make it", done: "The deployment is made", after: () => wake(),
    facts: () => ["The store gets a deployment of its own, and NodeHosts may enrol.", "If it should not be empty, do not: import the copy of the one that was lost."],
  },
};

function askGlobal(action) {
  const { isBound, facts, ...rest } = globalCommands[action];
  const { gen } = isBound ? state.board.status : {};
  open({ ...rest, path: "v1/" + action, line: () => action, body: () => (isBound ? { expectedGen: gen } : {}), facts: facts(isBound ? state.board.status : {}) });
}
`;
