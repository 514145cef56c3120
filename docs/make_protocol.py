"""Writes docs/protocol.md from the models of the control messages: `python docs/make_protocol.py`.

Field names, types and defaults come from the models; what a field means is said here, and a field without
meaning, or a meaning without a field, stops it. A test holds the page equal to what this writes.
"""

import re
import sys
import tomllib
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gateway.mlink import choices, control
from gateway.mlink.close_codes import REASONS
from gateway.mlink.fields import Fields

PAGE = Path(__file__).with_name("protocol.md")
TEMPLATE = Path(__file__).with_name("protocol.template.md")
MEANINGS = tomllib.loads(Path(__file__).with_name("protocol.toml").read_text())

PARTS: dict[type[Fields], tuple[type[Fields], ...]] = {
    control.MLinkStream: (control.Resume,),
    control.MLinkStreamCheckPt: (control.StreamPosition,),
    control.MLinkSubscribe: (control.ViewItem, control.SubscribeItem, control.UnsubscribeItem),
    control.MLinkSubscribeAck: (control.ViewItemAck, control.SubscribeItemAck),
}
CHOICES = (
    choices.AdminState,
    choices.AdminEvent,
    choices.StreamResult,
    choices.StreamState,
    choices.Delivery,
    choices.SubscribeResult,
    choices.SubscribeState,
    choices.Compression,
    choices.ReadyScan,
    choices.DataResult,
)


def page() -> str:
    """The page as it has to stand in the repository."""
    check()
    return (
        TEMPLATE.read_text()
        .replace("{{requests}}", "\n".join(map(section, control.REQUESTS.values())))
        .replace("{{answers}}", "\n".join(map(section, control.ANSWERS.values())))
        .replace("{{choices}}", "\n".join(map(choice, CHOICES)))
        .replace(
            "{{codes}}",
            "\n".join(f"| {int(code)} | {code.name} | {text} |" for code, text in REASONS.items()),
        )
    )


def check() -> None:
    """Every field has a meaning, and every meaning a field."""
    models = {
        *control.REQUESTS.values(),
        *control.ANSWERS.values(),
        *(p for ps in PARTS.values() for p in ps),
    }
    fields = {model.__name__: {"when", *model.model_fields} for model in models}
    for name in sorted({*fields, *MEANINGS}):
        there, meant = fields.get(name, set()), set(MEANINGS.get(name, {}))
        if there != meant:
            raise SystemExit(
                f"docs/protocol.toml: {name}: say what these mean: {sorted(there - meant)}; "
                f"these are not there: {sorted(meant - there)}"
            )


def section(model: type[Fields], level: str = "###") -> str:
    """A heading, when it is sent, and the table of its fields; its parts follow."""
    meanings = MEANINGS[model.__name__]
    lines = [
        f"{level} {model.__name__}",
        "",
        meanings["when"],
        "",
        "| field | | default | |",
        "|---|---|---|---|",
    ]
    for name in model.model_fields:
        cells = (
            f"`{name}`",
            type_of(model, name),
            default_of(model, name),
            in_cell(meanings[name]),
        )
        lines.append(f"| {' | '.join(cells)} |")
    parts = "".join("\n" + section(part, "####") for part in PARTS.get(model, ()))
    return "\n".join(lines) + "\n" + parts


def in_cell(text: str) -> str:
    """A text as a table may hold it: a stroke would end its cell, and within code a backslash be shown."""
    return re.sub(r"`([^`]*\|[^`]*)`", lambda code: f"<code>{code[1].replace('|', '&#124;')}</code>", text)


def type_of(model: type[Fields], name: str) -> str:
    """What the model says it expects, when it gets what nothing can be."""
    annotation = str(model.model_fields[name].annotation)
    named = set(re.findall(r"\.(\w+)", annotation))
    nested = [part.__name__ for parts in PARTS.values() for part in parts if part.__name__ in named]
    if nested:
        link = f"[{nested[0]}](#{nested[0].lower()})"
        return f"a list of {link}" if annotation.startswith("tuple") else f"{link}, or a list of them"
    try:
        model.model_validate({name: object()})
    except ValidationError as error:
        for each in error.errors():
            if each["loc"] == (name,):
                what = str(each.get("ctx", {}).get("what", "a number"))
                kind = next((kind for kind in CHOICES if what == f"one of {', '.join(kind)}"), None)
                return what if kind is None else f"[{kind.__name__}](#choices)"
    return "anything"


def choice(kind: type[StrEnum]) -> str:
    return f"| {kind.__name__} | {', '.join(f'`{member}`' for member in kind)} |"


def default_of(model: type[Fields], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "**needed**"
    if field.default in ("", (), None):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


if __name__ == "__main__":
    PAGE.write_text(page())
