/** The stream builder: pick messages, stripes, where, view; see the frames; take it away as code. */

import { $, bytes, count, make, say, short, throttled } from "./dom.js";
import { javascript, python, wscat } from "./snippets.js";

const FRAMES_SHOWN = 100;
const FRAME_CHARS = 2_000;
const PAINT_MS = 250;

export class Builder {
  constructor(gateway) {
    this._gateway = gateway;
    this._stream = null;
    this._stripes = new Set();
    this._view = new Set();
    // By message name: what it is, and which feeds have it.
    this._types = new Map();
    this._code = "python";
    this._paint = throttled(PAINT_MS, () => this._show());
    this._clear();
    gateway.onFeed(() => this._stop());
    $("build").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this._stream) this._stop();
      else this._run();
    });
    $("build").addEventListener("input", () => this._changed());
    $("build-names").addEventListener("change", () => this._fields());
    this._tabs();
    setInterval(() => this._second(), 1_000);
  }

  /** The gateway's messages, as REST tells them, and the names of its stripes. */
  use(all, stripes) {
    const names = $("build-names");
    this._types = new Map(all.map((each) => [each.msgName, { ...each, feeds: [] }]));
    for (const { msgName, src } of all) this._types.get(msgName).feeds.push(src);
    // What happens first, then what is true; a view's records are among the latter.
    const types = [...this._types.values()].sort((a, b) => a.kind.localeCompare(b.kind) || a.msgName.localeCompare(b.msgName));
    const chosen = new Set([...names.selectedOptions].map((option) => option.value));
    names.replaceChildren(
      ...types.map(({ msgName, kind, desc }) => {
        const option = make("option", { text: msgName + (kind === "record" ? " · record" : ""), value: msgName, title: desc ?? "" });
        option.selected = chosen.size ? chosen.has(msgName) : msgName === "AddOrder";
        return option;
      }),
      make("option", { text: "* · everything", value: "*" }),
    );
    $("build-stripes").replaceChildren(...stripes.map((name) => this._chip(name, this._stripes)));
    this._fields();
  }

  _chip(name, chosen) {
    const chip = make("button", { type: "button", text: name, "aria-pressed": String(chosen.has(name)) });
    chip.addEventListener("click", () => {
      if (!chosen.delete(name)) chosen.add(name);
      chip.setAttribute("aria-pressed", String(chosen.has(name)));
      this._changed();
    });
    return chip;
  }

  async _fields() {
    const [first] = this._names();
    let fields = [];
    try {
      if (first && first !== "*") fields = (await this._gateway.rest({ cmd: "getschema", msgType: first })).map((each) => each.name).filter(Boolean);
      // Of several feeds each tells its own.
      fields = [...new Set(fields)];
    } catch {
      // Then a view can't be picked here.
    }
    if (first !== this._names()[0]) return;
    for (const name of this._view) if (!fields.includes(name)) this._view.delete(name);
    $("build-view").replaceChildren(...fields.map((name) => this._chip(name, this._view)));
    if (fields.length === 0) $("build-view").replaceChildren(make("span", { className: "quiet", text: "all fields" }));
    this._changed();
  }

  _names() {
    const names = [...$("build-names").selectedOptions].map((option) => option.value);
    return names.includes("*") ? ["*"] : names;
  }

  /** From the first number of the session on, of each feed that has these messages. */
  _sessionStart(names) {
    const chosen = [...this._types.values()].filter(({ msgName }) => names.includes(msgName) || names.includes("*"));
    const feeds = [...new Set(chosen.flatMap((each) => each.feeds))];
    return feeds.length > 1 ? feeds.map((src) => `${src}//1`).join() : "//1";
  }

  _request() {
    const names = this._names();
    const start = $("build-start").value;
    const resume = start === "session" ? this._sessionStart(names) : start === "position" ? $("build-position").value.trim() : "";
    // A replay has every message, of records too.
    const every = resume && names.some((name) => this._types.get(name)?.kind === "record") ? "every" : "";
    return {
      names,
      stripes: [...this._stripes],
      where: $("build-where").value.trim(),
      view: [...this._view].join("|"),
      resume,
      delivery: $("build-delivery").value || every,
    };
  }

  // Running.

  _run() {
    const { names, stripes, ...options } = this._request();
    this._clear();
    say($("build-problem"), "");
    if (names.length === 0) {
      say($("build-problem"), "Pick at least one message.");
      return;
    }
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value));
    try {
      const stream = this._gateway.feed.stream(...names, { stripe: stripes, ...given, ownSocket: true });
      this._stream = stream;
      $("build-run").textContent = "Stop";
      $("build-frames").replaceChildren();
      stream.listen({
        batch: (messages) => this._batch(stream, messages),
        notice: (notice) => this._line(stream, make("li", { className: "told", text: `${notice.kind}${notice.detail ? `: ${notice.detail}` : ""}` })),
        end: (error) => {
          if (error && this._stream === stream) {
            this._stop();
            say($("build-problem"), error.detail || error.message);
          }
        },
      });
    } catch (error) {
      this._stop();
      say($("build-problem"), error.message);
    }
  }

  _stop() {
    const stream = this._stream;
    this._stream = null;
    stream?.close();
    $("build-run").textContent = "Stream";
    this._perSecond = undefined;
    this._paint();
  }

  _batch(stream, messages) {
    if (this._stream !== stream) return;
    this._count += messages.length;
    for (const message of messages) this._bytes += message.raw.length;
    // Only what will be seen becomes an element.
    for (const message of messages.slice(-FRAMES_SHOWN)) this._lines.push(message);
    this._trim();
    this._paint();
  }

  _line(stream, element) {
    if (this._stream !== stream) return;
    this._lines.push(element);
    this._trim();
    this._paint();
  }

  _trim() {
    if (this._lines.length > FRAMES_SHOWN) this._lines.splice(0, this._lines.length - FRAMES_SHOWN);
  }

  _clear() {
    this._lines = [];
    this._count = this._bytes = this._countBefore = 0;
    this._perSecond = undefined;
    this._paint();
  }

  _second() {
    if (this._stream === null) return;
    this._perSecond = this._count - this._countBefore;
    this._countBefore = this._count;
    this._paint();
  }

  _show() {
    say($("build-count"), count(this._count));
    say($("build-rate"), short(this._perSecond));
    say($("build-bytes"), bytes(this._bytes));
    if (this._stream) {
      say($("build-at"), this._stream.positions.join(", ") || "–");
      say($("build-doubles"), count(this._stream.doubles));
    }
    const frames = $("build-frames");
    // What somebody reads must not move: the list stands still while it is scrolled or hovered.
    if (this._lines.length === 0 || frames.scrollTop > 4 || frames.matches(":hover")) return;
    frames.prepend(...this._lines.splice(0).reverse().map((line) => (line instanceof Element ? line : frame(line))));
    while (frames.children.length > FRAMES_SHOWN) frames.lastChild.remove();
  }

  // As code.

  _changed() {
    $("build-position").hidden = $("build-start").value !== "position";
    this._showCode();
  }

  _showCode() {
    const request = this._request();
    if (request.names.length === 0) request.names = ["AddOrder"];
    const { host, protocol, origin } = location;
    const url = `${protocol === "https:" ? "wss" : "ws"}://${host}`;
    const { key } = this._gateway;
    const write = { python: () => python(url, request, key), javascript: () => javascript(url, origin, request, key), wscat: () => wscat(url, request, key) };
    say($("code-text"), write[this._code]());
  }

  _tabs() {
    const tabs = [...$("code-tabs").querySelectorAll("[role=tab]")];
    const choose = (tab) => {
      for (const each of tabs) {
        each.setAttribute("aria-selected", String(each === tab));
        each.tabIndex = each === tab ? 0 : -1;
      }
      this._code = tab.dataset.code;
      this._showCode();
    };
    for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
    $("code-tabs").addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const at = tabs.indexOf(event.target);
      if (step === undefined || at < 0) return;
      const next = tabs[(at + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
    $("code-copy").addEventListener("click", async () => {
      const told = await copied($("code-text"));
      say($("code-copy"), told ? "Copied" : "Select and copy");
      setTimeout(() => say($("code-copy"), "Copy"), 1_500);
    });
  }
}

function frame(message) {
  const { mTyp, seqN, ses, sTim } = message.header;
  const fields = message.raw.slice(message.raw.indexOf('"message":') + 10, -1);
  return make(
    "li",
    { title: message.raw.slice(0, FRAME_CHARS) },
    make("b", { text: mTyp }),
    make("span", { className: "quiet", text: ` ${seqN ?? "–"} ${sTim?.slice(11) ?? ""} ` }),
    fields.slice(0, FRAME_CHARS),
  );
}

/** The clipboard is not there without TLS, but for this machine's own pages; then the text is selected instead. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return false;
  }
}
