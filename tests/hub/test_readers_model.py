"""Readers of the journal beside a witness that was live all the time: each gets what it got, from anywhere.

Whatever they share, wherever they part: other selections, gaps, new sessions, sessions whose state was
never saved, a table of stripes taken over, a sink that stalls, a reader that goes, what ages out.
"""

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.hub import HubLimits, Stream
from gateway.mlink.where import parse_where
from gateway.simulator.market import Market
from gateway.values import Position
from tests.hub.rig import PretendedSink, Rig, values_in, websocket_payloads

MARKET = Market(["AAPL", "AMZN", "SPY", "ZVZZT"], seed=3)
MESSAGES = MARKET.opening() + MARKET.take(4_000)
SELECTIONS: list[dict[str, Any]] = [
    {},
    {"framed": False},
    {"names": ("AddOrder", "OrderDelete")},
    {"names": ("AddOrder", "Trade"), "where": parse_where("shares:gt:300 & stock:sw:A")},
    {"names": ("OrderDelete",), "where": parse_where("stock:eq:SPY"), "view": frozenset({"stock"})},
    {"stripes": frozenset({"A1", "X"})},
    {"names": ("AddOrder",), "where": parse_where("price:lt:0")},
]


class WitnessSink(PretendedSink):
    """Reads each write as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        for payload in websocket_payloads(data):
            self.got += values_in(payload)


@dataclass(eq=False)
class Reader:
    stream: Stream
    selection: int
    # What the witness had when it got what stands at the place where the reader began.
    since: int
    ended: bool = False

    @property
    def sink(self) -> PretendedSink:
        assert isinstance(self.stream.sink, PretendedSink)
        return self.stream.sink


@dataclass
class World:
    folder: Path
    chance: random.Random
    rig: Rig
    witnesses: list[WitnessSink] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    # Places where readers may begin, and how much each witness had got there.
    places: list[tuple[Position, list[int]]] = field(default_factory=list)
    sessions: int = 0

    def open(self, selection: int, **more: Any) -> Stream:
        wanted = dict(SELECTIONS[selection])
        return self.rig.open(*wanted.pop("names", ()), **wanted, **more)

    def begin(self) -> None:
        self.roll()
        for selection in range(len(SELECTIONS)):
            self.witnesses.append(WitnessSink())
            self.rig.run(self.open(selection, sink=self.witnesses[-1]))

    def roll(self) -> None:
        self.sessions += 1
        self.rig.roll(f"DAY{self.sessions}", first_seq=self.chance.choice([1, 1, 300]))
        self.rig.turn()
        if self.chance.random() < 0.5:
            # The crash came before the state of the session before was saved.
            for state in (self.folder / "itch").glob("*.state"):
                state.unlink()
        # Locate codes are of one session, and a feed may join behind its directory.
        self.publish(MESSAGES[: self.chance.choice([0, 20, 60])])

    def publish(self, payloads: list[bytes]) -> None:
        if not payloads:
            return
        had = [len(each.got) for each in self.witnesses]
        at = self.rig.journals["itch"].position()
        assert at is not None
        self.rig.publish(payloads)
        self.rig.turn()
        place = Position(at.session, at.next_seq + self.chance.randrange(len(payloads)))
        if self.witnesses:
            counts = []
            for before, each in zip(had, self.witnesses, strict=True):
                counts.append(
                    before + sum(one["header"]["seqN"] < place.next_seq for one in each.got[before:])
                )
            self.places.append((place, counts))

    def lose(self) -> None:
        channel = self.rig.hub.channels["itch"]
        if channel.begun:
            self.rig.lose(self.chance.choice([1, 40, 700]))
            self.rig.turn()

    def join(self) -> None:
        place, had = self.chance.choice(self.places)
        selection = self.chance.randrange(len(SELECTIONS))
        for _ in range(self.chance.choice([1, 1, 3])):
            stream = self.open(selection, resume={"itch": place})
            self.readers.append(Reader(stream, selection, had[selection]))

    def step(self, reader: Reader) -> None:
        try:
            while not reader.ended and self.chance.random() < 0.9 and self.rig.hub.step(reader.stream):
                pass
        except BadRequest:
            # What comes next has aged out. What it was sent is told, and was sent.
            self.leave(reader)

    def leave(self, reader: Reader) -> None:
        self.rig.hub.close(reader.stream)
        reader.ended = True

    def age(self) -> None:
        journal = self.rig.journals["itch"]
        journal.limits = replace(journal.limits, keep_bytes=0)
        gone = {each.session for each in journal.retain(0)}
        self.places = [each for each in self.places if each[0].session not in gone]

    def act(self) -> None:
        chance, hub = self.chance, self.rig.hub
        what = chance.choices(
            ["publish", "join", "step", "stall", "leave", "lose", "roll", "restripe", "age"],
            [8, 6, 16, 3, 1, 1, 1, 0.5, 0.3],
        )[0]
        reader = chance.choice(self.readers) if self.readers else None
        match what:
            case "publish":
                at = chance.randrange(len(MESSAGES))
                self.publish(MESSAGES[at : at + chance.choice([1, 30, 400])])
            case "join" if self.places:
                self.join()
            case "lose":
                self.lose()
            case "roll" if self.sessions < 7:
                self.roll()
            case "restripe":
                hub.restripe()
            case "age":
                self.age()
            case "step" if reader is not None:
                self.step(reader)
            case "stall" if reader is not None:
                if reader.sink.stalled:
                    reader.sink.read_on()
                else:
                    reader.sink.stalled = True
            case "leave" if reader is not None:
                self.leave(reader)

    def end(self) -> None:
        for reader in self.readers:
            reader.sink.read_on()
        # All at once, a piece each in turns, as the gateway has it.
        busy = [reader for reader in self.readers if not reader.ended]
        turns = 0
        while busy:
            turns += 1
            assert turns < 20_000, "somebody never gets there"
            for reader in list(busy):
                try:
                    if not self.rig.hub.step(reader.stream):
                        busy.remove(reader)
                except BadRequest:
                    self.leave(reader)
                    busy.remove(reader)
        self.publish(MESSAGES[:5])


def without_encoding_time(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for value in values:
        value["header"].pop("encT", None)
        if "seqN" not in value["header"]:
            # A notice says when it was written.
            value["header"] = {"mTyp": value["header"]["mTyp"]}
    return values


@pytest.mark.parametrize("seed", range(16))
def test_every_reader_gets_what_was_live_from_where_it_began(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    limits = HubLimits(
        flush_messages=chance.choice([7, 500]),
        backlog_bytes_max=chance.choice([2_000, 200_000]),
        catch_up_bytes=chance.choice([300, 4_000, 16_384]),
        shared_pieces_bytes=chance.choice([0, 30_000, 8 << 20]),
    )
    rig = Rig(tmp_path, limits=limits)
    world = World(tmp_path, chance, rig)
    world.begin()
    for _ in range(100):
        world.act()
    world.end()
    rig.close()
    got = [without_encoding_time(each.got) for each in world.witnesses]

    for reader in world.readers:
        theirs = without_encoding_time(reader.sink.messages())
        expected = got[reader.selection][reader.since :]
        if reader.ended:
            expected = expected[: len(theirs)]
        else:
            assert reader.stream.is_live
        assert theirs == expected
        numbered = sum("seqN" in value["header"] for value in theirs)
        assert reader.stream.sent == numbered
