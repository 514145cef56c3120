/** What bytes become: frames, big integers, positions, waits. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff, Message, Position, ProtocolError, RequestRefused, Tracker, parseJson, readFrames } from "../../gateway/web/client.js";

const bytes = (text) => new TextEncoder().encode(text);

test("two frames in one message are two texts, by the lengths in their heads", () => {
  const golden = '\r\nJ00000000013{"a":"\\r\\nJ"}\r\nJ02785000009{"b":2.5}';

  assert.deepEqual([...readFrames(bytes(golden))], ['{"a":"\\r\\nJ"}', '{"b":2.5}']);
});

test("lengths count bytes, not characters", () => {
  // é has two bytes, € three: {"a":"é€"} is 13 bytes and 10 characters.
  const golden = '\r\nJ00000000013{"a":"é€"}\r\nJ00000000002{}';

  assert.deepEqual([...readFrames(bytes(golden))], ['{"a":"é€"}', "{}"]);
  assert.deepEqual([...readFrames(bytes(golden).buffer)], ['{"a":"é€"}', "{}"]);
  assert.deepEqual([...readFrames(golden)], ['{"a":"é€"}', "{}"]);
});

test("a view on a part of a buffer is read as that part", () => {
  const buffer = bytes('xx\r\nJ00000000002{}yy');

  assert.deepEqual([...readFrames(buffer.subarray(2, buffer.length - 2))], ["{}"]);
});

test("a message without a frame is one text", () => {
  assert.deepEqual([...readFrames(bytes('{"header":{}}'))], ['{"header":{}}']);
});

test("good frames in front of a broken one come out before the error", () => {
  for (const broken of ["\r\nX00000000002{}", "\r\nJ0000000000x{}", "\r\nJ00000000009{}", "\r\nJ000", "\n"]) {
    const got = [];

    assert.throws(() => {
      for (const text of readFrames(bytes(`\r\nJ00000000002{}${broken}`))) got.push(text);
    }, ProtocolError);
    assert.deepEqual(got, ["{}"]);
  }
});

test("bytes that are not UTF-8 are an error of the gateway's", () => {
  assert.throws(() => [...readFrames(new Uint8Array([0xff, 0xfe]))], ProtocolError);
});

test("an integer that a number would not hold exactly is a BigInt, and only that", () => {
  const value = parseJson(
    '{"max":9007199254740991,"over":9007199254740993,"far":18446744073709551615,"minus":-9007199254740993,' +
      '"inside":[1,{"deep":12345678901234567890}],"text":"12345678901234567890","quoted":"\\"12345678901234567890",' +
      '"price":150.1234567890123456,"exponent":1234567890123456e2,"9007199254740993":1}',
  );

  assert.deepEqual(value, {
    max: 9007199254740991,
    over: 9007199254740993n,
    far: 18446744073709551615n,
    minus: -9007199254740993n,
    inside: [1, { deep: 12345678901234567890n }],
    text: "12345678901234567890",
    quoted: '"12345678901234567890',
    price: 150.1234567890123456,
    exponent: 123456789012345600,
    "9007199254740993": 1,
  });
});

test("where an integer stands does not matter, and what only looks like one stays as it is", () => {
  const big = 18_446_744_073_709_551_615n;
  const least = -9_223_372_036_854_775_808n;
  for (const [text, value] of [
    [`${big}`, big],
    [`[${big},${least}]`, [big, least]],
    [`{"a":${big},"b":${least},"c":1}`, { a: big, b: least, c: 1 }],
    [`{"a":{"b":{"c":${big}}},"d":[{"e":${big}}]}`, { a: { b: { c: big } }, d: [{ e: big }] }],
    [`{ "a" : ${big} , "b" : [ ${big} ] }`, { a: big, b: [big] }],
    [`{"a b,\\"c\\":":${big}}`, { 'a b,"c":': big }],
    [`{"${"k".repeat(60)}":${big}}`, { ["k".repeat(60)]: big }],
    [`{"a":"x,\\"b\\":${big},","b":${big}}`, { a: `x,"b":${big},`, b: big }],
    [`{"a":"{","b":"${big}"}`, { a: "{", b: `${big}` }],
    [`{"a":"\\\\","b":${big}}`, { a: "\\", b: big }],
    [`{"a":9007199254740991,"b":9007199254740992}`, { a: 9_007_199_254_740_991, b: 9_007_199_254_740_992n }],
    [`{"a":${big}.5,"b":${big}e1}`, { a: Number(`${big}.5`), b: Number(`${big}e1`) }],
  ]) {
    assert.deepEqual(parseJson(text), value, text);
  }
});

test("what is not JSON is an error of the gateway's, with and without big numbers in it", () => {
  assert.throws(() => parseJson('{"a":'), ProtocolError);
  assert.throws(() => parseJson('{"a":12345678901234567890'), ProtocolError);
});

test("a message tells where it comes from and when", () => {
  const header = { mTyp: "AddOrder", src: "itch", ses: "S1", seqN: 7, sTim: "2026-01-30 14:30:00.123456", encT: "2026-01-30 14:30:00.123999" };
  const message = new Message(header, { price: 1.5 }, "{}");

  assert.deepEqual([message.type, message.src, message.session, message.sequenceNumber], ["AddOrder", "itch", "S1", 7]);
  assert.equal(message.sentAt.toISOString(), "2026-01-30T14:30:00.123Z");
  assert.equal(message.encodedAt.getTime() - message.sentAt.getTime(), 0);
  assert.equal(new Message({ mTyp: "A" }, {}, "").sentAt, undefined);
});

test("a position is read from the text that it writes", () => {
  assert.equal(String(Position.parse("itch/0000000001/42")), "itch/0000000001/42");
  assert.deepEqual(Position.parse("//1").wire(), { src: "", ses: "", seqN: 1 });
  for (const wrong of ["itch/1", "itch/1/0", "itch/1/-1", "itch/1/x", "a/b/c/1"]) assert.throws(() => Position.parse(wrong), RequestRefused);
});

test("waits double from the first to the longest, at least half of each by the clock, the rest by chance", () => {
  const least = new Backoff(100, 1_000, () => 0);
  const most = new Backoff(100, 1_000, () => 1);

  assert.deepEqual(Array.from({ length: 6 }, () => least.nextMs()), [50, 100, 200, 400, 500, 500]);
  assert.deepEqual(Array.from({ length: 6 }, () => most.nextMs()), [100, 200, 400, 800, 1_000, 1_000]);
  most.reset();
  assert.equal(most.nextMs(), 100);
});

test("a line that is down for a day does not overflow the waits", () => {
  const backoff = new Backoff(250, 30_000, () => 1);
  for (let at = 0; at < 5_000; at += 1) backoff.nextMs();

  assert.equal(backoff.nextMs(), 30_000);
});

test("a number is given out once, however often it comes", () => {
  const tracker = new Tracker([new Position("itch", "S1", 5)]);
  tracker.start();
  const header = (seqN, ses = "S1") => ({ src: "itch", ses, seqN });

  assert.deepEqual([5, 6, 6, 5, 7].map((seqN) => tracker.accept(header(seqN))), [true, true, false, false, true]);
  assert.equal(tracker.doubles, 2);
  assert.deepEqual(tracker.positions().map(String), ["itch/S1/8"]);
  assert.ok(tracker.accept(header(1, "S2")), "a new session counts from 1");
  assert.ok(!tracker.accept(header(7)), "an old one is not begun again");
  assert.deepEqual(tracker.positions().map(String), ["itch/S2/2"]);
});
