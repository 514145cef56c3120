"""A subscriber to everything gets every number once, in order, whatever the upstream does.

The whole pipe: exchange with faults, feed, journal, hub, WebSocket. What can't be had is a
named gap in the stream at its place, and a new session is told before its first message.
"""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import Faults
from gateway.simulator.market import Market
from tests.flow.pipe import Reader, feed_settings, free_port, reader, running, settings
from tests.flow.test_faults_upstream import SCHEDULES, parts_of, random_faults

PLACES = {
    "before login": [Faults(drop_on_connect=True)],
    "login not answered": [Faults(ignore_login=True)],
    "instead of accepted": [Faults(drop_before_accepted=True)],
    "inside accepted": [Faults(cut_inside_accepted=True)],
    "right after accepted": [Faults(drop_after=0)],
    "between messages": [Faults(drop_after=7), Faults(drop_after=300)],
    "inside a message": [Faults(drop_after=n, cut_inside_packet=True) for n in (0, 1, 250)],
    "silence": [Faults(silent_after=100)],
    "garbage": [Faults(garbage_after=100)],
    "after Z": [Faults(roll_session_after=500)],
    "with Z": [Faults(roll_session_after=500, drop_at_end=True)],
    "roll while disconnected": [
        Faults(roll_session_after=500, roll_silently=True),
        Faults(drop_on_connect=True),
    ],
    "rewind": [Faults(drop_after=200), Faults(rewind=150)],
    "skip": [Faults(drop_after=200), Faults(skip=9)],
}


class Ledger:
    """What one reader was told, in its order: messages, session changes, gaps."""

    def __init__(self, whole: Reader) -> None:
        self.whole = whole

    def sessions(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for value in self.whole.data:
            found.setdefault(value["header"]["ses"], []).append(value["header"]["seqN"])
        return found

    def told(self, event: str) -> list[dict[str, Any]]:
        return [each["message"] for each in self.whole.control if each["message"].get("event") == event]


async def everything(
    tmp_path: Path, messages: list[bytes], faults: list[Faults]
) -> tuple[Ledger, list[list[bytes]]]:
    """Play `messages` with `faults` until a subscriber has all that can be had."""
    parts = [part for part in parts_of(faults, messages) if part]
    port = free_port()
    quick = feed_settings(port, heartbeat_s=0.1, silence_s=0.3, login_timeout_s=0.3)
    async with (
        running(settings(tmp_path, quick)) as gateway,
        reader(gateway) as whole,
    ):
        await whole.stream("*")
        await whole.until_control("MLinkStreamCheckPt", state="Complete")
        ledger = Ledger(whole)
        # Only now does the exchange begin: nothing is missed before the subscriber listens.
        of_exchange = ExchangeSettings(port=port, faults=faults, heartbeat_s=0.1, close_timeout_s=0.2)
        async with Exchange(of_exchange, messages), asyncio.timeout(30):
            while not _has_all(ledger, parts):
                await whole.read()
    return ledger, parts


def _has_all(ledger: Ledger, parts: list[list[bytes]]) -> bool:
    sessions = ledger.sessions()
    return len(sessions) >= len(parts) and list(sessions.values())[-1][-1] >= len(parts[-1])


def check(ledger: Ledger, parts: list[list[bytes]], label: str) -> None:
    gaps = ledger.told("SequenceGap")
    sessions = ledger.sessions()
    assert len(sessions) == len(parts), label
    for (session, numbers), part in zip(sessions.items(), parts, strict=True):
        missing = {
            seq for gap in gaps if gap["ses"] == session for seq in range(gap["fromSeqN"], gap["toSeqN"] + 1)
        }
        assert numbers == [seq for seq in range(1, len(part) + 1) if seq not in missing], label
    changed = [each["ses"] for each in ledger.told("SessionChange")]
    assert changed == list(sessions)[1:], label


@pytest.mark.parametrize("place", PLACES)
async def test_the_upstream_drops_at_every_kind_of_place(tmp_path: Path, place: str) -> None:
    messages = Market(20, seed=7).take(1_000)

    ledger, parts = await everything(tmp_path, messages, PLACES[place])

    check(ledger, parts, place)
    gaps = ledger.told("SequenceGap")
    assert [(gap["fromSeqN"], gap["toSeqN"]) for gap in gaps] == ([(201, 209)] if place == "skip" else [])


@pytest.mark.one_loop
@pytest.mark.parametrize("seed", range(SCHEDULES))
async def test_a_subscriber_gets_everything_through_random_faults(tmp_path: Path, seed: int) -> None:
    faults = random_faults(random.Random(seed))

    ledger, parts = await everything(tmp_path, Market(20, seed).take(2_000), faults)

    check(ledger, parts, f"seed {seed}: {faults}")
