"""Room `simulator`."""
