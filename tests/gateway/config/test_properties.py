"""What holds for any configuration: nothing but ConfigError is raised, no secret is told, writing and reading agree."""

# ruff: noqa: E501  # a setting a line reads better than one broken into pieces
from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError
from gateway.config.document import parse
from gateway.config.loader import load
from gateway.config.models import RawConfig
from gateway.config.snapshot import Snapshot
from gateway.config.variables import Variables
from gateway.pricing.table import PriceTable

SECRET = "s3cr3t-Zq9"  # made up
LITERAL = "sk-l1teral-Xw7"
ENVIRON = {"SECRET": SECRET, "PORT": "4001", "YES": "true"}

names = st.sampled_from(["a", "b", "openai", "gpt-4o", "openai/*", "x y", "on", ""])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 100_000),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(
        ["${SECRET}", "x${SECRET}y", "${NOPE}", "${PORT}", "${YES}", "${", "file:nothing", "deny", "http://a"]
    ),
    names,
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)


def fields(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([*model.model_fields, "unknown"]), anything, max_size=5)


SENSIBLE: dict[str, Any] = {
    "scope": st.sampled_from(
        ["global", "user:*", "team:default", "agent:a", "model:gpt-4o", "tag:a=b", "tag:a", "x:y"]
    ),
    "limit_usd": st.sampled_from(["1", "0.000000001", "${PORT}"]),
    "window": st.sampled_from(["day", "total", "dy", {"rolling": "6h"}, {"rolling": 6}, {"roling": "6h"}]),
    "requests": st.sampled_from(["600/min", "600", {"limit": 5, "per": "1m"}]),
    "alert_at": st.lists(st.floats(-1, 11), max_size=3),
}


def almost(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    """The settings that matter, mostly right, and any others."""
    right = {name: SENSIBLE[name] for name in model.model_fields if name in SENSIBLE}
    return st.builds(lambda one, other: {**other, **one}, st.fixed_dictionaries({}, optional=right), fields(model))


@st.composite
def nearly_configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Mappings with the right names in the right places, and any values."""
    from gateway.config.models import budgets, governance, identity, models, providers, server

    entry = {
        "server": fields(server.Server),
        "admin": fields(server.Admin),
        "storage": fields(server.Storage),
        "providers": st.dictionaries(names, fields(providers.Provider), max_size=3),
        "models": st.dictionaries(names, fields(models.Model), max_size=3),
        "agents": st.dictionaries(names, fields(identity.Agent), max_size=3),
        "keys": st.dictionaries(names, fields(identity.Key), max_size=3),
        "budgets": st.dictionaries(names, almost(budgets.Budget), max_size=3),
        "limits": st.dictionaries(names, almost(budgets.Limit), max_size=3),
        "queue": fields(governance.Queue),
        "runs": fields(governance.Runs),
    }
    sections = draw(st.lists(st.sampled_from(sorted(entry)), unique=True))
    result = {section: draw(entry[section] | anything) for section in sections}
    result |= draw(fields(RawConfig) if draw(st.booleans()) else st.just({}))
    result.pop("include", None)
    return result


def load_text(text: str, table: PriceTable) -> Snapshot | ConfigError:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        try:
            return load(path, ENVIRON, table=lambda _: table)
        except ConfigError as error:
            return error


def told(result: Snapshot | ConfigError) -> str:
    assert not isinstance(result, ConfigError) or result.problems
    return str(result) + repr(getattr(result, "problems", ""))


_settings = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)


@_settings
@given(data=nearly_configurations())
def test_any_mapping_is_a_snapshot_or_a_list_of_problems_without_secrets(
    data: dict[str, Any], table: PriceTable
) -> None:
    result = load_text(yaml.safe_dump(data, allow_unicode=True), table)

    if isinstance(result, ConfigError):
        assert SECRET not in told(result)


@_settings
@given(text=st.text(max_size=200) | st.text(alphabet="ab:{}[]&*<!-? \n\"'#|>%@0.1${}", max_size=80))
def test_any_text_is_a_snapshot_or_a_list_of_problems(text: str, table: PriceTable) -> None:
    load_text(text, table)


@_settings
@given(data=nearly_configurations(), section=st.sampled_from(["providers", "keys", "admin"]))
def test_a_secret_in_clear_is_refused_and_not_repeated(data: dict[str, Any], section: str, table: PriceTable) -> None:
    entry = {"admin": {"key": LITERAL}, "keys": {"k": {"agent": "a", "key": LITERAL}}}
    data[section] = entry.get(section, {"p": {"base_url": "http://a", "api_key": LITERAL}})

    result = load_text(yaml.safe_dump(data), table)

    assert isinstance(result, ConfigError)
    assert LITERAL not in told(result)


@pytest.mark.parametrize("name", ["a\\0b", "x" * 300, "x" * 5000, "/", "..", "", "~", "a\\nb", "[", "**", "/**x"])
@pytest.mark.parametrize(
    "setting",
    [
        'policies: "{}"',
        'include: ["{}"]',
        'include: ["{}*"]',
        'storage: {{dir: "{}"}}',
        'server: {{tls: {{certificate: "{}", key: "{}"}}}}',
        'providers: {{p: {{base_url: http://a, ca_file: "{}"}}}}',
        'providers: {{p: {{base_url: http://a, api_key: "file:{}"}}}}',
        'providers: {{p: {{base_url: "http://{}"}}}}',
        'providers: {{p: {{base_url: http://a, proxy: "http://{}"}}}}',
        'keys: {{k: {{agent: a, sha256: "{}", expires: "{}"}}}}',
    ],
)
def test_odd_names_of_files_and_hosts_are_problems_at_most(setting: str, name: str, table: PriceTable) -> None:
    load_text(setting.replace("{}", name).replace("{{", "{").replace("}}", "}"), table)


def test_a_snapshot_does_not_show_its_credentials(table: PriceTable) -> None:
    text = """\
providers: {p: {base_url: http://a, api_key: "${SECRET}", proxy: "http://u:${SECRET}@p", headers: {X: "${SECRET}"}}}
agents: {a: {}}
keys: {k: {agent: a, key: "${SECRET}"}}
admin: {key: "${SECRET}, longer"}
"""

    result = load_text(text, table)

    assert isinstance(result, Snapshot)
    assert SECRET not in repr(result)


money = st.decimals(0, 100, places=6).map(str)
ids = st.text("abcxyz019", min_size=1, max_size=6)
references = st.sampled_from(["${SECRET}", "Bearer ${SECRET}", "${NOPE:-x}"])
rates = st.fixed_dictionaries({"input": money, "output": money}, optional={"cache_read": money, "request": money})
deployments = st.fixed_dictionaries(
    {"provider": ids}, optional={"model": ids, "price": rates, "context_tokens": st.integers(1, 10**6)}
)
written = st.fixed_dictionaries(
    {},
    optional={
        "auth": st.sampled_from(["on", "off"]),
        "server": st.fixed_dictionaries({}, optional={"port": st.integers(0, 65535), "drain_s": st.floats(0.5, 100)}),
        "admin": st.fixed_dictionaries({}, optional={"key": references}),
        "unpriced": st.just("deny") | st.fixed_dictionaries({"ceiling": st.fixed_dictionaries({"input": money, "output": money})}),
        "providers": st.dictionaries(ids, st.fixed_dictionaries({"base_url": st.just("http://a")}, optional={"api_key": references})),
        "models": st.dictionaries(ids, st.lists(deployments, min_size=1, max_size=3).map(lambda d: {"deployments": d}) | deployments),
        "agents": st.dictionaries(ids, st.fixed_dictionaries({}, optional={"team": ids, "trust": st.just(["value"]), "clamp": st.sampled_from(["off", {"min_output_tokens": 3}]), "velocity": st.fixed_dictionaries({"usd": money}), "requires": st.just(["tag:a"])})),
        "keys": st.dictionaries(ids, st.fixed_dictionaries({"agent": ids, "key": references})),
        "budgets": st.dictionaries(ids, st.fixed_dictionaries({"scope": st.just("user:*"), "limit_usd": money, "window": st.sampled_from(["day", {"rolling": "6h"}])}, optional={"alert_at": st.just([0.5, 1.5])})),
        "limits": st.dictionaries(ids, st.fixed_dictionaries({"scope": st.just("global"), "tokens": st.sampled_from(["5/s", {"limit": 5, "per": "1m"}])})),
        "storage": st.fixed_dictionaries({}, optional={"valkey_url": references, "store": st.just("memory")}),
        "budget_status": st.sampled_from([402, 422, 429]),
    },
)  # fmt: skip


def read(text: str) -> RawConfig:
    document = parse(text, Path("config.yaml"), Variables(ENVIRON, Path()).resolve)
    assert document.problems == []
    return RawConfig.model_validate(document.data or {})


@_settings
@given(data=written)
def test_writing_and_reading_agree(data: dict[str, Any]) -> None:
    config = read(yaml.safe_dump(data))
    again = yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True))

    assert SECRET not in again
    assert read(again) == config
