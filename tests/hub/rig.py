"""A hub with a real journal and sinks that stall when told to; the loop is a list, the clock a number.

What a sink was given is read back by hand (WebSocket frames after RFC 6455, then the dialect's own).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.hub import Channel, Delivery, Hub, HubLimits, Stream, StreamSpec
from gateway.journal import Journal, JournalLimits
from gateway.net.notices import notice_text
from gateway.stripes import StripeTable
from gateway.values import Block, Gap

ROOT = Path(__file__).resolve().parents[2]
CODECS = Codecs(load_definitions("itch50"))
STRIPES = StripeTable.load(ROOT / "config" / "stripes.toml")
SMALL = HubLimits(
    flush_messages=7, backlog_bytes_max=2_000, catch_up_bytes=300, snapshot_records=3, latest_keys_max=1_000
)


class PretendedSink:
    """Takes all at once, or, stalled, nothing until it reads on."""

    def __init__(self) -> None:
        self.stalled = False
        self.woken = 0
        self.writes = 0
        self.largest = 0
        self._taken = bytearray()
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.largest = max(self.largest, len(data))
        (self._waiting if self.stalled else self._taken).extend(data)

    def backlog(self) -> int:
        return len(self._waiting)

    def wake(self) -> None:
        self.woken += 1

    def read_on(self) -> None:
        self.stalled = False
        self._taken += self._waiting
        self._waiting.clear()

    def lose(self) -> None:
        """The connection breaks: what waited is gone."""
        self._waiting.clear()

    def messages(self) -> list[dict[str, Any]]:
        """All that was taken, in order."""
        return [value for payload in websocket_payloads(bytes(self._taken)) for value in values_in(payload)]


def websocket_payloads(data: bytes) -> list[bytes]:
    payloads, at = [], 0
    while at < len(data):
        assert data[at] == 0x82, "one whole binary message after the other"
        size, start = data[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        payloads.append(data[start : start + size])
        assert len(payloads[-1]) == size
        at = start + size
    return payloads


def values_in(payload: bytes) -> list[dict[str, Any]]:
    """The objects of one WebSocket message: framed, or a single one without a frame."""
    if payload.startswith(b"{"):
        return [json.loads(payload, parse_float=Decimal)]
    values = []
    while payload:
        assert payload[:8] == b"\r\nJ00000"
        size = int(payload[8:14])
        values.append(json.loads(payload[14 : 14 + size], parse_float=Decimal))
        payload = payload[14 + size :]
    return values


class Rig:
    """Feeds with their journals under `folder`, and a hub. `turn` is one turn of the loop."""

    def __init__(
        self, folder: Path, *feeds: str, limits: HubLimits = SMALL, codecs: Codecs | None = None
    ) -> None:
        self.now_ns = 1_700_000_000_000_000_000
        self.scheduled: list[Callable[[], None]] = []
        self.hub = Hub(limits, self.scheduled.append, lambda: self.now_ns, notice_text)
        self.journals: dict[str, Journal] = {}
        for feed in feeds or ("itch",):
            journal = Journal(folder, feed, JournalLimits(fsync_interval_s=3600))
            self.journals[feed] = journal
            self.hub.add_channel(Channel(feed, codecs or CODECS, STRIPES, journal))

    def close(self) -> None:
        for journal in self.journals.values():
            journal.close()

    def roll(self, session: str, feed: str = "itch", first_seq: int = 1) -> None:
        """The feed goes on in another session, as `app` has it."""
        channel = self.hub.channels[feed]
        self.journals[feed].roll(session, first_seq)
        if channel.position.session:
            self.journals[feed].save_checkpoint(channel.position, channel.dump())
        self.hub.start_session(feed, session)

    def publish(self, payloads: Sequence[bytes], feed: str = "itch", *, first_seq: int | None = None) -> None:
        """One block, journaled, then published."""
        journal = self.journals[feed]
        position = journal.position()
        assert position is not None
        self.now_ns += 1_000_000
        block = block_of(position.session, first_seq or position.next_seq, payloads, self.now_ns)
        journal.append(block)
        journal.commit()
        self.hub.publish(feed, block)

    def lose(self, count: int, feed: str = "itch") -> None:
        """A gap: so many numbers can't be had."""
        position = self.journals[feed].position()
        assert position is not None
        self.journals[feed].declare_gap(position.next_seq, position.next_seq + count - 1)
        self.journals[feed].commit()
        self.hub.publish_gap(feed, Gap(position.session, position.next_seq, position.next_seq + count - 1))

    def turn(self) -> None:
        scheduled, self.scheduled[:] = list(self.scheduled), []
        for call in scheduled:
            call()

    def run(self, *streams: Stream) -> None:
        """Let streams go on until they are live, have nothing waiting, or their sink stalls."""
        self.turn()
        for stream in streams:
            while not stream.sink.backlog() and self.hub.step(stream):
                pass

    def spec(self, *names: str, feed: str = "itch", framed: bool = True, **more: Any) -> StreamSpec:
        wanted = [codec.name for codec in CODECS.by_id if codec is not None] if names == ("*",) else names
        return StreamSpec(framed, frozenset((feed, name) for name in wanted), **more)

    def open(
        self, *names: str, delivery: Delivery = Delivery.EVERY, sink: PretendedSink | None = None, **more: Any
    ) -> Stream:
        how = {name: more.pop(name) for name in ("resume", "newer_than_ns", "keys", "polled") if name in more}
        return self.hub.open(
            sink or PretendedSink(), self.spec(*(names or ("*",)), **more), delivery, None, **how
        )


def block_of(session: str, first_seq: int, payloads: Iterable[bytes], received_ns: int) -> Block:
    whole = list(payloads)
    raw = b"".join((len(each) + 1).to_bytes(2, "big") + b"S" + each for each in whole)
    return Block(session, first_seq, len(whole), received_ns, raw)


def numbers(sink: PretendedSink) -> list[int]:
    return [value["header"]["seqN"] for value in sink.messages() if "seqN" in value["header"]]


def notices(sink: PretendedSink) -> list[str]:
    return [value["message"]["event"] for value in sink.messages() if value["header"]["mTyp"] == "MLinkAdmin"]
