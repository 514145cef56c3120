"""What the bytes of one session mean: its directory, and the stripe and JSON text of each ticker, asked once.

Knows locate codes and raw ticker fields; knows nothing of groups or streams.
"""

from collections.abc import Callable

from gateway.decode import Directory, json_text
from gateway.decode.text import padded_text
from gateway.stripes import StripeTable

# A session has some ten thousand tickers; hostile or broken text must not grow the cache for ever.
RAW_TICKERS_MAX = 200_000


class _StripeOfRaw(dict[bytes, str | None]):
    """Raw ticker field, padding and all, → primary stripe, None when blank. Starts over at its limit."""

    def __init__(self, stripe_of: Callable[[str | None], str]) -> None:
        super().__init__()
        self._stripe_of = stripe_of

    def __missing__(self, raw: bytes) -> str | None:
        if len(self) >= RAW_TICKERS_MAX:
            self.clear()
        ticker = padded_text(raw)
        stripe = self[raw] = self._stripe_of(ticker) if ticker else None
        return stripe


class SessionContext:
    """Directory and stripes of one session.

    Locate codes are of one session (ITCH: of one day). The two lists are indexed by locate
    and hold what is true now; a reader of older messages must ask `at`, which looks up what
    was true at their number, so that a replay gives what live readers got.
    """

    def __init__(self, session: str, directory: Directory, stripes: StripeTable) -> None:
        self.session = session
        self.directory = directory
        self._stripe_of = stripes.stripe_of
        self.catch_all = stripes.stripe_of(None)
        self.stripe_of_raw = _StripeOfRaw(stripes.stripe_of)
        # Locate 0 means "of no ticker": such a message belongs to every stripe, told as None.
        self.stripes_by_locate: list[str | None] = [None] + [self.catch_all] * 65_535
        self.json_by_locate: list[str | None] = [None] * 65_536
        for locate, ticker in enumerate(directory.tickers):
            if ticker is not None:
                self._set(locate, ticker)

    def restripe(self) -> None:
        """The table of stripes has changed."""
        self.catch_all = self._stripe_of(None)
        self.stripe_of_raw.clear()
        self.stripes_by_locate[1:] = [self.catch_all] * 65_535
        for locate, ticker in enumerate(self.directory.tickers):
            if ticker is not None:
                self._set(locate, ticker)

    def learn(self, payload: bytes, seq: int) -> None:
        """Take in a directory message."""
        entry = self.directory.learn(payload, seq)
        if entry is not None:
            self._set(*entry)

    def at(self, locate: int, seq: int) -> tuple[str | None, str | None]:
        """(stripe, ticker as JSON text) of a locate code, as it was at `seq`."""
        if locate == 0:
            return None, None
        ticker = self.directory.ticker_at(locate, seq)
        if ticker is None:
            return self.catch_all, None
        return self._stripe_of(ticker), json_text(ticker)

    def _set(self, locate: int, ticker: str) -> None:
        if locate == 0:
            # Whatever a directory says of it: `at` has to answer the same.
            return
        self.stripes_by_locate[locate] = self._stripe_of(ticker)
        self.json_by_locate[locate] = json_text(ticker)
