"""Books, quotes, prints and bars, worked out from a feed's ITCH messages. No I/O, no clock."""

from gateway.views.engine import Engine
from gateway.views.layouts import ViewCodec, ViewedCodecs, known, viewable

__all__ = ["Engine", "ViewCodec", "ViewedCodecs", "known", "viewable"]
