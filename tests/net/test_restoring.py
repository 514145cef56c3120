"""After a restart a feed knows what it knew: directory and newest records, from any saved state or none."""

import random
from pathlib import Path

import pytest

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.hub import Channel, Hub, HubLimits
from gateway.journal import Journal
from gateway.net.notices import notice_text
from gateway.net.restoring import restore
from gateway.simulator.market import Market
from gateway.soup import packets
from gateway.stripes import StripeTable
from gateway.values import Block, Gap, Position

ROOT = Path(__file__).resolve().parents[2]
CODECS = Codecs(load_definitions("itch50"))
STRIPES = StripeTable.load(ROOT / "config" / "stripes.toml")


def new_channel(journal: Journal) -> tuple[Channel, Hub]:
    channel = Channel("itch", CODECS, STRIPES, journal)
    hub = Hub(HubLimits(), lambda flush: None, lambda: 0, notice_text)
    hub.add_channel(channel)
    return channel, hub


def restored(journal: Journal) -> Channel:
    channel, hub = new_channel(journal)
    restore(channel, hub, journal)
    return channel


def same(channel: Channel, again: Channel) -> None:
    assert again.position == channel.position
    assert again.dump() == channel.dump(), "directory and records, the order of records too"
    assert again.context.directory.dump() == channel.context.directory.dump()
    assert again.context.stripes_by_locate == channel.context.stripes_by_locate
    assert again.context.json_by_locate == channel.context.json_by_locate


def shuffled_market(chance: random.Random, count: int) -> list[bytes]:
    """Records that come again and again, a code that changes its ticker, and what can't be decoded."""
    market = Market(30, seed=chance.randrange(1 << 30))
    opening = market.opening()
    messages = opening + market.take(count)
    for _ in range(count // 3):
        messages.insert(chance.randrange(1, len(messages)), chance.choice(opening))
    for _ in range(5):
        renamed = bytearray(next(each for each in opening if each[:1] == b"R"))
        renamed[11:19] = b"RENAMED" + bytes((chance.randrange(65, 91),))
        messages.insert(chance.randrange(1, len(messages)), bytes(renamed))
        messages.insert(chance.randrange(1, len(messages)), chance.choice([b"R too short", b"?unknown", b""]))
    return messages


@pytest.mark.parametrize("seed", range(30))
def test_directory_and_records_after_a_restart_equal_those_before(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    messages = shuffled_market(chance, 600)
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        channel, hub = new_channel(journal)
        channel.start_session("DAY1")
        at, number = 0, 1
        while at < len(messages):
            some = messages[at : at + chance.randint(1, 40)]
            block = Block("DAY1", number, len(some), 1_000 + number, packets.sequenced_run(some))
            journal.write([block])
            hub.publish("itch", block)
            at, number = at + len(some), number + len(some)
            if chance.random() < 0.03:
                journal.declare_gap(number, number + 4)
                journal.commit()
                hub.publish_gap("itch", Gap("DAY1", number, number + 4))
                number += 5
            if chance.random() < 0.1:
                journal.save_checkpoint(channel.position, channel.capture())
            if chance.random() < 0.2:
                same(channel, restored(journal))
                # A kill may come before anything is saved.
                if chance.random() < 0.3:
                    for state in (tmp_path / "itch").glob("*.state"):
                        state.unlink()
                    same(channel, restored(journal))
        same(channel, restored(journal))


def test_what_is_captured_is_the_state_of_that_moment_whatever_comes_before_it_is_written(
    tmp_path: Path,
) -> None:
    opening, more = Market(30, seed=1).opening(), Market(30, seed=2).opening()
    with Journal(tmp_path, "itch") as journal:
        channel, hub = new_channel(journal)
        channel.start_session("DAY1")
        hub.publish("itch", Block("DAY1", 1, len(opening), 1, packets.sequenced_run(opening)))
        before = channel.dump()
        captured = channel.capture()
        at = channel.position.next_seq
        hub.publish("itch", Block("DAY1", at, len(more), 2, packets.sequenced_run(more)))

        assert b"".join(captured) == before
        assert channel.dump() != before


def test_a_damaged_middle_is_cut_at_the_start_when_the_whole_session_has_to_be_read(tmp_path: Path) -> None:
    messages = Market(30, seed=1).opening() * 3
    with Journal(tmp_path, "itch") as journal:
        journal.roll("DAY1")
        for at in range(0, len(messages), 10):
            some = messages[at : at + 10]
            journal.write([Block("DAY1", at + 1, len(some), at, packets.sequenced_run(some))])
        path = journal.sessions()[0].path
    with Journal(tmp_path, "itch") as journal:
        damaged = packets.sequenced_run(messages[50:60])[-20:]
        content = path.read_bytes()
        assert content.count(damaged) == 3, "the market came three times"
        path.write_bytes(content.replace(damaged, bytes(20), 1))

        channel = restored(journal)

        assert len(journal.repaired) == 1
        assert channel.position == journal.position()
        assert channel.position.session == "DAY1"
        assert channel.position.next_seq < len(messages)
        assert (channel.position.next_seq - 1) % 10 == 0


def test_an_empty_journal_leaves_a_feed_at_its_beginning(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        channel = restored(journal)

        assert channel.position == Position("", 1)
        assert not channel.begun


def test_blocks_of_which_nothing_is_learned_are_those_without_records(tmp_path: Path) -> None:
    with Journal(tmp_path, "itch") as journal:
        channel, _ = new_channel(journal)
        market = Market(30, seed=1)
        opening, day = market.opening(), market.take(500)
    for message in opening + day + [b"", b"?", b"A too short", day[0] + b"x"]:
        codec = CODECS.by_id[message[0]] if message else None
        fits = codec is not None and codec.definition.length == len(message)
        learned = codec is not None and (codec.definition.is_directory or codec.definition.kind == "record")

        plain = channel.router.learns_nothing(packets.sequenced_run([message]))

        assert plain == (fits and not learned), message
