"""The bytes on the socket are those that clients written for MLink send and expect."""

import re
from pathlib import Path

from websockets.asyncio.client import connect

from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings

# As the vendor's sample client writes it: text, `J` and eleven digits, a request sent at once.
REQUEST = (
    '\r\nJ00000000165{"header":{"mTyp":"MLinkStream","sTim":"2026-01-02 03:04:05.678901",'
    '"encT":"2026-01-02 03:04:05"},"message":{"msgName":"AddOrder","queryLabel":"","activeLatency":1}}'
)


async def test_a_client_written_for_mlink_changes_only_address_and_key(tmp_path: Path) -> None:
    assert len(REQUEST) == 14 + 165
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        connect(
            f"ws://127.0.0.1:{gateway.port}/mlink/jsonf",
            additional_headers={"Authorization": "Bearer some-key"},
            max_size=65_535,
        ) as socket,
    ):
        # Without waiting for the server's greeting.
        await socket.send(REQUEST)
        answers: list[bytes] = []
        while len(answers) < 5:
            message = await socket.recv()
            assert isinstance(message, bytes), "text in, binary out"
            answers += re.findall(rb"\r\nJ\d{11}\{[^\r\n]*\}", message)
        exchange.extend(Market(3, seed=1).take(50))
        first = await socket.recv()
        assert isinstance(first, bytes)

    shapes = [
        (rb'"mTyp":"MLinkAdmin"', rb'"state":"LoggedOn"'),
        (rb'"mTyp":"MLinkStreamAck"', rb'"msgName":"AddOrder","result":"OK"'),
        (rb'"mTyp":"MLinkStreamCheckPt"', rb'"state":"Begin"'),
        (rb'"mTyp":"MLinkStreamCheckPt"', rb'"state":"Active"'),
        (rb'"mTyp":"MLinkStreamCheckPt"', rb'"state":"Complete"'),
    ]
    for answer, parts in zip(answers, shapes, strict=True):
        assert re.fullmatch(
            rb'\r\nJ00000(\d{6})\{"header":\{"mTyp":"\w+",'
            rb'"sTim":"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}","encT":"[^"]+"\},"message":\{.*\}\}',
            answer,
        )
        assert int(answer[8:14]) == len(answer) - 14
        assert all(part in answer for part in parts)
    assert re.match(
        rb'\r\nJ00000\d{6}\{"header":\{"mTyp":"AddOrder","src":"itch","ses":"0000000001","seqN":\d+,'
        rb'"sTim":"[^"]+","encT":"[^"]+"\},"message":\{"stockLocate":\d+,"trackingNumber":0,"timestamp":\d+,'
        rb'"orderReferenceNumber":\d+,"side":"[BS]","shares":\d+,"stock":"\w+","price":\d+\.\d+\}\}\r\nJ',
        first,
    )


async def test_no_websocket_message_is_larger_than_the_clients_buffers(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        # The library closes the connection itself on anything larger.
        reader(gateway) as whole,
    ):
        whole.socket.protocol.max_message_size = 65_535
        await whole.stream("*")
        await whole.until_control("MLinkStreamCheckPt", state="Complete")
        messages = Market(20, seed=2).take(5_000)
        exchange.extend(messages)
        await whole.until_count(len(messages))

    assert whole.numbers == list(range(1, len(messages) + 1))
