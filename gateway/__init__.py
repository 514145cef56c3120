"""soup-gateway: SoupBinTCP sessions upstream, framed JSON over WebSocket downstream."""
