"""Signed tokens: only ours, only for us, only in their time; what they restrict holds."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.errors import ConfigError
from gateway.net.access import Access, Authority, KeyRing, Refused, TokenVerifier
from gateway.settings import JwtSettings

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"
AUDIENCE = "soup-gateway"
CLAIMS = {"sub": "anna", "aud": AUDIENCE, "exp": int(NOW) + 60}
PEM, PKCS8, SPKI = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.PublicFormat.SubjectPublicKeyInfo,
)
NO_PASSWORD = serialization.NoEncryption()


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def public_pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(PEM, SPKI))


def shared(folder: Path, **changes: Any) -> TokenVerifier:
    path = folder / "secret"
    path.write_bytes(SECRET + b"\n")
    options = {"algorithms": ("HS256",), "secret_file": path, "audience": AUDIENCE} | changes
    return TokenVerifier.load(JwtSettings(**options))


def token(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm, headers=headers)


def by_hand(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def test_a_right_token_gives_access_until_it_expires(tmp_path: Path) -> None:
    verifier = shared(tmp_path)
    made = token(CLAIMS)

    assert verifier.authenticate(made, NOW) == Access("token:anna", "anna", expires_at=NOW + 65)
    assert verifier.authenticate(made, NOW + 64.9) is not None
    assert verifier.authenticate(made, NOW + 65) is None


def test_a_claim_restricts_as_a_key_file_does(tmp_path: Path) -> None:
    ours = {
        "feeds": ["itch"],
        "messages": ["AddOrder"],
        "stripes": ["A"],
        "replay": False,
        "connections_max": 1,
    }

    found = shared(tmp_path).authenticate(token(CLAIMS | {"gateway": ours}), NOW)

    assert found is not None
    assert found.may_read_feed("itch")
    assert not found.may_read_feed("glimpse")
    assert (found.messages, found.stripes) == ({"addorder"}, {"a"})
    assert (found.replay, found.connections_max) == (False, 1)


@pytest.mark.parametrize(
    "ours",
    [
        {"feed": ["itch"]},
        {"feeds": "itch"},
        {"replay": "no"},
        {"connections_max": 0},
        ["itch"],
        None,
        "all",
        {"feeds": [1]},
    ],
)
def test_a_restriction_that_can_not_be_read_is_not_taken_for_none(tmp_path: Path, ours: Any) -> None:
    refused = shared(tmp_path).judge(token(CLAIMS | {"gateway": ours}), NOW)

    assert isinstance(refused, Refused)
    assert refused.reason.startswith("token: gateway")


NONE = by_hand({"alg": "none", "typ": "JWT"}, CLAIMS)
WRONG: dict[str, tuple[str, str]] = {
    "alg none": (NONE, "alg"),
    "alg None": (by_hand({"alg": "None"}, CLAIMS), "alg"),
    "no alg": (by_hand({"typ": "JWT"}, CLAIMS), "alg"),
    "another secret": (token(CLAIMS, b"x" * 32), "Signature verification failed"),
    "another algorithm": (token(CLAIMS, b"0123456789abcdef" * 4, "HS512"), "alg"),
    "signature cut off": (token(CLAIMS).rpartition(".")[0] + ".", "Signature verification failed"),
    "wrong audience": (token(CLAIMS | {"aud": "somebody-else"}), "Audience"),
    "no audience": (token({"sub": "anna", "exp": NOW + 60}), "aud"),
    "expired": (token(CLAIMS | {"exp": int(NOW) - 5}), "has expired"),
    "never expires": (token({"sub": "anna", "aud": AUDIENCE}), "exp"),
    "expiry is text": (token(CLAIMS | {"exp": "soon"}), "exp is no time"),
    "expiry is true": (token(CLAIMS | {"exp": True}), "exp is no time"),
    "expiry is not a number": (token(CLAIMS | {"exp": float("nan")}), "exp is no time"),
    "expiry is without end": (token(CLAIMS | {"exp": float("inf")}), "exp is no time"),
    "not yet valid": (token(CLAIMS | {"nbf": NOW + 6}), "not valid yet"),
    "from the future": (token(CLAIMS | {"iat": NOW + 6}), "not valid yet"),
    "nobody": (token({"aud": AUDIENCE, "exp": NOW + 60}), "sub"),
    "an empty subject": (token(CLAIMS | {"sub": ""}), "sub"),
    "no token": ("hello", "token"),
    "dots": ("..", "token"),
    "no JSON": ("YQ.YQ.YQ", "token"),
    "a list": (by_hand({"alg": "HS256"}, [1]), "token"),
    "not ASCII": ("é.é.é", "token"),
    "a lone surrogate": ("\ud800.a.b", "token"),
    "deep header": (f"{base64.urlsafe_b64encode(b'[' * 5_000).decode().rstrip('=')}.e30.", "token"),
    "too long": ("a" * 9_000, "token of 9000 characters"),
    "a kid that is no text": (by_hand({"alg": "HS256", "kid": {"a": 1}}, CLAIMS), "token"),
}


@pytest.mark.parametrize("case", WRONG)
def test_row_33_a_wrong_token_is_refused(tmp_path: Path, case: str) -> None:
    made, expected = WRONG[case]
    verifier = shared(tmp_path)

    refused = verifier.judge(made, NOW)

    assert verifier.authenticate(made, NOW) is None
    assert isinstance(refused, Refused)
    assert expected.casefold() in refused.reason.casefold()
    assert made not in refused.reason


def test_clocks_may_differ_by_the_leeway(tmp_path: Path) -> None:
    verifier = shared(tmp_path, leeway_s=2.0)

    assert verifier.authenticate(token(CLAIMS | {"exp": NOW - 1.9}), NOW) is not None
    assert verifier.authenticate(token(CLAIMS | {"exp": NOW - 2}), NOW) is None
    assert verifier.authenticate(token(CLAIMS | {"nbf": NOW + 2}), NOW) is not None


def test_an_issuer_that_is_named_is_needed(tmp_path: Path) -> None:
    verifier = shared(tmp_path, issuer="https://id.example")

    assert verifier.authenticate(token(CLAIMS | {"iss": "https://id.example"}), NOW) is not None
    assert verifier.authenticate(token(CLAIMS | {"iss": "https://id.example.evil"}), NOW) is None
    assert verifier.authenticate(token(CLAIMS), NOW) is None


def test_row_33_a_token_expires_while_connected(tmp_path: Path) -> None:
    door = Authority(KeyRing(tmp_path / "keys.toml", ()), shared(tmp_path))
    inside = door.admit(token(CLAIMS), NOW)

    assert isinstance(inside, Access)
    assert door.renew(inside, NOW + 64.9) == inside
    assert door.renew(inside, NOW + 65) == Refused("the token has expired")


def test_a_public_key_can_not_serve_as_a_secret(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    public = tmp_path / "public.pem"
    public.write_bytes(public_pem(rsa_key))
    verifier = TokenVerifier.load(
        JwtSettings(algorithms=("RS256",), public_key_file=public, audience=AUDIENCE)
    )

    assert verifier.authenticate(token(CLAIMS, rsa_key, "RS256"), NOW) is not None
    forged = by_hand({"alg": "HS256"}, CLAIMS).rpartition(".")[0]
    mac = hmac.new(public.read_bytes(), forged.encode(), hashlib.sha256).digest()
    forged += "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
    assert verifier.authenticate(forged, NOW) is None


def key_set(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": list(entries)}))
    return path


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    return json.loads(algorithm.to_jwk(key.public_key())) | more


def test_a_key_set_chooses_the_key_by_its_id(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    path = key_set(
        tmp_path, jwk(rsa_key, kid="r", alg="RS256"), jwk(curve, kid="e"), {"kty": "oct", "k": "eA"}
    )
    verifier = TokenVerifier.load(
        JwtSettings(algorithms=("RS256", "ES256"), jwks_file=path, audience=AUDIENCE)
    )

    assert verifier.authenticate(token(CLAIMS, rsa_key, "RS256", kid="r"), NOW) is not None
    assert verifier.authenticate(token(CLAIMS, curve, "ES256", kid="e"), NOW) is not None
    assert verifier.authenticate(token(CLAIMS, rsa_key, "RS256", kid="e"), NOW) is None
    unknown = verifier.judge(token(CLAIMS, rsa_key, "RS256", kid="x"), NOW)
    assert unknown == Refused("token signed with a key that is not ours")
    assert verifier.judge(token(CLAIMS, rsa_key, "RS256"), NOW) == unknown


def test_the_only_key_of_a_set_needs_no_id(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    path = key_set(tmp_path, jwk(rsa_key, kid="r"))
    verifier = TokenVerifier.load(JwtSettings(algorithms=("RS256",), jwks_file=path, audience=AUDIENCE))

    assert verifier.authenticate(token(CLAIMS, rsa_key, "RS256"), NOW) is not None


def test_a_key_file_of_no_use_stops_the_start(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> None:
    file = tmp_path / "file"

    def load(content: bytes, algorithm: str, kind: str) -> None:
        file.write_bytes(content)
        TokenVerifier.load(JwtSettings(algorithms=(algorithm,), audience=AUDIENCE, **{kind: file}))

    with pytest.raises(ConfigError, match=r"file: a secret of 7 bytes can be guessed; use at least 32"):
        load(b"hunter2", "HS256", "secret_file")
    with pytest.raises(ConfigError, match=r"file: is no public key in PEM for RS256"):
        load(b"hello", "RS256", "public_key_file")
    with pytest.raises(ConfigError, match=r"file: is a private key; name the file with the public one"):
        load(rsa_key.private_bytes(PEM, PKCS8, NO_PASSWORD), "RS256", "public_key_file")
    with pytest.raises(ConfigError, match=r"file: is no public key in PEM for ES256"):
        load(public_pem(rsa_key), "ES256", "public_key_file")
    short = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    with pytest.raises(ConfigError, match=r"file: an RSA key of 1024 bits is too short"):
        load(public_pem(short), "RS256", "public_key_file")
    for content in (b"", b"[]", b"{", b'{"keys": 3}', b'{"key": []}', b"[" * 9_999):
        with pytest.raises(ConfigError, match=r"file: (is no JSON Web Key Set|holds no key for RS256)"):
            load(content, "RS256", "jwks_file")
    with pytest.raises(ConfigError, match=r"file: holds a key that can't be used for RS256"):
        load(b'{"keys": [{"kty": "RSA", "n": "AQ"}]}', "RS256", "jwks_file")
    with pytest.raises(ConfigError, match=r"jwt: no key file is named"):
        TokenVerifier.load(JwtSettings(algorithms=("RS256",), audience=AUDIENCE))
    file.unlink()
    with pytest.raises(ConfigError, match=r"gone: can't be read \(No such file"):
        TokenVerifier.load(
            JwtSettings.model_construct(
                algorithms=("HS256",), secret_file=tmp_path / "gone", audience=AUDIENCE
            )
        )
