import asyncio
import gzip
import json
from pathlib import Path

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.simulator.faults import (
    KINDS,
    Faults,
    Schedule,
    Scheduled,
    UnknownFault,
    make,
    parse,
    parse_header,
    split_model,
)
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import ASK, WITH_USAGE, chat, connected, post, read_tokens


@settings(deadline=None)
@given(
    st.sampled_from([*KINDS, "429", "503"]),
    st.dictionaries(st.sampled_from(["after", "ms", "s", "x", "retry_after", "tokens"]), st.integers(0, 10**6)),
)
def test_a_fault_reads_back_as_written(name: str, params: dict[str, int]) -> None:
    text = ";".join([name, *(f"{key}={value}" for key, value in params.items())])
    try:
        wanted = make(name, params)
    except UnknownFault:
        with pytest.raises(UnknownFault):
            parse(text)
        return
    assert parse(text) == wanted
    assert split_model(f"sim-small+fault-{text}+fault-500") == ("sim-small", Faults([wanted, parse("500")]))
    assert parse_header(f"{text}, 500") == Faults([wanted, parse("500")])


@pytest.mark.parametrize("text", ["nope", "200", "99", "cut;before=3", "cut;after", "cut;after=soon", ""])
def test_unknown_faults_are_refused(text: str) -> None:
    with pytest.raises(UnknownFault):
        parse(text)


def test_the_schedule_honours_probability_models_count_and_time() -> None:
    schedule = Schedule(seed=1)
    schedule.entries = [Scheduled(parse("500"), probability=0.25, models=("sim-small",))]
    struck = sum(bool(schedule.strike("sim-small", 0.0)) for _ in range(1000))
    assert 200 < struck < 300
    assert not any(schedule.strike("sim-large", 0.0) for _ in range(100))
    schedule.entries = [Scheduled(parse("500"), remaining=2), Scheduled(parse("503"), until_s=10.0)]
    assert [schedule.strike("sim-large", now).names for now in (0.0, 1.0, 2.0, 10.0)] == [
        "500,503",
        "500,503",
        "503",
        "",
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503, 529])
async def test_statuses(client: openai.AsyncOpenAI, sim: SimulatorServer, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model=f"sim-small+fault-{status}", messages=ASK)
    assert caught.value.status_code == status
    assert caught.value.response.headers.get("retry-after") == ("1" if status == 429 else None)
    assert not sim.bill.records
    assert sim.bill.refused == {status: 1}


async def test_a_status_with_all_its_parameters(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(), x_sim_fault="429;retry_after=7.5;code=tokens;message=Slow down")
    assert answer.headers["retry-after"] == "7.5"
    assert (answer.json()["error"]["code"], answer.json()["error"]["message"]) == ("tokens", "Slow down")
    answer = await post(sim, chat(), x_sim_fault="500;body=oops")
    assert answer.body == b"oops"


async def test_reset(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(), x_sim_fault="reset")
    assert (answer.reset, answer.status) == (True, 0)
    assert not sim.bill.records


async def test_html(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(), x_sim_fault="html")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html")
    assert answer.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stall_sends_nothing_and_bills_the_prompt(sim: SimulatorServer, stream: bool) -> None:
    async with connected(sim, chat(stream=stream), x_sim_fault="stall") as (_, writer):
        await writer.drain()
        await until_open(sim)
    await sim.bill.wait(1)
    [record] = sim.bill.records
    assert (record.outcome, record.completion_tokens, record.usage_delivered) == ("cancelled", 0, False)
    assert record.prompt_tokens > 0


async def test_a_short_stall_ends(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(**WITH_USAGE), x_sim_fault="stall;s=0.01, stall-mid;after=2;s=0.01")
    assert answer.data()[-1] == b"[DONE]"
    assert sim.bill.records[0].outcome == "ok"


async def test_a_cancelled_stream_bills_what_was_generated(sim: SimulatorServer) -> None:
    async with connected(sim, chat("sim-small+fault-stall-mid;after=5", **WITH_USAGE)) as (reader, _):
        await read_tokens(reader, 4)
    await sim.bill.wait(1)
    [record] = sim.bill.records
    assert (record.outcome, record.usage_delivered) == ("cancelled", False)
    assert 5 <= record.completion_tokens <= 8


async def test_a_cancelled_plain_answer_bills_what_was_generated(sim: SimulatorServer) -> None:
    whole = (await post(sim, chat())).json()["usage"]["completion_tokens"]
    async with connected(sim, chat(), x_sim_fault="stall-mid;after=10") as (_, writer):
        await writer.drain()
        await until_open(sim)
    await sim.bill.wait(2)
    record = sim.bill.records[1]
    assert record.outcome == "cancelled"
    assert 10 <= record.completion_tokens <= 13
    assert record.completion_tokens < whole


async def until_open(sim: SimulatorServer) -> None:
    while not sim.bill.open:
        await asyncio.sleep(0)


async def test_linger_bills_more(sim: SimulatorServer) -> None:
    for faults in ("stall-mid;after=5", "stall-mid;after=5, linger;tokens=20"):
        async with connected(sim, chat(stream=True), x_sim_fault=faults) as (reader, _):
            await read_tokens(reader, 4)
        await sim.bill.wait(sim.bill.posted + sim.bill.open)
    short, long = (record.completion_tokens for record in sim.bill.records)
    assert 20 <= long - short <= 23


async def test_linger_goes_on_at_the_models_pace_for_a_time(sim: SimulatorServer) -> None:
    faults = "slow;first_ms=0;token_ms=1, linger;ms=60000"
    async with connected(sim, chat(stream=True), x_sim_fault=faults) as (reader, _):
        await read_tokens(reader, 1)
    await sim.bill.wait(1)
    whole = (await post(sim, chat())).json()["usage"]["completion_tokens"]
    assert sim.bill.records[0].outcome == "cancelled"
    assert sim.bill.records[0].completion_tokens == whole  # a minute is more than the rest of the answer needs


@pytest.mark.parametrize("tokens", [1, 7, 50, 2000])
async def test_an_answer_of_a_given_length(sim: SimulatorServer, tokens: int) -> None:
    usage = (await post(sim, chat(f"sim-small+fault-length;tokens={tokens}"))).json()["usage"]
    assert usage["completion_tokens"] == tokens
    cut = (await post(sim, chat(f"sim-small+fault-length;tokens={tokens}", max_tokens=5))).json()
    assert cut["usage"]["completion_tokens"] == min(tokens, 5)
    assert cut["choices"][0]["finish_reason"] == ("length" if tokens > 5 else "stop")


async def test_one_token_an_event(sim: SimulatorServer) -> None:
    answer = await post(sim, chat("sim-small+fault-length;tokens=300+fault-single", stream=True))
    assert answer.body.count(b'"delta":{"content":"') - answer.body.count(b'"delta":{"content":""') == 300


async def test_cut_stream(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    answer = await post(sim, chat("sim-small+fault-cut;after=6", **WITH_USAGE))
    assert answer.reset
    assert not answer.complete
    assert b"[DONE]" not in answer.body
    [record] = sim.bill.records
    assert (record.outcome, record.usage_delivered) == ("cut", False)
    assert 6 <= record.completion_tokens <= 9
    with pytest.raises(openai.APIConnectionError):
        async for _ in await client.chat.completions.create(model="sim-small+fault-cut", messages=ASK, stream=True):
            pass


async def test_cut_plain(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(), x_sim_fault="cut")
    assert answer.reset
    assert 0 < len(answer.body) < int(answer.headers["content-length"])
    [record] = sim.bill.records
    assert (record.outcome, record.usage_delivered) == ("cut", False)
    assert record.completion_tokens > 0


@pytest.mark.parametrize("fault", ["no-done", "unterminated", "error-event"])
async def test_streams_that_end_early(sim: SimulatorServer, fault: str) -> None:
    answer = await post(sim, chat(**WITH_USAGE), x_sim_fault=fault)
    assert answer.complete
    assert not answer.reset
    assert b"[DONE]" not in answer.body
    assert answer.body.endswith(b"\n\n") == (fault != "unterminated")
    assert ("error" in answer.chunks()[-1]) == (fault == "error-event")
    assert not answer.usages()
    assert sim.bill.records[0].outcome == "cut"
    assert 3 <= sim.bill.records[0].completion_tokens <= 6


async def test_a_break_past_the_end_strikes_at_the_end(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(max_tokens=5, **WITH_USAGE), x_sim_fault="cut;after=100")
    assert answer.reset
    assert sim.bill.records[0].completion_tokens == 5


async def test_bad_json(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(**WITH_USAGE), x_sim_fault="bad-json")
    broken = [data for data in answer.data() if data != b"[DONE]" and not _is_json(data)]
    assert len(broken) == 1
    assert answer.data()[-1] == b"[DONE]"
    plain = await post(sim, chat(), x_sim_fault="bad-json")
    assert plain.complete
    assert not _is_json(plain.body)
    assert [record.usage_delivered for record in sim.bill.records] == [True, False]


async def test_garbage(sim: SimulatorServer) -> None:
    answer = await post(sim, chat(**WITH_USAGE), x_sim_fault="garbage")
    assert b"\x00\xff\xfe" in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert (await post(sim, chat(), x_sim_fault="garbage")).body.startswith(b"\x00\xff\xfe")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


async def test_missing_usage(sim: SimulatorServer) -> None:
    assert not (await post(sim, chat(**WITH_USAGE), x_sim_fault="missing-usage")).usages()
    assert "usage" not in (await post(sim, chat(), x_sim_fault="missing-usage")).json()
    embedding = {"model": "sim-embed+fault-missing-usage", "input": "a"}
    assert "usage" not in (await post(sim, embedding, path="/v1/embeddings")).json()
    assert [record.usage_delivered for record in sim.bill.records] == [False] * 3
    assert all(record.cost_nano_usd > 0 for record in sim.bill.records)


async def test_late_usage(sim: SimulatorServer) -> None:
    late = await post(sim, chat(**WITH_USAGE), x_sim_fault="late-usage;ms=5")
    assert len(late.usages()) == 1
    assert late.data()[-1] == b"[DONE]"
    after = await post(sim, chat(**WITH_USAGE), x_sim_fault="usage-after-done")
    assert after.data()[-2] == b"[DONE]"
    assert json.loads(after.data()[-1])["usage"] == late.usages()[0]
    last = await post(sim, chat(**WITH_USAGE), x_sim_fault="usage-on-last")
    assert [chunk["usage"] for chunk in last.chunks() if chunk["choices"][0]["finish_reason"]] == late.usages()
    assert [record.usage_delivered for record in sim.bill.records] == [True] * 3


async def test_a_client_that_leaves_before_a_late_usage_did_not_get_it(sim: SimulatorServer) -> None:
    whole = await post(sim, chat(**WITH_USAGE))
    async with connected(sim, chat(**WITH_USAGE), x_sim_fault="late-usage;ms=3600000") as (reader, _):
        await reader.readuntil(b'"finish_reason":"stop"')
    await sim.bill.wait(2)
    record = sim.bill.records[1]
    assert (record.outcome, record.usage_delivered) == ("cancelled", False)
    assert record.completion_tokens == whole.usages()[0]["completion_tokens"]


async def test_gzip(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    for fields in ({}, WITH_USAGE):
        answer = await post(sim, chat(**fields), x_sim_fault="gzip")
        assert answer.headers["content-encoding"] == "gzip"
        assert b"chat.completion" in gzip.decompress(answer.body)
    stream = await client.chat.completions.create(model="sim-small+fault-gzip", messages=ASK, stream=True)
    assert len([chunk async for chunk in stream]) > 10


async def test_multiline_events_and_comments(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    plain = await post(sim, chat(**WITH_USAGE))
    odd = await post(sim, chat(**WITH_USAGE), x_sim_fault="multiline, comments")
    assert odd.body.count(b": ping\n\n") == len(plain.chunks())
    assert odd.body.count(b"\ndata: ") > 5 * len(plain.chunks())
    assert [c["choices"] for c in odd.chunks()] == [c["choices"] for c in plain.chunks()]
    stream = await client.chat.completions.create(
        model="sim-small+fault-multiline+fault-comments", messages=ASK, stream=True
    )
    assert len([chunk async for chunk in stream]) > 10


def test_every_fault_is_documented() -> None:
    page = Path(__file__).parents[3].joinpath("docs/how-to/simulate.md").read_text(encoding="utf-8")
    for name, kind in KINDS.items():
        assert f"`{name}`" in page, name
        for param in kind.params:
            assert f"`{param}`" in page, (name, param)


def test_a_planned_fault_strikes_in_its_time_only() -> None:
    schedule = Schedule(1)
    schedule.entries.append(Scheduled(parse("500"), from_s=10.0, until_s=20.0))
    assert [bool(schedule.strike("sim-small", now)) for now in (9.9, 10.0, 19.9, 20.0)] == [False, True, True, False]
