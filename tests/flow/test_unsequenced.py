"""Unsequenced data of the upstream: passed on, without a number, marked as such."""

from pathlib import Path

from gateway.link import ServedSession, SoupServer
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings


async def test_unsequenced_data_arrives_marked_and_is_not_counted(tmp_path: Path) -> None:
    opening = Market(2, seed=1).opening()
    connections = []
    session = ServedSession("DAY1")
    async with SoupServer(session, on_connect=connections.append) as server:
        _, port = await server.listen("127.0.0.1", 0)
        async with (
            running(settings(tmp_path, feed_settings(port), heartbeat_s=0.1)) as gateway,
            reader(gateway) as whole,
            reader(gateway) as striped,
        ):
            await whole.stream("*")
            await whole.until_control("MLinkStreamCheckPt", state="Complete")
            await striped.stream("StockDirectory", delivery="every", stripeFilter="S")
            await striped.until_control("MLinkStreamCheckPt", state="Complete")
            session.append(opening[0])
            await whole.until_count(1)
            directory = next(each for each in opening if each[:1] == b"R")
            connections[0].send_unsequenced(directory)
            await whole.until_count(2)
            session.append(opening[1])
            await whole.until_count(3)
            proof = await whole.until_control("MLinkHeartbeat", timeout_s=5)
            while proof["positions"][0]["seqN"] < 2:
                await whole.read()
                proof = whole.control[-1]["message"]
            await striped.until_control("MLinkHeartbeat")

    sequenced, unsequenced, after = whole.data
    assert unsequenced["header"]["mTyp"] == "StockDirectory"
    assert unsequenced["header"]["unsequenced"] is True
    assert "seqN" not in unsequenced["header"]
    assert (sequenced["header"]["seqN"], after["header"]["seqN"]) == (1, 2)
    assert proof["positions"][0]["numMessagesSent"] == 2
    assert striped.data == [], "its ticker is in another stripe"
