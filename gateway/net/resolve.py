"""From what a subscriber asked for to what the hub can do: names, stripes, filters, rights, positions.

Knows the feeds' messages, the stripe table and what a key may see. Changes nothing and waits for nothing.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from gateway.decode import MessageCodec
from gateway.errors import BadRequest, JournalError
from gateway.hub import Channel, Delivery, StreamSpec
from gateway.hub.filters import filter_for
from gateway.mlink import choices
from gateway.mlink.actions import StreamRequested
from gateway.mlink.choices import StreamResult
from gateway.mlink.control import MLinkStream, Resume
from gateway.mlink.view import View
from gateway.mlink.where import Where
from gateway.net.access import Access
from gateway.stripes import StripeTable
from gateway.values import Position
from gateway.views import ViewCodec, viewable

EVERYTHING = "*"
# So much of an unknown name is compared with those there are: what costs time must not grow with it.
NAME_COMPARED_MAX = 40

log = logging.getLogger("gateway.net")


class Refused(BadRequest):
    """A request that can't be served; `result` and the text go into its ack."""

    def __init__(self, result: StreamResult, detail: str) -> None:
        super().__init__(detail)
        self.result = result


@dataclass(frozen=True, slots=True)
class Resolved:
    """A stream as the hub takes it."""

    spec: StreamSpec
    delivery: Delivery
    polled: bool
    newer_than_ns: int
    resume: Mapping[str, Position] | None = field(default=None)


class Resolver:
    """Answers with a Resolved or raises Refused, whose text says what was expected."""

    def __init__(self, channels: Mapping[str, Channel], stripes: StripeTable) -> None:
        self._channels = channels
        self._stripes = stripes

    def stream(self, asked: StreamRequested, access: Access, framed: bool) -> Resolved:
        """What an MLinkStream means for one who may do what `access` says."""
        request = asked.request
        try:
            found = self._messages(request.names, access)
            stripes = self._stripe_names(request.stripes, access)
            found = self._filtered(found, asked.where)
            view = self._viewed(found, asked.view)
            delivery = self._delivery(found, request)
            resume = self._resumed(request.resume, found, access)
        except Refused:
            raise
        except BadRequest as exc:
            raise Refused(StreamResult.ERROR, str(exc)) from exc
        if resume is not None and delivery is Delivery.LATEST:
            raise Refused(
                StreamResult.ERROR,
                "resume: needs every message; ask with delivery 'every', not the latest of each key",
            )
        return Resolved(
            StreamSpec(
                framed, frozenset((feed, codec.name) for feed, codec in found), stripes, asked.where, view
            ),
            delivery,
            # The dialect: without a latency nothing follows the snapshot until the client says it is ready.
            polled=request.activeLatency == 0 and request.delivery is None and resume is None,
            newer_than_ns=request.highwaterTs,
            resume=resume,
        )

    def _messages(self, names: Sequence[str], access: Access) -> list[tuple[str, MessageCodec]]:
        if not names:
            raise Refused(StreamResult.INVLD_MSG_TYPE, "msgName: expected a name, a list of names, or *")
        found: list[tuple[str, MessageCodec]] = []
        for name in names:
            known = self.named(name)
            if not known:
                there_are = sorted(
                    {name for channel in self._channels.values() for name in channel.codecs.names}
                )
                near = get_close_matches(name[:NAME_COMPARED_MAX], there_are, 1)
                meant = f"did you mean {near[0]}? There" if near else "there"
                raise Refused(
                    StreamResult.UNKWN_MSG_TYPE,
                    f"msgName: no message {name!r}; {meant} are {', '.join(there_are)}",
                )
            allowed = [(feed, codec) for feed, codec in known if self.may_read(access, feed, codec)]
            if not allowed:
                raise Refused(StreamResult.UNAUTH_MSG_TYPE, f"msgName: this key may not see {name!r}")
            found += [pair for pair in allowed if pair not in found]
        views = [codec.name for _, codec in found if isinstance(codec, ViewCodec)]
        if views and len({codec.name for _, codec in found}) > 1:
            # Each number would come more than once, and nobody could tell where to go on after a break.
            raise Refused(
                StreamResult.ERROR,
                f"msgName: {views[0]} needs a stream of its own, for its numbers are those of other messages",
            )
        return found

    def everything(self) -> list[tuple[str, MessageCodec]]:
        """(feed, codec) of all that can be asked for by name, views among it."""
        return [
            (feed, codec)
            for feed, channel in self._channels.items()
            for codec in channel.codecs.by_name.values()
        ]

    def named(self, name: str) -> list[tuple[str, MessageCodec]]:
        """(feed, codec) of each message that a name stands for, in any case; `*` is all that feeds send."""
        found: list[tuple[str, MessageCodec]] = []
        for feed, channel in self._channels.items():
            if name == EVERYTHING:
                found += [(feed, codec) for codec in channel.codecs.by_id if codec is not None]
            elif (codec := channel.codecs.by_name.get(name.casefold())) is not None:
                found.append((feed, codec))
        return found

    @staticmethod
    def may_read(access: Access, feed: str, codec: MessageCodec) -> bool:
        """Whether the holder may see a message of a feed."""
        return access.may_read_feed(feed) and access.may_read_message(codec.name)

    def allowed_stripes(self, access: Access) -> frozenset[str] | None:
        """The primary stripes the holder may see; None is all."""
        return None if access.stripes is None else access.allowed_stripes(self._stripes)

    def may_read_key(self, access: Access, codec: MessageCodec, key: str) -> bool:
        """Whether the record of this key is in a stripe that the holder may see."""
        allowed = self.allowed_stripes(access)
        ticker = codec.ticker_of_key(key)
        if allowed is None or ticker is None:
            return True
        # Of feeds with one message name, each may have the ticker in another stripe.
        feeds = [feed for feed, found in self.named(codec.name) if self.may_read(access, feed, found)]
        return any(self._channels[feed].stripes.stripe_of(ticker) in allowed for feed in feeds)

    def _stripe_names(self, asked: Sequence[str], access: Access) -> frozenset[str] | None:
        allowed = self.allowed_stripes(access)
        if not asked:
            return allowed
        wanted = self._stripes.members(asked)
        if allowed is not None and not wanted <= allowed:
            raise BadRequest(
                f"stripeFilter: this key may not see {', '.join(sorted(wanted - allowed))}; "
                f"it may see {', '.join(sorted(allowed))}"
            )
        return wanted

    @staticmethod
    def _filtered(
        found: list[tuple[str, MessageCodec]], where: Where | None
    ) -> list[tuple[str, MessageCodec]]:
        """Those messages that the filter fits; one without its fields can't match, so it is left out."""
        if where is None:
            return found
        fitting: list[tuple[str, MessageCodec]] = []
        misfit: BadRequest | None = None
        for feed, codec in found:
            try:
                filter_for(codec, where)
                fitting.append((feed, codec))
            except BadRequest as exc:
                misfit = misfit or exc
        if misfit is not None and not fitting:
            raise misfit
        return fitting

    @staticmethod
    def _viewed(found: list[tuple[str, MessageCodec]], view: View | None) -> frozenset[str] | None:
        if view is None:
            return None
        view.of([name for _, codec in found for name in viewable(codec)])
        return view.names

    @staticmethod
    def _delivery(found: list[tuple[str, MessageCodec]], request: MLinkStream) -> Delivery:
        events = [codec.name for _, codec in found if codec.definition.kind != "record"]
        if request.delivery is choices.Delivery.EVERY:
            return Delivery.EVERY
        if request.delivery is choices.Delivery.LATEST and events:
            raise BadRequest(
                f"delivery: 'latest' needs messages with a key, {events[0]} has none; ask for 'every'"
            )
        return Delivery.EVERY if events else Delivery.LATEST

    def _resumed(
        self, resume: Resume | Sequence[Resume] | None, found: list[tuple[str, MessageCodec]], access: Access
    ) -> dict[str, Position] | None:
        if resume is None:
            return None
        if not access.replay:
            raise BadRequest("resume: this key may not replay")
        feeds = sorted({feed for feed, _ in found})
        positions: dict[str, Position] = {}
        for each in [resume] if isinstance(resume, Resume) else resume:
            feed = each.src or (feeds[0] if len(feeds) == 1 else "")
            if feed not in feeds:
                raise BadRequest(
                    f"resume.src: {each.src!r} is not a feed of this stream, expected {', '.join(feeds)}"
                )
            if feed in positions:
                raise BadRequest(f"resume.src: feed {feed!r} is named twice, expected one position for each")
            positions[feed] = self._position(self._channels[feed], each)
        return positions

    @staticmethod
    def _position(channel: Channel, resume: Resume) -> Position:
        position = Position(resume.ses or channel.position.session, resume.seqN)
        if position == channel.position:
            return position
        if not position.session:
            raise BadRequest(f"resume.seqN: {resume.seqN} is in the future, no message has come yet")
        if channel.reader is None:
            raise BadRequest("resume: this feed keeps no journal")
        try:
            # Raises what is wrong with the position, the oldest one had named.
            channel.reader.read(position, 1)
        except JournalError as exc:
            # Files and their faults are the operator's.
            log.error("event=not-readable detail=%r", str(exc))
            raise BadRequest(
                f"resume: number {position.next_seq} of session {position.session!r} can't be read now; "
                f"resume later, or behind it"
            ) from exc
        return position
