"""Room `net`."""
