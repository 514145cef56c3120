/** What a stream promises its reader, whatever the line does. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Incomplete, KeyRefused, ProtocolError, RequestRefused, Unreachable, connect } from "../../gateway/web/client.js";
import { add, at, control, sockets, taken, turn } from "./fakes.mjs";

const QUICK = { retryFirstMs: 1, retryLongestMs: 2 };

/** A feed on fake sockets, and what it told. */
function feedOn(options = {}, how = {}) {
  const WebSocket = sockets(how);
  const told = [];
  const feed = connect("gateway.example:8765", { WebSocket, ...QUICK, onNotice: (notice) => told.push(notice), ...options });
  return { WebSocket, feed, told, kinds: () => told.map((notice) => notice.kind) };
}

/** A stream that is asked for, and its first socket. */
async function begun(options = {}, more = {}) {
  const all = feedOn(more);
  const stream = all.feed.stream("AddOrder", options);
  const reading = stream.next();
  const socket = await all.WebSocket.next();
  return { ...all, stream, socket, reading };
}

const numbers = (messages) => messages.map((message) => message.sequenceNumber);

test("the key is the first message, and never in the address", async () => {
  const { WebSocket, feed } = feedOn({ key: "secret" });
  feed.stream("AddOrder").listen({});
  const socket = await WebSocket.next();

  assert.equal(socket.url, "ws://gateway.example:8765/mlink/jsonf");
  assert.deepEqual([socket.sent[0].header.mTyp, socket.sent[0].message], ["MLinkLogon", { apiKey: "secret" }]);
  assert.equal(socket.sent[1].header.mTyp, "MLinkStream");
  assert.throws(() => connect("ws://h/mlink/jsonf?apiKey=secret", { WebSocket }), RequestRefused);
  feed.close();
});

test("a key that is made when it is needed is asked for at each connection", async () => {
  let asked = 0;
  const { WebSocket, feed } = feedOn({ key: async () => `token ${(asked += 1)}` });
  feed.stream("AddOrder").listen({});
  const first = await WebSocket.next();
  await turn();
  first.cut();
  const second = await WebSocket.next();
  await turn();

  assert.deepEqual([first, second].map((socket) => socket.sent[0].message.apiKey), ["token 1", "token 2"]);
  feed.close();
});

test("a key that takes its time is waited for, though the gateway asks for it meanwhile", async () => {
  let give;
  const { WebSocket, feed } = feedOn({ key: () => new Promise((resolve) => (give = resolve)) });
  let ended;
  feed.stream("AddOrder").listen({ end: (error) => (ended = error) });
  const socket = await WebSocket.next();
  socket.says(control("MLinkAdmin", { state: "WaitingLogon" }));
  assert.deepEqual([socket.sent, ended], [[], undefined]);
  give("a token");
  await turn();

  assert.deepEqual(socket.sent.map((each) => each.header.mTyp), ["MLinkLogon", "MLinkStream"]);
  feed.close();
});

test("a key that turns out to be none ends the streams of a gateway that wants one", async () => {
  let give;
  const { WebSocket, feed } = feedOn({ key: () => new Promise((resolve) => (give = resolve)) });
  const reading = feed.stream("AddOrder").next();
  const socket = await WebSocket.next();
  socket.says(control("MLinkAdmin", { state: "WaitingLogon" }));
  give("");

  await assert.rejects(reading, KeyRefused);
});

test("a token that expired is made anew, a key that did is the holder's to renew", async () => {
  let made = 0;
  const { WebSocket, feed } = feedOn({ key: () => `token ${(made += 1)}` });
  feed.stream("AddOrder").listen({});
  (await WebSocket.next()).cut(4006, "the token has expired");
  const second = await WebSocket.next();
  await turn();
  assert.equal(second.sent[0].message.apiKey, "token 2");
  feed.close();

  const { socket, reading } = await begun({}, { key: "a token" });
  socket.cut(4006, "the token has expired");
  await assert.rejects(reading, { name: "KeyRefused", message: /expired/ });
});

test("without a key, a gateway that wants one ends the streams", async () => {
  const { socket, reading } = await begun();
  socket.says(control("MLinkAdmin", { state: "WaitingLogon" }));

  await assert.rejects(reading, KeyRefused);
  assert.ok(socket.closed);
});

test("with a key, the greeting that wants one is passed over, and a refusal is not", async () => {
  const { socket, reading } = await begun({}, { key: "wrong" });
  socket.says(control("MLinkAdmin", { state: "WaitingLogon" }));
  assert.ok(!socket.closed);
  socket.says(control("MLinkAdmin", { state: "LogonFailed", detail: "this key is not good" }));

  await assert.rejects(reading, { name: "KeyRefused", message: /this key is not good/ });
});

test("a key that is revoked while connected ends the streams, any other close is healed", async () => {
  const { WebSocket, socket, reading } = await begun();
  socket.accepts();
  socket.cut(1001, "good night");
  const next = await WebSocket.next();
  next.accepts();
  next.cut(4005, "the key was revoked");

  await assert.rejects(reading, { name: "KeyRefused", message: /the key was revoked/ });
});

test("a request says all that was asked", async () => {
  const { socket, feed } = await begun({
    stripe: ["A", "M1"], where: "stock:eq:AAPL", view: ["price", "shares"], latencyMs: 50, delivery: "every",
    highwaterNs: 1_769_783_400_123_456_789n, coverage: true, label: "mine",
  });

  assert.match(socket.texts.at(-1), /"highwaterTs":1769783400123456789[,}]/);
  const { highwaterTs, ...rest } = socket.streams[0];
  assert.ok(highwaterTs);
  assert.deepEqual(rest, {
    msgName: "AddOrder", sessionID: 1, queryID: 1, activeLatency: 50, stripeFilter: ["A", "M1"], where: "stock:eq:AAPL",
    view: "price|shares", delivery: "every", coverage: true, queryLabel: "mine",
  });
  feed.close();
});

test("wrong arguments are named at once", () => {
  const { feed } = feedOn();

  assert.throws(() => feed.stream(), /message names/);
  assert.throws(() => feed.stream("A", { stripeFilter: "A" }), /stream option stripeFilter/);
  assert.throws(() => feed.stream("A", { delivery: "some" }), /delivery/);
  assert.throws(() => feed.stream("A", { latencyMs: 0 }), /latencyMs/);
  assert.throws(() => feed.stream("A", { resume: "x" }), /SRC\/SES\/SEQ/);
  assert.throws(() => feed.stream("A", { resume: ["a/1/1", "a/1/2"] }), /twice/);
  assert.throws(() => feed.stream("A", { overflow: "block" }), /overflow/);
  assert.throws(() => connect("h", { WebSocket: sockets(), retries: 1 }), /option retries/);
  assert.throws(() => connect("h", { WebSocket: sockets(), silenceMs: 0 }), /silenceMs/);
  assert.throws(() => connect("ftp://h", { WebSocket: sockets() }), /expected ws:/);
  assert.throws(() => connect("ws://", { WebSocket: sockets() }), /expected ws:/);
});

test("a break ends the stream at the gateway, and the last stream the socket", async () => {
  const { feed, WebSocket } = feedOn();
  const stream = feed.stream("AddOrder");
  WebSocket.next().then((socket) => {
    socket.accepts();
    socket.says(add(1), add(2));
  });
  for await (const message of stream) {
    assert.equal(message.sequenceNumber, 1);
    break;
  }

  assert.deepEqual(WebSocket.last.stopped, [1]);
  assert.ok(WebSocket.last.closed);
  assert.deepEqual(stream.positions.map(String), ["itch/S1/2"], "what was not read counts as not had");
});

test("after a cut it goes on where it stands, and what comes twice is dropped", async () => {
  const { WebSocket, stream, socket, reading, told, feed } = await begun({ resume: "itch/S1/1" });
  socket.accepts();
  socket.says(add(1), add(2), add(3));
  socket.cut();
  const next = await WebSocket.next();
  const [asked] = next.streams;
  next.accepts({ positions: [] });
  next.says(add(3), add(4));
  const got = [(await reading).value, ...(await taken(stream, 3))];

  assert.deepEqual(asked.resume, { src: "itch", ses: "S1", seqN: 4 });
  assert.deepEqual(numbers(got), [1, 2, 3, 4]);
  assert.equal(stream.doubles, 1);
  assert.deepEqual(told.map((notice) => notice.kind), ["Reconnecting", "Reconnected"]);
  assert.deepEqual(told[1].positions.map(String), ["itch/S1/4"]);
  feed.close();
});

test("a checkpoint moves the position over numbers that do not match", async () => {
  const { WebSocket, socket, feed } = await begun({ resume: "itch/S1/1" });
  const queryID = socket.accepts();
  socket.says(add(3), control("MLinkHeartbeat", { seqNum: 1, positions: [at(queryID, 90, 1)] }));
  socket.cut();
  const next = await WebSocket.next();

  assert.equal(next.streams[0].resume.seqN, 91);
  feed.close();
});

test("a new session is told at its place, once, and the stream goes on in it", async () => {
  const { WebSocket, stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  const change = control("MLinkAdmin", { state: "LoggedOn", event: "SessionChange", src: "itch", ses: "S2", detail: "a new day" });
  socket.accepts();
  socket.says(add(1), change, add(1, {}, { ses: "S2" }));
  socket.cut();
  const next = await WebSocket.next();
  next.accepts({ positions: [] });
  next.says(change, add(2, {}, { ses: "S2" }));
  const items = [(await reading).value];
  for await (const item of stream.withNotices()) {
    items.push(item);
    if (item.sequenceNumber === 2) break;
  }

  assert.deepEqual(
    items.map((item) => item.kind ?? `${item.session}/${item.sequenceNumber}`),
    ["S1/1", "SessionChange", "S2/1", "Reconnecting", "Reconnected", "S2/2"],
  );
  assert.deepEqual(next.streams[0].resume, { src: "itch", ses: "S2", seqN: 2 });
  assert.deepEqual([items[1].src, items[1].session], ["itch", "S2"]);
  feed.close();
});

test("a snapshot that is cut is asked for again, and what was had of it is dropped", async () => {
  const { WebSocket, stream, socket, reading, feed } = await begun();
  const queryID = socket.streams[0].queryID;
  socket.says(control("MLinkStreamAck", { queryID, result: "OK" }), control("MLinkStreamCheckPt", { queryID, state: "Begin" }), add(3), add(5));
  assert.deepEqual(stream.positions, [], "the numbers of a snapshot are no position");
  socket.cut();
  const next = await WebSocket.next();
  next.accepts({ snapshot: [add(3), add(5), add(8)], positions: [at(2, 20, 3)] });
  next.says(add(21));
  const got = [(await reading).value, ...(await taken(stream, 3))];

  assert.equal(next.streams[0].resume, undefined);
  assert.deepEqual(numbers(got), [3, 5, 8, 21]);
  assert.deepEqual(stream.positions.map(String), ["itch/S1/22"]);
  feed.close();
});

test("a stream of the latest of each key starts anew, when it asked for it and when the gateway says so", async () => {
  for (const [options, ack] of [[{ delivery: "latest" }, {}], [{}, { delivery: "latest" }]]) {
    const { WebSocket, stream, socket, reading, feed } = await begun(options);
    socket.accepts({ snapshot: [add(3)], positions: [at(1, 9, 1)], ...ack });
    socket.cut();
    const next = await WebSocket.next();
    next.accepts({ snapshot: [add(3), add(12)], positions: [at(2, 12, 2)], ...ack });
    const got = [(await reading).value, ...(await taken(stream, 1))];

    assert.equal(next.streams[0].resume, undefined);
    assert.deepEqual(numbers(got), [3, 12]);
    feed.close();
  }
});

test("a second snapshot that is cut gives nothing twice either", async () => {
  const { WebSocket, stream, socket, reading, feed } = await begun({ delivery: "latest" });
  socket.accepts({ snapshot: [add(3)], positions: [at(1, 9, 1)] });
  socket.says(add(10));
  socket.cut();
  const second = await WebSocket.next();
  second.says(control("MLinkStreamAck", { queryID: 2, result: "OK" }), control("MLinkStreamCheckPt", { queryID: 2, state: "Begin" }), add(11), add(12));
  second.cut();
  const third = await WebSocket.next();
  third.accepts({ snapshot: [add(3), add(11), add(12), add(13)], positions: [at(3, 13, 4)] });
  const got = [(await reading).value, ...(await taken(stream, 4))];

  assert.deepEqual(numbers(got), [3, 10, 11, 12, 13]);
  assert.equal(stream.waiting, 0);
  feed.close();
});

test("a checkpoint that was written before what has come does not move the position back", async () => {
  const { stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  const queryID = socket.accepts();
  socket.says(add(1), add(2), add(3), control("MLinkHeartbeat", { positions: [at(queryID, 2, 3)] }));
  await reading;
  await taken(stream, 2);

  assert.deepEqual(stream.positions.map(String), ["itch/S1/4"]);
  feed.close();
});

test("waits start small again when messages have come, not when a connection stands", async () => {
  const { WebSocket, feed } = feedOn();
  const attempts = [];
  feed.stream("AddOrder", { resume: "itch/S1/1" }).listen({ notice: ({ kind, attempt }) => kind === "Reconnecting" && attempts.push(attempt) });
  const first = await WebSocket.next();
  first.accepts();
  first.cut();
  (await WebSocket.next()).cut();
  const third = await WebSocket.next();
  third.accepts();
  third.says(add(1));
  third.cut();

  assert.deepEqual(attempts, [1, 2, 1]);
  feed.close();
});

test("a socket that never opens is given up, and another is tried", async () => {
  const Opening = sockets();
  let made = 0;
  class Mute extends Opening {
    set onopen(act) {
      // The first never says that it is open.
      this.opens = (made += 1) > 1 ? act : () => {};
    }
    get onopen() {
      return this.opens;
    }
  }
  const { feed, told } = feedOn({ WebSocket: Mute, openTimeoutMs: 10 });
  feed.stream("AddOrder").listen({});
  const first = await Opening.next();
  const second = await Opening.next();

  assert.match(told[0].detail, /no connection .* in time/);
  assert.ok(first.closed);
  assert.equal(second.streams.length, 1);
  feed.close();
});

test("when less arrived than was sent, the stream ends and says what is proven", async () => {
  const { stream, socket, reading } = await begun({ resume: "itch/S1/1" });
  const queryID = socket.accepts();
  socket.says(add(1), control("MLinkHeartbeat", { positions: [at(queryID, 1, 1)] }));
  socket.says(add(2), control("MLinkHeartbeat", { positions: [at(queryID, 3, 3)] }));
  const got = [(await reading).value, ...(await taken(stream, 1))];

  assert.deepEqual(numbers(got), [1, 2]);
  await assert.rejects(stream.next(), (error) => {
    assert.ok(error instanceof Incomplete);
    assert.deepEqual(error.positions.map(String), ["itch/S1/2"]);
    return /sent 3 messages, 2 arrived/.test(error.message);
  });
});

test("a position that is gone ends the stream after three tries, each on a new connection", async () => {
  const { WebSocket, stream, socket, reading } = await begun({ resume: "itch/S1/1" });
  socket.accepts();
  socket.says(add(1));
  await reading;
  socket.cut();
  const ended = assert.rejects(stream.next(), { name: "Incomplete", message: /aged out/ });
  for (let tries = 0; tries < 3; tries += 1) {
    const next = await WebSocket.next();
    next.says(control("MLinkStreamAck", { queryID: next.streams[0].queryID, result: "Error", detail: "aged out" }));
  }
  await ended;

  assert.equal(WebSocket.all.length, 4);
});

test("a request that can't be served ends the stream with the gateway's sentence", async () => {
  const { socket, reading } = await begun();
  socket.says(control("MLinkStreamAck", { queryID: 1, result: "UnkwnMsgType", detail: "no message 'AddOrder'" }));

  await assert.rejects(reading, { name: "RequestRefused", result: "UnkwnMsgType", detail: "no message 'AddOrder'" });
});

test("numbers the gateway has not either are told, not an error", async () => {
  const { stream, socket, reading, told, feed } = await begun({ resume: "itch/S1/1" });
  socket.accepts();
  socket.says(add(1), control("MLinkAdmin", { state: "LoggedOn", event: "SequenceGap", src: "itch", ses: "S1", fromSeqN: 2, toSeqN: 4 }), add(5));
  const got = [(await reading).value, ...(await taken(stream, 1))];

  assert.deepEqual(numbers(got), [1, 5]);
  assert.deepEqual({ ...told[0] }, { kind: "SequenceGap", detail: "", src: "itch", session: "S1", firstSeq: 2, lastSeq: 4 });
  feed.close();
});

test("when nobody reads, the gateway is asked to stop, and to go on there once half is read", async () => {
  const { stream, socket, reading, feed, kinds } = await begun({ resume: "itch/S1/1", bufferMessages: 10 });
  socket.accepts();
  socket.says(...Array.from({ length: 12 }, (_, index) => add(index + 1)));
  assert.deepEqual(socket.stopped, [1]);
  // On its way when the gateway heard of it.
  socket.says(add(13), add(14), control("MLinkStreamAck", { queryID: 1, result: "OK", unsubscribe: "Yes" }), control("MLinkStreamCheckPt", { queryID: 1, state: "Terminated" }));
  assert.equal(stream.waiting, 12);
  // Five of twelve are left: half of what the buffer holds.
  const got = [(await reading).value, ...(await taken(stream, 6))];
  while (socket.streams.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  const asked = socket.streams[1];
  socket.says(add(15));
  socket.accepts();
  socket.says(add(13), add(14), add(15));
  got.push(...(await taken(stream, 8)));

  assert.deepEqual(asked.resume, { src: "itch", ses: "S1", seqN: 13 });
  assert.deepEqual(numbers(got), Array.from({ length: 15 }, (_, index) => index + 1));
  assert.deepEqual(kinds(), ["Paused", "Resumed", "Reconnected"]);
  assert.equal(stream.doubles, 0, "what an old start still brought was not taken");
  feed.close();
});

test("a stream that is paused while the line breaks goes on at its place", async () => {
  const { WebSocket, stream, socket, reading, feed } = await begun({ resume: "itch/S1/1", bufferMessages: 4 });
  socket.accepts();
  socket.says(add(1), add(2), add(3), add(4), add(5));
  socket.cut();
  const next = await WebSocket.next();
  assert.deepEqual(next.streams, [], "nobody has read yet");
  const got = [(await reading).value, ...(await taken(stream, 4))];
  while (next.streams.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  next.accepts();
  next.says(add(6));
  got.push(...(await taken(stream, 1)));

  assert.deepEqual(numbers(got), [1, 2, 3, 4, 5, 6]);
  feed.close();
});

test("with overflow drop the older half goes, and it is told how many", async () => {
  const { stream, socket, reading, feed, told } = await begun({ resume: "itch/S1/1", bufferMessages: 4, overflow: "drop" });
  socket.accepts();
  await turn();
  for (let seq = 1; seq <= 7; seq += 1) socket.says(add(seq));
  const first = (await reading).value;
  const got = [first, ...(await taken(stream, stream.waiting))];

  assert.equal(numbers(got).at(-1), 7);
  assert.equal(got.length + stream.dropped, 7);
  assert.ok(stream.dropped > 0);
  assert.ok(told.some((notice) => notice.kind === "Dropped" && notice.count > 0));
  assert.deepEqual(socket.stopped, []);
  feed.close();
});

test("callbacks get batches at once, and what one throws ends the stream", async () => {
  const { WebSocket, feed } = feedOn();
  const got = [];
  let ended;
  feed.stream("AddOrder", { resume: "itch/S1/1" }).listen({
    batch: (messages) => {
      got.push(numbers(messages));
      if (got.length === 2) throw new Error("enough");
    },
    end: (error) => (ended = error),
  });
  const socket = await WebSocket.next();
  socket.accepts();
  socket.says(add(1), add(2));
  assert.deepEqual(got, [[1, 2]]);
  socket.says(add(3));

  assert.equal(ended.message, "enough");
  assert.ok(socket.closed);
});

test("batches are what arrived together", async () => {
  const { stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  socket.accepts();
  socket.says(add(1), add(2), add(3));
  socket.says(add(4), add(5));
  assert.equal((await reading).value.sequenceNumber, 1);
  const got = [];
  for await (const batch of stream.batches()) {
    got.push(numbers(batch));
    if (got.length === 2) break;
  }

  assert.deepEqual(got, [[2, 3], [4, 5]]);
  feed.close();
});

test("streams of different names share a socket, others do not", async () => {
  const { WebSocket, feed } = feedOn();
  const got = { AddOrder: [], Trade: [] };
  for (const name of ["AddOrder", "Trade"]) feed.stream(name).listen({ message: (message) => got[name].push(message.sequenceNumber) });
  const shared = await WebSocket.next();
  feed.stream("addorder").listen({});
  feed.stream("*").listen({});
  feed.stream("NOII", { ownSocket: true }).listen({});

  assert.equal(WebSocket.all.length, 4);
  assert.deepEqual(shared.streams.map((each) => each.msgName), ["AddOrder", "Trade"]);
  for (const { queryID } of shared.streams) shared.says(control("MLinkStreamAck", { queryID, result: "OK" }), control("MLinkStreamCheckPt", { queryID, state: "Active" }));
  shared.says(add(1), add(2, {}, { mTyp: "Trade" }), add(3));
  assert.deepEqual(got, { AddOrder: [1, 3], Trade: [2] });
  feed.close();
  assert.ok(WebSocket.all.every((socket) => socket.closed));
});

test("what a stream that has gone still brings is not taken by the next of its name", async () => {
  const { WebSocket, feed } = feedOn();
  const got = [];
  feed.stream("Trade").listen({});
  const first = feed.stream("AddOrder").listen({});
  const socket = await WebSocket.next();
  first.close();
  feed.stream("AddOrder").listen({ message: (message) => got.push(message.sequenceNumber) });
  const { queryID } = socket.streams.at(-1);
  assert.equal(WebSocket.all.length, 1);
  socket.says(add(1), control("MLinkStreamAck", { queryID, result: "OK" }), control("MLinkStreamCheckPt", { queryID, state: "Active" }), add(2));

  assert.deepEqual(got, [2]);
  feed.close();
});

test("a gateway that can't be reached is tried again, and given up only when told to", async () => {
  const { feed, told } = feedOn({ giveUpAfterMs: 15 }, { opens: false });

  await assert.rejects(feed.stream("AddOrder").next(), (error) => error instanceof Unreachable && /can't reach/.test(error.message));
  assert.ok(told.every((notice) => notice.kind === "Reconnecting" && notice.delayMs <= 2));
});

test("a line on which nothing is heard is made anew", async () => {
  const { WebSocket, feed, told } = feedOn({ silenceMs: 20 });
  feed.stream("AddOrder").listen({});
  const first = await WebSocket.next();
  first.accepts();
  const second = await WebSocket.next();

  assert.ok(first.closed);
  assert.match(told.find((notice) => notice.kind === "Reconnecting").detail, /nothing heard for 20 ms/);
  assert.ok(!second.closed);
  feed.close();
});

test("bytes that can't be read three times running are no accident", async () => {
  const { WebSocket, feed } = feedOn();
  let ended;
  feed.stream("AddOrder").listen({ end: (error) => (ended = error) });
  for (const wrong of ["not JSON", "[]", "{}"]) {
    const socket = await WebSocket.next();
    assert.equal(ended, undefined);
    socket.onmessage({ data: new TextEncoder().encode(wrong).buffer });
  }

  assert.ok(ended instanceof ProtocolError);
});

test("what can't be read is asked for again, and what came before it is kept", async () => {
  const { WebSocket, stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  socket.accepts();
  socket.says(add(1), "{not json");
  const next = await WebSocket.next();

  assert.equal((await reading).value.sequenceNumber, 1);
  assert.equal(next.streams[0].resume.seqN, 2);
  stream.close();
  feed.close();
});

test("a feed that is closed ends its streams, after what has arrived", async () => {
  const { stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  socket.accepts();
  socket.says(add(1), add(2));
  feed.close();

  assert.equal((await reading).value.sequenceNumber, 1);
  assert.deepEqual(numbers(await taken(stream, 5)), [2]);
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
  await assert.rejects(feed.stream("AddOrder").next(), RequestRefused);
});

test("data without a number passes, and is counted nowhere", async () => {
  const { stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  const queryID = socket.accepts();
  const loose = { header: { mTyp: "AddOrder", src: "itch", ses: "S1", unsequenced: true }, message: {} };
  socket.says(add(1), loose, control("MLinkHeartbeat", { positions: [at(queryID, 1, 1)] }), add(2));
  const got = [(await reading).value, ...(await taken(stream, 2))];

  assert.deepEqual(numbers(got), [1, undefined, 2]);
  feed.close();
});

test("whoever asks twice before an answer is there gets two messages, in the order of asking", async () => {
  const { stream, socket, reading, feed } = await begun({ resume: "itch/S1/1" });
  const more = [stream.next(), stream.next()];
  socket.accepts();
  socket.says(add(1));
  socket.says(add(2), add(3));
  const got = await Promise.all([reading, ...more]);

  assert.deepEqual(numbers(got.map((each) => each.value)), [1, 2, 3]);
  feed.close();
});

test("a signal ends a stream, also one that was given before", async () => {
  const controller = new AbortController();
  const { feed, socket, reading } = await begun({ signal: controller.signal });
  controller.abort();

  assert.deepEqual(await reading, { done: true, value: undefined });
  assert.ok(socket.closed);
  assert.deepEqual(await feed.stream("AddOrder", { signal: controller.signal }).next(), { done: true, value: undefined });
});

test("a socket that nobody wants any more is closed once it is open, as browsers complain otherwise", async () => {
  const { WebSocket, feed } = feedOn();
  feed.stream("AddOrder").listen({});
  const socket = WebSocket.last;
  socket.readyState = 0;
  feed.close();
  assert.ok(!socket.closed);
  await WebSocket.next();

  assert.ok(socket.closed);
  assert.equal(WebSocket.all.length, 1);
});
