"""Room `decode`."""
