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

/** A price with two decimals, or as many as it has. */
export function price(value) {
  if (value === undefined || value === null) return "–";
  const text = String(value);
  const digits = text.includes(".") ? text.length - text.indexOf(".") - 1 : 0;
  return value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: Math.max(2, Math.min(digits, 4)) });
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

/** At most one call in `everyMs`, the last one always made. */
export function throttled(everyMs, act) {
  let due = 0;
  let timer;
  return () => {
    if (timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      due = performance.now() + everyMs;
      requestAnimationFrame(act);
    }, Math.max(0, due - performance.now()));
  };
}
