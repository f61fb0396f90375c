"""A real Prometheus over a week of data that never happened, with the recording rules as they would have run."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from tests.dashboards import fleet
from tests.servers import _free_port

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "dashboards" / "prometheus" / "rules.yaml"
ALERTS = ROOT / "dashboards" / "prometheus" / "alerts.yaml"
START_TIMEOUT_S = 60.0
Series = list[dict[str, Any]]
"""Prometheus' answer: `metric` (labels) and `value` or `values` of each."""


def missing() -> str:
    """Why there can be no Prometheus here; empty when there can."""
    absent = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"{' and '.join(absent)} not installed (apt-get install prometheus)" if absent else ""


class Prometheus:
    """One server on a loopback port of its own. Its time is whatever a question says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of_the_week(cls, folder: Path) -> Self:
        """Start one that holds `fleet.week()`, and everything that the recording rules make of it."""
        server = cls(folder)
        fleet.week().write(folder / "week.om")
        promtool(
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "--max-block-duration=486h",
            "-q",
            "week.om",
            "data",
            cwd=folder,
        )
        server.start()
        # A group may read what an earlier one records, and a backfill reads what is there: so a pass for each depth.
        for groups in _passes():
            server.backfill(groups)
        return server

    def start(self, config: str = "{}\n") -> None:
        """Start the server; it answers on return. `config` is its configuration's text: usually it scrapes nothing."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        file = self.folder / "prometheus.yaml"
        file.write_text(config)
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={self.folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y", "--log.level=warn"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"Prometheus did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def backfill(self, groups: list[dict[str, Any]]) -> None:
        """Let recording rules have run: those about money for the whole week, the others for its last day."""
        money = [group for group in groups if group["name"].startswith("farebox-money")]
        others = [group for group in groups if group not in money]
        for name, chosen, start_s in (("money", money, fleet.START_S), ("others", others, fleet.FINE_S)):
            (self.folder / name).write_text(yaml.safe_dump({"groups": chosen}))
            command = ["tsdb", "create-blocks-from", "rules", "--max-block-duration=162h", "--output-dir=data"]
            times = [f"--start={start_s}", f"--end={fleet.END_S}", f"--url={self.url}"]
            promtool(*command, *times, name, cwd=self.folder)
        self.stop()
        self.start()

    def at(self, expr: str, at_s: float = fleet.END_S) -> Series:
        """An instant query's answer. Raises AssertionError with Prometheus' own words when it refuses."""
        return self._ask("query", query=expr, time=str(at_s))

    def now(self, expr: str) -> Series:
        """An instant query's answer at this very moment, of a server that scrapes."""
        return self._ask("query", query=expr)

    def over(self, expr: str, start_s: float, end_s: float, step_s: float) -> Series:
        """A range query's answer."""
        return self._ask("query_range", query=expr, start=str(start_s), end=str(end_s), step=str(step_s))

    def _ask(self, what: str, **fields: str) -> Series:
        request = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(fields)}"
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                data = json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{json.load(error)['error']}: {fields['query']}") from None
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        result: Series = data["result"]
        return result

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False


def promtool(*arguments: str, cwd: Path) -> str:
    """Run promtool. Raises AssertionError with what it said when it fails."""
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _passes() -> list[list[dict[str, Any]]]:
    """The rules in the order of their dependence: each pass reads only what passes before it made."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    left = [(group, rule) for group in groups for rule in group["rules"]]
    passes = []
    while left:
        names = {rule["record"] for _, rule in left}
        now = [(group, rule) for group, rule in left if not any(name in rule["expr"] for name in names)]
        assert now, f"rules that wait for each other: {names}"
        left = [pair for pair in left if pair not in now]
        passes.append(
            [{**group, "name": f"{group['name']}-{n}", "rules": [rule]} for n, (group, rule) in enumerate(now)]
        )
    return passes
