"""Room `hub`."""
