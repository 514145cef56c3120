"""From an <enum> element to a checked Enum and the name of the type that carries it.

Knows the values a field may name; knows nothing of the fields.
"""

from gateway.definitions.document import Element
from gateway.definitions.fields import check_attributes, check_name
from gateway.definitions.model import CountedTextType, Enum, EnumValue, FieldType, Value
from gateway.definitions.types import type_named, value_of


def read_enum(element: Element) -> tuple[Enum, str]:
    check_attributes(element, {"id", "type"})
    name = check_name(element.need("id", "the name of the enum"), "id", element)
    base = element.need("type", "the type of its values")
    # The length of a fixed text belongs to the field that uses the enum, as with the plain type.
    type_: FieldType = CountedTextType() if base.endswith("_n") else type_named(base, element)
    values: dict[Value, EnumValue] = {}
    for child in element:
        if child.tag != "value":
            child.fail("expected a <value>")
        check_attributes(child, {"name"})
        value = value_of(child.text, type_, "value", child)
        if value in values:
            child.fail(f"{element} has the value {child.text!r} twice")
        known_as = child.need("name", "the name of the value")
        values[value] = EnumValue(value, known_as, child.get("description") or "")
    return Enum(name, tuple(values.values())), base
