/** The page's style. Colours are named once, for light and dark; nothing is told by colour alone. */

const colours = `
:root {
  color-scheme: light dark;
  --ink: light-dark(#16222b, #e7edf1);
  --soft: light-dark(#52616d, #9aa9b5);
  --faint: light-dark(#cfd6d9, #33414c);
  --line: light-dark(#e3e7e6, #222d36);
  --paper: light-dark(#ffffff, #141c23);
  --raised: light-dark(#f6f8f7, #1a242c);
  --ground: light-dark(#f1f3f0, #0c1217);
  --sea: light-dark(#0b6570, #6fcbd4);
  --good: light-dark(#12704a, #5fd39f);
  --work: light-dark(#1c5da6, #86bbf7);
  --warn: light-dark(#8a5300, #f1b65f);
  --bad: light-dark(#b0271f, #ff9085);
  --good-wash: light-dark(#e6f3ec, #12291f);
  --work-wash: light-dark(#e8f0fa, #142538);
  --warn-wash: light-dark(#fbf0dc, #2c2212);
  --bad-wash: light-dark(#fbe9e7, #331a18);
  --shadow: light-dark(0 1px 2px #1a2a3310, 0 1px 2px #0000);
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; }
`;

const base = `
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; color: var(--ink); background: var(--ground);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
h1, h2, h3, p, ul, ol, dl, dd { margin: 0; padding: 0; }
ul, ol { list-style: none; }
code, .mono { font-family: var(--mono); font-size: .9em; }
button, input { font: inherit; color: inherit; }
button { cursor: pointer; }
:focus-visible { outline: 2px solid var(--sea); outline-offset: 2px; border-radius: .4rem; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.quiet { color: var(--soft); }
.whole { white-space: nowrap; }
.noscript { max-width: 34rem; margin: 3rem auto; padding: 0 1.25rem; text-align: center; }
.button {
  display: inline-flex; align-items: center; justify-content: center; gap: .4rem; padding: .38rem .8rem; border-radius: .5rem;
  border: 1px solid var(--faint); background: var(--paper); font-weight: 550; font-size: .93rem; line-height: 1.3;
}
.button:hover { border-color: var(--soft); }
.button.primary { background: var(--sea); border-color: var(--sea); color: var(--paper); }
.button.primary:hover { filter: brightness(1.08); }
.button.danger { background: var(--bad); border-color: var(--bad); color: var(--paper); }
.button.danger:hover { filter: brightness(1.08); }
.button.plain { border-color: transparent; background: transparent; }
.button.plain:hover { background: var(--line); }
.button[disabled] { opacity: .55; cursor: default; }
.field { display: grid; gap: .3rem; }
.field label { font-weight: 550; font-size: .93rem; }
.input {
  width: 100%; padding: .5rem .7rem; border-radius: .5rem; border: 1px solid var(--faint); background: var(--paper);
}
.input::placeholder { color: var(--soft); opacity: 1; }
.error { color: var(--bad); font-size: .93rem; }
.icon { flex: none; width: 1em; height: 1em; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.icon .full { fill: currentColor; stroke: none; }
.tone-good { color: var(--good); }
.tone-working { color: var(--work); }
.tone-warning { color: var(--warn); }
.tone-bad { color: var(--bad); }
.tone-idle, .tone-plain { color: var(--soft); }
.tone-operator { color: var(--sea); }
`;

const frame = `
.bar, .page { width: 100%; max-width: 84rem; margin: 0 auto; padding: 0 1.5rem; }
.bar { display: flex; align-items: center; gap: .6rem; padding-top: 1rem; padding-bottom: .25rem; min-height: 3.4rem; }
.bar .brand { flex: none; display: flex; align-items: center; gap: .6rem; font-weight: 650; font-size: 1.05rem; letter-spacing: -.005em; }
.bar .brand img { display: block; border-radius: .45rem; }
.bar .where { color: var(--soft); font-size: .88rem; padding-left: .35rem; }
.bar .space { flex: 1; }
.bar .button { padding: .35rem .55rem; font-weight: 500; color: var(--soft); }
.bar .button:hover { color: var(--ink); }
.link { display: inline-flex; align-items: center; gap: .45rem; font-size: .88rem; color: var(--soft); padding: 0 .4rem; white-space: nowrap; }
.link i { width: .5rem; height: .5rem; border-radius: 50%; background: var(--soft); }
.link.live i { background: var(--good); box-shadow: 0 0 0 .22rem color-mix(in srgb, var(--good) 18%, transparent); }
.link.polling i { background: var(--work); }
.link.connecting i, .link.empty i { background: var(--warn); }
.link.lost i, .link.stale i { background: var(--bad); }
.hero { display: flex; align-items: flex-start; gap: 1.1rem; padding: 2rem 0 1.6rem; }
.hero .mark { flex: none; display: grid; place-items: center; width: 3.1rem; height: 3.1rem; border-radius: 50%; font-size: 1.5rem; margin-top: .1rem; }
.hero .mark.tone-good { background: var(--good-wash); }
.hero .mark.tone-working { background: var(--work-wash); }
.hero .mark.tone-warning { background: var(--warn-wash); }
.hero .mark.tone-bad { background: var(--bad-wash); }
.hero .mark.tone-idle { background: var(--line); }
.hero h1 { font-size: clamp(1.6rem, 1.1rem + 2vw, 2.35rem); line-height: 1.15; font-weight: 680; letter-spacing: -.022em; text-wrap: balance; }
.hero p { color: var(--soft); font-size: 1.03rem; margin-top: .35rem; text-wrap: pretty; }
.shares { padding-bottom: 1.7rem; }
.shares .strip { display: flex; gap: 3px; height: .5rem; }
.shares .strip i { border-radius: .25rem; min-width: .5rem; flex: 1 1 0; transition: flex-grow .5s ease; }
.shares .well { background: color-mix(in srgb, var(--good) 72%, var(--ground)); }
.shares .working { background: var(--work); }
.shares .weak { background: light-dark(#d99a2b, #f1b65f); }
.shares .trouble { background: var(--bad); }
.shares li i { display: inline-block; width: .55rem; height: .55rem; border-radius: .18rem; margin-right: .45rem; }
.shares ul { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin-top: .55rem; font-size: .92rem; color: var(--soft); }
.shares b { color: var(--ink); font-weight: 620; }
.old { filter: grayscale(.9); }
.notice { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1rem; padding: .8rem 1rem; border-radius: .75rem; margin-bottom: 1rem; background: var(--warn-wash); }
.notice .icon { color: var(--warn); font-size: 1.2rem; }
.notice.bad { background: var(--bad-wash); }
.notice.bad .icon { color: var(--bad); }
.notice.work { background: var(--work-wash); }
.notice.work .icon { color: var(--work); }
.notice div { flex: 1 1 18rem; }
.notice strong { font-weight: 640; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) 22.5rem; gap: 1.25rem; padding-bottom: 3rem; align-items: start; }
.stack { display: grid; gap: 1.25rem; min-width: 0; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: .9rem; box-shadow: var(--shadow); min-width: 0; }
.card > header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .3rem .6rem; padding: 1rem 1.2rem .55rem; }
.card > header .space { flex: 1; }
.card h2 { font-size: 1rem; font-weight: 640; letter-spacing: -.005em; }
.card .count { color: var(--soft); font-size: .92rem; }
.card > .empty { padding: .35rem 1.2rem 1.3rem; color: var(--soft); display: grid; gap: .7rem; }
.card > .empty .button:not(.primary) { color: var(--ink); }
.snippet { display: block; padding: .7rem .85rem; border-radius: .6rem; background: var(--raised); border: 1px solid var(--line); color: var(--ink); font-size: .84rem; line-height: 1.6; white-space: pre-wrap; overflow-wrap: anywhere; }
.footer { padding: 0 0 2rem; font-size: .85rem; color: var(--soft); display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem 1.2rem; }
.footer .about { margin-left: auto; }
`;

const parts = `
.work li { padding: .8rem 1.2rem; border-top: 1px solid var(--line); }
.work li:first-child { border-top: 0; padding-top: .35rem; }
.work .line { display: flex; flex-wrap: wrap; gap: .1rem .7rem; align-items: baseline; }
.work .line .doing { color: var(--work); }
.work .line .since { margin-left: auto; color: var(--soft); font-size: .88rem; }
.work .why { color: var(--soft); font-size: .92rem; }
.steps { display: grid; grid-template-columns: repeat(4, 1fr); gap: .3rem; margin-top: .5rem; font-size: .78rem; color: var(--soft); }
.steps li, .work .steps li { padding: .35rem 0 0; border: 0; border-top: 3px solid var(--line); }
.steps li.done, .work .steps li.done { border-color: color-mix(in srgb, var(--work) 55%, var(--paper)); }
.steps li.now, .work .steps li.now { border-color: var(--work); color: var(--ink); font-weight: 550; }

.regions { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: .2rem 1.6rem; padding: .1rem 1.2rem 1rem; }
.region { min-width: 0; padding-top: .5rem; container-type: inline-size; }
.region > .head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 .5rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
.region h3 { font-size: .92rem; font-weight: 620; }
.region .head span { color: var(--soft); font-size: .86rem; white-space: nowrap; }
.region .head .space { flex: 1; }
.host { border-bottom: 1px solid var(--line); }
.host:last-child { border-bottom: 0; }
.host > button { display: grid; grid-template-columns: 1.1rem minmax(0, 1fr) auto; column-gap: .5rem; align-items: center; width: 100%; padding: .5rem .4rem; margin: 0 -.4rem; width: calc(100% + .8rem); border: 0; background: transparent; text-align: left; border-radius: .5rem; }
.host > button:hover { background: var(--raised); }
.host .address { font-family: var(--mono); font-size: .87rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.host .heard { color: var(--soft); font-size: .86rem; white-space: nowrap; text-align: right; }
.host .sub { grid-column: 2 / -1; display: flex; flex-wrap: wrap; gap: 0 .8rem; color: var(--soft); font-size: .84rem; }
.host .more p { color: var(--warn); }
.host .more { padding: .1rem 0 .8rem 1.6rem; display: grid; gap: .7rem; font-size: .9rem; }
.host .more dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .1rem .9rem; }
.host .more dt { color: var(--soft); }
.host .more code { font-size: .82em; }
@container (max-width: 19rem) {
  .host .more dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .host .more dt { font-size: .84rem; }
  .host .more dd + dt { margin-top: .35rem; }
}
.buttons { display: flex; flex-wrap: wrap; gap: .5rem; }
.buttons:empty { display: none; }
.buttons.rare { margin: -.3rem 0 0 -.8rem; gap: 0; }
.buttons.rare .button { color: var(--soft); font-weight: 500; }
.buttons.rare .button:hover { color: var(--ink); }
.tag { display: inline-block; padding: 0 .45rem; border-radius: 1rem; font-size: .78rem; font-weight: 570; line-height: 1.5; white-space: nowrap; background: var(--line); color: var(--ink); }
.tag.bad { background: var(--bad-wash); color: var(--bad); }
.tag.warn { background: var(--warn-wash); color: var(--warn); }
.tag.work { background: var(--work-wash); color: var(--work); }
.tag.good { background: var(--good-wash); color: var(--good); }
.dot { display: inline-grid; place-items: center; width: 1.1rem; height: 1.1rem; font-size: .95rem; }

.note { padding: 0 1.2rem .9rem; color: var(--soft); font-size: .92rem; max-width: 46rem; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem; padding: .1rem 1.2rem .8rem; }
.filter { display: inline-flex; padding: .2rem; gap: .1rem; border-radius: .65rem; background: var(--raised); border: 1px solid var(--line); max-width: 100%; overflow-x: auto; }
.filter button { border: 0; background: transparent; padding: .25rem .7rem; border-radius: .45rem; font-size: .9rem; color: var(--soft); white-space: nowrap; }
.filter button:hover { color: var(--ink); }
.filter button[aria-pressed="true"] { background: var(--paper); color: var(--ink); font-weight: 570; box-shadow: 0 0 0 1px var(--line); }
.filter .n { font-size: .82rem; margin-left: .15rem; }
.search { flex: 1 1 13rem; position: relative; }
.search .icon { position: absolute; left: .7rem; top: 50%; translate: 0 -50%; color: var(--soft); pointer-events: none; }
.search .input { padding-left: 2.1rem; }
table { width: 100%; border-collapse: collapse; }
.clusters th { text-align: left; white-space: nowrap; font-weight: 500; font-size: .84rem; color: var(--soft); padding: .2rem .6rem .35rem; }
.clusters td { padding: .5rem .6rem; border-top: 1px solid var(--line); vertical-align: top; }
.clusters th:first-child, .clusters td:first-child { padding-left: 1.2rem; }
.clusters th:last-child, .clusters td:last-child { padding-right: 1.2rem; }
.clusters .id { width: 1%; white-space: nowrap; }
.clusters .id button { border: 0; background: transparent; padding: 0; font-weight: 620; text-align: left; display: inline-flex; gap: .35rem; align-items: center; }
.clusters .id button .icon { color: var(--soft); font-size: .8rem; transition: rotate .15s; }
.clusters .id button[aria-expanded="true"] .icon { rotate: 90deg; }
.clusters .state { width: 40%; }
.clusters .state .tag { display: table; margin-top: .25rem; }
.clusters .why { color: var(--soft); font-size: .87rem; display: block; }
.state-word { display: inline-flex; align-items: center; gap: .4rem; font-weight: 560; white-space: nowrap; }
.state-word.tone-good span, .state-word.tone-idle span { color: var(--ink); font-weight: 450; }
.state-word .icon { font-size: .95rem; }
.chips { display: flex; flex-wrap: wrap; gap: .3rem; }
.chip { display: inline-flex; align-items: center; gap: .3rem; padding: .05rem .45rem .05rem .35rem; border: 1px solid var(--line); border-radius: .45rem; font-family: var(--mono); font-size: .78rem; line-height: 1.65; max-width: 100%; min-height: 1.45rem; }
.chip > span:first-child { display: inline-flex; }
.chip .icon { font-size: .8rem; }
.chip.leads { border-color: color-mix(in srgb, var(--sea) 55%, var(--line)); background: color-mix(in srgb, var(--sea) 8%, var(--paper)); }
.chip.down { border-style: dashed; border-color: color-mix(in srgb, var(--bad) 45%, var(--line)); color: var(--soft); }
.detail td { border-top: 0; padding-top: 0; }
.detail .box { background: var(--raised); border: 1px solid var(--line); border-radius: .7rem; padding: .8rem 1rem; display: grid; gap: .7rem; }
.detail dl { display: flex; flex-wrap: wrap; gap: .2rem 1.8rem; }
.detail dl div { display: flex; gap: .45rem; }
.detail dt { color: var(--soft); flex: none; }
.detail .advice { color: var(--soft); max-width: 46rem; text-wrap: pretty; }
.detail .asked { display: block; color: var(--soft); font-size: .87rem; }
.detail table { font-size: .9rem; }
.detail .box th, .detail .box td { padding: .2rem .8rem .2rem 0; border: 0; }
.detail .box td { border-top: 1px solid var(--line); padding: .3rem .8rem .3rem 0; }
.pager { display: flex; align-items: center; gap: .6rem; padding: .7rem 1.2rem .9rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .9rem; }
.pager .space { flex: 1; }

.history ol { padding: .1rem 1.2rem 1rem; }
.history .day { padding: .7rem 0 .2rem; font-size: .84rem; color: var(--soft); font-weight: 560; }
.history .event { display: grid; grid-template-columns: 1.1rem minmax(0, 1fr) auto; gap: 0 .5rem; padding: .42rem 0; }
.history .event .dot { margin-top: .15rem; font-size: .8rem; }
.history .event .what { font-weight: 560; font-size: .93rem; }
.history .event time { color: var(--soft); font-size: .84rem; white-space: nowrap; }
.history .event .why { grid-column: 2 / -1; color: var(--soft); font-size: .87rem; }
.about { border: 0; padding: 0; background: transparent; color: var(--sea); font-weight: 560; text-align: left; text-decoration: underline; text-decoration-color: transparent; text-underline-offset: .2em; }
.about:hover { text-decoration-color: currentColor; }
.history .rest { padding: 0 1.2rem 1rem; }
.history .rest .button, .region > .button { margin-left: -.8rem; }

.gate { min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; }
.bar + .gate { min-height: calc(100vh - 4rem); padding-bottom: 5rem; }
.gate .panel { width: 100%; max-width: 25rem; display: grid; gap: 1.1rem; background: var(--paper); border: 1px solid var(--line); border-radius: 1.1rem; padding: 2rem; box-shadow: 0 1rem 3rem light-dark(#1a2a3314, #0006); }
.gate .panel img { display: block; border-radius: .8rem; }
.gate h1 { font-size: 1.45rem; letter-spacing: -.015em; line-height: 1.2; }
.gate form { display: grid; gap: 1rem; }
.gate h1 + p { margin-top: .4rem; }
.gate .panel > p { color: var(--soft); }
dialog { border: 1px solid var(--line); border-radius: 1rem; padding: 0; width: min(30rem, calc(100vw - 2rem)); color: var(--ink); background: var(--paper); box-shadow: 0 1.5rem 4rem #0007; }
dialog::backdrop { background: light-dark(#16222b66, #000a); }
dialog form { display: grid; gap: 1rem; padding: 1.5rem; }
dialog h2 { font-size: 1.15rem; letter-spacing: -.01em; }
dialog .facts { display: grid; gap: .45rem; padding: .85rem 1rem; border-radius: .7rem; background: var(--raised); border: 1px solid var(--line); }
dialog .facts li { display: flex; gap: .55rem; align-items: baseline; text-wrap: pretty; }
dialog .facts .icon, dialog .dry .icon { translate: 0 .12em; }
dialog.wide { width: min(44rem, calc(100vw - 2rem)); }
dialog .by-hand { display: grid; gap: .6rem; }
dialog h2:focus { outline: none; }
dialog .foot { position: sticky; bottom: 0; display: grid; gap: .7rem; margin: 0 -1.5rem -1.5rem; padding: .9rem 1.5rem 1.3rem; background: var(--paper); border-top: 1px solid var(--line); border-radius: 0 0 1rem 1rem; }
dialog .buttons { display: flex; flex-wrap: wrap; justify-content: flex-end; gap: .6rem; }
dialog .buttons .back { margin-right: auto; margin-left: -.8rem; }
dialog p:empty { display: none; }
dialog .dry { display: flex; gap: .55rem; align-items: baseline; color: var(--good); }
dialog .dry span { color: var(--ink); }
dialog details { font-size: .9rem; color: var(--soft); }
dialog details[open] { display: grid; gap: .5rem; }
dialog summary { cursor: pointer; border-radius: .3rem; }
dialog details .snippet { margin-top: .5rem; }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
legend { padding: 0; font-weight: 550; font-size: .93rem; }
.hint { color: var(--soft); font-size: .87rem; }
.wishes { border: 1px solid var(--line); border-radius: .6rem; max-height: 15rem; overflow-y: auto; }
.wishes li { display: flex; align-items: center; gap: .8rem; padding: .4rem .75rem; border-top: 1px solid var(--line); }
.wishes li:first-child { border-top: 0; }
.wishes .name { flex: 1; min-width: 0; }
.wishes .input { width: 4.2rem; padding: .3rem .5rem; }
.wishes.nodes li { justify-content: space-between; }
.wishes.nodes .quiet { display: block; font-size: .87rem; }
.wishes b { font-family: var(--mono); font-size: .87rem; font-weight: 500; }
.field .tick, .tick { font-weight: 450; font-size: .9rem; }
.tick { display: inline-flex; align-items: baseline; gap: .5rem; font-weight: 450; }
.tick input { accent-color: var(--sea); width: 1rem; height: 1rem; translate: 0 .12rem; flex: none; }
.toast { width: max-content; position: fixed; left: 50%; bottom: 1.5rem; translate: -50% 0; padding: .65rem 1.1rem; border-radius: .7rem; background: var(--ink); color: var(--paper); font-weight: 550; box-shadow: 0 .6rem 2rem #0005; max-width: calc(100vw - 2rem); }
`;

const adaptations = `
@media (max-width: 68rem) {
  .columns { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 44rem) {
  .bar, .page { padding-left: 1rem; padding-right: 1rem; }
  .bar { gap: .3rem; }
  .bar .where, .bar .words { display: none; }
  .hero { padding: 1.3rem 0 1.2rem; gap: .85rem; }
  .hero .mark { width: 2.5rem; height: 2.5rem; font-size: 1.25rem; }
  .card > header { padding: .9rem 1rem .45rem; }
  .card > header .button { padding: .38rem .55rem; }
  .notice div { flex-basis: 12rem; }
  .regions, .tools, .note, .history ol, .card > .empty, .history .rest { padding-left: 1rem; padding-right: 1rem; }
  .work li { padding-left: 1rem; padding-right: 1rem; }
  .steps { font-size: .72rem; }
  .filter { width: 100%; }
  .filter button { flex: 1; padding: .35rem .2rem; line-height: 1.25; }
  .filter .n { display: block; margin: 0; }
  .clusters thead { display: none; }
  .clusters, .clusters tbody { display: block; }
  .clusters > tbody > tr { display: flex; flex-wrap: wrap; gap: .3rem .8rem; padding: .75rem 1rem; border-top: 1px solid var(--line); }
  .clusters > tbody > tr > td:nth-child(n) { display: block; padding: 0; border: 0; width: auto; }
  .clusters > tbody > tr > td.state { text-align: right; flex: 1 1 10.5rem; min-width: 0; }
  .clusters .state .tag { margin-left: auto; }
  .clusters > tbody > tr > td.members { flex: 1 0 100%; min-width: 0; max-width: 100%; }
  .detail .box { padding: .7rem .85rem; }
  .detail .box tr { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0 .8rem; padding: .45rem 0; border-top: 1px solid var(--line); }
  .detail .box td.at { order: -2; grid-column: 1 / -1; }
  .detail .box td.node { order: 1; grid-column: 1 / -1; }
  .detail .box td.node, .detail .box td.in { color: var(--soft); font-size: .87rem; }
  .detail .box td.in { text-align: right; }
  .detail .box td { padding: 0; border: 0; }
  .clusters > tbody > tr.detail { padding-top: 0; border: 0; display: block; }
  .pager { padding-left: 1rem; padding-right: 1rem; }
  .host > button { min-height: 2.75rem; }
  .bar .button, .pager .button, .host .buttons .button { min-height: 2.5rem; }
  dialog form { padding: 1.2rem; }
  dialog .foot { margin: 0 -1.2rem -1.2rem; padding: .8rem 1.2rem 1rem; }
  .work .line .doing { order: 1; flex: 1 0 100%; }
  .detail .box td.is { display: contents; }
  .detail .box td.is .state-word { order: -1; }
  .detail .box td.is .asked { order: 2; grid-column: 1 / -1; }
  dialog .buttons { gap: .45rem; }
  dialog .buttons .button { padding-left: .62rem; padding-right: .62rem; }
}
.spin { animation: spin 2.4s linear infinite; }
@keyframes spin { to { rotate: 360deg; } }
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; }
  html { scroll-behavior: auto; }
}
@media (forced-colors: active) {
  .shares .strip i, .link i { forced-color-adjust: none; }
}
`;

/** The style sheet. */
export const styleText: string = colours + base + frame + parts + adaptations;
