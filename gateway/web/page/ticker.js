/**
 * One ticker: last price, chart, ladder, prints.
 *
 * From the gateway's own records (StockPrint, BookDepth, StockBookQuote) where it makes them; else from ITCH's order
 * messages of this one ticker, which give the book of the orders seen since, or the whole one by a replay.
 */

import { BOOK_MESSAGES, Book, PRINT_MESSAGES } from "./book.js";
import { Chart } from "./chart.js";
import { $, count, make, price, say, short, throttled } from "./dom.js";

const LEVELS = 10;
const PRINTS_SHOWN = 40;
const POINTS_MAX = 3_000;
const SPAN_S = 20;
const PAINT_MS = 200;
// The first ticker shown is the busiest among so many prints, or in so much time.
const SAMPLE_PRINTS = 40;
const SAMPLE_MS = 1_500;

export class Ticker {
  constructor() {
    this.name = "";
    this._feed = null;
    this._types = new Set();
    this._streams = [];
    this._chart = new Chart($("price-chart"), { value: price, spanS: SPAN_S, stepped: true });
    this._chart.setSeries(["price"]);
    this._paint = throttled(PAINT_MS, () => this._show());
    this._clear();
    $("ladder-whole").addEventListener("click", () => this.open(this.name, true));
  }

  /** The gateway's streams and the names of the messages it has; shows `name`, or the busiest ticker. */
  use(feed, types, name) {
    this._feed = feed;
    this._types = new Set(types);
    if (name) this.open(name);
    else this._openBusiest();
  }

  open(name, whole = false) {
    this._close();
    this._clear();
    this.name = name;
    this._whole = whole;
    say($("ticker-name"), name);
    const depth = [...this._types].filter((type) => /^BookDepth\d*$/.test(type)).at(-1);
    const own = `ticker.tk:eq:${name}`;
    if (this._types.has("StockPrint")) {
      this._listen(["StockPrint"], { where: own, delivery: "every" }, (message) => this._stockPrint(message));
      if (depth) this._listen([depth], { where: own, latencyMs: 100 }, (message) => this._depth(message));
      else if (this._types.has("StockBookQuote")) this._listen(["StockBookQuote"], { where: own, latencyMs: 100 }, (message) => this._quote(message));
      say($("ticker-of"), "");
      $("ladder-whole").hidden = true;
      say($("ladder-note"), depth || !this._types.has("StockBookQuote") ? "" : "The gateway makes two levels; configure BookDepth for more.");
    } else {
      const names = [...BOOK_MESSAGES, ...PRINT_MESSAGES].filter((type) => this._types.has(type));
      if (names.length === 0) return;
      this._book = new Book();
      this._listen(names, { where: `stock:eq:${name}`, ...(whole ? { resume: "//1" } : {}) }, (message) => this._order(message));
      $("ladder-whole").hidden = whole;
      say($("ladder-note"), whole ? "The whole book, replayed from the session’s start." : "Of orders that came since you look.");
    }
    this._paint();
    this.onOpen?.(name);
  }

  _listen(names, options, act) {
    const stream = this._feed.stream(...names, options);
    this._streams.push(stream);
    stream.listen({
      batch: (messages) => {
        if (!this._streams.includes(stream)) return;
        for (const message of messages) act(message);
        this._paint();
      },
      notice: (notice) => {
        // Orders and locate codes are of one session.
        if (notice.kind === "SessionChange" && this._book) this._book = new Book();
      },
      end: (error) => {
        if (error && this._streams.includes(stream)) this.onProblem?.(error);
      },
    });
  }

  _openBusiest() {
    const name = ["StockPrint", "Trade", "AddOrder"].find((type) => this._types.has(type));
    if (name === undefined) return;
    const seen = new Map();
    let prints = 0;
    const choose = () => {
      clearTimeout(timer);
      stream.close();
      const [busiest] = [...seen].sort((a, b) => b[1] - a[1])[0] ?? [];
      if (busiest && !this.name) this.open(busiest);
      else if (!this.name) timer = setTimeout(choose, SAMPLE_MS);
    };
    let timer = setTimeout(choose, SAMPLE_MS);
    const stream = this._feed.stream(name, { delivery: "every", highwaterNs: -1 });
    stream.listen({
      batch: (messages) => {
        for (const { fields } of messages) {
          const ticker = fields.stock ?? fields.pkey?.ticker?.tk;
          if (ticker) seen.set(ticker, (seen.get(ticker) ?? 0) + 1);
          prints += 1;
        }
        if (prints >= SAMPLE_PRINTS) choose();
      },
    });
  }

  _close() {
    const streams = this._streams;
    this._streams = [];
    for (const stream of streams) stream.close();
  }

  _clear() {
    this._book = null;
    this._levels = { bids: [], asks: [] };
    this._prints = [];
    this._times = [];
    this._prices = [];
    this._first = this._last = this._high = this._low = undefined;
    this._volume = this._turnover = 0;
    this._vwap = undefined;
    this._chart.setData([[], []]);
  }

  // What comes.

  _order({ type, fields, sentAt }) {
    const print = this._book.take(type, fields);
    if (print === null) return;
    this._volume += Number(print.size);
    this._turnover += print.price * Number(print.size);
    this._high = Math.max(print.price, this._high ?? print.price);
    this._low = Math.min(print.price, this._low ?? print.price);
    this._vwap = this._turnover / this._volume;
    this._printed(print.price, print.size, sentAt);
  }

  _stockPrint({ fields, sentAt }) {
    this._high = fields.highPrice;
    this._low = fields.lowPrice;
    this._vwap = fields.vwap;
    this._volume = Number(fields.prtVolume);
    this._printed(fields.prtPrice, fields.prtSize, sentAt);
  }

  _depth({ fields }) {
    this._levels = { bids: fields.bids, asks: fields.asks };
  }

  _quote({ fields }) {
    const side = (name) =>
      [1, 2].filter((at) => fields[`${name}Size${at}`] > 0).map((at) => ({ price: fields[`${name}Price${at}`], size: fields[`${name}Size${at}`] }));
    this._levels = { bids: side("bid"), asks: side("ask") };
  }

  _printed(at, size, when) {
    this._first ??= at;
    const before = this._prints[0]?.price ?? at;
    const way = at > before ? "up" : at < before ? "down" : (this._prints[0]?.way ?? "");
    this._last = at;
    this._prints.unshift({ price: at, size, when, way });
    if (this._prints.length > PRINTS_SHOWN) this._prints.pop();
    // A chart of prints: several within a moment are one point, the last.
    const second = Math.round((when?.getTime() ?? Date.now()) / 100) / 10;
    if (this._times.at(-1) === second) this._prices[this._prices.length - 1] = at;
    else {
      this._times.push(second);
      this._prices.push(at);
      if (this._times.length > POINTS_MAX) {
        this._times.splice(0, POINTS_MAX / 10);
        this._prices.splice(0, POINTS_MAX / 10);
      }
    }
  }

  // What is shown.

  _show() {
    if (this._book) this._levels = { bids: this._book.best("B", LEVELS), asks: this._book.best("S", LEVELS) };
    const { bids, asks } = this._levels;
    say($("ticker-last"), price(this._last));
    const change = this._last === undefined ? 0 : this._last - this._first;
    say($("ticker-change"), this._last === undefined ? "" : `${change < 0 ? "−" : "+"}${price(Math.abs(Number(change.toFixed(4))))} since you look`);
    $("ticker-change").className = `change ${change > 0 ? "up" : change < 0 ? "down" : "quiet"}`;
    say($("fact-bid"), bids.length ? price(bids[0].price) : "–");
    say($("fact-ask"), asks.length ? price(asks[0].price) : "–");
    say($("fact-high"), price(this._high));
    say($("fact-low"), price(this._low));
    say($("fact-volume"), this._volume ? short(this._volume) : "–");
    say($("fact-vwap"), this._vwap === undefined ? "–" : price(Number(Number(this._vwap).toFixed(4))));
    this._showLadder(bids.slice(0, LEVELS), asks.slice(0, LEVELS));
    this._showPrints();
    this._chart.setData([this._times, this._prices]);
  }

  _showLadder(bids, asks) {
    const most = Math.max(1, ...[...bids, ...asks].map((level) => Number(level.size)));
    ladderRows($("asks"), [...asks].reverse(), most);
    ladderRows($("bids"), bids, most);
    const spread = bids.length && asks.length ? Number((asks[0].price - bids[0].price).toFixed(4)) : undefined;
    if ($("spread").rows.length === 0) $("spread").append(make("tr", {}, make("td", { colspan: "3" })));
    say($("spread").rows[0].cells[0], spread === undefined ? "no spread yet" : `spread ${price(spread)}`);
  }

  _showPrints() {
    const rows = this._prints.map((print) =>
      make(
        "tr",
        {},
        make("td", { text: print.when ? print.when.toLocaleTimeString([], { hour12: false }) : "" }),
        make("td", { className: `number ${print.way}`, text: price(print.price) }),
        make("td", { className: "number", text: count(print.size) }),
      ),
    );
    if (rows.length === 0) rows.push(make("tr", {}, make("td", { colspan: "3", className: "quiet", text: "No print yet." })));
    $("print-rows").replaceChildren(...rows);
  }
}

/** Rows are kept and filled again: the ladder must not flicker. */
function ladderRows(body, levels, most) {
  while (body.rows.length > levels.length) body.deleteRow(0);
  while (body.rows.length < levels.length) {
    body.append(
      make("tr", {}, make("td", { className: "number" }, make("span")), make("td", { className: "number" }, make("span", { className: "bar" }), make("span")), make("td", { className: "number" }, make("span"))),
    );
  }
  levels.forEach((level, at) => {
    const [orders, size, at_price] = body.rows[at].cells;
    say(orders.lastChild, level.orders === undefined ? "" : count(level.orders));
    size.firstChild.style.transform = `scaleX(${(Number(level.size) / most).toFixed(3)})`;
    say(size.lastChild, count(level.size));
    say(at_price.lastChild, price(level.price));
  });
}
