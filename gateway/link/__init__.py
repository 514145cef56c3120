"""Room `link`."""
