/**
 * One ticker: last price, chart, ladder, prints.
 *
 * From the gateway's own records (StockPrint, BookDepth, StockBookQuote) where it makes them; else from ITCH's order
 * messages of this one ticker, which give the book of the orders seen since, or the whole one by a replay.
 */

import { Incomplete } from "/client.js";
import { BOOK_MESSAGES, Book, PRINT_MESSAGES } from "./book.js";
import { Chart } from "./chart.js";
import { $, MARKETS, asTicker, average, clock, count, make, price, quoted, say, short, throttled } from "./dom.js";
import { replay } from "./history.js";

const LEVELS = 10;
const PRINTS_SHOWN = 40;
const POINTS_MAX = 3_000;
const SPAN_S = 20;
const PAINT_MS = 200;
// The first ticker shown is the busiest among so many prints, or in so much time.
const SAMPLE_PRINTS = 40;
const SAMPLE_MS = 1_500;
const STATES = { T: "trading", H: "halted", P: "paused", Q: "quotation only" };

export class Ticker {
  constructor(gateway) {
    this.name = "";
    this.last = undefined;
    this._gateway = gateway;
    this._types = new Set();
    this._streams = [];
    this._chart = new Chart($("price-chart"), { value: price, spanS: SPAN_S, stepped: true, last: true });
    this._chart.setSeries(["price"]);
    this._paint = throttled(PAINT_MS, () => this._show());
    this._clear();
    $("ladder-whole").addEventListener("click", () => this.open(this.name, true));
  }

  /** The gateway's messages, as REST tells them; shows `name`, or the busiest ticker, of the first feed that has any. */
  use(types, name) {
    const prints = types.find((each) => each.msgName === "StockPrint") ?? types.find((each) => each.msgName === "AddOrder");
    this._src = (prints ?? types[0])?.src;
    this._isOnly = types.every((each) => each.src === this._src);
    this._types = new Set(types.filter((each) => each.src === this._src).map((each) => each.msgName));
    if (name) this.open(name);
    else this._openBusiest();
  }

  open(name, whole = false) {
    this._close();
    this._clear();
    this.name = name;
    this._whole = whole;
    say($("ticker-name"), name);
    this._about(name);
    const depth = [...this._types].filter((type) => /^BookDepth\d*$/.test(type)).at(-1);
    const own = `ticker.tk:eq:${quoted(name)}`;
    if (this._types.has("StockPrint")) {
      this._listen(["StockPrint"], { where: own, delivery: "every" }, (message) => this._stockPrint(message));
      if (depth) this._listen([depth], { where: own, latencyMs: 100 }, (message) => this._depth(message));
      else if (this._types.has("StockBookQuote")) this._listen(["StockBookQuote"], { where: own, latencyMs: 100 }, (message) => this._quote(message));
      $("ladder-whole").hidden = true;
      say($("ladder-note"), depth || !this._types.has("StockBookQuote") ? "" : "The gateway makes two levels; configure BookDepth for more.");
    } else {
      const names = [...BOOK_MESSAGES, ...PRINT_MESSAGES].filter((type) => this._types.has(type));
      this._book = new Book();
      if (names.length > 0) this._listen(names, { where: `stock:eq:${quoted(name)}`, ...(whole ? { resume: `${this._src}//1` } : {}) }, (message) => this._order(message));
      $("ladder-whole").hidden = whole || names.length === 0;
      say($("ladder-note"), names.length === 0 ? "This gateway has neither orders nor books." : whole ? "The whole book, replayed from the session’s start." : "Of orders that came since you look.");
    }
    this._past(name);
    this._paint();
    this.onOpen?.(name);
  }

  /** Where it is listed and whether it trades, as far as the gateway's messages say so. */
  _about(name) {
    const names = ["StockDirectory", "StockTradingAction"].filter((type) => this._types.has(type));
    say($("ticker-of"), "");
    if (!names.includes("StockDirectory")) return;
    const known = {};
    const tell = () => {
      const { marketCategory, tradingState } = known;
      say($("ticker-of"), [this._isOnly ? "" : this._src, MARKETS[marketCategory], STATES[tradingState]].filter(Boolean).join(" · "));
      $("ticker-of").classList.toggle("warn", tradingState !== undefined && tradingState !== "T");
    };
    this._listen(names, { where: `stock:eq:${quoted(name)}` }, ({ fields }) => tell(Object.assign(known, fields)), () => {
      if (known.stock !== undefined) return;
      // Typed into the address, perhaps, as it came.
      if (asTicker(name) !== name) this.open(asTicker(name));
      else say($("ticker-of"), "not in the directory of this session");
    });
  }

  async _past(name) {
    try {
      const stream = await replay(this._gateway, this._src, this._types, name, (points) => {
        if (this.name !== name) return;
        this._before = [...this._before, ...points].slice(-POINTS_MAX);
        this._paint();
      });
      if (stream !== null && this.name === name) this._streams.push(stream);
      else stream?.close();
    } catch {
      // No answer: the page says so elsewhere.
    }
  }

  _listen(names, options, act, whenComplete) {
    const stream = this._gateway.feed.stream(...names, options);
    this._streams.push(stream);
    stream.listen({
      batch: (messages) => {
        if (!this._streams.includes(stream)) return;
        for (const message of messages) if (message.src === this._src) act(message);
        this._paint();
      },
      notice: (notice) => {
        // Orders and locate codes are of one session.
        if (notice.kind === "SessionChange" && this._book) this._book = new Book();
        else if (notice.kind === "SnapshotComplete" && this._streams.includes(stream)) whenComplete?.();
      },
      end: (error) => {
        if (!error || !this._streams.includes(stream)) return;
        this.onProblem?.(error);
        // Another gateway, or another journal, answers here now: what is shown is of a market that is gone.
        if (error instanceof Incomplete) this.open(this.name, this._whole);
      },
    });
  }

  _openBusiest() {
    const name = ["StockPrint", "Trade", "AddOrder"].find((type) => this._types.has(type));
    if (name === undefined) {
      say($("ticker-of"), "this gateway has no prints or orders that are known here; the stream builder shows all it has");
      this._paint();
      return;
    }
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
    const stream = this._gateway.feed.stream(name, { delivery: "every", highwaterNs: -1 });
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
    this._fresh = 0;
    this._times = [];
    this._prices = [];
    this._before = [];
    this.last = this._high = this._low = undefined;
    $("print-rows").replaceChildren(make("tr", {}, make("td", { colspan: "3", className: "quiet", text: "No print yet." })));
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
    const before = this._prints[0]?.price ?? at;
    const way = at > before ? "up" : at < before ? "down" : (this._prints[0]?.way ?? "");
    this.last = at;
    this._prints.unshift({ price: at, size, when, way });
    this._fresh += 1;
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
    const [times, prices] = this._points();
    const last = this.last ?? prices.at(-1);
    say($("ticker-last"), price(last));
    this._showChange(last, prices[0], times[0]);
    say($("fact-bid"), bids.length ? price(bids[0].price) : "–");
    say($("fact-ask"), asks.length ? price(asks[0].price) : "–");
    say($("fact-high"), price(this._high));
    say($("fact-low"), price(this._low));
    say($("fact-volume"), this._volume ? short(this._volume) : "–");
    say($("fact-vwap"), average(this._vwap));
    this._showLadder(bids.slice(0, LEVELS), asks.slice(0, LEVELS));
    this._showPrints();
    this._chart.setData([times, prices]);
  }

  /** The chart's points: the past, as far as it is before what was seen. */
  _points() {
    const until = this._times[0] ?? Infinity;
    const before = this._before.filter(([at]) => at < until);
    return [[...before.map(([at]) => at), ...this._times], [...before.map(([, at]) => at), ...this._prices]];
  }

  _showChange(last, first, since) {
    const change = last === undefined ? 0 : Number((last - first).toFixed(4));
    const sign = change < 0 ? "−" : "+";
    const percent = Math.abs((change / first) * 100).toFixed(2);
    say($("ticker-change"), last === undefined ? "" : `${sign}${price(Math.abs(change))} (${sign}${percent} %) since ${clock(since * 1000)}`);
    $("ticker-change").className = `change ${change > 0 ? "up" : change < 0 ? "down" : "quiet"}`;
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
    const rows = this._prints.slice(0, this._fresh).map((print) =>
      make(
        "tr",
        {},
        make("td", { text: clock(print.when) }),
        make("td", { className: `number ${print.way}`, text: price(print.price) }),
        make("td", { className: "number", text: count(print.size) }),
      ),
    );
    if (rows.length === 0) return;
    if (this._prints.length === this._fresh) $("print-rows").replaceChildren();
    this._fresh = 0;
    $("print-rows").prepend(...rows);
    while ($("print-rows").rows.length > PRINTS_SHOWN) $("print-rows").lastChild.remove();
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
