"""A journal's items as messages: names, tickers, JSON lines, length-prefixed payloads.

Knows codecs and the directory of each session; knows nothing of files to write to.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.decode import Codecs, Directory, MessageCodec, json_text
from gateway.errors import BadRequest, DecodeError, JournalError
from gateway.journal.reader import JournalReader
from gateway.mlink.times import utc_text
from gateway.values import Block, Gap, Position

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to take of a journal: of one session or all, numbers `from_seq` … `to_seq`, messages by name."""

    session: str = ""
    from_seq: int = 1
    to_seq: int | None = None
    names: frozenset[str] = frozenset()


class Messages:
    """Gives names, tickers and JSON to messages of one feed, session by session, in order.

    A message that only carries a locate code gets the ticker that its session's directory gave before it;
    so messages have to be shown to `learn` or `json` from the session's start on.
    """

    def __init__(self, feed: str, codecs: Codecs | None) -> None:
        self._feed = feed
        self._codecs = codecs
        self._session = ""
        self._directory: Directory | None = None

    def learn(self, block: Block) -> None:
        """Take in the directory messages of a block that is not shown."""
        if self._codecs is None:
            return
        by_id, raw = self._codecs.by_id, block.raw
        end = 0
        for seq in range(block.first_seq, block.next_seq):
            start = end + 3
            end += 2 + (raw[end] << 8 | raw[end + 1])
            codec = by_id[raw[start]] if end > start else None
            if codec is not None and codec.definition.is_directory:
                self._learn(block.session, raw[start:end], seq)

    def codec(self, session: str, seq: int, payload: bytes) -> MessageCodec:
        """Whose layout `payload` has; DecodeError when that is unknown."""
        assert self._codecs is not None
        codec = self._codecs.by_id[payload[0]] if payload else None
        if codec is None:
            raise DecodeError(f"no message begins with {payload[:1]!r}")
        if codec.definition.is_directory:
            self._learn(session, payload, seq)
        return codec

    def ticker(self, codec: MessageCodec, session: str, payload: bytes) -> str | None:
        """The ticker of a message that carries none itself."""
        if codec.added_ticker is None or self._directory is None or session != self._session:
            return None
        locate = codec.locate(payload, 0)
        return None if locate is None else self._directory.tickers[locate]

    def decoded(self, session: str, seq: int, payload: bytes) -> tuple[MessageCodec, dict[str, Any]]:
        """Codec and values, the ticker among them."""
        codec = self.codec(session, seq, payload)
        values = codec.decode(payload, 0, len(payload))
        ticker = self.ticker(codec, session, payload)
        if ticker is not None and codec.added_ticker is not None:
            values[codec.added_ticker] = ticker
        return codec, values

    def json_lines(self, item: Block | Gap, wanted: Wanted) -> Iterator[str]:
        """One JSON object per message, as a subscriber gets it; of what can't be decoded, the bytes."""
        head = f'"src":{json_text(self._feed)},"ses":{json_text(item.session)}'
        if isinstance(item, Gap):
            if not wanted.names:
                body = f'{{"fromSeq":{item.from_seq},"toSeq":{item.to_seq}}}'
                yield f'{{"header":{{"mTyp":"Gap",{head}}},"message":{body}}}'
            return
        times = f'"sTim":"{utc_text(item.received_ns)}"'
        for seq, payload in item.payloads():
            if self._codecs is None:
                yield f'{{"header":{{{head},"seqN":{seq},{times}}},"bytes":"{payload.hex()}"}}'
                continue
            try:
                codec = self.codec(item.session, seq, payload)
                if wanted.names and codec.name not in wanted.names:
                    continue
                name = codec.name
                ticker = self.ticker(codec, item.session, payload)
                if ticker is None:
                    body = codec.write(payload, 0, len(payload))
                else:
                    body = codec.write_with_ticker(payload, 0, len(payload), json_text(ticker))
            except DecodeError as exc:
                if wanted.names:
                    continue
                name = "Undecodable"
                body = f'"problem":{json_text(str(exc))},"bytes":"{payload.hex()}"'
            header = f'{{"mTyp":{json_text(name)},{head},"seqN":{seq},{times}}}'
            yield f'{{"header":{header},"message":{{{body}}}}}'

    def _learn(self, session: str, payload: bytes, seq: int) -> None:
        assert self._codecs is not None
        if self._directory is None or session != self._session:
            self._session, self._directory = session, Directory(self._codecs)
        try:
            self._directory.learn(payload, seq)
        except DecodeError:
            # Shown as undecodable when its turn comes.
            return


def length_prefixed(block: Block) -> bytes:
    """The payloads, each behind its length as big-endian uint16: the format of exchanges' ITCH files."""
    parts = []
    for _, payload in block.payloads():
        parts += [len(payload).to_bytes(2, "big"), payload]
    return b"".join(parts)


def names_known(codecs: Codecs, names: Collection[str]) -> frozenset[str]:
    """Message names as the definitions spell them."""
    for name in names:
        if name.casefold() not in codecs.by_name:
            raise BadRequest(f"no message {name!r}; expected one of {', '.join(sorted(codecs.names))}")
    return frozenset(codecs.by_name[name.casefold()].name for name in names)


def items_wanted(reader: JournalReader, wanted: Wanted, messages: Messages) -> Iterator[Block | Gap]:
    """The items of a journal that are wanted, cut to the numbers wanted; `messages` learns from the rest."""
    for info in reader.sessions():
        if wanted.session not in ("", info.session):
            continue
        if info.damage is not None:
            raise JournalError(info.damage)
        at = info.first_seq
        end = info.next_seq if wanted.to_seq is None else min(info.next_seq, wanted.to_seq + 1)
        while at < end and (items := reader.read(Position(info.session, at), READ_BYTES)):
            for item in items:
                at = item.next_seq if isinstance(item, Block) else item.to_seq + 1
                inside = _inside(item, wanted.from_seq, end)
                if inside is not None:
                    yield inside
                elif isinstance(item, Block):
                    messages.learn(item)
                if at >= end:
                    break


def _inside(item: Block | Gap, from_seq: int, end: int) -> Block | Gap | None:
    """The part of an item within `from_seq` … `end - 1`."""
    if isinstance(item, Gap):
        first, last = max(item.from_seq, from_seq), min(item.to_seq, end - 1)
        return Gap(item.session, first, last) if first <= last else None
    if item.next_seq <= from_seq or item.first_seq >= end:
        return None
    inside = item.tail(from_seq)
    if inside.next_seq > end:
        size = len(inside.raw) - len(inside.tail(end).raw)
        inside = Block(
            inside.session, inside.first_seq, end - inside.first_seq, inside.received_ns, inside.raw[:size]
        )
    return inside
