/**
 * The JavaScript subscriber: streams of a gateway as async iterators, complete over every reconnect.
 *
 *     import { connect } from "/client.js";
 *     const feed = connect("ws://localhost:8765", { key: "…" });
 *     for await (const message of feed.stream("AddOrder", { stripe: "A" })) {
 *       console.log(message.fields.stock, message.fields.price);
 *     }
 *
 * One file, no dependencies; browsers, and Node with a `WebSocket` (global from Node 22 on, else of the package
 * "ws", given as option). Knows the wire; knows no page. The same promises as the Python client.
 */

// --- errors, by who has to act ---

/** All errors of this module are of this class. */
export class GatewayError extends Error {
  constructor(text, more = {}) {
    super(text);
    this.name = new.target.name;
    Object.assign(this, more);
  }
}

/** The caller acts: an argument, or a request that the gateway can't serve (`detail` is its own sentence why). */
export class RequestRefused extends GatewayError {}

/** The key's owner acts: the gateway does not let this key in, or let it in and then revoked it. */
export class KeyRefused extends GatewayError {}

/** Time heals it, or the operator: no line to the gateway for longer than `giveUpAfterMs`. */
export class Unreachable extends GatewayError {}

/** A person decides: messages are missing and can't be had by trying again. Up to `positions` all is proven. */
export class Incomplete extends GatewayError {}

/** What answers there is no gateway: what it sends can't be read, again and again. */
export class ProtocolError extends GatewayError {}

/** The connection has to be made anew. Never leaves this module. */
class Retry extends Error {}

// --- frames: bytes of a WebSocket message to JSON values ---

const HEADER = "\r\nJ";
const HEADER_SIZE = 14;
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * The JSON texts in one WebSocket message: frames (`\r\n`, `J`, 5 digits, 6 digits of length in bytes), or one
 * unframed object. Gives those in front of a broken frame, then throws a ProtocolError.
 */
export function* readFrames(data) {
  const bytes = typeof data === "string" ? null : new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  const text = bytes === null ? data : decoded(bytes);
  if (!text.startsWith("\r")) {
    yield text;
    return;
  }
  // In ASCII a character is a byte, and to cut a string is cheaper than to decode each piece.
  const ascii = bytes === null ? !/[^\0-\x7f]/.test(text) : text.length === bytes.length;
  const whole = ascii ? null : (bytes ?? new TextEncoder().encode(text));
  const end = whole === null ? text.length : whole.length;
  for (let at = 0; at < end; ) {
    const head = whole === null ? text.slice(at, at + HEADER_SIZE) : decoded(whole.subarray(at, at + HEADER_SIZE));
    if (!/^\r\nJ\d{11}$/.test(head)) {
      throw new ProtocolError(`the gateway sent ${JSON.stringify(head)} at byte ${at}, expected the head of a frame`);
    }
    const start = at + HEADER_SIZE;
    const next = start + Number(head.slice(8));
    if (next > end) {
      throw new ProtocolError(`the gateway sent a frame of ${next - start} bytes, only ${end - start} of them came`);
    }
    yield whole === null ? text.slice(start, next) : decoded(whole.subarray(start, next));
    at = next;
  }
}

function decoded(bytes) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ProtocolError("the gateway sent bytes that are not UTF-8");
  }
}

// Sixteen digits may be more than a number keeps; anything shorter never is.
const MAYBE_BIG = /\d{16}/;
const LONG = /\d{16,}/g;
// Within a string a quote has a backslash in front: what ends so ends in a key, and what follows is its value.
const KEY = /[{,]"\w+":-?$/;
const KEY_MAX = 48;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
// Nobody can send a string that begins so by chance or on purpose.
const MARK = `\u0001${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}:`;
const QUOTED_MARK = JSON.stringify(MARK).slice(0, -1);

/** JSON.parse, but an integer that a number would not hold exactly is a BigInt. Numbers with a point stay numbers. */
export function parseJson(text) {
  try {
    if (!MAYBE_BIG.test(text)) return JSON.parse(text);
    const marked = markedByKey(text) ?? markedByToken(text);
    return marked === text ? JSON.parse(text) : revived(JSON.parse(marked));
  } catch (error) {
    throw new ProtocolError(`the gateway sent what is not JSON: ${error.message}`);
  }
}

/** The text with its big integers marked, if all of them are values of plain keys, as nearly always; else null. */
function markedByKey(text) {
  let marked = "";
  let from = 0;
  for (const { 0: digits, index } of text.matchAll(LONG)) {
    const end = index + digits.length;
    if (!KEY.test(text.slice(Math.max(0, index - KEY_MAX), index)) || (text[end] !== "," && text[end] !== "}")) return null;
    if (Number.isSafeInteger(Number(digits))) continue;
    const start = text[index - 1] === "-" ? index - 1 : index;
    marked += `${text.slice(from, start)}${QUOTED_MARK}${text.slice(start, end)}"`;
    from = end;
  }
  return from === 0 ? text : marked + text.slice(from);
}

/** The same for whatever JSON there is, more slowly. */
function markedByToken(text) {
  return text.replace(STRING_OR_NUMBER, (token) =>
    token.length < 16 || !/^-?\d+$/.test(token) || Number.isSafeInteger(Number(token)) ? token : `${QUOTED_MARK}${token}"`,
  );
}

/** BigInts in place of what was marked; by hand, for a reviver of JSON.parse costs more than all the rest. */
function revived(value) {
  if (typeof value === "string") return value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
  if (typeof value === "object" && value !== null) {
    for (const key in value) value[key] = revived(value[key]);
  }
  return value;
}

// --- messages and positions ---

/** One message as received: `message.fields.price`. Integers beyond 2^53 are BigInts, prices numbers. */
export class Message {
  constructor(header, fields, raw) {
    this.header = header;
    this.fields = fields;
    this.raw = raw;
  }

  /** The message's name, "AddOrder". */
  get type() {
    return this.header.mTyp;
  }

  /** The feed it comes from. */
  get src() {
    return this.header.src ?? "";
  }

  /** The upstream session that its number counts in. */
  get session() {
    return this.header.ses ?? "";
  }

  /** Its number in the session; undefined for data that the exchange sent without one, best effort. */
  get sequenceNumber() {
    return this.header.seqN;
  }

  /** When the gateway received it from upstream; a Date has milliseconds, `header.sTim` microseconds. */
  get sentAt() {
    return time(this.header.sTim);
  }

  /** When the gateway wrote it as JSON. */
  get encodedAt() {
    return time(this.header.encT);
  }
}

function time(text) {
  const date = new Date(`${String(text).replace(" ", "T").slice(0, 23)}Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** In `session` of feed `src`, `nextSeq` is the first number not had yet. As text `SRC/SES/SEQ`. */
export class Position {
  constructor(src, session, nextSeq) {
    this.src = src;
    this.session = session;
    this.nextSeq = nextSeq;
    Object.freeze(this);
  }

  static parse(text) {
    const found = /^\s*([^/]*)\/([^/]*)\/([1-9]\d*)\s*$/.exec(text);
    if (found === null) {
      throw new RequestRefused(`resume ${JSON.stringify(text)}: expected SRC/SES/SEQ, SEQ being the first number wanted, from 1`);
    }
    return new Position(found[1], found[2], Number(found[3]));
  }

  toString() {
    return `${this.src}/${this.session}/${this.nextSeq}`;
  }

  wire() {
    return { src: this.src, ses: this.session, seqN: this.nextSeq };
  }
}

function readResume(value) {
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : typeof value === "string" ? value.split(",") : [value];
  const found = list.map((one) => {
    if (typeof one === "string") return Position.parse(one);
    const nextSeq = one.nextSeq ?? one.seqN;
    if (!Number.isSafeInteger(nextSeq) || nextSeq < 1) {
      throw new RequestRefused(`resume ${JSON.stringify(one)}: expected nextSeq, 1 or more`);
    }
    return new Position(one.src ?? "", one.session ?? one.ses ?? "", nextSeq);
  });
  if (new Set(found.map((one) => one.src)).size < found.length) {
    throw new RequestRefused(`resume names a feed twice: ${found.join(", ")}`);
  }
  return found;
}

// --- waiting ---

/** Growing, jittered, capped. Reset only when messages flow again, not when a connection stands. */
export class Backoff {
  constructor(firstMs = 250, longestMs = 30_000, draw = Math.random) {
    this.firstMs = firstMs;
    this.longestMs = longestMs;
    this.draw = draw;
    this.attempt = 0;
  }

  /** Milliseconds until the next try: half to all of the step, so that a thousand don't come at once. */
  nextMs() {
    const step = Math.min(this.longestMs, this.firstMs * 2 ** Math.min(this.attempt, 64));
    this.attempt += 1;
    return step * (0.5 + 0.5 * this.draw());
  }

  reset() {
    this.attempt = 0;
  }
}

// --- where one stream stands ---

const keyOf = (src, session) => `${src}\0${session}`;

/**
 * One stream over all its connections: each number is given out once, in order. The position moves here only.
 *
 * A stream without a position begins with a snapshot. Until that is complete its numbers say nothing of how far
 * it has come, so after a break it is asked for again and what was had is dropped by number. After that it
 * resumes where it stands; or, of `latest` delivery, takes a new snapshot.
 */
export class Tracker {
  constructor(resume = [], latest = false) {
    this.latest = latest;
    this.doubles = 0;
    this.received = 0;
    this.runs = 0;
    this.asked = [];
    this.proven = resume;
    this._wanted = resume;
    this._snapshot = null;
    this._floor = new Map();
    this._high = new Map();
    this._at = new Map();
    this._src = null;
    this._session = "";
    this._last = 0;
  }

  /** A new request is about to be sent: where it has to resume, empty for a start without a position. */
  start() {
    this._fold();
    this._src = null;
    this.received = 0;
    this.asked = this.latest && this.runs ? [] : this.positions();
    this.runs += 1;
    if (this.asked.length === 0 && this._snapshot === null) {
      this._snapshot = new Set();
      this._floor = new Map(this._high);
    }
    return this.asked;
  }

  /** The first number not received yet, per feed; empty while a snapshot is incomplete. */
  positions() {
    this._fold();
    const had = [...this._at].map(([src, at]) => new Position(src, at.session, at.nextSeq));
    const wanted = this._wanted.filter((one) => !this._at.has(one.src) && !(one.src === "" && had.length > 0));
    return [...had, ...wanted];
  }

  /** Whether a message is new. This runs per message: what it does not look at costs nothing. */
  accept(header) {
    const seq = header.seqN;
    if (seq === undefined) return true;
    this.received += 1;
    if (seq > this._last && header.src === this._src && header.ses === this._session) {
      this._last = seq;
      return true;
    }
    if (this._isNew(header.src, header.ses, seq)) return true;
    this.doubles += 1;
    return false;
  }

  /** The gateway says how far all that matches was sent (`state` undefined: in a heartbeat). */
  checkpoint(state, positions) {
    this._fold();
    for (const position of positions) {
      const sent = position.numMessagesSent ?? 0;
      if (sent !== this.received) {
        throw new Incomplete(
          `up to ${position.src}/${position.ses}/${position.seqN} the gateway sent ${sent} messages, ${this.received} arrived`,
          { positions: this.proven },
        );
      }
    }
    if (this._snapshot !== null) {
      if (state !== "Active" && state !== "Complete") return;
      this._snapshot = null;
      this._src = null;
    }
    for (const { src = "", ses = "", seqN = 0 } of positions) {
      const had = this._at.get(src);
      if (had !== undefined && had.session === ses && had.nextSeq > seqN) continue;
      this._at.set(src, { session: ses, nextSeq: seqN + 1 });
    }
    this.proven = this.positions();
  }

  _isNew(src, session, seq) {
    const key = keyOf(src, session);
    if (this._snapshot !== null) {
      const number = `${key}\0${seq}`;
      if (seq <= (this._floor.get(key) ?? 0) || this._snapshot.has(number)) return false;
      this._snapshot.add(number);
      this._high.set(key, Math.max(seq, this._high.get(key) ?? 0));
      return true;
    }
    this._fold();
    if (seq <= (this._high.get(key) ?? 0)) return false;
    const had = this._at.get(src);
    if (had === undefined || had.session !== session) this._at.set(src, { session, nextSeq: seq });
    this._src = src;
    this._session = session;
    this._last = seq;
    return true;
  }

  /** Bring what the fast path keeps in `_last` to where everything else looks for it. */
  _fold() {
    if (this._src === null) return;
    this._high.set(keyOf(this._src, this._session), this._last);
    const had = this._at.get(this._src);
    // A checkpoint may have told of a newer session already, or of a higher number.
    if (had.session === this._session && had.nextSeq <= this._last) had.nextSeq = this._last + 1;
  }
}

// --- several stripes as one stream ---

// Where a message says whose it is. One that has none of these is remembered: more memory, same result.
const TICKER_FIELDS = ["stock", "ticker", "symbol", "pkey"];
// Numbers remembered while stripes run apart. One more ends the stream: it says so, and where to resume.
const REMEMBERED_MAX = 1_000_000;
const PRUNE_EVERY = 1_024;

/**
 * What belongs to every stripe is given out once. A message of one ticker is in one stripe only and just passes; one
 * of no ticker arrives in every stripe, and its number is remembered until all stripes are past it.
 */
export class Merge {
  constructor(trackers, rememberedMax = REMEMBERED_MAX) {
    this.doubles = 0;
    this._trackers = trackers;
    this._max = rememberedMax;
    this._size = 0;
    this._pruneAt = Math.min(PRUNE_EVERY, rememberedMax);
    // The numbers seen per feed and session, sessions in the order they appeared.
    this._seen = new Map();
    this._newest = { src: null, session: "", numbers: null };
  }

  /** Those messages that no other stripe brought. */
  keep(batch) {
    const kept = batch.filter(({ header, fields }) => {
      if (header.seqN === undefined) return true;
      const numbers = this._numbersOf(header.src, header.ses);
      if (TICKER_FIELDS.some((name) => fields[name])) return true;
      if (numbers.has(header.seqN)) {
        this.doubles += 1;
        return false;
      }
      numbers.add(header.seqN);
      this._size += 1;
      return true;
    });
    if (this._size >= this._pruneAt) {
      this._prune();
      this._pruneAt = Math.min(this._size + PRUNE_EVERY, this._max);
    }
    return kept;
  }

  /** Why the stream has to end once what `keep` gave is handed on. */
  get overrun() {
    if (this._size <= this._max) return null;
    const positions = this.earliest(this._trackers.map((tracker) => tracker.positions()));
    const why = `the stripes ran apart by more than ${this._max} messages without a ticker; read each stripe by itself, or keep the ticker in the view`;
    return new Incomplete(why, { positions });
  }

  /** Per feed the position of the stripe that is furthest behind, or of a message not read; empty if one has none. */
  earliest(ofStripes, unread = []) {
    if (ofStripes.some((positions) => positions.length === 0)) return [];
    const found = new Map();
    const offer = (src, session, nextSeq) => {
      const had = found.get(src);
      const order = had === undefined ? -1 : this._age(src, session) - this._age(src, had.session);
      if (order < 0 || (order === 0 && nextSeq < had.nextSeq)) found.set(src, { src, session, nextSeq });
    };
    for (const { src, session, nextSeq } of ofStripes.flat()) offer(src, session, nextSeq);
    for (const { header } of unread) if (header.seqN !== undefined) offer(header.src, header.ses, header.seqN);
    return [...found.values()].map(({ src, session, nextSeq }) => new Position(src, session, nextSeq));
  }

  _numbersOf(src, session) {
    const newest = this._newest;
    if (src === newest.src && session === newest.session) return newest.numbers;
    const key = keyOf(src, session);
    if (!this._seen.has(key)) this._seen.set(key, { src, session, numbers: new Set() });
    this._newest = this._seen.get(key);
    return this._newest.numbers;
  }

  /** Where a session stands among those that have brought something; one that has not is the newest, none the oldest. */
  _age(src, session) {
    if (session === "") return -1;
    const at = [...this._seen.keys()].indexOf(keyOf(src, session));
    return at < 0 ? this._seen.size : at;
  }

  /** Forget what every stripe is past. */
  _prune() {
    const positions = this._trackers.map((tracker) => new Map(tracker.positions().map((at) => [at.src, at])));
    this._size = 0;
    for (const { src, session, numbers } of this._seen.values()) {
      const floors = positions.map((ofStripe) => {
        const at = ofStripe.get(src);
        if (at === undefined || !this._seen.has(keyOf(src, at.session))) return 0;
        if (at.session === session) return at.nextSeq;
        return this._age(src, at.session) > this._age(src, session) ? Infinity : 0;
      });
      const floor = Math.min(...floors);
      for (const number of numbers) if (number < floor) numbers.delete(number);
      this._size += numbers.size;
    }
  }
}

// --- streams ---

const OPTIONS = {
  key: "",
  WebSocket: undefined,
  onNotice: undefined,
  openTimeoutMs: 10_000,
  // The gateway has a heartbeat each 5 s.
  silenceMs: 20_000,
  retryFirstMs: 250,
  retryLongestMs: 30_000,
  giveUpAfterMs: Infinity,
  bufferMessages: 10_000,
  overflow: "pause",
  streamsPerSocket: 16,
};
const STREAM_OPTIONS = new Set([
  "stripe", "stripes", "where", "view", "resume", "latencyMs", "delivery", "highwaterNs", "coverage",
  "onNotice", "ownSocket", "label", "bufferMessages", "overflow", "signal",
]);
// A stream that is paused goes on no earlier, so that pauses stay far below the gateway's limit of requests.
const PAUSE_LEAST_MS = 250;
// Session changes and gaps that are remembered as told; they come again when a stream resumes before one.
const TOLD_MAX = 64;
// A resume that the gateway refuses is tried so often: after a restart it may still be opening its journal.
const REFUSALS_MAX = 3;
// The same bytes can't be read so often in a row, with nothing new in between: it is no accident.
const UNREADABLE_MAX = 3;

const list = (value) => (value === undefined || value === null || value === "" ? [] : Array.isArray(value) ? value : [value]);

function requestOf(names, options) {
  for (const name of Object.keys(options)) {
    if (!STREAM_OPTIONS.has(name)) throw new RequestRefused(`stream option ${name}: there is none; there are ${[...STREAM_OPTIONS].join(", ")}`);
  }
  if (names.length === 0 || !names.every((name) => typeof name === "string" && name.trim())) {
    throw new RequestRefused(`message names ${JSON.stringify(names)}: expected at least one, "*" for all`);
  }
  const latencyMs = options.latencyMs ?? 1;
  if (!Number.isInteger(latencyMs) || latencyMs < 1) {
    throw new RequestRefused(`latencyMs ${latencyMs}: expected 1 or more; 1 sends as soon as possible`);
  }
  if (![undefined, null, "every", "latest"].includes(options.delivery)) {
    throw new RequestRefused(`delivery ${JSON.stringify(options.delivery)}: expected "every" or "latest"`);
  }
  const one = (values) => (values.length === 1 ? values[0] : values);
  const body = { msgName: one(names), activeLatency: latencyMs };
  const stripes = list(options.stripe);
  if (stripes.length) body.stripeFilter = one(stripes);
  if (options.where) body.where = options.where;
  const view = list(options.view).join("|");
  if (view) body.view = view;
  if (options.delivery) body.delivery = options.delivery;
  if (options.highwaterNs) body.highwaterTs = options.highwaterNs;
  if (options.coverage) body.coverage = true;
  if (options.label) body.queryLabel = options.label;
  return body;
}

/** What each request of a stream asks for: the stripes that share a socket. Of `stripes` each has one of its own. */
function stripesOf(options) {
  const stripes = list(options.stripes);
  if (stripes.length === 0) return [list(options.stripe)];
  if (list(options.stripe).length) throw new RequestRefused("stripe and stripes: expected one of them");
  if (new Set(stripes.map((name) => String(name).toLowerCase())).size < stripes.length) {
    throw new RequestRefused(`stripes ${JSON.stringify(stripes)}: one is named twice`);
  }
  return stripes.map((name) => [name]);
}

/** As JSON text; a BigInt is written with all of its digits. */
function written(mTyp, body) {
  const bigs = [];
  const text = JSON.stringify({ header: { mTyp, sTim: new Date().toISOString().replace("T", " ").slice(0, -1) }, message: body }, (_, value) =>
    typeof value === "bigint" ? `${MARK}${bigs.push(value) - 1}` : value,
  );
  return bigs.reduce((all, value, at) => all.replace(`${QUOTED_MARK}${at}"`, String(value)), text);
}

/** One running request of a stream: what it asks, where it stands. A stream has one, or one per socket of `stripes`. */
class Part {
  constructor(stream, request, tracker, stripe) {
    this.stream = stream;
    this.request = request;
    this.tracker = tracker;
    this.line = null;
    // Its number on the socket it runs on, new with each start; whether what comes is of that start.
    this.number = 0;
    this.running = false;
    this.refusals = 0;
    this._stripe = stripe;
  }

  /** Tell the stream; of several stripes each says which it is, but for what all of them have to tell. */
  notice(kind, more = {}) {
    const ofAll = kind === "SessionChange" || kind === "SequenceGap";
    this.stream._notice(kind, this._stripe && !ofAll ? { ...more, stripe: this._stripe } : more);
  }
}

/**
 * Messages as they come: each once, in order (of several `stripes`: in order within each). Opened when it is first
 * read, by `for await`, `next`, `batches`, `withNotices` or `listen`. Ends when it is closed (a `break` closes it) or
 * with an error; what can be healed by dialling again is told as a notice, and healed.
 */
export class Stream {
  constructor(feed, names, options) {
    const resume = readResume(options.resume);
    this.names = names;
    this._feed = feed;
    this._options = options;
    this._parts = stripesOf(options).map((stripe, _, all) => {
      const tracker = new Tracker(resume, options.delivery === "latest");
      return new Part(this, requestOf(names, { ...options, stripe }), tracker, all.length > 1 ? stripe[0] : "");
    });
    this._merge = this._parts.length > 1 ? new Merge(this._parts.map((part) => part.tracker)) : null;
    this._onNotice = options.onNotice ?? feed.options.onNotice;
    this._max = options.bufferMessages ?? feed.options.bufferMessages;
    this._overflow = options.overflow ?? feed.options.overflow;
    if (!["pause", "drop"].includes(this._overflow)) {
      throw new RequestRefused(`overflow ${JSON.stringify(this._overflow)}: expected "pause" or "drop"`);
    }
    this._paused = false;
    this._pausedAt = 0;
    this._told = [];
    this._dropped = 0;
    // Batches and notices, received and not read.
    this._items = [];
    this._size = 0;
    this._rest = [];
    this._restAt = 0;
    this._listener = null;
    this._wake = null;
    this._filling = null;
    this._ended = false;
    this._error = null;
    this._isOpen = false;
    this._timer = undefined;
    this._abort = () => this.close();
    options.signal?.addEventListener("abort", this._abort);
    if (options.signal?.aborted) this._ended = true;
  }

  // Reading.

  [Symbol.asyncIterator]() {
    return this;
  }

  /** The next message, as iterators give it. */
  async next() {
    for (;;) {
      if (this._restAt < this._rest.length) {
        const value = this._rest[this._restAt++];
        this._taken(1);
        return { done: false, value };
      }
      // Who asks again before the answer is there waits for the same, and is served after whoever asked before.
      this._filling ??= this._fill().finally(() => (this._filling = null));
      if (!(await this._filling)) return { done: true, value: undefined };
    }
  }

  /** Close the stream: what a `break` out of `for await` does. */
  async return(value) {
    this.close();
    return { done: true, value };
  }

  /** The same messages in the runs they arrived in: the fastest way, for tables and charts. */
  async *batches() {
    try {
      for (;;) {
        let item = this._rest.slice(this._restAt);
        if (item.length === 0) item = await this._take();
        if (item === null) return;
        if (Array.isArray(item)) {
          this._hold([]);
          this._taken(item.length);
          yield item;
        } else this._tell(item);
      }
    } finally {
      this.close();
    }
  }

  /** Messages, and between them, at their place, what the stream tells (plain objects with `kind`). */
  async *withNotices() {
    try {
      for (;;) {
        while (this._restAt < this._rest.length) {
          const message = this._rest[this._restAt++];
          this._taken(1);
          yield message;
        }
        const item = await this._take();
        if (item === null) return;
        if (Array.isArray(item)) this._hold(item);
        else {
          this._tell(item);
          yield item;
        }
      }
    } finally {
      this.close();
    }
  }

  /**
   * Callbacks instead of iteration: `message(message)` or `batch(messages)`, `notice(notice)`, `end(error?)`. They
   * are called as things arrive, without a buffer; what a callback throws ends the stream with it.
   */
  listen(callbacks) {
    this._listener = callbacks;
    const left = this._rest.slice(this._restAt);
    this._hold([]);
    const items = [...(left.length ? [left] : []), ...this._items.splice(0)];
    this._size = 0;
    for (const item of items) this._deliver(item);
    if (this._ended) this._listener.end?.(this._error ?? undefined);
    else this._open();
    return this;
  }

  /** End the stream. What has arrived can still be read. */
  close() {
    this._end(null);
    this._leave();
  }

  // Where it stands.

  /** The first message not read yet, per feed: store it, and give it as `resume` to go on there. */
  get positions() {
    const ofParts = this._parts.map((part) => part.tracker.positions());
    if (this._merge !== null) return this._merge.earliest(ofParts, this._unread());
    const wanted = new Set(ofParts[0].map((one) => one.src));
    const waiting = new Map();
    for (const { header, src, session } of this._unread()) {
      if (header.seqN !== undefined && wanted.delete(src)) waiting.set(src, new Position(src, session, header.seqN));
      if (wanted.size === 0) break;
    }
    return ofParts[0].map((one) => waiting.get(one.src) ?? one);
  }

  /** Up to where everything is proven complete by a checkpoint. */
  get proven() {
    const ofParts = this._parts.map((part) => part.tracker.proven);
    return this._merge === null ? ofParts[0] : this._merge.earliest(ofParts);
  }

  /** Messages that arrived again and were dropped, over all reconnects and stripes. */
  get doubles() {
    return this._parts.reduce((sum, part) => sum + part.tracker.doubles, this._merge?.doubles ?? 0);
  }

  /** Messages that were thrown away because nobody read them; only with overflow "drop". */
  get dropped() {
    return this._dropped;
  }

  /** Messages that arrived and have not been read. */
  get waiting() {
    return this._size;
  }

  // Inside: what the line calls.

  _arrived(batch) {
    const kept = this._merge === null ? batch : this._merge.keep(batch);
    if (kept.length > 0) this._put(kept);
    if (this._merge?.overrun) this._fail(this._merge.overrun);
  }

  _put(item) {
    if (this._ended) return;
    if (this._listener !== null) {
      this._deliver(item);
      return;
    }
    if (Array.isArray(item)) this._size += item.length;
    else if (item.kind === "Reconnecting" && this._items.at(-1)?.kind === "Reconnecting") {
      // Nobody reads: the newest try is all there is to tell, and a long outage must not pile up.
      this._items.pop();
    }
    this._items.push(item);
    if (this._size > this._max && this._overflow === "drop") this._drop();
    this._wake?.();
    if (this._size >= this._max && this._overflow === "pause" && !this._paused) this._pause();
  }

  _notice(kind, more = {}) {
    const notice = { kind, detail: "", ...more };
    if (kind === "SessionChange" || kind === "SequenceGap") {
      const told = JSON.stringify(notice);
      if (this._told.includes(told)) return;
      this._told.push(told);
      if (this._told.length > TOLD_MAX) this._told.shift();
    }
    this._put(notice);
  }

  _end(error) {
    if (this._ended) return;
    this._ended = true;
    this._error = error;
    this._options.signal?.removeEventListener("abort", this._abort);
    for (const part of this._parts) part.running = false;
    this._wake?.();
    this._listener?.end?.(error ?? undefined);
  }

  _fail(error) {
    this._end(error);
    this._leave();
  }

  // Inside: buffer.

  _open() {
    if (this._isOpen || this._ended) return;
    this._isOpen = true;
    this._feed._place(this);
  }

  async _take() {
    this._open();
    for (;;) {
      if (this._items.length > 0) return this._items.shift();
      if (this._ended) {
        if (this._error !== null) throw this._error;
        return null;
      }
      await new Promise((resolve) => {
        this._wake = resolve;
      });
      this._wake = null;
    }
  }

  /** Wait for a batch to read from; false at the end. */
  async _fill() {
    for (;;) {
      const item = await this._take();
      if (item === null) return false;
      if (Array.isArray(item)) {
        this._hold(item);
        return true;
      }
      this._tell(item);
    }
  }

  *_unread() {
    for (let at = this._restAt; at < this._rest.length; at += 1) yield this._rest[at];
    for (const item of this._items) if (Array.isArray(item)) yield* item;
  }

  _hold(batch) {
    this._rest = batch;
    this._restAt = 0;
  }

  _taken(count) {
    this._size -= count;
    if (this._paused && this._size <= this._max / 2) this._goOn();
  }

  _deliver(item) {
    try {
      if (!Array.isArray(item)) {
        this._tell(item);
        this._listener.notice?.(item);
      } else if (this._listener.batch) this._listener.batch(item);
      else for (const message of item) this._listener.message?.(message);
    } catch (error) {
      this._fail(error);
    }
  }

  _tell(notice) {
    this._onNotice?.(notice, this);
  }

  /** A browser can't stop a socket from being read, so the gateway is asked to stop, and later to go on there. */
  _pause() {
    this._paused = true;
    this._pausedAt = Date.now();
    for (const part of this._parts) {
      part.running = false;
      part.line?.stop(part);
    }
    this._notice("Paused", { detail: `${this._size} messages wait to be read; the gateway keeps the rest`, waiting: this._size });
  }

  _goOn() {
    if (this._timer !== undefined || this._ended) return;
    this._timer = setTimeout(
      () => {
        this._timer = undefined;
        if (this._ended || !this._paused) return;
        this._paused = false;
        const ofParts = this._parts.map((part) => part.tracker.positions());
        this._notice("Resumed", { positions: this._merge === null ? ofParts[0] : this._merge.earliest(ofParts) });
        for (const part of this._parts) part.line?.start(part);
      },
      Math.max(0, this._pausedAt + PAUSE_LEAST_MS - Date.now()),
    );
  }

  _drop() {
    const kept = [];
    let count = 0;
    for (const item of this._items) {
      if (Array.isArray(item) && this._size > this._max / 2) {
        this._size -= item.length;
        count += item.length;
      } else kept.push(item);
    }
    this._items = kept;
    this._dropped += count;
    this._items.unshift({ kind: "Dropped", detail: `${count} messages were not read in time`, count });
  }

  _leave() {
    clearTimeout(this._timer);
    this._timer = undefined;
    this._feed._remove(this);
  }
}

// --- one socket ---

const CONNECTING = 0;
const REFUSED_STATES = new Set(["LogonFailed", "InviteError", "AccountSuspended"]);
// No logon in time, logon failed, revoked, expired.
const [LOGON_TIMEOUT, KEY_EXPIRED] = [4003, 4006];
const KEY_CODES = new Set([LOGON_TIMEOUT, 4004, 4005, KEY_EXPIRED]);

/** One socket and the parts of streams on it: dialled, read, dialled again; none of them loses its place. */
class Line {
  constructor(feed, own) {
    this.own = own;
    this.parts = [];
    this._feed = feed;
    this._options = feed.options;
    this._backoff = new Backoff(this._options.retryFirstMs, this._options.retryLongestMs);
    this._socket = null;
    this._standing = false;
    this._number = 0;
    this._byNumber = new Map();
    this._byType = new Map();
    this._timer = undefined;
    this._opening = undefined;
    this._watch = undefined;
    this._heardAt = 0;
    this._downSince = null;
    this._unreadable = 0;
    this._batch = [];
    this._batchOf = null;
    this._keyed = false;
    this._wantsKey = false;
  }

  /** A data message carries no number of its request: streams share a socket only if their names differ. */
  canTake(names) {
    return (
      !this.own &&
      this.parts.length > 0 &&
      this.parts.length < this._options.streamsPerSocket &&
      names !== null &&
      this.parts.every((each) => routed(each.stream.names)?.every((name) => !names.includes(name)) ?? false)
    );
  }

  add(part) {
    this.parts.push(part);
    part.line = this;
    this._byType.clear();
    if (this._socket === null && this._timer === undefined) this._dial();
    else if (this._standing) this.start(part);
  }

  remove(part) {
    if (!this.parts.includes(part)) return;
    this.stop(part);
    this.parts = this.parts.filter((each) => each !== part);
    part.line = null;
    this._byType.clear();
    if (this.parts.length === 0) this._hangUp();
  }

  start(part) {
    if (!this._standing) return;
    this._number += 1;
    part.number = this._number;
    // What still comes of an earlier start stands in front of the answer to this one.
    part.running = false;
    this._byNumber.set(this._number, part);
    const resume = part.tracker.start().map((one) => one.wire());
    const body = { ...part.request, sessionID: this._number, queryID: this._number };
    if (resume.length > 0) body.resume = resume.length === 1 ? resume[0] : resume;
    this._send("MLinkStream", body);
  }

  stop(part) {
    const { number, request } = part;
    if (!this._byNumber.delete(number) || !this._standing) return;
    this._send("MLinkStream", { msgName: request.msgName, sessionID: number, queryID: number, unsubscribe: "Yes" });
  }

  _send(mTyp, body) {
    try {
      this._socket.send(written(mTyp, body));
    } catch {
      // Closing: its end is on the way, and each stream starts on the next one.
    }
  }

  _dial() {
    const Socket = this._options.WebSocket ?? globalThis.WebSocket;
    let socket;
    try {
      socket = new Socket(this._options.url);
    } catch (error) {
      this._failAll(new RequestRefused(`${this._options.url}: ${error.message}`));
      return;
    }
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    this._keyed = this._wantsKey = false;
    this._opening = setTimeout(() => this._broken(socket, `no connection to ${this._options.url} in time`), this._options.openTimeoutMs);
    const settled = (act) => (event) => {
      if (this._socket !== socket) return;
      clearTimeout(this._opening);
      act(event);
    };
    socket.onopen = settled(() => this._opened(socket));
    socket.onmessage = settled((event) => this._receive(socket, event.data));
    socket.onclose = settled((event) => this._closed(socket, event));
    // A close follows, and knows as much.
    socket.onerror = () => {};
  }

  async _opened(socket) {
    this._heardAt = Date.now();
    this._watch = setInterval(() => {
      if (Date.now() - this._heardAt >= this._options.silenceMs) this._broken(socket, `nothing heard for ${this._options.silenceMs} ms`);
    }, Math.max(50, this._options.silenceMs / 4));
    let key;
    try {
      key = typeof this._options.key === "function" ? await this._options.key() : this._options.key;
    } catch (error) {
      this._failAll(error);
      return;
    }
    if (this._socket !== socket) return;
    this._standing = true;
    // By message: a page can't set a header, and addresses end in logs.
    if (key) {
      this._keyed = true;
      this._send("MLinkLogon", { apiKey: key });
    } else if (this._wantsKey) {
      this._failAll(new KeyRefused("the gateway wants a key"));
      return;
    }
    for (const part of this.parts) if (!part.stream._paused) this.start(part);
  }

  _receive(socket, data) {
    this._heardAt = Date.now();
    try {
      for (const text of readFrames(data)) {
        const value = parseJson(text);
        const header = value?.header;
        if (typeof header?.mTyp !== "string" || typeof value.message !== "object" || value.message === null) {
          throw new ProtocolError(`the gateway sent ${text.slice(0, 60)}, expected an object with header, mTyp and message`);
        }
        if (header.mTyp.startsWith("MLink")) {
          this._flush();
          this._control(header.mTyp, value.message);
          if (this._socket !== socket) return;
        } else this._data(header, value.message, text);
      }
    } catch (error) {
      this._flush();
      if (this._socket !== socket) return;
      if (error instanceof Retry) this._broken(socket, error.message);
      else if (error instanceof ProtocolError) {
        this._unreadable += 1;
        if (this._unreadable >= UNREADABLE_MAX) this._failAll(error);
        else this._broken(socket, error.message);
      } else this._failAll(error);
      return;
    }
    this._flush();
  }

  _data(header, fields, text) {
    let part = this._byType.get(header.mTyp);
    if (part === undefined) {
      part = this._ownerOf(header.mTyp);
      this._byType.set(header.mTyp, part);
    }
    // Of a stream that has gone, or of a start before this one.
    if (part === null || !part.running) return;
    if (!part.tracker.accept(header)) return;
    if (this._batchOf !== part) this._flush();
    this._batchOf = part;
    this._batch.push(new Message(header, fields, text));
  }

  _flush() {
    const part = this._batchOf;
    if (part === null) return;
    const batch = this._batch;
    this._batch = [];
    this._batchOf = null;
    // Waits start small again only when something new has come, not when a connection stands.
    this._backoff.reset();
    this._unreadable = 0;
    this._downSince = null;
    part.stream._arrived(batch);
  }

  _ownerOf(mTyp) {
    const only = this.parts.length === 1 ? this.parts[0] : null;
    if (only !== null) return only;
    return this.parts.find((each) => routed(each.stream.names)?.includes(mTyp.toLowerCase())) ?? null;
  }

  _control(mTyp, message) {
    if (mTyp === "MLinkAdmin") this._admin(message);
    else if (mTyp === "MLinkStreamAck") this._ack(message);
    else if (mTyp === "MLinkStreamCheckPt") this._checkpoint(message);
    else if (mTyp === "MLinkHeartbeat") {
      this._downSince = null;
      const byNumber = new Map();
      for (const position of message.positions ?? []) {
        byNumber.set(position.queryID, [...(byNumber.get(position.queryID) ?? []), position]);
      }
      for (const [number, positions] of byNumber) this._prove(this._byNumber.get(number), undefined, positions);
    } else if (mTyp === "MLinkDataAck" && message.result !== "OK") {
      throw new ProtocolError(`the gateway could not read a request: ${message.detail ?? message.result}`);
    }
  }

  _admin(admin) {
    if (REFUSED_STATES.has(admin.state)) {
      throw new KeyRefused(`${admin.state}: ${admin.detail ?? "the gateway does not take this key"}`);
    }
    if (admin.state === "WaitingLogon") {
      // It greets before it has read our logon, and perhaps before there is a key to log on with.
      this._wantsKey = true;
      if (this._standing && !this._keyed) throw new KeyRefused("the gateway wants a key");
      return;
    }
    const notice = noticeOf(admin);
    if (notice === null) return;
    const one = this._byNumber.get(admin.queryID);
    for (const part of one ? [one] : this.parts) part.notice(notice.kind, notice);
  }

  _ack(ack) {
    const part = this._byNumber.get(ack.queryID);
    if (part === undefined || ack.unsubscribe === "Yes") return;
    const { tracker, stream } = part;
    const detail = ack.detail ?? ack.result;
    this._downSince = null;
    if (ack.result === "OK" || ack.result === "Warn") {
      part.refusals = 0;
      part.running = true;
      if (ack.delivery === "latest") tracker.latest = true;
      if (ack.result === "Warn") part.notice("Warned", { detail });
      if (tracker.runs > 1) {
        const where = tracker.asked.join(", ");
        part.notice("Reconnected", { detail: where ? `goes on at ${where}` : "starts anew", positions: tracker.asked });
      }
      return;
    }
    if (tracker.runs > 1 && tracker.asked.length > 0 && ack.result === "Error") {
      part.refusals += 1;
      if (part.refusals < REFUSALS_MAX) throw new Retry(`resume refused: ${detail}`);
      const where = tracker.asked.join(", ");
      stream._fail(new Incomplete(`can't go on at ${where}, what follows is gone: ${detail}`, { positions: tracker.asked }));
      return;
    }
    stream._fail(new RequestRefused(`stream ${stream.names.join(",")}: ${detail}`, { result: ack.result, detail: ack.detail ?? "" }));
  }

  _checkpoint(checkpoint) {
    const part = this._byNumber.get(checkpoint.queryID);
    if (part === undefined) return;
    this._prove(part, checkpoint.state, checkpoint.positions ?? []);
    if (part.stream._ended) return;
    if (checkpoint.state === "Complete" && part.tracker.asked.length === 0) {
      part.notice("SnapshotComplete", { detail: checkpoint.detail ?? "", positions: part.tracker.positions() });
    } else if (checkpoint.state === "Terminated" || checkpoint.state === "Replaced") {
      throw new Retry(`stream ended by the gateway: ${checkpoint.detail ?? checkpoint.state}`);
    }
  }

  _prove(part, state, positions) {
    if (part === undefined || !part.running) return;
    try {
      part.tracker.checkpoint(state, positions);
    } catch (error) {
      part.stream._fail(error);
    }
  }

  _closed(socket, { code, reason }) {
    // 1005 and 1006 never stand on the wire: no close frame came.
    const cut = code === 1005 || code === 1006 || code === undefined;
    const text = !cut
      ? `closed by the gateway with ${code}: ${reason || "no reason given"}`
      : this._standing
        ? "the connection was cut"
        : `can't reach ${this._options.url}`;
    // Where keys are made when they are needed, the next one may be in time.
    const heals = typeof this._options.key === "function" && (code === LOGON_TIMEOUT || code === KEY_EXPIRED);
    if (KEY_CODES.has(code) && !heals) this._failAll(new KeyRefused(text));
    else this._broken(socket, text);
  }

  _broken(socket, reason) {
    if (this._socket !== socket) return;
    this._drop();
    const { giveUpAfterMs } = this._options;
    this._downSince ??= Date.now();
    const delayMs = this._backoff.nextMs();
    if (Date.now() + delayMs - this._downSince > giveUpAfterMs) {
      this._failAll(new Unreachable(`no line for ${giveUpAfterMs} ms; last: ${reason}`));
      return;
    }
    this._timer = setTimeout(() => {
      this._timer = undefined;
      this._dial();
    }, delayMs);
    for (const part of [...this.parts]) {
      part.notice("Reconnecting", {
        detail: `${reason}; next try in ${(delayMs / 1000).toFixed(2)} s`,
        attempt: this._backoff.attempt,
        delayMs,
      });
    }
  }

  /** Let go of the socket, whatever the other side does; `isOver`: because nobody wants it any more. */
  _drop(isOver = false) {
    const socket = this._socket;
    this._socket = null;
    this._standing = false;
    clearTimeout(this._opening);
    clearInterval(this._watch);
    this._byNumber.clear();
    this._byType.clear();
    for (const part of this.parts) part.running = false;
    if (socket !== null) {
      if (isOver && socket.readyState === CONNECTING) {
        // Browsers complain to the console of a socket that is closed before it is open.
        socket.onopen = () => socket.close();
        return;
      }
      try {
        socket.close();
      } catch {
        // Never opened.
      }
    }
  }

  _hangUp() {
    clearTimeout(this._timer);
    this._timer = undefined;
    this._drop(true);
    this._feed._forget(this);
  }

  _failAll(error) {
    for (const part of [...this.parts]) part.stream._fail(error);
    this._hangUp();
  }
}

/** The names as data messages will have them, without case; null: the stream needs a socket of its own. */
function routed(names) {
  return names.every((name) => /^[A-Za-z_]\w*$/.test(name)) ? names.map((name) => name.toLowerCase()) : null;
}

const EVENTS = new Set(["SessionChange", "SequenceGap", "FeedDown", "FeedUp", "Stale", "Slow", "CaughtUp"]);

function noticeOf(admin) {
  const detail = admin.detail ?? "";
  if (admin.state === "GoodNight") return { kind: "GoodNight", detail, secondsLeft: admin.secondsLeft ?? 0 };
  if (!EVENTS.has(admin.event)) return null;
  const notice = { kind: admin.event, detail, src: admin.src ?? "" };
  if (admin.event === "SessionChange") notice.session = admin.ses ?? "";
  else if (admin.event === "SequenceGap") {
    Object.assign(notice, { session: admin.ses ?? "", firstSeq: admin.fromSeqN ?? 0, lastSeq: admin.toSeqN ?? 0 });
  } else if (admin.event === "Slow") Object.assign(notice, { lagMessages: admin.lagMessages ?? 0, lagS: admin.lagSeconds ?? 0 });
  return notice;
}

// --- a gateway ---

/** One gateway. Streams share a socket while their messages can be told apart by name. */
export class Feed {
  constructor(url, options) {
    for (const name of Object.keys(options)) {
      if (!(name in OPTIONS)) throw new RequestRefused(`option ${name}: there is none; there are ${Object.keys(OPTIONS).join(", ")}`);
    }
    const set = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    this.options = { ...OPTIONS, ...set, url: websocketUrl(url) };
    for (const name of ["openTimeoutMs", "silenceMs", "retryFirstMs", "retryLongestMs", "bufferMessages", "streamsPerSocket"]) {
      if (!(this.options[name] > 0)) throw new RequestRefused(`${name} ${this.options[name]}: expected more than 0`);
    }
    if (typeof (this.options.WebSocket ?? globalThis.WebSocket) !== "function") {
      throw new RequestRefused('there is no WebSocket here: give one, connect(url, { WebSocket }), as of the package "ws"');
    }
    this.closed = false;
    this._lines = [];
    this._streams = new Set();
  }

  /** A stream of the named messages, last the options: `feed.stream("AddOrder", "Trade", { stripe: "A" })`. */
  stream(...names) {
    const last = names.at(-1);
    const options = last === undefined || (typeof last === "object" && last !== null && !Array.isArray(last)) ? names.pop() : {};
    return new Stream(this, names.flat(), options ?? {});
  }

  /** End all streams and sockets. */
  close() {
    this.closed = true;
    for (const stream of [...this._streams]) stream.close();
  }

  _place(stream) {
    if (this.closed) throw new RequestRefused("the feed is closed");
    this._streams.add(stream);
    const own = stream._options.ownSocket || stream._parts.length > 1;
    for (const part of stream._parts) {
      // A socket that can't be made ends the stream, and with it the other parts.
      if (!stream._ended) this._placePart(part, own ? null : routed(stream.names));
    }
  }

  _placePart(part, names) {
    let line = this._lines.find((each) => each.canTake(names));
    if (line === undefined) {
      line = new Line(this, names === null);
      this._lines.push(line);
    }
    line.add(part);
  }

  _remove(stream) {
    this._streams.delete(stream);
    for (const part of stream._parts) part.line?.remove(part);
  }

  _forget(line) {
    this._lines = this._lines.filter((each) => each !== line);
  }
}

/** A gateway at `url`: `ws://host:8765`, `https://host`, or just `host:8765`. Sockets open when streams are read. */
export function connect(url, options = {}) {
  return new Feed(url, options);
}

function websocketUrl(url) {
  let parts;
  try {
    parts = new URL(String(url).includes("://") ? url : `ws://${url}`);
  } catch {
    throw new RequestRefused(`gateway address ${JSON.stringify(url)}: expected ws://HOST:PORT or wss://HOST:PORT`);
  }
  const scheme = { "ws:": "ws:", "wss:": "wss:", "http:": "ws:", "https:": "wss:" }[parts.protocol];
  if (scheme === undefined || !parts.host) {
    throw new RequestRefused(`gateway address ${JSON.stringify(url)}: expected ws://HOST:PORT or wss://HOST:PORT`);
  }
  if ([...parts.searchParams.keys()].some((name) => name.toLowerCase() === "apikey")) {
    throw new RequestRefused("a key in an address ends in logs: give it as connect(url, { key })");
  }
  return `${scheme}//${parts.host}${parts.pathname === "/" ? "/mlink/jsonf" : parts.pathname}${parts.search}`;
}
