"""Answers REST requests: from the query to the bytes of the body, with QueryResult as the last message.

Knows what somebody may see and the latest records; knows nothing of sockets.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson

from gateway.decode import MessageCodec
from gateway.errors import BadRequest
from gateway.hub import Channel, StreamSpec
from gateway.mlink.actions import StreamId, StreamRequested
from gateway.mlink.choices import StreamResult
from gateway.mlink.control import MLinkStream
from gateway.mlink.frames import frame
from gateway.mlink.limits import RequestRate
from gateway.mlink.times import utc_text
from gateway.net.access import Access
from gateway.net.resolve import Refused, Resolver
from gateway.net.rest.aggregate import Aggregate
from gateway.net.rest.query import Command, Query, parse_query
from gateway.net.rest.ranking import Ranking
from gateway.net.rest.records import Records
from gateway.net.rest.schema import field_descriptions, msg_type

# Path → whether frames are wanted, or one JSON array.
PATHS = {"/rest/jsonf": True, "/rest/json": False}
# Requests that are worked on at once; one more is told to come back.
REQUESTS_MAX = 8
# Holders of keys with a rate who are remembered; of one forgotten, the count begins anew.
RATES_KEPT_MAX = 10_000

_STATUS = {
    StreamResult.UNKWN_MSG_TYPE: HTTPStatus.NOT_FOUND,
    StreamResult.UNAUTH_MSG_TYPE: HTTPStatus.FORBIDDEN,
}


class RestRefused(BadRequest):
    """A request that gets an Error, with its status."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class RestService:
    """At most REQUESTS_MAX at once, so that memory and the loop stay with the subscribers."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        resolver: Resolver,
        clock_ns: Callable[[], int],
        requests_max: int = REQUESTS_MAX,
    ) -> None:
        self._channels = channels
        self._resolver = resolver
        self._clock_ns = clock_ns
        self._requests_max = requests_max
        self._running = 0
        # Least recently seen first.
        self._rates: OrderedDict[str, RequestRate] = OrderedDict()

    async def answer(self, query: str, access: Access, framed: bool) -> tuple[HTTPStatus, bytes]:
        """Status and body for the part of the address behind the `?`. Raises nothing for what it says."""
        begun_ns = self._clock_ns()
        if self._running >= self._requests_max:
            detail = f"{self._requests_max} requests are being answered; come back in a moment"
            return HTTPStatus.SERVICE_UNAVAILABLE, self.error(detail, framed)
        if not self._is_within_rate(access):
            detail = f"{access.requests_per_second:g} requests a second are allowed with this key"
            return HTTPStatus.TOO_MANY_REQUESTS, self.error(detail, framed)
        self._running += 1
        try:
            texts, detail = await self._perform(parse_query(query), access, framed)
        except RestRefused as exc:
            return exc.status, self.error(str(exc), framed)
        except Refused as exc:
            return _STATUS.get(exc.result, HTTPStatus.BAD_REQUEST), self.error(str(exc), framed)
        except BadRequest as exc:
            return HTTPStatus.BAD_REQUEST, self.error(str(exc), framed)
        finally:
            self._running -= 1
        elapsed = (self._clock_ns() - begun_ns) / 1e9
        result = {"numMessagesSent": len(texts), "queryElapsed": elapsed, "result": "OK"}
        if detail:
            result["detail"] = detail
        return HTTPStatus.OK, _joined([*texts, self._text("QueryResult", result, framed)], framed)

    def _is_within_rate(self, access: Access) -> bool:
        """All requests of a holder are counted together: each comes on a connection of its own."""
        per_s, now = access.requests_per_second, time.monotonic()
        if per_s is None:
            return True
        rate = self._rates.pop(access.holder, None) or RequestRate(per_s, max(1, round(per_s)), now)
        rate.per_s = per_s
        self._rates[access.holder] = rate
        if len(self._rates) > RATES_KEPT_MAX:
            self._rates.popitem(last=False)
        return rate.take(now)

    def error(self, detail: str, framed: bool) -> bytes:
        """The body of an answer that is only an Error."""
        result = {"numMessagesSent": 0, "queryElapsed": 0.0, "result": "Error", "detail": detail}
        return _joined([self._text("QueryResult", result, framed)], framed)

    async def _perform(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        perform: Mapping[Command, Callable[[Query, Access, bool], Awaitable[tuple[list[str], str]]]] = {
            Command.GET_MSG_TYPES: self._msg_types,
            Command.GET_SCHEMA: self._schema,
            Command.GET_MSG: self._msg,
            Command.GET_MSGS: self._msgs,
            Command.GET_COUNT: self._count,
            Command.GET_AGGREGATE: self._aggregate,
        }
        return await perform[query.command](query, access, framed)

    async def _msg_types(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        pairs = self._resolver.everything()
        seen = [pair for pair in pairs if self._resolver.may_read(access, *pair)]
        return [self._text("MsgType", msg_type(feed, codec), framed) for feed, codec in seen], ""

    async def _schema(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        spec = self._spec(query, access, framed)
        texts = []
        for _, codec in self._codecs(spec):
            texts += [
                self._text("FieldDesc", {"msgName": codec.name, **each}, framed)
                for each in field_descriptions(codec)
            ]
        return texts, ""

    async def _msg(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        records, codecs = self._records(query, access, framed)
        if query.key is None:
            expected = ", ".join("|".join(codec.definition.key) or "an empty text" for codec in codecs)
            raise BadRequest(f"pkey: missing, expected {expected}")
        found = records.of_key(query.key)
        if not found:
            raise RestRefused(HTTPStatus.NOT_FOUND, f"pkey: no record {query.key[:80]!r}")
        return [each.text for each in found], ""

    async def _msgs(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        if query.key is not None:
            return await self._msg(query, access, framed)
        records, codecs = self._records(query, access, framed)
        cut = f"cut at the limit of {query.limit}"
        if not query.order:
            texts: list[str] = []
            async for found in records.matching():
                if len(texts) == query.limit:
                    return texts, cut
                texts.append(found.text)
            return texts, ""
        ranking = Ranking(query.order, codecs)
        count = 0
        async for found in records.matching():
            count += 1
            await ranking.put(found)
        return await ranking.first(query.limit), cut if count > query.limit else ""

    async def _count(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        records, _ = self._records(query, access, framed)
        count = 0
        async for _ in records.matching():
            count += 1
        return [self._text("AggregateCount", {"recCount": count}, framed)], ""

    async def _aggregate(self, query: Query, access: Access, framed: bool) -> tuple[list[str], str]:
        records, codecs = self._records(query, access, framed)
        aggregate = Aggregate(query.group, query.measure, codecs)
        async for found in records.matching():
            aggregate.put(found)
        texts = [self._text(name, body, framed) for name, body in aggregate.messages()]
        return texts[: query.limit], f"cut at the limit of {query.limit}" if len(texts) > query.limit else ""

    def _records(self, query: Query, access: Access, framed: bool) -> tuple[Records, list[MessageCodec]]:
        spec = self._spec(query, access, framed)
        pairs = [(feed, codec) for feed, codec in self._codecs(spec) if codec.definition.kind == "record"]
        if not pairs:
            raise BadRequest("msgType: has no key, so no latest record of each; ask for an MLinkStream")
        spec = StreamSpec(
            framed,
            frozenset((feed, codec.name) for feed, codec in pairs),
            spec.stripes,
            spec.where,
            spec.view,
        )
        channels = [self._channels[feed] for feed in sorted(spec.feeds)]
        return Records(channels, spec, self._clock_ns), list(dict.fromkeys(codec for _, codec in pairs))

    def _spec(self, query: Query, access: Access, framed: bool) -> StreamSpec:
        """Resolved as a stream with the same words would be, so that both mean the same."""
        if not query.msg_types:
            raise BadRequest("msgType: missing, expected a name; getmsgtypes tells which there are")
        request = MLinkStream(msgName=list(query.msg_types), where=query.where, view=query.view)
        asked = StreamRequested(StreamId(0, 0), request, query.parsed_where, query.parsed_view, False)
        return self._resolver.stream(asked, access, framed).spec

    def _codecs(self, spec: StreamSpec) -> list[tuple[str, MessageCodec]]:
        return [
            (feed, codec)
            for feed, codec in self._resolver.everything()
            if (feed, codec.name) in spec.messages
        ]

    def _text(self, m_typ: str, body: Mapping[str, Any], framed: bool) -> str:
        now = utc_text(self._clock_ns())
        payload = orjson.dumps({"header": {"mTyp": m_typ, "sTim": now, "encT": now}, "message": body})
        return (frame(payload) if framed else payload).decode()


def _joined(texts: list[str], framed: bool) -> bytes:
    return "".join(texts).encode() if framed else ("[" + ",\n".join(texts) + "]\n").encode()
