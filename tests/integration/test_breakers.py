"""Breakers as operators see and force them, and as gateways share them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.simulator.server import SimulatorServer
from tests.integration.callers import call
from tests.integration.conftest import StartGateway
from tests.integration.gateway import ENVIRONMENT, TESTER_KEY, GatewayUnderTest
from tests.integration.processes import Gateway, Provider
from tests.integration.shared import Counters, Fleet, until_it_is
from tests.servers import Postgres

ADMIN = {"authorization": f"Bearer {ENVIRONMENT['ADMIN_KEY']}"}
VIEWER = {"authorization": f"Bearer {ENVIRONMENT['VIEWER_KEY']}"}
TESTER = {"authorization": f"Bearer {TESTER_KEY}"}
ASK = {"model": "sim-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
BREAKER = {"consecutive_failures": 1, "open_s": 600, "jitter": 0}
NAME = "sim/sim-small"


@pytest.fixture
async def gateway(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    admin = {"key": "${ADMIN_KEY}", "viewer_key": "${VIEWER_KEY}"}
    return await start_gateway(
        f"{simulator.url}/v1", admin=admin, faults=["fault-500", "fault-401"], breaker=BREAKER, retries={"max": 0}
    )


def client(gateway: GatewayUnderTest, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=gateway.url, headers=headers)


async def farebox(url: str, *words: str) -> Result:
    """Run a command, in a thread: it waits for answers of this loop's server."""
    environment = {"FAREBOX_ADMIN_KEY": ENVIRONMENT["ADMIN_KEY"], "FAREBOX_URL": url, "COLUMNS": "200"}
    return await asyncio.to_thread(CliRunner().invoke, app, [*words], env=environment)


async def listed(url: str) -> dict[str, dict[str, Any]]:
    done = await farebox(url, "breakers", "--json")
    assert done.exit_code == 0, done.output
    return {each["id"]: each for each in json.loads(done.stdout)}


async def ask(gateway: GatewayUnderTest, model: str = "sim-small") -> httpx.Response:
    async with client(gateway, TESTER) as agent:
        return await agent.post("/v1/chat/completions", json={**ASK, "model": model})


async def test_an_operator_forces_a_breaker_and_releases_it(gateway: GatewayUnderTest) -> None:
    fresh = (await listed(gateway.url))[NAME]
    assert (fresh["state"], fresh["kind"], fresh["since"]) == ("closed", "deployment", None)
    why = ("--reason", "maintenance")
    forced = await farebox(gateway.url, "breakers", "force", NAME, "open", *why)
    assert forced.stdout == f"{NAME} is forced open.\n"
    refused = await ask(gateway)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "service_unavailable")
    released = await farebox(gateway.url, "breakers", "force", NAME, "auto", "--json", *why)
    assert json.loads(released.stdout)["state"] == "half_open"
    assert (await ask(gateway)).status_code == 200
    await farebox(gateway.url, "breakers", "force", "sim", "closed", *why)
    assert (await listed(gateway.url))["sim"]["state"] == "forced_closed"
    shown = await farebox(gateway.url, "breakers", "list", "--state", "forced_closed")
    assert [line.split()[:3] for line in shown.stdout.splitlines()[1:]] == [["sim", "forced", "closed"]]


async def test_an_open_breaker_is_shown_and_counted(gateway: GatewayUnderTest) -> None:
    assert (await ask(gateway, "faulty-fault-500")).status_code == 502
    name = "sim/sim-small+fault-500"
    found = (await listed(gateway.url))[name]
    assert (found["state"], found["failures"], found["openings"]) == ("open", 1, 1)
    assert found["tries_again_at"] > found["since"]
    async with client(gateway, ADMIN) as admin:
        text = (await admin.get("/metrics")).text
    assert f'farebox_breaker_state{{breaker="{name}"}} 2.0' in text
    assert f'farebox_breaker_state{{breaker="{NAME}"}} 0.0' in text
    assert f'deployment="{name}",kind="first",outcome="server_error"}} 1.0' in text


async def test_refused_credentials_are_shown(gateway: GatewayUnderTest) -> None:
    async with client(gateway, VIEWER) as viewer:
        assert (await viewer.get("/admin/v1/status")).json()["refused_credentials"] == []
        await ask(gateway, "faulty-fault-401")
        assert (await viewer.get("/admin/v1/status")).json()["refused_credentials"] == ["sim"]
        assert 'farebox_credentials_refused{provider="sim"} 1.0' in (await viewer.get("/metrics")).text


async def test_other_settings_take_effect_with_a_reload(gateway: GatewayUnderTest) -> None:
    written = json.loads(gateway.file.read_text())
    written["breaker"]["consecutive_failures"] = 3
    del written["models"]["faulty-fault-401"]
    gateway.file.write_text(json.dumps(written))
    async with client(gateway, ADMIN) as admin:
        assert (await admin.post("/admin/v1/config/reload")).status_code == 200
    states = []
    for _ in range(3):
        await ask(gateway, "faulty-fault-500")
        states.append((await listed(gateway.url))["sim/sim-small+fault-500"]["state"])
    assert states == ["closed", "closed", "open"]
    assert "sim/sim-small+fault-401" not in await listed(gateway.url)


async def test_who_may_look_and_who_may_force(gateway: GatewayUnderTest) -> None:
    body = {"to": "open", "reason": "x"}
    for headers, looking, forcing in ((VIEWER, 200, 403), (TESTER, 403, 403), ({}, 401, 401), (ADMIN, 200, 200)):
        async with client(gateway, headers) as asking:
            assert (await asking.get("/admin/v1/breakers")).status_code == looking
            assert (await asking.post(f"/admin/v1/breakers/{NAME}/force", json=body)).status_code == forcing


async def test_what_cannot_be_forced_says_why(gateway: GatewayUnderTest) -> None:
    cases = {
        ("force", "sim/none", "open", "--reason", "x"): (1, "no breaker `sim/none`"),
        ("force", NAME, "ajar", "--reason", "x"): (2, "none of open"),
        ("force", NAME, "open"): (2, "--reason"),
        ("force", NAME, "open", "--reason", ""): (1, "reason"),
        ("list", "--state", "ajar"): (2, "no state"),
        ("list", "--url", "http://127.0.0.1:1"): (3, "no gateway answers"),
    }
    for words, (status, message) in cases.items():
        done = await farebox(gateway.url, "breakers", *words)
        assert (done.exit_code, message in done.output) == (status, True), (words, done.output)


# --- two gateways on one store ---


@pytest.fixture
async def fleet(
    tmp_path: Path, postgres_server: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Fleet]:
    provider, counters = Provider(tmp_path), Counters(tmp_path)
    monkeypatch.setenv("VALKEY_URL", counters.url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    await provider.start()
    fleet = Fleet(tmp_path, provider, postgres_server, counters)
    yield fleet
    await fleet.stop()
    await provider.stop()
    counters.kill()


async def test_what_one_gateway_learns_the_other_knows(fleet: Fleet) -> None:
    """A breaker that opens at the one is open at the other; an operator's word, too; and both take it back."""
    await fleet.start("1", breaker=BREAKER, retries={"max": 0})
    first, second = fleet.gateways
    name = "sim/sim-small"

    async def is_at(gateway: Gateway, state: str) -> bool:
        return bool((await listed(gateway.url))[name]["state"] == state)

    assert (await call(first.url, model="strict", fault="500", max_tokens=20)).status == 502
    await until_it_is(lambda: is_at(second, "open"))
    refused = await call(second.url, model="strict", max_tokens=20)
    assert (refused.status, refused.code) == (503, "service_unavailable")
    assert (await farebox(second.url, "breakers", "force", name, "closed", "--reason", "well")).exit_code == 0
    await until_it_is(lambda: is_at(first, "forced_closed"))
    assert (await call(first.url, model="strict", max_tokens=20)).status == 200


async def test_two_gateways_have_the_probes_of_one(fleet: Fleet) -> None:
    """Half-open at both, and many call at both: only so many get through to the provider as may."""
    await fleet.start("1", breaker={**BREAKER, "probes": 3}, retries={"max": 0})
    name = "sim/sim-small"

    async def is_everywhere(state: str) -> bool:
        return all([(await listed(gateway.url))[name]["state"] == state for gateway in fleet.gateways])

    for word, state in (("open", "forced_open"), ("auto", "half_open")):
        await farebox(fleet.gateways[0].url, "breakers", "force", name, word, "--reason", "a test")
        await until_it_is(lambda state=state: is_everywhere(state))
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(call(gateway.url, model="strict", fault="stall", max_tokens=20))
            for _ in range(8)
            for gateway in fleet.gateways
        ]
        refused = [await each for each in itertools.islice(asyncio.as_completed(calls), len(calls) - 3)]
        assert [(each.status, each.code) for each in refused] == [(503, "service_unavailable")] * (len(calls) - 3)
        waiting = [each for each in calls if not each.done()]
        assert len(waiting) == 3
        for each in waiting:
            each.cancel()
