"""One subscriber's connection: its session's actions are performed here, and its socket is waited for.

Knows the socket, the session state machine and the hub. Two tasks: one reads what the subscriber
says, here; one writes what is not live, the pump. Live messages come from the hub, past both.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed

from gateway.hub import Delivery, Hub, State
from gateway.hub.wire import binary_message
from gateway.mlink import choices
from gateway.mlink.actions import (
    Action,
    CloseWith,
    LogonRequested,
    Progress,
    Reply,
    SignalReady,
    StreamId,
    StreamRequested,
    StreamsCancelled,
    SubscribeRequested,
)
from gateway.mlink.choices import StreamResult, SubscribeState
from gateway.mlink.close_codes import REASONS, CloseCode
from gateway.mlink.limits import SessionLimits
from gateway.mlink.session import SubscriberSession
from gateway.net.access import OPEN_ACCESS, Access, Authority
from gateway.net.access import Refused as AccessRefused
from gateway.net.feed_values import FeedNotice
from gateway.net.notices import TOLD, Standing
from gateway.net.pump import Pump
from gateway.net.resolve import Refused, Resolver
from gateway.net.streams import Streams
from gateway.net.subscriptions import Subscriptions
from gateway.net.websocket import SubscriberConnection
from gateway.settings import ServerSettings

log = logging.getLogger("gateway.net")

# Of a stream of more stripes it is only told that they are several.
STRIPES_TOLD = 4
# Subscribers are told apart by a number that says nothing of who they are.
_numbers = count(1)


class Subscriber:
    """A connection from greeting to close. `serve` returns when it has ended, whoever ended it."""

    def __init__(
        self,
        connection: SubscriberConnection,
        framed: bool,
        access: Access | None,
        hub: Hub,
        resolver: Resolver,
        authority: Authority,
        charge: Callable[[Access], Awaitable[bool]],
        standing: Standing,
        settings: ServerSettings,
    ) -> None:
        self.access = access
        self._connection = connection
        self._framed = framed
        self._hub = hub
        self._resolver = resolver
        self._authority = authority
        self._charge = charge
        self._standing = standing
        self._logon: LogonRequested | None = None
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.number = next(_numbers)
        self._since = self._loop.time()
        self._ending: tuple[int, str] | None = None
        self._subscriptions = Subscriptions(
            self, framed, hub, resolver, self._subscribe_checkpoint, settings.keys_max
        )
        self._session = SubscriberSession(
            framed=framed,
            now=self._loop.time(),
            wall_ns=time.time_ns,
            logged_on=access is not None,
            limits=self._limits_of(access),
        )
        self._streams = Streams(hub, self._session, self._perform, settings.keys_max)
        self._pump = Pump(
            connection,
            self._session,
            self._streams,
            self._subscriptions,
            hub.turns,
            self._perform,
            self._close,
            settings.never_reads_timeout_s,
        )
        connection.on_writable = self._pump.wake

    # What the hub needs: `hub.Sink`.

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    def backlog(self) -> int:
        return self._connection.backlog()

    def wake(self) -> None:
        self._pump.wake()

    # What the server needs.

    async def serve(self) -> None:
        """Hold the connection until either side ends it."""
        self._perform(self._session.greeting())
        reading = self._loop.create_task(self._read(), name="subscriber reads")
        writing = self._loop.create_task(self._pump.run(), name="subscriber writes")
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.close()
            self._subscriptions.close()
            for task in (reading, writing):
                task.cancel()
            ended = await asyncio.gather(reading, writing, return_exceptions=True)
        bugs = [result for result in ended if isinstance(result, Exception)]
        if bugs:
            self._ending = (CloseCode.INTERNAL, REASONS[CloseCode.INTERNAL])
        code, reason = self._ending or (CloseCode.NORMAL, "")
        await self._connection.end(code, reason, self._settings.close_timeout_s)
        if bugs:
            raise ExceptionGroup("a subscriber's tasks", bugs)

    def tell(self, feed: str, notice: FeedNotice) -> None:
        """Say what befell a feed, if any stream of ours is of it."""
        if any(feed in stream.spec.feeds for stream in self._streams):
            self._notice(feed, notice)

    def _notice(self, feed: str, notice: FeedNotice) -> None:
        if (event := TOLD.get(notice.kind)) is not None:
            self._perform(
                self._session.notice(event, f"feed {feed}: {notice.detail}", src=feed, ses=notice.session)
            )

    def renew(self, now_s: float) -> None:
        """Look again whether the key is still good; the connection ends if it is not."""
        if self.access is None:
            return
        access = self._authority.renew(self.access, now_s)
        if isinstance(access, AccessRefused):
            expired = self.access.is_expired(now_s)
            self._close(CloseCode.KEY_EXPIRED if expired else CloseCode.KEY_REVOKED, access.reason)
        elif access.rights != self.access.rights:
            # Its streams were begun under others.
            self._close(CloseCode.KEY_REVOKED, "what it may see has changed; connect again")
        else:
            self.access = access

    def described(self) -> dict[str, Any]:
        """What it reads and how far behind it is, without a word of who it is."""
        now = self._loop.time()
        streams = []
        for stream in self._streams:
            messages, seconds = (0, 0.0) if stream.state is not State.BEHIND else self._hub.lag(stream)
            stripes = sorted(stream.spec.stripes or ())
            streams.append(
                {
                    "messages": sorted({name for _, name in stream.spec.messages}),
                    "stripe": ", ".join(stripes) if 0 < len(stripes) <= STRIPES_TOLD else stream.spec.stripe,
                    "state": stream.state.name.lower(),
                    "sent": stream.sent,
                    "lagMessages": messages,
                    "lagS": round(seconds, 3),
                }
            )
        return {"id": self.number, "seconds": round(now - self._since, 1), "streams": streams}

    def evict(self) -> None:
        """Give the place up to a newer connection of the same holder."""
        self._close(CloseCode.GHOST, "")

    def good_night(self, seconds_left: float) -> None:
        """Tell that the gateway ends, and end each stream with the place where it can be resumed."""
        if self._ending is None:
            self._perform(self._session.good_night(seconds_left))
            self._end_all()

    def depart(self) -> None:
        """Close, after good night was said."""
        if self._ending is None:
            self._ending = (CloseCode.GOING_AWAY, REASONS[CloseCode.GOING_AWAY])
            self._pump.stop()

    # What the subscriber says.

    async def _read(self) -> None:
        try:
            async for message in self._connection:
                self._perform(self._session.receive(message, self._loop.time()))
                while (logon := self._logon) is not None:
                    self._logon = None
                    await self._log_on(logon)
                if self._ending is not None:
                    return
                # Who does not read the answers is not asked for more.
                await self._connection.until_writable()
        except ConnectionClosed:
            pass

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Reply(data):
                    self._connection.write(binary_message(data))
                case CloseWith(code, reason):
                    # Now: the session has no words for them any more when the hub next asks for some.
                    self._streams.close()
                    self._subscriptions.close()
                    self._ending = (code, reason)
                    self._pump.stop()
                case LogonRequested():
                    # Whether there is a place may take a while; the session holds what follows.
                    self._logon = action
                case StreamRequested():
                    self._start(action)
                case StreamsCancelled():
                    self._cancel(action)
                case SubscribeRequested():
                    self._subscribe(action)
                case SignalReady():
                    self._signal(action)

    async def _log_on(self, action: LogonRequested) -> None:
        credential = action.api_key or action.jwt_token or action.password
        found = self._authority.admit(credential, time.time())
        peer = self._connection.address
        if isinstance(found, AccessRefused):
            log.info("event=key-refused peer=%s subscriber=%d detail=%r", peer, self.number, found.reason)
            self._perform(self._session.logon_failed("this key or token is not good"))
        elif not await self._charge(found):
            self._close(CloseCode.TOO_MANY_CONNECTIONS, f"{found.connections_max} are allowed")
        else:
            before = self.access
            if before is not None and before is not OPEN_ACCESS and before.holder != found.holder:
                # Nobody would look any more at whether the key that began them is still good.
                self._end_all()
            self.access = found
            log.info("event=logged-on peer=%s subscriber=%d holder=%s", peer, self.number, found.holder)
            self._perform(self._session.logged_on(limits=self._limits_of(found)))

    def _limits_of(self, access: Access | None) -> SessionLimits:
        settings = self._settings
        return SessionLimits(
            message_bytes_max=settings.max_message_bytes,
            requests_per_s=(access and access.requests_per_second) or settings.requests_per_second,
            requests_burst=settings.requests_burst,
            logon_s=settings.logon_timeout_s,
            streams_max=(access and access.streams_max) or settings.streams_max,
            heartbeat_s=settings.heartbeat_s,
        )

    def _start(self, action: StreamRequested) -> None:
        assert self.access is not None, "the session asks for streams only once logged on"
        try:
            resolved = self._resolver.stream(action, self.access, self._framed)
        except Refused as exc:
            self._perform(self._session.ack_stream(action, exc.result, str(exc)))
            return
        ends: dict[StreamId, Progress] = {}
        if (progress := self._streams.stop(action.id)) is not None:
            ends[action.id] = progress
        stream = self._hub.open(
            self,
            resolved.spec,
            resolved.delivery,
            action.id,
            resume=resolved.resume,
            newer_than_ns=resolved.newer_than_ns,
            polled=resolved.polled,
        )
        told = choices.Delivery.LATEST if resolved.delivery is Delivery.LATEST else None
        self._perform(self._session.ack_stream(action, StreamResult.OK, ends=ends, delivery=told))
        latency_s = action.request.activeLatency / 1000
        self._streams.begin(action.id, stream, latency_s=latency_s, coverage=action.request.coverage)
        for feed, notice in self._standing.of(resolved.spec.feeds):
            self._notice(feed, notice)
        self._pump.wake()

    def _cancel(self, action: StreamsCancelled) -> None:
        ends: dict[StreamId, Progress] = {}
        for each in action.ids:
            if (progress := self._streams.stop(each)) is not None:
                ends[each] = progress
        self._perform(self._session.ack_stream(action, StreamResult.OK, ends=ends))

    def _subscribe(self, action: SubscribeRequested) -> None:
        assert self.access is not None, "the session asks for subscriptions only once logged on"
        applied = self._subscriptions.apply(action.request, self.access)
        self._perform(
            self._session.ack_subscribe(
                action,
                view=applied.view,
                subscribe=applied.subscribe,
                unsubscribe=applied.unsubscribe,
                active=applied.active,
            )
        )
        self._subscriptions.begin(action.request.sessionID)
        self._pump.wake()

    def _subscribe_checkpoint(
        self, session_id: int, subscribe_id: int, state: SubscribeState, signal_id: int
    ) -> None:
        self._perform(
            self._session.subscribe_checkpoint(session_id, subscribe_id, state, signal_id=signal_id)
        )

    def _signal(self, action: SignalReady) -> None:
        self._streams.signal(action)
        self._subscriptions.signal(action)
        self._pump.wake()

    def _close(self, code: CloseCode, detail: str) -> None:
        """End the connection after a word why, and after where each stream can be resumed."""
        if self._ending is None:
            self._end_all()
            self._perform(self._session.close(code, detail))

    def _end_all(self) -> None:
        self._streams.end()
        self._subscriptions.end()
