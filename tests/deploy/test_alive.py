"""The container's health check, run as the container runs it."""

import asyncio
import datetime
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.flow.pipe import free_port, running, settings

ROOT = Path(__file__).resolve().parents[2]


async def alive(url: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(ROOT / "deploy" / "alive.py")),
        env={"GATEWAY_URL": url},
        stderr=PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """Settings for TLS with a certificate of a public name, as this machine knows itself by another."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "feeds.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return {
        "tls_certificate_file": str(tmp_path / "certificate.pem"),
        "tls_key_file": str(tmp_path / "key.pem"),
    }


async def test_a_gateway_that_answers_is_alive_whatever_its_feeds_do(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as gateway:
        assert await alive(f"http://127.0.0.1:{gateway.port}/") == (0, "")


async def test_so_is_one_with_tls(tmp_path: Path, certificate: dict[str, str]) -> None:
    async with running(settings(tmp_path, **certificate)) as gateway:
        assert await alive(f"https://127.0.0.1:{gateway.port}/") == (0, "")
        code, _ = await alive(f"http://127.0.0.1:{gateway.port}/")

    assert code == 1, "what can't be asked is not alive"


async def test_where_nothing_answers_it_says_so() -> None:
    code, said = await alive(f"http://127.0.0.1:{free_port()}/")

    assert code == 1
    assert said.startswith("not alive: ")


async def test_an_address_that_is_none_is_told() -> None:
    code, said = await alive("gateway")

    assert code == 1
    assert said.startswith("not alive: ")
