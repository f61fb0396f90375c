"""Policies at work: the SDK asks for `auto`, the policy's model answers, and the journal knows why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai as sdk
import pytest

from gateway.learned.quality import WEIGHTS
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest

MESSAGES = [{"role": "user", "content": "Tell me about tides."}]
TIERS = {"cheap": ["sim-small"], "good": ["sim-reasoner"], "best": ["sim-large"]}
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}
TRUSTED = {"tester": {"team": "quality", "trust": ["value", "priority", "complexity"]}, "other": {"team": "others"}}


@pytest.fixture
def start(simulator: SimulatorServer, start_gateway: StartGateway, tmp_path: Path) -> Any:
    """Start a gateway with one policy, `main`, that rules all agents."""

    async def started(policy: dict[str, Any], **changes: Any) -> GatewayUnderTest:
        folder = tmp_path / "policies"
        folder.mkdir(exist_ok=True)
        (folder / "main.yaml").write_text(json.dumps({"name": "main", "tiers": TIERS, **policy}))
        written = {"policies": str(folder), "policy": "main", "agents": TRUSTED, **changes}
        return await start_gateway(f"{simulator.url}/v1", **written)

    return started


async def ask(gateway: GatewayUnderTest, model: str = "auto", **options: Any) -> Any:
    """The raw answer."""
    async with gateway.sdk() as client:
        options = {"messages": MESSAGES, "max_tokens": 50, **options}
        return await client.chat.completions.with_raw_response.create(model=model, **options)


async def decisions(gateway: GatewayUnderTest) -> list[dict[str, Any]]:
    """What the journal has of decisions."""
    return [json.loads(row["decision"]) for row in await gateway.rows("requests") if row["decision"]]


async def test_auto_is_routed_by_value(start: Any) -> None:
    rules = [{"name": "dear", "when": "value_usd >= 100.0", "use": "best"}]
    gateway = await start({"rules": rules, "default": "cheap"})
    for value, model, rule in (("0.01", "sim-small", "default"), ("500", "sim-large", "dear")):
        answer = await ask(gateway, extra_headers={"x-farebox-value-usd": value})
        assert answer.headers["x-farebox-model"] == model
        assert answer.headers["x-farebox-route"].startswith(f"{rule}; ")
        assert answer.parse().choices[0].message.content
    first, second = await decisions(gateway)
    assert (first["rule"], first["model"], first["tier"]) == ("default", "sim-small", "cheap")
    assert (second["rule"], second["model"], second["value_usd"]) == ("dear", "sim-large", 500.0)
    rows = await gateway.rows("requests")
    assert [row["policy"] for row in rows] == ["main", "main"]
    assert [row["model"] for row in rows] == ["auto", "auto"]
    charges = await gateway.rows("charges")
    assert second["strongest_paid_nano_usd"] == charges[1]["cost_nano_usd"]
    assert first["strongest_paid_nano_usd"] > charges[0]["cost_nano_usd"]


async def test_a_value_is_capped_and_defaults_to_the_agents(start: Any) -> None:
    agents = {"tester": {**TRUSTED["tester"], "value_usd": "7", "max_value_usd": "50"}, "other": TRUSTED["other"]}
    gateway = await start({"default": "cheap"}, agents=agents)
    await ask(gateway)
    await ask(gateway, extra_headers={"x-farebox-value-usd": "9000"})
    assert [each["value_usd"] for each in await decisions(gateway)] == [7.0, 50.0]


async def test_complexity_is_read_where_a_rule_reads_it(start: Any) -> None:
    rules = [
        {"name": "bulk", "when": 'tags.job == "bulk"', "use": "cheap"},
        {"name": "hard", "when": "complexity > 0.9", "use": "best"},
    ]
    gateway = await start({"rules": rules, "default": "cheap"})
    await ask(gateway, extra_headers={"x-farebox-tags": "job=bulk"})
    await ask(gateway)
    answer = await ask(gateway, extra_headers={"x-farebox-complexity": "0.95"})
    assert answer.headers["x-farebox-model"] == "sim-large"
    first, second, third = await decisions(gateway)
    assert "complexity" not in first
    assert 0 < second["complexity"] < 1
    assert third["complexity"] == 0.95


async def test_what_no_policy_claims_is_obeyed_as_before(start: Any) -> None:
    gateway = await start({"default": "cheap"})
    answer = await ask(gateway, "sim-large")
    assert answer.headers["x-farebox-model"] == "sim-large"
    (row,) = await gateway.rows("requests")
    assert (row["policy"], row["decision"]) == (None, None)


async def test_models_lists_what_the_policy_claims(start: Any) -> None:
    gateway = await start({"default": "cheap", "claims": ["auto", "smart"]})
    async with gateway.sdk() as client:
        names = [model.id async for model in client.models.list()]
        assert {"auto", "smart", "sim-small"} <= set(names)
        assert (await client.models.retrieve("smart")).id == "smart"
    assert (await ask(gateway, "smart")).headers["x-farebox-model"] == "sim-small"


async def test_a_concrete_model_is_routed_where_the_policy_says_so(start: Any) -> None:
    gateway = await start({"default": "cheap", "route_concrete": ["sim-large"]})
    answer = await ask(gateway, "sim-large")
    assert answer.headers["x-farebox-model"] == "sim-small"
    (found,) = await decisions(gateway)
    (charge,) = await gateway.rows("charges")
    assert found["asked_paid_nano_usd"] > charge["cost_nano_usd"]


async def test_a_fallback_goes_to_another_model(start: Any, simulator: SimulatorServer) -> None:
    gateway = await start(
        {"tiers": {"cheap": ["faulty-fault-500"], "best": ["sim-large"]}, "default": {"use": ["cheap", "best"]}},
        faults=["fault-500"],
    )
    answer = await ask(gateway)
    assert (answer.headers["x-farebox-model"], answer.headers["x-farebox-attempts"]) == ("sim-large", "2")
    assert [row["purpose"] for row in await gateway.rows("charges")] == ["failed", "fallback"]


async def test_gates_keep_off_what_cannot_do_it(start: Any) -> None:
    models = {
        "plain": {"provider": "sim", "model": "sim-small", "price": {"input": "1", "output": "1"}, "cannot": ["tools"]},
        "able": {"provider": "sim", "model": "sim-large", "price": {"input": "2", "output": "2"}, "tags": ["eu"]},
    }
    agents = {"tester": {}, "other": {"residency": ["eu"]}}
    policy = {"tiers": {"cheap": ["plain"], "best": ["able"]}, "default": {"use": ["cheap", "best"]}}
    gateway = await start(policy, models=models, agents=agents)
    assert (await ask(gateway)).headers["x-farebox-model"] == "plain"
    assert (await ask(gateway, tools=[TOOL])).headers["x-farebox-model"] == "able"
    found = (await decisions(gateway))[1]
    assert {each["model"]: each.get("excluded", "") for each in found["considered"]} == {"able": "", "plain": "tools"}


async def test_residency_holds_for_concrete_models_too(start: Any) -> None:
    price = {"input": "1", "output": "1"}
    deployments = [
        {"provider": "sim", "model": "sim-small", "price": price},
        {"provider": "sim", "model": "sim-large", "price": price, "tags": ["eu"]},
    ]
    models = {"both": {"deployments": deployments}, "far": {"provider": "sim", "model": "sim-fixed", "price": price}}
    agents = {"tester": {"residency": ["eu"]}, "other": {}}
    policy = {"tiers": {"any": ["far", "both"]}, "default": "any"}
    gateway = await start(policy, models=models, agents=agents)
    for name in ("both", "auto"):
        assert (await ask(gateway, name)).headers["x-farebox-deployment"] == "sim/sim-large"
    with pytest.raises(sdk.PermissionDeniedError) as caught:
        await ask(gateway, "far")
    assert "tagged eu" in str(caught.value)


async def test_gates_hold_for_what_no_policy_routes(start: Any) -> None:
    """By its own name, a model gets nothing that it cannot do; a group's other deployments take it."""
    price = {"input": "1", "output": "1"}
    plain = {"provider": "sim", "model": "sim-small", "price": price, "cannot": ["tools"]}
    models = {"plain": plain, "group": {"deployments": [plain, {"provider": "sim", "model": "sim-large"}]}}
    models["short"] = {"provider": "sim", "model": "sim-fixed", "price": price, "context_tokens": 100}
    for each in models["group"]["deployments"]:
        each["price"] = price
    gateway = await start({"tiers": {}}, models=models)
    assert (await ask(gateway, "group")).headers["x-farebox-deployment"] == "sim/sim-small"
    assert (await ask(gateway, "group", tools=[TOOL])).headers["x-farebox-deployment"] == "sim/sim-large"
    with pytest.raises(sdk.BadRequestError) as caught:
        await ask(gateway, "plain", tools=[TOOL])
    assert (caught.value.code, caught.value.param) == ("no_model_fits", "model")
    assert "The model `plain` cannot take this request: it takes no tools" in str(caught.value)
    with pytest.raises(sdk.BadRequestError) as caught:
        await ask(gateway, "short", messages=[{"role": "user", "content": "tides " * 400}])
    assert caught.value.code == "context_length_exceeded"
    rows = await gateway.rows("requests")
    assert [row["error_code"] for row in rows][2:] == ["no_model_fits", "context_length_exceeded"]
    assert len(await gateway.rows("charges")) == 2


async def test_with_no_candidate_the_error_names_the_gates(start: Any) -> None:
    price = {"input": "1", "output": "1"}
    models = {"plain": {"provider": "sim", "model": "sim-small", "price": price, "cannot": ["tools"]}}
    models["short"] = {"provider": "sim", "model": "sim-large", "price": price, "context_tokens": 100}
    rules = [{"name": "long", "when": 'tags.job == "long"', "use": "short"}]
    policy = {"tiers": {"cheap": ["plain"]}, "rules": rules, "default": "cheap"}
    agents = {"tester": {}, "other": {"allowed_models": ["short"]}}
    gateway = await start(policy, models=models, agents=agents)
    with pytest.raises(sdk.BadRequestError) as caught:
        await ask(gateway, tools=[TOOL])
    assert (caught.value.code, caught.value.body["metadata"]["reason"]) == ("no_model_fits", "tools")  # type: ignore[index]
    assert "`plain` takes no tools" in str(caught.value)


async def test_a_request_too_long_for_all_says_so(start: Any) -> None:
    models = {
        "short": {
            "provider": "sim",
            "model": "sim-small",
            "price": {"input": "1", "output": "1"},
            "context_tokens": 100,
        }
    }
    gateway = await start({"tiers": {"cheap": ["short"]}, "default": "cheap"}, models=models)
    with pytest.raises(sdk.BadRequestError) as caught:
        await ask(gateway, messages=[{"role": "user", "content": "tides " * 400}])
    assert caught.value.code == "context_length_exceeded"
    assert "maximum context length is 100 tokens" in str(caught.value)


async def test_experiments_are_sticky_for_a_run_and_shadows_are_recorded(start: Any) -> None:
    rules = [
        {"name": "shade", "shadow": True, "use": "best"},
        {
            "name": "trial",
            "experiment": {"a": {"percent": 50, "use": "cheap"}, "b": {"percent": 50, "use": "good"}},
        },
    ]
    gateway = await start({"rules": rules, "default": "cheap"})
    seen: dict[str, set[str]] = {}
    for turn in range(24):
        run = f"run-{turn % 8}"
        answer = await ask(gateway, extra_headers={"x-farebox-run": run})
        seen.setdefault(run, set()).add(answer.headers["x-farebox-model"])
    assert all(len(models) == 1 for models in seen.values())
    assert set.union(*seen.values()) == {"sim-small", "sim-reasoner"}
    for found in await decisions(gateway):
        assert found["arm"] in ("trial/a", "trial/b")
        assert [(each["rule"], each["model"]) for each in found["shadows"]] == [("shade", "sim-large")]


async def test_a_session_keeps_its_model_inside_a_tool_loop(start: Any) -> None:
    rules = [{"name": "talk", "when": "session_turns > 1", "use": "cheap"}]
    gateway = await start({"rules": rules, "default": "best"})
    headers = {"x-farebox-session": "s-1"}
    first = await ask(gateway, extra_headers=headers, tools=[TOOL])
    assert first.headers["x-farebox-model"] == "sim-large"
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"word": "tide"}'}}
    loop = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rises and falls"},
    ]
    inside = await ask(gateway, extra_headers=headers, tools=[TOOL], messages=loop)
    assert inside.headers["x-farebox-model"] == "sim-large"
    assert inside.headers["x-farebox-route"] == "talk; tool loop"
    fresh = await ask(gateway, extra_headers={"x-farebox-session": "s-2"}, tools=[TOOL], messages=loop)
    assert fresh.headers["x-farebox-model"] == "sim-small"


async def test_runs_are_counted(start: Any) -> None:
    rules = [{"name": "late", "when": "run.steps >= 2 && run.cost_usd > 0.0", "use": "best"}]
    gateway = await start({"rules": rules, "default": "cheap"})
    headers = {"x-farebox-run": "r-1"}
    models = [(await ask(gateway, extra_headers=headers)).headers["x-farebox-model"] for _ in range(3)]
    assert models == ["sim-small", "sim-small", "sim-large"]


async def test_the_state_of_the_budget_is_read(start: Any) -> None:
    budgets = {"all": {"scope": "agent:tester", "limit_usd": "0.01", "window": "total"}}
    rules = [{"name": "poor", "when": "budget.remaining_ratio < 0.99", "use": "cheap"}]
    gateway = await start({"rules": rules, "default": "best"}, budgets=budgets)
    assert (await ask(gateway)).headers["x-farebox-model"] == "sim-large"
    gateway.app.services.pipeline.deciding._purses.forget()  # as a second does
    assert (await ask(gateway)).headers["x-farebox-model"] == "sim-small"


async def test_a_budget_that_ends_goes_to_a_cheaper_model_first(start: Any) -> None:
    budget = {"scope": "agent:tester", "limit_usd": "0.005", "window": "total"}
    gateway = await start({"default": "best"}, budgets={"all": {**budget, "on_exceed": "downgrade"}})
    models = [(await ask(gateway)).headers["x-farebox-model"] for _ in range(4)]
    assert models[0] == "sim-large"
    assert models[-1] in ("sim-small", "sim-reasoner")
    statuses = set()
    for _ in range(100):
        try:
            await ask(gateway)
        except sdk.APIStatusError as error:
            statuses.add(error.status_code)
            break
    assert statuses == {402}


async def test_a_budget_that_blocks_refuses(start: Any) -> None:
    budget = {"scope": "agent:tester", "limit_usd": "0.0001", "window": "total"}
    gateway = await start({"default": "best"}, budgets={"all": budget})
    with pytest.raises(sdk.APIStatusError) as caught:
        await ask(gateway)
    assert caught.value.status_code == 402


async def test_admission_downgrades_what_the_view_did_not_foresee(start: Any) -> None:
    """A long bound on the answer: what is expected fits many times, what has to be set aside does not."""
    budget = {"scope": "agent:tester", "limit_usd": "0.4", "window": "total", "on_exceed": "downgrade"}
    agents = {"tester": {"clamp": "off"}, "other": {}}
    gateway = await start({"default": "best"}, budgets={"all": budget}, agents=agents)
    gateway.app.services.pipeline.deciding.lengths.observe("tester", "sim-large", 10)
    answer = await ask(gateway, max_tokens=32_000)
    assert answer.headers["x-farebox-model"] == "sim-reasoner"  # the dearest that fits
    (found,) = await decisions(gateway)
    assert (found["model"], found["downgraded"]) == ("sim-large", "budget")


async def test_a_run_that_repeats_itself_gets_the_weakest_tier(start: Any) -> None:
    agents = {"tester": {"loops": {"action": "downgrade", "threshold": 2}}, "other": {}}
    gateway = await start({"default": "best"}, agents=agents)
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"word": "tide"}'}}
    turn = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rises and falls"},
    ]
    answer = await ask(gateway, messages=[*MESSAGES, *turn, *turn, *turn], tools=[TOOL])
    assert answer.headers["x-farebox-model"] == "sim-small"
    (found,) = await decisions(gateway)
    assert (found["downgraded"], found["rule"]) == ("loop", "downgraded")


async def test_a_run_that_spends_too_quickly_gets_the_weakest_tier(start: Any) -> None:
    velocity = {"usd": "0.0000001", "per_s": 60, "action": "downgrade"}
    gateway = await start({"default": "best"}, agents={"tester": {"velocity": velocity}, "other": {}})
    headers = {"x-farebox-run": "quick"}
    models = [(await ask(gateway, extra_headers=headers)).headers["x-farebox-model"] for _ in range(3)]
    assert models == ["sim-large", "sim-small", "sim-small"]


# --- cascades ---


def with_word(word: str) -> dict[str, Any]:
    """A cascade whose answers have to have a word in them. `timetables` is one of the best model's only."""
    verify = {"checks": ["empty", "refusal"], "condition": f"answer.text.contains('{word}')", "buffer_streams": True}
    return {"use": ["cheap", "best"], "verify": verify}


def two_models() -> dict[str, Any]:
    """The cheap one and the best one."""
    price = {"input": "1", "output": "1"}
    return {
        "short": {"provider": "sim", "model": "sim-small", "price": price, "max_output_tokens": 100},
        "long": {"provider": "sim", "model": "sim-fixed", "price": price, "max_output_tokens": 100},
    }


CASCADE = {"cheap": ["short"], "best": ["long"]}
BUDGETS = {"all": {"scope": "global", "limit_usd": "10", "window": "total"}}


async def said(gateway: GatewayUnderTest, *, stream: bool) -> tuple[str, Any]:
    """The answer's text, and its headers."""
    async with gateway.sdk() as client:
        made = await client.chat.completions.with_raw_response.create(  # type: ignore[call-overload]
            model="auto", messages=MESSAGES, stream=stream, max_tokens=60
        )
        answer = made.parse()
        if not stream:
            return answer.choices[0].message.content, made.headers
        return "".join([each.choices[0].delta.content or "" async for each in answer if each.choices]), made.headers


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("metered", [False, True], ids=["strict", "metered"])
async def test_an_answer_that_will_not_do_is_replaced(start: Any, stream: bool, metered: bool) -> None:
    models, budgets = two_models(), BUDGETS
    if metered:
        for model in models.values():
            model |= {"countable_stream": True, "stops_on_disconnect": True}
        budgets = {"all": {**BUDGETS["all"], "reserve": "calibrated"}}
    agents = {"tester": {"assemble_whole_answers": True}, "other": {}}
    gateway = await start(
        {"tiers": CASCADE, "default": with_word("timetables")}, models=models, budgets=budgets, agents=agents
    )
    text, headers = await said(gateway, stream=stream)
    assert text
    assert (headers["x-farebox-model"], headers["x-farebox-attempts"]) == ("long", "2")
    charges = await gateway.rows("charges")
    assert [(row["outcome"], row["purpose"]) for row in charges] == [("unverified", "unverified"), ("ok", "fallback")]
    assert all(row["cost_nano_usd"] > 0 for row in charges)
    (row,) = await gateway.rows("requests")
    assert (row["outcome"], row["cost_nano_usd"]) == ("ok", sum(each["cost_nano_usd"] for each in charges))
    turned_down = gateway.app.quality.record("tester", charges[0]["model"])
    assert turned_down is not None
    assert (turned_down.count, turned_down.scores) == (WEIGHTS["form"], 0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_the_last_candidates_answer_is_given_as_it_is(start: Any, stream: bool) -> None:
    gateway = await start({"tiers": CASCADE, "default": with_word("nowhere")}, models=two_models(), budgets=BUDGETS)
    text, headers = await said(gateway, stream=stream)
    assert text
    assert (headers["x-farebox-model"], headers["x-farebox-attempts"]) == ("long", "2")
    (row,) = await gateway.rows("requests")
    assert (row["outcome"], row["status"], row["deployment"]) == ("ok", 200, "sim/sim-fixed")
    assert [charge["purpose"] for charge in await gateway.rows("charges")] == ["unverified", "unverified"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_an_answer_that_was_turned_down_is_better_than_an_error(start: Any, stream: bool) -> None:
    models = two_models()
    models["long"]["model"] = "sim-fixed+fault-500"
    gateway = await start({"tiers": CASCADE, "default": with_word("nowhere")}, models=models, budgets=BUDGETS)
    text, headers = await said(gateway, stream=stream)
    assert text
    assert headers["x-farebox-model"] == "short"
    (row,) = await gateway.rows("requests")
    assert (row["outcome"], row["status"], row["error_code"]) == ("ok", 200, "")


async def test_a_stream_is_verified_only_where_it_is_held_back(start: Any) -> None:
    default = with_word("nowhere")
    default["verify"]["buffer_streams"] = False
    gateway = await start({"tiers": CASCADE, "default": default}, models=two_models(), budgets=BUDGETS)
    _, headers = await said(gateway, stream=True)
    assert headers["x-farebox-model"] == "short"
    (charge,) = await gateway.rows("charges")
    assert charge["purpose"] == "useful"
