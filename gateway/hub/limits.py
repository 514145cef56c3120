"""The hub's limits, each with what happens there. Defaults are those of config/gateway.toml."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of what the hub holds per subscriber and does per step."""

    # A turn of the loop that brings more is written in several pieces: small ones stay in the cache.
    flush_messages: int = 500
    # Above this many bytes not taken by the kernel, a subscriber reads on from the journal.
    backlog_bytes_max: int = 1 << 20
    # Raw bytes of journal that one catch-up step encodes: small, so that live subscribers do not wait.
    catch_up_bytes: int = 16 << 10
    # Records that one step of a snapshot looks at, or of a conflated stream writes.
    snapshot_records: int = 200
    # Different keys that a conflated stream may have waiting; above it the stream is told and closed.
    latest_keys_max: int = 200_000
    # Pieces that were encoded for one of several streams that want the same, kept for the others.
    shared_pieces_bytes: int = 8 << 20
    # Of each view that somebody wants, so many of the newest messages (or up to twice as many) are kept for
    # streams that fall behind; who is farther behind has the books rebuilt.
    recent_views: int = 20_000
    # Books that are being rebuilt at a time for readers of old messages; others wait for their turn.
    view_engines: int = 4
    # Saved states from which books are rebuilt, all of them together; above it every second one is dropped.
    view_states_bytes: int = 64 << 20
