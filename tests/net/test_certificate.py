"""A certificate is renewed at a reload: who connects sees the new one, who is connected notices nothing."""

import shutil
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from gateway.app import Gateway
from gateway.errors import ConfigError
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.cli.test_check_config import certificate
from tests.flow.pipe import Reader, feed_settings, running, settings


def install(folder: Path, name: str) -> None:
    """Put a certificate and its key where the settings name them."""
    pem, key = certificate(folder, name)
    shutil.copy(pem, folder / "server.pem")
    shutil.copy(key, folder / "server.key")


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def shown_by(gateway: Gateway) -> bytes:
    """The certificate that a new connection is shown."""
    async with connect(f"wss://localhost:{gateway.port}/mlink/jsonf", ssl=trusting()) as socket:
        found: ssl.SSLObject = socket.transport.get_extra_info("ssl_object")
        return found.getpeercert(binary_form=True) or b""


async def test_a_new_certificate_is_shown_to_whoever_connects_after_a_reload(tmp_path: Path) -> None:
    install(tmp_path, "old")
    async with Exchange() as exchange:
        files = {
            name: str(tmp_path / f"server.{end}") for name, end in (("certificate", "pem"), ("key", "key"))
        }
        configured = settings(
            tmp_path,
            feed_settings(exchange.port),
            **{f"tls_{name}_file": path for name, path in files.items()},
        )
        async with (
            running(configured) as gateway,
            connect(f"wss://localhost:{gateway.port}/mlink/jsonf", ssl=trusting()) as socket,
        ):
            stays = Reader(socket)
            await stays.stream("*")
            await stays.until_control("MLinkStreamCheckPt", state="Complete")
            old = await shown_by(gateway)
            install(tmp_path, "new")
            before = await shown_by(gateway)
            needs_restart = gateway.reload(configured)
            new = await shown_by(gateway)
            (tmp_path / "server.key").write_text("torn")
            with pytest.raises(ConfigError, match="tls_certificate_file"):
                gateway.reload(configured)
            still = await shown_by(gateway)
            exchange.extend(Market(10, seed=1).take(100))
            await stays.until_count(100)

    pem = (tmp_path / "new.pem").read_text()
    assert old == before != new
    assert new == still == ssl.PEM_cert_to_DER_cert(pem)
    assert needs_restart == []
