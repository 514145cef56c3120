"""Ask a running Prometheus, from inside its network, for all that it was given to watch a gateway with.

    check_watch.py PROMETHEUS ALERT… <dashboard.json     waits until each ALERT fires, or for none that does

Run by check.sh in the gateway's container, so it knows the standard library only. Exit code 1 says what is
missing.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

WAIT_S = 120.0
# These count what went wrong, or need a second line: in a healthy demo nothing has happened yet.
MAY_BE_EMPTY = (
    "soup_gateway_feed_undecodable_messages_total",
    "soup_gateway_feed_unknown_messages_total",
    "soup_gateway_feed_endpoint_lag_seconds",
    "soup_gateway_feed_reconnects_total",
    "soup_gateway_requests_refused_total",
    "soup_gateway_subscribers_ended_total",
)


class Prometheus:
    def __init__(self, address: str) -> None:
        self._address = address

    def ask(self, what: str, **query: str) -> Any:
        url = f"{self._address}/api/v1/{what}?{urlencode(query)}"
        with urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def value(self, query: str) -> list[Any]:
        return list(self.ask("query", query=query)["result"])

    def alerts(self) -> set[str]:
        return {
            each["labels"]["alertname"] for each in self.ask("alerts")["alerts"] if each["state"] == "firing"
        }


def until(what: str, holds: Any) -> None:
    """Wait for what takes some scrapes."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if holds():
                return
        except (URLError, OSError, ValueError, KeyError) as exc:
            last = str(exc)
        else:
            last = "not yet"
        if time.monotonic() > deadline:
            sys.exit(f"{what}: {last}")
        time.sleep(1)


def queries(dashboard: Any) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            asked = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
            yield panel["title"], asked


def main(address: str, expected: set[str]) -> None:
    prometheus = Prometheus(address)
    if expected:
        until(f"{', '.join(sorted(expected))} to fire", lambda: prometheus.alerts() >= expected)
        print(f"fires: {', '.join(sorted(prometheus.alerts()))}")
        return
    until("a target that is up", lambda: prometheus.value('up{job="soup-gateway"} == 1'))
    targets = prometheus.ask("targets")["activeTargets"]
    print("; ".join(f"target {each['scrapeUrl']} is {each['health']}" for each in targets))
    # A rate needs two samples, and rules are read a while after the start.
    until("rules that were evaluated", lambda: prometheus.value("soup_gateway:journal_fsync_seconds:p99"))
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    if sick := [rule["name"] for rule in rules if rule["health"] != "ok"]:
        sys.exit(f"rules that can't be evaluated: {', '.join(sick)}")
    until("no alert that fires", lambda: not prometheus.alerts())
    print(f"{len(rules)} rules are loaded and evaluated, no alert fires")
    asked, empty = 0, []
    for title, query in queries(json.load(sys.stdin)):
        asked += 1
        if not prometheus.value(query):
            if not any(name in query for name in MAY_BE_EMPTY):
                sys.exit(f"panel {title!r} shows nothing: {query}")
            empty.append(title)
    print(f"{asked} queries of the dashboard answered; nothing to show yet: {', '.join(empty) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1], set(sys.argv[2:]))
