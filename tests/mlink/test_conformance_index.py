"""Nothing of the control messages is there for show: each field and each choice is on the wire somewhere.

One walk through everything a subscriber can ask for and be told, over real sockets; then what was seen is
compared with the models. What the fields mean is tested beside this, message by message.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.mlink.choices import YesNo
from gateway.mlink.control import ANSWERS, REQUESTS, Message
from gateway.mlink.fields import Fields
from gateway.simulator.exchange import Exchange, ExchangeSettings
from gateway.simulator.faults import Faults
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, free_port, running, settings
from tests.flow.test_faults_subscriber import narrow, pipe, started
from tests.mlink.conversation import Scene, conversation, subscriber
from tests.mlink.test_socket_logon import add_key

Values = Iterable[tuple[str, Mapping[str, Any]]]

# What the dialect has and this gateway never says, each with the reason.
NEVER_SAID = {
    "MLinkStreamCheckPt.detail": "the state says it all",
    "MLinkSubscribeCheckPt.detail": "the state says it all",
    "MLinkStreamCheckPt.tryFwdElapsed": "a step of the vendor's own",
    "MLinkStreamCheckPt.flushElapsed": "a step of the vendor's own",
    "AdminState.Active": "of the vendor's accounts",
    "AdminState.InvitePending": "of the vendor's accounts",
    "AdminState.InviteError": "of the vendor's accounts",
    "AdminState.AccountSuspended": "of the vendor's accounts",
    "Delivery.every": "left out: it is what a stream is, unless it is said",
    "DataResult.OK": "nothing that is uploaded is taken",
    "DataResult.BinaryError": "no binary encoding is spoken, so none can be wrong: FrameError",
    "DataResult.Exception": "an error of our own closes with 1011",
    "DataResult.OtherError": "all there are have a name",
}


def classes_in(annotation: Any) -> Iterator[type]:
    """The classes that a field's type is made of."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for part in get_args(annotation):
        yield from classes_in(part)


def there_are(models: Iterable[type[Message]]) -> set[str]:
    """`Message.field`, `Message.field.field` and `Choice.value` of these messages."""
    found: set[str] = set()

    def look(model: type[Fields], path: str) -> None:
        for name, field in model.model_fields.items():
            found.add(f"{path}.{name}")
            for kind in classes_in(field.annotation):
                if issubclass(kind, Fields):
                    look(kind, f"{path}.{name}")
                elif issubclass(kind, StrEnum):
                    # A field at its default is left out.
                    found.update(f"{kind.__name__}.{each}" for each in kind if each != field.default)

    for model in models:
        look(model, model.__name__)
    return found


def seen_in(values: Values, models: Mapping[str, type[Message]]) -> set[str]:
    """The same of what really went over the wire."""
    found: set[str] = set()

    def look(model: type[Fields], path: str, body: Mapping[str, Any]) -> None:
        for name, value in body.items():
            found.add(f"{path}.{name}")
            for kind in classes_in(model.model_fields[name].annotation):
                if issubclass(kind, Fields):
                    for each in value if isinstance(value, list) else [value]:
                        look(kind, f"{path}.{name}", each)
                elif issubclass(kind, StrEnum):
                    found.add(f"{kind.__name__}.{value}")

    for m_typ, body in values:
        model = models[m_typ.casefold()]
        look(model, model.__name__, body)
    return found


def answers_in(*heard: Iterable[Mapping[str, Any]]) -> Values:
    for values in heard:
        for value in values:
            if value["header"]["mTyp"].casefold() in ANSWERS:
                yield value["header"]["mTyp"], value["message"]


async def ask_for_streams(scene: Scene) -> None:
    talk = scene.talk
    whole: dict[str, Any] = {
        "where": "shares:gt:0",
        "view": "shares|price",
        "sessionID": 2,
        "queryID": 3,
        "queryLabel": "mine",
        "activeLatency": 1,
        "highwaterTs": -1,
        "stripeFilter": "A",
        "localMsgName": "Mine",
        "sysEnvironment": "V8",
        "sysRealm": "NMS",
        "schemaHash": 5,
        "localMsgType": 7,
        "coverage": True,
        "delivery": "every",
    }
    resume = {"src": "itch", "ses": scene.exchange.session.name, "seqN": 1}
    await talk.ask("MLinkStream", msgName="AddOrder", resume=resume, **whole)
    await talk.checkpoint("Complete")
    await talk.ask("MLinkStream", msgName="AddOrder", **whole)
    await talk.checkpoint("Replaced")
    await talk.checkpoint("Complete")
    await talk.beat()
    await talk.socket.send('{"header":{"mTyp":"MLinkStream","sTim":1},"message":{"msgName":"AddOrder"}}')
    await talk.answer("MLinkStreamAck", querySendTs=1)
    await talk.ask("MLinkStream", msgName="StockDirectory", delivery="latest")
    await talk.checkpoint("Complete")
    for wrong in ({"msgName": ""}, {"msgName": "Nothing"}, {"msgName": "Trade"}, {"where": "x"}):
        await talk.ask("MLinkStream", **{"msgName": "AddOrder", **wrong})
        await talk.answer("MLinkStreamAck")
    for _ in range(2):
        await talk.ask("MLinkStream", msgName="AddOrder", sessionID=2, queryID=3, unsubscribe="Yes")
        await talk.answer("MLinkStreamAck")


async def subscribe(scene: Scene) -> None:
    talk = scene.talk
    keys: list[tuple[str, Any]] = [
        ("StockDirectory", "AAPL"),
        ("AddOrder", "AAPL"),
        ("Nothing", "AAPL"),
        ("RegSHORestriction", "AAPL"),
        ("StockDirectory", ""),
        ("MarketParticipantPosition", "AAPL"),
        ("StockDirectory", "SPY"),
    ]
    items = [{"msgName": name, "msgPKey": key, "highwaterTs": 1} for name, key in keys]
    for reset in ("No", "Yes"):
        await talk.ask(
            "MLinkSubscribe",
            sessionID=4,
            subscribeID=5,
            activeLatency=1,
            compression="FieldChangesOnly",
            doReset=reset,
            View=[
                {"msgName": "StockDirectory", "view": view}
                for view in ("stockLocate|roundLotSize", "nothing")
            ],
            Subscribe=items,
            Unsubscribe=[{"msgName": "StockDirectory", "msgPKey": "AMZN"}],
        )
        await talk.answer("MLinkSubscribeCheckPt", state="Active")
    await talk.ask("MLinkSignalReady", sessionID=4, signalID=6, readyScan="FullScan")
    await talk.answer("MLinkSubscribeCheckPt", signalID=6)
    await talk.ask("MLinkSignalReady", sessionID=0, signalID=7)
    await talk.checkpoint("Active", signalID=7)


async def send_what_is_wrong(scene: Scene) -> None:
    for text in ("J1", "{", '{"header":{}}'):
        await scene.talk.socket.send(text)
        await scene.talk.answer("MLinkDataAck")
    await scene.talk.socket.send('{"header":{"mTyp":"Upload","sTim":1},"message":{}}')
    await scene.talk.answer("MLinkDataAck", result="InvldMsgType")


@asynccontextmanager
async def troubled(folder: Path) -> AsyncIterator[list[dict[str, Any]]]:
    """What is told of a feed whose line breaks, which leaves numbers out, falls silent and begins anew."""
    messages = Market(5, seed=4).take(300)
    port = free_port()
    fast = feed_settings(port, heartbeat_s=0.1, silence_s=2.0, stale_after_s=0.3)
    faults = [Faults(drop_after=100), Faults(skip=9)]
    async with running(settings(folder, fast, heartbeat_s=0.1)) as gateway, subscriber(gateway) as talk:
        await talk.stream("*")
        await talk.checkpoint("Complete")
        first = ExchangeSettings(port=port, session="MONDAY", faults=faults, heartbeat_s=0.1)
        async with Exchange(first, messages):
            for event in ("FeedDown", "SequenceGap", "Stale"):
                await talk.until_control("MLinkAdmin", event=event)
        async with Exchange(ExchangeSettings(port=port, session="TUESDAY", heartbeat_s=0.1), messages):
            for event in ("SessionChange", "FeedUp"):
                await talk.until_control("MLinkAdmin", event=event, ses="TUESDAY")
        yield talk.all


@pytest.mark.one_loop
async def test_every_field_and_every_choice_is_on_the_wire(tmp_path: Path) -> None:
    for name in ("desk", "troubled", "slow"):
        (tmp_path / name).mkdir()
    may_see = ["StockDirectory", "MarketParticipantPosition", "AddOrder"]
    key = add_key(tmp_path / "desk", messages=may_see, stripes=["A"])
    async with conversation(tmp_path / "desk", open_access=False) as scene:
        talk = scene.talk
        await talk.ask("MLinkSubscribe", sessionID=1)
        await talk.answer("MLinkSubscribeAck")
        await talk.ask("MLinkSignalReady")
        await talk.answer("MLinkDataAck")
        for credential in ("a-guess", key):
            logon = {"userName": "anna", "password": "p", "pin": "1", "jwtToken": "", "apiKey": credential}
            await talk.ask("MLinkLogon", **logon)
        await talk.answer("MLinkAdmin", state="LoggedOn")
        await ask_for_streams(scene)
        await subscribe(scene)
        await send_what_is_wrong(scene)
        await talk.heartbeat()
        scene.gateway.stop()
        await talk.answer("MLinkSubscribeCheckPt", state="Terminated")
    async with troubled(tmp_path / "troubled") as of_feeds:
        pass
    async with pipe(tmp_path / "slow") as line, narrow(line.gateway) as slow:
        await started(slow, sessionID=8)
        for _ in range(10):
            await line.publish(2_000)
        await slow.until_count(line.count)
        told = await slow.until_control("MLinkAdmin", event="CaughtUp")

    assert (told["sessionID"], told["queryID"]) == (8, 1)
    answers = answers_in(talk.all, of_feeds, slow.control)
    assert there_are(ANSWERS.values()) - seen_in(answers, ANSWERS) == set(NEVER_SAID)
    asked = there_are(REQUESTS.values()) - seen_in(talk.asked, REQUESTS)
    assert asked <= {f"YesNo.{YesNo.NO}"}, "what can be asked for was asked for"
