"""A subscriber's connection from the outside, when something goes wrong on our side."""

import logging

import pytest

from gateway.mlink.close_codes import CloseCode
from gateway.mlink.session import SubscriberSession
from gateway.net.streams import Streams
from tests.fakes.raw_subscriber import TEXT, frame, raw_subscriber
from tests.flow.pipe import frame as request
from tests.net.test_server import serving


@pytest.mark.parametrize("where", [(SubscriberSession, "receive"), (Streams, "advance")])
async def test_a_bug_of_ours_is_not_told_as_a_normal_end(
    where: tuple[type, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who is told 1000 takes it for the end of all there was, and does not come back."""

    def buggy(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    async with serving() as server, raw_subscriber(server.port) as subscriber:
        assert await subscriber.upgraded() == 101
        monkeypatch.setattr(*where, buggy)
        await subscriber.send(frame(TEXT, request("MLinkSignalReady").encode()))
        code, reason = await subscriber.closed()

    assert code == CloseCode.INTERNAL
    assert "bug" not in reason
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR] == [
        "event=subscriber-failed peer=127.0.0.1"
    ]
