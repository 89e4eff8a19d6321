/** The part of the page's script that describes what is seen: the frame, and what stands at its top. */
export const viewsScript: string = String.raw`
const iconPaths = {
  check: ["M5 12.5l4.6 4.6L19 7.5"],
  alert: ["M12 4.2l8.6 15H3.4z", "M12 10v4.2", "M12 16.8v.1"],
  work: ["M4.5 12a7.5 7.5 0 0 1 13-5.1", "M19.5 12a7.5 7.5 0 0 1-13 5.1", "M18 3.5v3.9h-3.9", "M6 20.5v-3.9h3.9"],
  slow: ["M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17", "M12 7.5v4.7l3 1.9"],
  pause: ["M9 6.5v11", "M15 6.5v11"],
  cross: ["M6.5 6.5l11 11", "M17.5 6.5l-11 11"],
  star: ["M12 4.2l2.3 5 5.5.6-4.1 3.7 1.2 5.4L12 16.2l-4.9 2.7 1.2-5.4-4.1-3.7 5.5-.6z"],
  dot: ["M12 8.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7"],
  search: ["M10.5 4.5a6 6 0 1 0 0 12a6 6 0 1 0 0-12", "M15.2 15.2L20 20"],
  right: ["M9 5.5l6.5 6.5L9 18.5"],
  left: ["M15 5.5L8.5 12l6.5 6.5"],
  cut: ["M5 8.5a10 10 0 0 1 14 0", "M8 12a5.8 5.8 0 0 1 8 0", "M12 16.5v.1", "M4 4l16 16"],
  auto: ["M12 3.5a8.5 8.5 0 1 0 0 17a8.5 8.5 0 1 0 0-17", "!M12 3.5a8.5 8.5 0 0 1 0 17z"],
  light: ["M12 7.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9", "M12 2v2.2", "M12 19.8V22", "M2 12h2.2", "M19.8 12H22", "M5 5l1.5 1.5", "M17.5 17.5L19 19", "M19 5l-1.5 1.5", "M6.5 17.5L5 19"],
  dark: ["M20 14.3A8.3 8.3 0 0 1 9.7 4a8.3 8.3 0 1 0 10.3 10.3z"],
  out: ["M14.5 4.5h4.5v15h-4.5", "M10 8l-4 4 4 4", "M6 12h9"],
};

function icon(name, more) {
  return h("svg", { class: "icon " + (more || ""), viewBox: "0 0 24 24", "aria-hidden": "true" },
    iconPaths[name].map((d) => d.startsWith("!") ? h("path", { d: d.slice(1), class: "full" }) : h("path", { d })));
}

function marked([word, tone, name]) {
  return h("span", { class: "state-word tone-" + tone }, icon(name), h("span", {}, word));
}

/** Without what all addresses have in common. */
function short(text) {
  return state.commonEnd === "" ? text : text.replaceAll(state.commonEnd, "");
}

/** What an address is called in a list of them. */
function nameOf(address) {
  return state.commonStart !== "" && address.startsWith(state.commonStart) ? address.slice(state.commonStart.length) : short(address);
}

/** Text in which names with hyphens stay in one piece, unless they are longer than a line may be. */
function whole(text) {
  return text.split(/(\S*-\S*)/).map((part, i) => i % 2 === 1 && part.length < 32 ? h("span", { class: "whole" }, part) : part);
}

/** For where there is little room. */
function brief(text) {
  return withShortIds(short(text));
}

function ageOf(ms) {
  return state.board.atMs + (performance.now() - state.heardAtMs) - ms;
}

// ---- Themes ----

const themes = ["auto", "light", "dark"];

function stored(name) {
  try { return localStorage.getItem("drakkar " + name) || ""; } catch { return ""; }
}

function store(name, value) {
  try { localStorage.setItem("drakkar " + name, value); } catch { /* It is forgotten with the page. */ }
}

function themeNow() {
  const theme = stored("theme");
  return themes.includes(theme) ? theme : "auto";
}

function setTheme(theme) {
  store("theme", theme);
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
  show();
}

function themeButton() {
  const now = themeNow();
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  const label = "Colours: " + now + ". Change to " + next;
  return h("button", { class: "button plain", type: "button", title: label, "aria-label": label, onclick: () => setTheme(next) }, icon(now));
}

// ---- The frame ----

const linkWords = { live: "Live", polling: "Every 15 s", connecting: "Connecting…", stale: "No store", empty: "Empty store", lost: "No master" };

function bar() {
  const { session, board, trouble } = state;
  const isEmpty = trouble !== null && trouble.code === "store-not-initialised";
  const link = trouble !== null && state.link !== "lost" ? (isEmpty ? "empty" : "stale") : state.link;
  return h("header", { class: "bar" },
    h("div", { class: "brand" }, h("img", { src: "icon.svg", alt: "", width: "30", height: "30" }), h("span", {}, "Drakkar")),
    board && h("span", { class: "where", title: "Deployment " + board.status.deploymentId }, "deployment ", h("code", {}, board.status.deploymentId.slice(0, 8))),
    h("span", { class: "space" }),
    h("span", { class: "link " + link, role: "status" }, h("i", {}), linkWords[link]),
    themeButton(),
    session && !session.isOpen && h("button", { class: "button plain", type: "button", onclick: signOut, title: "Sign out", "aria-label": "Sign out" }, icon("out"), h("span", { class: "words" }, "Sign out")),
  );
}

const toneIcons = { good: "check", working: "work", warning: "alert", bad: "alert", idle: "dot" };

/** What to read first: what the masters say, unless nothing of it may be true any more. */
function headlineNow() {
  const { board, link, trouble } = state;
  const from = "What is below is from " + timeText(state.wasHeardAt) + ".";
  if (link === "lost") return { tone: "bad", name: "cut", text: "No master reachable", detail: "NodeHosts and clusters go on without one. " + from };
  if (trouble !== null) return { tone: "bad", name: "cut", text: "The store does not answer", detail: "NodeHosts and clusters go on without it. " + from };
  const { tone, text, detail } = board.status.headline;
  return { tone, name: toneIcons[tone], text, detail: brief(detail) };
}

function hero({ tone, name, text, detail }) {
  return h("section", { class: "hero", "aria-labelledby": "headline" },
    h("span", { class: "mark tone-" + tone }, icon(name, tone === "working" ? "spin" : "")),
    h("div", { role: "status" }, h("h1", { id: "headline" }, text), h("p", {}, whole(detail))),
  );
}

function shares({ groups, states, clusters }) {
  if (clusters === 0) return null;
  const bad = ["quarantine", "lost", "leaderless", "unstarted"].reduce((sum, name) => sum + (states[name] || 0), 0);
  const parts = [["well", "well", groups.well], ["working", "changing", groups.working], ["weak", "weakened", groups.trouble - bad], ["trouble", "in trouble", bad]]
    .filter(([, , count]) => count > 0);
  return h("section", { class: "shares", "aria-label": "Clusters by state" },
    h("div", { class: "strip", "aria-hidden": "true" }, parts.map(([name, , count]) => h("i", { key: name, class: name, grow: String(count) }))),
    h("ul", {}, parts.map(([name, word, count]) => h("li", { key: name }, h("i", { class: name, "aria-hidden": "true" }), h("b", {}, count.toLocaleString("en-US")), " " + word))),
  );
}

function notice(kind, name, title, text, ...buttons) {
  return h("div", { class: "notice " + kind, key: title, role: "status" }, icon(name), h("div", {}, h("strong", {}, title), " ", text), buttons);
}

function isOperator() {
  return state.session !== null && state.session.role === "operator";
}

function notices() {
  const { board, link, trouble } = state;
  const { brake, isPaused, headline } = board.status;
  const seconds = Math.max(0, Math.ceil((state.retryAtMs - performance.now()) / 1000));
  return [
    link === "lost" && notice("bad", "cut", "No master answers.", seconds > 0 ? "The next try is in " + seconds + " s." : "Trying now.",
      h("button", { class: "button", type: "button", onclick: () => wake() }, "Try now")),
    trouble && link !== "lost" && notice("bad", "alert", "The master answers, but its store does not.", sentence(trouble.detail) + " It tries again by itself."),
    brake && !brake.isReleased && notice("", "alert", headline.text === "The brake is on" ? "Nothing is added, removed or stopped" : "The brake is on: " + brief(brake.why) + ". Nothing is added, removed or stopped",
      "until they return, or an operator says that they are gone.",
      isOperator() && h("button", { class: "button", type: "button", onclick: () => askGlobal("release-brake") }, "Release the brake…")),
    isPaused && notice("", "pause", headline.text === "Decisions are paused" ? "Nothing is launched, repaired or moved" : "Decisions are paused: nothing is launched, repaired or moved", "until an operator resumes them.",
      isOperator() && h("button", { class: "button", type: "button", onclick: () => askGlobal("resume") }, "Resume…")),
  ];
}

// ---- Not signed in, and nothing to show yet ----

function panel(...children) {
  return h("main", { class: "gate" }, h("div", { class: "panel" }, h("img", { src: "icon.svg", alt: "", width: "52", height: "52" }), children));
}

function signInView() {
  return panel(
    h("div", {}, h("h1", {}, "Sign in to Drakkar"), h("p", { class: "quiet" }, "With a token of this master. An operator's gives commands, too.")),
    h("form", { onsubmit: (event) => { event.preventDefault(); signIn(event.target.elements.token.value.trim()); } },
      h("div", { class: "field" },
        h("label", { for: "token" }, "Token"),
        h("input", { class: "input", id: "token", name: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false", "aria-describedby": "refused", "aria-invalid": state.signInError !== "" ? "true" : "false" }),
        h("p", { class: "error", id: "refused", role: "alert" }, state.signInError)),
      h("button", { class: "button primary", type: "submit", disabled: state.isSigningIn }, state.isSigningIn ? "Signing in…" : "Sign in")),
  );
}

function nobodyView() {
  const seconds = Math.max(0, Math.ceil((state.retryAtMs - performance.now()) / 1000));
  return panel(
    h("div", { role: "status" }, h("h1", {}, "No master reachable"), h("p", { class: "quiet" }, "NodeHosts and clusters go on without one. The next try is in " + seconds + " s.")),
    h("button", { class: "button", type: "button", onclick: () => wake() }, "Try now"),
  );
}

function troubleView({ code, detail }) {
  if (code === "store-not-initialised") {
    return panel(
      h("div", {}, h("h1", {}, "This store is empty"), h("p", { class: "quiet" }, "If it is new, make a deployment in it. If it should not be empty, it is not the store you know: import the copy of that one instead.")),
      isOperator()
        ? h("button", { class: "button primary", type: "button", onclick: () => askGlobal("init") }, "Make a deployment…")
        : h("code", { class: "snippet" }, "deno task drakkar init"),
    );
  }
  return panel(
    h("div", { role: "alert" }, h("h1", {}, "The store does not answer"), h("p", { class: "quiet" }, detail + ".")),
    h("p", {}, "The master is up and tries again by itself. NodeHosts and clusters go on meanwhile."),
  );
}
`;
