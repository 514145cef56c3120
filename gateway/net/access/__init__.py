"""Who may what: a key or a token comes in, and a value that says what its holder may comes out.

Knows the key file, signed tokens and the rule for pages. Sees no socket and reads no clock.
"""

from gateway.net.access.grants import OPEN_ACCESS, Access, Grant, Refused
from gateway.net.access.keys import KeyRing
from gateway.net.access.origins import origin_allowed
from gateway.net.access.tokens import TokenVerifier
from gateway.settings import Settings
from gateway.settings.types import may_be_there

__all__ = [
    "OPEN_ACCESS",
    "Access",
    "Authority",
    "Grant",
    "KeyRing",
    "Refused",
    "TokenVerifier",
    "origin_allowed",
]


class Authority:
    """Decides who is let in: by key, by token, or everybody if the settings say so in so many words."""

    def __init__(
        self, keys: KeyRing, tokens: TokenVerifier | None = None, *, open_access: bool = False
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._open_access = open_access

    @classmethod
    def load(cls, settings: Settings) -> "Authority":
        """Read keys and token keys; ConfigError if what is there is wrong. A key file may come later."""
        path = settings.keys.file
        keys = KeyRing.load(path) if may_be_there(path) else KeyRing(path, ())
        tokens = TokenVerifier.load(settings.jwt) if settings.jwt.enabled else None
        return cls(keys, tokens, open_access=settings.server.open_access)

    def admit(self, credential: str | None, now: float) -> Access | Refused:
        """What the holder of a key or token may at a time (seconds since the epoch), or why it is not let in.

        With open access a wrong key is as good as none: clients that can't connect without one do connect.
        """
        access = self._judge(credential, now) if credential else Refused("no key")
        return OPEN_ACCESS if self._open_access and isinstance(access, Refused) else access

    def _judge(self, credential: str, now: float) -> Access | Refused:
        if self._tokens is not None and credential.count(".") == 2:
            return self._tokens.judge(credential, now)
        return self._keys.judge(credential, now)

    def renew(self, access: Access, now: float) -> Access | Refused:
        """What somebody who is inside may by now; Refused when the connection must end."""
        if access.holder.startswith("key:"):
            return self._keys.renew(access, now)
        return Refused("the token has expired") if access.is_expired(now) else access

    def reload(self) -> None:
        """Read the key file again. Raises ConfigError and keeps the old keys if it is broken."""
        self._keys.reload()

    def reload_if_changed(self) -> bool:
        """The same, if the file has changed; True if so."""
        return self._keys.reload_if_changed()
