"""A start in the middle of a day: the saved state, then what the journal has behind it.

Knows channels, the hub and journals; serves nobody yet and opens no socket.
"""

import logging
from collections.abc import Sequence

from gateway.hub import Channel, Hub
from gateway.journal import DamagedBlock, Journal
from gateway.values import Block, Gap, Position

READ_BYTES = 1 << 20

log = logging.getLogger("gateway.app")


def restore(channel: Channel, hub: Hub, journal: Journal) -> None:
    """Bring a channel to where the journal ends: it knows what it knew when that was published.

    The state was saved with its position, so only what came after it is read; without one, the whole session.
    """
    newest = journal.position()
    if newest is None:
        return
    saved = journal.load_checkpoint()
    position = Position(newest.session, 1)
    if saved is not None and saved[0].session == newest.session:
        try:
            channel.load(*saved)
            position = saved[0]
        except ValueError as exc:
            log.warning("feed=%s event=state-ignored detail=%r", channel.name, str(exc))
    if not channel.begun:
        channel.start_session(newest.session)
        first = next(info.first_seq for info in journal.sessions() if info.session == newest.session)
        channel.begin(first)
        position = channel.position
    began = position.next_seq
    while items := _read(journal, position):
        for item in items:
            if isinstance(item, Gap):
                hub.publish_gap(channel.name, item)
            else:
                hub.restore(channel.name, item)
        position = channel.position
    log.info(
        "feed=%s event=restored session=%s from=%d to=%d",
        channel.name,
        position.session,
        began,
        position.next_seq,
    )


def _read(journal: Journal, position: Position) -> Sequence[Block | Gap]:
    """What comes next. At damage the session is cut: nobody reads it yet, and the upstream has it again."""
    try:
        return journal.read(position, READ_BYTES)
    except DamagedBlock as exc:
        journal.repair(position.session, exc.what)
        return journal.read(position, READ_BYTES)
