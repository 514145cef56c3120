"""A subscriber's session: bytes in and out, what is refused, limits, heartbeats and endings."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mlink.actions import (
    CloseWith,
    ItemResult,
    LogonRequested,
    Reply,
    SignalReady,
    StreamRequested,
    StreamsCancelled,
    SubscribeRequested,
)
from gateway.mlink.choices import AdminEvent, StreamResult, StreamState
from gateway.mlink.close_codes import CloseCode
from gateway.mlink.control import StreamPosition
from gateway.mlink.frames import frame
from gateway.mlink.life import State
from tests.mlink.talk import WALL_NS, WALL_TEXT, new_session, only, said, started, told

# --- the bytes


def test_a_request_and_its_answer_have_the_dialects_byte_shape() -> None:
    session = new_session(framed=True)
    request = (
        '{"header":{"mTyp":"MLinkStream"},'
        '"message":{"queryLabel":"Example1","activeLatency":1,"msgName":"addorder"}}'
    )

    asked = only(session.receive(f"\r\nJ{len(request):011d}{request}", 0.0))
    reply = only(session.ack_stream(asked, StreamResult.OK))

    assert reply.data == (
        b'\r\nJ00000000179{"header":{"mTyp":"MLinkStreamAck","sTim":"2023-11-09 15:26:23.464116",'
        b'"encT":"2023-11-09 15:26:23.464116"},'
        b'"message":{"queryLabel":"Example1","msgName":"addorder","result":"OK"}}'
    )


def test_without_frames_a_reply_is_one_json_object() -> None:
    reply = only(new_session().greeting())

    assert reply.data.startswith(b'{"header":')


@pytest.mark.parametrize("framed", [True, False])
def test_both_paths_take_framed_and_unframed_input(framed: bool) -> None:
    session = new_session(framed=framed)

    for message in (
        said("MLinkSignalReady"),
        frame(said("MLinkSignalReady")),
        said("MLinkSignalReady").decode(),
    ):
        assert isinstance(only(session.receive(message, 0.0)), SignalReady)


# --- what is none of these


@pytest.mark.parametrize(
    ("message", "result", "says"),
    [
        (b"", "FrameError", "the message is empty"),
        (b"\r\nJ00000000005{}", "FrameError", "says 5 bytes"),
        (b"\r\nP00000000002{}", "FrameError", "protocol 'P', expected 'J'"),
        (b"{", "JsonError", "position 1"),
        (b"NaN", "JsonError", "position 0"),
        (b"[]", "JsonError", "a list, expected a JSON object"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "JsonError", "deeper than the 16 levels"),
        (b'{"a":%s}' % (b"9" * 400), "JsonError", "position 5"),
        (b"{}", "ProtoError", "header: expected an object with the message's name as mTyp, got null"),
        (said("MLinkAdmin", state="LoggedOn"), "InvldMsgType", "no uploads are taken here"),
        (said("StockBookQuote", bid=1), "InvldMsgType", "expected one of MLinkLogon, MLinkStream, "),
    ],
)
def test_what_cannot_be_taken_is_acknowledged_by_what_is_wrong_with_it(
    message: bytes, result: str, says: str
) -> None:
    session = new_session()

    ((m_typ, body),) = told(session.receive(message, 0.0))

    assert (m_typ, body["result"]) == ("MLinkDataAck", result)
    assert says in body["detail"]
    assert session.state is State.LOGGED_ON


def test_an_upload_is_acknowledged_with_its_type_and_time() -> None:
    ((_, body),) = told(new_session().receive(said("StockBookQuote", bid=1), 0.0))

    assert (body["msgType"], body["sendTs"]) == ("StockBookQuote", WALL_NS)


def test_a_broken_frame_does_not_hide_the_good_ones_in_front_of_it() -> None:
    actions = new_session().receive(frame(said("MLinkSignalReady")) + b"\r\nJ", 0.0)

    assert isinstance(actions[0], SignalReady)
    assert told(actions)[0][1]["result"] == "FrameError"


def test_several_frames_in_one_message_are_answered_in_order() -> None:
    message = b"".join(frame(said("MLinkStream", queryID=n, msgName="A")) for n in (1, 2, 3))

    assert [action.id.query_id for action in new_session().receive(message, 0.0)] == [1, 2, 3]  # type: ignore[union-attr]


# --- limits


def test_a_message_too_big_is_acknowledged_and_closed() -> None:
    session = new_session(message_bytes_max=100)

    actions = session.receive(b"x" * 101, 0.0)

    assert [m for m, _ in told(actions)] == ["MLinkDataAck", "MLinkAdmin"]
    assert isinstance(actions[-1], CloseWith)
    assert actions[-1].code is CloseCode.TOO_BIG
    assert "101 bytes, at most 100" in actions[-1].reason


def test_a_flood_of_requests_is_closed_with_1008_after_a_word_why() -> None:
    session = new_session(requests_per_s=2.0, requests_burst=3)
    for _ in range(3):
        assert len(session.receive(said("MLinkSignalReady"), 0.0)) == 1

    reply, close = session.receive(said("MLinkSignalReady"), 0.0)

    assert told([reply])[0][1]["detail"].startswith("closing with 1008")
    assert close == CloseWith(CloseCode.FLOOD, "too many requests: 2 a second are allowed")
    assert session.receive(said("MLinkSignalReady"), 100.0) == []


def test_what_cannot_be_read_counts_as_a_request() -> None:
    session = new_session(requests_burst=1)
    session.receive(b"", 0.0)

    assert isinstance(session.receive(b"", 0.0)[-1], CloseWith)


def test_each_frame_of_a_message_counts_as_a_request() -> None:
    session = new_session(requests_burst=2)

    actions = session.receive(frame(said("MLinkSignalReady")) * 5, 0.0)

    assert [type(action).__name__ for action in actions] == [
        "SignalReady",
        "SignalReady",
        "Reply",
        "CloseWith",
    ]


def test_the_rate_recovers_with_time() -> None:
    session = new_session(requests_per_s=2.0, requests_burst=1)

    for now in (0.0, 0.5, 1.0, 1.5):
        assert isinstance(only(session.receive(said("MLinkSignalReady"), now)), SignalReady)
    assert isinstance(session.receive(said("MLinkSignalReady"), 1.9)[-1], CloseWith)


# --- heartbeats and endings


def test_heartbeats_are_numbered_timed_and_carry_the_proof_of_completeness() -> None:
    session = new_session()
    position = StreamPosition(queryID=1, src="itch", ses="S", seqN=9, numMessagesSent=3)

    assert session.deadline() == 5.0
    assert session.tick(4.9) == []
    assert told(session.tick(5.0)) == [("MLinkHeartbeat", {"seqNum": 1, "timestamp": WALL_TEXT})]
    assert session.deadline() == 10.0
    assert told(session.tick(12.0, [position])) == [
        (
            "MLinkHeartbeat",
            {
                "seqNum": 2,
                "timestamp": WALL_TEXT,
                "positions": [{"queryID": 1, "src": "itch", "ses": "S", "seqN": 9, "numMessagesSent": 3}],
            },
        )
    ]
    assert session.deadline() == 17.0


def test_notices_tell_what_befell_a_feed_or_a_stream() -> None:
    session = new_session()

    assert told(session.notice(AdminEvent.SLOW, "behind", queryID=1, lagMessages=5, lagSeconds=0.5)) == [
        (
            "MLinkAdmin",
            {
                "state": "LoggedOn",
                "detail": "behind",
                "event": "Slow",
                "queryID": 1,
                "lagMessages": 5,
                "lagSeconds": 0.5,
            },
        )
    ]


def test_good_night_then_last_checkpoints_then_1001() -> None:
    session = new_session()
    stream = started(session, queryID=1)

    night = session.good_night(10.0)
    point = session.checkpoint(stream, StreamState.TERMINATED)
    close = session.close(CloseCode.GOING_AWAY)

    assert told(night) == [
        ("MLinkAdmin", {"state": "GoodNight", "detail": "the gateway shuts down", "secondsLeft": 10.0})
    ]
    assert told(point)[0][1]["state"] == "Terminated"
    assert close[-1] == CloseWith(CloseCode.GOING_AWAY, "good night: the gateway shuts down, come back later")


def test_after_good_night_nothing_is_taken_any_more() -> None:
    session = new_session()
    session.good_night(10.0)

    assert session.receive(said("MLinkStream", msgName="A"), 0.0) == []
    assert session.tick(100.0) == []


def test_after_a_close_nothing_is_said_any_more() -> None:
    session = new_session(logged_on=False)
    stream_request = said("MLinkStream", msgName="A")
    session.receive(said("MLinkLogon"), 0.0)
    session.close(CloseCode.KEY_REVOKED)

    assert session.logged_on() == []
    assert session.logon_failed("") == []
    assert session.close(CloseCode.GOING_AWAY) == []
    assert session.receive(stream_request, 0.0) == []
    assert session.tick(100.0) == []
    assert session.notice(AdminEvent.STALE, "") == []
    assert session.deadline() == float("inf")


# --- no input is an error of ours

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["Yes", "FullScan", "AddOrder", "*", "a:eq:1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    [
        "msgName",
        "where",
        "view",
        "unsubscribe",
        "sessionID",
        "queryID",
        "queryLabel",
        "activeLatency",
        "resume",
        "stripeFilter",
        "coverage",
        "delivery",
        "Subscribe",
        "View",
        "Unsubscribe",
        "subscribeID",
        "readyScan",
        "signalID",
        "password",
        "compression",
        "doReset",
    ]
)
REQUESTS = st.builds(
    lambda m_typ, body, header: {"header": {"mTyp": m_typ, **header}, "message": body},
    st.sampled_from(
        ["MLinkStream", "MLinkSubscribe", "MLinkSignalReady", "MLinkLogon", "Quote", "mlinkSTREAM"]
    ),
    st.dictionaries(FIELDS, VALUES, max_size=6) | VALUES,
    st.dictionaries(st.sampled_from(["sTim", "encT"]), VALUES, max_size=1),
)


@given(st.lists(REQUESTS, max_size=6), st.booleans(), st.sampled_from(list(StreamResult)))
@settings(max_examples=300, deadline=None)
def test_any_request_gets_actions_and_never_an_exception(
    requests: list[dict[str, Any]], logged_on: bool, result: StreamResult
) -> None:
    session = new_session(logged_on=logged_on, framed=False, logon_attempts_max=2, streams_max=3)

    for request in requests:
        pending = session.receive(orjson.dumps(request), 0.0)
        while pending:
            action = pending.pop(0)
            match action:
                case Reply(data):
                    assert orjson.loads(data)["header"]["mTyp"].startswith("MLink")
                case LogonRequested(api_key=key):
                    pending += session.logged_on() if key else session.logon_failed("no")
                case StreamRequested() | StreamsCancelled():
                    pending += session.ack_stream(action, result)
                case SubscribeRequested(asked):
                    pending += session.ack_subscribe(
                        action,
                        view=[ItemResult()] * len(asked.View),
                        subscribe=[ItemResult()] * len(asked.Subscribe),
                        unsubscribe=[ItemResult()] * len(asked.Unsubscribe),
                    )
                case SignalReady(streams=streams):
                    assert set(streams) <= set(session.streams)
                case CloseWith():
                    assert not pending
        assert len(session.streams) <= 3
