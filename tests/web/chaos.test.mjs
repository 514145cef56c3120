/**
 * Against a running gateway, over a line that is cut again and again: each number once, in order.
 *
 * Told by the environment: GATEWAY_PORT, SESSIONS (a list of how many messages each of them has), STRIPES (each with
 * its tickers), and WS, the package whose WebSocket is used instead of Node's own.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { connect } from "../../gateway/web/client.js";
import { cuttingProxy, drawing } from "./cutting.mjs";

const CUTS = 50;
const WebSocket = process.env.WS ? (await import(process.env.WS)).WebSocket : undefined;
const sizes = JSON.parse(process.env.SESSIONS);
const stripes = JSON.parse(process.env.STRIPES);

for (const [what, options] of [
  ["fast", {}],
  ["with a small buffer, read slowly", { bufferMessages: 1_500 }],
]) {
  test(`fifty cuts at random lose nothing and double nothing, ${what}`, async (t) => {
    const seed = Date.now() % 2 ** 32;
    const draw = drawing(seed);
    // Handshake and greeting are some hundred bytes: some cuts fall into them, most into messages.
    const proxy = await cuttingProxy(Number(process.env.GATEWAY_PORT), Array.from({ length: CUTS }, () => 100 + Math.floor(draw() * 60_000)));
    // Whatever fails: a server that listens would keep the process.
    t.after(() => proxy.close());
    const told = [];
    const feed = connect(`127.0.0.1:${proxy.port}`, { WebSocket, retryFirstMs: 1, retryLongestMs: 5, onNotice: (notice) => told.push(notice.kind), ...options });
    t.after(() => feed.close());
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const got = [];
    const stream = feed.stream("*", { resume: "itch/0000000001/1", coverage: true });
    for await (const message of stream) {
      got.push(message);
      if (options.bufferMessages && got.length % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      if (got.length === total) break;
    }

    const sessions = [...new Set(got.map((message) => message.session))];
    assert.equal(sessions.length, sizes.length, `seed ${seed}`);
    sessions.forEach((session, at) => {
      const numbers = got.filter((message) => message.session === session).map((message) => message.sequenceNumber);
      assert.equal(numbers.length, sizes[at], `seed ${seed}, session ${session}`);
      assert.ok(numbers.every((number, index) => number === index + 1), `seed ${seed}, session ${session}`);
    });
    assert.deepEqual([...sessions].sort(), sessions, "one session after the other");
    assert.equal(proxy.done, CUTS, `seed ${seed}`);
    assert.equal(told.filter((kind) => kind === "SessionChange").length, sizes.length - 1);
    assert.ok(told.filter((kind) => kind === "Reconnecting").length >= CUTS);
    assert.equal(stream.doubles, 0, "the gateway goes on exactly where it is asked to");
  });
}

test("fifty cuts of eleven sockets lose nothing of the stripes they carry, and double nothing", async (t) => {
  const seed = Date.now() % 2 ** 32;
  const draw = drawing(seed);
  const proxy = await cuttingProxy(Number(process.env.GATEWAY_PORT), Array.from({ length: CUTS }, () => 100 + Math.floor(draw() * 30_000)));
  t.after(() => proxy.close());
  const feed = connect(`127.0.0.1:${proxy.port}`, { WebSocket, retryFirstMs: 1, retryLongestMs: 5, bufferMessages: 3_000 });
  t.after(() => feed.close());
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const got = [];
  const stream = feed.stream("*", { stripes: Object.keys(stripes), resume: "itch/0000000001/1" });
  for await (const message of stream) {
    got.push(message);
    if (got.length === total) break;
  }

  const numberIn = (session) => (message) => (message.session === session ? [message.sequenceNumber] : []);
  [...new Set(got.map((message) => message.session))].sort().forEach((session, at) => {
    const numbers = got.flatMap(numberIn(session)).sort((a, b) => a - b);
    assert.equal(numbers.length, sizes[at], `seed ${seed}, session ${session}`);
    assert.ok(numbers.every((number, index) => number === index + 1), `seed ${seed}, session ${session}: each once`);
    for (const [stripe, tickers] of Object.entries(stripes)) {
      const ofStripe = got.filter((message) => tickers.includes(message.fields.stock)).flatMap(numberIn(session));
      assert.deepEqual(ofStripe, ofStripe.toSorted((a, b) => a - b), `seed ${seed}, session ${session}, stripe ${stripe}: in order`);
    }
  });
  assert.ok(Object.values(stripes).flat().length > 40, "tickers in many stripes");
  // A socket that has little to bring may not reach its cut.
  assert.ok(proxy.done >= CUTS - Object.keys(stripes).length, `seed ${seed}: ${proxy.done} cuts`);
});
