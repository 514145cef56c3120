"""Which ticker a locate code stands for, in one session, at any of its sequence numbers.

Knows the directory messages of the definitions; knows nothing of feeds or of what is done with a
ticker. A code is valid from the number of its directory message on, so that a replay answers as
the live way did.
"""

from collections.abc import Mapping
from typing import Any

from gateway.decode.codecs import Codecs

# A locate code has two bytes; the definitions are checked for it.
LOCATES = 65_536
# Codes are given once a day. When one changes more often than this, the oldest of its tickers are forgotten,
# and a replay from before them sees the code as unknown.
CHANGES_KEPT_MAX = 16


class Directory:
    """Learns from directory messages. Bounded: so many codes, and so many changes of each.

    `tickers` is indexed by locate code and holds what is true now; who reads a message whose number is
    above `last_change_seq` may look there, everybody else asks `ticker_at`.
    """

    def __init__(self, codecs: Codecs) -> None:
        self.tickers: list[str | None] = [None] * LOCATES
        self.last_change_seq = 0
        self._codecs = codecs
        # By code: (from this number on, ticker), in order.
        self._changes: dict[int, list[tuple[int, str]]] = {}

    def learn(self, payload: bytes, seq: int) -> tuple[int, str] | None:
        """Take in the message `payload`; gives the code and its ticker if that is news.

        What is no directory message is no news, nor is one that was learned before. DecodeError
        if it does not fit its definition.
        """
        codec = self._codecs.by_id[payload[0]]
        if codec is None or not codec.definition.is_directory:
            return None
        codec.check(payload, 0, len(payload))
        locate, ticker = codec.locate(payload, 0), codec.ticker(payload, 0)
        assert locate is not None  # the loader sees to it
        assert ticker is not None
        changes = self._changes.setdefault(locate, [])
        if changes and (changes[-1][1] == ticker or changes[-1][0] >= seq):
            return None
        changes.append((seq, ticker))
        del changes[:-CHANGES_KEPT_MAX]
        self.tickers[locate] = ticker
        self.last_change_seq = max(self.last_change_seq, seq)
        return locate, ticker

    def ticker_at(self, locate: int, seq: int) -> str | None:
        """The ticker that `locate` stood for in message `seq`."""
        for from_seq, ticker in reversed(self._changes.get(locate, ())):
            if from_seq <= seq:
                return ticker
        return None

    def dump(self) -> dict[str, list[list[Any]]]:
        """Everything learned, as plain data for JSON."""
        return {
            str(locate): [[seq, ticker] for seq, ticker in self._changes[locate]] for locate in self._changes
        }

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Know exactly what `dump` gave. ValueError, and nothing is changed, when it is something else."""
        changes: dict[int, list[tuple[int, str]]] = {}
        for locate, pairs in dumped.items():
            try:
                code = int(locate)
                known = [(seq, ticker) for seq, ticker in pairs]
            except (TypeError, ValueError) as error:
                raise ValueError(f"directory: locate {locate!r} with {pairs!r}") from error
            in_order = all(isinstance(seq, int) and isinstance(ticker, str) for seq, ticker in known)
            if not 0 <= code < LOCATES or not known or not in_order or known != sorted(known):
                raise ValueError(f"directory: locate {locate!r} with {pairs!r}")
            changes[code] = known
        self._changes = changes
        self.tickers[:] = [None] * LOCATES
        for code, known in changes.items():
            self.tickers[code] = known[-1][1]
        self.last_change_seq = max((known[-1][0] for known in changes.values()), default=0)
