"""Prometheus' rules and alerts: valid, tested by promtool, each with a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.errors import FareboxError
from gateway.telemetry.names import VALUES, WASTED
from tests.dashboards.prometheus import ALERTS, ROOT, missing, promtool
from tests.dashboards.test_queries import ALERT_RULES
from tests.test_docs import anchors, subclasses

FOLDER = ALERTS.parent
CASES = sorted(FOLDER.glob("*tests.yaml"))
GRAFANA = "{{ $externalLabels.grafana }}/d/"
each_alert = pytest.mark.parametrize("alert", ALERT_RULES, ids=lambda alert: alert["alert"])
with_promtool = pytest.mark.skipif(bool(missing()), reason=missing())


@with_promtool
def test_prometheus_accepts_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yaml", cwd=FOLDER)
    promtool("check", "rules", "--lint-fatal", "rules.yaml", "alerts.yaml", cwd=FOLDER)


@with_promtool
def test_rules_and_alerts_do_as_their_cases_say() -> None:
    promtool("test", "rules", *(path.name for path in CASES), cwd=FOLDER)


@with_promtool
def test_cases_can_fail(tmp_path: Path) -> None:
    cases = yaml.safe_load((FOLDER / "tests.yaml").read_text("utf-8"))
    cases["tests"] = [case for case in cases["tests"] if case["name"] == "Health"]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(cases))
    (tmp_path / "rules.yaml").write_text((FOLDER / "rules.yaml").read_text("utf-8"))
    alerts = (FOLDER / "alerts.yaml").read_text("utf-8")
    (tmp_path / "alerts.yaml").write_text(alerts.replace("(farebox_store_up) == 0", "(farebox_store_up) == 2"))
    with pytest.raises(AssertionError, match="FareboxStoreDown"):
        promtool("test", "rules", "tests.yaml", cwd=tmp_path)


def test_every_alert_has_a_case() -> None:
    cases = [test for path in CASES for test in yaml.safe_load(path.read_text("utf-8"))["tests"]]
    fired = {case["alertname"] for test in cases for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
    assert fired == {alert["alert"] for alert in ALERT_RULES}


@each_alert
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page == "docs/runbooks.md"
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(ROOT / page), f"{page} has no section {alert['alert']}"


def test_no_runbook_is_left_over() -> None:
    headings = re.findall(r"^## (Farebox\w+)$", (ROOT / "docs" / "runbooks.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in ALERT_RULES)


@each_alert
def test_alerts_name_who_and_lead_on(alert: dict[str, Any]) -> None:
    said = alert["annotations"]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert said["dashboard"].startswith(GRAFANA)
    assert said["description"]
    if "agent)" in alert["expr"] or "budget" in alert["expr"]:
        assert "$labels.agent" in said["summary"] + said["description"]
        assert said["runs"].startswith(GRAFANA + "farebox-runs?var-agent={{")
    else:
        assert re.search(r"\$labels\.(instance|breaker|provider)", said["summary"])


def test_waste_is_what_the_catalogue_calls_waste() -> None:
    (alert,) = [alert for alert in ALERT_RULES if alert["alert"] == "FareboxWasteHigh"]
    found = re.search(r'purpose=~"([^"]+)"', alert["expr"])
    assert found is not None
    assert set(found[1].split("|")) == set(WASTED)


def test_what_alerts_select_are_values_that_there_are() -> None:
    """A misspelt outcome or kind would make an alert that never fires."""
    text = ALERTS.read_text("utf-8")
    for metric, label in (("requests_total", "outcome"), ("limits_total", "kind")):
        values = VALUES[label]
        assert isinstance(values, dict)
        for asked in re.findall(rf'\b{label}=~?"([^"]+)"', text):
            assert set(asked.split("|")) <= set(values[metric])
    codes = {error.code for error in subclasses(FareboxError)}
    for asked in re.findall(r'\bcode=~?"([^"]+)"', text):
        assert set(asked.split("|")) <= codes
