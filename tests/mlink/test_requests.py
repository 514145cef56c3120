"""Requests of subscribers: each field, each tolerance, and what a wrong one is told."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import BadRequest
from gateway.mlink.choices import (
    AdminState,
    Compression,
    DataResult,
    Delivery,
    ReadyScan,
    StreamResult,
    StreamState,
    SubscribeResult,
    SubscribeState,
    YesNo,
)
from gateway.mlink.control import (
    ANSWERS,
    REQUESTS,
    SUBSCRIBE_ITEMS_MAX,
    BadMessage,
    Message,
    MLinkLogon,
    MLinkSignalReady,
    MLinkStream,
    MLinkSubscribe,
    Resume,
    SubscribeItem,
    read,
)

SENT_NS = 1_699_543_583_464_116_000


def request(m_typ: str, **fields: Any) -> Any:
    return read({"header": {"mTyp": m_typ}, "message": fields}).message


def stream(**fields: Any) -> Any:
    return request("MLinkStream", **fields)


# --- what subscribers say: defaults and fields


def test_a_stream_request_with_nothing_else_has_the_dialects_defaults() -> None:
    asked = stream(msgName="AddOrder")

    assert asked.names == ("AddOrder",)
    assert (asked.where, asked.view, asked.queryLabel, asked.localMsgName) == ("", "", "", "")
    assert (asked.sessionID, asked.queryID, asked.activeLatency, asked.highwaterTs) == (0, 0, 0, 0)
    assert asked.unsubscribe is YesNo.NO
    assert asked.stripes == ()
    assert (asked.resume, asked.coverage, asked.delivery) == (None, False, None)


def test_a_signal_is_for_all_sessions_and_incremental_unless_it_says_otherwise() -> None:
    assert request("MLinkSignalReady") == MLinkSignalReady(
        sessionID=-1, signalID=0, readyScan=ReadyScan.INCREMENTAL
    )
    assert request("MLinkSignalReady", sessionID=0).sessionID == 0
    assert request("MLinkSignalReady", readyScan="FullScan").readyScan is ReadyScan.FULL_SCAN


def test_a_body_that_is_left_out_is_empty() -> None:
    assert read({"header": {"mTyp": "MLinkSignalReady"}}).message == MLinkSignalReady()


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("AddOrder", ("AddOrder",)),
        (["A", "b"], ("A", "b")),
        ("*", ("*",)),
        (3000, ("3000",)),
        ("", ()),
        (None, ()),
    ],
)
def test_a_message_name_is_a_name_a_list_of_names_a_star_or_the_vendors_number(
    value: Any, names: tuple[str, ...]
) -> None:
    assert stream(msgName=value).names == names


@pytest.mark.parametrize(
    ("value", "names"), [("A", ("A",)), (["A", "M1"], ("A", "M1")), ("", ()), (None, ())]
)
def test_a_stripe_filter_is_a_name_or_a_list_of_names(value: Any, names: tuple[str, ...]) -> None:
    assert stream(stripeFilter=value).stripes == names


def test_resume_is_one_position_or_a_list_of_them() -> None:
    assert stream(resume={"ses": "S", "seqN": 1}).resume == Resume(ses="S", seqN=1)
    assert stream(resume={"src": "itch", "ses": "S", "seqN": 2**63 - 1, "more": 1}).resume.src == "itch"
    assert stream(resume=[{"src": "a", "seqN": 1}]).resume == (Resume(src="a", seqN=1),)
    assert stream(resume="").resume is None


@pytest.mark.parametrize(
    ("value", "flag"), [(True, True), (False, False), ("Yes", True), ("no", False), ("", False)]
)
def test_coverage_is_a_flag(value: Any, flag: bool) -> None:
    assert stream(coverage=value).coverage is flag


@pytest.mark.parametrize(
    ("value", "delivery"), [("every", Delivery.EVERY), ("Latest", Delivery.LATEST), ("", None)]
)
def test_delivery_is_every_or_latest(value: str, delivery: Delivery) -> None:
    assert stream(delivery=value).delivery is delivery


def test_the_vendors_routing_fields_are_taken_in_any_form() -> None:
    assert stream(sysEnvironment=5, sysRealm="NMS", schemaHash=-7, msgName="A").names == ("A",)


def test_subscribe_items_keep_their_key_as_it_was() -> None:
    asked = request(
        "MLinkSubscribe",
        Subscribe=[
            {"msgName": "R", "msgPKey": " aapl "},
            {"msgName": "R", "msgPKey": {"stock": "A", "n": [1]}},
        ],
        Unsubscribe=[{"msgName": "R"}, {"msgName": "R", "msgPKey": ""}],
        View=[{"msgName": "R", "view": "a|b"}],
        compression="fieldchangesonly",
        doReset="yes",
    )

    assert [item.msgPKey for item in asked.Subscribe] == [" aapl ", {"stock": "A", "n": [1]}]
    assert [item.msgPKey for item in asked.Unsubscribe] == ["", ""]
    assert asked.View[0].view == "a|b"
    assert asked.compression is Compression.FIELD_CHANGES_ONLY
    assert asked.doReset is YesNo.YES


# --- tolerances


@pytest.mark.parametrize("name", ["mlinkstream", "MLINKSTREAM", "MLinkStream"])
def test_the_message_type_is_without_case(name: str) -> None:
    assert isinstance(read({"header": {"mTyp": name}, "message": {}}).message, MLinkStream)


@pytest.mark.parametrize("name", ["sessionID", "queryID", "activeLatency", "highwaterTs", "unsubscribe"])
@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_string_or_null_stands_for_an_absent_field(name: str, empty: Any) -> None:
    assert stream(**{name: empty}) == stream()


def test_an_empty_session_of_a_signal_means_all() -> None:
    sample = {"sesionID": "", "sessionID": "", "signalID": "", "readyScan": "FullScan"}

    assert request("MLinkSignalReady", **sample) == MLinkSignalReady(readyScan=ReadyScan.FULL_SCAN)


def test_the_dialects_none_is_the_default_of_a_choice() -> None:
    assert request("MLinkSignalReady", readyScan="None").readyScan is ReadyScan.INCREMENTAL
    assert request("MLinkSubscribe", compression="None").compression is Compression.NONE
    assert stream(unsubscribe="None").unsubscribe is YesNo.NO


def test_unknown_fields_are_ignored_everywhere() -> None:
    value = {
        "header": {"mTyp": "MLinkSubscribe", "sEnv0": "Saturn", "kLen": [1]},
        "message": {"x": {}, "Subscribe": [{"msgName": "a", "msgPKey": "b", "y": 1}]},
        "more": 1,
    }

    assert read(value).message == MLinkSubscribe(Subscribe=(SubscribeItem(msgName="a", msgPKey="b"),))


@pytest.mark.parametrize("time", [None, "", 5, "x", [1], {"a": 1}, True, 1.5, "2023-11-09 15:26:23.464116"])
def test_the_senders_times_may_have_any_form(time: Any) -> None:
    envelope = read({"header": {"mTyp": "MLinkStream", "sTim": time, "encT": time}, "message": {}})

    assert isinstance(envelope.message, MLinkStream)
    assert envelope.sent_ns == {5: 5, "2023-11-09 15:26:23.464116": SENT_NS}.get(
        time if isinstance(time, int | str) and time is not True else "", 0
    )


def test_the_senders_times_may_be_absent() -> None:
    assert read({"header": {"mTyp": "MLinkStream"}, "message": {}}).sent_ns == 0


# --- refusals say where and what


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"where": 5}, "message.where: expected a text, got 5"),
        ({"where": ["a"]}, "message.where: expected a text, got a list"),
        ({"view": {}}, "message.view: expected a text, got an object"),
        ({"queryLabel": True}, "message.queryLabel: expected a text, got true"),
        ({"sessionID": "5"}, "message.sessionID: expected a whole number, got '5'"),
        ({"sessionID": 1.0}, "message.sessionID: expected a whole number, got 1.0"),
        ({"sessionID": True}, "message.sessionID: expected a whole number, got true"),
        ({"queryID": 1.8446744073709552e19}, "message.queryID: expected a whole number, got 1.844"),
        ({"queryID": 1e308}, r"message.queryID: expected a whole number, got 1e\+308"),
        (
            {"activeLatency": -1},
            "message.activeLatency: expected milliseconds, a whole .*, got -1",
        ),
        ({"activeLatency": 2**31}, "message.activeLatency: expected milliseconds"),
        ({"highwaterTs": -2}, "message.highwaterTs: expected nanoseconds since the epoch, or -1 .*, got -2"),
        ({"unsubscribe": "perhaps"}, "message.unsubscribe: expected one of Yes, No, got 'perhaps'"),
        ({"unsubscribe": 1}, "message.unsubscribe: expected one of Yes, No, got 1"),
        ({"msgName": []}, "message.msgName: expected a name or a list of names, got a list"),
        ({"msgName": ["a", 1]}, "message.msgName: expected .*, got a list with something else in it"),
        ({"msgName": ["a", ""]}, "message.msgName: expected .*, got a list with something else in it"),
        ({"msgName": {}}, "message.msgName: expected a name or a list of names, got an object"),
        ({"msgName": 1.5}, "message.msgName: expected a name or a list of names, got 1.5"),
        ({"stripeFilter": []}, "message.stripeFilter: expected a name or a list of names, got a list"),
        ({"resume": 5}, "message.resume: expected an object, got 5"),
        ({"resume": {}}, "message.resume.seqN: expected it, got nothing"),
        ({"resume": {"seqN": 0}}, "message.resume.seqN: expected a sequence number, 1 or more, got 0"),
        ({"resume": {"seqN": 2**63}}, "message.resume.seqN: expected a sequence number"),
        ({"resume": {"seqN": 1, "ses": 5}}, "message.resume.ses: expected a text, got 5"),
        ({"resume": []}, "message.resume: .*at least 1"),
        ({"resume": [{"seqN": 1}, {"seqN": "1"}]}, r"message.resume\[1\].seqN: expected a sequence number"),
        ({"coverage": "maybe"}, "message.coverage: expected true or false, got 'maybe'"),
        ({"coverage": 1}, "message.coverage: expected true or false, got 1"),
        ({"delivery": "all"}, "message.delivery: expected one of every, latest, got 'all'"),
        ({"where": 1, "view": 1}, "message.where"),
        ({"queryLabel": [[[[[[[[[[]]]]]]]]]]}, "expected a text, got a list"),
        ({"unsubscribe": "x" * 5000}, "got 'x{40}'…$"),
    ],
)
def test_a_wrong_field_of_a_stream_request_is_named_with_what_was_expected(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadMessage, match=says):
        stream(**fields)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"Subscribe": {}}, "message.Subscribe: "),
        ({"Subscribe": [1]}, r"message.Subscribe\[0\]: expected an object, got 1"),
        (
            {"Subscribe": [{}, {"msgPKey": 5}]},
            r"message.Subscribe\[1\].msgPKey: expected a key as text",
        ),
        ({"Subscribe": [{"highwaterTs": "x"}]}, r"message.Subscribe\[0\].highwaterTs: expected nanoseconds"),
        ({"Unsubscribe": [{"msgPKey": []}]}, r"message.Unsubscribe\[0\].msgPKey: expected a key"),
        ({"View": [{"view": 1}]}, r"message.View\[0\].view: expected a text, got 1"),
        ({"compression": "zip"}, "message.compression: expected one of None, FieldChangesOnly, got 'zip'"),
        ({"doReset": "x"}, "message.doReset: expected one of Yes, No"),
        ({"Subscribe": [{}] * 600, "Unsubscribe": [1] * 401}, "message: 1001 items, expected at most 1000"),
    ],
)
def test_a_wrong_field_of_a_subscribe_is_named_with_what_was_expected(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadMessage, match=says):
        request("MLinkSubscribe", **fields)


def test_a_thousand_items_are_taken() -> None:
    assert len(request("MLinkSubscribe", Subscribe=[{}] * SUBSCRIBE_ITEMS_MAX).Subscribe) == 1_000


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "header: expected an object with the message's name as mTyp, got null"),
        ({"header": []}, "header: expected an object .*, got a list"),
        ({"header": {}}, "header: expected an object .*, got mTyp null"),
        ({"header": {"mTyp": 5}}, "got mTyp 5"),
        ({"header": {"mTyp": ""}}, "got mTyp ''"),
        ({"header": {"mTyp": "MLinkStream"}, "message": []}, "message: expected an object, got a list"),
        ({"header": {"mTyp": "MLinkStream"}, "message": None}, "message: expected an object, got null"),
        ({"header": {"mTyp": "MLinkSubscribe"}, "message": 5}, "message: expected an object, got 5"),
    ],
)
def test_an_envelope_that_is_none_says_what_is_missing(value: dict[str, Any], says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        read(value)


def test_a_message_type_that_is_not_known_is_left_to_the_session() -> None:
    envelope = read({"header": {"mTyp": "StockBookQuote" * 50}, "message": {"bid": 1}})

    assert envelope.message is None
    assert envelope.m_typ == ("StockBookQuote" * 50)[:64]


def test_answers_are_not_requests_and_requests_are_no_answers() -> None:
    assert not REQUESTS.keys() & ANSWERS.keys()
    assert len(REQUESTS) + len(ANSWERS) == 11
    assert read({"header": {"mTyp": "MLinkAdmin"}, "message": {}}).message is None


def test_a_password_is_never_shown() -> None:
    value = {
        "header": {"mTyp": "MLinkLogon"},
        "message": {"password": "hunter2", "apiKey": "sesame", "pin": 4711},
    }
    with pytest.raises(BadMessage) as caught:
        read(value)
    good = read({**value, "message": {"password": "hunter2", "apiKey": "sesame"}})

    for text in (str(caught.value), repr(caught.value.envelope), repr(good), repr(good.message)):
        assert "hunter2" not in text
        assert "sesame" not in text
        assert "4711" not in text
    assert isinstance(good.message, MLinkLogon)
    assert good.message.password == "hunter2"


def test_all_results_of_the_page_exist_by_name() -> None:
    assert set(StreamResult) == {"OK", "InvldMsgType", "UnkwnMsgType", "UnauthMsgType", "Error", "Warn"}
    assert set(StreamState) == {"Begin", "Active", "Complete", "Replaced", "Terminated"}
    assert set(SubscribeState) == {"Begin", "Active", "Terminated"}
    assert set(SubscribeResult) == {
        "OK",
        "InvldMsgType",
        "UnkwnMsgType",
        "UnauthMsgType",
        "InvldPKey",
        "UnkwnPKey",
        "MissingPKey",
        "UnauthPKey",
        "ViewErr",
    }
    assert set(DataResult) == {
        "OK",
        "FrameError",
        "JsonError",
        "ProtoError",
        "BinaryError",
        "Exception",
        "AuthError",
        "InvldMsgType",
        "OtherError",
    }
    assert {"LoggedOn", "WaitingLogon", "LogonFailed", "GoodNight"} <= set(AdminState)
    assert set(ReadyScan) == {"Incremental", "FullScan"}
    assert set(Compression) == {"None", "FieldChangesOnly"}


@pytest.mark.parametrize("kind", [*REQUESTS.values(), *ANSWERS.values()], ids=lambda kind: kind.__name__)
def test_a_message_is_a_frozen_value(kind: type[Message]) -> None:
    message = kind.model_construct()

    with pytest.raises(ValidationError, match="frozen"):
        setattr(message, next(iter(kind.model_fields)), 1)


def test_bad_messages_are_bad_requests() -> None:
    assert issubclass(BadMessage, BadRequest)
