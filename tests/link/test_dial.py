"""The link of a feed: what its callback is given, and how each end and each bug is told.

The server's side is written byte by byte, so that it can do what a good server would not.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.errors import LocalProtocolError, RemoteProtocolError, UpstreamLost
from gateway.link import Closed, CloseReason, LinkClosed, dial
from gateway.soup import Accepted, ClientEvent, ClientSession, ClientState, EndOfSession, Login, Run
from gateway.values import Position

ACCEPTED = b"\x00\x1fA   TODAY01                   1"
LOGIN_SIZE = 49

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[int]:
    """A server that runs `script` once a login has come; gives its port."""
    async with asyncio.TaskGroup() as tasks:

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readexactly(LOGIN_SIZE)
                await script(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(
            lambda reader, writer: tasks.create_task(run(reader, writer)), "127.0.0.1", 0
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()


def script_of(data: bytes, *, then_close: bool = False) -> Script:
    """Send `data`, then close at once, or when the client does."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if not then_close:
            await reader.read()

    return script


def new_session(**settings: float) -> ClientSession:
    return ClientSession(Login("me", "pw"), Position("", 1), asyncio.get_running_loop().time(), **settings)


class Recorder:
    """Keeps all events. The honest callback."""

    def __init__(self) -> None:
        self.events: list[ClientEvent] = []
        self.times_ns: list[int] = []
        self.changed = asyncio.Event()

    def __call__(self, events: Iterator[ClientEvent], received_ns: int) -> None:
        self.times_ns.append(received_ns)
        self.changed.set()
        for event in events:
            self.events.append(event)


async def test_events_come_with_the_wall_clock_and_a_run_of_many_messages_as_one() -> None:
    recorder = Recorder()
    before_ns = time.time_ns()
    async with serving(script_of(ACCEPTED + b"\x00\x02Sa" * 1000 + b"\x00\x01Z")) as port:
        link = await dial("127.0.0.1", port, new_session(), recorder)

        assert await link.closed() == Closed(CloseReason.END_OF_SESSION)

    runs = [event for event in recorder.events if isinstance(event, Run)]
    assert recorder.events[0] == Accepted(Position("TODAY01", 1))
    assert recorder.events[-1] == EndOfSession()
    assert sum(run.count for run in runs) == 1000
    assert len(runs) <= len(recorder.times_ns)
    assert before_ns <= min(recorder.times_ns) <= max(recorder.times_ns) <= time.time_ns()
    assert link.session.position == Position("TODAY01", 1001)


async def test_an_end_of_session_followed_by_fin_at_once_is_an_end_of_session() -> None:
    recorder = Recorder()
    async with serving(script_of(ACCEPTED + b"\x00\x02Sa\x00\x01Z", then_close=True)) as port:
        link = await dial("127.0.0.1", port, new_session(), recorder)

        assert await link.closed() == Closed(CloseReason.END_OF_SESSION)

    assert recorder.events[-2:] == [Run("TODAY01", 1, 1, b"\x00\x02Sa"), EndOfSession()]


async def test_rubbish_behind_the_end_of_session_does_not_change_why_it_ended() -> None:
    async with serving(script_of(ACCEPTED + b"\x00\x01Z" + b"\x00\x00")) as port:
        link = await dial("127.0.0.1", port, new_session(), Recorder())

        assert await link.closed() == Closed(CloseReason.END_OF_SESSION)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(b"A", CloseReason.NOT_AUTHORIZED), (b"S", CloseReason.SESSION_NOT_AVAILABLE)],
)
async def test_a_rejected_login_is_told_with_its_reason(reason: bytes, expected: CloseReason) -> None:
    async with serving(script_of(b"\x00\x02J" + reason)) as port:
        link = await dial("127.0.0.1", port, new_session(), Recorder())

        assert await link.closed() == Closed(expected)


async def test_a_reset_is_a_lost_connection() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        await writer.drain()
        # Linger of 0: close() sends RST.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with serving(reset) as port:
        link = await dial("127.0.0.1", port, new_session(), Recorder())

        assert (await link.closed()).reason is CloseReason.TCP_LOST


async def test_what_the_callback_raises_ends_the_link_and_is_raised_again() -> None:
    def on_events(events: Iterator[ClientEvent], received_ns: int) -> None:
        raise OSError("disk full")

    async with serving(script_of(ACCEPTED)) as port:
        link = await dial("127.0.0.1", port, new_session(), on_events)

        with pytest.raises(OSError, match="disk full"):
            await link.closed()
        assert link.end == Closed(CloseReason.ABORTED, "OSError: disk full")


async def test_a_callback_s_own_protocol_error_is_not_taken_for_the_server_s() -> None:
    def on_events(events: Iterator[ClientEvent], received_ns: int) -> None:
        raise RemoteProtocolError("from another wire")

    async with serving(script_of(ACCEPTED)) as port:
        link = await dial("127.0.0.1", port, new_session(), on_events)

        with pytest.raises(RemoteProtocolError, match="from another wire"):
            await link.closed()


async def test_a_callback_that_leaves_events_has_a_bug() -> None:
    async with serving(script_of(ACCEPTED)) as port:
        link = await dial("127.0.0.1", port, new_session(), lambda events, received_ns: None)

        with pytest.raises(LocalProtocolError, match="on_events left Accepted"):
            await link.closed()


async def test_a_callback_that_swallows_the_server_s_error_does_not_hide_it() -> None:
    def on_events(events: Iterator[ClientEvent], received_ns: int) -> None:
        with suppress(RemoteProtocolError):
            list(events)

    async with serving(script_of(ACCEPTED + b"\x00\x01Q")) as port:
        link = await dial("127.0.0.1", port, new_session(), on_events)

        assert await link.closed() == Closed(CloseReason.BROKEN_PACKET, "unknown packet type b'Q'")


async def test_reading_can_be_paused_and_nothing_is_lost_or_taken_for_silence() -> None:
    recorder = Recorder()
    go_on, sent = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        await go_on.wait()
        writer.write(b"\x00\x02Sa" * 10)
        await writer.drain()
        # Six of our heartbeats pass, three times the silence we would allow.
        await reader.readexactly(18)
        sent.set()
        await reader.read()

    async with serving(script) as port:
        link = await dial("127.0.0.1", port, new_session(heartbeat_s=0.02, silence_s=0.04), recorder)
        await recorder.changed.wait()
        link.pause_reading()
        link.pause_reading()
        go_on.set()
        await sent.wait()

        assert recorder.events == [Accepted(Position("TODAY01", 1))]
        recorder.changed.clear()
        link.resume_reading()
        link.resume_reading()
        await recorder.changed.wait()
        assert recorder.events[1:] == [Run("TODAY01", 1, 10, b"\x00\x02Sa" * 10)]
        assert (await link.closed()).reason is CloseReason.HEARTBEAT_LOST


async def test_an_idle_link_is_kept_alive_by_one_heartbeat_after_another() -> None:
    heard: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        for _ in range(5):
            heard.append(await reader.readexactly(3))
            writer.write(b"\x00\x01H")
        writer.write(b"\x00\x01Z")
        await reader.read()

    async with serving(script) as port:
        link = await dial("127.0.0.1", port, new_session(heartbeat_s=0.02, silence_s=0.5), Recorder())

        assert await link.closed() == Closed(CloseReason.END_OF_SESSION)

    assert heard == [b"\x00\x01R"] * 5


async def test_a_loop_that_was_stuck_does_not_take_the_server_for_dead() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED + b"\x00\x02Sa")
        await reader.readexactly(3)
        await reader.readexactly(3)
        writer.write(b"\x00\x01Z")
        await reader.read()

    recorder = Recorder()
    async with serving(script) as port:
        link = await dial("127.0.0.1", port, new_session(heartbeat_s=0.1, silence_s=0.5), recorder)
        await recorder.changed.wait()
        time.sleep(0.9)  # noqa: ASYNC251 (blocking the loop is what is tested)

        assert await link.closed() == Closed(CloseReason.END_OF_SESSION)


async def test_after_a_logout_what_is_under_way_still_comes() -> None:
    recorder = Recorder()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        assert await reader.readexactly(3) == b"\x00\x01O"
        writer.write(b"\x00\x02Sa")

    async with serving(script) as port:
        link = await dial("127.0.0.1", port, new_session(), recorder)
        await recorder.changed.wait()
        link.logout()

        assert await link.closed() == Closed(CloseReason.LOGOUT)

    assert recorder.events[-1] == Run("TODAY01", 1, 1, b"\x00\x02Sa")


async def test_a_server_that_ignores_our_logout_is_cut_off() -> None:
    recorder = Recorder()
    async with serving(script_of(ACCEPTED)) as port:
        link = await dial("127.0.0.1", port, new_session(logout_timeout_s=0.05), recorder)
        await recorder.changed.wait()
        link.logout()

        assert await link.closed() == Closed(
            CloseReason.LOGOUT, "connection still open 0.05 s after the logout"
        )


async def test_an_aborted_link_gives_no_more_events() -> None:
    recorder = Recorder()
    async with serving(script_of(ACCEPTED)) as port:
        link = await dial("127.0.0.1", port, new_session(), recorder)
        await recorder.changed.wait()
        link.abort("not wanted any more")

        assert await link.closed() == Closed(CloseReason.ABORTED, "not wanted any more")
        with pytest.raises(LinkClosed, match="closed by us: not wanted any more"):
            await link.drain()
        link.pause_reading()
        link.resume_reading()


async def test_a_server_that_does_not_read_is_dropped_when_too_much_waits() -> None:
    recorder = Recorder()
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        writer.transport.pause_reading()
        await release.wait()

    async with serving(script) as port:
        link = await dial("127.0.0.1", port, new_session(), recorder, send_buffer_bytes_max=1_000_000)
        await recorder.changed.wait()
        while link.end is None:
            link.send_unsequenced(b"x" * 60_000)
        closed = await link.closed()
        release.set()

    assert closed.reason is CloseReason.STALLED
    assert "bytes wait, the limit is 1000000" in closed.detail


async def test_a_server_that_takes_nothing_for_too_long_is_dropped() -> None:
    recorder = Recorder()
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        writer.transport.pause_reading()
        await release.wait()

    async with serving(script) as port:
        link = await dial(
            "127.0.0.1",
            port,
            new_session(),
            recorder,
            stall_timeout_s=0.05,
            send_buffer_bytes_max=100_000_000,
        )
        await recorder.changed.wait()
        for _ in range(300):
            link.send_unsequenced(b"x" * 60_000)
        with pytest.raises(LinkClosed, match="other side does not read"):
            await link.drain()
        closed = await link.closed()
        release.set()

    assert closed == Closed(CloseReason.STALLED, "nothing read for 0.05 s")


@pytest.mark.parametrize("nodelay", [True, False])
async def test_small_packets_are_sent_at_once_unless_told_otherwise(nodelay: bool) -> None:
    async with serving(script_of(ACCEPTED)) as port:
        link = await dial(
            "127.0.0.1",
            port,
            new_session(),
            Recorder(),
            nodelay=nodelay,
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        )
        sock = link.get_extra_info("socket")

        assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is nodelay
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        link.abort()
        await link.gone()


async def test_a_link_knows_its_peer() -> None:
    async with serving(script_of(ACCEPTED)) as port:
        link = await dial("127.0.0.1", port, new_session(), Recorder())

        assert link.peer == f"127.0.0.1:{port}"
        assert link.session.state in (ClientState.LOGGING_IN, ClientState.STREAMING)
        link.abort()
        await link.gone()


async def test_a_name_that_does_not_exist_is_a_lost_upstream() -> None:
    with pytest.raises(UpstreamLost, match=r"no connection to nowhere\.invalid:1: "):
        await dial("nowhere.invalid", 1, new_session(), Recorder())
