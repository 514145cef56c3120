/** A line to a gateway that is cut at random. */

import net from "node:net";

/** A generator of numbers below one that gives the same for the same seed. */
export function drawing(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A line to the gateway that is cut after so many bytes, a new number for each connection. */
export async function cuttingProxy(port, cuts) {
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
