"""A definition file as a small tree of elements that know their line.

Knows XML and its dangers; nothing of messages and fields. The standard library's ElementTree
forgets line numbers and expands entities, so the tree is built here from expat's events:
no entity is ever declared, and size, depth and count of elements are bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from gateway.definitions.errors import DefinitionError

# A file above one of these is refused as a whole. The largest shipped file has 60 kB and depth 5.
FILE_BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 16
ELEMENTS_MAX = 100_000

_WITH_TEXT = {"value"}


@dataclass(slots=True)
class Element:
    """One element: its attributes as written, its children in order, its text unstripped."""

    file: str
    line: int
    tag: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def __iter__(self) -> Iterator["Element"]:
        return iter(self.children)

    def __str__(self) -> str:
        """How a person finds it again: its tag and what names it."""
        for name in ("id", "name", "def", "tag"):
            if name in self.attributes:
                return f'<{self.tag} {name}="{self.attributes[name]}">'
        return f"<{self.tag}>"

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    def need(self, name: str, what: str) -> str:
        """The attribute's value; without it the file is wrong."""
        value = self.attributes.get(name)
        if not value:
            self.fail(f'expected {name}="…", {what}')
        return value

    def fail(self, problem: str) -> NoReturn:
        raise DefinitionError(self.file, self.line, str(self), problem)


class _TreeBuilder:
    """Takes expat's events for one file and leaves the root element."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._open: list[Element] = []
        self._count = 0
        self.root: Element | None = None
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        # Internal entities explode ("billion laughs"), external ones read files and open sockets.
        # No definition needs either, so a document type is refused before anything in it acts.
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _fail(self, problem: str) -> NoReturn:
        raise DefinitionError(self._file, self.parser.CurrentLineNumber, "", problem)

    def _doctype(self, *_: object) -> None:
        self._fail("a document type (<!DOCTYPE …>) and its entities are refused; expected elements only")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS_MAX:
            self._fail(f"more than {ELEMENTS_MAX} elements")
        if len(self._open) == DEPTH_MAX:
            self._fail(f"elements nested deeper than {DEPTH_MAX}")
        element = Element(self._file, self.parser.CurrentLineNumber, tag, attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        element = self._open.pop()
        if element.tag in _WITH_TEXT:
            for child in element:
                child.fail(f"expected only text inside {element}")
        elif text := element.text.strip():
            element.fail(f"expected only elements inside, got the text {text[:40]!r}")

    def _characters(self, text: str) -> None:
        self._open[-1].text += text


def parse_document(data: bytes, file: str) -> Element:
    """The root element of `data`; `file` is only the name for errors."""
    if len(data) > FILE_BYTES_MAX:
        raise DefinitionError(file, None, "", f"{len(data)} bytes; expected at most {FILE_BYTES_MAX}")
    builder = _TreeBuilder(file)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        problem = f"not well-formed XML: {expat.ErrorString(error.code)}"
        raise DefinitionError(file, error.lineno, "", problem) from error
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise DefinitionError(file, None, "", f"not readable as XML: {error}") from error
    assert builder.root is not None  # expat refuses a document without an element
    return builder.root
