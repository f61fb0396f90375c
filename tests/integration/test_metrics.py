"""What a scraper sees of a running gateway: all that is asked for, and no more series than were configured."""

from __future__ import annotations

import asyncio
import re
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from gateway.simulator.server import SimulatorServer
from gateway.telemetry.names import FAMILIES, PREFIX
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, TESTER_KEY, GatewayUnderTest
from tests.integration.test_budgets import MESSAGES

WHO = {"org": "acme", "team": "quality", "agent": "tester"}
LIMITS: dict[str, Any] = {
    "budgets": {
        "everybody": {"scope": "global", "limit_usd": "100", "window": "month"},
        "agents": {"scope": "agent:*", "limit_usd": "50", "window": "month"},
        "teams": {"scope": "team:quality", "limit_usd": "40", "window": {"rolling": "1h"}, "mode": "shadow"},
        "users": {"scope": "user:*", "limit_usd": "5", "window": "day", "when_missing": "shared"},
        "projects": {"scope": "tag:project=*", "limit_usd": "5", "window": "day", "when_missing": "shared"},
        "runs": {"scope": "run:*", "limit_usd": "5", "window": "total", "when_missing": "shared"},
    },
    "limits": {"fair": {"scope": "user:*", "requests": "1000000/min"}},
}


async def scrape(
    gateway: GatewayUnderTest, accept: str = "text/plain"
) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name without prefix."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{gateway.url}/metrics", headers={"accept": accept})
    assert answer.status_code == 200
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix(PREFIX), []).append((sample.labels, sample.value))
    return found


async def ask(gateway: GatewayUnderTest, key: str = TESTER_KEY, **headers: str) -> None:
    async with gateway.sdk(key) as client:
        await client.chat.completions.create(model="sim-small", messages=MESSAGES, max_tokens=50, extra_headers=headers)


async def test_every_family_has_its_place(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **LIMITS)
    await ask(gateway)
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{gateway.url}/metrics")).text
    described = {
        line.split()[2].removeprefix(PREFIX) for line in text.splitlines() if line.startswith("# TYPE farebox_")
    }
    assert described == {family.name for family in FAMILIES}


async def test_budgets_of_declared_scopes_only(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **LIMITS)
    await ask(gateway, **{"x-farebox-user": "ada", "x-farebox-run": "r1", "x-farebox-tags": "project=apollo"})
    found = await scrape(gateway)
    (charge,) = await gateway.rows("charges")
    posted = {labels["scope"]: (labels, value) for labels, value in found["budget_posted_usd"]}
    assert set(posted) == {"global", "agent:tester", "team:quality"}, "of agent:*, those that have spent"
    assert {value for _, value in posted.values()} == {charge["cost_nano_usd"] / 1e9}
    assert (
        posted["agent:tester"][0]
        == {"budget": "agents", "scope": "agent:tester", "window": "month", "mode": "enforce"} | WHO
    )
    team = {"budget": "teams", "scope": "team:quality", "window": "3600s", "mode": "shadow"} | WHO | {"agent": ""}
    assert posted["team:quality"][0] == team
    assert [(labels["scope"], value) for labels, value in found["budget_limit_usd"]] == [
        ("global", 100), ("agent:tester", 50), ("team:quality", 40)
    ]  # fmt: skip
    assert found["store_up"] == [({}, 1)]
    times = {labels["operation"]: value for labels, value in found["store_operation_seconds_count"]}
    assert times["counters"] == 1, "the scrape itself asks; a memory store's admissions wait for nothing"


async def test_what_clients_make_up_makes_no_series(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **LIMITS)

    async def round_() -> int:
        made_up = [_random_headers(known=number % 2 == 0) for number in range(12)]
        async with httpx.AsyncClient() as client:
            for headers in made_up:
                body = {
                    "model": headers.pop("model"),
                    "messages": MESSAGES,
                    "max_tokens": 50,
                    "user": secrets.token_hex(8),
                }
                await client.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers)
        found = await scrape(gateway)
        seen = {value for rows in found.values() for labels, _ in rows for value in labels.values()}
        sent = [word for headers in made_up for word in re.findall("[0-9a-f]{16}", repr(headers))]
        assert len(sent) > 12 * 12
        assert not [word for word in sent if any(word in value for value in seen)]
        return sum(map(len, found.values()))

    await ask(gateway, OTHER_KEY)
    first, second, third = await round_(), await round_(), await round_()
    assert first == second == third, "the same series, however many ids clients send"


def _random_headers(*, known: bool) -> dict[str, str]:
    """A random id in every header that anything is read from, and as the model where that is not to be `known`."""

    def word() -> str:
        return secrets.token_hex(8)

    return {
        "authorization": f"Bearer {TESTER_KEY}",
        **{f"x-farebox-{name}": word() for name in ("run", "step", "session", "user")},
        "x-farebox-tags": f"project={word()},{word()}={word()}",
        "x-litellm-trace-id": word(),
        "x-portkey-trace-id": word(),
        "helicone-session-id": word(),
        "helicone-user-id": word(),
        f"helicone-property-{word()}": word(),
        "x-session-id": word(),
        "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
        "baggage": f"gen_ai.agent.id={word()},gen_ai.agent.name={word()},gen_ai.conversation.id={word()}",
        "user-agent": f"{word()}/1.0",
        "x-request-id": word(),
        "model": "sim-small" if known else word(),
    }


async def test_exemplars_lead_to_the_trace_and_the_request(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1")
    trace_id = secrets.token_hex(16)
    await ask(gateway, traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    await ask(gateway, OTHER_KEY)
    requests = {row["agent"]: row["request_id"] for row in await gateway.rows("requests")}
    async with httpx.AsyncClient() as client:
        headers = {"accept": "application/openmetrics-text;version=1.0.0"}
        text = (await client.get(f"{gateway.url}/metrics", headers=headers)).text
    for name in ("farebox_request_duration_seconds", "farebox_first_token_seconds"):
        (family,) = [
            family
            for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
            if family.name == name
        ]
        exemplars = {s.labels["agent"]: s.exemplar.labels for s in family.samples if s.exemplar is not None}
        assert exemplars == {
            "tester": {"trace_id": trace_id, "request_id": requests["tester"]},
            "other": {"trace_id": requests["other"][4:].zfill(32), "request_id": requests["other"]},
        }


@pytest.mark.parametrize("scrapes", [8])
async def test_scrapes_at_the_same_time_agree(
    simulator: SimulatorServer, start_gateway: StartGateway, scrapes: int
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **LIMITS)
    await ask(gateway)
    answers = await asyncio.gather(*(scrape(gateway) for _ in range(scrapes)))
    totals = [[value for labels, value in found["requests_total"] if labels["agent"] == "tester"] for found in answers]
    assert totals == [[1]] * scrapes


async def test_gateways_on_one_store_are_summed_and_their_budgets_agree(
    simulator: SimulatorServer,
    start_gateway: StartGateway,
    valkey_url: str,
    postgres_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VALKEY_URL", valkey_url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    storage = {
        "dir": str(tmp_path / "state"),
        "store": "valkey",
        "valkey_url": "${VALKEY_URL}",
        "journal_url": "${DATABASE_URL}",
    }
    gateways = [await start_gateway(f"{simulator.url}/v1", **LIMITS, storage=storage) for _ in range(2)]
    for count, gateway in enumerate(gateways, 1):
        for _ in range(count):
            await ask(gateway)
    found = [await scrape(gateway) for gateway in gateways]
    totals = await gateways[0].app.services.totals(0.0)
    spent = next(Decimal(total["cost_usd"]) for total in totals if total["agent"] == "tester")
    counted = [value for each in found for labels, value in each["cost_usd_total"] if labels["agent"] == "tester"]
    assert Decimal(sum(counted)).quantize(Decimal("1e-9")) == spent
    assert [sum(value for _, value in each["requests_total"]) for each in found] == [1, 2]
    posted = [{labels["scope"]: value for labels, value in each["budget_posted_usd"]} for each in found]
    assert posted[0] == posted[1]
    assert posted[0]["agent:tester"] == float(spent)
