/** Several stripes read as one stream: a socket for each, each message once, in order within each stripe. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Incomplete, Merge, Message, Position, RequestRefused, Tracker, connect } from "../../gateway/web/client.js";
import { add, at, control, sockets, taken } from "./fakes.mjs";

const of = (seqN, stock, ses = "S1") => add(seqN, { stock }, { ses });
/** Of no ticker: it belongs to every stripe. */
const ofAll = (seqN, ses = "S1") => add(seqN, { stock: undefined }, { ses });
const numbers = (messages) => messages.map((message) => message.sequenceNumber);

/** A stream of stripes A and B that both began, and their sockets. */
async function begun(options = {}) {
  const WebSocket = sockets();
  const told = [];
  const feed = connect("gateway.example", { WebSocket, retryFirstMs: 1, retryLongestMs: 2, onNotice: (notice) => told.push(notice) });
  const stream = feed.stream("*", { stripes: ["A", "B"], resume: "itch/S1/1", ...options });
  const reading = stream.next();
  const opened = [await WebSocket.next(), await WebSocket.next()];
  for (const socket of opened) socket.accepts();
  return { WebSocket, told, feed, stream, reading, a: opened[0], b: opened[1] };
}

test("each stripe has a socket of its own, and all of them end with the stream", async () => {
  const { WebSocket, stream, a, b } = await begun({ where: "shares:gt:1" });

  assert.deepEqual([a, b].map((socket) => socket.streams[0].stripeFilter), ["A", "B"]);
  assert.deepEqual([a, b].map((socket) => socket.streams[0].where), ["shares:gt:1", "shares:gt:1"]);
  stream.close();
  assert.equal(WebSocket.all.length, 2);
  assert.ok(WebSocket.all.every((socket) => socket.closed));
});

test("what belongs to every stripe is given out once, the rest in order within its stripe", async () => {
  const { stream, reading, feed, a, b } = await begun();
  a.says(ofAll(1), of(2, "AAPL"), of(5, "AMZN"));
  b.says(ofAll(1), of(3, "BA"), ofAll(4));
  a.says(of(6, "AAPL"));
  b.says(of(7, "BA"));
  const got = [(await reading).value, ...(await taken(stream, 6))];

  assert.deepEqual([...numbers(got)].sort(), [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(numbers(got.filter(({ fields }) => fields.stock?.startsWith("A"))), [2, 5, 6]);
  assert.deepEqual(numbers(got.filter(({ fields }) => fields.stock?.startsWith("B"))), [3, 7]);
  assert.equal(stream.doubles, 1);
  feed.close();
});

test("its position is that of the stripe furthest behind, and of what was not read", async () => {
  const { stream, reading, feed, a, b } = await begun();
  a.says(of(2, "AAPL"), of(9, "AAPL"));
  b.says(of(3, "BA"));
  await reading;
  assert.deepEqual(stream.positions.map(String), ["itch/S1/3"], "3 was not read");
  await taken(stream, 2);
  assert.deepEqual(stream.positions.map(String), ["itch/S1/4"], "stripe B has 3");
  a.says(control("MLinkHeartbeat", { positions: [at(1, 20, 2)] }));
  b.says(control("MLinkHeartbeat", { positions: [at(1, 15, 1)] }));

  assert.deepEqual(stream.positions.map(String), ["itch/S1/16"]);
  assert.deepEqual(stream.proven.map(String), ["itch/S1/16"]);
  feed.close();
});

test("a stripe whose feed had no session yet stands before all others", async () => {
  const { stream, reading, feed, a, b } = await begun({ resume: undefined });
  const nowhere = { queryID: 1, src: "itch", seqN: 0, numMessagesSent: 0 };
  for (const socket of [a, b]) {
    for (const state of ["Begin", "Active", "Complete"]) {
      socket.says(control("MLinkStreamCheckPt", { queryID: 1, state, positions: [nowhere] }));
    }
  }
  assert.deepEqual(stream.positions.map(String), ["itch//1"]);
  a.says(of(5, "AAPL"));
  await reading;

  assert.deepEqual(stream.positions.map(String), ["itch//1"], "stripe B has not had what it will have of the first one");
  feed.close();
});

test("of two sessions the older one counts, whatever its numbers are", async () => {
  const { stream, reading, feed, a, b } = await begun();
  a.says(of(100, "AAPL"), of(1, "AAPL", "S2"));
  b.says(of(50, "BA"));
  await reading;
  await taken(stream, 2);

  assert.deepEqual(stream.positions.map(String), ["itch/S1/51"]);
  feed.close();
});

test("a cut of one socket goes on at that stripe's place, and the other notices nothing", async () => {
  const { WebSocket, stream, reading, feed, told, a, b } = await begun();
  a.says(of(2, "AAPL"), ofAll(4));
  b.says(of(3, "BA"));
  b.cut();
  const again = await WebSocket.next();
  again.accepts({ positions: [] });
  again.says(ofAll(4), of(5, "BA"));
  a.says(of(6, "AAPL"));
  const got = [(await reading).value, ...(await taken(stream, 4))];

  assert.deepEqual(again.streams[0].resume, { src: "itch", ses: "S1", seqN: 4 });
  assert.deepEqual(numbers(got), [2, 4, 3, 5, 6]);
  assert.deepEqual(told.map(({ kind, stripe }) => [kind, stripe]), [["Reconnecting", "B"], ["Reconnected", "B"]]);
  feed.close();
});

test("what all stripes tell is told once, and of none of them", async () => {
  const { stream, reading, feed, told, a, b } = await begun();
  const change = control("MLinkAdmin", { state: "LoggedOn", event: "SessionChange", src: "itch", ses: "S2" });
  for (const socket of [a, b]) socket.says(change);
  a.says(of(1, "AAPL", "S2"));
  await reading;

  assert.deepEqual(told.map(({ kind, stripe }) => [kind, stripe]), [["SessionChange", undefined]]);
  assert.equal(stream.waiting, 0);
  feed.close();
});

test("a reader that is too slow pauses all stripes, and all go on at their places", async () => {
  const { stream, reading, feed, told, a, b } = await begun({ bufferMessages: 4 });
  a.says(of(1, "AAPL"), of(2, "AAPL"));
  b.says(of(3, "BA"), of(4, "BA"), of(5, "BA"));
  assert.deepEqual([a.stopped, b.stopped], [[1], [1]]);
  a.says(of(6, "AAPL"));
  const got = [(await reading).value, ...(await taken(stream, 4))];
  while (b.streams.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const socket of [a, b]) socket.accepts();
  a.says(of(6, "AAPL"));
  got.push(...(await taken(stream, 1)));

  assert.deepEqual([a, b].map((socket) => socket.streams[1].resume.seqN), [3, 6]);
  assert.deepEqual(numbers(got), [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(told.map((notice) => notice.kind), ["Paused", "Resumed", "Reconnected", "Reconnected"]);
  feed.close();
});

test("a stripe that is refused ends the whole stream", async () => {
  const { WebSocket, reading, b } = await begun();
  b.cut();
  const again = await WebSocket.next();
  again.says(control("MLinkAdmin", { state: "LogonFailed", detail: "not for stripe B" }));

  await assert.rejects(reading, { name: "KeyRefused", message: /not for stripe B/ });
  assert.ok(WebSocket.all.every((socket) => socket.closed));
});

test("a socket that can't be made ends the stream before others are tried", async () => {
  let made = 0;
  class Never {
    constructor() {
      made += 1;
      throw new Error("blocked by policy");
    }
  }
  const feed = connect("gateway.example", { WebSocket: Never });

  await assert.rejects(feed.stream("*", { stripes: ["A", "B", "M"] }).next(), { name: "RequestRefused", message: /blocked by policy/ });
  assert.equal(made, 1);
});

test("stripes that can't be meant are refused at once", () => {
  const feed = connect("gateway.example", { WebSocket: sockets() });

  assert.throws(() => feed.stream("*", { stripe: "A", stripes: ["B"] }), RequestRefused);
  assert.throws(() => feed.stream("*", { stripes: ["A", "a"] }), /named twice/);
});

const messages = (...values) => values.map(({ header, message }) => new Message(header, message, ""));

test("numbers are forgotten once all stripes are past them", () => {
  const trackers = [1, 2].map(() => new Tracker([new Position("itch", "S1", 1)]));
  const merge = new Merge(trackers, 2_000);
  for (let seqN = 1; seqN <= 10_000; seqN += 1) {
    for (const tracker of trackers) {
      tracker.accept({ src: "itch", ses: "S1", seqN });
      merge.keep(messages(ofAll(seqN)));
    }
  }

  assert.equal(merge.doubles, 10_000);
  assert.equal(merge.overrun, null);
});

test("stripes that run too far apart end the stream with a reason and a place", () => {
  const trackers = [1, 2].map(() => new Tracker([new Position("itch", "S1", 1)]));
  const merge = new Merge(trackers, 10);
  trackers[0].accept({ src: "itch", ses: "S1", seqN: 1 });
  for (let seqN = 1; seqN <= 11; seqN += 1) merge.keep(messages(ofAll(seqN)));

  assert.ok(merge.overrun instanceof Incomplete);
  assert.match(merge.overrun.message, /ran apart by more than 10 /);
  assert.deepEqual(merge.overrun.positions.map(String), ["itch/S1/1"]);
});
