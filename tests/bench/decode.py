"""Messages per second through decoders and writers, beside nasdaq-protocols on the same AddOrders.

Theirs gets the same bytes by a file in its own dialect, which has no integer of 6 bytes: the
timestamp is one of 2 and one of 4 there, and the price stays an integer.
"""

import contextlib
import importlib.util
import io
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import orjson
from nasdaq_protocols.common.message import Generator, Parser

from gateway.decode import Codecs, MessageCodec
from gateway.definitions import load_definitions

COUNT = 20_000
REPEATS = 5
THEIR_XML = """<root><messages-root><message id="AddOrder" message-id="A" direction="outgoing"><fields>
<field name="stockLocate" type="uint_2_be"/><field name="trackingNumber" type="uint_2_be"/>
<field name="timestampHigh" type="uint_2_be"/><field name="timestampLow" type="uint_4_be"/>
<field name="orderReferenceNumber" type="uint_8_be"/><field name="side" type="char_ascii"/>
<field name="shares" type="uint_4_be"/><field name="stock" type="str_ascii_n" length="8"/>
<field name="price" type="uint_4_be"/></fields></message></messages-root></root>"""


def add_orders(codec: MessageCodec, prices: Sequence[int]) -> list[bytes]:
    """Orders of 500 tickers around the given prices (in 1/10,000), as a day brings them."""
    dice = random.Random(1)
    tickers = ["".join(dice.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)) for _ in range(500)]
    return [
        codec.encode(
            {
                "stockLocate": dice.randrange(1, 9000),
                "trackingNumber": dice.randrange(0, 16, 2),
                "timestamp": 34_200_000_000_000 + number * 1_000_003,
                "orderReferenceNumber": 1_000_000 + 7 * number,
                "side": dice.choice("BS"),
                "shares": dice.randrange(1, 1000),
                "stock": dice.choice(tickers),
                "price": f"{price // 10_000}.{price % 10_000:04d}",
            }
        )
        for number, price in enumerate(prices)
    ]


def their_module(folder: str) -> ModuleType:
    """What their generator makes of their file."""
    xml = Path(folder) / "bench.xml"
    xml.write_text(THEIR_XML, "utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        generator = Generator(Parser.parse(str(xml)), "itch", "bench", folder, "message_soup_app")
        (generated,) = generator.generate(extra_context={"record_type": "Record"})
    spec = importlib.util.spec_from_file_location("generated_bench", generated)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rate(work: Callable[[bytes], object], messages: Sequence[bytes]) -> float:
    """Messages per second, the best of some rounds: what disturbs a round only makes it slower."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        for message in messages:
            work(message)
        best = min(best, time.perf_counter() - began)
    return len(messages) / best


def rate_in_block(read: Callable[[bytes, int, int], object], messages: Sequence[bytes]) -> float:
    """The same for our functions, which read in place from the block that was received."""
    raw = b"".join((len(message) + 1).to_bytes(2, "big") + b"S" + message for message in messages)
    places = []
    at = 0
    for message in messages:
        places.append((at + 3, at + 3 + len(message)))
        at += 3 + len(message)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        for start, end in places:
            read(raw, start, end)
        best = min(best, time.perf_counter() - began)
    return len(messages) / best


def run() -> list[tuple[str, float, str]]:
    codecs = Codecs(load_definitions("itch50"))
    added, executed = codecs.by_name["addorder"], codecs.by_name["orderexecuted"]
    dice = random.Random(2)
    orders = add_orders(added, [dice.randrange(20_000, 40_000) * 100 for _ in range(COUNT)])
    unseen = add_orders(added, dice.sample(range(1, 1 << 31), 70_000))
    executions = [
        executed.encode({"stockLocate": number % 9000, "executedShares": 100, "matchNumber": number})
        for number in range(COUNT)
    ]
    view = added.writer(["stock", "price", "shares"])
    filter_fields = added.decode_fields(["stock", "price"])
    with tempfile.TemporaryDirectory() as folder:
        theirs = their_module(folder).Message

        def decode_there(message: bytes) -> object:
            return theirs.from_bytes(message)[1]

        def json_there(message: bytes) -> object:
            return json.dumps(theirs.from_bytes(message)[1].record.as_collection())

        def json_by_orjson(message: bytes) -> object:
            return orjson.dumps(added.decode(message, 0, len(message)), default=float)

        peer = "nasdaq-protocols 1.3.0"
        return [
            ("AddOrder to JSON, theirs", rate(json_there, orders[: COUNT // 4]), f"peer: {peer}, json.dumps"),
            (
                "AddOrder to objects, theirs",
                rate(decode_there, orders[: COUNT // 4]),
                f"{peer}, without JSON",
            ),
            ("AddOrder to JSON", rate_in_block(added.write, orders), "write()"),
            (
                "AddOrder to JSON, every price new",
                rate_in_block(added.write, unseen),
                "write(), no help by caches",
            ),
            ("OrderExecuted to JSON", rate_in_block(executed.write, executions), "write()"),
            ("AddOrder to a view of 3 fields", rate_in_block(view, orders), "writer()"),
            ("AddOrder to dict", rate_in_block(added.decode, orders), "decode()"),
            ("AddOrder, 2 fields for a filter", rate_in_block(filter_fields, orders), "decode_fields()"),
            ("AddOrder to dict to JSON", rate(json_by_orjson, orders), "decode() and orjson, for comparison"),
            ("AddOrder from values", rate(lambda values: added.encode(VALUES), orders), "encode()"),
        ]


VALUES = {"stockLocate": 13, "timestamp": 34_200_000_000_000, "side": "B", "shares": 100, "stock": "AAPL"}
