"""A gateway with TLS: what `wss://` needs, and what it says of a certificate that it does not trust."""

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.app import Gateway
from gateway.client import RequestRefused, Unreachable, connect
from gateway.client.options import Options
from gateway.errors import BadRequest
from gateway.settings import Settings
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, running, settings


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for localhost that signs itself, beside its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def secure(folder: Path, authority: Path, upstream: int) -> Settings:
    files = {"tls_certificate_file": str(authority), "tls_key_file": str(authority.with_name("key.pem"))}
    return settings(folder, feed_settings(upstream), **files)


async def first_message(gateway: Gateway, context: ssl.SSLContext | None = None) -> int:
    async with connect(f"wss://localhost:{gateway.port}", ssl=context, give_up_after_s=5.0) as feed:
        async for message in feed.stream("*", resume="itch/0000000001/1"):
            return message.sequence_number
    raise AssertionError("no message")


async def test_a_certificate_that_this_machine_trusts_is_enough(
    tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    async with (
        Exchange(messages=Market(5, seed=1).messages()) as exchange,
        running(secure(tmp_path, authority, exchange.port)) as gateway,
    ):
        assert await first_message(gateway) == 1


async def test_so_is_a_context_that_trusts_it(tmp_path: Path, authority: Path) -> None:
    context = ssl.create_default_context(cafile=str(authority))
    async with (
        Exchange(messages=Market(5, seed=1).messages()) as exchange,
        running(secure(tmp_path, authority, exchange.port)) as gateway,
    ):
        assert await first_message(gateway, context) == 1


async def test_a_certificate_that_nobody_here_trusts_ends_it_at_once(tmp_path: Path, authority: Path) -> None:
    async with Exchange() as exchange, running(secure(tmp_path, authority, exchange.port)) as gateway:
        with pytest.raises(Unreachable, match="certificate not accepted: self-signed certificate"):
            await first_message(gateway)


async def test_an_address_with_tls_where_there_is_none_is_the_callers_to_mend(tmp_path: Path) -> None:
    async with (
        Exchange() as exchange,
        running(settings(tmp_path, feed_settings(exchange.port))) as gateway,
        connect(f"wss://localhost:{gateway.port}") as feed,
    ):
        with pytest.raises(RequestRefused, match="answers does not speak TLS; expected ws://"):
            await anext(feed.stream("AddOrder"))


async def test_an_address_without_tls_where_there_is_some_is_asked_about(
    tmp_path: Path, authority: Path
) -> None:
    async with (
        Exchange() as exchange,
        running(secure(tmp_path, authority, exchange.port)) as gateway,
        connect(f"ws://localhost:{gateway.port}", give_up_after_s=0.01) as feed,
    ):
        with pytest.raises(Unreachable, match=r"no gateway answers at ws://.*; is it wss://"):
            await anext(feed.stream("AddOrder"))


def test_a_context_for_an_address_without_tls_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"ssl is for wss://, and the address is ws://h/mlink/jsonf"):
        Options("ws://h", ssl=ssl.create_default_context())
