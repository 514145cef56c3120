"""Signed tokens (JWT) as a second way in: whoever signs them decides what their holders may.

Knows the claims; PyJWT, an optional extra, does the cryptography. Time is an argument: the library's own
checks of times, which read the clock, are not used.
"""

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError
from gateway.net.access.grants import Access, Grant, Refused, access_of
from gateway.settings import JwtSettings
from gateway.settings.check import checked
from gateway.settings.sources import Raw
from gateway.settings.types import Section

if TYPE_CHECKING:
    from jwt import PyJWK

TOKEN_MAX = 8_192
SECRET_MIN = 32
RSA_BITS_MIN = 2_048
CLAIM = "gateway"
KEY_TYPES = {"HS256": "oct", "RS256": "RSA", "ES256": "EC"}


class Claims(Section):
    """The claim of ours, a table with the keys of a Grant. A token without it is restricted in nothing."""

    gateway: Grant = Grant()


class TokenVerifier:
    """Checks a token's signature, audience, issuer and times. Keys by their `kid`; "" is the only one."""

    def __init__(self, settings: JwtSettings, keys: Mapping[str, "PyJWK"]) -> None:
        self._settings = settings
        self._keys = dict(keys)

    @classmethod
    def load(cls, settings: JwtSettings) -> "TokenVerifier":
        """Read the key files; ConfigError if they are of no use for the algorithms."""
        try:
            import jwt  # noqa: F401
        except ImportError as exc:
            names = ", ".join(settings.algorithms)
            raise ConfigError(f"jwt.algorithms = {names}: needs PyJWT; install soup-gateway[jwt]") from exc
        if settings.secret_file is not None:
            keys = {"": _secret_key(settings.secret_file)}
        elif settings.public_key_file is not None:
            keys = {"": _public_key(settings.public_key_file, settings.algorithms[0])}
        elif settings.jwks_file is not None:
            keys = _key_set(settings.jwks_file, settings.algorithms)
        else:
            raise ConfigError("jwt: no key file is named")
        return cls(settings, keys)

    def authenticate(self, token: str, now: float) -> Access | None:
        """What the holder of a token may at a time (seconds since the epoch); None if it opens nothing."""
        access = self.judge(token, now)
        return access if isinstance(access, Access) else None

    def judge(self, token: str, now: float) -> Access | Refused:
        """The same, with the reason if it opens nothing."""
        import jwt

        if len(token) > TOKEN_MAX:
            return Refused(f"token of {len(token)} characters, at most {TOKEN_MAX}")
        try:
            key = self._key_for(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                return Refused("token signed with a key that is not ours")
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._settings.algorithms),
                audience=self._settings.audience,
                issuer=self._settings.issuer or None,
                options={
                    "require": ["exp", "aud", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as exc:
            # The library's texts name claims and algorithms, never the token; other errors may quote it.
            return Refused(f"token: {exc}" if isinstance(exc, jwt.PyJWTError) else "token can't be read")
        return self._access_of(claims, now)

    def _key_for(self, kid: object) -> "PyJWK | None":
        if "" in self._keys:
            return self._keys[""]
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _access_of(self, claims: dict[str, Any], now: float) -> Access | Refused:
        leeway = self._settings.leeway_s
        times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
        for name, value in times.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                return Refused(f"token: {name} is no time")
        expires_at = times["exp"] + leeway
        if now >= expires_at:
            return Refused("token has expired")
        if max(times.get("nbf", 0), times.get("iat", 0)) > now + leeway:
            return Refused("token is not valid yet")
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            return Refused("token: sub names nobody")
        try:
            grant = checked(Raw("token", Path(), {CLAIM: claims.get(CLAIM, {})}), Claims).gateway
        except ConfigError as exc:
            # Refused whole: a restriction that we can't read must not be taken for none.
            return Refused(str(exc))
        return access_of(grant, f"token:{claims['sub'][:64]}", claims["sub"][:64], expires_at)


def _secret_key(path: Path) -> "PyJWK":
    secret = _read(path).rstrip(b"\r\n")
    if len(secret) < SECRET_MIN:
        raise ConfigError(
            f"{path}: a secret of {len(secret)} bytes can be guessed; use at least {SECRET_MIN} random ones"
        )
    return _key({"kty": "oct", "k": base64.urlsafe_b64encode(secret).rstrip(b"=").decode()}, "HS256", path)


def _public_key(path: Path, algorithm: str) -> "PyJWK":
    import jwt

    scheme = jwt.get_algorithm_by_name(algorithm)
    try:
        found = scheme.prepare_key(_read(path))
        data = json.loads(scheme.to_jwk(found))
    except (jwt.PyJWTError, ValueError, TypeError) as exc:
        raise ConfigError(f"{path}: is no public key in PEM for {algorithm}; {exc}") from exc
    if "d" in data:
        raise ConfigError(f"{path}: is a private key; name the file with the public one")
    return _key(data, algorithm, path)


def _key_set(path: Path, algorithms: tuple[str, ...]) -> dict[str, "PyJWK"]:
    try:
        entries = json.loads(_read(path))["keys"]
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise ConfigError(f'{path}: is no JSON Web Key Set, as in {{"keys": [{{"kty": "RSA", …}}]}}') from exc
    keys: dict[str, PyJWK] = {}
    for entry in entries if isinstance(entries, list) else []:
        # A set may hold keys for other purposes too; they are left alone.
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        algorithm = next((each for each in algorithms if KEY_TYPES[each] == entry.get("kty")), None)
        if algorithm is not None and entry.get("alg", algorithm) == algorithm:
            keys[str(entry.get("kid", len(keys)))] = _key(entry, algorithm, path)
    if not keys:
        raise ConfigError(f"{path}: holds no key for {', '.join(algorithms)}")
    return keys


def _key(data: dict[str, Any], algorithm: str, path: Path) -> "PyJWK":
    import jwt

    try:
        key = jwt.PyJWK(data, algorithm)
    except (jwt.PyJWTError, ValueError) as exc:
        raise ConfigError(f"{path}: holds a key that can't be used for {algorithm}; {exc}") from exc
    bits = getattr(key.key, "key_size", RSA_BITS_MIN)
    if algorithm == "RS256" and bits < RSA_BITS_MIN:
        raise ConfigError(f"{path}: an RSA key of {bits} bits is too short; use at least {RSA_BITS_MIN}")
    return key


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"{path}: can't be read ({exc.strerror}); correct the path or its permissions"
        ) from exc
