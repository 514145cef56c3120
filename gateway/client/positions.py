"""Where a stream stands in one feed, as a value and as text `SRC/SES/SEQ`.

Knows the wire's names for it; moves nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import BadRequest


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """In `session` of feed `src`, `next_seq` is the first number not had yet; 1 is the session's start.

    An empty `src` means the only feed there is, an empty `session` the one that is current.
    """

    src: str
    session: str
    next_seq: int

    @classmethod
    def parse(cls, text: str) -> "FeedPosition":
        """Read `SRC/SES/SEQ`, the form that `str` gives."""
        parts = text.strip().split("/")
        if len(parts) != 3 or not parts[2].isascii() or not parts[2].isdigit() or int(parts[2]) < 1:
            raise BadRequest(
                f"resume {text!r}: expected SRC/SES/SEQ, SEQ being the first number wanted, from 1"
            )
        return cls(parts[0].strip(), parts[1].strip(), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.src}/{self.session}/{self.next_seq}"

    def wire(self) -> dict[str, str | int]:
        """The object that stands in a request."""
        return {"src": self.src, "ses": self.session, "seqN": self.next_seq}


ResumeLike = FeedPosition | str | Mapping[str, Any]


def read_resume(value: ResumeLike | Iterable[ResumeLike] | None) -> tuple[FeedPosition, ...]:
    """A position in any of its forms, or several of different feeds. BadRequest says what was expected."""
    if value is None:
        return ()
    if isinstance(value, str):
        # Several in one text, as a command line or a file has them.
        return _distinct(FeedPosition.parse(part) for part in value.split(","))
    if isinstance(value, FeedPosition | Mapping):
        return (_one(value),)
    return _distinct(_one(item) for item in value)


def _one(value: ResumeLike) -> FeedPosition:
    if isinstance(value, FeedPosition):
        return value
    if isinstance(value, str):
        return FeedPosition.parse(value)
    src, session, next_seq = value.get("src", ""), value.get("ses", ""), value.get("seqN")
    if (
        not isinstance(src, str)
        or not isinstance(session, str)
        or not isinstance(next_seq, int)
        or isinstance(next_seq, bool)
        or next_seq < 1
    ):
        raise BadRequest(f'resume {dict(value)!r}: expected {{"src": text, "ses": text, "seqN": 1 or more}}')
    return FeedPosition(src, session, next_seq)


def _distinct(positions: Iterable[FeedPosition]) -> tuple[FeedPosition, ...]:
    found = tuple(positions)
    feeds = [position.src for position in found]
    if len(set(feeds)) < len(feeds):
        raise BadRequest(f"resume names a feed twice: {', '.join(map(str, found))}")
    return found
