"""What there is to ask for, told from the definitions: message types, and the fields of one."""

from collections.abc import Iterator
from typing import Any

from gateway.decode import MessageCodec
from gateway.definitions.model import (
    AppendageType,
    ArrayType,
    BooleanType,
    CharType,
    CountedTextType,
    DigitsType,
    Field,
    FieldType,
    IntegerType,
    RecordType,
    TextType,
)


def msg_type(feed: str, codec: MessageCodec) -> dict[str, Any]:
    """One message type of a feed. Only those with a key have latest records to ask for."""
    definition = codec.definition
    told = {
        "msgName": codec.name,
        "src": feed,
        "kind": definition.kind,
        "pKey": "|".join(definition.key),
        "group": definition.group or "",
        "desc": definition.description,
    }
    return {name: value for name, value in told.items() if value}


def field_descriptions(codec: MessageCodec) -> Iterator[dict[str, Any]]:
    """Its fields in order, those inside others behind them with dotted names."""
    position = 0
    for name, each, inside in _fields(codec.definition.fields, ""):
        position += 1
        told = {
            "pos": position,
            "name": name,
            "isPkey": "Yes" if name in codec.definition.key else "No",
            "inRepeater": inside,
            "fType": _type_name(each.type),
            "sLen": each.type.length if isinstance(each.type, TextType | DigitsType) else 0,
            "decimals": each.type.decimals if isinstance(each.type, IntegerType) else 0,
            "unit": each.unit or "",
            "eName": each.enum.name if each.enum else "",
            "eSet": ",".join(f"{value.value}={value.name}" for value in each.enum.values)
            if each.enum
            else "",
            "isOptional": "Yes" if each.is_optional else "",
            "desc": each.description,
        }
        yield {name: value for name, value in told.items() if value}
    if codec.added_ticker is not None:
        yield {
            "pos": position + 1,
            "name": codec.added_ticker,
            "isPkey": "No",
            "fType": "string",
            "desc": "added from the session's directory, by the locate code",
        }


def _fields(fields: tuple[Field, ...], prefix: str) -> Iterator[tuple[str, Field, str]]:
    for each in fields:
        name = prefix + each.name
        yield name, each, prefix.rstrip(".")
        match each.type:
            case RecordType(fields=inner):
                yield from _fields(inner, f"{name}.")
            case AppendageType(tags=tags):
                yield from _fields(tuple(tags.values()), f"{name}.")
            case ArrayType(item=RecordType(fields=inner)):
                yield from _fields(inner, f"{name}.")


def _type_name(kind: FieldType) -> str:
    match kind:
        case IntegerType(decimals=decimals) if decimals:
            return "price"
        case IntegerType() | DigitsType():
            return "int"
        case BooleanType():
            return "bool"
        case CharType():
            return "char"
        case TextType() | CountedTextType():
            return "string"
        case ArrayType(item=item):
            return f"list of {_type_name(item)}"
        case RecordType(name=name) | AppendageType(name=name):
            return name
