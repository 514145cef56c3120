"""Reading a feed's journal: its sessions, and blocks from any position. Any process may, beside the writer.

Knows the folder and which file holds which session; takes no lock and changes nothing.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.errors import BadRequest, ConfigError, JournalError
from gateway.journal import checkpoint, names, removed
from gateway.journal.errors import PositionInFuture, PositionTooOld, PositionUnknown
from gateway.journal.names import FileName
from gateway.journal.session_file import SessionFile
from gateway.journal.values import SessionInfo, Verified
from gateway.journal.verify import Progress, verify_file
from gateway.values import Block, Gap, Position

READ_BYTES = 1 << 20

log = logging.getLogger("gateway.journal")


class JournalReader:
    """One feed's journal, read only. Not for several threads at once; each makes its own."""

    def __init__(self, folder: Path, feed: str, *, open_files_max: int = 8) -> None:
        self.feed = feed
        self.folder = names.folder_of(folder, feed)
        self._open_files_max = open_files_max
        # Least recently read first.
        self._open: OrderedDict[int, SessionFile] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def position(self) -> Position | None:
        """One past the last number of the newest session; None while the journal is empty."""
        found = self._names()
        return Position(found[-1].session, self._file(found[-1]).next_seq()) if found else None

    def oldest(self) -> Position | None:
        """The oldest position that can be read."""
        found = self._names()
        return Position(found[0].session, self._file(found[0]).first_seq) if found else None

    def sessions(self) -> list[SessionInfo]:
        """All sessions in the order in which they came; one that can't be read says so in `damage`."""
        return [info for name in self._names() if (info := self._info(name)) is not None]

    def has_session(self, session: str) -> bool:
        """Whether a session of this name is had; one whose file was moved away is not."""
        named = (name for name in self._names() if name.session == session)
        return any(name.in_folder(self.folder).exists() for name in named)

    def ended(self) -> bool:
        """Whether the newest session has ended, so that the next message will be another session's."""
        found = self._names()
        return bool(found) and self._file(found[-1]).ended_ns is not None

    def size_bytes(self) -> int:
        """What all files of the folder take; asks the file system."""
        return sum(names.size_of(name.in_folder(self.folder)) for name in names.files_in(self.folder))

    def read(self, position: Position, bytes_max: int = READ_BYTES) -> list[Block | Gap]:
        """What stands from `position` on, in order: about `bytes_max`, one item at least if there is any.

        Goes on into the next session; an empty list means that there is no more yet. All items are of one
        session. Raises PositionTooOld, PositionUnknown, PositionInFuture, DamagedBlock.
        """
        found = self._names()
        if not found and not position.session:
            return []
        name = self._find(found, position)
        file = self._file(name)
        if position.next_seq < file.first_seq:
            raise PositionTooOld(position, self.oldest(), self.position())
        items = file.read(position.next_seq, bytes_max)
        if items:
            return items
        if position.next_seq > file.next_seq():
            raise PositionInFuture(position, self.oldest(), self.position())
        for later in found[found.index(name) + 1 :]:
            file = self._file(later)
            if items := file.read(file.first_seq, bytes_max):
                return items
        return []

    def first_seq(self, session: str) -> int:
        """The number at which `session` begins: above 1 where the feed joined it late."""
        return self._file(self._find(self._names(), Position(session, 1))).first_seq

    def next_session(self, session: str) -> Position | None:
        """Where the session after `session` starts; None while there is none."""
        found = self._names()
        name = self._find(found, Position(session, 1))
        after = found[found.index(name) + 1 :]
        return Position(after[0].session, self._file(after[0]).first_seq) if after else None

    def verify(self, session: str = "", progress: Progress | None = None) -> Iterator[Verified]:
        """Check every block and every number, of one session or of all."""
        for name in self._names():
            if not session or name.session == session:
                yield verify_file(self.folder, name, progress)

    def load_checkpoint(self) -> tuple[Position, bytes] | None:
        """The newest saved state that fits the journal, with its position; None when there is none."""
        for name in reversed(self._names()):
            saved = self._state(name)
            if saved is not None:
                return saved
        return None

    def state_at_end(self, session: str) -> bytes | None:
        """The state that was saved at the very end of an ended session, if it was."""
        for name in reversed(self._names()):
            if name.session == session:
                saved, file = self._state(name), self._file(name)
                at_end = (
                    saved is not None and file.ended_ns is not None and saved[0].next_seq == file.next_seq()
                )
                return saved[1] if saved is not None and at_end else None
        return None

    def _state(self, name: FileName) -> tuple[Position, bytes] | None:
        path = name.state_in(self.folder)
        saved = checkpoint.load(path)
        if saved is None:
            return None
        position, file = saved[0], self._file(name)
        if position.session != name.session or not file.first_seq <= position.next_seq <= file.next_seq():
            log.warning(
                "state=%s event=ignored detail='at %d, which the journal does not have'",
                path,
                position.next_seq,
            )
            return None
        return saved

    def _find(self, found: list[FileName], position: Position) -> FileName:
        """The file of a position's session."""
        if position.next_seq < 1:
            raise BadRequest(f"sequence number {position.next_seq}: the first number of a session is 1")
        if not position.session and found:
            return found[-1]
        for name in reversed(found):
            if name.session == position.session:
                return name
        if position.session in removed.read(self.folder):
            raise PositionTooOld(position, self.oldest(), self.position())
        raise PositionUnknown(position, self.oldest(), self.position())

    def _names(self) -> list[FileName]:
        """Whole files in order. Read from the folder each time: the writer is another process."""
        return [name for name in names.files_in(self.folder) if not name.damaged]

    def _file(self, name: FileName) -> SessionFile:
        """The open file, opened when needed; opened again when another one has taken its name."""
        file = self._open.get(name.order)
        if file is not None and self._is_current(file):
            self._open.move_to_end(name.order)
            return file
        if file is not None:
            self._open.pop(name.order).close()
        while len(self._open) >= self._open_files_max:
            self._open.popitem(last=False)[1].close()
        try:
            file = self._open[name.order] = SessionFile(self.folder, name)
        except ConfigError as exc:
            # Of a newer format: that stops a start, but nobody who has begun already.
            raise JournalError(str(exc)) from exc
        return file

    def _is_current(self, file: SessionFile) -> bool:
        try:
            return file.path.stat().st_ino == file.inode
        except FileNotFoundError:
            return False

    def _info(self, name: FileName) -> SessionInfo | None:
        """None when the file is not there any more."""
        path = name.in_folder(self.folder)
        try:
            return self._file(name).info()
        except JournalError as exc:
            try:
                changed_ns = path.stat().st_mtime_ns
            except FileNotFoundError:
                return None
            return SessionInfo(
                feed=self.feed,
                session=name.session,
                order=name.order,
                path=path,
                first_seq=0,
                next_seq=0,
                messages=0,
                # Retention must not take it for age-old.
                started_ns=changed_ns,
                ended_ns=None,
                first_received_ns=None,
                last_received_ns=None,
                bytes=names.size_of(path),
                gaps=(),
                damage=str(exc),
            )
