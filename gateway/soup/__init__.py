"""Room `soup`."""
