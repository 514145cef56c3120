"""Strategies for definitions nobody thought of, and for values that fit them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

# Every byte there is: quotes, backslashes, control characters, NUL, and what is no ASCII.
LATIN = st.characters(max_codepoint=255)
INTEGER_TYPES = [
    f"{sign}int_{width}{order}" for sign in ("", "u") for width in range(1, 9) for order in ("", "_be")
]


@dataclass
class AnyField:
    """A field's attributes in XML, and values for it."""

    xml: str
    values: st.SearchStrategy[Any]


@dataclass
class AnyDefinition:
    """A file with one message, and values for the message."""

    xml: str
    names: list[str]
    optional: list[str]
    values: st.SearchStrategy[dict[str, Any]]


def texts(length: int) -> st.SearchStrategy[str]:
    """Texts of a padded field: what looks like padding is not part of a value."""
    return st.text(LATIN, max_size=length).map(lambda text: text.rstrip(" "))


def numbers(type_: str, decimals: int) -> st.SearchStrategy[Any]:
    width, signed = int(type_.split("_")[1]), not type_.startswith("u")
    most = 1 << (8 * width - signed)
    whole = st.integers(-most if signed else 0, most - 1)
    return whole.map(lambda number: Decimal(number).scaleb(-decimals)) if decimals else whole


@st.composite
def any_scalar(draw: st.DrawFn) -> AnyField:
    sort = draw(st.sampled_from(["integer", "integer", "boolean", "byte", "char", "text", "digits"]))
    if sort == "integer":
        type_ = draw(st.sampled_from(INTEGER_TYPES))
        decimals = draw(st.integers(0, 2))
        return AnyField(f'type="{type_}" decimals="{decimals}"', numbers(type_, decimals))
    if sort == "boolean":
        return AnyField('type="boolean"', st.booleans())
    if sort == "byte":
        return AnyField('type="byte"', st.integers(0, 255))
    encoding = draw(st.sampled_from(["ascii", "iso-8859-1"]))
    if sort == "char":
        return AnyField(f'type="char_{encoding}"', LATIN)
    length = draw(st.integers(1, 12))
    if sort == "text":
        return AnyField(f'type="str_{encoding}_n" length="{length}"', texts(length))
    return AnyField(f'type="uint_ascii_n" length="{length}"', st.integers(0, 10**length - 1))


@st.composite
def any_field(draw: st.DrawFn, records: list[tuple[str, st.SearchStrategy[Any]]]) -> AnyField:
    sort = draw(st.sampled_from(["scalar", "scalar", "text", "record", "array", "lists"]))
    if sort == "text":
        return AnyField('type="str_ascii"', st.text(LATIN, max_size=20))
    if sort == "record" and records:
        name, values = draw(st.sampled_from(records))
        return AnyField(f'ref="{name}"', values)
    inner = draw(any_scalar())
    if sort in ("array", "lists"):
        if records and draw(st.booleans()):
            name, values = draw(st.sampled_from(records))
            inner = AnyField(f'type="record:{name}"', values)
        count = draw(st.sampled_from(["byte", "uint_2_be", "int_2", "uint_3"]))
        depth = "double" if sort == "lists" else "true"
        lists = st.lists(inner.values, max_size=3)
        values = st.lists(lists, max_size=3) if sort == "lists" else lists
        return AnyField(f'{inner.xml} array="{depth}" length_type="{count}"', values)
    return inner


def fields_xml(fields: list[AnyField], prefix: str, extra: list[str]) -> str:
    return "".join(
        f'<field name="{prefix}{position}" {each.xml} {more}/>'
        for position, (each, more) in enumerate(zip(fields, extra, strict=True))
    )


@st.composite
def any_definition(draw: st.DrawFn) -> AnyDefinition:
    records: list[tuple[str, st.SearchStrategy[Any]]] = []
    records_xml = ""
    for number in range(draw(st.integers(0, 2))):
        inner = draw(st.lists(any_field(records), min_size=1, max_size=4))
        xml = fields_xml(inner, "r", [""] * len(inner))
        records_xml += f'<record id="Rec{number}"><fields>{xml}</fields></record>'
        values = st.fixed_dictionaries({f"r{at}": each.values for at, each in enumerate(inner)})
        records.append((f"Rec{number}", values))
    always = draw(st.lists(any_field(records), max_size=6))
    tail = draw(st.lists(any_scalar(), max_size=2))
    extra = [""] * len(always) + ['optional="true"'] * len(tail)
    fields = always + tail
    xml = fields_xml(fields, "f", extra)
    strategies = {f"f{at}": each.values for at, each in enumerate(fields)}
    optional = [f"f{at}" for at in range(len(always), len(fields))]
    tags = draw(st.none() | st.dictionaries(st.integers(0, 255), any_scalar(), max_size=4))
    tags_xml = ""
    if tags is not None:
        lines = "".join(f'<tag number="{tag}" name="t{tag}" {each.xml}/>' for tag, each in tags.items())
        tags_xml = f'<appendages-root><appendage id="App">{lines}</appendage></appendages-root>'
        may_miss = bool(tail) or draw(st.booleans())
        xml += f'<field name="app" type="appendage:App" optional="{str(may_miss).lower()}"/>'
        strategies["app"] = st.fixed_dictionaries(
            {}, optional={f"t{tag}": each.values for tag, each in tags.items()}
        )
        if may_miss:
            optional.append("app")
    message = f'<message id="Any" message-id="M" direction="outgoing"><fields>{xml}</fields></message>'
    return AnyDefinition(
        f"<root>{tags_xml}<records-root>{records_xml}</records-root>"
        f"<messages-root>{message}</messages-root></root>",
        list(strategies),
        optional,
        st.fixed_dictionaries(strategies),
    )
