"""A whole gateway with the server of nasdaq-protocols as its upstream, a real file, and lines that break.

Their server answers a login with left-justified fields, sends FIN right behind its Z and resumes nothing by
itself: what is asked for is all it is told.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nasdaq_protocols import soup as theirs

from tests.flow.pipe import feed_settings, health, reader, running, settings
from tests.golden.reference_decoder import ITCH_NAMES, ReferenceDecoder, load_facts, read_messages

FILE = "aapl-20200130-10001.itch"
SESSION = "TODAY01"
# Messages that each connection gets before its line breaks; the last one gets the rest, and Z.
BREAKS = (0, 1, 137, 1_500, 3, 2_500)


class Upstream:
    """What all of their sessions share: the messages, where each login began, how each line ends."""

    def __init__(self, messages: list[bytes]) -> None:
        self.messages = messages
        self.asked: list[tuple[str, int]] = []
        self.sessions: list[TheirServer] = []


class TheirServer(theirs.SoupServerSession, session_type="server"):
    """Their server: sends from where it is asked; its line breaks as it is told, now and then mid-packet."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self.upstream = upstream

    async def on_login(self, msg: theirs.LoginRequest) -> theirs.LoginAccepted | theirs.LoginRejected:
        if msg.session not in ("", SESSION):
            return theirs.LoginRejected(theirs.LoginRejectReason.SESSION_NOT_AVAILABLE)
        number = len(self.upstream.asked)
        first = int(msg.sequence)
        self.upstream.asked.append((msg.session, first))
        asyncio.get_running_loop().call_soon(self.send_from, first, number)
        return theirs.LoginAccepted(SESSION, first)

    def send_from(self, first: int, number: int) -> None:
        breaks = BREAKS[number] if number < len(BREAKS) else None
        rest = self.upstream.messages[first - 1 :]
        for message in rest[:breaks]:
            self.send_seq_msg(message)
        if breaks is None:
            self.end_session()
            return
        if number % 2:
            # The first bytes of the next packet still arrive.
            self._transport.write(theirs.SequencedData(rest[breaks]).to_bytes()[1][:9])
        self.initiate_close()

    async def on_unsequenced(self, msg: theirs.UnSequencedData) -> None:
        raise AssertionError("the gateway sends none")


@asynccontextmanager
async def their_server(messages: list[bytes]) -> AsyncIterator[tuple[int, Upstream]]:
    upstream = Upstream(messages)

    def made() -> TheirServer:
        session = TheirServer(upstream)
        upstream.sessions.append(session)
        return session

    server = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], upstream
    finally:
        server.close()
        for session in upstream.sessions:
            # Their close is a task of its own that tells nobody of its end.
            while not session.is_closed():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


@pytest.mark.one_loop
async def test_a_real_file_from_their_server_arrives_whole_over_lines_that_break(
    itch_data: Path, tmp_path: Path
) -> None:
    messages = list(read_messages(itch_data / FILE))
    async with their_server(messages) as (port, upstream):
        quick = feed_settings(port, backoff_first_s=0.01, backoff_max_s=0.05)
        async with running(settings(tmp_path, quick)) as gateway, reader(gateway) as whole:
            await whole.stream("*", resume={"ses": SESSION, "seqN": 1})
            if not await accepted(whole):
                await whole.stream("*")
            await whole.until_count(len(messages))
            _, told = await health(gateway.port)

    expected = ReferenceDecoder(load_facts("itch50"))
    assert whole.numbers == list(range(1, len(messages) + 1))
    assert {value["header"]["ses"] for value in whole.data} == {SESSION}
    for value, message in zip(whole.data, messages, strict=True):
        assert value["header"]["mTyp"] == ITCH_NAMES[chr(message[0])]
        body = expected.decode(message)
        assert {name: value["message"][name] for name in body} == body
    firsts = [first for _, first in upstream.asked[: len(BREAKS) + 1]]
    assert firsts == [1 + sum(BREAKS[:at]) for at in range(len(BREAKS) + 1)], "exactly the next number"
    feed = told["feeds"]["itch"]
    assert (feed["gaps"], feed["doubles"]) == (0, 0)
    assert json.dumps(upstream.asked[1]) == json.dumps([SESSION, 1])


async def accepted(whole) -> bool:
    """Whether the stream runs from the session's start; before the first message there is none to name."""
    ack = await whole.until_control("MLinkStreamAck")
    return ack["result"] == "OK"
