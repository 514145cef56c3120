"""One message of a stream, and how the bytes of a WebSocket message become several.

Knows frames and the envelope; knows nothing of streams or sockets. A message costs one JSON parse and
one light object; everything else is worked out when it is asked for.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from gateway.errors import RemoteProtocolError
from gateway.mlink.frames import HEADER, HEADER_SIZE

T = TypeVar("T")

_AFTER_CR = HEADER_SIZE - 1
_SHOWN_BYTES = 60


_new = object.__new__

if TYPE_CHECKING:

    def _own(method: T) -> T: ...

else:

    class _own:  # a decorator
        """A method that no field of its name hides: what can be set goes before what an object holds."""

        def __init__(self, method):
            self._method = method
            self.__doc__ = method.__doc__

        def __get__(self, message, kind=None):
            return self if message is None else MethodType(self._method, message)

        def __set__(self, message, value):
            raise AttributeError(f"{self._method.__name__} is a method of messages")


class Message:
    """A message as received: `message.price` and `message["price"]` are its fields.

    A field that has the name of one of the attributes below is reached by `[]` or `fields`.
    """

    # The fields are the object's own dict, so that each is an attribute like any other, found as fast.
    __slots__ = ("__dict__", "fields", "header", "raw")

    #: The fields, a plain dict. Prices are floats here; `exact_fields` has them as Decimal.
    fields: dict[str, Any]
    #: The envelope's header as received.
    header: dict[str, Any]
    #: The JSON object exactly as received.
    raw: bytes

    def __init__(self, header: dict[str, Any], fields: dict[str, Any], raw: bytes) -> None:
        self.header = header
        self.fields = self.__dict__ = fields
        self.raw = raw

    @property
    def type(self) -> str:
        """The message's name, `AddOrder`."""
        return self.header["mTyp"]  # type: ignore[no-any-return]  # a message without a name is not made

    @property
    def src(self) -> str:
        """The feed it comes from."""
        return self.header.get("src", "")  # type: ignore[no-any-return]

    @property
    def session(self) -> str:
        """The upstream session its number counts in."""
        return self.header.get("ses", "")  # type: ignore[no-any-return]

    @property
    def sequence_number(self) -> int | None:
        """Its number in the session; None for data the exchange sent without one, best effort."""
        return self.header.get("seqN")

    @property
    def sent_at(self) -> datetime | None:
        """When the gateway received it from upstream (UTC)."""
        return _time(self.header.get("sTim"))

    @property
    def encoded_at(self) -> datetime | None:
        """When the gateway wrote it as JSON (UTC)."""
        return _time(self.header.get("encT"))

    @_own
    def exact_fields(self) -> dict[str, Any]:
        """The fields with every number that has a point as an exact Decimal."""
        fields: dict[str, Any] = json.loads(self.raw, parse_float=Decimal)["message"]
        return fields

    def __getattr__(self, name: str) -> Any:
        # Only asked for names that are not found otherwise; for a slot, of an object that is just being made.
        if name in Message.__slots__:
            raise AttributeError(name)
        raise AttributeError(f"{self.type} has no field {name!r}; it has {', '.join(self.fields)}")

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    @_own
    def get(self, name: str, default: Any = None) -> Any:
        """The field, or `default` when the message has none of that name."""
        return self.fields.get(name, default)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Message, (self.header, self.fields, self.raw))

    def __repr__(self) -> str:
        return f"<{self.type} {self.src}/{self.session}/{self.sequence_number} {self.fields}>"


class Batch:
    """Messages that arrived together. Each is made when it is taken: what nobody reads is no object."""

    __slots__ = ("texts", "values")

    def __init__(self, values: list[dict[str, Any]], texts: list[bytes]) -> None:
        self.values = values
        self.texts = texts

    def __len__(self) -> int:
        return len(self.values)

    @property
    def last_seq(self) -> int:
        """The number of the last one; 0 when it has none."""
        return self.values[-1]["header"].get("seqN") or 0

    def pairs(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Envelope and text of each message."""
        return zip(self.values, self.texts, strict=True)

    def messages(self) -> list[Message]:
        """All of them."""
        made = []
        for value, text in zip(self.values, self.texts, strict=True):
            # Not by __init__: a call costs as much as all the rest.
            message = _new(Message)
            message.header = value["header"]
            message.fields = message.__dict__ = value["message"]
            message.raw = text
            made.append(message)
        return made


def split(data: bytes) -> list[bytes]:
    """The JSON texts in one WebSocket message, framed or not.

    JSON here has no raw line break in it, so it is cut at those of the frames' headers: one pass in C, by
    one byte, which is twice as fast as by three.
    """
    if data.startswith(HEADER):
        return [piece[_AFTER_CR:] for piece in data.split(b"\r")[1:]]
    return [data]


def parse(texts: list[bytes]) -> tuple[list[Any], RemoteProtocolError | None]:
    """The JSON values in `texts`, up to the first that can't be read, and the error that says so."""
    try:
        return list(map(orjson.loads, texts)), None
    except orjson.JSONDecodeError:
        values = []
        for text in texts:
            try:
                values.append(orjson.loads(text))
            except orjson.JSONDecodeError as error:
                return values, RemoteProtocolError(f"the gateway sent what is not JSON: {error}")
        raise


def not_an_envelope(value: Any) -> RemoteProtocolError:
    """The error for a JSON value that has no header with a name in it."""
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_BYTES else f"{shown[:_SHOWN_BYTES]}…"
    return RemoteProtocolError(f"the gateway sent {shown}, expected an object with header, mTyp and message")


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None
