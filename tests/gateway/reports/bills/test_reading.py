"""Exports in the shapes that the providers give: their APIs' answers, and their pages' CSV files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.reports.bills.bill import Billed, BillError, add_up, canonical
from gateway.reports.bills.reading import READERS, read
from gateway.reports.periods import day_of

DAY = day_of("2026-11-01")
MIDNIGHT_S = DAY * 86_400


def page(*results: dict[str, Any], **bucket: Any) -> dict[str, Any]:
    return {"object": "page", "data": [{"object": "bucket", **bucket, "results": list(results)}], "has_more": False}


OPENAI_DAY = {"start_time": MIDNIGHT_S, "end_time": MIDNIGHT_S + 86_400}
OPENAI_COSTS = page(
    {"object": "costs.result", "amount": {"value": 0.06, "currency": "usd"}, "line_item": "gpt-5-mini, input"},
    {"amount": {"value": 1.5, "currency": "usd"}, "line_item": "gpt-5-mini, output", "project_id": None},
    {"amount": {"value": 0.000000001, "currency": "usd"}, "line_item": None},
    **OPENAI_DAY,
)  # fmt: skip
OPENAI_USAGE = page(
    {
        "input_tokens": 1_000, "output_tokens": 50, "input_cached_tokens": 800, "num_model_requests": 5,
        "model": "gpt-5-mini-2025-08-07", "batch": False, "input_audio_tokens": 0,
    },
    {"input_tokens": 10, "output_tokens": 5, "num_model_requests": 1, "model": "gpt-5-mini-2025-08-07", "batch": True},
    **OPENAI_DAY,
)  # fmt: skip
OPENAI_CSV = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,user_id
1793491200,1793577600,2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,,,,,,
1793491200,1793577600,2026-11-01T00:00:00,2026-11-02T00:00:00,0.003835980000000000000000000000,usd,,,"gpt-5-nano, input_tokens",u
1793491200,1793577600,2026-11-01T00:00:00,2026-11-02T00:00:00,0.5,usd,1000,tokens,"gpt-5-nano, output",
"""  # noqa: E501
ANTHROPIC_USAGE = page(
    {
        "uncached_input_tokens": 100,
        "cache_creation": {"ephemeral_1h_input_tokens": 5, "ephemeral_5m_input_tokens": 7},
        "cache_read_input_tokens": 1_000, "output_tokens": 9, "model": "claude-haiku-4-5-20251001",
        "service_tier": "standard", "server_tool_use": {"web_search_requests": 2},
    },
    starting_at="2026-11-01T00:00:00Z", ending_at="2026-11-02T00:00:00Z",
)  # fmt: skip
ANTHROPIC_COSTS = page(
    {"amount": "123.45", "currency": "USD", "model": "claude-haiku-4-5-20251001", "token_type": "output_tokens"},
    {"amount": "0.005", "currency": "USD", "model": "claude-haiku-4-5-20251001", "service_tier": "batch"},
    starting_at="2026-11-01T00:00:00Z", ending_at="2026-11-02T00:00:00Z",
)  # fmt: skip
ANTHROPIC_TOOLS = page(
    {
        "amount": "50", "currency": "USD", "cost_type": "web_search", "description": "Web Search Usage", "model": None,
        "token_type": None, "context_window": None, "service_tier": None, "workspace_id": None,
    },
    {
        "amount": "12.5", "currency": "USD", "cost_type": "tokens", "model": "claude-haiku-4-5-20251001",
        "description": "Claude Haiku 4.5 Usage - Input Tokens", "token_type": "uncached_input_tokens",
        "context_window": "0-200k", "service_tier": "standard", "inference_geo": "not_available",
    },
    starting_at="2026-11-01T00:00:00Z", ending_at="2026-11-02T00:00:00Z",
)  # fmt: skip
OPENAI_COST_CSV = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id,organization_name
1793491200,1793577600,2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,0.8958740000000000,usd,,,org-a,Personal
1793577600,1793664000,2026-11-02T00:00:00+00:00,2026-11-03T00:00:00+00:00,,,,,,
"""
ANTHROPIC_USAGE_CSV = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,\
usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,\
web_search_count,inference_geo,speed
2026-11-01,claude-haiku-4-5-20251001,key,"Default, or so",standard,≤ 200k,100,7,5,1000,9,10,not_available,
"""
ANTHROPIC_COST_CSV = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type
2026-11-01,Claude Haiku 4.5,Default,key,message,≤ 200k,input_no_cache,0.05,0.05,token
2026-11-01,Claude Haiku 4.5,Default,key,message,≤ 200k,output,0.02,0.02,token
"""
HAIKU, MINI = "claude-haiku-4-5", "gpt-5-mini"


def cost(model: str, nano_usd: int, *, batch: bool = False) -> Billed:
    return Billed(model, nano_usd, None, None, None, None, batch=batch)


HAIKU_USED = Billed("claude-haiku-4-5-20251001", None, 1_112, 9, 1_000, None, batch=False)


@pytest.mark.parametrize(
    ("provider", "written", "model", "billed"),
    [
        ("openai", json.dumps(OPENAI_COSTS), MINI, cost(MINI, 1_560_000_000)),
        ("openai", json.dumps(OPENAI_COSTS), "", cost("", 1)),
        (
            "openai",
            json.dumps(OPENAI_USAGE),
            "gpt-5-mini",
            Billed("gpt-5-mini-2025-08-07", None, 1_010, 55, 800, 6, batch=True),
        ),
        ("openai", OPENAI_CSV, "gpt-5-nano", cost("gpt-5-nano", 503_835_980)),
        ("openai", OPENAI_COST_CSV, "", cost("", 895_874_000)),
        ("anthropic", json.dumps(ANTHROPIC_TOOLS), "web-search-usage", cost("Web Search Usage", 500_000_000)),
        ("anthropic", json.dumps(ANTHROPIC_TOOLS), HAIKU, cost("claude-haiku-4-5-20251001", 125_000_000)),
        ("anthropic", json.dumps(ANTHROPIC_USAGE), "claude-haiku-4-5", HAIKU_USED),
        ("anthropic", ANTHROPIC_USAGE_CSV, "claude-haiku-4-5", HAIKU_USED),
        (
            "anthropic",
            json.dumps([ANTHROPIC_COSTS, ANTHROPIC_COSTS], indent=1),
            "claude-haiku-4-5",
            cost("claude-haiku-4-5-20251001", 2_469_100_000, batch=True),
        ),
        ("anthropic", ANTHROPIC_COST_CSV, HAIKU, cost("Claude Haiku 4.5", 70_000_000)),
    ],
)  # fmt: skip
def test_exports_as_they_come(tmp_path: Path, provider: str, written: str, model: str, billed: Billed) -> None:
    file = tmp_path / "export"
    file.write_text(written, encoding="utf-8-sig")
    assert add_up(read(provider, file))[DAY, model] == billed


def test_pages_may_follow_each_other(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(OPENAI_COSTS) + "\n" + json.dumps(OPENAI_USAGE))
    billed = add_up(read("openai", file))[DAY, "gpt-5-mini"]
    assert (billed.cost, billed.input_tokens) == (1_560_000_000, 1_010)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            OPENAI_CSV.replace(",0.5,usd", ",half,usd"),
            "export:4: `amount_value` should be an amount of money, not `half`",
        ),
        (OPENAI_CSV.replace(",0.5,usd", ",0.5,eur"), "export:4: the amount is in `eur`, not in USD"),
        (
            OPENAI_CSV.replace("1793491200,1793577600,2026-11-01T00:00:00,", "soon,,,"),
            "export:3: `start_time` should be a",
        ),
        (OPENAI_CSV + "1,2\n", "export:5: has 2 values for 10 columns"),
        ("hello", "export:1: should name the columns"),
        ("a,b\n1,2\n", "export: has no usage and no costs of openai"),
        ('{"data": [\n1]}', r"export:1: data\[1\]: should be an object with a list `results`"),
        ('{"data": [\n', "export:2: is no JSON"),
        ('{"rows": []}', "export:1: should be what the provider's API answers"),
        ("", "export:1: should name the columns"),
        (
            json.dumps(page({"input_tokens": -5, "model": "m"}, **OPENAI_DAY)),
            r"export:1: data\[1\].results\[1\]: `input_tokens` should be a count, not `-5`",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, written: str, message: str) -> None:
    file = tmp_path / "export"
    file.write_text(written)
    with pytest.raises(BillError, match=message):
        read("openai", file)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\n01ade', max_size=60).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_else_is_refused_and_nothing_worse(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "export"
    file.write_bytes(content)
    for provider in READERS:
        with pytest.raises(BillError):
            read(provider, file)


def test_names_without_their_dates() -> None:
    assert {canonical(name) for name in ("Claude Haiku 4.5", "claude-haiku-4-5", "claude-haiku-4-5-20251001")} == {
        "claude-haiku-4-5"
    }
    assert canonical("gpt-4.1-mini-2025-04-14") == canonical("gpt-4.1-mini") != canonical("gpt-4.1")
