/* global uPlot */
/** A line chart over time: uPlot, in the page's colours, as wide as its place, drawn anew when light turns dark. */

import { clock, colour, onTheme } from "./dom.js";

// How wide a time is.
const CLOCK_PX = 50;

export class Chart {
  /**
   * `value` writes a number for the legend and the axis; at least `spanS` seconds are shown, up to the newest. With
   * `last` the newest value is marked on the axis, which then stands on the right, where the newest is.
   */
  constructor(place, { value, spanS, stepped = false, zero = false, last = false }) {
    this.place = place;
    this.value = value;
    this.spanS = spanS;
    this.stepped = stepped;
    this.zero = zero;
    this.last = last;
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
    this.place.classList.toggle("empty", data[0].length === 0);
    this.place.points = data[0];
    if (this.plot === null) this._draw();
    else this.plot.setData(data);
  }

  _size() {
    const legend = this.series.length > 1 ? (this.plot?.root.querySelector(".u-legend").offsetHeight ?? 28) : 0;
    return { width: Math.max(100, this.place.clientWidth), height: Math.max(100, this.place.clientHeight - legend) };
  }

  _resize() {
    if (this.plot === null) return;
    const size = this._size();
    if (size.width !== this.plot.width || size.height !== this.plot.height) this.plot.setSize(size);
  }

  /** A line at the newest value, and the value itself on the axis. */
  _mark(plot) {
    const value = plot.data[1].at(-1);
    if (value === undefined || value === null) return;
    const { ctx, bbox } = plot;
    const unit = devicePixelRatio;
    const [right, y, text] = [bbox.left + bbox.width, Math.round(plot.valToPos(value, "y", true)), this.value(value)];
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--accent");
    ctx.setLineDash([3 * unit, 3 * unit]);
    ctx.lineWidth = unit;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
    ctx.font = `600 ${11 * unit}px ${colour("--sans")}`;
    ctx.fillRect(right, y - 9 * unit, ctx.measureText(text).width + 12 * unit, 18 * unit);
    ctx.fillStyle = colour("--on-accent");
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(text, right + 6 * unit, y + unit);
    ctx.restore();
  }

  _draw() {
    if (this.series.length === 0 || this.place.clientWidth === 0) return;
    this.plot?.destroy();
    this.place.classList.toggle("single", this.series.length === 1);
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
        padding: this.last ? [6, 0, 0, 6] : [6, 4, 0, 0],
        cursor: { y: false, points: { size: 6 }, drag: { x: false } },
        scales: { x: { time: true, range: (_, least, most) => [Math.min(least, most - this.spanS), most] }, y: { range } },
        axes: [
          { ...axis, space: 70, size: 30, values: (plot, ticks) => ticks.map((at) => (isCut(plot, at) ? "" : clock(at * 1000))) },
          { ...axis, size: 64, side: this.last ? 1 : 3, values: (_, ticks) => ticks.map(this.value) },
        ],
        series: [
          { value: (_, at) => (at === null ? "" : clock(at * 1000)) },
          ...this.series.map((label, at) => ({
            label,
            stroke: colour(`--series-${(at % 8) + 1}`),
            width: 1.5,
            fill: this.series.length === 1 ? (plot) => shade(plot, colour("--series-1")) : undefined,
            points: { show: false },
            paths: this.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
            value: (_, number) => (number === null ? "–" : this.value(number)),
          })),
        ],
        hooks: this.last ? { draw: [(plot) => this._mark(plot)] } : {},
      },
      this.data,
      this.place,
    );
    // How many lines the legend takes is known now.
    this._resize();
  }
}

/** Whether a time on the axis would stand beyond the chart's edge. */
function isCut(plot, at) {
  const middle = plot.valToPos(at, "x") + plot.bbox.left / devicePixelRatio;
  return middle < CLOCK_PX / 2 || middle > plot.width - CLOCK_PX / 2;
}

/** The area under a line: its colour, fading out. */
function shade({ ctx, bbox }, lineColour) {
  // Asked before there is a place to draw in.
  if (!(bbox.height > 0)) return "transparent";
  const gradient = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + bbox.height);
  gradient.addColorStop(0, `${lineColour}2e`);
  gradient.addColorStop(1, `${lineColour}05`);
  return gradient;
}
