"""What the bytes of sessions that are over mean, for who reads them again.

Mostly it was saved at the session's end. It was not where a crash came in between, where the disk was too
busy, or where a repair took the end; then the session is read from its beginning. Either is done by pieces,
one in each turn of those who wait for it.

Knows the journal's reader and directories; knows nothing of streams.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.decode import Codecs, Directory, MessageCodec
from gateway.errors import JournalError
from gateway.hub.context import SessionContext
from gateway.hub.router import Router
from gateway.hub.saved_state import directory_json, directory_of
from gateway.stripes import StripeTable
from gateway.values import Block, Gap, Position

# Sessions whose meaning is at hand; it has some megabytes. Of more, the one not read for longest is looked
# up again.
CONTEXTS_MAX = 8
# How much of a session is read in one turn when its directory has to be found: some milliseconds at most.
SLICE_BYTES = 32 << 10
# Directories that were found so, which cost minutes; more, and the oldest has to be found again.
FOUND_MAX = 16


class BlockReader(Protocol):
    """The hub's way back: the blocks that were published, again."""

    def read(self, position: Position, bytes_max: int) -> Sequence[Block | Gap]:
        """What follows `position`, at least one item if there is any; goes on into the next session.

        All items are of one session. Raises BadRequest's or JournalError's subclasses for a position that
        can't be served.
        """

    def first_seq(self, session: str) -> int:
        """The number at which the messages of `session` begin; raises as `read` does."""

    def next_session(self, session: str) -> Position | None:
        """Where the session after `session` starts; None while there is none."""

    def state_at_end(self, session: str) -> bytes | None:
        """The state that was saved when `session` ended, if it was."""


@dataclass(slots=True)
class _Search:
    """A session that is read again, up to `next_seq`, for its directory."""

    next_seq: int
    context: SessionContext
    router: Router


# How far somebody came who seeks a session: its saved directory, the search for one, or what was found.
_Sought = bytes | _Search | Directory


class Past:
    """The contexts of sessions that are over: few at hand, each of the journal's to be had.

    What is sought is sought once for all who wait for it, and by the turns of whoever does.
    """

    def __init__(self, feed: str, codecs: Codecs, stripes: StripeTable, reader: BlockReader | None) -> None:
        self._feed = feed
        self._codecs = codecs
        self._stripes = stripes
        self._reader = reader
        # Least recently read first.
        self._contexts: OrderedDict[str, SessionContext] = OrderedDict()
        self._sought: dict[str, _Sought] = {}
        # By searching, the oldest first.
        self._found: OrderedDict[str, Directory] = OrderedDict()

    def add(self, context: SessionContext) -> None:
        """This session is over, or what it means has been found."""
        self._contexts[context.session] = context
        if len(self._contexts) > CONTEXTS_MAX:
            self._contexts.popitem(last=False)

    def find(self, session: str) -> SessionContext | None:
        """What is at hand; if it is not, `seek`."""
        context = self._contexts.get(session)
        if context is not None:
            self._contexts.move_to_end(session)
        return context

    def seek(self, session: str) -> None:
        """Bring what `find` gives nearer by one piece of work. Raises what the reader raises."""
        assert self._reader is not None, "whoever reads what is over has a journal"
        sought = self._sought.pop(session, None) or self._found.get(session)
        match sought:
            case None:
                saved = self._reader.state_at_end(session)
                self._sought[session] = self._search(session) if saved is None else directory_json(saved)
            case bytes():
                try:
                    self._sought[session] = directory_of(sought, self._codecs)
                except ValueError:
                    # The journal has all that it was made of.
                    self._sought[session] = self._search(session)
            case _Search():
                self._sought[session] = self._searched(sought, session, self._reader)
            case Directory():
                self.add(SessionContext(session, sought, self._stripes))

    def restripe(self) -> None:
        """The table of stripes has changed."""
        for context in self._contexts.values():
            context.restripe()

    def _search(self, session: str) -> _Search:
        assert self._reader is not None
        context = SessionContext(session, Directory(self._codecs), self._stripes)

        def learn(codec: MessageCodec, raw: bytes, start: int, end: int, seq: int) -> None:
            if codec.definition.is_directory:
                context.learn(raw[start:end], seq)

        return _Search(self._reader.first_seq(session), context, Router(self._feed, self._codecs, learn))

    def _searched(self, search: _Search, session: str, reader: BlockReader) -> _Search | Directory:
        """The search a slice further; the directory, once the session has been read to its end."""
        try:
            items = reader.read(Position(session, search.next_seq), SLICE_BYTES)
        except JournalError:
            # Whoever tries again need not begin anew; of what has aged out, nobody does.
            self._sought[session] = search
            raise
        if not items or items[0].session != session:
            directory = self._found[session] = search.context.directory
            if len(self._found) > FOUND_MAX:
                self._found.popitem(last=False)
            return directory
        for item in items:
            if isinstance(item, Gap):
                search.next_seq = item.to_seq + 1
            else:
                if not search.router.learns_nothing(item.raw):
                    search.router.route(item, search.context, 0)
                search.next_seq = item.next_seq
        return search
