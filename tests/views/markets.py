"""Messages and blocks for the tests of views: by hand, by hypothesis, or from the simulated market."""

from collections.abc import Iterator, Sequence
from struct import pack
from typing import Any

from hypothesis import strategies as st

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.values import Block
from gateway.views import Engine, ViewedCodecs

ITCH = Codecs(load_definitions("itch50"))
RECEIVED_NS = 1_700_000_000_000_000_000
TICKERS = {1: b"AAPL    ", 2: b"MSFT    "}


def message(name: str, /, locate: int = 1, time_ns: int = 34_200_000_000_000, **values: Any) -> bytes:
    return ITCH.by_name[name.casefold()].encode({"stockLocate": locate, "timestamp": time_ns, **values})


def add(
    reference: int, side: str, shares: int, price: int, locate: int = 1, time_ns: int = 34_200_000_000_000
) -> bytes:
    head = pack(">cHHHI", b"A", locate, 0, time_ns >> 32, time_ns & 0xFFFFFFFF)
    return head + pack(">QcI8sI", reference, side.encode(), shares, TICKERS[locate], price)


def block_of(messages: Sequence[bytes], first_seq: int = 1, received_ns: int = RECEIVED_NS) -> Block:
    raw = b"".join((len(each) + 1).to_bytes(2, "big") + b"S" + each for each in messages)
    return Block("S1", first_seq, len(messages), received_ns, raw)


def blocks_of(messages: Sequence[bytes], size: int = 50) -> Iterator[Block]:
    for at in range(0, len(messages), size):
        yield block_of(messages[at : at + size], at + 1)


def engine(*views: str) -> Engine:
    """An engine whose every message somebody wants."""
    made = Engine(ViewedCodecs(ITCH, views))
    made.want(made.views)
    return made


def told(engine: Engine, *messages: bytes, first_seq: int = 1) -> list[tuple[int, str, dict[str, Any]]]:
    """(number, view, fields) of all that a block caused."""
    return [decoded(engine, seq, payload) for seq, payload in engine.take(block_of(messages, first_seq))]


def decoded(engine: Engine, seq: int, payload: bytes) -> tuple[int, str, dict[str, Any]]:
    codec = next(each for each in engine.codecs.views if each.id_byte == payload[0])
    return seq, codec.name, codec.decode(payload, 0, len(payload))


# Few references, prices and matches, so that they meet; and now and then what a real day could not hold.
_LOCATES = st.sampled_from((1, 1, 1, 2))
_REFERENCES = st.integers(1, 12)
_PRICES = st.integers(1, 6).map(lambda cents: cents * 100)
_SHARES = st.sampled_from((0, 1, 2, 5, 100, 100, 300, 2**32 - 1))
_MATCHES = st.integers(1, 8)
_SIDES = st.sampled_from((b"B", b"S"))


def _bytes(kind: bytes, layout: str) -> Any:
    def made(fields: tuple[Any, ...]) -> bytes:
        locate, time_ns, *rest = fields
        stock = TICKERS[locate]
        values = [stock if each == "stock" else each for each in rest]
        head = pack(">cHHHI", kind, locate, 0, time_ns >> 32, time_ns & 0xFFFFFFFF)
        return head + pack(">" + layout, *values)

    return made


def _messages(kind: bytes, layout: str, *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    times = st.integers(0, 86_399_999_999_999)
    return st.tuples(_LOCATES, times, *fields).map(_bytes(kind, layout))


_STOCK = st.just("stock")
_MPID = st.just(b"GSCO")
_ADD = _messages(b"A", "QcI8sI", _REFERENCES, _SIDES, _SHARES, _STOCK, _PRICES)
ANY_MESSAGE: st.SearchStrategy[bytes] = st.one_of(
    _ADD,
    _ADD,
    _messages(b"F", "QcI8sI4s", _REFERENCES, _SIDES, _SHARES, _STOCK, _PRICES, _MPID),
    _messages(b"E", "QIQ", _REFERENCES, _SHARES, _MATCHES),
    _messages(b"C", "QIQcI", _REFERENCES, _SHARES, _MATCHES, st.sampled_from((b"Y", b"N")), _PRICES),
    _messages(b"X", "QI", _REFERENCES, _SHARES),
    _messages(b"D", "Q", _REFERENCES),
    _messages(b"U", "QQII", _REFERENCES, _REFERENCES, _SHARES, _PRICES),
    _messages(b"P", "QcI8sIQ", st.just(0), st.just(b"B"), _SHARES, _STOCK, _PRICES, _MATCHES),
    _messages(b"Q", "Q8sIQc", _SHARES, _STOCK, _PRICES, _MATCHES, st.sampled_from((b"O", b"C", b"?"))),
    _messages(b"B", "Q", _MATCHES),
    _messages(b"H", "8scc4s", _STOCK, st.sampled_from((b"H", b"T", b"Q")), st.just(b" "), st.just(b"    ")),
    _messages(b"S", "c", st.sampled_from((b"O", b"Q", b"M"))),
)
