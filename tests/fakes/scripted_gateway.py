"""A small honest gateway for tests of subscribers: real sockets, real frames, and faults on demand.

It has feeds with sessions of messages, serves streams from any number, from now, or with a snapshot, proves
with checkpoints what it sent, and does what a test scripts: cut, refuse, restart, swallow. Its stripe of a
message is the first letter of its `stock`; of where and view it knows nothing.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from gateway.mlink.frames import InputReader, frame

Ack = tuple[str, str]


async def until(claim: Callable[[], bool]) -> None:
    """Let the others run until a claim holds; the suite's own time limit is the bound."""
    while not claim():  # noqa: ASYNC110  # what is waited for has no event, and should not need one
        await asyncio.sleep(0)


class Stream:
    def __init__(self, body: dict) -> None:
        self.body = body
        names = body["msgName"] if isinstance(body["msgName"], list) else [body["msgName"]]
        self.names = {name.casefold() for name in names}
        stripes = body.get("stripeFilter") or []
        self.stripes = {stripes} if isinstance(stripes, str) else set(stripes)
        self.at: dict[str, tuple[int, int]] = {}  # feed: (index of the session, index of the message)
        self.sent = 0

    def wants(self, m_typ: str, fields: dict) -> bool:
        if "*" not in self.names and m_typ.casefold() not in self.names:
            return False
        return not (self.stripes and fields.get("stock")) or fields["stock"][0] in self.stripes


class ScriptedGateway:
    """`publish` and `roll` make the market; everything else is what goes wrong."""

    def __init__(self, *, key: str = "", records: Iterable[str] = (), batch: int = 50) -> None:
        self.key = key
        self.records = set(records)
        self.batch = batch
        self.feeds: dict[str, list[tuple[str, list[tuple[str, dict]]]]] = {}
        self.requests: list[dict] = []
        self.handshakes = 0
        # Scripts: each handshake takes the next status, each connection the next cut (bytes sent until then).
        self.statuses: list[int] = []
        self.cuts: Iterator[int] = iter(())
        self.cuts_done = 0
        self.refuse: Callable[[dict], Ack | None] = lambda body: None
        self.swallowed: set[int] = set()  # numbers counted as sent, but never sent
        self.admin: dict = {"state": "LoggedOn"}
        self.retry_after = ""
        self.port = 0
        self._server: Server | None = None
        self._running: dict[ServerConnection, list[Stream]] = {}
        self._news = asyncio.Event()
        self._idle = False

    # The market.

    def publish(self, m_typ: str, src: str = "itch", **fields: object) -> int:
        sessions = self.feeds.setdefault(src, [("S1", [])])
        sessions[-1][1].append((m_typ, fields))
        self._wake()
        return len(sessions[-1][1])

    def roll(self, session: str, src: str = "itch") -> None:
        self.feeds.setdefault(src, []).append((session, []))
        self._wake()

    # The server.

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._running)

    @property
    def idle(self) -> bool:
        """Whether somebody reads, and everybody who does has been sent everything."""
        streams = [stream for each in self._running.values() for stream in each]
        return bool(streams) and self._idle and all(map(self._has_all, streams))

    def _has_all(self, stream: Stream) -> bool:
        return all(
            stream.at.get(src, (0, 0)) == (len(sessions) - 1, len(sessions[-1][1]))
            for src, sessions in self.feeds.items()
        )

    async def __aenter__(self) -> "ScriptedGateway":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        for connection in list(self._running):
            connection.transport.abort()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def close_all(self, code: int, reason: str = "") -> None:
        for connection in list(self._running):
            await connection.close(code, reason)

    async def heartbeat(self) -> None:
        for connection, streams in list(self._running.items()):
            positions = [position for stream in streams for position in self._positions(stream)]
            with suppress(ConnectionClosed):
                await self._send(connection, "MLinkHeartbeat", {"seqNum": 1, "positions": positions})

    async def tell(self, body: dict) -> None:
        for connection in list(self._running):
            await self._send(connection, "MLinkAdmin", body)

    async def send_raw(self, data: bytes) -> None:
        for connection in list(self._running):
            with suppress(ConnectionClosed):
                await connection.send(data)

    def _admit(self, connection: ServerConnection, request: object) -> object:
        self.handshakes += 1
        if self.statuses:
            status = self.statuses.pop(0)
            response = connection.respond(HTTPStatus(status), "not today\n")
            if self.retry_after:
                response.headers["Retry-After"] = self.retry_after
            return response
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "unknown key\n")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        streams: list[Stream] = []
        self._running[connection] = streams
        connection.left = next(self.cuts, None)
        pump = asyncio.create_task(self._pump(connection, streams))
        try:
            await self._send(connection, "MLinkAdmin", self.admin)
            async for message in connection:
                for value in InputReader().feed(message):
                    await self._request(connection, streams, value)
        except ConnectionClosed:
            pass
        finally:
            del self._running[connection]
            pump.cancel()
            await asyncio.wait([pump])

    async def _request(self, connection: ServerConnection, streams: list[Stream], value: dict) -> None:
        body = value["message"]
        self.requests.append({"mTyp": value["header"]["mTyp"], **body})
        if value["header"]["mTyp"] == "MLinkLogon":
            state = "LoggedOn" if body["apiKey"] == self.key else "LogonFailed"
            await self._send(connection, "MLinkAdmin", {"state": state, "detail": "by message"})
            return
        ids = {"sessionID": body["sessionID"], "queryID": body["queryID"]}
        if body.get("unsubscribe") == "Yes":
            streams[:] = [each for each in streams if each.body["queryID"] != body["queryID"]]
            await self._send(connection, "MLinkStreamAck", {**ids, "unsubscribe": "Yes", "result": "OK"})
            return
        refusal = self.refuse(body)
        if refusal is not None and refusal[0] != "Warn":
            await self._send(
                connection, "MLinkStreamAck", {**ids, "result": refusal[0], "detail": refusal[1]}
            )
            return
        result, detail = refusal or ("OK", "")
        await self._send(connection, "MLinkStreamAck", {**ids, "result": result, "detail": detail})
        await self._begin(connection, streams, Stream(body), ids)

    async def _begin(
        self, connection: ServerConnection, streams: list[Stream], stream: Stream, ids: dict
    ) -> None:
        for src, sessions in self.feeds.items():
            stream.at[src] = (len(sessions) - 1, len(sessions[-1][1]))
        wanted = stream.body.get("resume") or []
        for resume in [wanted] if isinstance(wanted, dict) else wanted:
            src = resume["src"] or next(iter(self.feeds))
            names = [name for name, _ in self.feeds[src]]
            stream.at[src] = (names.index(resume["ses"] or names[-1]), resume["seqN"] - 1)
        await self._checkpoint(connection, stream, "Begin")
        if not wanted:
            for src, sessions in self.feeds.items():
                latest: dict[tuple, int] = {}
                for seq, (m_typ, fields) in enumerate(sessions[-1][1], 1):
                    if m_typ in self.records and stream.wants(m_typ, fields):
                        latest[m_typ, fields.get("stock")] = seq
                for seq in sorted(latest.values()):
                    await self._write(connection, self._frame(src, *sessions[-1], seq))
                    stream.sent += 1
        await self._checkpoint(connection, stream, "Active")
        await self._checkpoint(connection, stream, "Complete")
        streams.append(stream)
        self._wake()

    async def _pump(self, connection: ServerConnection, streams: list[Stream]) -> None:
        with suppress(ConnectionClosed):
            while True:
                news = self._news
                # A list, not a generator: every stream has its turn.
                self._idle = False
                if not any([await self._step(connection, stream) for stream in list(streams)]):
                    self._idle = True
                    await news.wait()

    async def _step(self, connection: ServerConnection, stream: Stream) -> bool:
        """One batch of a stream, or the step into the next session."""
        for src, sessions in self.feeds.items():
            index, done = stream.at.get(src, (0, 0))
            session, messages = sessions[index]
            if done < len(messages):
                end = min(done + self.batch, len(messages))
                frames = []
                for seq in range(done + 1, end + 1):
                    if stream.wants(*messages[seq - 1]):
                        stream.sent += 1
                        if seq not in self.swallowed:
                            frames.append(self._frame(src, session, messages, seq))
                stream.at[src] = (index, end)
                if frames:
                    await self._write(connection, b"".join(frames))
                return True
            if index + 1 < len(sessions):
                stream.at[src] = (index + 1, 0)
                event = {
                    "state": "Active",
                    "event": "SessionChange",
                    "src": src,
                    "ses": sessions[index + 1][0],
                }
                await self._send(connection, "MLinkAdmin", event)
                return True
        return False

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _positions(self, stream: Stream) -> list[dict]:
        return [
            {
                "sessionID": stream.body["sessionID"],
                "queryID": stream.body["queryID"],
                "src": src,
                "ses": self.feeds[src][index][0],
                "seqN": done,
                "numMessagesSent": stream.sent,
            }
            for src, (index, done) in stream.at.items()
        ]

    async def _checkpoint(self, connection: ServerConnection, stream: Stream, state: str) -> None:
        ids = {"sessionID": stream.body["sessionID"], "queryID": stream.body["queryID"]}
        body = {**ids, "state": state, "numMessagesSent": stream.sent, "positions": self._positions(stream)}
        await self._send(connection, "MLinkStreamCheckPt", body)

    def _frame(self, src: str, session: str, messages: list[tuple[str, dict]], seq: int) -> bytes:
        m_typ, fields = messages[seq - 1]
        header = {
            "mTyp": m_typ,
            "src": src,
            "ses": session,
            "seqN": seq,
            "sTim": "2026-01-30 14:30:00.123456",
            "encT": "2026-01-30 14:30:00.123499",
        }
        return frame(json.dumps({"header": header, "message": fields}, separators=(",", ":")).encode())

    async def _send(self, connection: ServerConnection, m_typ: str, body: dict) -> None:
        await self._write(
            connection, frame(json.dumps({"header": {"mTyp": m_typ}, "message": body}).encode())
        )

    async def _write(self, connection: ServerConnection, data: bytes) -> None:
        left = connection.left
        if left is not None:
            if len(data) >= left:
                # In the middle of a WebSocket frame, wherever that is in ours.
                self.cuts_done += 1
                connection.transport.write(b"\x82\x7e" + len(data).to_bytes(2, "big") + data[:left])
                connection.transport.abort()
                return
            connection.left = left - len(data)
        await connection.send(data)
