"""How integers of any width are made of the widths that struct has.

Knows the order of bytes; used by decoders and encoders alike.
"""

from gateway.definitions.model import IntegerType

# The parts of each width from the most significant one down, in bytes.
_PARTS = {1: (1,), 2: (2,), 3: (1, 2), 4: (4,), 5: (1, 4), 6: (2, 4), 7: (1, 2, 4), 8: (8,)}
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def integer_parts(type_: IntegerType) -> list[tuple[str, int]]:
    """The struct codes of an integer in the order of its bytes, each with how far it is shifted left."""
    parts: list[tuple[str, int]] = []
    shift = 8 * type_.width
    for position, width in enumerate(_PARTS[type_.width]):
        shift -= 8 * width
        code = _CODES[width]
        parts.append((code.lower() if type_.signed and position == 0 else code, shift))
    return parts if type_.big_endian else parts[::-1]
