"""Blocks as a feed would hand them over, made by hand."""

from gateway.journal import JournalReader
from gateway.values import Block, Gap, Position

RECEIVED_NS = 1_700_000_000_000_000_000


def block(first_seq: int, *payloads: bytes, session: str = "DAY1", received_ns: int = RECEIVED_NS) -> Block:
    raw = b"".join((len(payload) + 1).to_bytes(2, "big") + b"S" + payload for payload in payloads)
    return Block(session, first_seq, len(payloads), received_ns, raw)


def numbered(first_seq: int, count: int, *, session: str = "DAY1", size: int = 20) -> Block:
    """`count` messages that each tell their own number, so that a wrong one is seen."""
    payloads = (f"{session} {seq} ".encode().ljust(size, b".") for seq in range(first_seq, first_seq + count))
    return block(first_seq, *payloads, session=session)


def read_all(journal: JournalReader, position: Position, bytes_max: int = 1 << 20) -> list[Block | Gap]:
    """Everything from `position` to the end of all sessions."""
    found: list[Block | Gap] = []
    while items := journal.read(position, bytes_max):
        found += items
        last = items[-1]
        position = Position(last.session, last.next_seq if isinstance(last, Block) else last.to_seq + 1)
    return found


def messages_of(items: list[Block | Gap]) -> list[tuple[str, int, bytes | None]]:
    """(session, number, payload) of each message, None for each one that is missing."""
    found: list[tuple[str, int, bytes | None]] = []
    for item in items:
        if isinstance(item, Gap):
            found += [(item.session, seq, None) for seq in range(item.from_seq, item.to_seq + 1)]
        else:
            found += [(item.session, seq, payload) for seq, payload in item.payloads()]
    return found
