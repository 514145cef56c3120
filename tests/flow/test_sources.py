"""A feed whose ticker source stands in the stripe table belongs to that stripe as a whole."""

from pathlib import Path

from gateway.net.access.keys import hash_of
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, reader, running, settings

KEY = "a key that may see one stripe only"


async def test_the_stripe_of_a_source_holds_its_feed_whole_and_other_stripes_hold_none_of_it(
    tmp_path: Path,
) -> None:
    opening = Market(["AAPL", "SPY", "TSLA"]).opening()
    async with (
        Exchange(messages=opening) as equities,
        Exchange(messages=opening) as futures,
        running(
            settings(
                tmp_path,
                feed_settings(equities.port, name="equities"),
                feed_settings(futures.port, name="futures", source="CFE"),
            )
        ) as gateway,
        reader(gateway) as whole,
        reader(gateway) as by_source,
        reader(gateway) as by_ticker,
    ):
        await whole.stream("StockDirectory", delivery="every")
        await whole.until_count(6)
        await by_source.stream("StockDirectory", delivery="every", stripeFilter="V")
        await by_ticker.stream("StockDirectory", delivery="every", stripeFilter=["A", "M", "H"])
        for each in (by_source, by_ticker):
            await each.until_control("MLinkStreamCheckPt", state="Complete")

    def seen(data: list) -> set[tuple[str, str]]:
        return {(each["header"]["src"], each["message"]["stock"]) for each in data}

    assert seen(by_source.data) == {("futures", "AAPL"), ("futures", "SPY"), ("futures", "TSLA")}
    assert seen(by_ticker.data) == {("equities", "AAPL"), ("equities", "SPY"), ("equities", "TSLA")}


async def test_a_key_for_the_stripe_of_a_source_may_subscribe_to_any_of_its_tickers(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text(
        f'[[keys]]\nid = "aaaa"\nname = "futures desk"\nsha256 = "{hash_of(KEY)}"\n'
        'created = 2020-01-01T00:00:00Z\nstripes = ["V"]\n'
    )
    opening = Market(["AAPL"]).opening()
    async with (
        Exchange(messages=opening) as futures,
        running(
            settings(tmp_path, feed_settings(futures.port, name="futures", source="CFE"), open_access=False)
        ) as gateway,
        reader(gateway, additional_headers={"Authorization": f"Bearer {KEY}"}) as subscriber,
    ):
        await subscriber.stream("StockDirectory", delivery="every")
        await subscriber.until_count(1)
        item = {"msgName": "StockDirectory", "msgPKey": "AAPL"}
        await subscriber.ask("MLinkSubscribe", sessionID=1, subscribeID=1, Subscribe=[item])
        ack = await subscriber.until_control("MLinkSubscribeAck")

    assert ack["Subscribe"][0]["result"] == "OK"
