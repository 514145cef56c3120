/** A socket that a test speaks for, and the gateway's words. Real frames, no network. */

const encoder = new TextEncoder();

export function frame(value, number = 0) {
  const payload = encoder.encode(typeof value === "string" ? value : JSON.stringify(value));
  const head = `\r\nJ${String(number).padStart(5, "0")}${String(payload.length).padStart(6, "0")}`;
  return new Uint8Array([...encoder.encode(head), ...payload]);
}

export function joined(...values) {
  return new Uint8Array(values.flatMap((value) => [...frame(value)])).buffer;
}

export const add = (seqN, fields = {}, { src = "itch", ses = "S1", mTyp = "AddOrder" } = {}) => ({
  header: { mTyp, src, ses, seqN, sTim: "2026-01-30 14:30:00.123456", encT: "2026-01-30 14:30:00.123499" },
  message: { stock: "AAPL", ...fields },
});
export const control = (mTyp, message) => ({ header: { mTyp }, message });
export const at = (queryID, seqN, numMessagesSent, ses = "S1", src = "itch") => ({ queryID, src, ses, seqN, numMessagesSent });

/** Makes a WebSocket class whose sockets are in its `all`, newest last; each opens by itself, unless told not to. */
export function sockets({ opens = true } = {}) {
  return class FakeSocket {
    static all = [];
    static waiting = [];
    static get last() {
      return this.all.at(-1);
    }

    /** The next socket that is made. */
    static next() {
      return new Promise((resolve) => this.waiting.push(resolve));
    }

    constructor(url) {
      this.url = String(url);
      this.sent = [];
      this.closed = false;
      FakeSocket.all.push(this);
      setImmediate(() => {
        if (opens && !this.closed) this.onopen({});
        else if (!opens) this.cut();
        FakeSocket.waiting.shift()?.(this);
      });
    }

    send(text) {
      this.sent.push(JSON.parse(text));
      this.texts = [...(this.texts ?? []), text];
    }

    close() {
      this.closed = true;
    }

    says(...values) {
      this.onmessage?.({ data: joined(...values) });
    }

    cut(code = 1006, reason = "") {
      this.closed = true;
      this.onclose?.({ code, reason });
    }

    get streams() {
      return this.sent.filter((each) => each.header.mTyp === "MLinkStream" && each.message.unsubscribe !== "Yes").map((each) => each.message);
    }

    get stopped() {
      return this.sent.filter((each) => each.message.unsubscribe === "Yes").map((each) => each.message.queryID);
    }

    /** Takes the newest request, from where it wants to start: begun, without a snapshot. */
    accepts({ positions, snapshot = [], ...more } = {}) {
      const { queryID, resume } = this.streams.at(-1);
      const [first] = [resume ?? []].flat();
      const here = positions ?? [at(queryID, (first?.seqN ?? 1) - 1, snapshot.length, first?.ses ?? "S1")];
      this.says(
        control("MLinkStreamAck", { queryID, result: "OK", ...more }),
        control("MLinkStreamCheckPt", { queryID, state: "Begin" }),
        ...snapshot,
        control("MLinkStreamCheckPt", { queryID, state: "Active", positions: here }),
        control("MLinkStreamCheckPt", { queryID, state: "Complete", positions: here }),
      );
      return queryID;
    }
  };
}

/** Let everything that is ready run. */
export const turn = () => new Promise((resolve) => setImmediate(resolve));

export async function taken(stream, count) {
  const got = [];
  while (got.length < count) {
    const { done, value } = await stream.next();
    if (done) break;
    got.push(value);
  }
  return got;
}
