"""The admin API: off without a key, two roles, keys that work at once, and a listener of its own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest
from tests.integration.test_process import free_port

ADMIN = {"authorization": "Bearer admin-key-for-tests-0123456789"}
VIEWER = {"authorization": "Bearer viewer-key-for-tests-0123456789"}
KEYS = {"key": "${ADMIN_KEY}", "viewer_key": "${VIEWER_KEY}"}
ASK = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def administered(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    return await start_gateway(f"{simulator.url}/v1", admin=KEYS)


async def test_off_without_an_admin_key(gateway: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for path in ("/admin/v1/status", "/admin/v1/docs", "/admin/v1/openapi.json"):
            assert (await client.get(path, headers=ADMIN)).status_code == 404


async def test_roles(administered: GatewayUnderTest) -> None:
    new = {"agent": "tester"}
    async with httpx.AsyncClient(base_url=f"{administered.url}/admin/v1") as client:
        agent = {"authorization": f"Bearer {TESTER_KEY}"}
        for headers, looking, changing in ((ADMIN, 200, 201), (VIEWER, 200, 403), (agent, 403, 403), ({}, 401, 401)):
            seen = await client.get("/status", headers=headers)
            made = await client.post("/keys", headers=headers, json=new)
            assert (seen.status_code, made.status_code) == (looking, changing)
            for answer in (seen, made):
                assert answer.headers["x-request-id"]
                if answer.status_code >= 400:
                    assert {"message", "type", "param", "code"} <= set(answer.json()["error"])


async def test_a_key_made_here_works_at_once_and_a_revoked_one_no_more(administered: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=administered.url) as client:
        made = (await client.post("/admin/v1/keys", headers=ADMIN, json={"agent": "other", "name": "n"})).json()
        bearer = {"authorization": f"Bearer {made['key']}"}
        assert (await client.get("/v1/me", headers=bearer)).json()["agent"] == "other"
        rotated = await client.post(f"/admin/v1/keys/{made['id']}/rotate", headers=ADMIN, json={"overlap_s": 60})
        newer = {"authorization": f"Bearer {rotated.json()['key']}"}
        assert [(await client.get("/v1/me", headers=key)).status_code for key in (bearer, newer)] == [200, 200]
        for key_id in (made["id"], rotated.json()["id"]):
            assert (await client.post(f"/admin/v1/keys/{key_id}/revoke", headers=ADMIN)).status_code == 200
        assert [(await client.get("/v1/me", headers=key)).status_code for key in (bearer, newer)] == [401, 401]
        listed = await client.get("/admin/v1/keys", headers=VIEWER)
        assert made["key"] not in listed.text
        assert {made["id"], "config:tester"} <= {key["id"] for key in listed.json()["data"]}


@pytest.mark.parametrize(
    ("body", "param"),
    [({"agent": "nobody"}, "agent"), ({}, "agent"), ({"agent": "tester", "colour": "red"}, "colour"), ([], None)],
)
async def test_wrong_requests_say_where(administered: GatewayUnderTest, body: Any, param: str | None) -> None:
    async with httpx.AsyncClient(base_url=administered.url) as client:
        answer = await client.post("/admin/v1/keys", headers=ADMIN, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_what_it_shows(administered: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=administered.url) as client:
        served = await client.post("/v1/chat/completions", headers={"authorization": f"Bearer {TESTER_KEY}"}, json=ASK)
        look = {name: (await client.get(f"/admin/v1/{name}", headers=VIEWER)).json() for name in (
            "status", "models", "agents", "totals", f"requests/{served.headers['x-request-id']}", "openapi.json",
        )}  # fmt: skip
    assert look["status"]["config"] == "current"
    assert {"sim-small"} <= {model["name"] for model in look["models"]["data"]}
    assert {"id": "tester", "team": "quality", "org": "acme", "trust": ["value"]} in look["agents"]["data"]
    [total] = look["totals"]["data"]
    assert (total["agent"], total["requests"], total["cost_usd"]) == ("tester", 1, served.headers["x-farebox-cost-usd"])
    assert look[f"requests/{served.headers['x-request-id']}"]["cost_usd"] == total["cost_usd"]
    assert "/admin/v1/keys" in look["openapi.json"]["paths"]


async def test_reload_tells_why_it_was_refused(administered: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=administered.url) as client:
        assert (await client.post("/admin/v1/config/reload", headers=ADMIN)).json()["version"] == 2
        administered.file.write_text("{")
        refused = await client.post("/admin/v1/config/reload", headers=ADMIN)
        assert refused.status_code == 400
        assert "config.yaml:2:1" in refused.json()["error"]["message"]


async def test_a_listener_of_its_own(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    port = free_port()
    admin = {**KEYS, "listen": {"host": "127.0.0.1", "port": port}}
    gateway = await start_gateway(f"{simulator.url}/v1", admin=admin)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/admin/v1/status", headers=VIEWER)).status_code == 200
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/v1/models", headers=ADMIN)).status_code == 404
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/admin/v1/status", headers=ADMIN)).status_code == 404
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/readyz")).status_code == 200


async def test_a_body_without_end_is_refused_before_it_is_kept(administered: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=f"{administered.url}/admin/v1") as client:
        for headers in ({}, ADMIN):
            answer = await client.post("/keys", headers=headers, content=b" " * 100_000)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
            assert answer.headers["x-request-id"]


async def test_numbers_beyond_all_time_are_refused(administered: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=f"{administered.url}/admin/v1", headers=ADMIN) as client:
        made = await client.post("/keys", json={"agent": "tester", "expires_in_s": 1e308})
        assert (made.status_code, made.json()["error"]["param"]) == (400, "expires_in_s")
        assert (await client.get("/totals?since_s=inf")).status_code == 400


async def test_a_journal_that_cannot_be_asked_is_a_503(administered: GatewayUnderTest) -> None:
    async with httpx.AsyncClient(base_url=administered.url) as client:
        for file in (administered.file.parent / "state").glob("journal.db*"):
            file.write_bytes(b"no database any more" * 100)
        answer = await client.post("/admin/v1/keys", headers=ADMIN, json={"agent": "tester"})
        assert (answer.status_code, answer.json()["error"]["metadata"]["reason"]) == (503, "journal")
        asked = await client.get("/v1/requests/req_1", headers={"authorization": f"Bearer {TESTER_KEY}"})
        assert (asked.status_code, asked.json()["error"]["metadata"]["reason"]) == (503, "journal")
