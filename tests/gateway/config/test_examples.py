"""The policies and cases in the repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config.cases import check_cases, read_cases, without_secrets
from gateway.config.loader import load
from gateway.config.schema import case_schema, policy_schema
from gateway.pricing.table import PriceTable
from gateway.reports.cases import run_case
from routing.policy import Policy

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "policies/examples").glob("*.yaml"))
CASES = sorted((ROOT / "policies/cases").glob("*.yaml"))
NOW_S = 1_800_000_000.0


def test_there_are_five_and_each_has_cases() -> None:
    assert len(EXAMPLES) == 5
    found, problems = read_cases(CASES)
    assert problems == []
    named = [cases.policy_file.resolve() for cases in found if cases.policy_file is not None]
    assert sorted(named) == EXAMPLES


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The shipped configuration, without any `.env` that the checkout may have."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_every_case_passes(file: Path, alone: Path, table: PriceTable) -> None:
    ((cases,), _) = read_cases([file])
    snapshot = load(alone, without_secrets(alone, {}), table=lambda folder: table, policy=cases.policy_file)
    policy = snapshot.compiled_policies[snapshot.policies[0].name]

    assert check_cases(cases, policy, snapshot) == []
    failed = {case.name: run_case(case, policy, snapshot, NOW_S).differences for case in cases.written.cases}
    assert {name: differences for name, differences in failed.items() if differences} == {}
    routes = [run_case(case, policy, snapshot, NOW_S).decision.rule for case in cases.written.cases]
    assert {rule.name for rule in policy.rules if not rule.shadow} <= set(routes), "a rule without a case"


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_without_any_key_warns_and_loads(file: Path, alone: Path, table: PriceTable) -> None:
    snapshot = load(alone, {}, table=lambda folder: table, policy=file)

    assert all(str(file) in line for line in snapshot.warnings)


@pytest.mark.parametrize("file", [*EXAMPLES, ROOT / "policies/default.yaml"], ids=lambda file: file.stem)
def test_the_schema_for_editors_takes_every_policy(file: Path) -> None:
    written = yaml.safe_load(file.read_text())

    assert [error.message for error in Draft202012Validator(policy_schema()).iter_errors(written)] == []
    assert Policy.model_validate(written).name == file.stem


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_schema_for_editors_takes_every_case(file: Path) -> None:
    Draft202012Validator.check_schema(case_schema())
    written = yaml.safe_load(file.read_text())

    assert [error.message for error in Draft202012Validator(case_schema()).iter_errors(written)] == []


@pytest.mark.parametrize(
    "written",
    [
        {"name": "a", "default": ["m"], "rules": [{"name": "r", "use": ["m", "n"], "verify": ["empty"]}]},
        {"name": "a", "default": {"use": {"m": 1}, "strategy": "weighted"}, "route_concrete": True},
    ],
)
def test_the_schema_takes_the_short_forms_as_the_models_do(written: object) -> None:
    assert Policy.model_validate(written)
    assert list(Draft202012Validator(policy_schema()).iter_errors(written)) == []


@pytest.mark.parametrize(
    "written",
    [
        {"name": "a", "rules": [{"name": "r", "use": []}]},
        {"name": "a", "rules": [{"name": "r", "use": "m", "verify": ["spelling"]}]},
        {"name": "a", "default": 3},
        {"name": "a", "tiers": {"x": []}},
        {"name": "a", "strategi": "ordered"},
    ],
)
def test_the_schema_refuses_what_the_models_refuse(written: object) -> None:
    assert list(Draft202012Validator(policy_schema()).iter_errors(written))
