"""FieldChangesOnly: of a record that was sent before, only its key and the fields that are others now.

Knows JSON text as the hub writes it; keeps the values' own digits, so that no price is rounded on the way.
"""

from collections import OrderedDict
from collections.abc import Collection
from json import JSONDecoder

from gateway.hub.texts import framed_text

_HEADER_SIZE = 14
_MESSAGE = '"message":'
_decode = JSONDecoder().raw_decode


class FieldChanges:
    """Remembers what was sent of each record, `records_max` of them; of one forgotten, all is sent again."""

    def __init__(self, framed: bool, key_fields: Collection[str], records_max: int) -> None:
        self._framed = framed
        self._key_fields = frozenset(key_fields)
        self._records_max = records_max
        self._sent: OrderedDict[tuple[str, ...], dict[str, str]] = OrderedDict()

    def rewrite(self, texts: list[str]) -> list[str]:
        """The same records with unchanged fields left out."""
        return [self._changes(text) for text in texts]

    def _changes(self, text: str) -> str:
        payload = text[_HEADER_SIZE:] if self._framed else text
        at = payload.index(_MESSAGE) + len(_MESSAGE)
        fields = fields_of(payload[at:-1])
        key = tuple(fields[name] for name in sorted(self._key_fields) if name in fields)
        before = self._sent.pop(key, None)
        self._sent[key] = fields
        if len(self._sent) > self._records_max:
            self._sent.popitem(last=False)
        if before is None:
            return text
        changed = ",".join(
            f'"{name}":{value}'
            for name, value in fields.items()
            if name in self._key_fields or before.get(name) != value
        )
        payload = f"{payload[:at]}{{{changed}}}}}"
        return framed_text(payload) if self._framed else payload


def fields_of(text: str) -> dict[str, str]:
    """The fields of a JSON object without spaces: name → the value's own text."""
    fields: dict[str, str] = {}
    at = 1
    while text[at] != "}":
        name, colon = _decode(text, at)
        _, end = _decode(text, colon + 1)
        fields[name] = text[colon + 1 : end]
        at = end + 1 if text[end] == "," else end
    return fields
