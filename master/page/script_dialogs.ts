/**
 * The part of the page's script that asks before it commands. A command may begin with a form; then the master is asked
 * what it would do (the dry run), which is shown; and only then it is told to. What cannot be undone wants the name again.
 */
export const dialogsScript: string = String.raw`
// ---- Asking the master ----

const finalText = "It cannot be undone.";

/** Opens what a command asks; see commands for what it is made of. */
function open(command) {
  state.dialog = {
    method: "POST", fields: [], values: {}, body: () => ({}), line: () => "", again: "", tone: "", ...command,
    key: randomKey(), stage: "form", error: "", result: null, who: stored("who"), typed: "", isDoing: false,
  };
  if (state.dialog.fields.length === 0) prepare(state.dialog);
  show();
}

function close() {
  state.dialog = null;
  show();
}

/** What somebody has to do by hand after a command; lines that begin with # are for people. */
function tellSteps(title, steps) {
  state.dialog = { title, stage: "told", key: randomKey(), steps };
  show();
}

/** Asks what a command would do; nothing is done before it is confirmed. */
async function prepare(dialog) {
  let body;
  try {
    body = dialog.body(dialog.values);
  } catch (error) {
    dialog.error = error.message;
    return show();
  }
  // Another body under the same key would be another command.
  Object.assign(dialog, { stage: "asking", error: "", key: randomKey(), sent: body });
  show();
  try {
    const { isOk, body: answer } = await send(dialog.method, dialog.path + "?dryRun=true", body);
    if (isOk) Object.assign(dialog, { stage: "ready", result: answer });
    else Object.assign(dialog, { stage: "form", error: refusal(answer) + (answer.code === "conflict" && dialog.hint ? " " + dialog.hint : "") });
  } catch {
    Object.assign(dialog, { stage: "form", error: "No master answers. Nothing was done." });
  }
  show();
}

/** Does it. The key makes it safe to repeat when the answer was lost. */
async function confirmCommand(dialog) {
  if (dialog.stage !== "ready" || dialog.isDoing) return;
  dialog.isDoing = true;
  dialog.error = "";
  store("who", dialog.who);
  show();
  try {
    const headers = { "idempotency-key": dialog.key };
    const who = dialog.who.trim();
    if (/^[\x20-\x7e]{1,100}$/.test(who)) headers["x-operator"] = who;
    const { isOk, body } = await send(dialog.method, dialog.path, dialog.sent, headers);
    if (isOk) {
      if (state.dialog === dialog) state.dialog = null;
      if (dialog.done) tell(dialog.done);
      if (dialog.after) dialog.after(body);
    } else dialog.error = refusal(body) + " Nothing was done.";
  } catch {
    dialog.error = "The answer was lost. Press again: it is done once.";
  }
  dialog.isDoing = false;
  show();
}

/** What the master says, with the addresses by which people know NodeHosts. */
function refusal({ detail }) {
  const named = (detail || "The master refused").replace(/[\w-]{6,}/g, (word) => state.board === null ? word : addressOf(word));
  return sentence(brief(named));
}

let toastTimer;

function tell(text) {
  state.toast = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { state.toast = ""; show(); }, 5000);
}

// ---- What is seen of it ----

function toldView({ title, steps }) {
  return h("dialog", { key: "dialog " + title, "aria-labelledby": "question", class: "wide", oncancel: (event) => { event.preventDefault(); close(); } },
    h("form", { onsubmit: (event) => { event.preventDefault(); close(); } },
      h("h2", { id: "question", tabindex: "-1", "data-focus": true }, title),
      h("p", { class: "quiet" }, "The lost nodes are given up. Keep these lines: they are shown this once."),
      h("ol", { class: "by-hand" }, steps.map((step) => h("li", {}, step.startsWith("#") ? step.slice(1).trim() + "." : h("code", { class: "snippet" }, whole(step))))),
      h("div", { class: "foot" }, h("div", { class: "buttons" }, h("button", { class: "button primary", type: "submit" }, "Close")))));
}

function dialogView(dialog) {
  if (dialog.stage === "told") return toldView(dialog);
  const { title, stage, error, fields, isDoing } = dialog;
  const isForm = stage === "form" && fields.length > 0;
  return h("dialog", { key: "dialog " + title, "aria-labelledby": "question", oncancel: (event) => { event.preventDefault(); close(); } },
    h("form", { onsubmit: (event) => {
      event.preventDefault();
      if (stage === "ready") confirmCommand(dialog);
      else if (stage === "form") prepare(dialog);
    } },
      h("h2", { id: "question", tabindex: "-1", "data-focus": isForm ? null : true }, title),
      isForm ? [dialog.lead && h("p", { class: "quiet" }, dialog.lead), fields.map((field) => fieldView(dialog, field))] : stage === "ready" ? answerView(dialog) : null,
      h("div", { class: "foot", key: "foot" },
        h("p", { class: "quiet", role: "status", key: "doing" }, stage === "asking" ? "Asking the master what it would do…" : ""),
        h("p", { class: "error", role: "alert", key: "error" }, error),
        h("div", { class: "buttons", key: "buttons" },
        stage === "ready" && fields.length > 0 && h("button", { class: "button plain back", type: "button", key: "back", onclick: () => { dialog.stage = "form"; dialog.error = ""; show(); } }, "Back"),
        h("button", { class: "button", type: "button", key: "cancel", onclick: close }, "Cancel"),
        stage === "ready"
          ? h("button", { class: "button " + (dialog.tone || "primary"), type: "submit", key: "do", disabled: isDoing || (dialog.again !== "" && !isSaidAgain(dialog)) }, isDoing ? "Doing it…" : dialog.confirm)
          : h("button", { class: "button primary", type: "submit", key: "ask", disabled: stage === "asking" }, isForm ? "What would it do?" : "Ask again")))));
}

function isSaidAgain({ again, typed }) {
  return typed.trim() === again;
}

/** What the master would do: in words, as it said it, and as a command line. */
function answerView(dialog) {
  const { again, values, result } = dialog;
  const facts = typeof dialog.facts === "function" ? dialog.facts(values, result) : dialog.facts;
  const line = dialog.line(values);
  const { isDryRun: _, ...answer } = result;
  return [
    h("p", { class: "dry", role: "status" }, icon("check"), h("span", {}, h("b", {}, "Dry run: "), "the master would do it. Nothing is done yet.")),
    h("ul", { class: "facts" }, facts.filter(Boolean).map((fact) => h("li", {}, h("span", { class: "tone-operator" }, icon("dot")), h("span", {}, fact)))),
    h("details", {}, h("summary", {}, "The command and the master's answer"),
      line !== "" && h("code", { class: "snippet" }, whole("deno task drakkar " + line)),
      h("code", { class: "snippet" }, JSON.stringify(answer, null, 1).replace(/\n\s*/g, " "))),
    again !== "" && h("div", { class: "field" },
      h("label", { for: "again" }, (dialog.finality ? dialog.finality(values) : finalText) + " Type ", h("code", {}, again), " to go on"),
      h("input", { class: "input", id: "again", name: "again", autocomplete: "off", autocapitalize: "none", spellcheck: "false", value: dialog.typed, "data-focus": true, oninput: (event) => { dialog.typed = event.target.value; show(); } })),
    h("div", { class: "field" },
      h("label", { for: "who" }, "Your name, for the history"),
      h("input", { class: "input", id: "who", name: "who", autocomplete: "name", maxlength: "100", placeholder: "operator", value: dialog.who, oninput: (event) => { dialog.who = event.target.value; } })),
  ];
}

// ---- Fields ----

function fieldView(dialog, field) {
  const { values } = dialog;
  const { kind, name } = field;
  const set = (value) => { values[name] = value; show(); };
  if (kind === "regions") return regionsField(values, field);
  if (kind === "nodes") return nodesField(values, field, set);
  const id = "field-" + name;
  const common = { class: "input", id, name, required: !field.isOptional, "data-focus": field.isFirst ? true : null, "aria-describedby": field.hint ? id + "-hint" : null };
  const hint = field.hint && h("p", { class: "hint", id: id + "-hint" }, field.hint);
  if (kind === "choice") {
    return h("div", { class: "field" }, h("label", { for: id }, field.label),
      h("select", { ...common, onchange: (event) => set(event.target.value) },
        field.choices.map(([value, word]) => h("option", { value, selected: values[name] === value }, word))), hint);
  }
  const isNumber = kind === "number";
  const list = field.choices && field.choices.length > 0 ? id + "-list" : null;
  return h("div", { class: "field" }, h("label", { for: id }, field.label),
    h("input", {
      ...common, type: isNumber ? "number" : "text", inputmode: isNumber ? "numeric" : null, min: isNumber ? "1" : null, max: field.max || null, step: isNumber ? "1" : null,
      maxlength: isNumber ? null : "255", autocomplete: "off", autocapitalize: "none", spellcheck: "false", list, value: values[name], oninput: (event) => set(event.target.value),
    }),
    list !== null && h("datalist", { id: list }, field.choices.map((value) => h("option", { value }))), hint);
}

/** How many voters in which region, as rows that are sent as a list. */
function regionsField(values, { label, hint }) {
  const rows = values.regions;
  return h("fieldset", { class: "field" }, h("legend", {}, label),
    rows.length === 0 ? h("p", { class: "hint" }, "No NodeHost names a region.") : h("p", { class: "hint" }, hint),
    h("ul", { class: "wishes" }, rows.map((row) => h("li", { key: "wish " + row.region },
      h("span", { class: "name" }, row.region),
      h("input", {
        class: "input", type: "number", inputmode: "numeric", min: "0", max: "9", step: "1", "aria-label": "Voters in " + row.region,
        value: row.count === 0 ? "" : String(row.count), placeholder: "any", oninput: (event) => { row.count = Number(event.target.value) || 0; show(); },
      }),
      h("label", { class: "tick" }, h("input", { type: "checkbox", checked: row.isRequired, disabled: row.count === 0, onchange: (event) => { row.isRequired = event.target.checked; show(); } }), "only there")))));
}

function nodesField(values, { name, label, hint, nodes }, set) {
  const chosen = values[name];
  return h("fieldset", { class: "field" }, h("legend", {}, label), h("p", { class: "hint" }, hint),
    h("ul", { class: "wishes nodes" }, nodes.map((member) => h("li", { key: "node " + member.node },
      h("label", { class: "tick" },
        h("input", {
          type: "checkbox", checked: chosen.includes(member.node),
          onchange: (event) => set(event.target.checked ? [...chosen, member.node] : chosen.filter((one) => one !== member.node)),
        }),
        h("span", {}, h("b", { title: member.address }, short(member.address)), h("span", { class: "quiet", title: String(member.node) }, brief(" node " + member.node)))),
      marked(memberWord(member))))));
}

/** A row for each region that is known or wished for. */
function wishRows(wished) {
  const names = new Set([...wished.map(({ region }) => region), ...state.board.hosts.regions.map(({ name }) => name)]);
  for (const none of ["", "unknown"]) if (!wished.some(({ region }) => region === none)) names.delete(none);
  return [...names].sort().map((region) => ({ count: 0, isRequired: false, ...wished.find((one) => one.region === region), region }));
}

function wishOf(rows) {
  return rows.filter(({ count }) => count > 0)
    .map(({ region, count, isRequired }) => ({ region, count, ...(isRequired ? { isRequired: true } : {}) }));
}

function wishText(wish) {
  return wish.map(({ region, count, isRequired }) => count + " in " + region + (isRequired ? " and nowhere else" : "")).join(", ");
}

function wishLine(wish) {
  return wish.map(({ region, count, isRequired }) => " --" + (isRequired ? "required-" : "") + "region " + region + "=" + count).join("");
}
`;
