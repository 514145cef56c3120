/** Types of client.js, the JavaScript subscriber. */

/** A number, or a BigInt where a number would not hold all digits of an integer. */
export type Integer = number | bigint;
/** A message's fields. Give your own type to `stream<…>` to have them checked. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Fields = Record<string, any>;
export type Delivery = "every" | "latest";
/** What happens when nobody reads: see `FeedOptions.overflow`. */
export type Overflow = "pause" | "drop";

/** The header of a message, as on the wire. */
export interface Header {
  mTyp: string;
  src?: string;
  ses?: string;
  seqN?: number;
  sTim?: string;
  encT?: string;
  unsequenced?: boolean;
}

/** One message as received. Prices are numbers, integers beyond 2^53 BigInts; `raw` has every digit. */
export class Message<T = Fields> {
  readonly header: Header;
  readonly fields: T;
  /** The JSON object exactly as received. */
  readonly raw: string;
  /** The message's name, "AddOrder". */
  readonly type: string;
  /** The feed it comes from. */
  readonly src: string;
  /** The upstream session that its number counts in. */
  readonly session: string;
  /** Its number in the session; undefined for data sent without one, best effort. */
  readonly sequenceNumber: number | undefined;
  /** When the gateway received it from upstream; `header.sTim` has microseconds. */
  readonly sentAt: Date | undefined;
  /** When the gateway wrote it as JSON. */
  readonly encodedAt: Date | undefined;
}

/** In `session` of feed `src`, `nextSeq` is the first number not had yet. As text `SRC/SES/SEQ`. */
export class Position {
  constructor(src: string, session: string, nextSeq: number);
  readonly src: string;
  readonly session: string;
  readonly nextSeq: number;
  static parse(text: string): Position;
  toString(): string;
  wire(): { src: string; ses: string; seqN: number };
}

/** A position in any of its forms; an empty src is the only feed there is, an empty session the current one. */
export type ResumeLike = string | Position | { src?: string; session?: string; nextSeq: number };

interface Told {
  /** A sentence for people, as far as there is one. */
  readonly detail: string;
  /** Of a stream of several `stripes`: whose socket tells it. */
  readonly stripe?: string;
}

/** What a stream tells beside its messages, each at its place. */
export type Notice =
  /** The feed goes on in another session, from number 1; everything of the one before has been sent. */
  | (Told & { kind: "SessionChange"; src: string; session: string })
  /** These numbers were lost upstream for good: the gateway does not have them either. */
  | (Told & { kind: "SequenceGap"; src: string; session: string; firstSeq: number; lastSeq: number })
  /** The gateway's own line to the exchange. */
  | (Told & { kind: "FeedDown" | "FeedUp" | "Stale"; src: string })
  /** The gateway serves us from its journal, this far behind; nothing is lost. */
  | (Told & { kind: "Slow"; src: string; lagMessages: number; lagS: number })
  | (Told & { kind: "CaughtUp"; src: string })
  | (Told & { kind: "GoodNight"; secondsLeft: number })
  | (Told & { kind: "Warned" })
  /** The latest record of each key has been sent; what follows arose after it. */
  | (Told & { kind: "SnapshotComplete"; positions: Position[] })
  /** The line broke, or could not be had. */
  | (Told & { kind: "Reconnecting"; attempt: number; delayMs: number })
  /** The stream goes on exactly at `positions`; without any it started anew. */
  | (Told & { kind: "Reconnected"; positions: Position[] })
  /** The buffer is full: the gateway was asked to stop, and keeps the rest. */
  | (Told & { kind: "Paused"; waiting: number })
  /** Half of the buffer was read: the gateway was asked to go on there. */
  | (Told & { kind: "Resumed"; positions: Position[] })
  /** The buffer was full, and the oldest half of it was thrown away (overflow "drop"). */
  | (Told & { kind: "Dropped"; count: number });

export type OnNotice = (notice: Notice, stream: Stream<unknown>) => void;

export interface StreamOptions {
  /** One stripe of tickers, or several, on one socket. */
  stripe?: string | readonly string[];
  /** Several stripes, a socket for each, merged: each message once, in order within each stripe. */
  stripes?: readonly string[];
  /** `"stock:eq:AAPL & shares:gt:100"`. */
  where?: string;
  /** The fields wanted; the key is always there. */
  view?: string | readonly string[];
  /** Where to start: the first number wanted. Without it: the latest record of each key, then live. */
  resume?: ResumeLike | readonly ResumeLike[] | null;
  /** The least time between two sends; above 1, records may be conflated. */
  latencyMs?: number;
  /** Every message, or the latest of each key. Default: every event, the latest record. */
  delivery?: Delivery | null;
  /** Only records received later, in ns since the epoch; -1: none that are there already. */
  highwaterNs?: Integer;
  /** A proof of completeness behind every batch, not only in the heartbeat each 5 s. */
  coverage?: boolean;
  /** A name for the request, given back by the gateway. */
  label?: string;
  /** A socket of its own at once. */
  ownSocket?: boolean;
  onNotice?: OnNotice;
  bufferMessages?: number;
  overflow?: Overflow;
  /** Ends the stream, as `close` does. */
  signal?: AbortSignal;
}

/** What makes sockets: the browser's WebSocket, that of Node, or of the package "ws". */
export type SocketClass = new (url: string) => { send(text: string): void; close(): void };

export interface FeedOptions {
  /**
   * An API key or token, sent as the first message: never in the address. A function is asked at each connection, also
   * when the token before has expired; what it throws ends the streams.
   */
  key?: string | (() => string | Promise<string>);
  /** What makes sockets where there is no global WebSocket: that of the package "ws". */
  WebSocket?: SocketClass;
  onNotice?: OnNotice;
  /** The handshake takes longer: tried again. Default 10,000. */
  openTimeoutMs?: number;
  /** Nothing heard for so long, not even a heartbeat (each 5 s): dialled again. Default 20,000. */
  silenceMs?: number;
  /** The first wait between two tries, and the longest; it doubles, half of it by chance. Default 250 and 30,000. */
  retryFirstMs?: number;
  retryLongestMs?: number;
  /** No line for so long: `Unreachable`. Default: never. */
  giveUpAfterMs?: number;
  /** Messages received and not read, per stream, give or take one WebSocket message. Default 10,000. */
  bufferMessages?: number;
  /**
   * At that limit. "pause" (default): the gateway is asked to stop, keeps the rest in its journal, and goes on
   * there when half is read: nothing is lost. "drop": the older half is thrown away, and told.
   */
  overflow?: Overflow;
  /** Streams that share a socket; one more opens a further one. Default 16. */
  streamsPerSocket?: number;
}

export interface Callbacks<T = Fields> {
  message?(message: Message<T>): void;
  /** Instead of `message`: what arrived together. */
  batch?(messages: Message<T>[]): void;
  notice?(notice: Notice): void;
  end?(error?: Error): void;
}

/** Messages as they come: each once, in order. Opened when it is first read. */
export class Stream<T = Fields> implements AsyncIterableIterator<Message<T>> {
  private constructor();
  readonly names: readonly string[];
  [Symbol.asyncIterator](): this;
  next(): Promise<IteratorResult<Message<T>, undefined>>;
  return(value?: unknown): Promise<IteratorResult<Message<T>, undefined>>;
  /** The same messages in the runs they arrived in: the fastest way. */
  batches(): AsyncGenerator<Message<T>[], void, void>;
  /** Messages, and between them what the stream tells. */
  withNotices(): AsyncGenerator<Message<T> | Notice, void, void>;
  /** Callbacks instead of iteration, as things arrive, without a buffer. */
  listen(callbacks: Callbacks<T>): this;
  close(): void;
  /**
   * The first message not read yet, per feed: give it as `resume` to go on there. Empty within a snapshot. Of several
   * `stripes` it is the earliest: read each stripe as a stream of its own to go on without doubles.
   */
  readonly positions: Position[];
  /** Up to where everything is proven complete by a checkpoint. */
  readonly proven: Position[];
  /** Messages that arrived again and were dropped, over all reconnects and stripes. */
  readonly doubles: number;
  /** Messages thrown away because nobody read them (overflow "drop"). */
  readonly dropped: number;
  /** Messages that arrived and have not been read. */
  readonly waiting: number;
}

type Names = string | readonly string[];

/** One gateway. Streams share a socket while their messages can be told apart by name. */
export class Feed {
  private constructor();
  readonly closed: boolean;
  /** A stream of the named messages (`"*"`: all), last the options. */
  stream<T = Fields>(name: Names, options?: StreamOptions): Stream<T>;
  stream<T = Fields>(name: Names, second: Names, ...more: Names[]): Stream<T>;
  stream<T = Fields>(name: Names, second: Names, ...more: [...Names[], StreamOptions]): Stream<T>;
  close(): void;
}

/** A gateway at `url`: `ws://host:8765`, `https://host`, or just `host:8765`. */
export function connect(url: string | URL, options?: FeedOptions): Feed;

/** All errors of this module; which one says who has to act. */
export class GatewayError extends Error {}
/** The caller: an argument, or a request that the gateway can't serve. */
export class RequestRefused extends GatewayError {
  /** The gateway's result, "UnkwnMsgType"; undefined when it was not asked. */
  readonly result?: string;
  /** The gateway's own sentence. */
  readonly detail?: string;
}
/** The key's owner. */
export class KeyRefused extends GatewayError {}
/** Time, or the operator; only with `giveUpAfterMs`. */
export class Unreachable extends GatewayError {}
/** A person decides: messages can't be had; `positions` is what is proven. */
export class Incomplete extends GatewayError {
  readonly positions: Position[];
}
/** What answers there is no gateway. */
export class ProtocolError extends GatewayError {}

// For whoever has a socket of their own.

/** The JSON texts in one WebSocket message, framed or not. */
export function readFrames(data: string | ArrayBuffer | ArrayBufferView): Generator<string, void, void>;
/** JSON.parse, but an integer that a number would not hold exactly is a BigInt. */
export function parseJson(text: string): unknown;
/** Growing, jittered, capped waits. */
export class Backoff {
  constructor(firstMs?: number, longestMs?: number, draw?: () => number);
  readonly attempt: number;
  nextMs(): number;
  reset(): void;
}
/** Where one stream stands over all its connections. */
export class Tracker {
  constructor(resume?: readonly Position[], latest?: boolean);
  latest: boolean;
  readonly doubles: number;
  readonly received: number;
  readonly runs: number;
  readonly asked: readonly Position[];
  readonly proven: readonly Position[];
  start(): readonly Position[];
  positions(): Position[];
  accept(header: Header): boolean;
  checkpoint(
    state: string | undefined,
    positions: readonly { src?: string; ses?: string; seqN?: number; numMessagesSent?: number }[],
  ): void;
}
/** Several stripes as one: what belongs to every stripe is given out once. */
export class Merge {
  constructor(trackers: readonly Tracker[], rememberedMax?: number);
  readonly doubles: number;
  readonly overrun: Incomplete | null;
  keep(batch: readonly Message[]): Message[];
  earliest(ofStripes: readonly (readonly Position[])[], unread?: Iterable<Message>): Position[];
}
