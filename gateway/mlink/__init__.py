"""Room `mlink`."""
