"""Room `journal`."""
