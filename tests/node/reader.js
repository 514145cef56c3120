// Reads a stream with `ws` and says on stdout, a line of JSON each, what it got; obeys lines on stdin.
//
//   node reader.js URL REQUEST [deflate]
//
// Its own reading of frames, so that it shares nothing with the gateway or the Python tests.
import { createInterface } from "node:readline";
import WebSocket from "ws";

const [url, request, deflate] = process.argv.slice(2);
const socket = new WebSocket(url, { perMessageDeflate: deflate === "deflate" });
const told = { numbers: [], types: {}, messages: 0, pongs: 0, pings: 0, largest: 0 };
const tell = (what, more = {}) => console.log(JSON.stringify({ what, ...more }));

function take(data) {
  for (let at = 0; at < data.length; ) {
    const head = data.subarray(at, at + 14).toString("latin1");
    if (!/^\r\nJ\d{11}$/.test(head)) throw new Error(`no frame at ${at}: ${JSON.stringify(head)}`);
    const end = at + 14 + Number(head.slice(8));
    if (end > data.length) throw new Error("a frame straddles two messages");
    const { header, message } = JSON.parse(data.subarray(at + 14, end).toString("utf8"));
    told.types[header.mTyp] = (told.types[header.mTyp] ?? 0) + 1;
    if (header.seqN !== undefined) told.numbers.push(header.seqN);
    if (header.mTyp === "MLinkStreamCheckPt") tell(message.state);
    at = end;
  }
}

socket.on("open", () => {
  tell("open", { extensions: socket.extensions });
  socket.send(request);
});
socket.on("message", (data, isBinary) => {
  if (!isBinary) throw new Error("a text message");
  told.messages += 1;
  told.largest = Math.max(told.largest, data.length);
  take(data);
  // Control frames in between, while data is on its way.
  if (told.messages % 7 === 0 && told.messages < 500) socket.ping(`p${told.messages}`);
});
socket.on("pong", () => (told.pongs += 1));
socket.on("ping", () => (told.pings += 1));
socket.on("error", (error) => tell("error", { detail: String(error) }));
socket.on("close", (code, reason) => {
  tell("closed", { code, reason: reason.toString(), ...told });
  process.exit(0);
});

createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, value] = line.split(" ");
  if (word === "close") socket.close(Number(value), "enough");
  if (word === "until") {
    const wait = () => (told.numbers.length >= Number(value) ? tell("reached") : setTimeout(wait, 5));
    wait();
  }
});
