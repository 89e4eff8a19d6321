/** The part of the page's script that asks before it commands, and the last one: what is seen follows from the state. */
export const dialogsScript: string = String.raw`
// ---- Commands ----

function hostPath(id, action) {
  return "v1/nodehosts/" + encodeURIComponent(id) + "/" + action;
}

function askDrain(host) {
  const others = state.board.hosts.list.filter((one) => one.id !== host.id && one.standing === "ok" && !one.isDraining && !one.isCordoned);
  prepare({
    title: "Drain " + host.address + "?",
    path: hostPath(host.id, "drain"),
    facts: [
      counted(host.placed, "node") + " of managed clusters move to other NodeHosts, one after the other.",
      counted(host.leaders, "leadership") + " " + (host.leaders === 1 ? "is" : "are") + " handed over first.",
      others.length === 0 ? "No other NodeHost can take them: they stay until one can." : counted(others.length, "other NodeHost") + " can take them.",
      "Nothing is placed on it any more. No cluster loses a vote, and it can be put back to use at any time.",
    ],
    confirm: "Drain it",
    done: "Draining " + host.address,
  });
}

function askCordon(host) {
  prepare({
    title: "Cordon " + host.address + "?",
    path: hostPath(host.id, "cordon"),
    facts: ["Nothing more is placed on it.", "What it carries stays where it is."],
    confirm: "Cordon it",
    done: "Cordoned " + host.address,
  });
}

function askUncordon(host) {
  prepare({
    title: "Put " + host.address + " back to use?",
    path: hostPath(host.id, "uncordon"),
    facts: ["Nodes may be placed on it again.", "What has moved away may come back for balance, later."],
    confirm: "Put it back",
    done: host.address + " is in use again",
  });
}

function askReleaseBrake() {
  prepare({
    title: "Release the brake?",
    path: "v1/release-brake",
    facts: [
      "You say that these are really gone: " + state.board.status.brake.hosts.map(addressOf).join(", ") + ".",
      "Their nodes are replaced elsewhere. If they come back, what they run is stopped.",
    ],
    confirm: "They are gone: release",
    done: "The brake is released",
  });
}

function askResume() {
  prepare({ title: "Resume decisions?", path: "v1/resume", facts: ["What waits is done, within the limits."], confirm: "Resume", done: "Decisions are resumed" });
}

function close() {
  state.dialog = null;
  show();
}

function dialogView(dialog) {
  const who = stored("who");
  return h("dialog", { key: "dialog " + dialog.key, "aria-labelledby": "question", oncancel: (event) => { event.preventDefault(); close(); } },
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      const name = event.target.elements.who.value.trim();
      store("who", name);
      confirmCommand(dialog, name);
    } },
      h("h2", { id: "question" }, dialog.title),
      h("ul", { class: "facts" }, dialog.facts.map((fact) => h("li", {}, h("span", { class: "tone-operator" }, icon("dot")), h("span", {}, fact)))),
      h("p", { class: "quiet", role: "status" }, dialog.isReady ? "The master would do it. Nothing was done yet." : dialog.error === "" ? "Asking the master what it would do…" : ""),
      h("div", { class: "field" },
        h("label", { for: "who" }, "Your name, for the history"),
        h("input", { class: "input", id: "who", name: "who", autocomplete: "name", maxlength: "100", placeholder: "operator", value: who })),
      h("p", { class: "error", role: "alert" }, dialog.error),
      h("div", { class: "buttons" },
        h("button", { class: "button", type: "button", onclick: close }, "Cancel"),
        h("button", { class: "button primary", type: "submit", disabled: !dialog.isReady || dialog.isDoing }, dialog.isDoing ? "Doing it…" : dialog.confirm))));
}

// ---- Everything ----

function boardView() {
  const { board, link, trouble } = state;
  const isStale = link === "lost" || trouble !== null;
  const { status } = board;
  return [
    bar(),
    h("main", { class: "page" },
      hero(status.headline, link === "lost"),
      notices(),
      h("div", { class: isStale ? "stale" : "" },
        shares(status),
        h("div", { class: "columns" },
          h("div", { class: "stack" }, workCard(board.work), hostsCard(board.hosts), clustersCard(status)),
          h("div", { class: "stack" }, historyCard(board.events)))),
      h("p", { class: "footer" }, h("span", {}, "Tick " + status.tick.toLocaleString("en-US")), h("span", {}, "a tick is " + spanText(status.periodMs) + " or more"),
        isOperator() ? "" : h("span", {}, "Commands want an operator's token"))),
  ];
}

function views() {
  if (state.phase === "signedOut") return [signInView()];
  if (state.board !== null) return boardView();
  if (state.trouble !== null && state.link !== "lost") return [bar(), troubleView(state.trouble)];
  if (state.link === "lost") return [nobodyView()];
  return [h("main", { class: "gate" }, h("p", { class: "quiet" }, "Looking for the master…"))];
}

function titleText() {
  if (state.phase === "signedOut" || state.board === null) return "Drakkar";
  return (state.link === "lost" ? "No master reachable" : state.board.status.headline.text) + " · Drakkar";
}

let isShowing = false;

/** Shows the state as it is when everything that changes it now has done so. */
function show() {
  if (isShowing) return;
  isShowing = true;
  queueMicrotask(() => {
    isShowing = false;
    const app = document.getElementById("app");
    render(app, [
      ...views().map((one, i) => one && { ...one, props: { key: "v" + i + one.tag + (one.props.class || ""), ...one.props } }).filter(Boolean),
      ...(state.dialog === null ? [] : [dialogView(state.dialog)]),
      ...(state.toast === "" ? [] : [h("p", { class: "toast", key: "toast", role: "status" }, state.toast)]),
    ]);
    const dialog = app.querySelector("dialog");
    if (dialog !== null && !dialog.open) dialog.showModal();
    if (document.title !== titleText()) document.title = titleText();
  });
}

setTheme(themeNow());
start();
// What is so many seconds ago grows older; nobody sees it in a hidden tab.
setInterval(() => { if (!document.hidden) show(); }, 1000);
let hiddenTimer;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  // A tab that nobody sees costs the master nothing.
  if (document.hidden) hiddenTimer = setTimeout(() => abort.abort(), 10000);
  else wake();
});
`;
