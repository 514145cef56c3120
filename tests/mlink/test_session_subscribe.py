"""Subscriptions by key: each item back with its result."""

import pytest

from gateway.mlink.actions import (
    ItemResult,
    SubscribeRequested,
)
from gateway.mlink.choices import SubscribeResult, SubscribeState
from tests.mlink.talk import new_session, only, said, told


@pytest.mark.parametrize("result", list(SubscribeResult))
def test_a_subscribe_ack_brings_each_item_back_with_its_result(result: SubscribeResult) -> None:
    session = new_session()
    key = ' A\u0001é"}{ '

    asked = only(
        session.receive(
            said(
                "MLinkSubscribe",
                sessionID=1,
                subscribeID=2,
                doReset="Yes",
                View=[{"msgName": "r", "view": "a|b"}],
                Subscribe=[{"msgName": "R", "msgPKey": key}, {"msgName": "x", "msgPKey": {"b": 1, "a": [2]}}],
                Unsubscribe=[{"msgName": "R"}],
            ),
            0.0,
        )
    )
    assert isinstance(asked, SubscribeRequested)
    ((m_typ, body),) = told(
        session.ack_subscribe(
            asked,
            view=[ItemResult(result, "v")],
            subscribe=[ItemResult(), ItemResult(result, "k" * 500)],
            unsubscribe=[ItemResult(result)],
            active=17,
        )
    )

    assert m_typ == "MLinkSubscribeAck"
    assert body == {
        "sessionID": 1,
        "subscribeID": 2,
        "succeeded": "Yes",
        "numActiveSubscriptions": 17,
        "didReset": "Yes",
        "View": [{"msgName": "r", "view": "a|b", "result": result.value, "detail": "v"}],
        "Subscribe": [
            {"msgName": "R", "msgPKey": key, "result": "OK"},
            {"msgName": "x", "msgPKey": {"b": 1, "a": [2]}, "result": result.value, "detail": "k" * 99 + "…"},
        ],
        "Unsubscribe": [{"msgName": "R", "result": result.value}],
    }


def test_a_subscribe_may_fail_as_a_whole() -> None:
    session = new_session()
    asked = only(session.receive(said("MLinkSubscribe", subscribeID=2, Subscribe=[{"msgName": "R"}]), 0.0))

    assert told(session.ack_subscribe(asked, error="no journal", active=3)) == [
        (
            "MLinkSubscribeAck",
            {"subscribeID": 2, "succeeded": "No", "errorMsg": "no journal", "numActiveSubscriptions": 3},
        )
    ]


def test_a_wrong_subscribe_is_an_ack_that_belongs_to_it() -> None:
    message = said("MLinkSubscribe", sessionID=1, subscribeID=2, Subscribe=[{"msgPKey": 5}])

    assert told(new_session().receive(message, 0.0)) == [
        (
            "MLinkSubscribeAck",
            {
                "sessionID": 1,
                "subscribeID": 2,
                "succeeded": "No",
                "errorMsg": "message.Subscribe[0].msgPKey: expected a key as text or as an object, got 5",
            },
        )
    ]


def test_the_comma_that_the_cpp_client_forgets_is_put_back() -> None:
    message = said("MLinkSubscribe", Subscribe=[{"msgPKey": "a"}, {"msgPKey": "b"}]).replace(b"},{", b"}{")

    assert [item.msgPKey for item in only(new_session().receive(message, 0.0)).request.Subscribe] == [
        "a",
        "b",
    ]


def test_the_largest_subscribe_has_an_ack_that_fits_a_frame() -> None:
    session = new_session(framed=True)
    items = [{"msgName": "\u0001" * 5, "msgPKey": "\u0001" * 8} for _ in range(1_000)]
    asked = only(session.receive(said("MLinkSubscribe", Subscribe=items), 0.0))

    reply = only(
        session.ack_subscribe(
            asked, subscribe=[ItemResult(SubscribeResult.MISSING_PKEY, "\u0001" * 1_000)] * 1_000
        )
    )

    assert len(reply.data) < 1_000_000


def test_subscriptions_have_checkpoints() -> None:
    session = new_session()

    assert told(session.subscribe_checkpoint(1, 2, SubscribeState.ACTIVE, signal_id=3, detail="d")) == [
        (
            "MLinkSubscribeCheckPt",
            {"sessionID": 1, "subscribeID": 2, "signalID": 3, "state": "Active", "detail": "d"},
        )
    ]


def test_one_session_id_too_many_is_refused_and_what_there_is_goes_on() -> None:
    session = new_session(streams_max=2)
    for id in (1, 2):
        asked = only(session.receive(said("MLinkSubscribe", sessionID=id), 0.0))
        session.ack_subscribe(asked, active=4 + id)

    refused = session.receive(said("MLinkSubscribe", sessionID=3, subscribeID=9), 0.0)
    again = only(session.receive(said("MLinkSubscribe", sessionID=1), 0.0))

    detail = "2 sessionIDs with subscriptions on this connection, no more are allowed"
    body = {"sessionID": 3, "subscribeID": 9, "succeeded": "No", "errorMsg": detail}
    assert told(refused) == [("MLinkSubscribeAck", {**body, "numActiveSubscriptions": 6})]
    assert isinstance(again, SubscribeRequested)
