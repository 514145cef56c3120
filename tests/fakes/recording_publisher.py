"""Takes what a feed publishes and holds it to its promise meanwhile: journaled first, no hole, no double.

Knows what payloads a `Venue` gives its numbers.
"""

from collections import defaultdict

from gateway.journal import Journal
from gateway.net.feed import FeedNotice, NoticeKind
from gateway.values import Block, Gap
from tests.fakes.scripted_upstream import payload_of


class RecordingPublisher:
    """Remembers all; asserts in `publish` that the block is journaled and follows the one before it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        position = journal.position()
        self.session = position.session if position else ""
        self.next_seq = position.next_seq if position else None
        self.payloads: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.sessions: list[str] = []
        self.gaps: list[Gap] = []
        self.notices: list[FeedNotice] = []
        self.unsequenced: list[bytes] = []

    def follow(self, journal: Journal) -> None:
        """Go on with the same journal, opened anew."""
        self._journal = journal

    def start_session(self, session: str) -> None:
        assert session != self.session
        self.session, self.next_seq = session, None
        self.sessions.append(session)

    def publish(self, block: Block) -> None:
        position = self._journal.position()
        assert position is not None
        assert position.session == block.session == self.session
        assert position.next_seq >= block.next_seq, "published before it was journaled"
        assert self.next_seq in (None, block.first_seq), f"{block.first_seq} after {self.next_seq}"
        for seq, payload in block.payloads():
            assert seq not in self.payloads[block.session], f"{seq} twice"
            self.payloads[block.session][seq] = payload
        self.next_seq = block.next_seq

    def publish_gap(self, gap: Gap) -> None:
        assert gap.session == self.session
        assert self.next_seq in (None, gap.from_seq)
        self.gaps.append(gap)
        self.next_seq = gap.to_seq + 1

    def publish_unsequenced(self, payload: bytes, received_ns: int) -> None:
        self.unsequenced.append(payload)

    def notice(self, notice: FeedNotice) -> None:
        self.notices.append(notice)

    def kinds(self) -> list[NoticeKind]:
        return [notice.kind for notice in self.notices]

    def count(self, session: str) -> int:
        return len(self.payloads[session])

    def has_all(self, session: str, last_seq: int, *, first_seq: int = 1) -> bool:
        """Every number once, in order, with the payload that belongs to it."""
        return list(self.payloads[session].items()) == [
            (seq, payload_of(session, seq)) for seq in range(first_seq, last_seq + 1)
        ]
