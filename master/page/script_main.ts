/** The last part of the page's script: what is seen follows from the state. */
export const mainScript: string = String.raw`
// ---- Everything ----

function boardView() {
  const { board, link, trouble } = state;
  const isStale = link === "lost" || trouble !== null;
  const { status } = board;
  return [
    bar(),
    h("main", { class: "page" },
      hero(headlineNow()),
      notices(),
      h("div", { class: isStale ? "old" : "" },
        shares(status),
        h("div", { class: "columns" },
          h("div", { class: "stack" }, workCard(board.work), hostsCard(board.hosts), clustersCard(status)),
          h("div", { class: "stack" }, historyCard(board.events)))),
      h("footer", { class: "footer" }, h("span", {}, "Tick " + status.tick.toLocaleString("en-US")), h("span", {}, "a tick is " + spanText(status.periodMs) + " or more"),
        isOperator()
          ? !status.isPaused && !isStale && h("button", { class: "about", type: "button", onclick: () => askGlobal("pause") }, "Pause all decisions…")
          : h("span", {}, "Commands want an operator's token"))),
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
  return headlineNow().text + " · Drakkar";
}

let attended = "";

/** Opens what was made, and takes the focus along when it asks something else. */
function attend(dialog) {
  const now = state.dialog.key + state.dialog.stage;
  if (!dialog.open) dialog.showModal();
  else if (now === attended) return;
  attended = now;
  dialog.querySelector("[data-focus]")?.focus();
}

let isShowing = false;

/** Shows the state as it is when everything that changes it now has done so. */
function show() {
  if (isShowing) return;
  isShowing = true;
  queueMicrotask(() => {
    isShowing = false;
    const app = document.getElementById("app");
    // Closed, it gives the focus back to whoever opened it; taken away, it would not.
    if (state.dialog === null) app.querySelector("dialog")?.close();
    render(app, [
      ...views().map((one, i) => one && { ...one, props: { key: "v" + i + one.tag + (one.props.class || ""), ...one.props } }).filter(Boolean),
      ...(state.dialog === null ? [] : [dialogView(state.dialog)]),
      ...(state.toast === "" ? [] : [h("p", { class: "toast", key: "toast", role: "status" }, state.toast)]),
    ]);
    const dialog = app.querySelector("dialog");
    if (dialog !== null) attend(dialog);
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
