"""The Python subscriber beside what people write who have no client, on the same bytes in the same run.

Two tasks, each with its own peer: to read messages (a bare `websockets` + `json.loads` loop), and to have
them as a DataFrame (the same loop, each message appended to the frame; and, the honest other peer, a list of
dicts made a frame once at the end).

The gateway's side is a process of its own that writes the same batch of frames again and again, numbered
anew, so that what is measured is the reader alone.
"""

import asyncio
import json
import multiprocessing
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.synchronize import Event

import pandas
import uvloop
from websockets.asyncio.client import connect as bare_connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from gateway.client import connect
from gateway.mlink.frames import frame

MESSAGES = 120_000
PER_BATCH = 200
ROUNDS = 3
# Rows appended one by one; 10,000 would take minutes.
APPENDED = 1_000


def batches() -> list[bytes]:
    """Orders of 500 tickers as the gateway frames them, prices and sizes as they come."""
    draw = random.Random(1)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    market = [("".join(draw.choices(letters, k=draw.choice((1, 2, 3, 4, 4)))), draw.uniform(5, 600))]
    while len(market) < 500:
        market.append(("".join(draw.choices(letters, k=draw.choice((3, 4, 4)))), draw.uniform(5, 600)))
    made, seq, since, order = [], 1, 34_200 * 10**9, 10**6
    for at in range(MESSAGES // PER_BATCH):
        frames = []
        for _ in range(PER_BATCH):
            locate = draw.randrange(len(market))
            ticker, price = market[locate]
            since += draw.randrange(100, 100_000)
            order += draw.randrange(1, 9)
            header = (
                f'{{"mTyp":"AddOrder","sTim":"2026-01-30 14:30:{at // 20:02}.{at * 1000 + 123:06}",'
                f'"encT":"2026-01-30 14:30:{at // 20:02}.{at * 1000 + 199:06}",'
                f'"src":"itch","ses":"0000000001","seqN":{seq}}}'
            )
            body = (
                f'{{"stockLocate":{locate + 1},"trackingNumber":0,"timestamp":{since},'
                f'"orderReferenceNumber":{order},"side":"{draw.choice("BS")}",'
                f'"shares":{draw.choice((1, 10, 100, 100, 100, 200, 500, 1000))},'
                f'"stock":"{ticker}","price":{price * draw.uniform(0.97, 1.03):.4f}}}'
            )
            frames.append(frame(f'{{"header":{header},"message":{body}}}'.encode()))
            seq += 1
        made.append(b"".join(frames))
    return made


def serve_batches(port: "multiprocessing.Queue[int]", stop: Event) -> None:
    data = batches()

    async def handle(connection: ServerConnection) -> None:
        body = json.loads((await connection.recv())[14:])["message"]
        ids = {"sessionID": body["sessionID"], "queryID": body["queryID"]}
        answers = [("MLinkStreamAck", {**ids, "result": "OK"})]
        answers += [
            ("MLinkStreamCheckPt", {**ids, "state": state}) for state in ("Begin", "Active", "Complete")
        ]
        for m_typ, message in answers:
            await connection.send(frame(json.dumps({"header": {"mTyp": m_typ}, "message": message}).encode()))
        # Who has enough goes.
        with suppress(ConnectionClosed):
            for batch in data:
                await connection.send(batch)
        await connection.wait_closed()

    async def main() -> None:
        async with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            port.put(server.sockets[0].getsockname()[1])
            await asyncio.get_running_loop().run_in_executor(None, stop.wait)

    uvloop.run(main())


@asynccontextmanager
async def gateway() -> AsyncIterator[str]:
    context = multiprocessing.get_context("spawn")
    port, stop = context.Queue(), context.Event()
    process = context.Process(target=serve_batches, args=(port, stop))
    process.start()
    try:
        number = await asyncio.get_running_loop().run_in_executor(None, port.get)
        yield f"ws://127.0.0.1:{number}/mlink/jsonf"
    finally:
        stop.set()
        process.join(5)
        process.kill()


async def bare(url: str) -> int:
    """What people write who have no client: frames by their length, one dict per message."""
    count = 0
    async with bare_connect(url, compression=None, max_size=None) as socket:
        request = {"msgName": "AddOrder", "sessionID": 1, "queryID": 1, "activeLatency": 1}
        text = json.dumps({"header": {"mTyp": "MLinkStream"}, "message": request})
        await socket.send(frame(text.encode()))
        async for data in socket:
            at = 0
            while at < len(data):
                end = at + 14 + int(data[at + 8 : at + 14])
                value = json.loads(data[at + 14 : end])
                at = end
                if value["header"]["mTyp"] == "AddOrder":
                    count += value["message"]["shares"] > 0
                    if count == MESSAGES:
                        return count
    return count


async def by_message(url: str) -> int:
    count = 0
    async with connect(url) as feed:
        async for message in feed.stream("AddOrder"):
            count += message.fields["shares"] > 0
            if count == MESSAGES:
                break
    return count


async def by_attribute(url: str) -> int:
    count = 0
    async with connect(url) as feed:
        async for message in feed.stream("AddOrder"):
            count += message.shares > 0
            if count == MESSAGES:
                break
    return count


async def by_batch(url: str) -> int:
    count = 0
    async with connect(url) as feed:
        async for batch in feed.stream("AddOrder").batches():
            for message in batch:
                count += message.fields["shares"] > 0
            if count == MESSAGES:
                break
    return count


async def bare_rows(url: str, messages: int) -> AsyncIterator[dict]:
    """The bare loop again, its messages flat, as rows of a table."""
    count = 0
    async with bare_connect(url, compression=None, max_size=None) as socket:
        request = {"msgName": "AddOrder", "sessionID": 1, "queryID": 1, "activeLatency": 1}
        text = json.dumps({"header": {"mTyp": "MLinkStream"}, "message": request})
        await socket.send(frame(text.encode()))
        async for data in socket:
            at = 0
            while at < len(data):
                end = at + 14 + int(data[at + 8 : at + 14])
                value = json.loads(data[at + 14 : end])
                at = end
                if value["header"]["mTyp"] == "AddOrder":
                    yield {**value["header"], **value["message"]}
                    count += 1
                    if count == messages:
                        return


async def appended(url: str) -> int:
    """What notebooks have: each message appended to the frame. Few: each costs more than the last."""
    made = pandas.DataFrame()
    async for row in bare_rows(url, APPENDED):
        made = pandas.concat([made, pandas.DataFrame([row])], ignore_index=True)
    return len(made)


async def listed(url: str) -> int:
    """What people learn to do instead: all dicts first, then one frame; texts and times stay texts."""
    return len(pandas.DataFrame([row async for row in bare_rows(url, MESSAGES)]))


async def typed(url: str) -> int:
    """The same frame with the types that `collect` gives."""
    made = pandas.DataFrame([row async for row in bare_rows(url, MESSAGES)])
    for name in ("mTyp", "src", "ses", "side", "stock"):
        made[name] = made[name].astype("category")
    for name in ("sTim", "encT"):
        made[name] = pandas.to_datetime(made[name], format="ISO8601", utc=True)
    made["timestamp"] = pandas.to_timedelta(made["timestamp"], unit="ns")
    made["seqN"] = made["seqN"].astype("uint64")
    return len(made)


async def to_pandas(url: str) -> int:
    async with connect(url) as feed:
        return len(await feed.collect("AddOrder", count=MESSAGES))


async def to_polars(url: str) -> int:
    async with connect(url) as feed:
        return len(await feed.collect("AddOrder", count=MESSAGES, into="polars"))


async def rate(read: Callable[[str], object], url: str, messages: int = MESSAGES) -> float:
    began = time.process_time()
    assert await read(url) == messages  # type: ignore[misc]
    return messages / (time.process_time() - began)


async def measure() -> dict[str, float]:
    best: dict[str, float] = {}
    async with gateway() as url:
        for _ in range(ROUNDS):
            for read in (bare, by_message, by_attribute, by_batch, listed, typed, to_pandas, to_polars):
                best[read.__name__] = max(best.get(read.__name__, 0.0), await rate(read, url))
        best["appended"] = await rate(appended, url, APPENDED)
    return best


def run() -> list[tuple[str, float, str]]:
    """Messages per second of the reader's own CPU time, best of three."""
    best = uvloop.run(measure())
    collected = best["to_pandas"]
    return [
        ("websockets + json.loads", best["bare"], "peer: a bare loop over frames"),
        ("async for message", best["by_message"], "aim: twice the bare loop"),
        ("async for, message.shares", best["by_attribute"], "fields as attributes"),
        ("batches()", best["by_batch"], "lists of messages"),
        ("rows appended to a DataFrame", best["appended"], f"the first {APPENDED:,}; slower with each"),
        ("list of dicts, one DataFrame", best["listed"], "texts and times stay texts"),
        ("the same, with types", best["typed"], "categories, times, unsigned numbers"),
        (
            "collect() to pandas",
            collected,
            f"{collected / best['listed']:.1f} × a list of dicts made one DataFrame (aim: 10), "
            f"{collected / best['typed']:.1f} × the same with types, "
            f"{collected / best['appended']:,.0f} × rows appended to a DataFrame",
        ),
        ("collect() to polars", best["to_polars"], ""),
    ]
