"""REST: the latest records as plain HTTP answers. Knows the hub's channels; changes nothing there."""

from gateway.net.rest.service import PATHS, RestRefused, RestService

__all__ = ["PATHS", "RestRefused", "RestService"]
