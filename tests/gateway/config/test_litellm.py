# ruff: noqa: E501  # a case a line reads better than one broken into pieces
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError
from gateway.config.document import parse
from gateway.config.litellm import Translation, translate, translate_file
from gateway.config.litellm.prices import per_million
from gateway.config.loader import load
from gateway.pricing.table import PriceTable

from .conftest import Load

SAMPLES = sorted((Path(__file__).parent / "litellm").glob("*.yaml"))
Import = Callable[[str], tuple[dict[str, Any], Translation]]


@pytest.fixture
def imported(table: PriceTable) -> Import:
    def run(text: str) -> tuple[dict[str, Any], Translation]:
        translation = translate(parse(text, Path("litellm.yaml")).data, table)
        return yaml.safe_load(translation.text), translation

    return run


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_what_is_translated_passes_our_own_loader(sample: Path, table: PriceTable, tmp_path: Path) -> None:
    translation = translate_file(sample, table)
    variables = dict.fromkeys(set(_names(translation.text)), "http://somewhere")
    variables |= {name: f"key-of-{name}" for name in variables if name.endswith("KEY") or "_KEY_" in name}
    (tmp_path / "config.yaml").write_text(translation.text)

    snapshot = load(tmp_path / "config.yaml", variables, table=lambda _: table)

    assert snapshot.catalog.models or snapshot.catalog.wildcards
    for model in snapshot.catalog.models.values():
        assert all(deployment.price is not None for deployment in model.deployments)
    expected = sample.with_suffix(".notes").read_text().splitlines()
    assert translation.notes == expected


def _names(text: str) -> list[str]:
    return re.findall(r"\$\{([A-Za-z_0-9]+)", text)


def test_entries_of_one_name_become_deployments(imported: Import) -> None:
    config, translation = imported("""\
model_list:
  - {model_name: g, litellm_params: {model: gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
  - {model_name: g, litellm_params: {model: openai/gpt-4o, api_key: os.environ/OTHER_KEY, api_base: "https://eu.api.openai.com/v1/"}}
  - {model_name: g, litellm_params: {model: openai/gpt-4o}}
""")

    assert config["providers"] == {
        "openai": {"base_url": "https://api.openai.com/v1", "api_key": "${OPENAI_API_KEY}"},
        "openai-2": {"base_url": "https://eu.api.openai.com/v1", "api_key": "${OTHER_KEY}"},
    }
    assert config["models"]["g"]["deployments"] == [
        {"provider": "openai", "model": "gpt-4o"},
        {"provider": "openai-2", "model": "gpt-4o"},
    ]
    assert translation.notes == [
        "model_list[2]: the same provider and model as an earlier entry of this name; left out"
    ]


def test_keys_in_clear_become_variables_and_appear_nowhere(imported: Import) -> None:
    _, translation = imported("""\
model_list:
  - {model_name: a, litellm_params: {model: gpt-4o, api_key: sk-one, extra_headers: {X-Auth: tok-en, X-Team: red}}}
  - {model_name: b, litellm_params: {model: gpt-4o, api_key: sk-two}}
  - {model_name: c, litellm_params: {model: gpt-4o, api_key: sk-one, extra_headers: {X-Auth: tok-en, X-Team: red}}}
general_settings: {master_key: sk-master}
""")
    text = translation.text + "\n".join(translation.notes)

    for secret in ("sk-one", "sk-two", "tok-en", "sk-master"):
        assert secret not in text
    config = yaml.safe_load(translation.text)
    assert config["providers"]["openai"]["api_key"] == "${OPENAI_API_KEY}"
    assert config["providers"]["openai"]["headers"] == {"X-Auth": "${X_AUTH_HEADER}", "X-Team": "red"}
    assert config["providers"]["openai-2"]["api_key"] == "${OPENAI_API_KEY_2}"
    assert config["models"]["c"]["provider"] == "openai"
    assert config["admin"] == {"key": "${FAREBOX_ADMIN_KEY}"}


def test_aliases_and_fallbacks(imported: Import) -> None:
    config, translation = imported("""\
model_list:
  - {model_name: big, litellm_params: {model: openai/gpt-4o}}
  - {model_name: small, litellm_params: {model: openai/gpt-4o-mini}}
router_settings:
  model_group_alias: {gpt-4: big, tiny: {model: small, hidden: true}, lost: none, small: big}
  fallbacks: [{small: [big, none]}]
litellm_settings:
  fallbacks: [{none: [big]}]
""")

    assert config["models"]["big"]["aliases"] == ["gpt-4"]
    assert config["models"]["small"]["aliases"] == ["tiny"]
    assert [d["model"] for d in config["models"]["small"]["deployments"]] == ["gpt-4o-mini", "gpt-4o"]
    assert translation.notes == [
        "router_settings.model_group_alias.lost: its model is not among the translated ones; the alias was left out",
        "router_settings.model_group_alias.small: not a name that can be used here, or one that is taken; the alias was left out",
        "router_settings.fallbacks[0].small[1]: not a translated model; the fallback was left out",
        "router_settings.fallbacks[0].small: became further deployments of the model, for when its own cannot be called",
        "litellm_settings.fallbacks[0].none: not a translated model, or not a list; the fallback was left out",
    ]


GROUP = """\
model_list:
  - {model_name: g, litellm_params: {model: openai/gpt-4o, rpm: 500, tpm: 100000, max_parallel_requests: 8}}
  - {model_name: g, litellm_params: {model: openai/gpt-4o, rpm: 1500, api_base: "https://eu.api.openai.com/v1"}}
  - {model_name: one, litellm_params: {model: openai/gpt-4o-mini, tpm: 9000, weight: 3}}
"""


def test_what_deployments_can_take_becomes_capacity(imported: Import) -> None:
    config, translation = imported(GROUP)
    first, second = config["models"]["g"]["deployments"]
    assert first["capacity"] == {"concurrency": 8, "requests": "500/min", "tokens": "100000/min"}
    assert second["capacity"] == {"requests": "1500/min"}
    assert config["models"]["one"]["capacity"] == {"tokens": "9000/min"}
    assert "weight" not in config["models"]["one"]
    assert translation.notes == []


@pytest.mark.parametrize("wrong", ["many", "true", "0", "-3", "[1]", "1e99"])
def test_a_capacity_that_is_none_is_noted(imported: Import, wrong: str) -> None:
    config, translation = imported(
        f"model_list: [{{model_name: g, litellm_params: {{model: openai/gpt-4o, rpm: {wrong}}}}}]"
    )
    assert "capacity" not in config["models"]["g"]
    assert translation.notes == ["model_list[0].litellm_params.rpm: not a whole number above 0; left out"]


def test_limits_that_are_not_written_are_no_capacity(imported: Import) -> None:
    config, translation = imported(
        "model_list: [{model_name: g, litellm_params: {model: openai/gpt-4o, rpm: null, tpm: }}]"
    )
    assert "capacity" not in config["models"]["g"]
    assert translation.notes == []


@pytest.mark.parametrize(
    ("theirs", "ours", "weights", "note"),
    [
        (None, "weighted", [500, 1500], ""),
        ("simple-shuffle", "weighted", [500, 1500], ""),
        ("least-busy", "least_busy", [1, 1], ""),
        ("latency-based-routing", "fastest", [1, 1], ""),
        ("usage-based-routing-v2", "least_busy", [1, 1], "became `least_busy`"),
        ("cost-based-routing", None, [1, 1], "write the cheapest deployment first"),
        ("by-moonlight", "weighted", [500, 1500], "has no counterpart"),
    ],
)
def test_strategies(imported: Import, theirs: str | None, ours: str | None, weights: list[int], note: str) -> None:
    router = "" if theirs is None else f"router_settings: {{routing_strategy: {theirs}}}"
    config, translation = imported(GROUP + router)
    group = config["models"]["g"]
    assert group.get("strategy") == ours
    assert [each.get("weight", 1) for each in group["deployments"]] == weights
    assert "strategy" not in config["models"]["one"]
    assert len(translation.notes) == (1 if note else 0)
    assert all(line.startswith("router_settings.routing_strategy: ") and note in line for line in translation.notes)


@pytest.mark.parametrize(
    ("written", "weights"),
    [
        (("weight: 3", "weight: 1"), [3, 1]),
        (("weight: 0.25", "weight: 0.5"), [1, 2]),
        (("weight: 2, rpm: 9", "rpm: 5"), [2, 0]),
        (("tpm: 10", "tpm: 30"), [10, 30]),
        (("weight: 0", "weight: 0"), [1, 1]),
        (("weight: heavy", "weight: true"), [1, 1]),
        (("rpm: 1000000000", "rpm: 1"), [1_000_000, 1]),
        (("timeout: 3", "timeout: 3"), [1, 1]),
    ],
)
def test_weights_are_what_a_shuffle_goes_by(imported: Import, written: tuple[str, str], weights: list[int]) -> None:
    config, _ = imported(f"""\
model_list:
  - {{model_name: g, litellm_params: {{model: openai/gpt-4o, {written[0]}}}}}
  - {{model_name: g, litellm_params: {{model: openai/gpt-4o, api_base: "https://eu.api.openai.com/v1", {written[1]}}}}}
  - {{model_name: spare, litellm_params: {{model: openai/gpt-4o-mini}}}}
router_settings: {{fallbacks: [{{g: [spare]}}]}}
""")
    assert [each.get("weight", 1) for each in config["models"]["g"]["deployments"]] == [*weights, 0]  # fallbacks last


def test_what_a_model_does_not_do(imported: Import) -> None:
    config, translation = imported("""\
model_list:
  - model_name: g
    litellm_params: {model: openai/gpt-4o}
    model_info: {supports_vision: false, supports_function_calling: true, supports_response_schema: false}
""")
    assert config["models"]["g"]["cannot"] == ["vision", "json_schema"]
    assert translation.notes == []


def test_costs_and_limits(imported: Import) -> None:
    config, _ = imported("""\
model_list:
  - model_name: own
    litellm_params: {model: openai/own, api_base: "http://x/v1", input_cost_per_token: 1.5e-07, output_cost_per_token: "0.0000006"}
    model_info: {cache_read_input_token_cost: 0, max_input_tokens: 8192, max_output_tokens: 1024, mode: chat}
""")

    assert config["models"]["own"]["price"] == {"input": "0.15", "output": "0.60", "cache_read": "0"}
    assert config["models"]["own"]["context_tokens"] == 8192
    assert config["models"]["own"]["max_output_tokens"] == 1024


@pytest.mark.parametrize(
    ("model", "note"),
    [
        ("azure/gpt-4o", "the provider 'azure' has no `api_base`; the deployment was left out"),
        (
            "bedrock/anthropic.claude",
            "the provider 'bedrock' does not speak the OpenAI API; the deployment was left out",
        ),
        ("hosted_vllm/x", "the provider 'hosted_vllm' has no `api_base`; the deployment was left out"),
        ("openai/unheard-of", "no price is known, so the deployment was left out: add it with `price:`"),
        ("openai/*", "`*` must be in both names or in neither; the deployment was left out"),
        ("*", "which providers `*` stands for is not written here; add wildcards by hand"),
        ("ollama/x", "has no price: written as free, as LiteLLM takes it; correct its `price` if it is not"),
        ("deepinfra/Gryphe/MythoMax-L2-13b", "its price was taken from LiteLLM's table"),
    ],
)
def test_what_is_noted_about_a_model(imported: Import, model: str, note: str) -> None:
    _, translation = imported(f"model_list: [{{model_name: m, litellm_params: {{model: '{model}'}}}}]")

    assert translation.notes == [f"model_list[0].litellm_params.model: {note}"]


def test_wildcards_and_local_models(imported: Import) -> None:
    config, _ = imported("""\
model_list:
  - {model_name: openai/*, litellm_params: {model: openai/*}}
  - {model_name: local/*, litellm_params: {model: ollama/*, api_base: os.environ/OLLAMA}}
  - {model_name: claude, litellm_params: {model: claude-sonnet-4-5}}
""")

    assert config["models"]["openai/*"] == {"provider": "openai", "model": "*"}
    assert config["models"]["local/*"] == {"provider": "ollama", "model": "*", "price": {"input": "0", "output": "0"}}
    assert config["providers"]["ollama"] == {"base_url": "${OLLAMA}", "dialect": "ollama"}
    assert config["models"]["claude"]["provider"] == "anthropic"


def test_azures_forms_of_the_api(imported: Import) -> None:
    config, translation = imported("""\
model_list:
  - {model_name: a, litellm_params: {model: azure/gpt-4o, api_base: "https://a.openai.azure.com/", api_version: 2025-01-01}}
  - {model_name: b, litellm_params: {model: azure/gpt-4o, api_base: os.environ/AZURE_BASE}}
  - {model_name: c, litellm_params: {model: azure/gpt-4o, api_base: "https://c.openai.azure.com/openai/v1"}}
""")

    common = {"api_key": "${AZURE_API_KEY}", "price_provider": "azure", "dialect": "azure"}
    assert config["providers"] == {
        "azure": {"base_url": "https://a.openai.azure.com", **common, "api_version": "2025-01-01"},
        "azure-2": {"base_url": "${AZURE_BASE}", **common, "api_version": "2024-10-21"},
        "azure-3": {"base_url": "https://c.openai.azure.com/openai/v1", **common},
    }
    assert config["models"]["a"] == {"provider": "azure", "model": "gpt-4o"}
    assert translation.notes == []


@pytest.mark.parametrize("text", ["[1]", "a: [", "\x00"])
def test_what_is_no_mapping_is_refused(text: str, tmp_path: Path, table: PriceTable) -> None:
    (tmp_path / "l.yaml").write_text(text)

    with pytest.raises(ConfigError):
        translate_file(tmp_path / "l.yaml", table)


@pytest.mark.parametrize(
    ("per_token", "usd"),
    [(1.5e-07, "0.15"), (0, "0"), (3e-06, "3"), ("0.00001", "10"), (1e-13, "0.000001"), ("x", None), (True, None), (-1, None), (None, None), (1e300, None), (float("nan"), None)],
)  # fmt: skip
def test_costs_per_token_as_usd_per_million(per_token: object, usd: str | None) -> None:
    assert per_million(per_token) == usd


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["openai/gpt-4o", "*", "a/*", "os.environ/A", "sk-1", ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["model_name", "litellm_params", "model", "api_key", "model_info", "timeout", "fallbacks", "x"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(deadline=None)
@given(
    source=st.dictionaries(
        st.sampled_from(
            ["model_list", "router_settings", "litellm_settings", "general_settings", "environment_variables"]
        ),
        st.lists(anything, max_size=3) | anything,
    )
)
def test_any_source_gives_yaml(source: dict[str, Any], table: PriceTable) -> None:
    assert isinstance(yaml.safe_load(translate(source, table).text), dict)


@pytest.mark.parametrize(
    ("settings", "budget", "noted"),
    [
        ({"max_budget": 100}, {"limit_usd": "100", "window": "total"}, False),
        ({"max_budget": 0.5, "budget_duration": "1mo"}, {"limit_usd": "0.5", "window": "month"}, False),
        ({"max_budget": "12.50", "budget_duration": "30d"}, {"limit_usd": "12.5", "window": {"rolling": "30d"}}, True),
        ({"max_budget": 100, "budget_duration": "10s"}, None, True),
        ({"max_budget": True}, None, True),
        ({"max_budget": "nan"}, None, True),
    ],
)
def test_the_budget_of_the_whole_proxy_becomes_a_global_one(
    table: PriceTable, load_text: Load, settings: dict[str, Any], budget: dict[str, Any] | None, noted: bool
) -> None:
    text, notes = translate({"litellm_settings": settings}, table)

    expected = None if budget is None else {"everything": {"scope": "global", **budget}}
    assert yaml.safe_load(text).get("budgets") == expected
    assert bool(notes) is noted
    assert len(load_text(text).budgets) == (budget is not None)


def test_requests_at_a_time_become_a_global_limit(table: PriceTable, load_text: Load) -> None:
    text, notes = translate({"general_settings": {"global_max_parallel_requests": 9}}, table)

    assert notes == []
    (limit,) = load_text(text).rate_limits
    assert (str(limit.scope), limit.concurrency) == ("global", 9)
    assert translate({"general_settings": {"global_max_parallel_requests": "many"}}, table).notes
