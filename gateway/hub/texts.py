"""What stands around a message's body: the JSON header in front of it, the MLink frame around both.

Knows text; knows nothing of definitions, and nobody who wants it.
"""

from json import dumps, loads

import orjson

from gateway.mlink.frames import frame_text
from gateway.mlink.times import TimeText

# Longer payloads have their frame's header formatted one by one; nearly every message is shorter.
HEADS_MAX = 4096
HEADS = [f"\r\nJ00000{size:06d}" for size in range(HEADS_MAX)]
# Each remembers its last second. Of what is old they are not the same, and one for both would never remember.
_received, _encoded = TimeText(), TimeText()


def framed_text(payload: str) -> str:
    """The payload, all ASCII, behind its MLink header, number 00000 (a message type of ours)."""
    size = len(payload)
    return HEADS[size] + payload if size < HEADS_MAX else frame_text(payload)


def escaped(json: bytes) -> str:
    """JSON as ASCII text, the rest as `\\u` escapes: characters and bytes count the same."""
    if json.isascii():
        return json.decode("ascii")
    return dumps(loads(json))


def header_until_number(name: str, feed: str, session: str) -> str:
    """A message's JSON from its first brace to where its number goes."""
    header = orjson.dumps({"mTyp": name, "src": feed, "ses": session, "seqN": 0})
    return '{"header":' + escaped(header).removesuffix("0}")


def header_behind_number(received_ns: int, encoded_ns: int) -> str:
    """The rest of the header, up to where the body goes."""
    return f',"sTim":"{_received(received_ns)}","encT":"{_encoded(encoded_ns)}"}},"message":{{'
