"""Any order of appends, overlaps, gaps, rolls and reopenings leaves what a plain list of messages says."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import LocalProtocolError, SequenceGap
from gateway.journal import Journal, JournalLimits, JournalReader, PositionInFuture
from gateway.values import Position
from tests.journal.blocks import messages_of, numbered, read_all

RAM = Path("/dev/shm")
LIMITS = JournalLimits(
    fsync_interval_s=0.001,
    checkpoint_bytes=2_000,
    empty_log_bytes=20_000,
    pending_bytes_max=3_000,
    busy_wait_s=5,
)


class JournalMachine(RuleBasedStateMachine):
    """`sessions` is the truth: by session, the (session, number, payload) of each message committed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=RAM if RAM.is_dir() else None))
        self.journal = Journal(self.folder, "itch", LIMITS)
        self.sessions: dict[str, list[tuple[str, int, bytes | None]]] = {}
        self.pending: list[tuple[str, int, bytes | None]] = []
        self.running: str | None = None
        self.named = 0

    def next_seq(self) -> int:
        assert self.running is not None
        return len(self.sessions[self.running]) + len(self.pending) + 1

    def committed(self) -> None:
        if self.running is not None:
            self.sessions[self.running] += self.pending
        self.pending = []

    @rule()
    def roll(self) -> None:
        self.committed()
        self.named += 1
        self.running = f"S{-self.named}"
        self.sessions[self.running] = []
        assert self.journal.roll(self.running) == Position(self.running, 1)

    @rule()
    def end(self) -> None:
        self.committed()
        self.journal.end_session()
        self.running = None

    @rule()
    def roll_to_the_newest_again(self) -> None:
        if self.sessions:
            self.committed()
            self.running = list(self.sessions)[-1]
            assert self.journal.roll(self.running) == Position(self.running, self.next_seq())

    @rule(back=st.integers(0, 30), count=st.integers(1, 60))
    def append(self, back: int, count: int) -> None:
        if self.running is None:
            with pytest.raises(LocalProtocolError):
                self.journal.append(numbered(1, 1))
            return
        expected = self.next_seq()
        block = numbered(max(1, expected - back), count, session=self.running)
        had = self.journal.append(block)
        new = [message for message in messages_of([block]) if message[1] >= expected]
        assert had == block.count - len(new)
        self.pending += new

    @rule(ahead=st.integers(1, 5))
    def a_hole_is_refused(self, ahead: int) -> None:
        if self.running is not None:
            with pytest.raises(SequenceGap):
                self.journal.append(numbered(self.next_seq() + ahead, 3, session=self.running))

    @rule(back=st.integers(0, 3), count=st.integers(1, 9))
    def declare_gap(self, back: int, count: int) -> None:
        if self.running is None:
            return
        expected = self.next_seq()
        first = max(1, expected - back)
        self.journal.declare_gap(first, first + count - 1)
        self.pending += [(self.running, seq, None) for seq in range(expected, first + count)]

    @rule()
    def commit(self) -> None:
        self.journal.commit()
        self.committed()

    @rule()
    def reopen(self) -> None:
        self.committed()
        self.journal.close()
        self.journal = Journal(self.folder, "itch", LIMITS)
        assert self.journal.repaired == []

    @rule(data=st.data())
    def read_from_any_position(self, data: st.DataObject) -> None:
        self.commit()
        if not self.sessions:
            return
        session = data.draw(st.sampled_from(list(self.sessions)))
        messages = self.sessions[session]
        at = data.draw(st.integers(1, len(messages) + 1))
        bytes_max = data.draw(st.sampled_from([1, 500, 1 << 20]))
        later = list(self.sessions)[list(self.sessions).index(session) + 1 :]
        expected = messages[at - 1 :] + [message for each in later for message in self.sessions[each]]

        assert messages_of(read_all(self.journal, Position(session, at), bytes_max)) == expected
        with JournalReader(self.folder, "itch") as reader:
            assert messages_of(read_all(reader, Position(session, at), bytes_max)) == expected
        with pytest.raises(PositionInFuture):
            self.journal.read(Position(session, len(messages) + 2))

    @invariant()
    def the_position_is_that_of_the_last_commit(self) -> None:
        if sum(len(message[2] or b"") + 3 for message in self.pending) >= 3_000:
            self.commit()
        position = self.journal.position()
        if not self.sessions:
            assert position is None
        else:
            newest = list(self.sessions)[-1]
            assert position is not None
            assert position.session == newest
            assert position.next_seq >= len(self.sessions[newest]) + 1

    def teardown(self) -> None:
        with ExitStack() as after:
            after.callback(shutil.rmtree, self.folder)
            after.callback(self.journal.close)
            self.journal.commit()
            self.committed()
            for session, messages in self.sessions.items():
                (verified,) = self.journal.verify(session)
                assert verified.whole
                assert verified.next_seq == len(messages) + 1
                assert verified.messages == sum(message[2] is not None for message in messages)


JournalMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestJournalAgainstAList = JournalMachine.TestCase
