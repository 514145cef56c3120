"""Prometheus itself reads the rules, scrapes a gateway, and finds every name that rules and dashboard use."""

import asyncio
import json
import re
import shutil
import subprocess
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from gateway.app import Gateway
from gateway.net.feed_values import NoticeKind
from gateway.net.metrics import END_REASONS, RECONNECT_REASONS
from gateway.simulator.exchange import Exchange
from gateway.simulator.market import Market
from tests.flow.pipe import feed_settings, free_port, reader, running, settings
from tests.net.scraping import fetch

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
RULES_TEST = DEPLOY / "prometheus" / "rules.test.yml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "soup-gateway.json").read_text())
RUNBOOK = (ROOT / "docs" / "operations" / "runbook.md").read_text()
TUNING = (ROOT / "docs" / "operations" / "tuning.md").read_text()
METRICS = (ROOT / "docs" / "operations" / "metrics.md").read_text()
ALL_RULES = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in ALL_RULES if "alert" in rule}

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="PROMETHEUS NOT TESTED: it is not installed (tests/system-packages.sh test)",
)


def run(*command: str) -> tuple[int, str]:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def targets() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def names_in(expression: str) -> set[str]:
    """Metrics that an expression asks for: words that are no label, function or text."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\b(?:by|on|without)\s*\([^)]*\)', " ", expression)
    return set(re.findall(r"\b(?:(?:soup_gateway|process)[a-z_0-9:]+|up\b)", bare))


@asynccontextmanager
async def busy(folder: Path) -> AsyncIterator[Gateway]:
    """A gateway whose metrics all have a sample that can have one without trouble."""
    async with (
        Exchange() as exchange,
        running(settings(folder, feed_settings(exchange.port))) as gateway,
        reader(gateway) as subscriber,
    ):
        exchange.extend(Market(10, seed=9).take(100))
        await subscriber.stream("*", resume={"seqN": 1})
        await subscriber.until_count(100)
        yield gateway


@needs_prometheus
def test_promtool_checks_the_rules() -> None:
    code, said = run("promtool", "check", "rules", str(RULES))

    assert code == 0, said


@needs_prometheus
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    code, said = run("promtool", "test", "rules", str(RULES_TEST))

    assert code == 0, said


def test_each_alert_has_a_moment_of_silence_and_one_of_alarm() -> None:
    moments: dict[str, set[bool]] = {}
    for test in yaml.safe_load(RULES_TEST.read_text())["tests"]:
        for each in test["alert_rule_test"]:
            moments.setdefault(each["alertname"], set()).add(bool(each["exp_alerts"]))

    assert moments == {name: {False, True} for name in ALERTS}


@needs_prometheus
def test_promtool_checks_the_configuration() -> None:
    code, said = run(
        "promtool", "check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml")
    )

    assert code == 0, said


@pytest.mark.one_loop
async def test_rules_dashboard_and_page_use_names_that_exist(tmp_path: Path) -> None:
    async with busy(tmp_path) as gateway:
        _, text = await fetch(gateway.port, "/metrics")
    families = set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))
    exist = {
        name
        for family in families
        for name in (family, *(f"{family}_{end}" for end in ("bucket", "sum", "count")))
    }
    # Prometheus' own, of each scrape.
    exist.add("up")
    recorded = {rule["record"] for rule in ALL_RULES if "record" in rule}
    asked = {f"panel {title}": names_in(expression) for title, expression in targets()}
    asked |= {rule.get("alert") or rule["record"]: names_in(rule["expr"]) for rule in ALL_RULES}
    # Written for people, without the prefix of the process's own.
    asked["docs/operations/metrics.md"] = set(re.findall(r"`(soup_gateway_\w+)`", METRICS))

    unknown = {where: names - exist - recorded for where, names in asked.items()}
    assert {where: names for where, names in unknown.items() if names} == {}
    assert all(asked.values()), "every expression asks for something of ours"
    ours = {family for family in families if family.startswith("soup_gateway_")}
    assert ours - asked["docs/operations/metrics.md"] == set(), "each is explained"


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_its_place_in_the_runbook(name: str) -> None:
    alert = ALERTS[name]

    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["runbook"] == f"docs/operations/runbook.md#{name.casefold()}"
    section = RUNBOOK.split(f"\n## {name}\n")[1].split("\n## ")[0]
    for word in ("**Means**", "**Look at**", "**Do**"):
        assert word in section, f"{name}: the runbook has no {word}"


def test_what_the_pages_call_a_reason_a_panel_or_an_event_is_called_so() -> None:
    """Else somebody looks at three in the morning for a word that is written nowhere."""
    panels = {panel["title"] for panel in DASHBOARD["panels"]}
    reasons = {*RECONNECT_REASONS, *END_REASONS, "not authorized", "behind"}
    events = {kind.value for kind in NoticeKind}
    for path in (ROOT / "gateway").rglob("*.py"):
        events |= set(re.findall(r"event=([\w-]+)", path.read_text()))
    assert {"lost", "gap", "refused"} <= events

    for page in (RUNBOOK, TUNING):
        named = set(re.findall(r"(?<!\*)\*([^*\n|]+)\*(?!\*)", page))
        assert named - panels - reasons == set()
    for path in (ROOT / "docs").rglob("*.md"):
        assert set(re.findall(r"event=([\w-]+)", path.read_text())) - events == set(), path


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALERTS)


@needs_prometheus
@pytest.mark.one_loop
async def test_prometheus_scrapes_a_gateway_and_answers_what_rules_and_panels_ask(tmp_path: Path) -> None:
    port = free_port()
    async with busy(tmp_path) as gateway:
        (tmp_path / "prometheus.yml").write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "200ms", "evaluation_interval": "200ms"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [
                        {
                            "job_name": "soup-gateway",
                            "static_configs": [{"targets": [f"127.0.0.1:{gateway.port}"]}],
                        }
                    ],
                }
            )
        )
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        try:
            received = await until_answered(port, "soup_gateway_feed_received_messages_total")
            up = await until_answered(port, "up == 1")
            for title, expression in targets():
                bound = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
                answer = await asked(port, "query", bound)
                assert answer["status"] == "success", f"{title}: {answer}"
            rules = await asked(port, "rules")
        finally:
            process.terminate()
            await process.wait()

    assert received["value"][1] == "100"
    assert up["metric"]["job"] == "soup-gateway"
    states = {rule["name"]: rule for group in rules["data"]["groups"] for rule in group["rules"]}
    assert {name for name, rule in states.items() if rule["health"] == "err"} == set()
    assert {name for name in ALERTS if states[name]["state"] == "firing"} == set()


async def asked(port: int, what: str, query: str = "") -> dict[str, Any]:
    """What Prometheus answers."""
    url = f"http://127.0.0.1:{port}/api/v1/{what}" + (f"?query={quote(query)}" if query else "")
    return dict(json.loads(await asyncio.to_thread(body_of, url)))


def body_of(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


async def until_answered(port: int, query: str) -> dict[str, Any]:
    """The first result that a query has."""
    async with asyncio.timeout(30):
        while True:
            try:
                answer = await asked(port, "query", query)
                if answer["data"]["result"]:
                    return dict(answer["data"]["result"][0])
            except (OSError, ValueError):
                pass
            await asyncio.sleep(0.1)
