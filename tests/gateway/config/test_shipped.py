"""The configuration in the repository works as it is."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.config.variables import parse_env
from gateway.pricing.table import PriceTable
from gateway.simulator.models import MODELS

ROOT = Path(__file__).parents[3]
OPTIONAL = {"openai", "anthropic", "gemini", "groq", "ollama", "vllm"}


@pytest.fixture
def alone(table: PriceTable, tmp_path: Path) -> Path:
    """The shipped configuration, without any `.env` that the checkout may have."""
    for name in ("config.yaml", "policies/default.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path / "config.yaml"


def read(path: Path, table: PriceTable, **environ: str) -> Snapshot:
    return load(path, environ, table=lambda folder: table)


def test_without_any_variable_it_serves_the_simulator(alone: Path, table: PriceTable) -> None:
    snapshot = read(alone, table)

    assert set(snapshot.endpoints) == {"simulator"}
    assert set(snapshot.catalog.models) == {"sim-small", "sim-large", "sim-reasoner", "sim-embed"}
    assert snapshot.simulator.enabled
    assert snapshot.endpoints["simulator"].base_url == f"http://127.0.0.1:{snapshot.simulator.port}/v1"
    assert snapshot.endpoints["simulator"].headers == ()
    assert {line.split()[2] for line in snapshot.left_out} == OPTIONAL
    assert set(snapshot.agents) == {"dev", "researcher", "coder", "support"}
    assert snapshot.admin.admin_key_sha256 is None
    assert [policy.name for policy in snapshot.policies] == ["default"]


def test_its_budgets_and_limits_are_examples_of_each_kind(alone: Path, table: PriceTable) -> None:
    snapshot = read(alone, table)

    assert snapshot.warnings == ()
    assert {str(budget.scope) for budget in snapshot.budgets} == {"agent:dev", "team:research", "global"}
    assert not next(budget for budget in snapshot.budgets if budget.scope.kind == "global").enforce
    (limit,) = snapshot.rate_limits
    assert limit.requests is not None
    assert limit.requests.limit >= 6_000  # a newcomer's load test is not in its way
    assert {agent.reserve for agent in snapshot.agents.values()} == {"strict", "calibrated"}
    assert not any(agent.requires or agent.require_run for agent in snapshot.agents.values())
    assert snapshot.storage.store == "memory"


def test_simulated_models_are_metered_but_where_output_is_hidden(alone: Path, table: PriceTable) -> None:
    models = read(alone, table).catalog.models

    assert {name for name, model in models.items() if model.deployments[0].metering} == {"sim-small", "sim-large"}
    for name in ("sim-small", "sim-large"):
        metering = models[name].deployments[0].metering
        assert metering is not None
        assert MODELS[name].reasoning_tokens == 0
        assert MODELS[name].pace.tokens_per_s < metering.tokens_per_s


def test_with_all_of_the_examples_variables_every_model_has_a_price(alone: Path, table: PriceTable) -> None:
    variables = dict.fromkeys(parse_env((ROOT / ".env.example").read_text()), "http://127.0.0.1:9/v1")

    snapshot = read(alone, table, **variables)

    assert snapshot.left_out == ()
    assert set(snapshot.endpoints) == OPTIONAL | {"simulator"}
    assert all(d.price for model in snapshot.catalog.models.values() for d in model.deployments)
    spoken = {name: endpoint.dialect for name, endpoint in snapshot.endpoints.items()}
    own = {name: name for name in ("anthropic", "gemini", "groq", "ollama", "vllm")}
    assert spoken == {**own, "openai": "openai", "simulator": "openai"}
    assert snapshot.endpoints["gemini"].headers == (("x-goog-api-key", "http://127.0.0.1:9/v1"),)
    assert snapshot.wildcards is not None


@pytest.mark.parametrize(
    "variable", ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GROQ_API_KEY", "OLLAMA_BASE_URL"]
)
def test_one_variable_brings_one_provider(alone: Path, table: PriceTable, variable: str) -> None:
    assert len(read(alone, table, **{variable: "http://x"}).endpoints) == 2


def test_the_simulated_models_cost_what_the_simulator_says(alone: Path, table: PriceTable) -> None:
    snapshot = read(alone, table)
    for name, model in snapshot.catalog.models.items():
        simulated = MODELS[name]
        (deployment,) = model.deployments
        assert deployment.price is not None
        assert deployment.context_tokens == simulated.context_window
        assert (deployment.max_output_tokens or 0) == simulated.max_output_tokens
        for rates in simulated.rates:
            point = deployment.price.at(rates.above_input_tokens + 1, 0.0)
            found = [point.input, point.cache_read, point.output]
            assert found == [Decimal(usd) * 1_000_000 for usd in (rates.input, rates.cached_input, rates.output)]
            if rates.above_input_tokens:
                assert deployment.price.at(rates.above_input_tokens, 0.0) != point


def test_every_variable_of_the_configuration_is_in_the_example() -> None:
    text = "\n".join(
        line for line in (ROOT / "config.yaml").read_text().splitlines() if not line.lstrip().startswith("#")
    )

    assert set(re.findall(r"\$\{([A-Z_]+)", text)) == set(parse_env((ROOT / ".env.example").read_text()))
