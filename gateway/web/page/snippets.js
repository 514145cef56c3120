/** A stream as code, to take away: Python, JavaScript, wscat. */

const text = JSON.stringify;

function options(request, write) {
  return Object.entries(request).filter(([, value]) => value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0)).map(write);
}

const one = (values) => (values.length === 1 ? values[0] : values);

export function python(url, { names, stripes, where, view, resume, delivery }, key) {
  const given = options({ stripe: one(stripes), where, view, resume, delivery }, ([name, value]) => `${name}=${text(value)}`);
  return `import asyncio
from gateway.client import connect

async def main():
    async with connect(${text(url)}${key ? ', key="YOUR-KEY"' : ""}) as feed:
        async for message in feed.stream(${[...names.map(text), ...given].join(", ")}):
            print(message.type, message.sequence_number, message.fields)

asyncio.run(main())`;
}

/** Runs in a page, in a browser's console, and in Node, which imports no module from an address. */
export function javascript(url, origin, { names, stripes, where, view, resume, delivery }, key) {
  const given = options({ stripe: one(stripes), where, view, resume, delivery }, ([name, value]) => `${name}: ${text(value)}`);
  return `// Node: save as stream.mjs, and before it runs: curl -o client.mjs ${origin}/client.js
const { connect } = await import(globalThis.document ? ${text(`${origin}/client.js`)} : "./client.mjs");

const feed = connect(${text(url)}${key ? ', { key: "YOUR-KEY" }' : ""});
for await (const message of feed.stream(${names.map(text).join(", ")}${given.length ? `, { ${given.join(", ")} }` : ""})) {
  console.log(message.type, message.sequenceNumber, message.fields);
}`;
}

export function wscat(url, { names, stripes, where, view, resume, delivery }, key) {
  const message = { msgName: one(names), activeLatency: 1 };
  if (stripes.length) message.stripeFilter = one(stripes);
  if (where) message.where = where;
  if (view) message.view = view;
  if (delivery) message.delivery = delivery;
  if (resume) {
    message.resume = one(
      resume.split(",").map((position) => {
        const [src, ses, seqN] = position.trim().split("/");
        return { src, ses, seqN: Number(seqN) };
      }),
    );
  }
  const request = text({ header: { mTyp: "MLinkStream" }, message }).replaceAll("'", "'\\''");
  return `wscat -c ${url}/mlink/json${key ? " -H 'Authorization: Bearer YOUR-KEY'" : ""} -w 60 \\
  -x '${request}'`;
}
