/** Who reads, what, and how far behind. Nobody's name or key is known here. */

import { $, age, count, make, short } from "./dom.js";

const SHOWN_MAX = 100;
const STATES = { live: "good", latest: "good", snapshot: "warn", parked: "good", behind: "warn" };

export function showSubscribers({ stats }) {
  const { subscribers, subscriberCount } = stats;
  const rows = [];
  for (const subscriber of subscribers.slice(0, SHOWN_MAX)) {
    const streams = subscriber.streams.length ? subscriber.streams : [null];
    streams.forEach((stream, at) => {
      const lag = stream?.lagMessages ? `${count(stream.lagMessages)} messages, ${age(stream.lagS)}` : stream ? "0" : "";
      rows.push(
        make(
          "tr",
          {},
          make("td", { text: at === 0 ? String(subscriber.id) : "" }),
          make("td", { className: "wrap", text: stream ? names(stream.messages) : "no stream" }),
          make("td", { text: stream?.stripe ?? "" }),
          make("td", {}, ...(stream ? [make("span", { className: "dot", "data-state": STATES[stream.state] ?? "warn" }), stream.state] : [])),
          make("td", { className: "number", text: stream ? short(stream.sent) : "" }),
          make("td", { className: `number${stream?.lagMessages ? " warn" : ""}`, text: lag }),
          make("td", { className: "number", text: at === 0 ? age(subscriber.seconds) : "" }),
        ),
      );
    });
  }
  if (rows.length === 0) rows.push(make("tr", {}, make("td", { className: "quiet", colspan: "7", text: "Nobody is connected." })));
  $("subscriber-rows").replaceChildren(...rows);
  $("subscriber-count").textContent = subscriberCount > SHOWN_MAX ? `${SHOWN_MAX} of ${count(subscriberCount)}` : count(subscriberCount);
}

function names(messages) {
  return messages.length > 4 ? `${messages.slice(0, 3).join(", ")} and ${messages.length - 3} more` : messages.join(", ");
}
