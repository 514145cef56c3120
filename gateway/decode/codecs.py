"""All codecs of one definition file, found by id byte or by name.

Knows which side sends what; knows nothing of feeds and subscribers.
"""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.decode.codec import MessageCodec
from gateway.definitions.errors import DefinitionError
from gateway.definitions.model import Definitions, Direction


class Codecs:
    """The messages of one direction, by default those the server sends.

    Where two message groups use the same id byte, `group` says which group is meant.
    """

    def __init__(
        self, definitions: Definitions, *, direction: Direction = "outgoing", group: str | None = None
    ) -> None:
        self.definitions = definitions
        self.ticker_name = definitions.ticker_name
        by_id: list[MessageCodec | None] = [None] * 256
        by_name: dict[str, MessageCodec] = {}
        for message in definitions.messages:
            if message.direction != direction or group not in (None, message.group):
                continue
            other = by_id[message.id_byte]
            if other is not None:
                problem = f"id {message.id_byte} is that of {other.name} too; expected a group to choose one"
                raise DefinitionError(definitions.file, None, f"message {message.name}", problem)
            by_id[message.id_byte] = by_name[message.name.casefold()] = MessageCodec(
                message, definitions.ticker_name
            )
        self.by_id = by_id
        """256 places, one for each id byte."""
        self.by_name: Mapping[str, MessageCodec] = MappingProxyType(by_name)
        """By name in casefolded spelling."""
        self.names = tuple(codec.name for codec in by_name.values())
