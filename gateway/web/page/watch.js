/** What the gateway says of itself: polls /stats and /readyz once a second while the page is seen. */

const EVERY_MS = 1_000;
// Longer than this without an answer is a break in the lines, not a low rate.
const BREAK_MS = 5_000;

export class Watch extends EventTarget {
  /** Events: "stats" (detail: { stats, before, seconds, ready }), "lost" (detail: why), "refused". */
  constructor(gateway) {
    super();
    this._gateway = gateway;
    this._before = null;
    this._timer = undefined;
    this._rests = false;
    document.addEventListener("visibilitychange", () => this._again(0));
    this.wake();
  }

  /** Ask no more until `wake`. */
  rest() {
    this._rests = true;
    clearTimeout(this._timer);
  }

  wake() {
    this._rests = false;
    this._again(0);
  }

  _again(waitMs) {
    clearTimeout(this._timer);
    if (!document.hidden && !this._rests) this._timer = setTimeout(() => this._poll(), waitMs);
  }

  async _poll() {
    try {
      const [stats, ready] = await Promise.all([this._gateway.json("/stats"), this._gateway.json("/readyz", [200, 503])]);
      const before = this._before;
      const seconds = before === null ? 0 : (stats.monotonicMs - before.monotonicMs) / 1000;
      // After a restart its counts begin again.
      const follows = before !== null && before.startedMs === stats.startedMs && seconds > 0 && seconds * 1000 < BREAK_MS;
      this._before = stats;
      this._tell("stats", { stats, ready, before: follows ? before : null, seconds });
    } catch (error) {
      if (error.status === 401) this._tell("refused", error.message);
      else this._tell("lost", error.message);
    }
    this._again(EVERY_MS);
  }

  _tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
