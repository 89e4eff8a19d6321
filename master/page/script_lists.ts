/** The part of the page's script that describes NodeHosts, clusters, what is being done, and what was. */
export const listsScript: string = String.raw`
// ---- What is being done ----

const stepNames = ["Add a node", "Start, catch up", "Give it a vote", "Remove the old"];

function workCard({ list, more }) {
  if (list.length === 0) return null;
  return h("section", { class: "card work", key: "work", "aria-labelledby": "work" },
    h("header", {}, h("h2", { id: "work" }, "In progress"), h("span", { class: "count" }, list.length + more)),
    h("ul", {}, list.map(workItem)),
    more > 0 && h("div", { class: "pager" }, h("button", { class: "button plain", type: "button", onclick: () => search({ state: "working", text: "" }) }, "and " + more.toLocaleString("en-US") + " more")),
  );
}

function workItem(cluster) {
  const { id, state: word, why, plan } = cluster;
  const forMs = plan ? plan.forMs : unstartedMs(cluster);
  const steps = plan && plan.stage > 0 && plan.kind !== "shrink" && h("ol", { class: "steps", "aria-label": "Steps" },
    stepNames.slice(0, plan.kind === "grow" ? 3 : 4).map((name, i) =>
      h("li", { class: i + 1 < plan.stage ? "done" : i + 1 === plan.stage ? "now" : "", "aria-current": i + 1 === plan.stage ? "step" : null }, name)));
  return h("li", { key: "w" + id },
    h("div", { class: "line" },
      h("button", { class: "about", type: "button", onclick: () => showCluster(id) }, "Cluster " + id),
      h("span", { class: "doing" }, whole(plan ? (word === "waiting" ? "repair" : stateWords[word][0].toLowerCase()) + ": " + brief(plan.doing) : stateWords[word][0].toLowerCase())),
      forMs > 0 && h("span", { class: "since" }, "for " + spanText(forMs))),
    why !== "" && h("div", { class: "why", title: why }, whole(brief(why))),
    steps);
}

// ---- NodeHosts ----

/** So many NodeHosts of a region are listed if all is well, and in a big fleet. */
const quietHosts = 8;
const quietHostsOfMany = 4;
const manyHosts = 24;

function hostsCard({ regions, list, more }) {
  const here = list.filter((host) => host.standing !== "gone");
  return h("section", { class: "card", key: "hosts", "aria-labelledby": "hosts" },
    h("header", {}, h("h2", { id: "hosts" }, "NodeHosts"), h("span", { class: "count" }, state.board.status.hosts.toLocaleString("en-US"))),
    list.length === 0
      ? h("div", { class: "empty" }, h("p", {}, "Open a NodeHost with this master's address, and it appears here:"), h("code", { class: "snippet" }, hostSnippet()))
      : h("div", { class: "regions" }, regions.map((region) => regionView(region, here.filter((host) => host.region === region.name)))),
    more > 0 && h("div", { class: "pager" }, "Only the first " + list.length + " are listed."),
  );
}

function hostSnippet() {
  return "await NodeHost.open({\n  …,\n  masterServers: [\"" + location.origin + "\"],\n  masterClientFactory: httpMasterClient({ token }),\n});";
}

function regionView({ name, hosts, healthy, nodes, leaders }, listed) {
  const isOpen = state.openRegions.has(name);
  const quiet = state.board.status.hosts > manyHosts ? quietHostsOfMany : quietHosts;
  const isShort = !isOpen && listed.length > quiet + 2;
  const shown = isShort ? listed.slice(0, Math.max(quiet, listed.filter((host) => host.standing !== "ok").length)) : listed;
  return h("section", { class: "region", key: "r" + name, "aria-label": name === "" ? "No region" : "Region " + name },
    h("div", { class: "head" },
      h("h3", {}, name === "" ? "No region" : name),
      h("span", { class: "of" }, healthy === hosts ? counted(hosts, "NodeHost") : healthy + " of " + hosts + " heard"),
      h("span", { class: "space" }),
      h("span", {}, counted(nodes, "node"))),
    h("ul", {}, shown.map(hostItem)),
    listed.length > quiet + 2 && h("button", { class: "button plain", type: "button", onclick: () => toggle(state.openRegions, name) },
      isShort ? "Show " + (listed.length - shown.length) + " more" : "Show fewer"),
  );
}

function toggle(set, value) {
  if (!set.delete(value)) set.add(value);
  show();
}

function hostItem(host) {
  const { id, address, standing, heardMs, nodes, leaders } = host;
  const [word, tone, name] = standingWords[standing];
  const isOpen = state.openHosts.has(id);
  return h("li", { class: "host", key: "h" + id },
    h("button", { type: "button", "aria-expanded": isOpen ? "true" : "false", onclick: () => toggle(state.openHosts, id) },
      h("span", { class: "dot tone-" + tone }, icon(name)),
      h("span", { class: "address", title: address }, nameOf(address)),
      h("span", { class: "heard" }, standing === "ok" ? "" : h("span", { class: "tone-" + tone }, word + ", "), standing === "ok" ? agoText(ageOf(heardMs)) : silenceText(ageOf(heardMs))),
      h("span", { class: "sub" },
        standing === "dead" ? "carried " + counted(nodes, "node") : counted(nodes, "node") + ", leads " + leaders.toLocaleString("en-US"),
        host.isDraining && h("span", { class: "tag work" }, "draining"),
        host.isCordoned && !host.isDraining && h("span", { class: "tag warn" }, "cordoned"),
        host.isDiskLow && h("span", { class: "tag warn" }, "disk nearly full"))),
    isOpen && hostDetail(host));
}

/** A button that asks about something, if it can be asked. */
function act(word, ask, isShown, kind) {
  return isShown && h("button", { class: "button " + (kind || ""), type: "button", key: word, onclick: ask }, word);
}

function hostDetail(host) {
  const { id, address, apps, domain, placed, isDraining, isCordoned, standing } = host;
  const isThere = standing !== "gone" && standing !== "revoked";
  const button = (word, action, isShown, kind) => act(word, () => askHost(action, host), isShown, kind);
  return h("div", { class: "more" },
    standingReasons[standing] && h("p", {}, standingReasons[standing]),
    host.isDiskLow && h("p", {}, "Its disk is nearly full: nothing more is placed on it. Make room, or drain it."),
    h("dl", {},
      h("dt", {}, "Address"), h("dd", {}, h("code", {}, address)),
      h("dt", {}, "Id"), h("dd", {}, h("code", {}, id)),
      domain !== "" && [h("dt", {}, "Domain"), h("dd", {}, domain)],
      h("dt", {}, "Runs"), h("dd", { title: apps.join(", ") }, apps.length === 0 ? "does not say" : listText(apps, 6)),
      h("dt", {}, "Carries"), h("dd", {}, counted(placed, "node") + " of managed clusters")),
    isOperator() && isThere && h("div", { class: "buttons" },
      button("Drain…", "drain", !isDraining && standing !== "dead"),
      button("Cordon…", "cordon", !isDraining && !isCordoned && standing !== "dead"),
      button("Put back to use…", "uncordon", isDraining || isCordoned),
      button("Give up…", "dead", standing === "dead" || standing === "silent" || standing === "unreported")),
    h("div", { class: "buttons rare" },
      h("button", { class: "button plain", type: "button", onclick: () => showClustersOf(id) }, "Its clusters"),
      isOperator() && isThere && [button("Revoke…", "revoke", true, "plain"), button("Forget secret…", "forget-secret", standing === "ok" || standing === "conflict", "plain")]));
}

/** Finds a cluster in the list, and opens it. */
function showCluster(id) {
  state.openClusters.add(id);
  showClustersOf(String(id));
}

function showClustersOf(text) {
  search({ state: "", text });
  document.getElementById("clusters").scrollIntoView({ block: "start" });
}

// ---- Clusters ----

const filters = [["", "All"], ["trouble", "Trouble"], ["working", "Changing"], ["well", "Well"]];

function clustersCard(status) {
  const { clusters, query } = state;
  const { unmanaged = 0 } = status.states;
  const counts = { "": status.clusters, ...status.groups };
  const isNone = status.clusters === 0;
  const mayCreate = isOperator() && status.hosts > 0;
  const create = h("button", { class: "button " + (isNone ? "primary" : ""), type: "button", onclick: askCreate }, "New cluster…");
  return h("section", { class: "card", key: "clusters", "aria-labelledby": "clusters" },
    h("header", {}, h("h2", { id: "clusters" }, "Clusters"), h("span", { class: "count" }, status.clusters.toLocaleString("en-US")),
      mayCreate && !isNone && [h("span", { class: "space" }), create]),
    isNone && h("div", { class: "empty" },
      h("p", {}, status.hosts === 0 ? "There is none yet. A NodeHost comes first." : "There is none yet. The master decides where its nodes run."),
      mayCreate ? h("div", {}, create) : status.hosts > 0 && h("code", { class: "snippet" }, "deno task drakkar create 1 --app NAME --size 3")),
    !isNone && h("div", { class: "tools" },
      h("div", { class: "filter", role: "group", "aria-label": "Show clusters" }, filters.map(([name, word]) =>
        h("button", { type: "button", key: name || "all", "aria-pressed": query.state === name ? "true" : "false", onclick: () => search({ state: name }) },
          word, h("span", { class: "n" }, " " + counts[name].toLocaleString("en-US"))))),
      h("div", { class: "search" },
        icon("search"),
        h("input", { class: "input", type: "search", value: query.text, placeholder: "Id, app, NodeHost or region", "aria-label": "Search clusters", oninput: (event) => search({ text: event.target.value }, 200) }))),
    unmanagedNote(unmanaged),
    !isNone && (clusters === null
      ? h("div", { class: "empty" }, "Reading…")
      : clusters.total === 0
      ? h("div", { class: "empty" }, h("p", {}, noneText()), h("div", {}, h("button", { class: "button", type: "button", onclick: () => search({ state: "", text: "" }) }, "Show all clusters")))
      : [clusterTable(clusters.clusters), pager(clusters)]));
}

/** What was looked for, and is not there. */
function noneText() {
  const { state: group, text } = state.query;
  const [, word = ""] = filters.find(([name]) => name !== "" && name === group) || [];
  return text === "" ? "No cluster is here now." : "No cluster" + (word === "" ? "" : " under “" + word + "”") + " matches “" + text + "”: neither its id, its app, nor a NodeHost or region of it.";
}

/** Clusters that are nobody's: nothing goes wrong with them, so nothing else points at them. */
function unmanagedNote(count) {
  const areShown = state.query.state === "unmanaged";
  if (count === 0 && !areShown) return null;
  return h("p", { class: "note" },
    areShown
      ? "NodeHosts report these, and nobody gave them to the master: it never touches them. Adopt one, and it is repaired like the others. "
      : counted(count, "cluster") + " " + (count === 1 ? "is" : "are") + " not managed: the master only shows " + (count === 1 ? "it. " : "them. "),
    h("button", { class: "about", type: "button", onclick: () => search({ state: areShown ? "" : "unmanaged", text: "" }) }, areShown ? "Show all clusters" : count === 1 ? "Show it" : "Show them"));
}

function clusterTable(list) {
  return h("table", { class: "clusters" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Cluster"), h("th", { scope: "col" }, "State"), h("th", { scope: "col" }, "Members"))),
    h("tbody", {}, list.map((cluster) => [clusterRow(cluster), state.openClusters.has(cluster.id) && clusterDetail(cluster)])));
}

function clusterRow(cluster) {
  const { id, state: word, why, members, plan } = cluster;
  const isOpen = state.openClusters.has(id);
  return h("tr", { key: "c" + id },
    h("td", { class: "id" }, h("button", { type: "button", "aria-expanded": isOpen ? "true" : "false", "aria-label": "Cluster " + id, onclick: () => toggle(state.openClusters, id) }, icon("right"), String(id))),
    h("td", { class: "state" }, marked(stateWords[word]), (plan || why !== "") && h("span", { class: "why", title: plan ? plan.doing : why }, whole(brief(plan ? plan.doing : why)), unstartedMs(cluster) > 0 && ", for " + spanText(unstartedMs(cluster))),
      cluster.deletesInMs !== undefined && h("span", { class: "tag bad" }, "deleted in " + spanText(cluster.deletesInMs))),
    h("td", { class: "members" }, members.length === 0 ? h("span", { class: "quiet" }, "none yet") : h("span", { class: "chips" }, members.map(chip))));
}

function chip(member) {
  const [word, tone, name] = memberWord(member);
  const kind = member.standing === "leader" ? " leads" : member.standing === "dead" || member.standing === "silent" || member.standing === "stopped" ? " down" : "";
  const role = member.role === "voter" ? "" : member.role + ", ";
  const title = member.address + ", node " + member.node + ": " + role + word + (member.region === "" ? "" : ", in " + member.region);
  return h("span", { class: "chip" + kind, key: "n" + member.node, title },
    h("span", { class: "tone-" + tone }, icon(name)), h("span", { class: "at" }, nameOf(member.address)), h("span", { class: "sr" }, role + word));
}

function clusterDetail(cluster) {
  const { id, app, size, regions, cci, why, plan, members, deletesInMs, state: word } = cluster;
  const advice = stateAdvice[word]?.(cluster) || "";
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("tr", { class: "detail", key: "d" + id }, h("td", { colspan: "3" }, h("div", { class: "box" },
    h("dl", {},
      app !== "" && fact("App", app),
      size > 0 && fact("Size", String(size)),
      regions.length > 0 && fact("Where", wishText(regions)),
      fact("Membership of index", String(cci)),
      plan && fact("Under way for", spanText(plan.forMs))),
    plan && why !== "" && h("p", {}, sentence(sentenceCase(why))),
    advice !== "" && h("p", { class: "advice" }, advice),
    deletesInMs !== undefined && h("p", {}, "Deleted in " + spanText(deletesInMs) + ", unless it is kept."),
    word === "recovering" && h("p", {}, "Import a snapshot on the survivor that is furthest: ", h("code", {}, "deno task import-snapshot --help"), ". The master goes on when a majority of its new members runs."),
    members.length > 0 && h("table", {},
      h("thead", {}, h("tr", {}, ["Node", "NodeHost", "Region", "Health"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, members.map((member) => h("tr", { key: "n" + member.node },
        h("td", { class: "node" }, h("code", {}, String(member.node)), member.role === "voter" ? "" : " " + member.role),
        h("td", { class: "at" }, h("code", {}, member.address)),
        h("td", { class: "in" }, member.region || "–"),
        h("td", { class: "is" }, marked(memberWord(member)), member.asked > 1 && h("span", { class: "asked" }, "asked " + member.asked + " times, for " + spanText(member.askedForMs))))))),
    isOperator() && clusterButtons(cluster))));
}

function clusterButtons(cluster) {
  const { app, plan, isPaused, deletesInMs, state: word } = cluster;
  // Quarantine leaves the definition where it is: an operator who looked adopts it again.
  const isManaged = app !== "" && word !== "quarantine" && word !== "unmanaged";
  const isLost = word === "lost" || word === "recovering";
  const isGoing = word === "deleting";
  return h("div", { class: "buttons" },
    act("Adopt…", () => askAdopt(cluster), !isManaged),
    act("Recover…", () => askRecover(cluster), isManaged && isLost),
    act("Keep…", () => askCluster("keep", cluster), deletesInMs !== undefined),
    act("Resume…", () => askCluster("resume", cluster), isManaged && isPaused),
    act("Change…", () => askChange(cluster), isManaged && !isGoing),
    act("Give up its plan…", () => askCluster("cancel-plan", cluster), isManaged && plan !== undefined && plan.kind !== "shrink"),
    act("Pause…", () => askCluster("pause", cluster), isManaged && !isPaused && !isGoing),
    act("Delete…", () => askDelete(cluster), isManaged && !isGoing && deletesInMs === undefined));
}

function pager({ clusters, total }) {
  const { offset } = state.query;
  if (total <= pageSize && offset === 0) return null;
  const go = (to) => { state.query = { ...state.query, offset: to }; askClusters(); };
  const last = offset + clusters.length;
  return h("nav", { class: "pager", "aria-label": "Pages of clusters" },
    h("span", {}, (offset + 1).toLocaleString("en-US") + "–" + last.toLocaleString("en-US") + " of " + total.toLocaleString("en-US") + ", the worst first"),
    h("span", { class: "space" }),
    h("button", { class: "button", type: "button", disabled: offset === 0, "aria-label": "Previous page", onclick: () => go(Math.max(0, offset - pageSize)) }, icon("left")),
    h("button", { class: "button", type: "button", disabled: last >= total, "aria-label": "Next page", onclick: () => go(offset + pageSize) }, icon("right")));
}

// ---- History ----

const eventIcons = { good: "check", working: "work", bad: "alert", operator: "star", plain: "dot" };

function historyCard(events) {
  const shown = events.slice(0, state.historyCount);
  const nowMs = state.board.atMs;
  const items = [];
  let day = "";
  for (const event of shown) {
    const today = dayText(event.atMs, nowMs);
    if (today !== day && !(day === "" && today === "Today")) items.push(h("li", { class: "day", key: "day " + today }, today));
    day = today;
    items.push(eventItem(event));
  }
  return h("section", { class: "card history", key: "history", "aria-labelledby": "history" },
    h("header", {}, h("h2", { id: "history" }, "History")),
    events.length === 0
      ? h("div", { class: "empty" }, "What masters decide and operators command is told here.")
      : h("ol", {}, items),
    events.length > state.historyCount && h("div", { class: "rest" }, h("button", { class: "button plain", type: "button", onclick: () => { state.historyCount += 40; show(); } }, "Show more")));
}

function eventItem({ key, atMs, what, why, tone, cluster, host }) {
  const about = host !== undefined ? addressOf(host) : "";
  const colon = why === "" ? "" : ":";
  return h("li", { class: "event", key },
    h("span", { class: "dot tone-" + tone }, icon(eventIcons[tone])),
    h("span", { class: "what" }, what),
    h("time", { datetime: new Date(atMs).toISOString(), title: new Date(atMs).toLocaleString() }, timeText(atMs)),
    h("span", { class: "why" },
      cluster !== undefined && h("button", { class: "about", type: "button", onclick: () => showCluster(cluster) }, "Cluster " + cluster + colon),
      about !== "" && h("button", { class: "about", type: "button", onclick: () => showClustersOf(host) }, about + colon),
      h("span", { title: why }, " ", whole(brief(why)))));
}

function addressOf(id) {
  const host = state.board.hosts.list.find((one) => one.id === id);
  return host === undefined ? id : short(host.address);
}
`;
