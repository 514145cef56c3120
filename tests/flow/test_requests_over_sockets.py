"""Some random requests and fates as in `test_requests_model`, through everything: exchange, gateway, sockets.

Subscribers read only when told to, so they stall by themselves, with little room in their kernels and in the
gateway; they are cut off and resume behind the last message they read.
"""

import asyncio
import json
import socket
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from gateway.app import Gateway
from gateway.simulator.exchange import Exchange
from tests.flow.pipe import Reader, feed_settings, frames_in, running
from tests.flow.pipe import settings as pipe_settings
from tests.flow.plain_model import RECORD_KEYS, Message, Tape, Wish, shown
from tests.flow.wishes import assert_same, can_be_asked, pool, wishes

WAIT_S = 20.0
SMALL = {"write_buffer_high_bytes": 65_536, "write_buffer_low_bytes": 16_384, "requests_per_second": 1_000}

readers = st.integers(0, 2)
shares = st.floats(0, 1)
# Mostly such that can be had, and often of records only.
granted = wishes.map(lambda wish: wish if can_be_asked(wish) else replace(wish, where=None, view=None))
of_records = st.builds(
    Wish,
    names=st.lists(st.sampled_from(list(RECORD_KEYS)), min_size=1, unique=True).map(tuple),
    stripe=st.sampled_from(["", "A", "M"]),
    polled=st.booleans(),
)
asks = st.tuples(st.just("ask"), readers, wishes | granted | granted | of_records, st.none() | shares)
fates = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 200)),
    # More than a kernel and the gateway's buffer hold for one who does not read.
    st.tuples(st.just("publish"), st.integers(1_000, 4_000)),
    st.tuples(st.just("read"), readers, shares),
    st.tuples(st.just("break"), readers, shares),
    st.tuples(st.just("signal"), readers),
    st.tuples(st.just("roll"), st.booleans()),
    asks,
)


class Keeper(Reader):
    """Keeps what the model speaks of, in the order of its coming: messages, session changes, gaps."""

    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        self.got: list[Any] = []

    async def read(self) -> None:
        message = await self.socket.recv()
        assert isinstance(message, bytes)
        for payload in frames_in(message):
            value = json.loads(payload, parse_float=Decimal)
            if value["message"].get("event") in ("SessionChange", "SequenceGap", "Gap"):
                self.got.append(shown(value))
            elif value["header"]["mTyp"].startswith("MLink"):
                self.control.append(value)
            else:
                self.got.append(shown(value))

    async def until(self, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.got) < count:
                await self.read()

    async def close(self) -> None:
        self.socket.transport.abort()
        await self.socket.wait_closed()


async def keeper(gateway: Gateway) -> Keeper:
    """A subscriber with little room in its kernel, which reads only when it is asked to."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", gateway.port))
    url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
    return Keeper(await connect(url, sock=raw, max_size=None, max_queue=1, ping_interval=None))


@dataclass
class Asked:
    """One stream and what it has to have got before the messages from `start` on."""

    wish: Wish
    reader: Keeper
    expected: list[Any]
    start: int
    polled: bool
    # Of a conflated one: how much of the tape it was sent the newest of.
    end: int = 0
    signals: int = 0


@dataclass
class Line:
    """The gateway and the model side by side; each step is done to both."""

    exchange: Exchange
    gateway: Gateway
    witness: Keeper
    tape: Tape = field(default_factory=Tape)
    asked: dict[int, Asked] = field(default_factory=dict)
    compared: int = 0
    _next: int = 0

    async def do(self, what: str, *how: Any) -> None:
        match what, *how:
            case "publish", count:
                payloads = list(islice(cycle(pool()), self._next, self._next + count))
                self._next += count
                for each in payloads:
                    self.tape.add(each)
                self.exchange.extend(payloads)
                await self.witness.until(len(self.tape.items))
            case "roll", silently:
                self.exchange.roll(silently=silently)
                self._next = 0
                self.tape.roll(self.exchange.session.name)
                await self.witness.until(len(self.tape.items))
            case "ask", at, wish, resume:
                await self.end(at)
                await self._ask(at, wish, resume)
            case _, at, *_ if at not in self.asked:
                pass
            case "read", at, share:
                each = self.asked[at]
                if not each.wish.conflated:
                    await each.reader.until(int(share * len(self._whole(each))))
            case "break", at, share:
                await self._break(at, share)
            case "signal", at:
                await self._signal(self.asked[at])

    def _whole(self, each: Asked) -> list[Any]:
        """All that it should get of what has been published."""
        end = each.end if each.polled else len(self.tape.items)
        return each.expected + self.tape.following(each.wish, each.start, end)

    async def _ask(
        self, at: int, wish: Wish, resume: float | None, place: tuple[str, int] | None = None
    ) -> None:
        fields = wish.request()
        messages = [each for each in self.tape.items if isinstance(each, Message)]
        if resume is not None and not wish.conflated and messages:
            chosen = messages[int(resume * (len(messages) - 1))]
            place = (chosen.session, chosen.seq)
        if place is not None:
            fields["resume"] = {"ses": place[0], "seqN": place[1]}
        reader = await keeper(self.gateway)
        await reader.ask("MLinkStream", queryID=1, **fields)
        ack = await reader.until_control("MLinkStreamAck")
        if not can_be_asked(wish):
            assert ack["result"] == "Error"
            await reader.close()
            return
        assert ack.get("result", "OK") == "OK", ack
        await reader.until_control("MLinkStreamCheckPt", state="Begin")
        here = len(self.tape.items)
        if place is None:
            polled = wish.polled and wish.delivery == ""
            snapshot = self.tape.snapshot(wish, here)
            self.asked[at] = Asked(wish, reader, [*snapshot], here, polled, here)
        else:
            self.asked[at] = Asked(wish, reader, [], self.tape.index_of(*place), False)

    async def _signal(self, each: Asked) -> None:
        """What is polled gets all that came since the last time, and then a checkpoint of that number."""
        if not each.polled:
            return
        await each.reader.until_control("MLinkStreamCheckPt", state="Complete", timeout_s=WAIT_S)
        here = len(self.tape.items)
        each.signals += 1
        if each.wish.conflated:
            each.expected += self.tape.newest(each.wish, each.end, here)
            each.start = here
        each.end = here
        await each.reader.ask("MLinkSignalReady", signalID=each.signals)
        await each.reader.until_control("MLinkStreamCheckPt", signalID=each.signals, timeout_s=WAIT_S)
        assert_same(each.reader.got, self._whole(each))

    async def _break(self, at: int, share: float) -> None:
        """The connection is cut in mid-stream; the subscriber comes back behind what it had read."""
        each = self.asked.pop(at)
        if not each.wish.conflated:
            await each.reader.until(int(share * len(self._whole(each))))
        await each.reader.close()
        had = each.reader.got
        if each.wish.conflated:
            return
        assert_same(had, self._whole(each)[: len(had)])
        behind = [item for item in had[len(each.expected) :] if isinstance(item[1], int)]
        if behind:
            await self._ask(at, each.wish, None, (behind[-1][0], behind[-1][1] + 1))

    async def end(self, at: int) -> None:
        """End a stream, and compare all it got, and what it was told of that."""
        if at not in self.asked:
            return
        await self._signal(self.asked[at])
        each = self.asked.pop(at)
        conflated = each.wish.conflated and not each.polled
        newest = self.tape.newest(each.wish, each.start, len(self.tape.items))
        async with asyncio.timeout(WAIT_S):
            if conflated:
                while newest and newest[-1] not in each.reader.got[len(each.expected) :]:
                    await each.reader.read()
            else:
                await each.reader.until(len(self._whole(each)))
        await each.reader.ask("MLinkStream", queryID=1, unsubscribe="Yes", msgName=list(each.wish.names))
        last = await each.reader.until_control("MLinkStreamCheckPt", state="Terminated", timeout_s=WAIT_S)
        await each.reader.close()
        got = each.reader.got
        assert last.get("numMessagesSent", 0) == sum(isinstance(item[1], int) for item in got)
        self.compared += 1
        if not conflated:
            assert_same(got, self._whole(each))
            return
        assert_same(got[: len(each.expected)], each.expected)
        # Steps may be left out, the order may not be changed, and the newest of each key has come.
        whole = iter(self._whole(each)[len(each.expected) :])
        batches = got[len(each.expected) :]
        assert all(any(item == one for one in whole) for item in batches)
        assert all(item in batches for item in newest)


async def lived(steps: list[tuple[Any, ...]], folder: Path) -> None:
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(Exchange())
        configured = pipe_settings(folder, feed_settings(exchange.port), **SMALL)
        gateway = await stack.enter_async_context(running(configured))
        url = f"ws://127.0.0.1:{gateway.port}/mlink/jsonf"
        witness = Keeper(await stack.enter_async_context(connect(url, max_size=None)))
        line = Line(exchange, gateway, witness)
        line.tape.roll(exchange.session.name)
        await witness.stream("*")
        await witness.until_control("MLinkStreamCheckPt", state="Complete")
        for step in (("publish", 60), *steps):
            await line.do(*step)
        for at in list(line.asked):
            await line.end(at)
        assert_same(witness.got, line.tape.following(Wish(("*",)), 0, len(line.tape.items)))


# Who stalls here falls behind for certain, and reads on over the ends of sessions.
@example(
    first=[
        ("ask", 1, Wish(("AddOrder", "Trade"), stripe="A"), 0.5),
        ("ask", 2, Wish(tuple(RECORD_KEYS)), None),
    ],
    then=[
        *[("publish", 6_000)] * 2,
        ("read", 0, 0.2),
        ("roll", True),
        ("roll", False),
        ("publish", 6_000),
        ("break", 0, 0.4),
        ("publish", 6_000),
        ("read", 0, 0.9),
        ("publish", 500),
        ("break", 1, 0.5),
    ],
)
@given(st.lists(asks, min_size=2, max_size=4), st.lists(fates, min_size=8, max_size=25))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
def test_what_came_over_the_socket_is_what_the_journal_says(
    first: list[tuple[Any, ...]], then: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        everything = ("ask", 0, Wish(("*",)), None)
        asyncio.run(lived([everything, *first, *then], Path(folder)))
