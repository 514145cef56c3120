// What does not compile. Behind each line, what the compiler says of it there.

import { Position, connect } from "soup-gateway-client";

connect(); // Expected 1-2 arguments
connect("ws://h", { keys: "secret" }); // 'keys' does not exist in type 'FeedOptions'
connect("ws://h", { overflow: "block" }); // Type '"block"' is not assignable
connect("ws://h", { WebSocket: "ws" }); // Type 'string' is not assignable to type 'SocketClass'

const feed = connect("ws://h");
feed.stream(); // Expected at least 1 arguments
feed.stream("AddOrder", { stripeFilter: "A" }); // 'stripeFilter' does not exist in type 'StreamOptions'
feed.stream("AddOrder", { stripes: "A" }); // Type 'string' is not assignable to type 'readonly string[]'
feed.stream("AddOrder", { delivery: "newest" }); // Type '"newest"' is not assignable to type 'Delivery
feed.stream("AddOrder", { resume: 5 }); // Type 'number' is not assignable to type 'ResumeLike
feed.stream("AddOrder", { latencyMs: "50" }); // Type 'string' is not assignable to type 'number'
feed.stream({ stripe: "A" }, "AddOrder"); // No overload

const stream = feed.stream<{ price: number }>("AddOrder");
for (const message of stream) console.log(message); // must have a '[Symbol.iterator]()' method
for await (const message of stream) {
  console.log(message.fields.prize); // Property 'prize' does not exist
  console.log(message.sequenceNumber + 1); // 'message.sequenceNumber' is possibly 'undefined'
  message.fields = { price: 1 }; // Cannot assign to 'fields'
}
for await (const item of stream.withNotices()) {
  if ("kind" in item) console.log(item.lagMessages); // Property 'lagMessages' does not exist
}
stream.listen({ messages: () => undefined }); // 'messages' does not exist in type 'Callbacks
stream.subscribe(); // Property 'subscribe' does not exist
new Position("itch", "S1", "7"); // Argument of type 'string' is not assignable to parameter of type 'number'
