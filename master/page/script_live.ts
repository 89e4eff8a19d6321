/** The part of the page's script that asks the master: who is signed in, what changed, and what to do if nobody answers. */
export const liveScript: string = String.raw`
const state = {
  phase: "start",
  session: null,
  signInError: "",
  isSigningIn: false,
  /** live, polling, connecting or lost. */
  link: "connecting",
  failures: 0,
  retryAtMs: 0,
  heardAtMs: 0,
  wasHeardAt: 0,
  trouble: null,
  board: null,
  /** What the addresses of all NodeHosts end with. */
  commonEnd: "",
  /** Or what they begin with. */
  commonStart: "",
  clusters: null,
  query: { state: "", text: "", offset: 0 },
  isAsking: false,
  openClusters: new Set(),
  openHosts: new Set(),
  openRegions: new Set(),
  historyCount: 20,
  dialog: null,
  toast: "",
};
const pageSize = 25;
const silenceMs = 40000;
const pollMs = 15000;
let wake = () => {};
let abort = new AbortController();

/** Waits, or until somebody wants it now. */
function pause(ms) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
}

async function ask(path, options) {
  const response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  const type = response.headers.get("content-type") || "";
  const body = type.includes("json") ? await response.json() : {};
  return { status: response.status, isOk: response.ok, body };
}

function send(method, path, body, headers) {
  return ask(path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

// ---- Signing in ----

async function start() {
  for (;;) {
    try {
      const { isOk, body } = await ask("v1/session");
      if (isOk) {
        state.failures = 0;
        state.session = body;
        state.phase = body.role === null ? "signedOut" : "on";
        if (state.phase === "on") watch();
        show();
        return;
      }
    } catch {
      // Nobody answers.
    }
    await lose();
  }
}

async function signIn(token) {
  state.isSigningIn = true;
  state.signInError = "";
  show();
  try {
    const { status, isOk, body } = await send("POST", "v1/session", { token });
    if (isOk) {
      state.session = body;
      state.phase = "on";
      watch();
    } else {
      state.signInError = status === 401
        ? "This is none of the master's tokens."
        : body.detail || "The master refused.";
    }
  } catch {
    state.signInError = "No master answers. Try again in a moment.";
  }
  state.isSigningIn = false;
  show();
}

async function signOut() {
  abort.abort();
  try {
    await send("DELETE", "v1/session");
  } catch {
    // The cookie stays until it ends by itself; nothing is shown any more.
  }
  forget();
}

function forget() {
  Object.assign(state, { phase: "signedOut", board: null, clusters: null, trouble: null, dialog: null, link: "connecting" });
  show();
}

// ---- Watching ----

let watching = 0;

/** Follows the master's events as long as somebody is signed in. A later call takes the place of an earlier one. */
async function watch() {
  const own = ++watching;
  const isOver = () => own !== watching || state.phase !== "on";
  while (!isOver()) {
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      continue;
    }
    abort = new AbortController();
    try {
      const response = await fetch("v1/board/stream", { cache: "no-store", headers: { accept: "text/event-stream" }, signal: abort.signal });
      if (response.status === 401) return isOver() ? undefined : forget();
      if (response.status === 503 && isOver() === false) {
        await response.body.cancel();
        await poll(isOver);
        continue;
      }
      if (!response.ok) throw new Error("refused");
      const why = await follow(response.body, isOver);
      if (why === "session" && !isOver()) return forget();
      if (why !== "age" && !isOver()) { state.link = "connecting"; show(); await pause(500); }
    } catch {
      if (isOver()) return;
      if (document.hidden) continue;
      await lose();
    }
  }
}

/** Reads events until the stream ends; says why it ended, if that was told. */
async function follow(stream, isOver) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let why = "";
  for (;;) {
    const timer = setTimeout(() => abort.abort(), silenceMs);
    let chunk;
    try {
      chunk = await reader.read();
    } finally {
      clearTimeout(timer);
    }
    if (chunk.done || isOver()) return why;
    rest = takeFrames(rest + chunk.value, (event, data) => {
      if (event === "bye") why = data.why;
      else take(event, data, "live");
    });
  }
}

/** Where too many watch, the page asks now and then, and after a while tries to watch again. */
async function poll(isOver) {
  for (let i = 0; i < 4 && !isOver() && !document.hidden; i++) {
    const { status, isOk, body } = await ask("v1/board");
    if (status === 401) return;
    if (isOk) take("board", body, "polling");
    else take("trouble", { code: body.code || "", detail: body.detail || "" }, "polling");
    await pause(pollMs);
  }
}

function take(event, data, link) {
  state.link = link;
  state.failures = 0;
  if (event === "trouble") state.trouble = data;
  if (event === "board") {
    state.trouble = null;
    state.heardAtMs = performance.now();
    state.wasHeardAt = Date.now();
    state.board = { ...state.board, ...data };
    if (data.hosts) {
      const addresses = data.hosts.list.map(({ address }) => address);
      state.commonEnd = commonEnd(addresses);
      state.commonStart = commonStart(addresses);
    }
    const { rev } = state.board.status;
    if (state.clusters === null || state.clusters.rev !== rev) askClusters();
  }
  show();
}

/** Nobody answered: says so, and waits before the next try. */
async function lose() {
  state.failures++;
  const ms = retryMs(state.failures);
  // Once may be a master that is replaced; what is lost is lost for longer.
  state.link = state.failures < 2 ? "connecting" : "lost";
  state.retryAtMs = performance.now() + ms;
  show();
  await pause(ms);
}

let isAskedAgain = false;

/** The clusters that match; asked once at a time, and once more if something changed meanwhile. */
async function askClusters() {
  if (state.isAsking) { isAskedAgain = true; return; }
  state.isAsking = true;
  do {
    isAskedAgain = false;
    const { state: wanted, text, offset } = state.query;
    const query = new URLSearchParams({ text, offset, limit: pageSize });
    if (wanted !== "") query.set("state", wanted);
    try {
      const { isOk, body } = await ask("v1/board/clusters?" + query);
      if (isOk) state.clusters = body;
    } catch {
      // The stream finds out as well, and says so.
    }
    show();
    if (isAskedAgain) await new Promise((resolve) => setTimeout(resolve, 300));
  } while (isAskedAgain && state.phase === "on");
  state.isAsking = false;
}

let searchTimer;

function search(change, delayMs) {
  state.query = { ...state.query, offset: 0, ...change };
  clearTimeout(searchTimer);
  searchTimer = setTimeout(askClusters, delayMs || 0);
  show();
}

// ---- Commands ----

function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (one) => one.toString(16).padStart(2, "0")).join("");
}
`;
