"""What FieldChangesOnly promises."""

import json

import pytest

from gateway.hub.texts import framed_text
from gateway.net.changes import FieldChanges, fields_of


def text_of(**fields: object) -> str:
    body = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return f'{{"header":{{"mTyp":"Quote"}},"message":{{{body}}}}}'


@pytest.mark.parametrize("framed", [True, False])
def test_only_the_key_and_what_changed_is_sent_again(framed: bool) -> None:
    wire = framed_text if framed else str
    changes = FieldChanges(framed, ["stock"], records_max=10)
    first = wire(text_of(stock='"A"', bid="150.0100", size=5))
    second = wire(text_of(stock='"A"', bid="150.0200", size=5))

    assert changes.rewrite([first]) == [first]
    assert changes.rewrite([second]) == [wire(text_of(stock='"A"', bid="150.0200"))]
    assert changes.rewrite([second]) == [wire(text_of(stock='"A"'))]


def test_a_record_of_another_key_is_sent_whole() -> None:
    changes = FieldChanges(False, ["stock"], records_max=10)
    changes.rewrite([text_of(stock='"A"', bid="1.0")])

    assert changes.rewrite([text_of(stock='"B"', bid="1.0")]) == [text_of(stock='"B"', bid="1.0")]


def test_a_record_forgotten_at_the_limit_is_sent_whole_again() -> None:
    changes = FieldChanges(False, ["stock"], records_max=1)
    first = text_of(stock='"A"', bid="1.0")
    changes.rewrite([first, text_of(stock='"B"', bid="1.0")])

    assert changes.rewrite([first]) == [first]


def test_fields_keep_their_own_digits_and_nested_values() -> None:
    text = '{"a":150.0100,"b":"x\\"},{","c":{"d":[1,{"e":2}]},"f":12345678901234567890}'

    fields = fields_of(text)

    assert fields == {
        "a": "150.0100",
        "b": '"x\\"},{"',
        "c": '{"d":[1,{"e":2}]}',
        "f": "12345678901234567890",
    }
    assert json.loads(text) == {name: json.loads(value) for name, value in fields.items()}
    assert fields_of("{}") == {}
