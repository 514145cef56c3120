"""The downstream dialect: frames, control messages, filters, and a subscriber's session. Bytes and times in,
actions and bytes out; no socket, no clock, no log.

Start at `session` to serve subscribers, at `control` to speak to a server.
"""
