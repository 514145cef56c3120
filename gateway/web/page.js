/** The page at `/`: wires the panels to the gateway this page came from. Uses client.js and public answers only. */

import { Builder } from "./page/builder.js";
import { $, clock, keep, kept, make, price, say, setTheme } from "./page/dom.js";
import { Feeds } from "./page/feeds.js";
import { Gateway } from "./page/gateway.js";
import { Search } from "./page/search.js";
import { showSubscribers } from "./page/subscribers.js";
import { Ticker } from "./page/ticker.js";
import { Watch } from "./page/watch.js";

const NOTICES_SHOWN = 50;
const TITLE_MS = 1_000;
const QUIET_KINDS = new Set(["SnapshotComplete", "Paused", "Resumed"]);

// Light and dark.

const dark = matchMedia("(prefers-color-scheme: dark)");
const THEME = "soup-gateway theme";
const theme = () => setTheme(kept("localStorage", THEME) ?? (dark.matches ? "dark" : "light"));
const turn = () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  keep("localStorage", THEME, next);
  theme();
};
theme();
dark.addEventListener("change", theme);
$("theme").addEventListener("click", turn);
document.addEventListener("keydown", (event) => {
  if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) turn();
});

// The panels.

const gateway = new Gateway();
const feeds = new Feeds();
const ticker = new Ticker(gateway);
const builder = new Builder(gateway);
new Search(gateway, (name) => ticker.open(name));
ticker.onOpen = (name) => history.replaceState(null, "", `#${encodeURIComponent(name)}`);
ticker.onProblem = (error) => tell("Ticker", error.message);
const sections = new Set([...document.querySelectorAll("section[id]")].map((section) => section.id));
const wanted = () => {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    // As it stands, then.
  }
  return sections.has(name) ? "" : name;
};
addEventListener("hashchange", () => {
  if (wanted() && wanted() !== ticker.name) ticker.open(wanted());
});

// The gateway's life, and ours with it.

let catalogue = null;
const watch = new Watch(gateway);
watch.addEventListener("stats", async ({ detail }) => {
  const state = detail.ready.ready ? ["live", "live"] : ["waiting", "not ready"];
  line(...state);
  feeds.take(detail);
  showSubscribers(detail);
  if (catalogue !== detail.stats.startedMs) {
    // At first, after a logon, and when the gateway was started anew: it may have other messages.
    const first = catalogue === null;
    catalogue = detail.stats.startedMs;
    try {
      const types = await gateway.rest({ cmd: "getmsgtypes" });
      const { compounds, primaries } = detail.stats.stripes;
      builder.use(types, [...compounds, ...primaries]);
      if (first) ticker.use(types, ticker.name || wanted());
    } catch (error) {
      catalogue = null;
      tell("Page", error.message);
    }
  }
});
watch.addEventListener("lost", ({ detail }) => {
  line("down", "no answer from the gateway, trying again");
  $("line").title = detail;
  feeds.lose();
});
watch.addEventListener("refused", ({ detail }) => askForKey(detail));

function line(state, text) {
  $("line").dataset.state = document.body.dataset.line = state;
  say($("line").lastElementChild, text);
  $("line").title = "";
}

// A tab says how things are, also when nobody looks at the page.
setInterval(() => {
  const { state } = $("line").dataset;
  const now = state === "live" ? (ticker.last === undefined ? "" : `${price(ticker.last)} ${ticker.name}`) : $("line").lastElementChild.textContent;
  document.title = now ? `${now} · soup-gateway` : "soup-gateway";
  const icon = state === "down" ? "/icon-down.svg" : "/icon.svg";
  if ($("icon").getAttribute("href") !== icon) $("icon").setAttribute("href", icon);
}, TITLE_MS);

gateway.onNotice = (notice, stream) => {
  if (!QUIET_KINDS.has(notice.kind)) tell(notice.kind, `${stream.names.length > 2 ? `${stream.names.length} messages` : stream.names.join(", ")}: ${notice.detail}`);
};

function tell(kind, text) {
  const list = $("notices");
  const last = list.firstElementChild;
  list.querySelector(".quiet")?.remove();
  const item = make("li", {}, make("time", { text: clock(new Date()) }), make("b", { text: `${kind} ` }), text);
  item.dataset.kind = kind;
  // A long outage is one line that counts on.
  if (kind === "Reconnecting" && last?.dataset.kind === kind) last.replaceWith(item);
  else list.prepend(item);
  while (list.children.length > NOTICES_SHOWN) list.lastElementChild.remove();
}

// The key.

function askForKey(why) {
  const dialog = $("logon");
  if (dialog.open) return;
  gateway.forgetKey();
  line("waiting", "waiting for a key");
  say($("logon-why"), gateway.key ? why : "Streams and numbers are for holders of a key. It is never put into an address.");
  watch.rest();
  dialog.showModal();
}

$("logon").addEventListener("close", () => {
  const key = $("logon-key").value.trim();
  $("logon-key").value = "";
  if (key) {
    catalogue = null;
    gateway.logOn(key, $("logon-keep").checked);
  }
  watch.wake();
});
