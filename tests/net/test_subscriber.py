"""What a subscriber is told when something is wrong on our side, or with the upstream."""

import asyncio
import logging
from pathlib import Path

import pytest

from gateway.mlink.close_codes import CloseCode
from gateway.mlink.session import SubscriberSession
from gateway.net.feed_values import FeedNotice, NoticeKind
from gateway.net.notices import Standing
from gateway.net.streams import Streams
from gateway.simulator.exchange import Exchange, ExchangeSettings
from tests.fakes.raw_subscriber import TEXT, frame, raw_subscriber
from tests.flow.pipe import feed_settings, free_port, health, reader, running, settings
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


async def test_who_comes_later_is_told_what_still_holds_of_a_feed(tmp_path: Path) -> None:
    """Without it a subscriber would sit in front of a silent stream and not know why."""
    port = free_port()
    async with running(settings(tmp_path, feed_settings(port))) as gateway:
        async with asyncio.timeout(10):
            while "connect" not in str((await health(gateway.port))[1]["why"]).casefold():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        async with reader(gateway) as late:
            await late.stream("*")
            down = await late.until_control("MLinkAdmin", event="FeedDown")
            async with Exchange(ExchangeSettings(port=port)):
                await late.until_control("MLinkAdmin", event="FeedUp")
                async with reader(gateway) as latest:
                    await latest.stream("*")
                    await latest.until_control("MLinkStreamCheckPt", state="Complete")
                    await latest.ask("MLinkSignalReady", signalID=1)

    assert down["src"] == "itch"
    assert "127.0.0.1" in down["detail"]
    assert [each["message"] for each in latest.control if each["message"].get("event") == "FeedDown"] == []


def test_what_holds_of_a_feed_is_what_nothing_has_ended() -> None:
    standing = Standing()
    paused, stale = FeedNotice(NoticeKind.JOURNAL_PAUSED, "no room"), FeedNotice(NoticeKind.STALE, "quiet")
    for kind in NoticeKind:
        standing.note("other", FeedNotice(kind, "all of them once"))
    standing.note("itch", paused)
    standing.note("itch", FeedNotice(NoticeKind.DOWN, "lost"))
    standing.note("itch", stale)
    standing.note("itch", FeedNotice(NoticeKind.UP, "back"))

    assert list(standing.of({"itch"})) == [("itch", paused), ("itch", stale)]
    standing.note("itch", FeedNotice(NoticeKind.JOURNAL_RESUMED, "well"))
    standing.note("itch", FeedNotice(NoticeKind.FRESH, "flows"))
    assert list(standing.of({"itch", "unknown"})) == []
