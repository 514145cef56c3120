"""Whatever is asked for, whatever happens: what a subscriber got is what a plain model says it should get.

Random requests (names, filters, views, stripes, delivery, resume points) and random fates (stalls, breaks and
resumes, gaps, session rolls, polls, directories that come late). The hub is driven directly, with a real
journal and sinks that stall; fewer of the same go over real sockets in `test_requests_over_sockets`.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.hub import State, Stream
from gateway.mlink.actions import StreamRequested
from gateway.net.access import Access
from gateway.net.resolve import Refused, Resolver
from tests.flow.plain_model import Message, Tape, Wish, shown
from tests.flow.wishes import assert_same, can_be_asked, pool, wishes
from tests.hub.rig import STRIPES, PretendedSink, Rig
from tests.mlink.talk import new_session, only, said

readers = st.integers(0, 2)
steps = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 40)),
    st.tuples(st.just("publish"), st.integers(1, 40)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("step"), readers, st.integers(1, 4)),
    st.tuples(st.just("stall"), readers),
    st.tuples(st.just("read on"), readers),
    st.tuples(st.just("take"), readers, st.booleans()),
    st.tuples(st.just("ready"), readers, st.booleans()),
    st.tuples(st.just("break"), readers, st.floats(0, 1)),
    st.tuples(st.just("ask"), readers, wishes, st.none() | st.floats(0, 1)),
    st.tuples(st.just("lose"), st.integers(1, 5)),
    st.tuples(st.just("roll")),
)


@dataclass
class Asked:
    """One stream and what it should have got."""

    wish: Wish
    stream: Stream
    sink: PretendedSink
    # What it has to have got before the messages from `start` on.
    expected: list[Any]
    start: int
    resumed: bool
    # Of a conflated one: up to where its batches went.
    batch_end: int = 0


class Scene:
    """The hub and the model side by side; each step is done to both."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder)
        self.tape = Tape()
        self.asked: dict[int, Asked] = {}
        self.resolver = Resolver(self.rig.hub.channels, STRIPES)
        self._next = 0
        self._sessions = 0
        self.do("roll")

    def do(self, what: str, *how: Any) -> None:
        match what, *how:
            case "publish", count:
                payloads = pool()[self._next : self._next + count]
                self._next += count
                if payloads:
                    for each in payloads:
                        self.tape.add(each)
                    self.rig.publish(payloads)
            case ("turn",):
                self.rig.turn()
            case "lose", count:
                self.tape.lose(count)
                self.rig.lose(count)
            case ("roll",):
                self._sessions += 1
                self._next = 0
                self.tape.roll(f"DAY{self._sessions}")
                self.rig.roll(f"DAY{self._sessions}")
            case "ask", at, wish, resume:
                self._end(at)
                self._ask(at, wish, resume)
            case _, at, *_ if at not in self.asked:
                pass
            case "step", at, count:
                each = self.asked[at]
                for _ in range(count):
                    if not each.sink.stalled:
                        self.rig.hub.step(each.stream)
            case "stall", at:
                self.asked[at].sink.stalled = True
            case "read on", at:
                self.asked[at].sink.read_on()
            case "take", at, whole:
                self._take(self.asked[at], whole=whole)
            case "ready", at, again:
                self._ready(self.asked[at], again=again)
            case "break", at, share:
                self._break(at, share)
            case _:
                raise AssertionError(what)
        self._check_coverage()

    def _ask(self, at: int, wish: Wish, resume: float | None, place: tuple[str, int] | None = None) -> None:
        fields = wish.request()
        messages = [each for each in self.tape.items if isinstance(each, Message)]
        if resume is not None and not wish.conflated and messages:
            chosen = messages[int(resume * (len(messages) - 1))]
            place = (chosen.session, chosen.seq)
        if place is not None:
            fields["resume"] = {"ses": place[0], "seqN": place[1]}
        request = only(new_session().receive(said("MLinkStream", **fields), 0.0))
        assert isinstance(request, StreamRequested)
        if not can_be_asked(wish):
            with pytest.raises(Refused):
                self.resolver.stream(request, Access("test", "test"), True)
            return
        resolved = self.resolver.stream(request, Access("test", "test"), True)
        sink = PretendedSink()
        how = {"resume": resolved.resume, "polled": resolved.polled}
        stream = self.rig.hub.open(sink, resolved.spec, resolved.delivery, None, **how)
        here = len(self.tape.items)
        if place is not None:
            start = self.tape.index_of(*place)
            self.asked[at] = Asked(wish, stream, sink, [], start, True)
        else:
            snapshot = self.tape.snapshot(wish, here)
            self.asked[at] = Asked(wish, stream, sink, [*snapshot], here, False, here)

    def _take(self, each: Asked, *, whole: bool) -> None:
        stream = each.stream
        if stream.outbox is None or each.sink.stalled:
            return
        if not whole:
            if stream.state is State.LATEST and len(stream.outbox):
                self._take_slice(each)
            return
        while self.rig.hub.step(stream):
            pass
        while len(stream.outbox):
            self._take_slice(each)

    def _take_slice(self, each: Asked) -> None:
        outbox = each.stream.outbox
        assert outbox is not None
        if not outbox.is_leaving:
            here = len(self.tape.items)
            each.expected += self.tape.newest(each.wish, each.batch_end, here)
            each.batch_end = here
        self.rig.hub.take_latest(each.stream)

    def _ready(self, each: Asked, *, again: bool) -> None:
        """A poll: go on up to now; of a conflated one with `again`, all the latest records once more."""
        stream, here = each.stream, len(self.tape.items)
        if stream.outbox is not None:
            untold = [item for item in self.tape.items[each.batch_end :] if not isinstance(item, Message)]
            if stream.outbox.is_leaving or untold or stream.state is not State.LATEST:
                return
            if again:
                each.expected += self.tape.snapshot(each.wish, here)
                each.batch_end = here
        self.rig.hub.ready(stream, again=again)

    def _break(self, at: int, share: float) -> None:
        """The subscriber goes away in mid-stream, having read a part, and comes back behind that."""
        each = self.asked.pop(at)
        each.sink.lose()
        had = [shown(value) for value in each.sink.messages()]
        self.rig.hub.close(each.stream)
        if each.stream.outbox is not None:
            return
        part = had[: int(share * len(had))]
        self._check_part(each, part)
        snapshot = len(each.expected)
        behind = [item for item in part[snapshot:] if isinstance(item[1], int)]
        if behind:
            self._ask(at, each.wish, None, (behind[-1][0], behind[-1][1] + 1))

    def _check_part(self, each: Asked, part: list[Any]) -> None:
        whole = each.expected + self.tape.following(each.wish, each.start, len(self.tape.items))
        assert_same(part, whole[: len(part)])

    def _end(self, at: int) -> None:
        """Let a stream come to rest, and compare all it got."""
        if at not in self.asked:
            return
        each = self.asked.pop(at)
        each.sink.read_on()
        hub, stream = self.rig.hub, each.stream
        self.rig.turn()
        while hub.step(stream):
            pass
        if stream.state is State.PARKED:
            hub.ready(stream)
            while hub.step(stream):
                pass
        if stream.outbox is not None:
            self._take(each, whole=True)
            expected = each.expected
        else:
            expected = each.expected + self.tape.following(each.wish, each.start, len(self.tape.items))
        hub.close(stream)
        got = [shown(value) for value in each.sink.messages()]
        assert_same(got, expected)
        assert stream.sent == sum(isinstance(item[1], int) for item in got)

    def _check_coverage(self) -> None:
        """What each stream is told it can be sure of is true at any moment."""
        for each in self.asked.values():
            stream = each.stream
            if stream.outbox is not None or stream.state is State.SNAPSHOT:
                continue
            for coverage in self.rig.hub.coverage(stream):
                assert coverage.sent == stream.sent
                end = self.tape.index_of(coverage.session, coverage.seq + 1)
                expected = each.expected + self.tape.following(each.wish, each.start, end)
                assert coverage.sent == sum(isinstance(item[1], int) for item in expected)

    def end(self) -> None:
        for at in list(self.asked):
            self._end(at)
        assert self.rig.hub.groups == 0
        self.rig.close()


@given(
    st.lists(st.tuples(st.just("ask"), readers, wishes, st.none() | st.floats(0, 1)), min_size=1, max_size=3),
    st.lists(steps, min_size=3, max_size=40),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_a_subscriber_got_is_what_the_journal_says(
    first: list[tuple[Any, ...]], then: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        scene.do("publish", 30)
        for step in [*first, *then]:
            scene.do(*step)
        scene.end()
