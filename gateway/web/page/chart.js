/* global uPlot */
/** A line chart over time: uPlot, in the page's colours, as wide as its place, drawn anew when light turns dark. */

import { colour, onTheme } from "./dom.js";

export class Chart {
  /** `value` writes a number for the legend and the axis; at least `spanS` seconds are shown, up to the newest. */
  constructor(place, { value, spanS, stepped = false, zero = false }) {
    this.place = place;
    this.value = value;
    this.spanS = spanS;
    this.stepped = stepped;
    this.zero = zero;
    this.series = [];
    this.data = [[]];
    this.plot = null;
    onTheme(() => this._draw());
    new ResizeObserver(() => this._resize()).observe(place);
  }

  /** New series, drawn from scratch. */
  setSeries(labels) {
    this.series = labels;
    this._draw();
  }

  setData(data) {
    this.data = data;
    if (this.plot === null) this._draw();
    else this.plot.setData(data);
  }

  _size() {
    const legend = this.series.length > 1 ? 28 : 0;
    return { width: Math.max(100, this.place.clientWidth), height: Math.max(100, this.place.clientHeight - legend) };
  }

  _resize() {
    if (this.plot === null) return;
    const size = this._size();
    if (size.width !== this.plot.width || size.height !== this.plot.height) this.plot.setSize(size);
  }

  _draw() {
    if (this.series.length === 0 || this.place.clientWidth === 0) return;
    this.plot?.destroy();
    const axis = {
      stroke: colour("--faint"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: `11px ${colour("--sans")}`,
    };
    const range = this.zero
      ? (_, least, most) => [0, Math.max(1, most * 1.12)]
      : (_, least, most) => {
          const room = Math.max((most - least) * 0.12, most * 0.0002, 0.01);
          return [least - room, most + room];
        };
    this.plot = new uPlot(
      {
        ...this._size(),
        padding: [6, 4, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        legend: { show: this.series.length > 1 },
        scales: { x: { time: true, range: (_, least, most) => [Math.min(least, most - this.spanS), most] }, y: { range } },
        axes: [
          { ...axis, space: 70, size: 30, values: (_, ticks) => ticks.map(clock) },
          { ...axis, size: 58, values: (_, ticks) => ticks.map(this.value) },
        ],
        series: [
          { value: (_, at) => (at === null ? "" : clock(at)) },
          ...this.series.map((label, at) => ({
            label,
            stroke: colour(`--series-${(at % 4) + 1}`),
            width: 1.5,
            points: { show: false },
            paths: this.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
            value: (_, number) => (number === null ? "–" : this.value(number)),
          })),
        ],
      },
      this.data,
      this.place,
    );
  }
}

function clock(seconds) {
  const date = new Date(seconds * 1000);
  return date.toLocaleTimeString([], { hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
