"""docs/routing.md against the language that it describes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from gateway.config.models.cases import CaseBudget, CaseFile, CaseRequest, CaseRun, CaseSession, Expectation
from routing.conditions import CompiledAnswerCondition, CompiledCondition, Subject, variables_of
from routing.policy import Arm, Default, Policy, Rule, Verification
from routing.rules import Check, Strategy

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/routing.md").read_text()
EXAMPLES = sorted((ROOT / "policies/examples").glob("*.yaml"))


@pytest.mark.parametrize("of", ["request", "answer"])
def test_the_variables_are_those_of_conditions(of: Subject) -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| (string|double|int|bool|map\(string, string\)) \| .+ \|$", TEXT, re.MULTILINE
    )
    documented = {name: type_ for name, type_ in rows if name.startswith("answer.") == (of == "answer")}

    assert documented == {name: variable.type for name, variable in variables_of(of).items()}


@pytest.mark.parametrize(
    "model", [Policy, Rule, Default, Arm, Verification, CaseFile, CaseRequest, CaseRun, CaseBudget]
)
def test_every_setting_is_documented(model: type[BaseModel]) -> None:
    assert [name for name in model.model_fields if f"`{name}`" not in TEXT and f"{name}:" not in TEXT] == []


@pytest.mark.parametrize("model", [CaseSession, Expectation])
def test_every_expectation_is_documented(model: type[BaseModel]) -> None:
    assert [name for name in model.model_fields if f"`{name}`" not in TEXT] == []


def test_strategies_and_checks_are_documented() -> None:
    assert [name for name in (*get_args(Strategy), *get_args(Check)) if f"`{name}`" not in TEXT] == []


def indented() -> list[str]:
    """The page's blocks of code."""
    blocks = re.findall(r"(?:^    .*\n(?:^\n(?=    ))?)+", TEXT, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]


def test_its_examples_are_policies() -> None:
    policies = [yaml.safe_load(block) for block in indented() if block.lstrip().startswith("# policies/default.yaml")]
    rules = [rule for block in indented() if block.lstrip().startswith("- name:") for rule in yaml.safe_load(block)]

    assert (len(policies), len(rules)) == (1, 2)
    policy = Policy.model_validate({**policies[0], "rules": [*policies[0]["rules"], *rules]})
    assert all(CompiledCondition(rule.when) for rule in policy.rules if rule.when)
    verify = policy.rules[-1].verify
    assert verify is not None
    assert CompiledAnswerCondition(verify.condition or "")
    cases = [yaml.safe_load(block) for block in indented() if block.lstrip().startswith("# policies/cases")]
    assert len(CaseFile.model_validate(cases[0]).cases) == 2


def test_its_advice_about_tags_holds() -> None:
    assert '`!has(tags.team) || tags.team != "x"`' in TEXT
    from routing.decision import NO_FACTS

    assert CompiledCondition('!has(tags.team) || tags.team != "x"').matches(NO_FACTS) is True
    assert CompiledCondition('tags.team != "x"').matches(NO_FACTS) is None
    assert CompiledCondition('tags.team == "x" && stream').matches(NO_FACTS) is False
