"""Messages per stripe are counted while somebody looks, and at no other time."""

from gateway.decode import Codecs
from gateway.definitions import load_definitions
from gateway.hub import Channel
from gateway.hub.stripe_watch import StripeWatch
from gateway.simulator.market import Market
from gateway.stripes import StripeTable
from gateway.values import Block
from tests.flow.pipe import ROOT

STRIPES = StripeTable.load(ROOT / "config" / "stripes.toml")
CODECS = Codecs(load_definitions("itch50"))


def channel_of(market: Market) -> tuple[Channel, Block]:
    """A channel that knows the market's tickers, and its opening as one block."""
    channel = Channel("itch", CODECS, STRIPES, None)
    channel.start_session("S1")
    opening = block_of(market.opening(), 1)
    channel.router.route(opening, channel.context, 0)
    return channel, opening


def block_of(payloads: list[bytes], first_seq: int) -> Block:
    raw = b"".join((len(each) + 1).to_bytes(2, "big") + b"S" + each for each in payloads)
    return Block("S1", first_seq, len(payloads), 0, raw)


def test_each_message_counts_for_the_stripe_of_its_ticker() -> None:
    market = Market(["AAPL", "AMZN", "SPY"], seed=1)
    channel, _ = channel_of(market)
    messages = market.take(3_000)
    watch = StripeWatch()

    watch.look()
    watch.count(channel, block_of(messages, 1))

    expected = {"A1": 0, "A2": 0, "M2": 0}
    stripe_of_locate = {1: "A1", 2: "A2", 3: "M2"}
    for message in messages:
        expected[stripe_of_locate[int.from_bytes(message[1:3], "big")]] += 1
    assert watch.stripes("itch") == expected
    assert (watch.messages["itch"], watch.looked["itch"]) == (3_000, 3_000)
    assert watch.bytes["itch"] == sum(len(each) + 3 for each in messages)


def test_what_is_of_no_ticker_belongs_to_no_single_stripe() -> None:
    market = Market(["AAPL"], seed=1)
    channel, opening = channel_of(market)
    watch = StripeWatch()

    watch.look()
    watch.count(channel, opening)

    of_no_ticker = sum(1 for message in market.opening() if message[1:3] == b"\0\0")
    assert of_no_ticker > 0
    assert watch.stripes("itch") == {"A1": opening.count - of_no_ticker}


def test_nobody_looks_and_only_blocks_are_counted() -> None:
    market = Market(["AAPL"], seed=1)
    channel, _ = channel_of(market)
    watch = StripeWatch()

    watch.count(channel, block_of(market.take(100), 1))

    assert (watch.messages["itch"], watch.looked["itch"], watch.stripes("itch")) == (100, 0, {})


def test_a_look_is_worth_so_many_messages_and_the_next_look_as_many_again() -> None:
    market = Market(["AAPL"], seed=1)
    channel, _ = channel_of(market)
    watch = StripeWatch(looked_max=250)

    watch.look()
    for _ in range(10):
        watch.count(channel, block_of(market.take(100), 1))
    first = watch.looked["itch"]
    watch.look()
    for _ in range(10):
        watch.count(channel, block_of(market.take(100), 1))

    assert first == 300, "a block is looked at whole"
    assert watch.looked["itch"] == 600
    assert watch.messages["itch"] == 2_000


def test_broken_messages_are_counted_without_being_read() -> None:
    channel, _ = channel_of(Market(["AAPL"], seed=1))
    watch = StripeWatch()

    watch.look()
    watch.count(channel, block_of([b"", b"A", b"A\0", b"?", b"Axxx", b"A\0\1\0\0"], 1))

    assert watch.messages["itch"] == 6
