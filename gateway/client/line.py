"""One socket to the gateway and the streams on it: dialled, read, dialled again.

Knows the websockets library and the wire's life; where a stream stands is its tracker's to know.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from gateway.client.backoff import Backoff
from gateway.client.errors import KeyRefused, RequestRefused, Unreachable
from gateway.client.inbox import Inbox
from gateway.client.notices import OwnSocket, Reconnecting
from gateway.client.options import MESSAGE_BYTES_MAX, Options
from gateway.client.receiver import Receiver, Retry
from gateway.client.request import logon
from gateway.client.subscription import LOG, Subscription
from gateway.errors import GatewayError, RemoteProtocolError
from gateway.mlink.close_codes import CloseCode

# The same bytes can't be read so often in a row, with nothing new in between: it is no accident.
UNREADABLE_MAX = 3
# Of what the answer of a handshake says.
_SHOWN_MAX = 200
_KEY_CODES = frozenset(
    (CloseCode.LOGON_FAILED, CloseCode.LOGON_TIMEOUT, CloseCode.KEY_REVOKED, CloseCode.KEY_EXPIRED)
)


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a connection ended, or did not come to be."""

    reason: str
    at_least_s: float = 0.0


class Line:
    """Runs until its last stream is gone; each break is told to the streams, none of them loses its place.

    `moved` takes a stream that has to go on in a socket of its own, because it is read more slowly
    than its neighbours and would hold them up.
    """

    def __init__(
        self, options: Options, moved: Callable[[Subscription], Awaitable[None]], *, own: bool = False
    ) -> None:
        self._options = options
        self._moved = moved
        self._own = own
        self._receiver = Receiver()
        self._socket: ClientConnection | None = None
        self._backoff = Backoff(options.retry_first_s, options.retry_longest_s)
        self._down_since: float | None = None
        self._unreadable = 0
        self._reading = False
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many streams run on it."""
        return len(self._receiver.subscriptions)

    def has_room_for(self, subscription: Subscription) -> bool:
        """Whether messages of this stream could be told from those of the others."""
        if self._own or not self.streams or self.streams >= self._options.streams_per_socket:
            return False
        return self._receiver.can_tell(subscription)

    async def add(self, subscription: Subscription) -> None:
        """Run a stream on this line, from now if it stands, else as soon as it does."""
        self._receiver.add(subscription)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"line of {subscription.request}")
        elif self._socket is not None:
            await self._send(self._socket, self._receiver.start(subscription))

    async def remove(self, subscription: Subscription) -> None:
        """End a stream; with the last one the line ends."""
        if subscription not in self._receiver.subscriptions:
            return
        stop = self._receiver.remove(subscription)
        if not self.streams:
            await self.close()
        elif self._socket is not None:
            await self._send(self._socket, stop)

    async def close(self) -> None:
        """End the line and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._receiver.subscriptions:
                reason = await self._life()
                if self._receiver.subscriptions:
                    await self._wait(reason)
        except GatewayError as error:
            self._fail(error)
        except Exception as error:
            # A bug of ours: it must reach whoever reads the streams, not only the log of a task.
            self._fail(error)
            raise

    async def _life(self) -> Broken:
        """One connection from dial to end; gives why it ended. What no new try can mend is raised."""
        dialled = await self._dial()
        if isinstance(dialled, Broken):
            return dialled
        try:
            await self._serve(dialled)
        except ConnectionClosed as error:
            return self._closed(error)
        except Retry as error:
            return Broken(str(error))
        except RemoteProtocolError as error:
            self._unreadable += 1
            if self._unreadable >= UNREADABLE_MAX:
                raise
            return Broken(str(error))
        finally:
            self._socket = None
            await self._hang_up(dialled)
        return Broken("no stream left")

    async def _dial(self) -> "ClientConnection | Broken":
        options = self._options
        headers = dict(options.headers)
        if options.key:
            headers["Authorization"] = f"Bearer {options.key}"
        try:
            return await connect(
                options.url,
                additional_headers=headers,
                ssl=options.ssl,
                proxy=options.proxy,  # type: ignore[arg-type]  # True is a literal there
                compression="deflate" if options.compression else None,
                open_timeout=options.open_timeout_s,
                close_timeout=options.close_timeout_s,
                # The gateway's heartbeats show that the line lives; and while we let the socket wait, for
                # back-pressure, pongs wait in it too and would be missed.
                ping_interval=None,
                max_size=MESSAGE_BYTES_MAX,
            )
        except InvalidStatus as error:
            return self._refused(error)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(f"{options.url}: certificate not accepted: {error.verify_message}") from error
        except ssl.SSLError as error:
            if error.reason == "WRONG_VERSION_NUMBER":
                raise RequestRefused(
                    f"{options.url}: what answers does not speak TLS; expected ws://, or a port that does"
                ) from error
            return Broken(f"can't reach {options.url}: {error}")
        except InvalidMessage as error:
            hint = "; is it wss://?" if options.url.startswith("ws:") else ""
            return Broken(f"no gateway answers at {options.url}: {error}{hint}")
        except (OSError, InvalidHandshake) as error:
            # TimeoutError is an OSError.
            return Broken(f"can't reach {options.url}: {error or type(error).__name__}")

    def _refused(self, error: InvalidStatus) -> Broken:
        """The answer of the handshake as an error, or as a reason to try again."""
        url, status = self._options.url, error.response.status_code
        body = (error.response.body or b"").decode("utf-8", "replace").strip()
        said = body if len(body) <= _SHOWN_MAX else f"{body[:_SHOWN_MAX]}…"
        text = f"{url}: HTTP {status}{': ' if said else ''}{said}"
        if status in (401, 403):
            key = "this key" if self._options.key else "anyone without a key"
            raise KeyRefused(f"{text} (the gateway does not let {key} in)") from error
        if status == 429 or status >= 500:
            after = error.response.headers.get("Retry-After", "")
            return Broken(text, float(after) if after.isascii() and after.isdigit() else 0.0)
        raise RequestRefused(f"{text}; expected a gateway's address, path /mlink/jsonf") from error

    async def _serve(self, socket: ClientConnection) -> None:
        receiver, loop = self._receiver, asyncio.get_running_loop()
        receiver.connected()
        self._socket = socket
        self._heard_at = loop.time()
        logged_on = False
        # Made before the first is sent: a stream that is added from now on sends its own.
        for request in [receiver.start(subscription) for subscription in receiver.subscriptions]:
            await self._send(socket, request)
        self._reading = True
        watch = loop.create_task(self._watch(socket), name="silence watch")
        inbox = Inbox(socket) if receiver.reads_rows else None
        try:
            while receiver.subscriptions:
                taken = [await socket.recv(decode=False)] if inbox is None else await inbox.take()
                self._heard_at = loop.time()
                try:
                    receiver.receive_all(taken)
                finally:
                    self._account()
                if receiver.wants_logon:
                    if logged_on or not self._options.key:
                        raise KeyRefused(f"{self._options.url}: the gateway wants a key")
                    logged_on, receiver.wants_logon = True, False
                    await self._send(socket, logon(self._options.key))
                await self._make_room()
                if any(subscription.buffer.busy for subscription in receiver.subscriptions):
                    await asyncio.sleep(0)
        finally:
            watch.cancel()
            await asyncio.wait([watch])
            if inbox is not None:
                await inbox.aclose()

    def _account(self) -> None:
        """Waits start small again only when something new has come, not when a connection stands."""
        receiver = self._receiver
        if receiver.progress:
            self._unreadable = 0
        if receiver.progress or receiver.answered:
            self._down_since = None
        if receiver.progress:
            self._backoff.reset()
        receiver.progress = receiver.answered = False

    async def _make_room(self) -> None:
        """Back-pressure: a full stream that is alone is waited for; one among others moves out."""
        for subscription in [each for each in self._receiver.subscriptions if each.buffer.full]:
            if self.streams == 1:
                self._reading = False
                await subscription.buffer.room()
                self._heard_at = asyncio.get_running_loop().time()
                self._reading = True
            elif self._socket is not None:
                stop = self._receiver.remove(subscription)
                subscription.tell(OwnSocket("read more slowly than the streams beside it"))
                await self._moved(subscription)
                await self._send(self._socket, stop)

    async def _watch(self, socket: ClientConnection) -> None:
        """Cut the connection when nothing is heard for too long."""
        loop = asyncio.get_running_loop()
        while True:
            left = self._heard_at + self._options.silence_s - loop.time()
            if not self._reading:
                left = self._options.silence_s
            elif left <= 0:
                LOG.warning("url=%s silent for %g s", self._options.url, self._options.silence_s)
                socket.transport.abort()
                return
            await asyncio.sleep(left)

    async def _send(self, socket: ClientConnection, request: bytes) -> None:
        # Who reads the connection sees its end too, and starts each stream on the next one.
        with suppress(ConnectionClosed):
            await socket.send(request)

    def _closed(self, error: ConnectionClosed) -> Broken:
        close = error.rcvd
        if close is None:
            return Broken("the connection was cut")
        text = f"closed by the gateway with {close.code}: {close.reason or 'no reason given'}"
        if close.code in _KEY_CODES:
            raise KeyRefused(text) from error
        return Broken(text)

    async def _wait(self, broken: Broken) -> None:
        loop = asyncio.get_running_loop()
        if self._down_since is None:
            self._down_since = loop.time()
        delay_s = self._backoff.next_s(broken.at_least_s)
        limit_s = self._options.give_up_after_s
        if limit_s is not None and loop.time() + delay_s - self._down_since > limit_s:
            raise Unreachable(f"no line for {limit_s:g} s; last: {broken.reason}")
        for subscription in self._receiver.subscriptions:
            subscription.tell(
                Reconnecting(f"{broken.reason}; next try in {delay_s:.2f} s", self._backoff.attempt, delay_s)
            )
        await asyncio.sleep(delay_s)

    async def _hang_up(self, socket: ClientConnection) -> None:
        """Bounded even when the gateway has stopped reading: the library's own bound drains first."""
        try:
            async with asyncio.timeout(self._options.close_timeout_s):
                await socket.close()
        except TimeoutError:
            pass
        finally:
            socket.transport.abort()

    def _fail(self, error: Exception) -> None:
        for subscription in self._receiver.subscriptions:
            subscription.fail(error)
        self._receiver.subscriptions.clear()
