/** The gateway this page came from: its streams by client.js, its plain answers by fetch, one key for both. */

import { connect } from "/client.js";

import { keep, kept } from "./dom.js";

const KEY = "soup-gateway key";

class HttpError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export class Gateway {
  constructor() {
    this.key = kept("sessionStorage", KEY) ?? "";
    this._listeners = [];
    this._connect();
  }

  /** Called with the new feed after each logon. */
  onFeed(act) {
    this._listeners.push(act);
    act(this.feed);
  }

  logOn(key, isKept) {
    this.key = key;
    if (isKept) keep("sessionStorage", KEY, key);
    this.feed.close();
    this._connect();
    for (const act of this._listeners) act(this.feed);
  }

  forgetKey() {
    keep("sessionStorage", KEY, null);
  }

  /** A plain answer as JSON. */
  async json(path, statuses = [200]) {
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    const response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(8_000) });
    if (!statuses.includes(response.status)) throw new HttpError(response.status, (await response.text()).trim().slice(0, 200));
    return response.json();
  }

  /** The messages of a REST answer, without the last one, which says how it went. */
  async rest(parameters) {
    const answer = await this.json(`/rest/json?${new URLSearchParams(parameters)}`);
    return answer.filter((each) => each.header.mTyp !== "QueryResult").map((each) => each.message);
  }

  _connect() {
    this.feed = connect(location.origin, { key: this.key, retryLongestMs: 5_000, onNotice: (notice, stream) => this.onNotice?.(notice, stream) });
  }
}
