"""The kinds of values that settings are made of, each with its bounds and a sentence that says what is right.

Knows how one value is checked; knows no setting by name.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

# What `validate` is given beside the values: the folder that relative paths start from.
BASE = "base"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Settings that are right one by one but not together. The first key is the one that is blamed."""

    keys: tuple[str, ...]
    remedy: str


class Section(BaseModel):
    """A table of the file: frozen, no unknown keys, no guessing of types, never shows what it was given."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        validate_default=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    def conflicts(self) -> Iterator[Conflict]:
        """What does not go together; asked for once all single values are right."""
        return iter(())


def _to_path(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str | Path):
        raise ValueError('write a path as text, as in "keys.toml"')
    if str(value) in ("", "."):
        return None
    if "\0" in str(value):
        raise ValueError("a path can't hold a NUL")
    return (info.context or {}).get(BASE, Path()) / value


def may_be_there(path: Path) -> bool:
    """False only where it is seen that there is nothing: in a closed folder nobody sees."""
    try:
        return path.exists()
    except OSError:
        return True


def _to_existing_file(value: Any, info: ValidationInfo) -> Any:
    path = _to_path(value, info) if value is not None else None
    try:
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder; name a file in it")
        if path is not None and not path.is_file():
            raise ValueError(
                f"there is no file {path}; correct the path (relative ones start from this file's folder)"
            )
    except OSError as exc:
        raise ValueError(f"{path} can't be seen ({exc.strerror}); let the service into its folder") from exc
    return path


def _to_folder(value: Any) -> Any:
    # Not beside the settings: what is written belongs to where the service runs, what is read to the file.
    if not isinstance(value, str | Path) or str(value) == "":
        raise ValueError('write a path as text, as in "var/journal"')
    folder = Path(value)
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError("it is a file, and a folder is needed; choose another path")
    except OSError as exc:
        raise ValueError(f"can't be seen ({exc.strerror}); let the service into the folder above it") from exc
    return folder


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _to_name(value: Any) -> Any:
    if isinstance(value, str) and not NAME.fullmatch(value):
        raise ValueError("write 1 to 32 ASCII letters, digits, - and _, a letter first")
    return value


def _to_host(value: Any) -> Any:
    if isinstance(value, str) and (not value or not value.isascii() or re.search(r"[\s/\[\]]", value)):
        raise ValueError(
            'write an address or a host name without port, as in "127.0.0.1", "::1" or "0.0.0.0"'
        )
    return value


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; ValueError says what is wrong."""
    if "@" in text or "://" in text:
        raise ValueError(
            'write host and port only, as in "exchange.example:9000"; user and password are said apart'
        )
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('put an IPv6 address in brackets, as in "[::1]:9000"')
    if not colon or not host or re.search(r"[\s/@\[\]]", host) or not host.isascii():
        raise ValueError('write host and port, as in "exchange.example:9000"')
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise ValueError("the port behind the last colon must be a number from 1 to 65535")
    return host, int(port)


def _to_address(value: Any) -> Any:
    if isinstance(value, str):
        split_address(value)
    return value


def _to_origin(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value == "*":
        raise ValueError("`*` would let every site in; name each origin")
    try:
        parts = urlsplit(value)
        # Reading the port checks it.
        plain = f"{parts.scheme}://{parts.netloc}" == value and parts.hostname and (parts.port or 1)
    except ValueError:
        plain = None
    if not plain or parts.scheme not in ("http", "https") or "@" in parts.netloc or "*" in parts.netloc:
        raise ValueError(
            'write scheme and host without a path, as in "https://desk.example" or "http://localhost:8080"'
        )
    return value.lower()


def _to_network(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            'write addresses and networks, as in "10.1.2.3" or "fd00:1::/64"; names are not looked up'
        ) from None
    if network.prefixlen == 0:
        raise ValueError("would believe everybody; name your proxies")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise ValueError("write IPv4 addresses as such, without ::ffff:")
    if network.network_address != ipaddress.ip_address(value.partition("/")[0]):
        raise ValueError(f'has bits behind its length; write "{network}" for the network')
    return value


def _to_word(value: Any) -> Any:
    if isinstance(value, str) and not (value.isascii() and value.isprintable() and value == value.strip()):
        raise ValueError("write printable ASCII without spaces around it")
    return value


def _to_definitions(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, str) and ("/" in value or value.endswith(".xml")):
        return str((info.context or {}).get(BASE, Path()) / value)
    if value == "":
        raise ValueError('write the name of a shipped file, as in "itch50", or the path of an XML file')
    return value


OptionalPath = Annotated[Path | None, BeforeValidator(_to_path)]
FilePath = Annotated[Path, BeforeValidator(_to_path)]
ExistingFile = Annotated[Path | None, BeforeValidator(_to_existing_file)]
Folder = Annotated[Path, BeforeValidator(_to_folder)]
Name = Annotated[str, BeforeValidator(_to_name)]
Host = Annotated[str, BeforeValidator(_to_host), Field(max_length=255)]
Address = Annotated[str, BeforeValidator(_to_address), Field(max_length=270)]
Origin = Annotated[str, BeforeValidator(_to_origin), Field(max_length=270)]
Word = Annotated[str, BeforeValidator(_to_word)]
DefinitionsName = Annotated[str, BeforeValidator(_to_definitions), Field(max_length=1_000)]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(_to_tuple), Field(max_length=256)]
Network = Annotated[str, BeforeValidator(_to_network), Field(max_length=64)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_to_tuple), Field(max_length=256)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_to_tuple), Field(max_length=256)]
AsTuple = BeforeValidator(_to_tuple)
