/** Feeds and their state, messages per second of each, and of each stripe. */

import { Chart } from "./chart.js";
import { $, age, count, make, say, short } from "./dom.js";

const SHOWN_S = 300;
const SPAN_S = 60;
const STATES = { streaming: "good", receiving: "good", "logging in": "warn", dialling: "warn", waiting: "bad", stopped: "bad" };
// How much of a stripe's new rate is shown at once: the bars glide.
const FRESH = 0.4;

export class Feeds {
  constructor() {
    this._chart = new Chart($("rate-chart"), { value: short, spanS: SPAN_S, zero: true });
    this._times = [];
    this._rates = new Map();
    this._rows = new Map();
    this._bars = new Map();
  }

  /** One poll of the gateway. */
  take({ stats, ready, before, seconds }) {
    const names = Object.keys(stats.feeds);
    this._chartRates(names, stats, before, seconds);
    const shown = new Map();
    for (const name of names) {
      shown.set(name, { rate: rate(stats, before, seconds, name, "messages"), size: rate(stats, before, seconds, name, "bytes") });
      this._row(name, stats.feeds[name], ready.feeds?.[name] ?? {}, shown.get(name), stats.nowMs);
    }
    for (const [name, row] of this._rows) if (!names.includes(name)) row[0].parentNode.remove();
    const total = [...shown.values()].reduce((sum, each) => sum + (each.rate ?? 0), 0);
    say($("rate-now"), before === null ? "" : short(total));
    this._stripes(stats, before, seconds);
  }

  /** Nothing is known any more: a hole in the lines, not the last number for ever. */
  lose() {
    for (const [, state, , , ...numbers] of this._rows.values()) {
      state.firstChild.dataset.state = "";
      say(state.lastChild, "not known");
      for (const cell of numbers.slice(0, 3)) say(cell, "–");
    }
    say($("rate-now"), "");
  }

  _row(name, stats, health, { rate: perSecond, size }, nowMs) {
    let cells = this._rows.get(name);
    if (cells === undefined) {
      if (this._rows.size === 0) $("feed-rows").replaceChildren();
      const row = $("feed-rows").appendChild(make("tr"));
      cells = [make("th", { scope: "row", className: "name" }), ...Array.from({ length: 9 }, (_, at) => make("td", { className: at >= 2 && at <= 7 ? "number" : "" }))];
      row.append(...cells);
      cells[1].append(make("span", { className: "dot" }), make("span"));
      this._rows.set(name, cells);
    }
    const [title, state, session, next, speed, megabytes, last, gaps, reconnects, endpoint] = cells;
    // Who may not monitor is told nothing of a feed's health, but sees whether messages come.
    const word = health.paused ? "paused" : health.stale ? "stale" : (health.state ?? (perSecond > 0 ? "receiving" : "not told"));
    say(title, name);
    state.firstChild.dataset.state = health.paused ? "bad" : health.stale ? "warn" : word === "not told" ? "" : (STATES[word] ?? "warn");
    say(state.lastChild, word);
    state.title = health.detail ?? "";
    say(session, stats.session || "–");
    say(next, count(stats.nextSeq));
    say(speed, short(perSecond));
    speed.className = "number strong";
    say(megabytes, size === null ? "–" : (size / 1e6).toFixed(2));
    say(last, stats.receivedMs ? age(Math.max(0, (nowMs - stats.receivedMs) / 1000)) : "–");
    say(gaps, health.gaps === undefined ? "–" : health.gaps ? `${count(health.gaps)} (${count(health.missing)} messages)` : "0");
    gaps.classList.toggle("bad", health.gaps > 0);
    say(reconnects, health.reconnects === undefined ? "–" : count(Object.values(health.reconnects).reduce((sum, each) => sum + each, 0)));
    say(endpoint, health.endpoint ?? "");
  }

  _chartRates(names, stats, before, seconds) {
    this._times.push(stats.nowMs / 1000);
    const isNew = names.some((name) => !this._rates.has(name));
    for (const name of names) {
      if (!this._rates.has(name)) this._rates.set(name, Array(this._times.length - 1).fill(null));
    }
    for (const [name, rates] of this._rates) rates.push(rate(stats, before, seconds, name, "messages"));
    while (this._times.length && this._times[0] < this._times.at(-1) - SHOWN_S) {
      this._times.shift();
      for (const rates of this._rates.values()) rates.shift();
    }
    if (isNew) this._chart.setSeries([...this._rates.keys()]);
    this._chart.setData([this._times, ...this._rates.values()]);
  }

  _stripes(stats, before, seconds) {
    for (const name of stats.stripes.primaries) {
      let bar = this._bars.get(name);
      if (bar === undefined) {
        const row = $("stripe-bars").appendChild(make("li", {}, make("b", { text: name }), make("i"), make("span")));
        bar = { row, rate: 0 };
        this._bars.set(name, bar);
      }
      if (before === null) continue;
      let fresh = 0;
      for (const [feed, now] of Object.entries(stats.feeds)) {
        const was = before.feeds[feed];
        if (!was) continue;
        const looked = now.counted - was.counted;
        const found = (now.stripes[name] ?? 0) - (was.stripes[name] ?? 0);
        // When there is too much to look at all of it, what was looked at stands for the rest.
        if (looked > 0 && found > 0) fresh += (found / looked) * ((now.messages - was.messages) / seconds);
      }
      bar.rate += FRESH * (fresh - bar.rate);
    }
    const most = Math.max(1, ...[...this._bars.values()].map((bar) => bar.rate));
    for (const { row, rate: perSecond } of this._bars.values()) {
      row.children[1].style.transform = `scaleX(${(perSecond / most).toFixed(3)})`;
      row.classList.toggle("none", perSecond < 0.05);
      say(row.children[2], perSecond < 0.05 ? "0" : short(perSecond < 100 ? Math.round(perSecond * 10) / 10 : Math.round(perSecond)));
    }
  }
}

function rate(stats, before, seconds, name, what) {
  const was = before?.feeds[name];
  return was ? Math.max(0, stats.feeds[name][what] - was[what]) / seconds : null;
}
