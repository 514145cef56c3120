"""The key file and the keys in it: hashes only, compared in constant time.

Knows how a key looks and what is kept of it. Never keeps, shows or logs a key.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from gateway.net.access.grants import Access, Grant, Refused, access_of
from gateway.settings.check import checked
from gateway.settings.sources import Raw, read_file
from gateway.settings.types import AsTuple, Conflict, Section, Word

KEY_PREFIX = "sgw_"
# Longer than any key of ours; a stranger's megabyte is not hashed.
KEY_MAX = 256
KEYS_MAX = 10_000


class KeyEntry(Grant):
    """One `[[keys]]` of the key file: the hash of a key, never the key."""

    id: str = Field(
        pattern=r"^[a-z0-9]{4,16}$", max_length=16, description="4 to 16 small letters and digits"
    )
    name: Word = Field(min_length=1, max_length=64)
    # A slow hash protects words that people choose. A key is 256 random bits, which nobody finds from its
    # hash by trying; and one pass of SHA-256 keeps a flood of wrong keys cheap for us.
    sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        max_length=64,
        repr=False,
        description="the 64 small hexadecimal digits that `gateway keys add` makes",
    )
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None


class KeyFile(Section):
    """The key file as a whole."""

    keys: Annotated[tuple[KeyEntry, ...], AsTuple, Field(max_length=KEYS_MAX)] = ()

    def conflicts(self) -> Iterator[Conflict]:
        by_id: dict[str, KeyEntry] = {}
        by_hash: dict[str, KeyEntry] = {}
        for at, each in enumerate(self.keys):
            if (other := by_id.setdefault(each.id, each)) is not each:
                yield Conflict((f"keys.{at}.id",), f"key {other.name!r} has this id too; an id stands once")
            if (other := by_hash.setdefault(each.sha256, each)) is not each:
                yield Conflict(
                    (f"keys.{at}.sha256",), f"key {other.id} has this hash too; remove one of them"
                )


def hash_of(key: str) -> str:
    """What the key file keeps of a key."""
    # A lone surrogate is no key, but must not raise either.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read_key_file(path: Path) -> KeyFile:
    """The key file, checked; ConfigError tells everything that is wrong with it."""
    return checked(read_file(path), KeyFile)


def parse_keys(data: Mapping[str, Any], file: str) -> KeyFile:
    """The same for what was read already."""
    return checked(Raw(file, Path(), dict(data)), KeyFile)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


class KeyRing:
    """The keys that open the door. A file found broken at a reload leaves the old ones in force."""

    def __init__(self, path: Path, entries: Iterable[KeyEntry], stamp: tuple[int, ...] | None = None) -> None:
        self.path = path
        self._stamp = stamp
        self._put(entries)

    def _put(self, entries: Iterable[KeyEntry]) -> None:
        self.entries = tuple(entries)
        self._by_holder = {f"key:{each.id}": each for each in self.entries}
        self._access = {
            each.id: access_of(each, f"key:{each.id}", each.name, _seconds(each.expires))
            for each in self.entries
        }

    @classmethod
    def load(cls, path: Path) -> "KeyRing":
        # The stamp is taken before the file is read: a change in between is seen at the next look.
        stamp = _stamp_of(path)
        return cls(path, read_key_file(path).keys, stamp)

    def reload(self) -> None:
        """Read the file again, whatever its times say. Raises ConfigError and keeps what it has.

        A file that was never there may go on missing.
        """
        stamp = _stamp_of(self.path)
        if stamp is None and self._stamp is None and not self.entries:
            return
        # Kept even if the file is broken, so that it is told once and not at each look.
        self._stamp = stamp
        self._put(read_key_file(self.path).keys)

    def reload_if_changed(self) -> bool:
        """Reload if the file is another one than when it was read; True if so."""
        if _stamp_of(self.path) == self._stamp:
            return False
        self.reload()
        return True

    def judge(self, key: str, now: float) -> Access | Refused:
        """Whom a key belongs to at a time (seconds since the epoch), or why it opens nothing."""
        if len(key) > KEY_MAX:
            return Refused("no key is that long")
        presented = hash_of(key)
        found: KeyEntry | None = None
        # All are compared, and each in constant time, so that the time taken says nothing about the hashes.
        for entry in self.entries:
            if hmac.compare_digest(entry.sha256, presented):
                found = entry
        return Refused("unknown key") if found is None else self._state_of(found, now)

    def _state_of(self, entry: KeyEntry, now: float) -> Access | Refused:
        if entry.revoked is not None:
            return Refused(f"key {entry.id} was revoked")
        access = self._access[entry.id]
        return Refused(f"key {entry.id} has expired") if access.is_expired(now) else access

    def authenticate(self, key: str, now: float) -> Access | None:
        """What the holder of a key may at a time (seconds since the epoch); None if it opens nothing."""
        access = self.judge(key, now)
        return access if isinstance(access, Access) else None

    def renew(self, access: Access, now: float) -> Access | Refused:
        """What a holder who is inside may by now: keys are revoked, expire and change while in use."""
        entry = self._by_holder.get(access.holder)
        if entry is None:
            return Refused(f"{access.holder} is no longer in {self.path.name}")
        return self._state_of(entry, now)


def _stamp_of(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    # Mode and time of change: who could not read it looks again once that was put right.
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_mode, stat.st_size, stat.st_ino
