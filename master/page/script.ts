/** The page's script: its parts, in the order in which they need each other, in a scope of their own. */
import { commandsScript } from "./script_commands.ts";
import { dialogsScript } from "./script_dialogs.ts";
import { domScript } from "./script_dom.ts";
import { listsScript } from "./script_lists.ts";
import { liveScript } from "./script_live.ts";
import { mainScript } from "./script_main.ts";
import { textScript } from "./script_text.ts";
import { viewsScript } from "./script_views.ts";

/** The script. */
export const scriptText: string = [
  '"use strict";\n(() => {',
  domScript,
  textScript,
  liveScript,
  viewsScript,
  listsScript,
  dialogsScript,
  commandsScript,
  mainScript,
  "})();\n",
].join("\n");
