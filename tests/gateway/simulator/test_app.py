import httpx
import openai
import pytest

from gateway.simulator.models import MODELS
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import ASK, chat, post


@pytest.fixture
async def http(sim: SimulatorServer):
    async with httpx.AsyncClient(base_url=sim.url, trust_env=False) as made:
        yield made


async def test_healthz(http: httpx.AsyncClient) -> None:
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_models(client: openai.AsyncOpenAI) -> None:
    assert {model.id for model in (await client.models.list()).data} == set(MODELS)
    assert (await client.models.retrieve("sim-large")).id == "sim-large"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("nope")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_json", None),
        (b"[1]", 400, "invalid_json", None),
        (b'{"model": "\\ud800"}', 400, "invalid_json", None),
        (b"[" * 100_000, 400, "invalid_json", None),
        (b"{}", 400, "missing_required_parameter", "model"),
        (b'{"model": 3}', 400, "invalid_type", "model"),
        (b'{"model": "nope"}', 404, "model_not_found", None),
        (b'{"model": "sim-embed"}', 400, "model_not_supported", "model"),
        (b'{"model": "sim-small"}', 400, "missing_required_parameter", "messages"),
        (b'{"model": "sim-small", "messages": []}', 400, "empty_array", "messages"),
        (b'{"model": "sim-small", "messages": "hi"}', 400, "invalid_type", "messages"),
        (b'{"model": "sim-small", "messages": ["hi"]}', 400, "invalid_type", "messages[0]"),
        (b'{"model": "sim-small", "messages": [{"role": "x"}]}', 400, None, "messages[0].role"),
        (b'{"model": "sim-small", "messages": [{"role": "user"}]}', 400, None, "messages[0].content"),
        (
            b'{"model": "sim-small", "messages": [{"role": "user", "content": [{"type": "x"}]}]}',
            400,
            None,
            "messages[0].content",
        ),
        (
            b'{"model": "sim-small", "messages": [{"role": "user", "content": "a"}], "n": 0}',
            400,
            "integer_below_min_value",
            "n",
        ),
        (
            b'{"model": "sim-small", "messages": [{"role": "user", "content": "a"}], "stop": 3}',
            400,
            "invalid_type",
            "stop",
        ),
        (
            b'{"model": "sim-small", "messages": [{"role": "user", "content": "a"}], "stream": 1}',
            400,
            "invalid_type",
            "stream",
        ),
        (
            b'{"model": "sim-small", "messages": [{"role": "user", "content": "a"}], "stream_options": {}}',
            400,
            None,
            "stream_options",
        ),
        (b'{"model": "sim-small+fault-nope"}', 400, "unknown_fault", "model"),
    ],
)
async def test_bad_requests(
    http: httpx.AsyncClient, sim: SimulatorServer, body: bytes, status: int, code: str, param: str
) -> None:
    answer = await http.post("/v1/chat/completions", content=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert sim.bill.open == 0
    assert sim.bill.refused == {status: 1}


async def test_context_too_long(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model="sim-small", messages=[{"role": "user", "content": "word " * 130_000}]
        )
    assert caught.value.code == "context_length_exceeded"
    assert "maximum context length is 128000 tokens" in str(caught.value)


async def test_a_bad_key_is_refused_and_partly_echoed(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(), authorization="Bearer sim-bad-key")
    assert answer.status == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "sim-ba***-key" in answer.json()["error"]["message"]


async def test_a_poor_key_has_no_quota(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(), authorization="Bearer sim-poor-key")
    assert answer.status == 429
    assert answer.json()["error"]["type"] == "insufficient_quota"


async def test_unknown_paths_and_methods(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/chat/completions")).status_code == 405
    assert (await http.put("/sim/bill")).status_code == 405
    assert (await http.get("/v2/models")).status_code == 404


async def test_unknown_fields_and_nulls_are_ignored(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-small", messages=ASK, extra_body={"brand_new": {"a": 1}, "tools": None, "n": None, "stop": None}
    )
    assert answer.choices[0].message.content
