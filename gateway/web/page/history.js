/**
 * What the chart of a ticker shows of the time before somebody looked: prices of trades among the last numbers of the
 * session, replayed. It asks for messages that bear their price, which costs the gateway little on any feed; a key that
 * may not replay has no past here.
 */

import { quoted } from "./dom.js";

const MESSAGES = ["Trade", "CrossTrade", "OrderExecutedWithPrice"];
const NUMBERS = 200_000;
const LONGEST_MS = 5_000;

/** Tell `take` of points (seconds, price), oldest first, of a feed's ticker; gives the stream, or null without a past. */
export async function replay(gateway, src, types, ticker, take) {
  const names = MESSAGES.filter((name) => types.has(name));
  if (names.length === 0) return null;
  const { session, nextSeq: end } = (await gateway.json("/stats")).feeds[src] ?? {};
  if (!session) return null;
  const resume = { src, session, nextSeq: Math.max(1, end - NUMBERS) };
  const stream = gateway.feed.stream(...names, { where: `stock:eq:${quoted(ticker)}`, resume, ownSocket: true, onNotice: () => {} });
  const timer = setTimeout(() => stream.close(), LONGEST_MS);
  return stream.listen({
    batch: (messages) => {
      const old = messages.filter((message) => message.src === src && message.sequenceNumber < end);
      take(old.map(point).filter(([at, price]) => at > 0 && price > 0));
      if (old.length < messages.length) stream.close();
    },
    // Whatever it is: without a past there is still what comes.
    end: () => clearTimeout(timer),
  });
}

function point({ fields, sentAt }) {
  const price = fields.executionPrice ?? fields.crossPrice ?? fields.price;
  return [sentAt?.getTime() / 1000, fields.printable === "N" ? 0 : price];
}
