"""`farebox explain --url` and `POST /admin/v1/explain`: a running gateway tells what it would decide, and then does."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app as command
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import ENVIRONMENT, TESTER_KEY, GatewayUnderTest
from tests.integration.test_admin import ADMIN, KEYS, VIEWER

TIERS = {"cheap": ["sim-small"], "good": ["sim-reasoner"], "best": ["sim-large"]}
RULES: list[dict[str, Any]] = [
    {"name": "shade", "shadow": True, "use": "best"},
    {"name": "dear", "when": "value_usd >= 100.0", "use": "best"},
    {"name": "hard", "when": 'tags.job == "hard" && complexity > 0.3', "use": ["good", "best"]},
    {
        "name": "trial",
        "when": 'tags.job == "trial"',
        "experiment": {"a": {"percent": 50, "use": "cheap"}, "b": {"percent": 50, "use": "good"}},
    },
    {"name": "late", "when": "run.steps >= 2", "use": "best"},
    {"name": "poor", "when": "budget.remaining_ratio < 0.5", "use": "cheap"},
    {"name": "tools", "when": "tools > 0", "use": ["good", "cheap"], "strategy": "cheapest"},
]
BUDGETS = {"all": {"scope": "agent:tester", "limit_usd": "1000", "window": "total"}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
ASK: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Tides?"}], "max_tokens": 20}


@pytest.fixture
def start(simulator: SimulatorServer, start_gateway: StartGateway, tmp_path: Path) -> Any:
    async def started(policy: dict[str, Any], **changes: Any) -> GatewayUnderTest:
        folder = tmp_path / "policies"
        folder.mkdir()
        (folder / "main.yaml").write_text(json.dumps({"name": "main", "tiers": TIERS, **policy}))
        written = {
            "policies": str(folder),
            "policy": "main",
            "admin": KEYS,
            "agents": {"tester": {"trust": ["value", "complexity"]}, "other": {}},
        }
        return await start_gateway(f"{simulator.url}/v1", **{**written, **changes})

    return started


async def explain(gateway: GatewayUnderTest, request: dict[str, Any], **fields: Any) -> dict[str, Any]:
    asking = {"agent": "tester", "request": request, **fields}
    async with httpx.AsyncClient(base_url=gateway.url, verify=False) as client:
        answer = await client.post("/admin/v1/explain", json=asking, headers=VIEWER)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ask(gateway: GatewayUnderTest, request: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=gateway.url, verify=False) as client:
        bearer = {"authorization": f"Bearer {TESTER_KEY}"}
        return await client.post("/v1/chat/completions", json=request, headers={**headers, **bearer})


def some_request(chance: random.Random) -> tuple[dict[str, Any], dict[str, str]]:
    request, headers = dict(ASK), {}
    if chance.random() < 0.3:
        request["model"] = chance.choice(["sim-small", "sim-large"])
    if chance.random() < 0.3:
        request["tools"] = [TOOL]
    if chance.random() < 0.5:
        request["messages"] = [*ASK["messages"], {"role": "assistant", "content": "Yes."}, *ASK["messages"]]
    if chance.random() < 0.4:
        headers["x-farebox-value-usd"] = chance.choice(["0.01", "500"])
    if chance.random() < 0.5:
        headers["x-farebox-tags"] = f"job={chance.choice(['hard', 'trial', 'other'])}"
    if chance.random() < 0.7 or "trial" in headers.get("x-farebox-tags", ""):  # else its arm is the request's own
        headers["x-farebox-run"] = chance.choice(["r-1", "r-2"])
    if chance.random() < 0.3:
        headers["x-farebox-session"] = "s-1"
    return request, headers


async def test_what_is_explained_is_what_is_decided(start: Any) -> None:
    """The same rule, reason and model, request by request, while runs, sessions and lengths are learned."""
    gateway, chance = await start({"rules": RULES, "default": "cheap"}, budgets=BUDGETS), random.Random(2)
    ruled = set()
    for served in range(30):
        await gateway.eventually("requests", served)  # what was learned of them, is by now
        request, headers = some_request(chance)
        found = await explain(gateway, request, headers=headers)
        again = await explain(gateway, request, headers=headers)
        assert (again["decision"], again["rules"]) == (found["decision"], found["rules"])  # to look changes nothing
        answer = await ask(gateway, request, headers)
        decision = found["decision"]
        assert answer.headers["x-farebox-model"] == decision["models"][0]
        if decision["rule"] != "asked":
            assert answer.headers["x-farebox-route"] == f"{decision['rule']}; {decision['reason']}"
        ruled.add(decision["rule"])
    assert len(ruled) >= 6
    assert len(await gateway.eventually("requests", 30)) == 30


async def test_it_knows_budgets_breakers_sessions_and_runs(start: Any) -> None:
    budget = {"scope": "agent:tester", "limit_usd": "1", "window": "month", "on_exceed": "downgrade"}
    gateway = await start({"rules": RULES, "default": "best"}, budgets={"all": budget})
    headers = {"x-farebox-session": "s-1", "x-farebox-run": "r-1"}
    fresh = (await explain(gateway, ASK, headers=headers))["live"]
    assert (fresh["session"], fresh["unwell"], fresh["slowed"]) == (None, [], None)
    (seen,) = fresh["budgets"]
    assert (seen["id"], seen["left_usd"], seen["on_exceed"]) == ("all", "1.00", "downgrade")
    assert 0 <= seen["elapsed_ratio"] <= 1
    await ask(gateway, ASK, headers)
    await gateway.eventually("requests", 1)
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        force = {"to": "open", "reason": "a test"}
        forced = await client.post("/admin/v1/breakers/sim%2Fsim-large/force", json=force, headers=ADMIN)
        assert forced.status_code == 200
    gateway.app.services.pipeline.deciding._purses.forget()  # as a second does
    found = await explain(gateway, ASK, headers=headers)
    assert found["live"]["session"]["model"] == "sim-large"
    assert found["live"]["unwell"] == ["sim/sim-large"]
    assert float(found["live"]["budgets"][0]["left_usd"]) < 1
    assert (found["request"]["run_steps"], found["request"]["run_cost_usd"] > 0) == (1, True)


async def test_complexity_is_worked_out_only_where_the_decision_reads_it(start: Any) -> None:
    gateway = await start({"rules": RULES, "default": "cheap"})
    assert (await explain(gateway, ASK))["request"]["complexity"] is None
    assert gateway.app.services.pipeline.deciding.judge._scorer is None
    read = await explain(gateway, ASK, headers={"x-farebox-tags": "job=hard"})
    assert 0 < read["request"]["complexity"] < 1
    assert any(line.startswith("complexity") for line in read["words"])


async def test_a_key_of_its_own_and_concrete_models(start: Any) -> None:
    gateway = await start({"default": ["sim-large", "sim-small"]})
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        made = await client.post(
            "/admin/v1/keys", headers=ADMIN, json={"agent": "tester", "models": ["sim-small", "sim-fixed"]}
        )
    found = await explain(gateway, ASK, key=made.json()["id"])
    assert found["decision"]["models"] == ["sim-small"]
    concrete = await explain(gateway, {**ASK, "model": "sim-fixed"})
    assert (concrete["policy"], concrete["decision"]["rule"]) == (None, "asked")
    assert concrete["live"] == {"budgets": [], "unwell": [], "session": None, "slowed": None}
    unknown = await explain(gateway, {**ASK, "model": "nobody"})
    assert (unknown["decision"]["models"], unknown["decision"]["reason"]) == ([], "unknown_model")


CANNOT: list[tuple[dict[str, Any], int, str]] = [
    ({"agent": "nobody"}, 400, "no agent `nobody`"),
    ({"key": "fb-unknown"}, 400, "no key `fb-unknown`"),
    ({"key": "config:other"}, 400, "no key `config:other`"),
    ({"request": "no JSON"}, 400, "not valid JSON"),
    ({"request": {"model": "auto"}}, 400, "messages"),
    ({"headers": {"x-farebox-value-usd": "much"}}, 400, "x-farebox-value-usd"),
    ({"api": "speech"}, 400, "api"),
    ({"more": 1}, 400, "more"),
]


async def test_what_cannot_be_explained(start: Any) -> None:
    gateway = await start({"default": "cheap"})
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for fields, status, says in CANNOT:
            asking = {"agent": "tester", "request": ASK, **fields}
            answer = await client.post("/admin/v1/explain", json=asking, headers=ADMIN)
            assert answer.status_code == status, answer.text
            assert says in answer.json()["error"]["message"]
        agents = {"authorization": f"Bearer {TESTER_KEY}"}
        assert (await client.post("/admin/v1/explain", json=asking, headers=agents)).status_code == 403
        assert (await client.post("/admin/v1/explain", json=asking)).status_code == 401


async def test_a_long_conversation_is_explained(start: Any) -> None:
    gateway = await start({"default": "cheap"})
    long = {**ASK, "messages": [{"role": "user", "content": "tides " * 20_000}]}
    assert (await explain(gateway, json.dumps(long)))["request"]["input_tokens"] > 20_000  # type: ignore[arg-type]


# --- the command ---


async def run(gateway: GatewayUnderTest, file: Path, *words: str) -> Result:
    environment = {"FAREBOX_ADMIN_KEY": ENVIRONMENT["VIEWER_KEY"]}
    arguments = ["explain", str(file), "--url", gateway.url, *words]
    return await asyncio.to_thread(CliRunner().invoke, command, arguments, env=environment)


async def test_the_command_asks_a_running_gateway(start: Any, tmp_path: Path) -> None:
    gateway = await start({"rules": RULES, "default": "cheap"}, budgets=BUDGETS)
    file = tmp_path / "request.json"
    file.write_text(json.dumps(ASK))
    await ask(gateway, ASK, {"x-farebox-session": "s-1"})
    await gateway.eventually("requests", 1)
    told = await run(gateway, file, "-a", "tester", "-H", "x-farebox-session: s-1", "-H", "x-farebox-value-usd: 500")
    assert told.exit_code == 0, told.output
    for words in ("tester (team", "dear ", "1000.00", "was answered by sim-small", "result      sim-large: first"):
        assert words in told.output
    as_json = await run(gateway, file, "-a", "tester", "--json")
    assert json.loads(as_json.output)["decision"] == (await explain(gateway, ASK))["decision"]
    assert (await run(gateway, file, "-a", "nobody")).exit_code == 2
    assert (await run(gateway, file, "-a", "tester", "--policy", "policy.yaml")).exit_code == 2
    assert (await run(gateway, file, "-a", "tester", "-H", "x-farebox-value-usd: much")).exit_code == 2
    file.write_text(json.dumps({**ASK, "model": "nobody"}))
    assert (await run(gateway, file, "-a", "tester")).exit_code == 1
    nobody = await asyncio.to_thread(
        CliRunner().invoke,
        command,
        ["explain", str(file), "-a", "tester", "--url", "http://127.0.0.1:9", "--admin-key", "some-admin-key"],
    )
    assert nobody.exit_code == 3
