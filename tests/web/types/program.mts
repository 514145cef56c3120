// What a subscriber writes: it compiles under --strict, with no `any` where a name can be checked.

import { Feed, Incomplete, KeyRefused, Message, Position, RequestRefused, Stream, connect, parseJson, readFrames } from "soup-gateway-client";
import type { Callbacks, FeedOptions, Integer, Notice, StreamOptions } from "soup-gateway-client";

interface AddOrder {
  stock: string;
  side: "B" | "S";
  shares: number;
  price: number;
  orderReferenceNumber: Integer;
}

const options: FeedOptions = {
  key: async () => "a token",
  WebSocket,
  giveUpAfterMs: 60_000,
  overflow: "drop",
  onNotice: (notice, stream) => console.log(stream.names.join(), notice.kind, notice.detail, notice.stripe),
};
const feed: Feed = connect(new URL("ws://localhost:8765"), options);

export async function bought(signal: AbortSignal): Promise<{ value: number; resume: string }> {
  const stream = feed.stream<AddOrder>("AddOrder", {
    stripe: ["A", "M1"],
    where: "side:eq:B",
    view: ["stock", "price", "shares"],
    highwaterNs: 1_769_783_400_123_456_789n,
    delivery: "every",
    signal,
  });
  let value = 0;
  for await (const { fields, sequenceNumber } of stream) {
    value += fields.price * fields.shares;
    if (sequenceNumber !== undefined && sequenceNumber > 1_000) break;
  }
  return { value, resume: stream.positions.join() };
}

export async function merged(resume: readonly Position[]): Promise<Message[]> {
  const all: Message[] = [];
  for await (const batch of feed.stream("*", { stripes: ["A", "B", "X"], resume }).batches()) all.push(...batch);
  return all;
}

export async function told(stream: Stream<AddOrder>): Promise<string> {
  for await (const item of stream.withNotices()) {
    if (item instanceof Message) console.log(item.fields.stock.toLowerCase(), item.sentAt?.getTime());
    else return sentence(item);
  }
  return "";
}

function sentence(notice: Notice): string {
  switch (notice.kind) {
    case "SequenceGap":
      return `${notice.session}: ${notice.firstSeq} to ${notice.lastSeq}`;
    case "Slow":
      return `${notice.lagMessages.toFixed()} behind`;
    case "Reconnecting":
      return `${notice.attempt} in ${notice.delayMs}`;
    case "Resumed":
      return notice.positions.map((position) => position.nextSeq.toFixed()).join();
    case "Dropped":
      return notice.count.toFixed();
    default:
      return notice.detail;
  }
}

const callbacks: Callbacks<AddOrder> = {
  batch: (messages) => console.log(messages[0]?.fields.price),
  end: (error) => {
    if (error instanceof Incomplete) console.log(error.positions.join());
    else if (error instanceof RequestRefused) console.log(error.result, error.detail);
    else if (error instanceof KeyRefused) console.log(error.message);
  },
};
feed.stream<AddOrder>("AddOrder", "AddOrderMPID", callbacksOptions()).listen(callbacks).close();
feed.stream("AddOrder", "Trade", "NOII", { latencyMs: 50, resume: { nextSeq: 1 } });
feed.stream(["AddOrder", "Trade"]);

function callbacksOptions(): StreamOptions {
  return { resume: ["itch/0000000001/1", { src: "other", session: "S1", nextSeq: 5 }], bufferMessages: 5 };
}

export function ownSocket(data: ArrayBuffer): unknown[] {
  return [...readFrames(data)].map((text) => parseJson(text));
}
