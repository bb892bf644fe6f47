"""The files in `deploy` say what the program understands, and what a registry of several nodes needs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from homeport import config
from homeport.access.sealing import load_master_key
from homeport.config import Settings
from tests.harness.server import ROOT
from tools import render_chart

DEPLOY = ROOT / "deploy"
PREFIX = "HOMEPORT_"


def is_setting(variable: str) -> bool:
    """Whether a variable sets something, by itself or by a file that it names."""
    name = variable.removeprefix(PREFIX).lower()
    return name in Settings.model_fields or name.removesuffix("_file") in Settings.model_fields


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    """The rendered chart, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(render_chart.RENDERED.read_text())}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture
def pod(resources: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = resources["Deployment"]["spec"]["template"]["spec"]
    return found


@pytest.fixture
def container(pod: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["containers"][0]
    return found


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_the_rendered_chart_is_the_present_one() -> None:
    text = render_chart.RENDERED.read_text()

    assert f"# chart: sha256:{render_chart.fingerprint()}\n" in text, "run tools/render_chart.py"
    if shutil.which("helm") or importlib.util.find_spec("helm_python"):
        assert text.endswith(render_chart.rendered())


def test_the_chart_and_the_composed_nodes_set_only_what_is_a_setting(
    container: Mapping[str, Any], compose: Mapping[str, Any]
) -> None:
    in_image = re.findall(r"HOMEPORT_[A-Z_]+(?==)", (DEPLOY / "Dockerfile").read_text())
    named = [*variables(container), *compose["x-node"]["environment"], *in_image]

    ours = [name for name in named if name.startswith(PREFIX)]
    assert len(ours) > 20
    assert [name for name in ours if not is_setting(name)] == []


def test_a_pod_is_sent_requests_when_it_is_ready_and_replaced_only_when_it_does_not_run(
    pod: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    given = variables(container)

    assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    notice, drain = (float(given[f"HOMEPORT_DRAIN_{part}SECONDS"]) for part in ("NOTICE_", ""))
    noticed = probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]
    assert noticed < notice
    assert pod["terminationGracePeriodSeconds"] > notice + drain


def test_a_pod_has_no_rights_and_keeps_no_secret_on_disk(
    pod: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    mode = next(volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume)
    data = next(volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "data")

    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"], "Kubernetes would set HOMEPORT_PORT to an address of its own"
    assert mode == 0o440
    assert data["medium"] == "Memory"


def test_three_nodes_are_replaced_one_by_one_after_the_schema_was_brought(
    resources: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    spec = resources["Deployment"]["spec"]
    job = resources["Job"]

    assert (spec["replicas"], variables(container)["HOMEPORT_NODES"]) == (3, "3")
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert resources["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    assert "pre-upgrade" in job["metadata"]["annotations"]["helm.sh/hook"]
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate"]


def test_the_service_and_the_budget_choose_the_nodes_and_not_the_migration(
    resources: Mapping[str, Any],
) -> None:
    labels = resources["Deployment"]["spec"]["template"]["metadata"]["labels"]
    others = resources["Job"]["spec"]["template"]["metadata"]["labels"]
    chosen = [
        resources["Service"]["spec"]["selector"],
        resources["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        resources["Deployment"]["spec"]["selector"]["matchLabels"],
    ]

    for selector in chosen:
        assert selector.items() <= labels.items()
        assert not selector.items() <= others.items()


def test_the_composed_nodes_believe_the_balancer_alone_and_every_secret_has_its_file(
    compose: Mapping[str, Any],
) -> None:
    services = compose["services"]
    balancer = services["balancer"]["networks"]["registry"]["ipv4_address"]
    settings = compose["x-node"]["environment"]
    wanted = {name for service in services.values() for name in service.get("secrets", [])}
    named = {value for value in settings.values() if str(value).startswith("/run/secrets/")}

    assert settings["HOMEPORT_TRUSTED_PROXIES"] == f"{balancer}/32"
    assert wanted == set(compose["secrets"])
    assert {Path(value).name for value in named} <= set(compose["x-node"]["secrets"])


def test_what_the_image_is_made_of_is_there_and_reaches_the_engine() -> None:
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    names = [name.rstrip("/") for line in copied for name in line.split()]
    kept = (ROOT / ".dockerignore").read_text().splitlines()

    assert len(names) >= 6
    for name in names:
        assert (ROOT / name).exists()
        assert f"!{name}" in kept


@pytest.fixture
def made(tmp_path: Path) -> dict[str, str]:
    """The secrets that the script made; run twice."""
    if os.geteuid() != 0:
        pytest.skip("the files belong to the user of the container: run the tests as root")
    folder = tmp_path / "secrets"
    runs = []
    for _ in range(2):
        subprocess.run([DEPLOY / "secrets.sh", folder], check=True, capture_output=True, timeout=30)
        runs.append({path.name: path.read_text() for path in folder.iterdir()})
    assert runs[0] == runs[1], "what is there is never replaced"
    return runs[1]


def test_the_secrets_that_the_script_makes_are_good_ones(
    made: Mapping[str, str], tmp_path: Path, compose: Mapping[str, Any]
) -> None:
    settings = config.load(
        data=tmp_path,
        administrator_access_key_id=made["administrator_access_key_id"],
        administrator_secret_access_key=made["administrator_secret_access_key"],
        database=made["database"],
    )

    assert settings.administrator_access_key_id
    assert len(load_master_key(tmp_path / "secrets" / "master_key")) == 32
    assert made["postgres_password"] in made["database"]
    assert yaml.safe_load(made["objects.json"])["identities"][0]["credentials"] == [
        {"accessKey": made["storage_access_key_id"], "secretKey": made["storage_secret_access_key"]}
    ]
    assert {Path(each["file"]).name for each in compose["secrets"].values()} == set(made)
    key = tmp_path / "secrets" / "master_key"
    assert (key.stat().st_uid, stat.S_IMODE(key.stat().st_mode)) == (10001, 0o400)
