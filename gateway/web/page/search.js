/** The ticker search: a combobox over the gateway's directory, asked for by its beginning. */

import { $, MARKETS, asTicker, make, quoted } from "./dom.js";

const SHOWN_MAX = 12;
const WAIT_MS = 120;

export class Search {
  constructor(gateway, open) {
    this._gateway = gateway;
    this._open = open;
    this._input = $("search-text");
    this._list = $("search-list");
    this._chosen = -1;
    this._asked = 0;
    this._offeredFor = null;
    this._input.addEventListener("input", () => {
      clearTimeout(this._timer);
      this._timer = setTimeout(() => this._ask(), WAIT_MS);
    });
    this._input.addEventListener("focus", () => this._ask());
    this._input.addEventListener("keydown", (event) => this._key(event));
    this._input.addEventListener("blur", () => setTimeout(() => this._hide(), 150));
    $("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this._submit();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.ctrlKey && !event.metaKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
        event.preventDefault();
        this._input.focus();
        this._input.select();
      }
    });
  }

  get _typed() {
    return this._input.value.trim();
  }

  async _submit() {
    // Who types fast is ahead of what is offered.
    if (this._chosen < 0 && this._offeredFor !== this._typed) await this._ask();
    const offered = [...this._list.children].map((item) => item.dataset.ticker);
    const typed = this._typed.toUpperCase();
    const same = offered.find((ticker) => ticker.toUpperCase() === typed);
    const begins = typed && offered.find((ticker) => ticker.toUpperCase().startsWith(typed));
    this._take(offered[this._chosen] ?? same ?? (begins || asTicker(this._typed)));
  }

  async _ask() {
    clearTimeout(this._timer);
    const asked = ++this._asked;
    const text = this._typed;
    // Most tickers are in capitals, and most people type them as they come.
    const where = text ? { where: [...new Set([text, text.toUpperCase()])].map((each) => `stock:sw:${quoted(each)}`).join(" | ") } : {};
    let found = [];
    try {
      found = await this._gateway.rest({ cmd: "getmsgs", msgType: "StockDirectory", view: "stock|marketCategory", order: "stock:ASC", limit: SHOWN_MAX, ...where });
    } catch {
      // Without a directory what is typed is taken as it stands.
    }
    if (asked !== this._asked || document.activeElement !== this._input) return;
    this._chosen = -1;
    this._offeredFor = text;
    this._list.replaceChildren(
      ...found.map(({ stock, marketCategory }, at) => {
        const item = make("li", { role: "option", id: `search-${at}`, "aria-selected": "false", text: stock }, make("small", { text: MARKETS[marketCategory] ?? "" }));
        item.dataset.ticker = stock;
        item.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          this._take(stock);
        });
        return item;
      }),
    );
    this._list.hidden = found.length === 0;
    this._input.setAttribute("aria-expanded", String(found.length > 0));
  }

  _key(event) {
    const items = this._list.children;
    if (event.key === "Escape") {
      this._hide();
      this._input.blur();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && items.length > 0) {
      event.preventDefault();
      items[this._chosen]?.setAttribute("aria-selected", "false");
      this._chosen = (this._chosen + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length;
      items[this._chosen].setAttribute("aria-selected", "true");
      items[this._chosen].scrollIntoView({ block: "nearest" });
      this._input.setAttribute("aria-activedescendant", items[this._chosen].id);
    }
  }

  _take(ticker) {
    if (!ticker) return;
    clearTimeout(this._timer);
    this._asked += 1;
    this._input.value = ticker;
    this._hide();
    this._input.blur();
    this._open(ticker);
  }

  _hide() {
    this._list.hidden = true;
    this._input.setAttribute("aria-expanded", "false");
    this._input.removeAttribute("aria-activedescendant");
  }
}
