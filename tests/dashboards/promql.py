"""What a PromQL expression reads and what labels its answer has, by promql-parser's own tree."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from gateway.telemetry.names import FAMILIES

RULES = Path(__file__).resolve().parents[2] / "dashboards" / "prometheus" / "rules.yaml"
TARGET = frozenset(("job", "instance"))
"""What Prometheus adds to every series that it scrapes."""
Labels = frozenset[str]


class Unknown(Exception):
    """A metric or a label that nothing exposes."""


def exposed() -> dict[str, Labels]:
    """Every series name that Farebox's catalogue, Prometheus and its client library make."""
    found = {"up": TARGET, "process_start_time_seconds": TARGET}
    for family in FAMILIES:
        labels = TARGET | frozenset(family.labels)
        if family.kind == "histogram":
            found[f"{family.full_name}_bucket"] = labels | {"le"}
            found |= {f"{family.full_name}_{part}": labels for part in ("sum", "count")}
        else:
            found[family.full_name] = labels
    return found


@cache
def known() -> dict[str, Labels]:
    """The same, and what the recording rules make of it. Raises Unknown when one of them reads what is not there."""
    found = exposed()
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            found[rule["record"]] = check(rule["expr"], found)
    return found


def check(expr: str, names: dict[str, Labels]) -> Labels:
    """The labels of an expression's answer. Raises Unknown, and ValueError when it is no PromQL."""
    return _labels(promql_parser.parse(expr), names)


def _labels(node: Any, names: dict[str, Labels]) -> Labels:
    match node:
        case promql_parser.VectorSelector():
            return _selected(node, names)
        case promql_parser.MatrixSelector():
            return _selected(node.vector_selector, names)
        case promql_parser.AggregateExpr():
            return _aggregated(node, names)
        case promql_parser.BinaryExpr():
            return _joined(node, names)
        case promql_parser.Call():
            return _called(node, names)
        case promql_parser.ParenExpr() | promql_parser.SubqueryExpr() | promql_parser.UnaryExpr():
            return _labels(node.expr, names)
        case _:
            return frozenset()


def _selected(node: Any, names: dict[str, Labels]) -> Labels:
    if node.name not in names:
        raise Unknown(f"the metric {node.name}")
    asked = {matcher.name for matcher in node.matchers.matchers}
    if not asked <= names[node.name]:
        raise Unknown(f"{node.name} has no label {sorted(asked - names[node.name])}")
    return names[node.name]


def _aggregated(node: Any, names: dict[str, Labels]) -> Labels:
    inner = _labels(node.expr, names)
    if node.modifier is None:
        # The topmost and bottommost ones are picked as they are; sums and counts have no labels left.
        picked = str(node.op) in ("topk", "bottomk")
        return inner if picked else frozenset((node.param.val,)) if str(node.op) == "count_values" else frozenset()
    asked = frozenset(node.modifier.labels)
    if not asked <= inner:
        raise Unknown(f"the labels {sorted(asked - inner)} in {node.prettify()}")
    return asked if node.modifier.type == promql_parser.AggModifierType.By else inner - asked


def _joined(node: Any, names: dict[str, Labels]) -> Labels:
    sides = [_labels(side, names) for side in (node.lhs, node.rhs)]
    modifier = node.modifier
    if modifier is not None and modifier.matching is not None:
        asked = frozenset(modifier.matching.labels)
        if any(not asked <= side for side in sides):
            raise Unknown(f"the labels {sorted(asked)} in {node.prettify()}")
    return sides[0] or sides[1] if str(node.op) != "or" else sides[0] | sides[1]


def _called(node: Any, names: dict[str, Labels]) -> Labels:
    found = frozenset[str]().union(*(_labels(argument, names) for argument in node.args))
    if node.func.name == "histogram_quantile":
        if "le" not in found:
            raise Unknown(f"le in {node.prettify()}")
        return found - {"le"}
    return found
