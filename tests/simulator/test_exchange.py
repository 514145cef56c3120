"""The simulated exchange over real sockets: what clients are sent, rightly and wrongly."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.errors import ConfigError, LoginRejected
from gateway.link import Closed, CloseReason, LinkClosed, SoupClient, connect
from gateway.simulator.exchange import Exchange, ExchangeSettings, next_session_name
from gateway.simulator.faults import GARBAGE, Faults
from gateway.simulator.player import by_rate

DAY = [b"message %d" % number for number in range(1, 101)]
LOGIN = b"\x00\x2fL" + b"joe   secret              " + b"1".rjust(20)
ACCEPTED = b"\x00\x1fA0000000001" + b"1".rjust(20)


def exchange_of(faults: Faults | list[Faults] = Faults(), **settings: object) -> Exchange:  # noqa: B008
    return Exchange(ExchangeSettings(faults=faults, **settings), DAY)  # type: ignore[arg-type]


def client_of(exchange: Exchange, session: str = "", sequence: int = 1, **more: object) -> object:
    login = {"user": "joe", "password": "secret", **more}
    return connect(exchange.host, exchange.port, session=session, sequence=sequence, **login)


async def taken(client: SoupClient, count: int = 10**9) -> tuple[list[int], list[bytes]]:
    """Numbers and payloads of the next `count` messages, or of all until the connection ends."""
    numbers: list[int] = []
    payloads: list[bytes] = []
    with suppress(LinkClosed):
        while len(numbers) < count:
            message = await client.receive()
            numbers.append(message.sequence_number)
            payloads.append(message.payload)
    return numbers, payloads


async def all_from(exchange: Exchange, sequence: int = 1, session: str = "") -> tuple[list[int], Closed]:
    """What a client gets until its connection ends, and why it ended."""
    async with client_of(exchange, session, sequence) as client:
        numbers, payloads = await taken(client)
        if session in ("", "0000000001"):
            assert payloads == [DAY[number - 1] for number in numbers]
        assert client.closed is not None
        return numbers, client.closed


async def test_a_day_is_played_to_its_end_to_several_clients_at_once() -> None:
    async with exchange_of() as exchange:
        clients = [await client_of(exchange) for _ in range(3)]
        exchange.end()
        stories = await asyncio.gather(*(taken(client) for client in clients))
        await exchange.finished()

        assert stories == [(list(range(1, 101)), DAY)] * 3
        assert [client.closed.reason for client in clients] == [CloseReason.END_OF_SESSION] * 3
        assert exchange.played == 100
        with pytest.raises(LoginRejected) as rejected:
            await client_of(exchange)
        assert rejected.value.reason == "S"


async def test_the_asked_session_and_number_are_honoured() -> None:
    async with exchange_of(session="TODAY01") as exchange:
        await exchange.all_played()
        async with client_of(exchange, "TODAY01", 98) as client:
            assert await taken(client, 3) == ([98, 99, 100], DAY[97:])
            assert client.position.session == "TODAY01"
        async with client_of(exchange, "", 101) as client:
            exchange.extend([b"new"])
            assert await taken(client, 1) == ([101], [b"new"])

        for session, sequence in (("OTHER", 1), ("", 103)):
            with pytest.raises(LoginRejected) as rejected:
                await client_of(exchange, session, sequence)
            assert rejected.value.reason == "S"


async def test_an_address_that_is_taken_or_wrong_is_the_operators_error() -> None:
    async with Exchange() as exchange:
        with pytest.raises(
            ConfigError, match=rf"can't listen on 127.0.0.1:{exchange.port}: Address already in use"
        ):
            await exchange_of(port=exchange.port).__aenter__()
    with pytest.raises(ConfigError, match=r"can't listen on no\.such\.host\.invalid:0"):
        await exchange_of(host="no.such.host.invalid").__aenter__()


@pytest.mark.parametrize("name", ["", "ELEVENCHARS", "a b", "ÄÖ"])
def test_a_session_name_that_can_not_be_says_why(name: str) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 10 letters and digits"):
        ExchangeSettings(session=name)


async def test_who_is_not_known_is_rejected_and_case_does_not_matter() -> None:
    async with exchange_of(user="Joe", password="SECRET") as exchange:
        async with client_of(exchange) as client:
            assert (await taken(client, 1))[0] == [1]
        with pytest.raises(LoginRejected) as rejected:
            await client_of(exchange, password="wrong")
        assert rejected.value.reason == "A"


async def test_the_exchange_listens_on_ipv6_too() -> None:
    async with exchange_of(host="::1") as exchange, client_of(exchange) as client:
        assert exchange.host == "::1"
        assert (await taken(client, 1))[0] == [1]


async def test_every_byte_of_a_short_session_is_as_specified() -> None:
    async with Exchange(ExchangeSettings(end=True), [b"one", b"second"]) as exchange:
        reader, writer = await asyncio.open_connection(exchange.host, exchange.port)
        writer.write(LOGIN)
        got = await reader.readexactly(len(ACCEPTED) + 6 + 9 + 3)
        writer.close()
        await writer.wait_closed()

    assert got == ACCEPTED + b"\x00\x04Sone" + b"\x00\x07Ssecond" + b"\x00\x01Z"


async def test_history_beyond_its_limit_is_rejected_with_s() -> None:
    big = [bytes(50_000) for _ in range(40)]
    async with Exchange(ExchangeSettings(history_bytes_max=500_000)) as exchange:
        exchange.extend(big[:20])
        for payload in big[20:]:
            exchange.extend([payload])
        oldest = exchange.session.oldest_seq

        assert oldest > 20
        async with client_of(exchange, sequence=oldest) as client:
            assert (await taken(client, 1))[0] == [oldest]
        with pytest.raises(LoginRejected):
            await client_of(exchange, sequence=oldest - 1)


async def test_played_at_once_a_day_larger_than_the_history_waits_for_the_slowest_client() -> None:
    day = [b"%05d" % number + bytes(1_000) for number in range(20_000)]
    settings = ExchangeSettings(history_bytes_max=3_000_000, end=True)
    async with Exchange(settings, day) as exchange, client_of(exchange) as client:
        payloads = []
        for _ in range(3_000):
            payloads.append((await client.receive()).payload)
            await asyncio.sleep(0)
        assert exchange.played < 20_000
        payloads += (await taken(client))[1]

    assert payloads == day


async def test_a_pace_plays_as_time_goes_and_live_clients_get_it_all() -> None:
    settings = ExchangeSettings(end=True)
    async with Exchange(settings, DAY, by_rate(2_000)) as exchange, client_of(exchange) as client:
        numbers, _ = await taken(client)

    assert numbers == list(range(1, 101))


async def test_dropped_after_so_many_messages_once() -> None:
    async with exchange_of(Faults(drop_after=30), end=True) as exchange:
        first = await all_from(exchange)
        second = await all_from(exchange, 31, "0000000001")

    assert first == (list(range(1, 31)), Closed(CloseReason.TCP_LOST, "closed by the other side"))
    assert second[0] == list(range(31, 101))
    assert second[1].reason is CloseReason.END_OF_SESSION


async def test_cut_inside_a_packet_leaves_half_of_it() -> None:
    async with exchange_of(Faults(drop_after=30, cut_inside_packet=True), end=True) as exchange:
        numbers, closed = await all_from(exchange)
        rest, _ = await all_from(exchange, 31)

    assert numbers + rest == list(range(1, 101))
    assert "in the middle of a packet" in closed.detail


async def test_cut_inside_a_packet_where_there_is_no_next_one_invents_it() -> None:
    async with exchange_of(Faults(drop_after=100, cut_inside_packet=True)) as exchange:
        numbers, closed = await all_from(exchange)

    assert numbers == list(range(1, 101))
    assert "in the middle of a packet" in closed.detail


async def test_silent_after_so_many_messages_not_even_heartbeats_come() -> None:
    async with exchange_of(Faults(silent_after=5), heartbeat_s=0.01) as exchange:
        async with client_of(exchange, silence_s=0.3) as client:
            numbers, _ = await taken(client)
            assert client.closed is not None
            reason = client.closed.reason
        async with client_of(exchange, sequence=6, silence_s=0.3) as client:
            more, _ = await taken(client, 95)

    assert numbers == [1, 2, 3, 4, 5]
    assert reason is CloseReason.HEARTBEAT_LOST
    assert more == list(range(6, 101))


@pytest.mark.parametrize("reason", ["A", "S"])
async def test_a_login_is_rejected_once(reason: str) -> None:
    async with exchange_of(Faults(reject=reason)) as exchange:
        with pytest.raises(LoginRejected) as rejected:
            await client_of(exchange)
        async with client_of(exchange) as client:
            assert (await taken(client, 100))[0] == list(range(1, 101))

    assert rejected.value.reason == reason


async def test_rewind_answers_the_next_login_with_a_lower_number() -> None:
    async with exchange_of(Faults(rewind=10)) as exchange:
        await exchange.all_played()
        async with client_of(exchange, "0000000001", 51) as client:
            assert client.position.next_seq <= 101
            assert (await taken(client, 60))[0] == list(range(41, 101))
        async with client_of(exchange, "0000000001", 51) as client:
            assert (await taken(client, 50))[0] == list(range(51, 101))


@pytest.mark.parametrize(("asked", "first"), [(1, 11), (51, 61), (98, 108)])
async def test_skip_accepts_the_next_login_above_what_was_asked(asked: int, first: int) -> None:
    more = [b"more %d" % number for number in range(101, 111)]
    async with exchange_of(Faults(skip=10)) as exchange:
        await exchange.all_played()
        async with client_of(exchange, sequence=asked) as client:
            exchange.extend(more)
            numbers, payloads = await taken(client, 111 - first)

    assert numbers == list(range(first, 111))
    assert payloads == [*DAY, *more][first - 1 :]


async def test_garbage_comes_after_so_many_messages_and_then_all_goes_on() -> None:
    async with exchange_of(Faults(garbage_after=2)) as exchange:
        numbers, closed = await all_from(exchange)
        assert (numbers, closed.reason) == ([1, 2], CloseReason.BROKEN_PACKET)

    async with Exchange(ExchangeSettings(faults=Faults(garbage_after=1)), [b"one", b"two"]) as exchange:
        reader, writer = await asyncio.open_connection(exchange.host, exchange.port)
        writer.write(LOGIN)
        got = await reader.readexactly(len(ACCEPTED) + 6 + len(GARBAGE) + 6)
        writer.close()
        await writer.wait_closed()
    assert got[len(ACCEPTED) :] == b"\x00\x04Sone" + GARBAGE + b"\x00\x04Stwo"


async def test_a_slow_exchange_trickles_but_loses_nothing() -> None:
    async with exchange_of(Faults(slow_bytes_s=8_000), end=True, heartbeat_s=0.001) as exchange:
        numbers, closed = await all_from(exchange)

    assert numbers == list(range(1, 101))
    assert closed.reason is CloseReason.END_OF_SESSION


async def test_the_session_rolls_and_the_old_one_can_not_be_joined() -> None:
    async with exchange_of(Faults(roll_session_after=40), end=True) as exchange:
        numbers, closed = await all_from(exchange)
        with pytest.raises(LoginRejected) as rejected:
            await client_of(exchange, "0000000001", 41)
        async with client_of(exchange) as client:
            assert client.position.session == "0000000002"
            rest = await taken(client)

    assert (numbers, closed.reason) == (list(range(1, 41)), CloseReason.END_OF_SESSION)
    assert rejected.value.reason == "S"
    assert rest == (list(range(1, 61)), DAY[40:])


async def test_a_session_that_rolls_silently_just_disappears() -> None:
    async with exchange_of(Faults(roll_session_after=40, roll_silently=True)) as exchange:
        numbers, closed = await all_from(exchange)
        async with client_of(exchange) as client:
            assert client.position.session == "0000000002"

    assert (numbers, closed.reason) == (list(range(1, 41)), CloseReason.TCP_LOST)


async def test_with_repeat_each_session_rolls_until_all_is_told() -> None:
    got: list[bytes] = []
    async with exchange_of(Faults(roll_session_after=30, repeat=True), end=True) as exchange:
        for _ in range(4):
            async with client_of(exchange) as client:
                got += (await taken(client))[1]

    assert got == DAY


async def test_a_login_that_is_never_answered_times_out() -> None:
    async with exchange_of(Faults(ignore_login=True)) as exchange:
        with pytest.raises(LinkClosed) as lost:
            await client_of(exchange, login_timeout_s=0.2)
        async with client_of(exchange) as client:
            assert (await taken(client, 1))[0] == [1]

    assert lost.value.closed.reason is CloseReason.LOGIN_TIMEOUT


@pytest.mark.parametrize(
    "faults",
    [Faults(drop_on_connect=True), Faults(drop_before_accepted=True), Faults(cut_inside_accepted=True)],
)
async def test_dropped_before_the_login_is_accepted(faults: Faults) -> None:
    async with exchange_of(faults) as exchange:
        with pytest.raises(LinkClosed) as lost:
            await client_of(exchange)
        async with client_of(exchange) as client:
            assert (await taken(client, 100))[1] == DAY

    assert lost.value.closed.reason is CloseReason.TCP_LOST
    assert ("middle of a packet" in lost.value.closed.detail) == faults.cut_inside_accepted


@pytest.mark.parametrize("drop", [True, False])
async def test_after_the_end_of_session_tcp_stays_open_unless_it_is_dropped(drop: bool) -> None:
    settings = ExchangeSettings(end=True, faults=Faults(drop_at_end=drop))
    async with Exchange(settings, [b"one"]) as exchange:
        reader, writer = await asyncio.open_connection(exchange.host, exchange.port)
        writer.write(LOGIN)
        await reader.readexactly(len(ACCEPTED) + 6)
        assert await reader.readexactly(3) == b"\x00\x01Z"
        if drop:
            assert await reader.read() == b""
        else:
            assert exchange.clients == 1
        writer.close()
        await writer.wait_closed()


async def test_a_schedule_of_faults_still_gives_every_message_once() -> None:
    schedule = [
        Faults(drop_after=7),
        Faults(cut_inside_accepted=True),
        Faults(drop_after=0, cut_inside_packet=True),
        Faults(drop_on_connect=True),
        Faults(garbage_after=50),
        Faults(slow_bytes_s=20_000, drop_after=20),
        Faults(drop_at_end=True),
    ]
    got: list[int] = []
    async with exchange_of(schedule, end=True) as exchange:
        for _ in schedule:
            with suppress(LinkClosed):
                got += (await all_from(exchange, len(got) + 1))[0]
        await exchange.finished()

    assert got == list(range(1, 101))


async def test_what_happens_is_told_in_a_line_for_people() -> None:
    lines: list[str] = []
    settings = ExchangeSettings(end=True, faults=Faults(drop_after=3))
    async with Exchange(settings, DAY, on_note=lines.append) as exchange:
        await all_from(exchange)
        await all_from(exchange, 4)
        await exchange.finished()

    text = "\n".join(lines)
    assert "user 'joe', the current session from 4: accepted, 0000000001 from 4" in text
    assert "cut off" in text
    assert "session 0000000001 ended" in text
    assert "secret" not in text


async def test_dropping_all_by_hand_leaves_the_exchange_open() -> None:
    async with exchange_of() as exchange:
        async with client_of(exchange) as client:
            await taken(client, 100)
            exchange.drop_all()
            await taken(client)
            assert client.closed is not None
            assert client.closed.reason is CloseReason.TCP_LOST
        async with client_of(exchange, sequence=101):
            assert exchange.clients == 1


def names(first: str, count: int) -> Iterator[str]:
    for _ in range(count):
        yield first
        first = next_session_name(first)


@pytest.mark.parametrize(
    ("first", "third"),
    [
        ("0000000001", "0000000003"),
        ("TODAY09", "TODAY11"),
        ("9999999999", "0000000001"),
        ("DAY", "DAY02"),
        ("ABCDEFGHIJ", "ABCDEFGH02"),
        ("000010059B", "0000100502"),
    ],
)
def test_the_next_session_has_another_name(first: str, third: str) -> None:
    assert list(names(first, 3))[2] == third
    assert len(third) <= 10
