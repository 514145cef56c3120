"""Control messages: each message, each field, each result value, each tolerance; golden bytes out."""

import orjson
import pytest

from gateway.mlink.choices import (
    AdminEvent,
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
    Message,
    MLinkAdmin,
    MLinkDataAck,
    MLinkHeartbeat,
    MLinkLogon,
    MLinkSignalReady,
    MLinkStream,
    MLinkStreamAck,
    MLinkStreamCheckPt,
    MLinkSubscribe,
    MLinkSubscribeAck,
    MLinkSubscribeCheckPt,
    Resume,
    StreamPosition,
    SubscribeItem,
    SubscribeItemAck,
    UnsubscribeItem,
    ViewItem,
    ViewItemAck,
    encode,
    read,
)

SENT_NS = 1_699_543_583_464_116_000
HEADER = '"sTim":"2023-11-09 15:26:23.464116","encT":"2023-11-09 15:26:23.464116"'


# --- golden bytes of what we say


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (MLinkAdmin(state=AdminState.LOGGED_ON), '{"state":"LoggedOn"}'),
        (MLinkAdmin(state=AdminState.GOOD_NIGHT, detail="bye"), '{"state":"GoodNight","detail":"bye"}'),
        (
            MLinkAdmin(
                state=AdminState.LOGGED_ON,
                event=AdminEvent.SEQUENCE_GAP,
                src="itch",
                ses="0000000001",
                fromSeqN=5,
                toSeqN=9,
            ),
            '{"state":"LoggedOn","event":"SequenceGap","src":"itch","ses":"0000000001","fromSeqN":5,"toSeqN":9}',
        ),
        (
            MLinkAdmin(
                state=AdminState.LOGGED_ON,
                event=AdminEvent.SLOW,
                sessionID=1,
                queryID=2,
                lagMessages=100,
                lagSeconds=1.5,
            ),
            '{"state":"LoggedOn","event":"Slow","sessionID":1,"queryID":2,"lagMessages":100,"lagSeconds":1.5}',
        ),
        (
            MLinkStreamAck(msgName="stockbookquote", result=StreamResult.OK),
            '{"msgName":"stockbookquote","result":"OK"}',
        ),
        (
            MLinkStreamAck(
                sessionID=1,
                queryID=2,
                querySendTs=3,
                queryLabel="q",
                unsubscribe=YesNo.YES,
                msgName=("a", "B"),
                result=StreamResult.ERROR,
                detail="why",
            ),
            '{"sessionID":1,"queryID":2,"querySendTs":3,"queryLabel":"q","unsubscribe":"Yes","msgName":["a","B"],'
            '"result":"Error","detail":"why"}',
        ),
        (
            MLinkStreamCheckPt(state=StreamState.BEGIN, timestamp="2023-11-09 15:26:23.566996"),
            '{"state":"Begin","timestamp":"2023-11-09 15:26:23.566996"}',
        ),
        (
            MLinkStreamCheckPt(
                sessionID=1,
                queryID=2,
                signalID=3,
                state=StreamState.COMPLETE,
                detail="d",
                highwaterTs=4,
                numBytesSent=5,
                numMessagesSent=6,
                waitElapsed=-22.0229465,
                queryElapsed=22.0229815,
                tryFwdElapsed=-1.5e-05,
                sendElapsed=0.5,
                flushElapsed=0.25,
                timestamp="t",
                positions=(
                    StreamPosition(sessionID=1, queryID=2, src="itch", ses="S1", seqN=7, numMessagesSent=8),
                ),
            ),
            '{"sessionID":1,"queryID":2,"signalID":3,"state":"Complete","detail":"d","highwaterTs":4,'
            '"numBytesSent":5,"numMessagesSent":6,"waitElapsed":-22.0229465,"queryElapsed":22.0229815,'
            '"tryFwdElapsed":-0.000015,"sendElapsed":0.5,"flushElapsed":0.25,"timestamp":"t","positions":'
            '[{"sessionID":1,"queryID":2,"src":"itch","ses":"S1","seqN":7,"numMessagesSent":8}]}',
        ),
        (
            MLinkSubscribeAck(
                sessionID=1,
                subscribeID=2,
                succeeded=YesNo.YES,
                numActiveSubscriptions=1,
                didReset=YesNo.YES,
                View=(ViewItemAck(msgName="m", view="x", result=SubscribeResult.VIEW_ERR, detail="no x"),),
                Subscribe=(SubscribeItemAck(msgName="m", msgPKey="AAPL", result=SubscribeResult.OK),),
                Unsubscribe=(SubscribeItemAck(msgName="m", result=SubscribeResult.OK),),
            ),
            '{"sessionID":1,"subscribeID":2,"succeeded":"Yes","numActiveSubscriptions":1,"didReset":"Yes",'
            '"View":[{"msgName":"m","view":"x","result":"ViewErr","detail":"no x"}],'
            '"Subscribe":[{"msgName":"m","msgPKey":"AAPL","result":"OK"}],'
            '"Unsubscribe":[{"msgName":"m","result":"OK"}]}',
        ),
        (
            MLinkSubscribeAck(succeeded=YesNo.NO, errorMsg="why"),
            '{"succeeded":"No","errorMsg":"why"}',
        ),
        (
            MLinkSubscribeCheckPt(
                sessionID=1, subscribeID=2, signalID=3, state=SubscribeState.ACTIVE, detail="d"
            ),
            '{"sessionID":1,"subscribeID":2,"signalID":3,"state":"Active","detail":"d"}',
        ),
        (MLinkHeartbeat(seqNum=0, timestamp="t"), '{"seqNum":0,"timestamp":"t"}'),
        (
            MLinkHeartbeat(
                seqNum=1, positions=(StreamPosition(queryID=0, src="i", ses="S", seqN=0, numMessagesSent=0),)
            ),
            '{"seqNum":1,"positions":[{"queryID":0,"src":"i","ses":"S","seqN":0,"numMessagesSent":0}]}',
        ),
        (
            # Of a feed that has had no session yet.
            MLinkHeartbeat(
                seqNum=1, positions=(StreamPosition(queryID=0, src="i", seqN=0, numMessagesSent=0),)
            ),
            '{"seqNum":1,"positions":[{"queryID":0,"src":"i","seqN":0,"numMessagesSent":0}]}',
        ),
        (
            MLinkDataAck(msgType="Quote", sendTs=1, result=DataResult.INVLD_MSG_TYPE, detail="d"),
            '{"msgType":"Quote","sendTs":1,"result":"InvldMsgType","detail":"d"}',
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else "",
)
def test_answers_have_these_bytes(message: Message, body: str) -> None:
    name = type(message).__name__

    assert encode(message, SENT_NS).decode() == f'{{"header":{{"mTyp":"{name}",{HEADER}}},"message":{body}}}'
    # A client with the same models reads back what was said.
    assert read(orjson.loads(encode(message, SENT_NS)), ANSWERS).message == message


def test_the_time_of_encoding_may_be_later_than_the_time_of_sending() -> None:
    data = encode(MLinkHeartbeat(seqNum=1), SENT_NS, SENT_NS + 1_000)

    assert b'"sTim":"2023-11-09 15:26:23.464116","encT":"2023-11-09 15:26:23.464117"' in data


def test_no_line_break_gets_out_raw() -> None:
    data = encode(MLinkAdmin(state=AdminState.LOGGED_ON, detail="a\r\nb"), SENT_NS)

    assert b"\r" not in data
    assert b"\n" not in data
    assert b'"a\\r\\nb"' in data


@pytest.mark.parametrize(
    "message",
    [
        MLinkLogon(userName="u", password="p", pin="1", apiKey="k", jwtToken="j"),
        MLinkStream(msgName="AddOrder"),
        MLinkStream(
            msgName=("a", "b"),
            where="a:eq:1",
            view="a|b",
            unsubscribe=YesNo.YES,
            sessionID=1,
            queryID=2**64 - 1,
            queryLabel="l",
            activeLatency=1,
            highwaterTs=-1,
            stripeFilter=("A", "B1"),
            localMsgName="n",
            resume=Resume(src="itch", ses="S", seqN=1),
            coverage=True,
            delivery=Delivery.EVERY,
        ),
        MLinkStream(msgName="*", resume=(Resume(src="a", ses="S", seqN=1), Resume(src="b", ses="T", seqN=2))),
        MLinkSubscribe(
            sessionID=1,
            subscribeID=2,
            activeLatency=3,
            compression=Compression.FIELD_CHANGES_ONLY,
            doReset=YesNo.YES,
            View=(ViewItem(msgName="m", view="a"),),
            Subscribe=(SubscribeItem(msgName="m", msgPKey="k", highwaterTs=5),),
            Unsubscribe=(UnsubscribeItem(msgName="m", msgPKey={"stock": "A"}),),
        ),
        MLinkSignalReady(sessionID=3, signalID=4, readyScan=ReadyScan.FULL_SCAN),
        MLinkSignalReady(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_requests_read_back_as_written(message: Message) -> None:
    assert read(orjson.loads(encode(message, SENT_NS))).message == message
