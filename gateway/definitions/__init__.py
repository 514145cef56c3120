"""Room `definitions`."""
