/** What all panels share: elements, numbers as people read them, light and dark. */

export const $ = (id) => document.getElementById(id);

/** An element with text, classes and children; never from markup, so nothing that came over the wire is HTML. */
export function make(tag, { text, className, title, ...more } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  if (title) element.title = title;
  for (const [name, value] of Object.entries(more)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set the text only if it differs: what has not changed is not painted again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
export const count = (value) => (value === undefined || value === null ? "–" : whole.format(value));

/** Four digits at most: 812, 12.3 k, 4.06 M. */
export function short(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  for (const [size, unit] of [[1e9, " G"], [1e6, " M"], [1e4, " k"]]) {
    if (value >= size) {
      const scaled = value / (size === 1e4 ? 1e3 : size);
      return `${scaled.toFixed(scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2)}${unit}`;
    }
  }
  return value >= 100 || Number.isInteger(value) ? whole.format(value) : value.toFixed(1);
}

export const bytes = (value) => `${short(value)}B`.replace(/^(\d+)B$/, "$1 B");

// Made once: a formatter costs a hundred times what it does.
const prices = [2, 3, 4].map((digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const times = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** A price that was reckoned, not quoted: always four decimals, so that it does not jump. */
export const average = (value) => (value === undefined || value === null ? "–" : prices[2].format(value));

/** A price with two decimals, or as many as it has, up to four. */
export function price(value) {
  if (value === undefined || value === null) return "–";
  const text = String(value);
  const digits = text.includes(".") ? text.length - text.indexOf(".") - 1 : 0;
  return prices[Math.max(2, Math.min(digits, 4)) - 2].format(value);
}

/** The time of day on this machine: 09:30:01. */
export const clock = (date) => (date === undefined || Number.isNaN(Number(date)) ? "" : times.format(date));

/** What somebody typed as a ticker: in capitals, unless they meant to mix (BACpB). */
export const asTicker = (typed) => (typed === typed.toLowerCase() ? typed.toUpperCase() : typed);

/** Where a ticker is listed, by the code of its directory message. */
export const MARKETS = {
  Q: "Nasdaq Global Select",
  G: "Nasdaq Global Market",
  S: "Nasdaq Capital Market",
  N: "NYSE",
  A: "NYSE American",
  P: "NYSE Arca",
  Z: "Cboe BZX",
  V: "IEX",
};

/** A value of a `where` as it stands, whatever signs it has. */
export const quoted = (value) => `"${value.replaceAll('"', '""')}"`;

/** What this browser keeps for the page; nothing, where it is told to keep nothing. */
export function kept(storage, name) {
  try {
    return globalThis[storage].getItem(name);
  } catch {
    return null;
  }
}

export function keep(storage, name, value) {
  try {
    if (value === null) globalThis[storage].removeItem(name);
    else globalThis[storage].setItem(name, value);
  } catch {
    // Then it is asked again next time.
  }
}

export function age(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Of a CSS variable, for what is drawn on a canvas. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const themed = new Set();
/** Call `draw` again whenever light turns dark or back. */
export const onTheme = (draw) => themed.add(draw);

export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  for (const draw of themed) draw();
}

/**
 * At most one call in `everyMs`, the last one always made, and made when there is something to see: a page that nobody
 * looks at gets no frames, and must not do all it missed at once when somebody does.
 */
export function throttled(everyMs, act) {
  let due = 0;
  let waits = false;
  const paint = () => {
    waits = false;
    due = performance.now() + everyMs;
    act();
  };
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => requestAnimationFrame(paint), Math.max(0, due - performance.now()));
  };
}
