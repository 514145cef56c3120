"""Message definitions: what a user's XML file says, checked whole before anything is decoded by it."""

from gateway.definitions.errors import DefinitionError
from gateway.definitions.loader import SHIPPED, load_definitions, read_definitions
from gateway.definitions.model import Definitions, Enum, EnumValue, Field, Lengths, MessageDefinition

__all__ = [
    "SHIPPED",
    "DefinitionError",
    "Definitions",
    "Enum",
    "EnumValue",
    "Field",
    "Lengths",
    "MessageDefinition",
    "load_definitions",
    "read_definitions",
]
