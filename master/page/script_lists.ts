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
  const steps = plan && plan.stage > 0 && plan.kind !== "shrink" && h("ol", { class: "steps", "aria-label": "Steps" },
    stepNames.slice(0, plan.kind === "grow" ? 3 : 4).map((name, i) =>
      h("li", { class: i + 1 < plan.stage ? "done" : i + 1 === plan.stage ? "now" : "", "aria-current": i + 1 === plan.stage ? "step" : null }, name)));
  return h("li", { key: "w" + id },
    h("div", { class: "line" },
      h("span", { class: "name" }, "Cluster " + id),
      h("span", { class: "doing" }, plan ? (word === "waiting" ? "repair" : stateWords[word][0].toLowerCase()) + ": " + plan.doing : stateWords[word][0].toLowerCase()),
      plan && plan.forMs > 0 && h("span", { class: "since" }, "for " + spanText(plan.forMs))),
    h("div", { class: "why" }, why),
    steps);
}

// ---- NodeHosts ----

const quietHosts = 8;

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
  const isShort = !isOpen && listed.length > quietHosts + 2;
  const shown = isShort ? listed.slice(0, Math.max(quietHosts, listed.filter((host) => host.standing !== "ok").length)) : listed;
  return h("section", { class: "region", key: "r" + name, "aria-label": name === "" ? "No region" : "Region " + name },
    h("div", { class: "head" },
      h("h3", {}, name === "" ? "No region" : name),
      h("span", {}, healthy === hosts ? counted(hosts, "NodeHost") : healthy + " of " + counted(hosts, "NodeHost") + " heard"),
      h("span", { class: "space" }),
      h("span", {}, counted(nodes, "node"))),
    h("ul", {}, shown.map(hostItem)),
    listed.length > quietHosts + 2 && h("button", { class: "button plain", type: "button", onclick: () => toggle(state.openRegions, name) },
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
      h("span", { class: "address", title: address }, address),
      h("span", { class: "heard" }, standing === "ok" ? "" : h("span", { class: "tone-" + tone }, word + ", "), agoText(ageOf(heardMs))),
      h("span", { class: "sub" },
        standing === "dead" ? "carried " + counted(nodes, "node") : counted(nodes, "node") + ", leads " + leaders.toLocaleString("en-US"),
        host.isDraining && h("span", { class: "tag work" }, "draining"),
        host.isCordoned && !host.isDraining && h("span", { class: "tag warn" }, "cordoned"),
        host.isDiskLow && h("span", { class: "tag warn" }, "disk nearly full"))),
    isOpen && hostDetail(host));
}

function hostDetail(host) {
  const { id, apps, domain, placed, isDraining, isCordoned, standing } = host;
  const isThere = standing !== "gone" && standing !== "revoked";
  return h("div", { class: "more" },
    h("dl", {},
      h("dt", {}, "Id"), h("dd", {}, h("code", {}, id)),
      domain !== "" && [h("dt", {}, "Domain"), h("dd", {}, domain)],
      h("dt", {}, "Runs"), h("dd", {}, apps.length === 0 ? "does not say" : apps.join(", ")),
      h("dt", {}, "Carries"), h("dd", {}, counted(placed, "node") + " of managed clusters")),
    isOperator() && isThere && h("div", { class: "buttons" },
      !isDraining && h("button", { class: "button", type: "button", onclick: () => askDrain(host) }, "Drain…"),
      !isDraining && !isCordoned && h("button", { class: "button", type: "button", onclick: () => askCordon(host) }, "Cordon…"),
      (isDraining || isCordoned) && h("button", { class: "button", type: "button", onclick: () => askUncordon(host) }, "Put back to use…"),
      h("button", { class: "button", type: "button", onclick: () => showClustersOf(id) }, "Its clusters")));
}

function showClustersOf(text) {
  search({ state: "", text });
  document.getElementById("clusters").scrollIntoView({ block: "start" });
}

// ---- Clusters ----

const filters = [["", "All"], ["trouble", "Trouble"], ["working", "Changing"], ["well", "Well"]];

function clustersCard(status) {
  const { clusters, query } = state;
  const counts = { "": status.clusters, ...status.groups };
  const isNone = status.clusters === 0;
  return h("section", { class: "card", key: "clusters", "aria-labelledby": "clusters" },
    h("header", {}, h("h2", { id: "clusters" }, "Clusters"), h("span", { class: "count" }, status.clusters.toLocaleString("en-US"))),
    isNone && h("div", { class: "empty" },
      h("p", {}, status.hosts === 0 ? "There is none yet. A NodeHost comes first." : "There is none yet. Create the first one:"),
      status.hosts > 0 && h("code", { class: "snippet" }, "deno task drakkar create 1 --app NAME --size 3")),
    !isNone && h("div", { class: "tools" },
      h("div", { class: "filter", role: "group", "aria-label": "Show clusters" }, filters.map(([name, word]) =>
        h("button", { type: "button", key: name || "all", "aria-pressed": query.state === name ? "true" : "false", onclick: () => search({ state: name }) },
          word, h("span", { class: "n" }, " " + counts[name].toLocaleString("en-US"))))),
      h("div", { class: "search" },
        icon("search"),
        h("input", { class: "input", type: "search", value: query.text, placeholder: "Id, app, NodeHost or region", "aria-label": "Search clusters", oninput: (event) => search({ text: event.target.value }, 200) }))),
    !isNone && (clusters === null
      ? h("div", { class: "empty" }, "Reading…")
      : clusters.total === 0
      ? h("div", { class: "empty" }, "No cluster matches.")
      : [clusterTable(clusters.clusters), pager(clusters)]));
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
    h("td", { class: "state" }, marked(stateWords[word]), (plan || why !== "") && h("span", { class: "why" }, plan ? plan.doing : why)),
    h("td", { class: "members" }, members.length === 0 ? h("span", { class: "quiet" }, "none yet") : h("span", { class: "chips" }, members.map(chip))));
}

function chip(member) {
  const [word, tone, name] = memberWords[member.standing];
  const kind = member.standing === "leader" ? " leads" : member.standing === "dead" || member.standing === "silent" || member.standing === "stopped" ? " down" : "";
  const role = member.role === "voter" ? "" : member.role + ", ";
  const title = "node " + member.node + ": " + role + word + (member.region === "" ? "" : ", in " + member.region);
  return h("span", { class: "chip" + kind, key: "n" + member.node, title },
    h("span", { class: "tone-" + tone }, icon(name)), h("span", { class: "at" }, member.address), h("span", { class: "sr" }, role + word));
}

function clusterDetail({ id, app, size, cci, why, plan, members }) {
  const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("tr", { class: "detail", key: "d" + id }, h("td", { colspan: "3" }, h("div", { class: "box" },
    h("dl", {},
      fact("App", app === "" ? "not managed" : app),
      size > 0 && fact("Size", String(size)),
      fact("Membership changed at", String(cci)),
      plan && fact("Since", spanText(plan.forMs))),
    why !== "" && h("p", {}, why),
    members.length > 0 && h("table", {},
      h("thead", {}, h("tr", {}, ["Node", "NodeHost", "Region", "Health"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, members.map((member) => h("tr", { key: "n" + member.node },
        h("td", {}, h("code", {}, String(member.node)), member.role === "voter" ? "" : " " + member.role),
        h("td", {}, h("code", {}, member.address)),
        h("td", {}, member.region || "–"),
        h("td", {}, marked(memberWords[member.standing])))))))));
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
  return h("li", { class: "event", key },
    h("span", { class: "dot tone-" + tone }, icon(eventIcons[tone])),
    h("span", { class: "what" }, what),
    h("time", { datetime: new Date(atMs).toISOString(), title: new Date(atMs).toLocaleString() }, timeText(atMs)),
    h("span", { class: "why" },
      cluster !== undefined && h("button", { class: "about", type: "button", onclick: () => showClustersOf(String(cluster)) }, "Cluster " + cluster),
      about !== "" && h("button", { class: "about", type: "button", onclick: () => showClustersOf(host) }, about),
      (cluster !== undefined || about !== "") && why !== "" ? ": " : "", why));
}

function addressOf(id) {
  const host = state.board.hosts.list.find((one) => one.id === id);
  return host === undefined ? id : host.address;
}
`;
