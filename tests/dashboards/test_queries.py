"""Every query of every board, rule and alert reads only what is exposed, by names and labels of the catalogue."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gateway.telemetry.boards.spend import GROUPS
from tests.dashboards.boards import Asked, asked, boards
from tests.dashboards.prometheus import ALERTS
from tests.dashboards.promql import Unknown, check, exposed, known

QUERIES = [one for one in asked() if not one.is_sql]
TABLES = [one for one in QUERIES if one.panel["type"] == "table"]


ALERT_RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_panels_read_what_is_exposed(query: Asked) -> None:
    names = known()
    for by in GROUPS if "$by" in query.text else ("agent",):
        labels = check(query.filled(by), names)
        assert set(query.legend) - {"agent"} <= labels
        assert by in labels or "agent" not in query.legend


@pytest.mark.parametrize("query", TABLES, ids=lambda query: query.name)
def test_tables_show_labels_that_are_there(query: Asked) -> None:
    labels = check(query.filled(), known())
    (organize,) = [one for one in query.panel["transformations"] if one["id"] == "organize"]
    shown = {field for field in organize["options"]["renameByName"] if not field.startswith("Value")}
    assert shown <= labels


@pytest.mark.parametrize("alert", ALERT_RULES, ids=lambda alert: alert["alert"])
def test_alerts_read_what_is_exposed(alert: dict[str, Any]) -> None:
    labels = check(alert["expr"], known())
    used = {name for text in alert["annotations"].values() for name in re.findall(r"\$labels\.(\w+)", text)}
    assert used <= labels


def test_variables_read_what_is_exposed() -> None:
    names = exposed()
    found = 0
    for board in boards().values():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            read = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert read is not None, variable["query"]
            selector = re.sub(r"\$\w+", ".*", read[1])
            assert read[2] in check(selector, names)
            found += 1
    assert found > 10


@pytest.mark.parametrize(
    "expr",
    [
        "sum(farebox_made_up_total)",
        'rate(farebox_requests_total{user="x"}[5m])',
        "sum by (user) (farebox_requests_total)",
        "histogram_quantile(0.9, sum by (agent) (rate(farebox_overhead_seconds_bucket[5m])))",
        "farebox_requests_total and on (run) farebox_build_info",
    ],
)
def test_what_is_not_exposed_is_found(expr: str) -> None:
    with pytest.raises(Unknown):
        check(expr, known())


def test_what_is_no_promql_is_found() -> None:
    with pytest.raises(ValueError):
        check("sum(rate(farebox_requests_total[5m])", known())
