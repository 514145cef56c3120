"""Where one stream stands: which messages are new, how far it is complete, where it resumes.

Knows the wire's headers and checkpoints; no socket, no clock. The position of a stream moves
here and nowhere else.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.client.errors import Incomplete
from gateway.client.message import not_an_envelope
from gateway.client.positions import FeedPosition
from gateway.mlink.choices import StreamState
from gateway.mlink.control import StreamPosition

# The source of no message: until the first one nothing can be taken as "the next of the same".
_NO_SRC = "\0"


class Tracker:
    """One stream over all its connections. Each number is given out once, in order.

    A stream without a position begins with a snapshot. Until that is complete its numbers say nothing
    of how far it has come, so after a break it is asked for again and what was had is dropped by number.
    After that it resumes where it stands; or, of `latest` delivery, takes a new snapshot, for there
    the newest of each key is what counts.
    """

    def __init__(self, resume: tuple[FeedPosition, ...] = (), *, latest: bool = False) -> None:
        #: The names of messages that are this stream's, as spelled in headers.
        self.types: set[str] = set()
        #: Messages that came again and were dropped.
        self.doubles = 0
        #: Numbered messages since the request that is running.
        self.received = 0
        #: Where the running request was told to resume.
        self.asked: tuple[FeedPosition, ...] = ()
        self._wanted = resume
        #: Whether the newest of each key is what counts: then a break is healed by a new snapshot.
        self.latest = latest
        self._runs = 0
        # What the snapshot under way has brought; what was had before it began lies below `_floor`.
        self._snapshot: set[tuple[str, str, int]] | None = None
        self._floor: dict[tuple[str, str], int] = {}
        self._at: dict[str, FeedPosition] = {}
        self._proven = resume
        # The highest number had of each (src, session); of the current one it is `_last`.
        self._high: dict[tuple[str, str], int] = {}
        self._src, self._session, self._last = _NO_SRC, "", 0

    def start(self) -> tuple[FeedPosition, ...]:
        """A new request is about to be sent: where it has to resume, empty for a start without a position."""
        self._fold()
        self._src = _NO_SRC
        self.received = 0
        resume = () if self.latest and self._runs else self.positions()
        self._runs += 1
        self.asked = resume
        if not resume and self._snapshot is None:
            self._snapshot, self._floor = set(), dict(self._high)
        return resume

    @property
    def runs(self) -> int:
        """How often it was asked for."""
        return self._runs

    def positions(self) -> tuple[FeedPosition, ...]:
        """The first number not received yet, per feed; empty while a snapshot is incomplete."""
        self._fold()
        wanted = (
            position
            for position in self._wanted
            if position.src not in self._at and not (position.src == "" and self._at)
        )
        return (*self._at.values(), *wanted)

    def take(self, values: Sequence[Any], at: int, runs: list[tuple[int, int]]) -> int:
        """Find this stream's new messages from `values[at]` on: their (start, end) go to `runs`.

        Gives the index of the first value that is not its own. `runs` and the position agree whatever is
        raised. This runs per message: what it does not look at costs nothing.
        """
        types, src, session, last = self.types, self._src, self._session, self._last
        begun = start = end = at
        unnumbered = 0
        try:
            for end in range(at, len(values)):
                value = values[end]
                header = value["header"]
                if header["mTyp"] not in types:
                    return end
                if value["message"].__class__ is not dict:
                    raise TypeError("message")
                seq = header.get("seqN")
                if seq is None:
                    unnumbered += 1
                elif seq <= last or header["src"] != src or header["ses"] != session:
                    self._last = last
                    is_new = self._is_new(header["src"], header["ses"], seq)
                    src, session, last = self._src, self._session, self._last
                    if is_new:
                        last = seq
                    else:
                        self.doubles += 1
                        if start < end:
                            runs.append((start, end))
                        start = end + 1
                else:
                    last = seq
            end = len(values)
            return end
        except (KeyError, TypeError) as error:
            raise not_an_envelope(values[end]) from error
        finally:
            self._last = last
            self.received += end - begun - unnumbered
            if start < end:
                runs.append((start, end))

    def follows(self, src: str, session: str, seq: int) -> bool:
        """Whether the message of this number is new, and of the session that the last one was of."""
        return src == self._src and session == self._session and seq > self._last

    def took(self, count: int, last: int) -> None:
        """So many messages came at once, with rising numbers, and the first one `follows`."""
        self.received += count
        self._last = last

    def checkpoint(self, state: StreamState | None, positions: Iterable[StreamPosition]) -> None:
        """The gateway says how far all that matches was sent (`state` None: in a heartbeat).

        Incomplete when what it sent is not what arrived.
        """
        self._fold()
        positions = tuple(positions)
        for position in positions:
            if position.numMessagesSent != self.received:
                raise Incomplete(
                    f"up to {position.src}/{position.ses}/{position.seqN} the gateway sent "
                    f"{position.numMessagesSent} messages, {self.received} arrived",
                    self._proven,
                )
        if self._snapshot is not None:
            # Not already at Active: a checkpoint in the midst of the records may have that state.
            if state is not StreamState.COMPLETE:
                return
            self._snapshot = None
            # What is `last` of a snapshot is not a position, so it starts from what is told here.
            self._src = _NO_SRC
        for position in positions:
            had = self._at.get(position.src)
            if had is not None and had.session == position.ses and had.next_seq > position.seqN:
                continue
            self._at[position.src] = FeedPosition(position.src, position.ses, position.seqN + 1)
        self._proven = self.positions()

    def _is_new(self, src: str, session: str, seq: int) -> bool:
        """The way of a message that is not simply the next higher one of the same session."""
        if self._snapshot is not None:
            if seq <= self._floor.get((src, session), 0) or (src, session, seq) in self._snapshot:
                return False
            self._snapshot.add((src, session, seq))
            self._high[src, session] = max(seq, self._high.get((src, session), 0))
            return True
        self._fold()
        if seq <= self._high.get((src, session), 0):
            return False
        had = self._at.get(src)
        if had is None or had.session != session:
            self._at[src] = FeedPosition(src, session, seq)
        self._src, self._session, self._last = src, session, seq
        return True

    def _fold(self) -> None:
        """Bring what the fast path keeps in `_last` to where everything else looks for it."""
        if self._src == _NO_SRC:
            return
        self._high[self._src, self._session] = self._last
        had = self._at[self._src]
        # A checkpoint may have told of a newer session already, or of a higher number.
        if had.session == self._session and had.next_seq <= self._last:
            self._at[self._src] = FeedPosition(self._src, self._session, self._last + 1)
