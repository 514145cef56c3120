"""Room `client`."""
