import asyncio
import contextlib

import httpx
import pytest

from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import chat, post


@pytest.fixture
async def http(sim: SimulatorServer):
    async with httpx.AsyncClient(base_url=sim.url, trust_env=False) as made:
        yield made


async def test_scheduled_faults(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    posted = await http.post("/sim/faults", json={"fault": "503;retry_after=9", "models": ["sim-small"], "count": 2})
    assert posted.json()[0]["count"] == 2
    assert [(await post(sim, chat("sim-small+fault-slow"))).status for _ in range(3)] == [503, 503, 200]
    await http.post("/sim/faults", json={"fault": "400", "params": {"body": "a;b, c"}, "for_s": 60})
    assert (await post(sim, chat("sim-large"))).body == b"a;b, c"
    assert (await http.get("/sim/faults")).json()[-1]["for_s"] > 50
    assert (await http.delete("/sim/faults")).json() == []
    assert (await post(sim, chat("sim-large"))).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "nope"},
        {"fault": 5},
        {"fault": "500", "count": 0},
        {"fault": "500", "probability": "x"},
        {"fault": "cut", "params": {"x": 1}},
    ],
)
async def test_bad_faults_are_refused(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    assert (await http.post("/sim/faults", json=body)).status_code == 400
    assert (await http.get("/sim/faults")).json() == []


async def test_refused(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    await http.post("/sim/faults", json={"fault": "refuse", "for_s": 3600})
    with pytest.raises(ConnectionRefusedError):
        await post(sim, chat())


async def test_the_port_opens_again_by_itself(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    await http.post("/sim/faults", json={"fault": "refuse", "for_s": 0.01})
    while True:
        try:
            answer = await post(sim, chat())
        except ConnectionRefusedError:
            await asyncio.sleep(0)
        else:
            break
    assert answer.status == 200


async def test_connections_reset_as_soon_as_accepted(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    await http.post("/sim/faults", json={"fault": "reset-connect", "count": 2})
    assert [(await post(sim, chat())).reset for _ in range(3)] == [True, True, False]


async def test_the_bill_over_http(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    waiting = asyncio.create_task(http.get("/sim/bill", params={"min_records": 2, "timeout_s": 30}))
    usages = [(await post(sim, chat(), x_request_id=f"r-{n}")).json()["usage"] for n in range(2)]
    bill = (await waiting).json()
    assert [record["caller_id"] for record in bill["records"]] == ["r-0", "r-1"]
    assert [record["completion_tokens"] for record in bill["records"]] == [
        usage["completion_tokens"] for usage in usages
    ]
    assert (
        bill["totals"]["sim-small"]["cost_nano_usd"]
        == bill["total_nano_usd"]
        == sum(r["cost_nano_usd"] for r in bill["records"])
    )
    assert (await http.delete("/sim/bill")).json()["records"] == []
    assert (await http.get("/sim/bill", params={"min_records": 1, "timeout_s": 0})).json()["posted"] == 0
    assert (await http.get("/sim/bill", params={"min_records": "x"})).status_code == 400


async def test_a_fault_can_be_planned(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    (planned,) = (await http.post("/sim/faults", json={"fault": "503", "in_s": 3600, "for_s": 60})).json()
    assert 3500 < planned["in_s"] <= 3600
    assert planned["for_s"] == 60
    assert (await post(sim, chat())).status == 200


async def test_connections_can_be_refused_later(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    await http.post("/sim/faults", json={"fault": "refuse", "in_s": 0.01, "for_s": 3600})

    async def go_on() -> None:
        while True:
            with contextlib.suppress(ConnectionResetError):  # it waited to be accepted just then
                await post(sim, chat())

    with pytest.raises(ConnectionRefusedError):
        await go_on()


async def test_what_strikes_goes_before_what_was_asked_for(http: httpx.AsyncClient, sim: SimulatorServer) -> None:
    await http.post("/sim/faults", json={"fault": "length;tokens=7"})
    answer = await post(sim, chat("sim-small+fault-length;tokens=3"))
    assert answer.json()["usage"]["completion_tokens"] == 7
