"""Logon over a real socket: by key at the handshake, by message, and what is answered before it."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from gateway.net.access.keys import hash_of
from gateway.settings import JwtSettings
from tests.mlink.conversation import FRAMED, PATHS, conversation, subscriber


def add_key(folder: Path, key: str = "the-key-of-the-desk", **rights: Any) -> str:
    """A key in the file that the gateway will read, and what it may, as TOML has it."""
    lines = ["[[keys]]", 'id = "desk"', 'name = "desk"', f'sha256 = "{hash_of(key)}"']
    lines.append("created = 2026-01-01T00:00:00Z")
    lines += [f"{name} = {value}" for name, value in rights.items()]
    (folder / "keys.toml").write_text("\n".join(lines).replace("'", '"') + "\n")
    return key


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.one_loop
async def test_a_key_at_the_handshake_is_logged_on_at_once(tmp_path: Path, path: str) -> None:
    key = add_key(tmp_path)
    async with conversation(tmp_path, path, open_access=False, bearer=key) as scene:
        admin = await scene.talk.answer("MLinkAdmin")
        await scene.talk.stream("StockDirectory")
        await scene.talk.checkpoint("Complete")

    assert admin == {"state": "LoggedOn"}


@pytest.mark.one_loop
async def test_a_wrong_key_at_the_handshake_is_401(tmp_path: Path) -> None:
    add_key(tmp_path)
    async with conversation(tmp_path, open_access=False) as scene:
        with pytest.raises(InvalidStatus) as refused:
            async with subscriber(scene.gateway, bearer="another"):
                pass

    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.one_loop
async def test_logon_by_message_and_what_is_asked_before_is_unauthorized(tmp_path: Path, path: str) -> None:
    key = add_key(tmp_path)
    async with conversation(tmp_path, path, open_access=False) as scene:
        talk = scene.talk
        assert (await talk.answer("MLinkAdmin"))["state"] == "WaitingLogon"
        await talk.ask("MLinkStream", msgName="AddOrder", queryID=4)
        early = await talk.answer("MLinkStreamAck")
        await talk.ask("MLinkSubscribe", subscribeID=5, Subscribe=[{"msgName": "A", "msgPKey": "B"}])
        also_early = await talk.answer("MLinkSubscribeAck")
        await talk.ask("MLinkSignalReady")
        signal = await talk.answer("MLinkDataAck")
        await talk.ask("MLinkLogon", apiKey="another")
        failed = await talk.answer("MLinkAdmin")
        await talk.ask("MLinkLogon", apiKey=key, userName="u", password="p", pin="1")
        # Asked at once behind the logon, without waiting for its answer.
        await talk.stream("StockDirectory")
        logged_on = await talk.answer("MLinkAdmin")
        await talk.checkpoint("Complete")
        await talk.ask("MLinkLogon", jwtToken="wrong")
        again = await talk.answer("MLinkAdmin")
        await talk.ask("MLinkStream", msgName="AddOrder", queryID=9)
        still_on = await talk.answer("MLinkStreamAck")

    assert (early["result"], early["queryID"]) == ("UnauthMsgType", 4)
    assert (also_early["succeeded"], also_early["subscribeID"]) == ("No", 5)
    assert "not logged on" in also_early["errorMsg"]
    assert signal["result"] == "AuthError"
    assert failed["state"] == "LogonFailed"
    assert failed["detail"]
    assert logged_on["state"] == "LoggedOn"
    assert again["state"] == "LogonFailed"
    assert still_on["result"] == "OK", "an earlier logon stays valid"


@pytest.mark.parametrize("name", ["apiKey", "APIKEY", "apikey"])
@pytest.mark.one_loop
async def test_a_key_in_the_address_is_taken_only_where_the_settings_say_so(
    tmp_path: Path, name: str
) -> None:
    key = add_key(tmp_path)
    path = f"{FRAMED}?{name}={key}"
    async with conversation(tmp_path, path, open_access=False, query_key_allowed=True) as scene:
        assert (await scene.talk.answer("MLinkAdmin"))["state"] == "LoggedOn"
    (tmp_path / "other").mkdir()
    add_key(tmp_path / "other")
    with pytest.raises(InvalidStatus) as refused:
        async with conversation(tmp_path / "other", path, open_access=False):
            pass

    assert refused.value.response.status_code == 401


@pytest.mark.one_loop
async def test_good_night_ends_streams_at_a_position_then_closes_with_1001(tmp_path: Path) -> None:
    async with conversation(tmp_path) as scene:
        await scene.talk.stream("AddOrder")
        await scene.talk.checkpoint("Complete")
        scene.gateway.stop()
        night = await scene.talk.answer("MLinkAdmin", state="GoodNight")
        ended = await scene.talk.checkpoint("Terminated")
        await scene.talk.socket.wait_closed()

    assert night["secondsLeft"] > 0
    assert ended["positions"][0]["seqN"] == len(scene.opening)
    assert scene.talk.socket.close_code == 1001


@pytest.mark.parametrize("field", ["apiKey", "password", "jwtToken"])
@pytest.mark.one_loop
async def test_a_key_or_a_token_may_stand_in_any_field_that_clients_have_for_it(
    tmp_path: Path, field: str
) -> None:
    key = add_key(tmp_path)
    secret = b"0123456789abcdef0123456789abcdef"
    (tmp_path / "secret").write_bytes(secret)
    tokens = JwtSettings(algorithms=("HS256",), secret_file=str(tmp_path / "secret"), audience="desk")
    claims = {"sub": "anna", "aud": "desk", "exp": time.time() + 60}
    credential = jwt.encode(claims, secret, algorithm="HS256") if field == "jwtToken" else key
    async with conversation(tmp_path, open_access=False, jwt=tokens) as scene:
        await scene.talk.ask("MLinkLogon", **{"userName": "anna", "pin": "1234", field: credential})
        assert (await scene.talk.answer("MLinkAdmin"))["state"] == "WaitingLogon"
        answer = await scene.talk.answer("MLinkAdmin")
        await scene.talk.stream("StockDirectory")
        await scene.talk.checkpoint("Complete")

    assert answer == {"state": "LoggedOn"}


@pytest.mark.one_loop
async def test_too_many_failed_logons_end_with_4004_after_a_word_why(tmp_path: Path) -> None:
    add_key(tmp_path)
    async with conversation(tmp_path, open_access=False) as scene:
        for _ in range(3):
            await scene.talk.ask("MLinkLogon", apiKey="a-guess")
            await scene.talk.answer("MLinkAdmin", state="LogonFailed")
        word = await scene.talk.answer("MLinkAdmin", state="GoodNight")
        await scene.talk.socket.wait_closed()

    assert "4004" in word["detail"]
    assert scene.talk.socket.close_code == 4004
    assert scene.talk.socket.close_reason == "too many failed logons: 3 in a row"


@pytest.mark.one_loop
async def test_no_logon_in_time_ends_with_4003_after_a_word_why(tmp_path: Path) -> None:
    add_key(tmp_path)
    async with conversation(tmp_path, open_access=False, logon_timeout_s=0.3) as scene:
        word = await scene.talk.answer("MLinkAdmin", state="GoodNight")
        await scene.talk.socket.wait_closed()

    assert "4003" in word["detail"]
    assert scene.talk.socket.close_code == 4003


@pytest.mark.one_loop
async def test_a_key_that_may_not_replay_is_told_so_and_may_stream(tmp_path: Path) -> None:
    key = add_key(tmp_path, replay="false")
    async with conversation(tmp_path, open_access=False, bearer=key) as scene:
        await scene.talk.stream("*", resume={"seqN": 1})
        refused = await scene.talk.answer("MLinkStreamAck")
        await scene.talk.stream("*")
        taken = await scene.talk.answer("MLinkStreamAck")

    assert (refused["result"], taken["result"]) == ("Error", "OK")
    assert refused["detail"] == "resume: this key may not replay"


@pytest.mark.one_loop
async def test_a_key_of_some_stripes_gets_no_others_whatever_it_asks_for(tmp_path: Path) -> None:
    key = add_key(tmp_path, stripes=["A1"])
    async with conversation(tmp_path, open_access=False, bearer=key) as scene:
        await scene.talk.stream("StockDirectory", queryID=1)
        await scene.talk.checkpoint("Complete")
        await scene.talk.stream("StockDirectory", queryID=2, stripeFilter="A")
        refused = await scene.talk.answer("MLinkStreamAck", queryID=2)

    assert [each["message"]["stock"] for each in scene.talk.data] == ["AAPL"]
    assert refused["result"] == "Error"
    assert "may not see A2; it may see A1" in refused["detail"]


@pytest.mark.one_loop
async def test_where_everybody_may_enter_a_logon_ends_nothing(tmp_path: Path) -> None:
    key = add_key(tmp_path)
    async with conversation(tmp_path) as scene:
        talk = scene.talk
        await talk.stream("AddOrder", queryID=1)
        await talk.checkpoint("Complete")
        for credential in ("a-guess", key):
            await talk.ask("MLinkLogon", apiKey=credential)
            await talk.answer("MLinkAdmin", state="LoggedOn")
        left = [each["queryID"] for each in (await talk.heartbeat())["positions"]]

    assert left == [1]
