"""What is shipped to deploy with: each file by its own schema, and all of them by what the gateway knows."""

import configparser
import ipaddress
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "gateway.yaml").read_text()))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "soup-gateway.json").read_text())
UNIT_FILE = DEPLOY / "systemd" / "soup-gateway.service"
UNIT = UNIT_FILE.read_text()
KUBERNETES = "1.30"


def test_compose_fits_its_schema() -> None:
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            str(DEPLOY / "compose.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_service_is_bounded_and_has_no_more_rights_than_it_needs(name: str) -> None:
    service = COMPOSE["services"][name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert service.get("tmpfs") or name == "prometheus"
    assert all(":size=" in each for each in service.get("tmpfs", ()))
    assert service["networks"], "none is in the one network of all"


def test_who_is_reached_by_strangers_reaches_the_gateway_alone() -> None:
    networks = {name: set(service["networks"]) for name, service in COMPOSE["services"].items()}

    beside = {name for name, its in networks.items() if its & networks["caddy"]} - {"caddy"}
    assert beside == {"gateway"}


def test_the_gateway_trusts_caddys_own_address_which_nobody_else_is_given() -> None:
    text = (DEPLOY / ".env.example").read_text()
    example = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    network = ipaddress.ip_network(example["FRONT_SUBNET"])

    assert example["TRUSTED_PROXIES"] == example["CADDY_ADDRESS"]
    # Others are given addresses from the beginning on.
    assert ipaddress.ip_address(example["CADDY_ADDRESS"]) == list(network.hosts())[-1]
    assert COMPOSE["services"]["gateway"]["environment"]["GATEWAY_SERVER__TRUSTED_PROXIES"] == (
        "${TRUSTED_PROXIES:-" + example["CADDY_ADDRESS"] + "}"
    )


def test_what_is_replaced_while_it_runs_is_mounted_by_its_folder() -> None:
    gateway = COMPOSE["services"]["gateway"]
    files = [gateway["environment"][f"GATEWAY_{key}"] for key in ("KEYS__FILE", "FEEDS__ITCH__PASSWORD_FILE")]

    assert "secrets" not in gateway
    mounted = {target: source for source, target, *_ in (each.split(":") for each in gateway["volumes"])}
    assert {mounted[file.rpartition("/")[0]] for file in files} == {"./secrets/gateway"}


def test_the_health_check_is_the_gateways_and_that_of_the_image() -> None:
    (image,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", DOCKERFILE, re.MULTILINE)

    assert COMPOSE["services"]["gateway"]["healthcheck"]["test"] == ["CMD", *json.loads(image)]
    assert COMPOSE["services"]["simulator"]["healthcheck"] == {"disable": True}, "it has no gateway to ask"


def test_compose_by_default_is_the_gateway_and_a_simulator() -> None:
    profiles = {name: service.get("profiles", []) for name, service in COMPOSE["services"].items()}

    assert profiles == {
        "gateway": [],
        "simulator": [],
        "prometheus": ["observability"],
        "grafana": ["observability"],
        "caddy": ["tls"],
    }


def test_every_variable_of_compose_is_in_the_example_with_the_same_default() -> None:
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (DEPLOY / "compose.yaml").read_text()))
    lines = (DEPLOY / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert used == example


def test_secrets_are_files_and_none_is_in_the_open() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert {"deploy/secrets/", "deploy/.env"} <= set(ignored)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_whoever_stops_the_gateway_waits_longer_than_it_drains(tmp_path: Path) -> None:
    drains_s = load_settings(None, {"GATEWAY_SERVER__OPEN_ACCESS": "true"}).server.shutdown_timeout_s
    gateway = COMPOSE["services"]["gateway"]
    pod = one("StatefulSet")["spec"]["template"]["spec"]

    assert float(gateway["environment"]["GATEWAY_SERVER__SHUTDOWN_TIMEOUT_S"]) == drains_s
    # And the disk may need a while after that.
    for allowed_s in (
        seconds(gateway["stop_grace_period"]),
        pod["terminationGracePeriodSeconds"],
        float(re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[1]),  # type: ignore[index]
    ):
        assert allowed_s >= drains_s + 5


def load_environment(environment: dict[str, str], folder: Path) -> None:
    """As the gateway would: an unknown setting raises."""
    (folder / "secret").write_text("secret")
    (folder / "keys.toml").write_text("")
    own = {
        key: (
            str(folder / ("keys.toml" if "KEYS" in key else "secret"))
            if value.startswith("/run/secrets")
            else value
        )
        for key, value in environment.items()
    }
    own = {key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for key, value in own.items()}
    load_settings(ROOT / "config" / "gateway.toml", own)


def test_the_settings_of_compose_image_unit_and_pod_exist(tmp_path: Path) -> None:
    (container,) = one("StatefulSet")["spec"]["template"]["spec"]["containers"]

    load_environment(COMPOSE["services"]["gateway"]["environment"], tmp_path)
    load_environment({each["name"]: each["value"] for each in container["env"]}, tmp_path)
    keys = {"GATEWAY_KEYS__FILE": "/run/secrets/keys"}
    load_environment({**dict(re.findall(r"(GATEWAY_\w+)=(\S+)", DOCKERFILE)), **keys}, tmp_path)
    load_environment({**dict(re.findall(r"Environment=(GATEWAY_\w+)=(\S+)", UNIT)), **keys}, tmp_path)


def test_the_final_image_is_a_stage_of_its_own_and_nobody_in_particular() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    final = stages[-1]

    assert len(stages) == 2
    assert final.startswith("${BASE}\n")
    assert "pip install" not in final
    assert "\nUSER 10001:10001\n" in final
    assert "\nSTOPSIGNAL SIGTERM\n" in final
    assert "HEALTHCHECK" in final


# Kubernetes.


def one(kind: str) -> dict[str, Any]:
    (found,) = (each for each in MANIFESTS if each["kind"] == kind)
    return dict(found)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: each["kind"])
def test_each_manifest_fits_the_schema_of_its_kind(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_the_schema_check_finds_a_wrong_manifest() -> None:
    wrong = json.loads(json.dumps(one("StatefulSet")))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_there_is_one_writer_with_probes_and_a_volume_and_it_is_not_moved_unasked() -> None:
    writer = one("StatefulSet")["spec"]
    (container,) = writer["template"]["spec"]["containers"]

    assert writer["replicas"] == 1
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert writer["volumeClaimTemplates"][0]["metadata"]["name"] in {
        each["name"] for each in container["volumeMounts"]
    }
    assert one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 0
    reached = {rule["ports"][0]["port"] for rule in one("NetworkPolicy")["spec"]["egress"]}
    addresses = [each["value"] for each in container["env"] if each["name"].endswith("__ADDRESS")]
    assert {int(address.rpartition(":")[2]) for address in addresses} | {53} == reached
    for kind in ("Service", "PodDisruptionBudget"):
        selector = one(kind)["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        assert labels == writer["template"]["metadata"]["labels"]


# Grafana: by structure, since its own schema is not to be had without it.


def test_the_dashboard_has_the_shape_that_grafana_reads() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    provisioned = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )
    sources = {each["uid"] for each in provisioned["datasources"]}

    assert len(ids) == len(set(ids))
    assert DASHBOARD["uid"]
    assert DASHBOARD["schemaVersion"] >= 36
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["type"] in ("stat", "timeseries", "heatmap", "table")
            assert panel["datasource"]["uid"] in sources
            assert panel["description"].endswith(".")
            assert [target["refId"] for target in panel["targets"]] == sorted(
                {t["refId"] for t in panel["targets"]}
            )


def test_no_two_panels_stand_on_the_same_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


# systemd, shell.


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="UNIT NOT TESTED: there is no systemd-analyze"
)
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    # The command has to exist for this check; what it is called is the installation's.
    unit = tmp_path / "soup-gateway.service"
    unit.write_text(UNIT.replace("/opt/soup-gateway/bin/gateway", "/bin/true"))

    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )

    assert [line for line in checked.stderr.splitlines() if "soup-gateway" in line] == []


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="UNIT NOT TESTED: there is no systemd-analyze"
)
def test_systemd_finds_the_unit_well_shut(tmp_path: Path) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=13", "--no-pager", str(UNIT_FILE)],
        capture_output=True,
        text=True,
        check=False,
    )

    # In tenths, of 100 for a service that may do everything.
    assert checked.returncode == 0, checked.stdout


def test_the_unit_is_read_as_ini_and_drains() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT)

    assert unit["Service"]["RestartPreventExitStatus"] == "2", "wrong settings are not tried again"
    assert "ExecStartPre" not in unit["Service"], (
        "nor does anything in front of the main process fail of them"
    )
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert unit["Service"]["ProtectSystem"] == "strict"
    assert unit["Service"]["MemoryMax"] == "1G"
    assert unit["Service"]["LimitCORE"] == "0", "a dump would hold passwords"
    # What it says to read is what `pip install` leaves there.
    installed = unit["Unit"]["Documentation"].removeprefix("file:///opt/soup-gateway/")
    shared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    assert installed.rpartition("/")[0] in shared


@pytest.mark.parametrize("script", ["secrets.sh", "check.sh"])
def test_the_shell_understands_the_scripts(script: str) -> None:
    assert subprocess.run(["sh", "-n", str(DEPLOY / script)], check=False).returncode == 0


def test_secrets_are_made_once_and_fit_the_gateway(tmp_path: Path) -> None:
    from gateway.net.access import Access, KeyRing

    shutil.copy(DEPLOY / "secrets.sh", tmp_path)
    made: list[dict[str, str]] = []
    for _ in range(2):
        subprocess.run(["sh", str(tmp_path / "secrets.sh")], check=True, capture_output=True)
        made.append(
            {path.name: path.read_text() for path in (tmp_path / "secrets").rglob("*") if path.is_file()}
        )

    assert made[0] == made[1]
    assert set(made[0]) == {
        "keys.toml",
        "subscriber_key",
        *(Path(each["file"]).name for each in COMPOSE["secrets"].values()),
    }
    assert len(made[0]["feed_password"]) == 10
    ring = KeyRing.load(tmp_path / "secrets" / "gateway" / "keys.toml")
    subscriber = ring.judge(made[0]["subscriber_key"], 2e9)
    monitoring = ring.judge(made[0]["monitoring_key"], 2e9)
    assert isinstance(subscriber, Access)
    assert subscriber.may_read_feed("itch")
    assert isinstance(monitoring, Access)
    assert not monitoring.may_read_feed("itch")
