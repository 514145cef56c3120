"""Streams of one connection: asked for, acknowledged, replaced, ended, and their checkpoints."""

from typing import Any

import pytest

from gateway.errors import LocalProtocolError
from gateway.mlink.actions import (
    Elapsed,
    Progress,
    SignalReady,
    StreamId,
    StreamRequested,
    StreamsCancelled,
)
from gateway.mlink.choices import StreamResult, StreamState
from gateway.mlink.control import StreamPosition
from gateway.mlink.view import parse_view
from gateway.mlink.where import parse_where
from tests.mlink.talk import WALL_NS, WALL_TEXT, new_session, only, said, started, told


def test_a_stream_request_arrives_parsed() -> None:
    session = new_session()

    asked = only(
        session.receive(
            said("MLinkStream", msgName="AddOrder", where="Price:GT:5", view="a,b", queryID=3), 0.0
        )
    )

    assert asked.id == StreamId(0, 3)
    assert asked.where == parse_where("price:gt:5")
    assert asked.view == parse_view("a|b")
    assert asked.request.names == ("AddOrder",)
    assert asked.replaces is False
    assert asked.sent_ns == WALL_NS


def test_blank_filters_are_none() -> None:
    asked = only(new_session().receive(said("MLinkStream", msgName="A", where=" ", view=" "), 0.0))

    assert (asked.where, asked.view) == (None, None)


@pytest.mark.parametrize("result", list(StreamResult))
@pytest.mark.parametrize("name", ["addORDER", ["A", "b"], 3000])
def test_a_stream_ack_echoes_what_was_sent(result: StreamResult, name: Any) -> None:
    session = new_session()
    fields = {"msgName": name, "sessionID": 4, "queryID": 2**63, "queryLabel": "é\u0001 label"}

    asked = only(session.receive(said("MLinkStream", **fields), 0.0))
    body = told(session.ack_stream(asked, result, "because"))[0][1]

    assert body == {**fields, "querySendTs": WALL_NS, "result": result.value, "detail": "because"}
    assert (session.streams == (StreamId(4, 2**63),)) is (result in (StreamResult.OK, StreamResult.WARN))


@pytest.mark.parametrize(
    ("fields", "result", "says"),
    [
        ({}, "InvldMsgType", "message.msgName: expected a name, a list of names, or *"),
        ({"msgName": ""}, "InvldMsgType", "expected a name"),
        ({"msgName": "A", "where": "a:is:5"}, "Error", "where, position 2: expected an operator, one of gt"),
        ({"msgName": "A", "view": "a,,b"}, "Error", "view, position 2: expected a field name"),
        ({"msgName": "A", "activeLatency": -1}, "Error", "message.activeLatency: expected milliseconds"),
        ({"msgName": "A", "activeLatency": 1e308}, "Error", "message.activeLatency: expected milliseconds"),
        ({"msgName": "A", "resume": {"seqN": 0}}, "Error", "message.resume.seqN: expected a sequence number"),
    ],
)
def test_a_wrong_stream_request_is_an_ack_that_belongs_to_it(
    fields: dict[str, Any], result: str, says: str
) -> None:
    ((m_typ, body),) = told(
        new_session().receive(said("MLinkStream", queryID=9, queryLabel="l", **fields), 0.0)
    )

    assert m_typ == "MLinkStreamAck"
    assert body["result"] == result
    assert says in body["detail"]
    assert (body["queryID"], body["queryLabel"], body["querySendTs"]) == (9, "l", WALL_NS)
    assert body.get("msgName", "") == fields.get("msgName", "")


def test_the_field_that_is_wrong_is_not_echoed() -> None:
    ((_, body),) = told(new_session().receive(said("MLinkStream", queryID="x", sessionID=1, msgName={}), 0.0))

    assert (body["sessionID"], body["result"]) == (1, "Error")
    assert "queryID" not in body
    assert "msgName" not in body


def test_begin_active_complete_in_this_order_with_proof() -> None:
    session = new_session()
    stream = started(session, sessionID=1, queryID=2)
    position = StreamPosition(sessionID=1, queryID=2, src="itch", ses="S", seqN=9, numMessagesSent=3)

    begin = session.checkpoint(stream, StreamState.BEGIN)
    active = session.checkpoint(
        stream, StreamState.ACTIVE, Progress(num_messages=3, num_bytes=100, highwater_ns=7)
    )
    complete = session.checkpoint(stream, StreamState.COMPLETE, Progress(positions=(position,)), signal_id=5)

    common = {"sessionID": 1, "queryID": 2, "timestamp": WALL_TEXT}
    assert told([*begin, *active, *complete]) == [
        ("MLinkStreamCheckPt", {**common, "state": "Begin"}),
        (
            "MLinkStreamCheckPt",
            {**common, "state": "Active", "numMessagesSent": 3, "numBytesSent": 100, "highwaterTs": 7},
        ),
        (
            "MLinkStreamCheckPt",
            {**common, "state": "Complete", "signalID": 5, "positions": [position.model_dump()]},
        ),
    ]


def test_a_checkpoint_tells_where_the_time_of_an_answer_went() -> None:
    session = new_session()
    stream = started(session)
    session.checkpoint(stream, StreamState.BEGIN)

    elapsed = Elapsed(query_s=2.5, send_s=0.5000004)
    ((_, body),) = told(session.checkpoint(stream, StreamState.ACTIVE, Progress(elapsed=elapsed)))

    assert body == {
        "timestamp": WALL_TEXT,
        "state": "Active",
        "waitElapsed": 2.0,
        "queryElapsed": 2.5,
        "sendElapsed": 0.5,
    }


def test_nobody_waits_less_than_not_at_all() -> None:
    """The two are taken one after the other."""
    assert Elapsed(query_s=0.1, send_s=0.2).wait_s == 0


@pytest.mark.parametrize(
    "states",
    [("Active",), ("Complete",), ("Begin", "Begin"), ("Begin", "Complete"), ("Begin", "Active", "Begin")],
)
def test_checkpoints_in_another_order_are_our_own_error(states: tuple[str, ...]) -> None:
    session = new_session()
    stream = started(session)
    *good, bad = (StreamState(state) for state in states)
    for state in good:
        session.checkpoint(stream, state)

    with pytest.raises(LocalProtocolError, match=f"checkpoint {bad.value}"):
        session.checkpoint(stream, bad)


def test_a_checkpoint_of_a_stream_that_is_not_running_is_our_own_error() -> None:
    with pytest.raises(LocalProtocolError, match="not running"):
        new_session().checkpoint(StreamId(0, 0), StreamState.BEGIN)


def test_a_request_with_the_same_identity_replaces_the_stream() -> None:
    session = new_session()
    stream = started(session, queryID=1)

    asked = only(session.receive(said("MLinkStream", msgName="Trade", queryID=1), 0.0))
    actions = session.ack_stream(asked, StreamResult.OK, ends={stream: Progress(num_messages=5)})

    assert asked.replaces
    assert [(m, b.get("state", b.get("result")), b.get("numMessagesSent")) for m, b in told(actions)] == [
        ("MLinkStreamCheckPt", "Replaced", 5),
        ("MLinkStreamAck", "OK", None),
    ]
    assert session.streams == (stream,)
    session.checkpoint(stream, StreamState.BEGIN)  # the new one starts afresh


def test_a_replacement_that_is_refused_leaves_the_stream_running() -> None:
    session = new_session()
    stream = started(session, queryID=1)
    session.checkpoint(stream, StreamState.BEGIN)

    asked = only(session.receive(said("MLinkStream", msgName="Nope", queryID=1), 0.0))
    actions = session.ack_stream(asked, StreamResult.UNKWN_MSG_TYPE, "no such message")

    assert [m for m, _ in told(actions)] == ["MLinkStreamAck"]
    session.checkpoint(stream, StreamState.ACTIVE)  # the old one goes on


def test_without_query_ids_one_connection_carries_a_stream_per_message_name() -> None:
    session = new_session()

    for name in ("stockprint", "stockbookquote", "LiveSurfaceCurve"):
        started(session, msgName=name)
    again = only(session.receive(said("MLinkStream", msgName="STOCKPRINT"), 0.0))

    assert len(session.streams) == 3
    assert again.replaces


def test_the_session_is_part_of_the_identity() -> None:
    session = new_session()

    assert started(session, queryID=1, sessionID=1) != started(session, queryID=1, sessionID=2)
    assert len(session.streams) == 2


def test_one_stream_too_many_is_an_error_ack_and_a_replacement_is_not() -> None:
    session = new_session(streams_max=2)
    started(session, queryID=1)
    only(session.receive(said("MLinkStream", msgName="A", queryID=2), 0.0))  # not acknowledged yet: it counts

    ((_, body),) = told(session.receive(said("MLinkStream", msgName="A", queryID=3), 0.0))
    again = only(session.receive(said("MLinkStream", msgName="A", queryID=1), 0.0))

    assert body["result"] == "Error"
    assert "2 streams" in body["detail"]
    assert again.replaces


def test_a_refused_stream_gives_its_place_back() -> None:
    session = new_session(streams_max=1)
    asked = only(session.receive(said("MLinkStream", msgName="A", queryID=1), 0.0))
    session.ack_stream(asked, StreamResult.ERROR)

    assert isinstance(
        only(session.receive(said("MLinkStream", msgName="A", queryID=2), 0.0)), StreamRequested
    )


def test_a_request_is_answered_once() -> None:
    session = new_session()
    asked = only(session.receive(said("MLinkStream", msgName="A"), 0.0))
    session.ack_stream(asked, StreamResult.ERROR)

    with pytest.raises(LocalProtocolError, match="answered before"):
        session.ack_stream(asked, StreamResult.OK)


def test_the_same_stream_asked_for_twice_before_an_answer_is_replaced_in_order() -> None:
    session = new_session()
    first, second = (
        only(session.receive(said("MLinkStream", msgName="A", queryID=1), 0.0)) for _ in range(2)
    )

    answers = told(
        [*session.ack_stream(first, StreamResult.OK), *session.ack_stream(second, StreamResult.OK)]
    )

    assert (first.replaces, second.replaces) == (False, True)
    assert [body.get("state", body.get("result")) for _, body in answers] == ["OK", "Replaced", "OK"]


def test_unsubscribe_ends_the_stream_with_its_last_position() -> None:
    session = new_session()
    stream = started(session, queryID=1)
    position = StreamPosition(queryID=1, src="itch", ses="S", seqN=9, numMessagesSent=3)

    asked = only(session.receive(said("MLinkStream", queryID=1, unsubscribe="Yes", msgName="addorder"), 0.0))
    actions = session.ack_stream(asked, StreamResult.OK, ends={stream: Progress(positions=(position,))})

    assert asked.ids == (stream,)
    (_, ack), (_, point) = told(actions)
    assert (ack["result"], ack["unsubscribe"], ack["msgName"]) == ("OK", "Yes", "addorder")
    assert (point["state"], point["queryID"]) == ("Terminated", 1)
    assert point["positions"][0]["seqN"] == 9
    assert session.streams == ()


@pytest.mark.parametrize(
    ("fields", "ended"),
    [
        ({"queryID": 1}, {1}),
        ({"queryID": 1, "msgName": "other"}, {1}),
        ({"msgName": "ADDORDER"}, {1, 2}),
        ({}, {1, 2, 3}),
        ({"sessionID": 5}, {4}),
    ],
)
def test_unsubscribe_without_a_query_id_goes_by_message_name_then_by_session(
    fields: dict[str, Any], ended: set[int]
) -> None:
    session = new_session()
    for query, name, number in ((1, "AddOrder", 0), (2, "AddOrder", 0), (3, "Trade", 0), (4, "AddOrder", 5)):
        started(session, queryID=query, msgName=name, sessionID=number)

    asked = only(session.receive(said("MLinkStream", unsubscribe="Yes", **fields), 0.0))

    assert isinstance(asked, StreamsCancelled)
    assert {id.query_id for id in asked.ids} == ended


@pytest.mark.parametrize("fields", [{"queryID": 9}, {"msgName": "Trade"}, {"sessionID": 5}])
def test_unsubscribing_what_is_not_running_is_a_warning(fields: dict[str, Any]) -> None:
    session = new_session()
    started(session, queryID=1)

    ((_, body),) = told(session.receive(said("MLinkStream", unsubscribe="Yes", **fields), 0.0))

    assert (body["result"], body["unsubscribe"]) == ("Warn", "Yes")
    assert len(session.streams) == 1


def test_a_stream_the_gateway_ends_may_be_asked_for_again() -> None:
    session = new_session()
    stream = started(session, queryID=1)

    ((_, body),) = told(session.checkpoint(stream, StreamState.TERMINATED, detail="the position aged out"))
    asked = only(session.receive(said("MLinkStream", msgName="A", queryID=1), 0.0))

    assert (body["state"], body["detail"]) == ("Terminated", "the position aged out")
    assert not asked.replaces


# --- signal ready


def test_a_signal_names_the_streams_it_is_for() -> None:
    session = new_session()
    one, two = started(session, queryID=1), started(session, queryID=2, sessionID=5)

    assert session.receive(said("MLinkSignalReady", signalID=7), 0.0) == [
        SignalReady(None, 7, False, (one, two))
    ]
    assert session.receive(said("MLinkSignalReady", sessionID=-1, readyScan="FullScan"), 0.0) == [
        SignalReady(None, 0, True, (one, two))
    ]
    assert session.receive(said("MLinkSignalReady", sessionID=5), 0.0) == [SignalReady(5, 0, False, (two,))]
    assert session.receive(said("MLinkSignalReady", sessionID=0), 0.0) == [SignalReady(0, 0, False, (one,))]
    assert session.receive(said("MLinkSignalReady", sessionID=6), 0.0) == [SignalReady(6, 0, False, ())]


def test_a_wrong_signal_is_a_data_ack() -> None:
    ((m_typ, body),) = told(new_session().receive(said("MLinkSignalReady", readyScan="all"), 0.0))

    assert (m_typ, body["result"], body["msgType"]) == ("MLinkDataAck", "ProtoError", "MLinkSignalReady")
    assert "expected one of Incremental, FullScan, got 'all'" in body["detail"]
