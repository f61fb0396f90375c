from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.reports.focus import KINDS, Charged, focus_rows
from gateway.reports.writing import focus_csv
from routing.money import PricePoint, Usage, cost
from tests.gateway.reports.focus_rules import problems

rates = st.integers(0, 10**9)
points = st.builds(
    PricePoint, st.just("config:gpt"), *[rates] * (len(PricePoint._fields) - 2), request_nano_usd=st.integers(0, 10**7)
)
counts = st.integers(0, 10**6)
text = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """As providers count: totals include their parts."""
    cached_audio, cached, audio, written, hour, image, rest = (draw(counts) for _ in range(7))
    out_audio, out_image, out_rest = (draw(counts) for _ in range(3))
    return Usage(
        input_tokens=cached_audio + cached + audio + written + hour + image + rest,
        output_tokens=out_audio + out_image + out_rest,
        cache_read_tokens=cached + cached_audio,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        input_audio_tokens=audio + cached_audio,
        cache_read_audio_tokens=cached_audio,
        input_image_tokens=image,
        output_audio_tokens=out_audio,
        output_image_tokens=out_image,
        reasoning_tokens=draw(st.integers(0, out_rest)),
    )


def row(**changes: Any) -> Charged:
    return Charged(
        day=20_833,
        org="acme",
        team="search",
        agent="researcher",
        model="gpt",
        deployment="openai/gpt",
        provider="openai",
        upstream_model="gpt",
        price_point="config:gpt",
        service_tier="default",
        purpose="useful",
        resolution="settled",
        estimated=False,
        unpriced=False,
        attempts=1,
        usage=Usage(),
        cost=0,
        listed=0,
    )._replace(**changes)


@st.composite
def rolled_up(draw: st.DrawFn, point: PricePoint) -> Charged:
    """Some calls at one price, added up as the roll-up does."""
    calls = draw(st.lists(usages(), min_size=1, max_size=4))
    total = Usage(*map(sum, zip(*calls, strict=True)))
    fee = draw(st.just(0) | st.integers(0, 10**10))
    paid = fee + sum(cost(each, point) for each in calls)
    named = {name: draw(text) for name in ("org", "team", "agent", "model", "upstream_model", "service_tier")}
    provider = draw(st.sampled_from(("openai", "anthropic")))
    purpose = draw(st.sampled_from(("useful", "retry")))
    made = row(**named, provider=provider, purpose=purpose, usage=total, attempts=len(calls), cost=paid, listed=paid)
    made = made._replace(fee=fee)
    odd = draw(st.sampled_from(("", "", "correction", "orphaned", "repriced", "billed", "unknown")))
    if odd in {"correction", "orphaned"}:
        made = made._replace(resolution=odd, cost=draw(st.integers(-(10**9), 10**9)) if odd == "correction" else paid)
        made = made._replace(listed=made.cost)
    elif odd == "repriced":  # the price list has changed since
        made = made._replace(cost=paid + draw(st.integers(1, 10**12)))._replace(listed=paid)
    elif odd == "billed":
        made = made._replace(cost=draw(st.integers(0, 10**12)))
    elif odd == "unknown":
        made = made._replace(price_point="genai-prices:gone")
    return made._replace(day=draw(st.integers(0, 100_000)))


def read(charged: list[Charged], *rates: PricePoint) -> list[dict[str, str]]:
    exported = "".join(focus_csv(focus_rows(charged, {rates[0].id: rates})))
    return list(csv.DictReader(io.StringIO(exported)))


@given(st.data())
def test_the_export_keeps_to_the_specification_and_to_the_journal(data: st.DataObject) -> None:
    point = data.draw(points)
    charged = data.draw(st.lists(rolled_up(point), max_size=5))
    rows = read(charged, point)
    assert list(problems(rows)) == []
    assert sum(Decimal(each["BilledCost"]) for each in rows) == Decimal(sum(each.cost for each in charged)) / 10**9
    assert sum(Decimal(each["ListCost"]) for each in rows) == Decimal(sum(each.listed for each in charged)) / 10**9


@given(points, st.lists(usages(), min_size=1, max_size=4))
def test_what_the_price_list_explains_is_told_by_kind_of_token(point: PricePoint, calls: list[Usage]) -> None:
    total = Usage(*map(sum, zip(*calls, strict=True)))
    paid = sum(cost(each, point) for each in calls)
    rows = read([row(usage=total, attempts=len(calls), cost=paid, listed=paid)], point)
    assert not any(each["SkuMeter"] == "Model usage" for each in rows)
    tokens = sum(int(each["ConsumedQuantity"]) for each in rows if each["ConsumedUnit"] == "Tokens")
    assert tokens == total.input_tokens + total.output_tokens
    rest = [Decimal(each["BilledCost"]) for each in rows if each["ChargeCategory"] == "Adjustment"]
    assert len(rest) <= 1
    assert all(0 < each < Decimal(len(calls)) / 10**9 for each in rest)


def test_what_was_charged_before_a_price_changed_is_told_by_the_price_of_then() -> None:
    now, then = PricePoint("config:gpt", 250_000, *[0] * 9), PricePoint("config:gpt", 300_000, *[0] * 9)
    paid = [cost(Usage(input_tokens=4_000), point) for point in (now, then)]
    charged = [row(usage=Usage(input_tokens=4_000), cost=each, listed=each) for each in paid]
    rows = read(charged, now, then)
    assert list(problems(rows)) == []
    assert [(each["SkuMeter"], each["ListUnitPrice"], each["BilledCost"]) for each in rows] == [
        ("Input tokens", "0.00000025", "0.001"),
        ("Input tokens", "0.0000003", "0.0012"),
    ]
    assert rows[0]["SkuId"] == rows[1]["SkuId"]
    assert [each["SkuPriceId"].partition("@")[2] for each in rows] == ["250000", "300000"]
    assert [each["SkuMeter"] for each in read(charged, now)] == ["Input tokens", "Model usage"]


def test_what_was_billed_by_count_is_a_row_of_its_own() -> None:
    point = PricePoint("config:gpt", 250_000, *[0] * 9)
    paid = cost(Usage(input_tokens=4), point) + 20_000_000
    tokens, services = read([row(usage=Usage(input_tokens=4), cost=paid, listed=paid, fee=20_000_000)], point)
    assert (tokens["SkuMeter"], tokens["BilledCost"]) == ("Input tokens", "0.000001")
    assert (services["SkuMeter"], services["BilledCost"], services["PricingQuantity"]) == ("Services", "0.02", "1")


def test_a_row_as_it_is() -> None:
    point = PricePoint("config:gpt", 250_000, 2_000_000, *[25_000] * 8)
    usage = Usage(input_tokens=1_000, cache_read_tokens=400, output_tokens=10)
    paid = cost(usage, point)
    first, second, third = read([row(usage=usage, cost=paid, listed=paid, labels=(("run", "a/1"),))], point)
    assert list(first) == list(KINDS)
    assert (first["SkuMeter"], first["ListUnitPrice"], first["PricingQuantity"], first["BilledCost"]) == (
        "Input tokens",
        "0.00000025",
        "600",
        "0.00015",
    )
    assert (second["SkuMeter"], second["BilledCost"]) == ("Output tokens", "0.00002")
    assert (third["SkuMeter"], third["BilledCost"]) == ("Cache read tokens", "0.00001")
    assert '"farebox/run": "a/1"' in first["Tags"]
    assert (first["BillingPeriodStart"], first["ChargePeriodEnd"]) == ("2027-01-01T00:00:00Z", "2027-01-16T00:00:00Z")


def test_rules_can_fail() -> None:
    point = PricePoint("config:gpt", 250_000, *[0] * 9)
    usage = Usage(input_tokens=4)
    (good,) = read([row(usage=usage, cost=1_000, listed=1_000)], point)
    assert list(problems([good])) == []
    broken = [
        {"BilledCost": "1e-6"},
        {"ListUnitPrice": "0.3"},
        {"SkuId": ""},
        {"ServiceCategory": "AI"},
        {"ChargePeriodEnd": "2027-01-16"},
        {"MyColumn": "1"},
        {"ChargeCategory": "Tax"},
    ]
    for change in broken:
        assert list(problems([good | change])), change
