"""What is generated from the models is current, and says the same as they do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config.reference import settings, with_reference
from gateway.config.schema import CONFIG_SCHEMA, case_schema, config_schema, policy_schema, render

ROOT = Path(__file__).parents[3]
HINT = "run `make schema`"


def test_the_schema_for_editors_is_current() -> None:
    assert CONFIG_SCHEMA.read_text() == render(config_schema()), HINT


def test_the_schema_of_policies_is_current() -> None:
    assert (ROOT / "policies/schema.json").read_text() == render(policy_schema()), HINT
    assert (ROOT / "policies/cases/schema.json").read_text() == render(case_schema()), HINT


def test_the_reference_in_the_documentation_is_current() -> None:
    document = (ROOT / "docs/configuration.md").read_text()

    assert with_reference(document) == document, HINT


@pytest.mark.parametrize(("path", "description"), [(path, field.description) for path, field in settings()])
def test_every_setting_is_described_and_documented(path: str, description: str | None) -> None:
    assert description
    assert description[0].isupper() or description[0] == "`"
    assert f"`{path}`" in (ROOT / "docs/configuration.md").read_text(), HINT


def errors(data: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(config_schema()).iter_errors(data)]


def test_the_schema_is_one_and_takes_the_shipped_configuration() -> None:
    Draft202012Validator.check_schema(config_schema())
    Draft202012Validator.check_schema(policy_schema())
    written = yaml.load((ROOT / "config.yaml").read_text(), yaml.BaseLoader)  # plain texts only

    # Editors read YAML 1.2: what is unquoted and looks like a number is one.
    written = json.loads(json.dumps(written), parse_int=int)
    numbers = {"port", "context_tokens", "max_output_tokens", "above_input_tokens", "first_byte_s"}
    numbers |= {"tokens_per_event", "tokens_per_s", "cancel_s", "requests", "depth", "window", "threshold", "per_s"}
    numbers |= {"concurrency", "wait_s", "alert_at"}
    assert errors(_typed(written, numbers)) == []


def _typed(data: Any, numbers: set[str]) -> Any:
    if isinstance(data, dict):
        return {k: _number(v) if k in numbers else _typed(v, numbers) for k, v in data.items()}
    if isinstance(data, list):
        return [_typed(item, numbers) for item in data]
    return {"true": True, "false": False}.get(data, data) if isinstance(data, str) else data


def _number(data: Any) -> Any:
    if isinstance(data, list):
        return [_number(item) for item in data]
    if isinstance(data, str) and re.fullmatch(r"[0-9_]+(\.[0-9]+)?", data):
        return float(data) if "." in data else int(data.replace("_", ""))
    return data


@pytest.mark.parametrize(
    "data",
    [
        {"server": {"port": "${PORT:-4000}"}},
        {"unpriced": "deny"},
        {"unpriced": {"ceiling": {"input": "1", "output": "2"}}},
        {"auth": "on"},
        {"auth": False},
        {"providers": {"a": {"base_url": "http://a", "api_key": "${A}"}}},
        {"models": {"a/*": {"provider": "a", "price": {"input": "${USD}", "output": "1"}}}},
        {"budgets": {"a": {"scope": "user:*", "limit_usd": "1.5", "window": "day", "alert_at": [0.5, 1]}}},
        {"budgets": {"a": {"scope": "global", "limit_usd": "${USD}", "window": {"rolling": "6h"}}}},
        {"limits": {"a": {"scope": "global", "requests": "600/min", "tokens": {"limit": 5, "per": "1m"}}}},
        {"agents": {"a": {"clamp": "off", "runs": {"depth": 0}, "loops": {"action": "block"}}}},
        {"agents": {"a": {"clamp": {"min_output_tokens": 9}, "velocity": {"usd": "1"}, "requires": ["tag:a"]}}},
        {"storage": {"store": "valkey", "valkey_url": "${A}", "journal_url": "file:b"}},
    ],
)
def test_the_schema_takes_what_the_loader_takes(data: dict[str, Any]) -> None:
    assert errors(data) == []


@pytest.mark.parametrize(
    "data",
    [
        {"srver": {}},
        {"server": {"port": "4000"}},
        {"providers": {"a": {"base_url": "http://a", "api_key": "sk-clear"}}},
        {"models": {"a": {"provider": "a", "price": {"input": 1.5, "output": "1"}}}},
        {"unpriced": "free"},
        {"budgets": {"a": {"scope": "global", "limit_usd": 5, "window": "day"}}},
        {"budgets": {"a": {"scope": "global", "limit_usd": "5", "window": "fortnight"}}},
        {"budgets": {"a": {"scope": "global", "limit_usd": "5", "window": {"roling": "6h"}}}},
        {"agents": {"a": {"clamp": 5}}},
        {"agents": {"a": {"requires": ["tag"]}}},
        {"storage": {"store": "valkey", "valkey_url": "valkey://u:p@h"}},
        {"budget_status": 403},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(data: dict[str, Any]) -> None:
    assert errors(data)
