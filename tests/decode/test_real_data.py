"""The compiled decoders and the independent one say the same about every real message there is."""

import json
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from gateway.decode import Codecs, Directory
from gateway.definitions import load_definitions
from tests.golden.reference_decoder import ITCH_NAMES, ReferenceDecoder, load_facts, read_messages

FILES = {"aapl-20200130-10001.itch": 10_001, "open-20191230-1000.itch": 1_000}


@pytest.mark.parametrize(("file", "count"), FILES.items())
def test_every_real_message_is_what_the_independent_decoder_says(
    itch_data: Path, file: str, count: int
) -> None:
    codecs = Codecs(load_definitions("itch50"))
    reference = ReferenceDecoder(load_facts("itch50"))
    seen = 0

    for payload in read_messages(itch_data / file):
        codec = codecs.by_id[payload[0]]
        assert codec is not None
        expected = reference.decode(payload)
        # As in a block: other bytes stand around the message.
        raw, start, end = b"\xff" * 7 + payload + b"\xff" * 5, 7, 7 + len(payload)
        written = codec.write(raw, start, end)
        seen += 1

        assert codec.name == ITCH_NAMES[chr(payload[0])]
        assert codec.decode(raw, start, end) == expected
        assert json.loads(f"{{{written}}}", parse_float=Decimal) == expected
        assert list(orjson.loads(f"{{{written}}}")) == list(expected)
        assert written.isascii()
        assert codec.encode(expected) == payload

    assert seen == count


def test_the_directory_of_real_data_gives_messages_without_a_stock_their_ticker(itch_data: Path) -> None:
    codecs = Codecs(load_definitions("itch50"))
    directory = Directory(codecs)
    without_stock = 0

    for seq, payload in enumerate(read_messages(itch_data / "aapl-20200130-10001.itch"), 1):
        codec = codecs.by_id[payload[0]]
        assert codec is not None
        directory.learn(payload, seq)
        if codec.added_ticker:
            locate = codec.locate(payload, 0)
            assert locate is not None
            text = codec.write_with_ticker(payload, 0, len(payload), f'"{directory.tickers[locate]}"')
            assert orjson.loads(f"{{{text}}}")["stock"] == "AAPL"
            without_stock += 1

    assert without_stock == 4083 + 849 + 6 + 7
    assert directory.ticker_at(13, 10_001) == "AAPL"
