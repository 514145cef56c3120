/**
 * Against a running gateway, over a line that is cut again and again: each number once, in order.
 *
 * Told by the environment: GATEWAY_PORT, SESSIONS (a list of how many messages each of them has), and WS, the
 * package whose WebSocket is used instead of Node's own.
 */

import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";

import { connect } from "../../gateway/web/client.js";

const CUTS = 50;
const WebSocket = process.env.WS ? (await import(process.env.WS)).WebSocket : undefined;
const sizes = JSON.parse(process.env.SESSIONS);

/** A generator of numbers below one that gives the same for the same seed. */
function drawing(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A line to the gateway that is cut after so many bytes, a new number for each connection. */
async function cuttingProxy(port, cuts) {
  const proxy = { done: 0 };
  const server = net.createServer((near) => {
    const far = net.connect(port, "127.0.0.1");
    const end = () => {
      near.destroy();
      far.destroy();
    };
    let left = cuts.length > 0 ? cuts.shift() : Infinity;
    far.on("data", (data) => {
      if (left === 0) return;
      if (data.length < left) {
        left -= data.length;
        near.write(data);
        return;
      }
      proxy.done += 1;
      near.end(data.subarray(0, left), end);
      left = 0;
    });
    near.on("data", (data) => far.write(data));
    for (const socket of [near, far]) socket.on("error", end).on("close", end);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(proxy, { port: server.address().port, close: () => server.close() });
}

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
