"""Where lanes come together, without sockets: events and times in, journal and publisher out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.errors import RemoteProtocolError
from gateway.journal import Journal, JournalFull
from gateway.link import Closed, CloseReason
from gateway.net.feed import NoticeKind
from gateway.net.feed_intake import Intake
from gateway.net.feed_lane import Barred, Drop, Lane
from gateway.net.feed_merge import Merge
from gateway.net.feed_rules import Asking
from gateway.net.feed_telling import TOLD_MAX, Telling
from gateway.soup import Accepted, ClientEvent, Run, Unsequenced
from gateway.values import Block, Gap, Position
from tests.fakes.recording_publisher import RecordingPublisher
from tests.fakes.scripted_upstream import Venue

VENUE = Venue("S1", 1000)
LOST = Closed(CloseReason.TCP_LOST, "closed by the other side")
END = Closed(CloseReason.END_OF_SESSION)
REJECTED_S = Closed(CloseReason.SESSION_NOT_AVAILABLE)
REJECTED_A = Closed(CloseReason.NOT_AUTHORIZED)
PENDING_MAX = 2000


class FakeLine:
    """A link that only remembers what it was told."""

    def __init__(self) -> None:
        self.aborted: list[str] = []
        self.reading = True

    def abort(self, detail: str = "") -> None:
        self.aborted.append(detail)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class FullJournal(Journal):
    full = False

    def write(self, blocks: Sequence[Block]) -> list[Block]:
        if self.full:
            raise JournalFull("no room")
        return super().write(blocks)


class Bench:
    """A merge with two lanes, a clock that stands still, and a journal that can be full."""

    def __init__(self, folder: Path, *, hot_standby: bool = True) -> None:
        self.journal = FullJournal(folder, "itch")
        self.publisher = RecordingPublisher(self.journal)
        self.now = 1000.0
        self.merge = Merge(
            "itch",
            Position("", 1),
            Intake(self.journal, self.publisher, pending_bytes_max=PENDING_MAX),
            self.publisher,
            lambda: self.now,
            lambda: None,
            hot_standby=hot_standby,
        )
        self.lines: dict[Lane, FakeLine] = {}
        self.first, self.second = (self.lane(rank) for rank in (0, 1))

    def lane(self, rank: int) -> Lane:
        lane = Lane(rank, f"site-{rank}")
        self.merge.lanes.append(lane)
        return lane

    def dial(self, lane: Lane) -> Position:
        asked = self.merge.dial(lane, lane.rank, lane.endpoint)
        self.lines[lane] = FakeLine()
        self.merge.connected(lane, self.lines[lane])
        return asked

    def take(self, lane: Lane, *events: ClientEvent) -> None:
        self.merge.take(lane, iter(events), 1)

    def enter(self, lane: Lane, session: str = "S1", next_seq: int | None = None) -> None:
        """Dial and be let in where asked, or at `next_seq`."""
        asked = self.dial(lane)
        self.take(lane, Accepted(Position(session, next_seq or asked.next_seq)))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.journal.full = False
    bench.journal.close()


def run(first_seq: int, last_seq: int, session: str = "S1", venue: Venue = VENUE) -> Run:
    return Run(session, first_seq, last_seq - first_seq + 1, venue.raw(session, first_seq, last_seq))


def test_the_first_to_deliver_a_number_is_taken_whatever_the_order_of_reads(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.enter(bench.second)

    bench.take(bench.second, run(1, 10))
    bench.take(bench.first, run(1, 4), run(5, 15))
    bench.take(bench.second, run(11, 12), run(13, 30))
    bench.take(bench.first, run(16, 31))

    assert bench.publisher.has_all("S1", 31)
    assert (bench.merge.counts.doubles, bench.merge.counts.diverged) == (10 + 5 + 15, 0)


def test_what_stood_in_front_of_a_broken_packet_is_published(bench: Bench) -> None:
    bench.enter(bench.first)

    def events() -> Iterable[ClientEvent]:
        yield run(1, 7)
        raise RemoteProtocolError("length 0")

    with pytest.raises(RemoteProtocolError):
        bench.merge.take(bench.first, iter(events()), 1)

    assert bench.publisher.has_all("S1", 7)


def test_patience_grows_again_only_after_new_messages_not_after_a_login_or_old_ones(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hot_standby=False)
    bench.enter(bench.first)
    assert not bench.first.flowed
    bench.take(bench.first, run(1, 10))
    assert bench.first.flowed
    bench.merge.lost(bench.first, LOST)

    bench.enter(bench.first, next_seq=1)
    bench.take(bench.first, run(1, 10))
    assert not bench.first.flowed
    bench.take(bench.first, run(11, 11))
    assert bench.first.flowed
    bench.journal.close()


def test_two_sessions_that_end_at_once_do_not_make_us_spin(bench: Bench) -> None:
    """The first dial after an end need not wait; the next one does, until messages have flowed."""
    bench.enter(bench.first)
    bench.take(bench.first, run(1, 3))
    assert bench.merge.lost(bench.first, END).at_once
    bench.enter(bench.first, "S2")
    assert not bench.merge.lost(bench.first, END).at_once

    bench.enter(bench.first, "S3")
    bench.take(bench.first, run(1, 3, "S3"))
    assert bench.merge.lost(bench.first, END).at_once


def test_a_gap_is_not_declared_while_another_lane_may_fill_it(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.take(bench.first, run(1, 5))
    bench.enter(bench.second, next_seq=9)

    assert bench.second.dropped is Drop.AHEAD
    assert bench.lines[bench.second].aborted
    assert bench.merge.counts.gaps == 0

    ending = bench.merge.lost(bench.second, LOST)
    bench.merge.lost(bench.first, LOST)
    bench.enter(bench.second, next_seq=9)
    assert ending.reason == "ahead of the journal"
    assert bench.publisher.gaps == [Gap("S1", 6, 8)]


@pytest.mark.parametrize(("forging", "dropped"), [(0, 1), (1, 1)])
def test_whoever_diverges_the_preferred_lane_stays(bench: Bench, forging: int, dropped: int) -> None:
    forger = Venue("S1", 1000)
    forger.forged["S1", 6] = b"forged"
    lanes = [bench.first, bench.second]
    for lane in lanes:
        bench.enter(lane)

    bench.take(lanes[1 - forging], run(1, 10))
    bench.take(lanes[forging], run(1, 10, venue=forger))

    assert lanes[dropped].dropped is Drop.DIVERGED
    assert lanes[1 - dropped].live
    assert bench.merge.counts.diverged == 1
    assert bench.merge.lost(lanes[dropped], LOST).barred is Barred.BESIDE_ANOTHER
    assert bench.publisher.has_all("S1", 10)


def test_the_preferred_lane_takes_the_others_into_a_new_session(bench: Bench) -> None:
    bench.enter(bench.second)
    bench.take(bench.second, run(1, 10))
    bench.dial(bench.first)
    bench.merge.lost(bench.first, REJECTED_S)
    bench.enter(bench.first, "S2")

    assert bench.first.live
    assert bench.second.dropped is Drop.SUPERSEDED
    assert bench.publisher.sessions == ["S1", "S2"]
    # The old session goes on at the other site: nobody goes back to it.
    bench.merge.lost(bench.second, LOST)
    bench.enter(bench.second, "S1", 11)
    assert bench.second.dropped is Drop.SAME_SESSION
    bench.take(bench.second, run(11, 12))
    assert bench.publisher.count("S1") == 10


def test_the_standby_does_not_take_the_preferred_lane_into_another_session(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.take(bench.first, run(1, 10))
    bench.enter(bench.second, "S2", 1)

    assert bench.second.dropped is Drop.SESSIONS_DIFFER
    assert bench.first.live
    assert bench.publisher.sessions == ["S1"]


def test_not_authorized_beside_another_is_not_for_good(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.dial(bench.second)
    assert bench.merge.lost(bench.second, REJECTED_A).barred is Barred.BESIDE_ANOTHER

    bench.merge.lost(bench.first, LOST)
    bench.dial(bench.second)
    assert bench.merge.lost(bench.second, REJECTED_A).barred is Barred.NOT_AUTHORIZED


def test_unsequenced_data_of_two_lanes_is_passed_on_once(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.enter(bench.second)

    bench.take(bench.first, Unsequenced(b"hello"))
    bench.take(bench.second, Unsequenced(b"hello"))

    assert bench.publisher.unsequenced == [b"hello"]


def test_what_waits_for_a_full_journal_is_bounded_and_nothing_of_it_is_published(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.take(bench.first, run(1, 10))
    bench.journal.full = True

    bench.take(bench.first, run(11, 20))
    assert not bench.lines[bench.first].reading
    for first_seq in range(21, 1000, 10):
        bench.take(bench.first, run(first_seq, first_seq + 9))
    assert bench.first.dropped is Drop.JOURNAL
    assert bench.publisher.has_all("S1", 10)

    assert not bench.merge.mend()
    bench.journal.full = False
    assert bench.merge.mend()
    position = bench.journal.position()
    assert position is not None
    assert 20 < position.next_seq < 400
    assert bench.publisher.has_all("S1", position.next_seq - 1)
    bench.merge.lost(bench.first, LOST)
    assert bench.dial(bench.first) == position


def test_nobody_is_let_in_while_the_journal_is_in_trouble(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.journal.full = True
    bench.take(bench.first, run(1, 10))
    bench.enter(bench.second)

    assert bench.second.dropped is Drop.JOURNAL
    assert not bench.second.live


def test_the_end_of_a_session_that_still_waits_for_the_journal_is_marked_when_the_next_begins(
    bench: Bench,
) -> None:
    bench.enter(bench.first)
    bench.journal.full = True
    bench.take(bench.first, run(1, 10))
    bench.merge.lost(bench.first, END)
    assert not bench.journal.ended()

    bench.journal.full = False
    assert bench.merge.mend()
    bench.enter(bench.first, "S2", 1)

    assert bench.publisher.sessions == ["S1", "S2"]
    assert bench.publisher.count("S1") == 10
    assert [info.ended for info in bench.journal.sessions()] == [True, False]


def test_a_journal_that_was_moved_back_is_filled_again_without_publishing_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.enter(bench.first)
    bench.take(bench.first, run(1, 5))
    bench.take(bench.first, run(6, 10))
    file = bench.journal.sessions()[0].path
    bench.journal.close()
    _damage_last_block(file)
    bench.journal = FullJournal(bench.journal.folder.parent, "itch")
    monkeypatch.setattr(bench.merge.intake, "_journal", bench.journal)
    assert bench.journal.position() == Position("S1", 6)

    bench.take(bench.first, run(11, 12))
    assert bench.first.dropped is Drop.AHEAD
    bench.merge.lost(bench.first, LOST)
    bench.publisher.follow(bench.journal)
    bench.enter(bench.first)
    bench.take(bench.first, run(6, 12))

    assert bench.journal.position() == Position("S1", 13)
    assert bench.publisher.has_all("S1", 12)


def _damage_last_block(path: Path) -> None:
    """Flip bits in the payload of the newest block, which stands at the end of the file's free text."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"S1:10")
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_stale_is_told_once_and_fresh_when_messages_come_again(bench: Bench) -> None:
    stale = bench.merge.stale
    bench.enter(bench.first)
    bench.take(bench.first, run(1, 1))

    assert stale.look(30.0, "S1", paused=False) == 1030.0
    bench.now = 1030.0
    stale.look(30.0, "S1", paused=True)
    assert not stale.is_so
    stale.look(30.0, "S1", paused=False)
    bench.now = 1090.0
    stale.look(30.0, "S1", paused=False)
    bench.take(bench.first, run(2, 2))

    assert not stale.is_so
    assert bench.publisher.kinds() == [NoticeKind.UP, NoticeKind.STALE, NoticeKind.FRESH]


def test_a_lane_that_is_dropped_delivers_nothing_more(bench: Bench) -> None:
    bench.enter(bench.first)
    bench.first.drop(Drop.SUPERSEDED, "test")

    bench.take(bench.first, run(1, 10))

    assert bench.publisher.count("S1") == 0
    assert bench.first.asking is Asking.RESUME


def test_a_lane_that_is_dropped_before_its_dial_returns_is_aborted_as_soon_as_it_does(bench: Bench) -> None:
    """The login's answer may be read before the dial returns."""
    bench.merge.dial(bench.first, 0, "site-0")
    bench.journal.full = True
    bench.take(bench.first, Accepted(Position("S1", 1)))
    bench.take(bench.first, run(1, 10))
    bench.merge.dial(bench.second, 1, "site-1")
    bench.take(bench.second, Accepted(Position("S1", 1)))
    line = FakeLine()
    bench.merge.connected(bench.second, line)

    assert line.aborted == ["no room"]
    assert not line.reading


def test_a_publisher_that_could_not_begin_a_session_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may write state of its own when a session begins, and the disk may be full."""

    def refuses(session: str) -> None:
        raise JournalFull("no room")

    with monkeypatch.context() as full:
        full.setattr(bench.publisher, "start_session", refuses)
        bench.enter(bench.first)
    assert bench.first.dropped is Drop.JOURNAL
    bench.merge.lost(bench.first, LOST)
    assert bench.merge.mend()

    bench.enter(bench.first)
    bench.take(bench.first, run(1, 10))

    assert bench.publisher.sessions == ["S1"]
    assert bench.publisher.has_all("S1", 10)


def test_an_upstream_that_calls_its_session_otherwise_each_time_takes_no_memory(bench: Bench) -> None:
    told = Telling("itch", bench.publisher)
    for at in range(3 * TOLD_MAX):
        told.once(NoticeKind.SESSION_AGAIN, "again", f"S{at}")
        told.once(NoticeKind.SESSION_AGAIN, "again", f"S{at}")

    assert bench.publisher.kinds().count(NoticeKind.SESSION_AGAIN) == 3 * TOLD_MAX
    assert len(told._told) <= TOLD_MAX
