"""Budgets, runs and verification as operators and agents use them: over HTTP and by the commands."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.cli.remote import dollars
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import ENVIRONMENT, OTHER_KEY, TESTER_KEY, GatewayUnderTest

ADMIN = {"authorization": f"Bearer {ENVIRONMENT['ADMIN_KEY']}"}
VIEWER = {"authorization": f"Bearer {ENVIRONMENT['VIEWER_KEY']}"}
TESTER = {"authorization": f"Bearer {TESTER_KEY}"}
OTHER = {"authorization": f"Bearer {OTHER_KEY}"}
ASK = {"model": "sim-small", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
BUDGETS = {
    "testing": {"scope": "agent:tester", "limit_usd": "5", "window": "day"},
    "people": {"scope": "user:*", "limit_usd": "1", "window": "month", "when_missing": "shared"},
}


@pytest.fixture
async def governed(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    """A gateway with two budgets and an admin API."""
    admin = {"key": "${ADMIN_KEY}", "viewer_key": "${VIEWER_KEY}"}
    return await start_gateway(f"{simulator.url}/v1", admin=admin, budgets=BUDGETS)


def client(gateway: GatewayUnderTest, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, headers=headers)


async def farebox(gateway: GatewayUnderTest, *words: str, key: str = ENVIRONMENT["ADMIN_KEY"]) -> Result:
    """Run a command against the gateway, in a thread: it waits for answers of this loop's server."""
    environment = {"FAREBOX_ADMIN_KEY": key, "FAREBOX_URL": gateway.url, "COLUMNS": "200"}
    return await asyncio.to_thread(CliRunner().invoke, app, [*words], env=environment)


async def answer_of(gateway: GatewayUnderTest, *words: str) -> Any:
    done = await farebox(gateway, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def test_what_was_spent_is_seen_adjusted_and_verified(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        served = await agent.post("/v1/chat/completions", json=ASK, headers={"x-farebox-user": "ann"})
    cost = served.headers["x-farebox-cost-usd"]
    listed = {line["scope"]: line for line in await answer_of(governed, "budgets", "list")}
    assert listed["agent:tester"]["posted_usd"] == listed["user:ann"]["posted_usd"] == cost
    assert listed["agent:tester"]["reserved_usd"] == "0.00"
    shown = await farebox(governed, "budgets")
    assert "testing" in shown.stdout
    assert "agent:tester" in shown.stdout
    words = ("--give-back", cost, "--reason", "a test", "--id", "e1")
    for _ in range(2):
        entered = await answer_of(governed, "budgets", "adjust", "testing", *words)
        assert (entered["amount_usd"], entered["budget"]["posted_usd"]) == (f"-{cost}", "0.00")
    await answer_of(governed, "budgets", "adjust", "people", "--value", "ann", "--spend", "0.5", "--reason", "by hand")
    reset = await answer_of(governed, "budgets", "reset", "people", "--value", "ann", "--reason", "again")
    assert reset["budget"]["posted_usd"] == "0.00"
    rows = await governed.rows("adjustments")
    assert [(row["budget"], row["value"], row["reason"]) for row in rows] == [
        ("testing", "tester", "a test"),
        ("people", "ann", "by hand"),
        ("people", "ann", "again"),
    ]
    verified = await farebox(governed, "verify")
    assert (verified.exit_code, "all agree" in verified.stdout) == (0, True), verified.output


async def test_a_difference_fails_the_verification(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        served = await agent.post("/v1/chat/completions", json=ASK)
        assert served.status_code == 200
    store = governed.app.services.governance._books.store
    [key] = [state.key for state in await store.counters() if state.key.startswith("b|testing|")]
    await store.adjust(key, 1_000_000, "never entered")
    found = await farebox(governed, "verify")
    assert found.exit_code == 1
    assert key in found.stdout
    assert "1 differ" in found.stderr


async def test_a_run_from_opening_to_close(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        body = {"id": "r1", "limits": {"requests": 2, "cost_usd": "1"}, "carve_usd": "0.5"}
        opened = await agent.post("/v1/runs", json=body)
        assert opened.status_code == 201
        run = opened.json()
        assert (run["id"], run["object"], run["agent"], run["parent"]) == ("tester/r1", "run", "tester", None)
        assert (run["depth"], run["limits"]["requests"], run["carve_usd"]) == (0, 2, "0.50")
        assert (await agent.get("/v1/runs/r1")).json()["carve_left_usd"] == "0.50"
        assert run["expires_at"].endswith("Z")
        bound = {"authorization": f"Bearer {run['key']['key']}"}
        served = [await agent.post("/v1/chat/completions", json=ASK, headers=bound) for _ in range(3)]
        assert [each.status_code for each in served] == [200, 200, 422]
        assert served[2].json()["error"]["code"] == "run_limit_exceeded"
        for path in ("/v1/runs/r1", "/v1/runs/tester/r1"):
            seen = (await agent.get(path, headers=bound)).json()
            assert (seen["state"], seen["used"]["requests"]) == ("open", 2)
        spent = sum(Decimal(each.headers["x-farebox-cost-usd"]) for each in served[:2])
        (listed,) = await answer_of(governed, "runs", "list")
        left = seen["carve_left_usd"]
        assert (Decimal(left), listed["carve_left_usd"]) == (Decimal("0.5") - spent, left)
        assert f"{dollars(left)} of 0.50" in (await farebox(governed, "runs", "list")).stdout
        assert f"0.50 USD, {left} USD of it left" in (await farebox(governed, "runs", "show", "tester/r1")).stdout
        child = await agent.post("/v1/runs", json={"id": "c1"}, headers=bound)
        assert (child.json()["parent"], child.json()["depth"]) == ("tester/r1", 1)
        closed = (await agent.post("/v1/runs/r1/close")).json()
        assert closed["given_back_usd"] == left
        assert (await agent.get("/v1/runs/c1")).json()["state"] == "closed"
        assert (await agent.get("/v1/runs/r1")).json()["carve_left_usd"] is None
        refused = await agent.post("/v1/chat/completions", json=ASK, headers=bound)
        assert (refused.status_code, refused.json()["error"]["metadata"]["reason"]) == (422, "closed")
    assert (await farebox(governed, "verify")).exit_code == 0


async def test_what_runs_answers_to_others(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        await agent.post("/v1/runs", json={"id": "r1"})
        answers = {
            "another org's": await agent.get("/v1/runs/tester/r1", headers=OTHER),
            "as a parent": await agent.post("/v1/runs", json={"parent": "tester/r1"}, headers=OTHER),
            "no key": await agent.post("/v1/runs", json={}, headers={"authorization": ""}),
            "wrong method": await agent.get("/v1/runs"),
            "wrong body": await agent.post("/v1/runs", json={"colour": "red"}),
            "no such run": await agent.get("/v1/runs/none"),
            "no such path": await agent.get("/v1/runs/a/b/c"),
            "wrong method on a run": await agent.post("/v1/runs/r1"),
        }
    found = {name: (answer.status_code, answer.json()["error"]["code"]) for name, answer in answers.items()}
    assert found == {
        "another org's": (404, "not_found"),
        "as a parent": (404, "not_found"),
        "no key": (401, "invalid_api_key"),
        "wrong method": (405, "method_not_allowed"),
        "wrong body": (400, "invalid_value"),
        "no such run": (404, "not_found"),
        "no such path": (404, "not_found"),
        "wrong method on a run": (405, "method_not_allowed"),
    }


async def test_an_operator_pauses_resumes_and_closes(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        run = (await agent.post("/v1/runs", json={"id": "r1"})).json()
        bound = {"authorization": f"Bearer {run['key']['key']}"}
        paused = await farebox(governed, "runs", "pause", "tester/r1", "--reason", "looks odd")
        assert "tester/r1 is paused (looks odd)." in paused.stdout
        refused = await agent.post("/v1/chat/completions", json=ASK, headers=bound)
        assert (refused.status_code, refused.json()["error"]["metadata"]["reason"]) == (422, "paused")
        assert [each["id"] for each in await answer_of(governed, "runs", "list", "--state", "paused")] == ["tester/r1"]
        assert (await answer_of(governed, "runs", "resume", "tester/r1"))["state"] == "open"
        assert (await agent.post("/v1/chat/completions", json=ASK, headers=bound)).status_code == 200
        shown = await farebox(governed, "runs", "show", "tester/r1")
        assert "requests  1" in shown.stdout
        assert "tester/r1" in (await farebox(governed, "runs")).stdout
        assert (await answer_of(governed, "runs", "close", "tester/r1", "--reason", "done"))["state"] == "closed"
        for words in (("pause", "tester/r1", "--reason", "x"), ("resume", "tester/none"), ("show", "tester/none")):
            assert (await farebox(governed, "runs", *words)).exit_code == 1


async def test_only_the_admin_key_changes_anything(governed: GatewayUnderTest) -> None:
    async with client(governed, TESTER) as agent:
        run = (await agent.post("/v1/runs", json={"id": "r1"})).json()
    bound = {"authorization": f"Bearer {run['key']['key']}"}
    changes: dict[str, dict[str, Any]] = {
        "runs/tester/r1/pause": {"reason": "x"},
        "runs/tester/r1/resume": {"reason": "x"},
        "runs/tester/r1/close": {"reason": "x"},
        "budgets/testing/adjust": {"reason": "x", "amount_usd": "1"},
        "budgets/testing/reset": {"reason": "x"},
    }
    for headers, status, looking in ((VIEWER, 403, 200), (TESTER, 403, 403), (bound, 403, 403), ({}, 401, 401)):
        async with client(governed, headers) as asking:
            for path, body in changes.items():
                assert (await asking.post(f"/admin/v1/{path}", json=body)).status_code == status, path
            for path in ("budgets", "runs", "runs/tester/r1", "verify"):
                assert (await asking.get(f"/admin/v1/{path}")).status_code == looking, path
    assert await governed.rows("adjustments") == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("testing/adjust", {"amount_usd": "1"}, "reason"),
        ("testing/adjust", {"amount_usd": "0", "reason": "x"}, "amount_usd"),
        ("testing/adjust", {"amount_usd": "1e3", "reason": "x"}, "amount_usd"),
        ("testing/adjust", {"amount_usd": "10000000000", "reason": "x"}, "amount_usd"),
        ("testing/adjust", {"amount_usd": "1", "reason": "x", "value": "other"}, "value"),
        ("people/reset", {"reason": "x"}, "value"),
        ("none/reset", {"reason": "x"}, "budget"),
    ],
)
async def test_wrong_entries_say_where(governed: GatewayUnderTest, path: str, body: dict[str, Any], param: str) -> None:
    async with client(governed, ADMIN) as admin:
        answer = await admin.post(f"/admin/v1/budgets/{path}", json=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


async def test_commands_that_cannot_work_say_why(governed: GatewayUnderTest) -> None:
    cases = {
        ("verify", "--admin-key", "wrong"): (3, "not an admin key"),
        ("verify", "--url", "http://127.0.0.1:1"): (3, "no gateway answers"),
        ("verify", "--url", "ftp://example.com"): (2, "no address"),
        ("budgets", "adjust", "testing", "--reason", "x"): (2, "either --give-back or --spend"),
        ("budgets", "adjust", "testing", "--reason", "x", "--spend", "-1"): (2, "no amount"),
        ("budgets", "list", "--budget", "none"): (1, "There is no budget"),
        ("runs", "show", "r1"): (2, "agent/run"),
        ("runs", "list", "--state", "lost"): (2, "no state"),
    }
    for words, (status, message) in cases.items():
        done = await farebox(governed, *words)
        assert (done.exit_code, message in done.stderr) == (status, True), (words, done.output)
    assert (await farebox(governed, "verify", key="")).exit_code == 2


async def test_options_may_stand_before_the_command(governed: GatewayUnderTest) -> None:
    words = ["runs", "--url", governed.url, "--admin-key", ENVIRONMENT["ADMIN_KEY"], "--json", "list"]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


async def test_the_address_comes_from_the_configuration(governed: GatewayUnderTest) -> None:
    port = int(governed.url.rpartition(":")[2])
    written = json.loads(governed.file.read_text())
    written["server"]["port"] = port
    file = governed.file.with_name("with-port.yaml")
    file.write_text(json.dumps(written))
    words = ["budgets", "list", "--json", "--config", str(file), "--admin-key", ENVIRONMENT["ADMIN_KEY"]]
    done = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert done.exit_code == 0, done.output
    assert {line["id"] for line in json.loads(done.stdout)} == {"testing"}
