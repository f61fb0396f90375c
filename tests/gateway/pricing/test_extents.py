"""What a request beside chat can cost, and what its answer is charged as: never more than was bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CostUnbounded
from gateway.pricing.bounds import bound
from gateway.pricing.extents import billed, image_tokens, unseen
from gateway.pricing.override import compile_override
from gateway.wire.others import IMAGE_EDITS, IMAGES, RERANK, SPEECH, TRANSCRIPTIONS, read_form, read_other
from gateway.wire.requests import ModelRequest
from routing.catalog import Deployment
from routing.money import Price, Usage, cost
from routing.tariff import fee

NOW_S = 1_790_000_000.0
FREE = {"input": "0", "output": "0"}
TOKENS = {"input": "2", "output": "10", "input_audio": "6", "input_image": "8", "output_image": "32"}


def deployment(price: dict[str, str], name: str = "gpt-image-1", **fields: Any) -> Deployment:
    return Deployment(f"p/{name}", "p", name, compile_override(price, "test"), **fields)


def ask(api: str, **fields: Any) -> ModelRequest:
    return read_other(api, json.dumps({"model": "m", **fields}).encode())


def charged(request: ModelRequest, at: Deployment, *told: Any) -> tuple[int, bool]:
    """What an answer comes to, in nano-USD, and whether that is an estimate."""
    assert request.extent is not None
    usage, services, estimated = billed(request.extent, *told, at, NOW_S) if told else unseen(
        request.extent, at, NOW_S, most=True
    )  # fmt: skip
    assert isinstance(at.price, Price)
    return cost(usage, at.price.at(usage.input_tokens, NOW_S)) + fee(at.tariff, services or {}), estimated


IMAGE = {"image": 40, "image:1792x1024:hd": 120}
PAINTER = deployment(FREE, "dall-e-3", tariff=IMAGE)


def test_units_that_the_tariff_lists_are_charged_as_they_are_counted() -> None:
    request = ask(IMAGES, prompt="a", n=3, size="1792x1024", quality="hd")
    assert bound(request, PAINTER, None, NOW_S).money == 360
    assert charged(request, PAINTER, None, {"image": 2}) == (240, False)
    assert charged(request, PAINTER, None, None) == (360, True)
    assert charged(request, PAINTER) == (360, True)


def test_tokens_count_where_they_have_a_price() -> None:
    request, at = ask(IMAGES, prompt="a boat", quality="low"), deployment(TOKENS)
    told = Usage(10, 272, output_image_tokens=272)
    assert charged(request, at, told, None) == (10 * 2_000 + 272 * 32_000, False)
    limits = bound(request, at, None, NOW_S)
    assert limits.output_tokens == 408
    assert limits.money >= 10 * 2_000 + 408 * 32_000
    assert charged(request, at)[0] <= limits.money
    estimate, estimated = charged(request, at, None, None)
    assert estimated
    assert estimate >= 272 * 32_000


def test_characters_are_known_before_any_answer() -> None:
    request, at = ask(SPEECH, input="a" * 50), deployment(FREE, "tts-1", tariff={"character": 15_000})
    assert bound(request, at, None, NOW_S).money == 750_000
    assert charged(request, at, None, None) == charged(request, at) == (750_000, False)


def test_what_is_free_is_no_estimate() -> None:
    assert charged(ask("moderations", input="a"), deployment(FREE, "moderation"), None, None) == (0, False)


def test_a_transcription_by_the_second_or_by_tokens() -> None:
    request = read_form(TRANSCRIPTIONS, {"model": "m"}, 100_000)
    by_second = deployment(FREE, "whisper-1", tariff={"second": 100})
    assert bound(request, by_second, None, NOW_S).money == 20_000
    assert charged(request, by_second, None, {"second": 7}) == (700, False)
    assert charged(request, by_second, None, None) == (2_500, True)
    by_tokens = deployment(TOKENS, "gpt-4o-transcribe", context_tokens=16_000, max_output_tokens=2_000)
    limits = bound(request, by_tokens, None, NOW_S)
    assert limits.money == 16_000 * 6_000 + 2_000 * 32_000  # the dearest of its rates
    assert charged(request, by_tokens)[0] == 16_000 * 6_000 + 2_000 * 10_000


@pytest.mark.parametrize(
    ("request_", "at"),
    [
        (ask(IMAGES, prompt="a"), deployment(TOKENS, "some-painter")),
        (read_form(IMAGE_EDITS, {"model": "m", "prompt": "a"}, 100), deployment(TOKENS)),
        (read_form(TRANSCRIPTIONS, {"model": "m"}, 100), deployment(TOKENS, "ears")),
        (read_form(TRANSCRIPTIONS, {"model": "m"}, 100), deployment(TOKENS, "ears", max_output_tokens=5)),
    ],
)
def test_what_nothing_bounds_is_refused(request_: ModelRequest, at: Deployment) -> None:
    with pytest.raises(CostUnbounded) as caught:
        bound(request_, at, None, NOW_S)
    assert caught.value.param


def test_the_tokens_of_images_are_as_documented() -> None:
    assert image_tokens("gpt-image-1", "1024x1024", "low") == 272
    assert image_tokens("gpt-image-1.5", "", "medium") == 1584
    assert image_tokens("openai/gpt-image-1-mini", "auto", "auto") == 6240
    assert image_tokens("gpt-image-2", "1024x1024", "low") is None
    assert image_tokens("gpt-image-1", "64x64", "low") is None
    assert image_tokens("gpt-image-1", "1024x1024", "xhigh") is None


tariffs = st.dictionaries(st.sampled_from(("image", "image:1024x1024", "image:1024x1024:hd", "search_unit")),
                          st.integers(0, 10**9))  # fmt: skip


@given(
    tariffs,
    st.booleans(),
    st.integers(1, 10),
    st.sampled_from(("", "auto", "1024x1024")),
    st.sampled_from(("", "hd", "low", "auto")),
    st.data(),
)
def test_no_answer_costs_more_than_its_bound(
    tariff: dict[str, int], free: bool, n: int, size: str, quality: str, data: st.DataObject
) -> None:
    fields = {name: value for name, value in (("size", size), ("quality", quality)) if value}
    request = ask(IMAGES, prompt="a boat", n=n, **fields)
    at = deployment(FREE if free else TOKENS, max_output_tokens=6_240, tariff=tariff)
    most = bound(request, at, None, NOW_S)
    made = data.draw(st.integers(0, n))
    tokens = data.draw(st.integers(0, most.output_tokens))
    given_ = data.draw(st.integers(0, most.input_tokens))
    usage = data.draw(st.sampled_from((None, Usage(given_, tokens, output_image_tokens=tokens))))
    counted = None if usage is not None else data.draw(st.sampled_from((None, {"image": made})))
    if usage is None and counted is None and not free and not any(name.startswith("image") for name in tariff):
        return  # an estimate, which is no bound
    assert charged(request, at, usage, counted)[0] <= most.money
    assert charged(request, at)[0] <= most.money


@given(st.lists(st.text(max_size=600), min_size=1, max_size=30), st.text(max_size=50))
def test_reranked_tokens_are_bounded_however_the_query_is_counted(documents: list[str], query: str) -> None:
    request = ask(RERANK, query=query, documents=documents)
    at = deployment(TOKENS, "rerank")
    read = sum(len(document.encode()) + len(query.encode()) for document in documents)
    assert bound(request, at, None, NOW_S).input_tokens >= read
