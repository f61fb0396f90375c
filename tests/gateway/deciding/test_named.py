"""Gates of models that no policy routes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.snapshot import Agent
from gateway.deciding.named import KEPT, Named
from gateway.errors import ContextTooLong, ModelNotAllowed, NoModelFits
from gateway.wire.requests import CHAT, ModelRequest, read_request
from routing.catalog import Model
from tests.routing.world import deployment, model

ANYBODY = Agent("tester", "team", "org")
EUROPEAN = Agent("tester", "team", "org", residency=frozenset(("eu",)))
TOOL = {"type": "function", "function": {"name": "look_up"}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


def request(**fields: Any) -> ModelRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read_request(CHAT, json.dumps(body).encode())


def fitting(found: Model, agent: Agent = ANYBODY, **fields: Any) -> list[str]:
    return [each.id for each in Named().fitting(found, request(**fields), agent).deployments]


NEEDS = [
    ("tools", {"tools": [TOOL]}, "takes no tools"),
    ("parallel_tools", {"tools": [TOOL], "parallel_tool_calls": True}, "calls one tool at a time"),
    ("vision", {"messages": IMAGE}, "takes no images"),
    ("json_schema", {"response_format": SCHEMA}, "keeps to no JSON schema"),
]


@pytest.mark.parametrize(("ability", "fields", "words"), NEEDS)
def test_what_it_cannot_do_is_refused_by_name(ability: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(NoModelFits) as caught:
        fitting(model("m", **{ability: False}), **fields)
    assert (caught.value.param, caught.value.metadata["reason"]) == ("model", ability)
    assert f"The model `m` cannot take this request: it {words}" in caught.value.message


@pytest.mark.parametrize(("ability", "fields", "words"), NEEDS)
def test_what_is_not_known_is_called(ability: str, fields: dict[str, Any], words: str) -> None:
    assert fitting(model("m"), **fields) == ["p/m"]
    assert fitting(model("m", **{ability: False})) == ["p/m"]  # nobody asks for it
    group = Model("m", (deployment("a", **{ability: False}), deployment("b"), deployment("c", **{ability: True})))
    assert fitting(group, **fields) == ["p/b", "p/c"]
    assert fitting(group) == ["p/a", "p/b", "p/c"]


def test_a_model_that_writes_json_needs_no_schema() -> None:
    assert fitting(model("m", json_schema=False), response_format={"type": "json_object"}) == ["p/m"]


def test_a_window_that_is_surely_too_short() -> None:
    long = [{"role": "user", "content": "tides " * 1_000}]  # 2,000 tokens or so
    with pytest.raises(ContextTooLong, match="maximum context length is 100 tokens, and the request has about 2"):
        fitting(model("m", context_tokens=100), messages=long)
    assert fitting(model("m", context_tokens=1_500), messages=long) == ["p/m"]  # who knows
    group = Model("m", (deployment("a", context_tokens=1_500), deployment("b", context_tokens=9_000)))
    assert fitting(group, messages=long) == ["p/b"]
    assert fitting(group, max_tokens=5_000) == ["p/b"]


def test_residency() -> None:
    group = Model("m", (deployment("a"), deployment("b", tags=frozenset(("eu", "iso")))), weights=(1, 2))
    assert fitting(group, EUROPEAN) == ["p/b"]
    assert Named().fitting(group, request(), EUROPEAN).weights == (2,)
    with pytest.raises(ModelNotAllowed, match="may only go to deployments tagged eu; the model `m` has none"):
        fitting(model("m"), EUROPEAN)


def test_two_gates_are_both_named() -> None:
    group = Model("m", (deployment("a", tools=False), deployment("b", tags=frozenset(("eu",)), vision=False)))
    with pytest.raises(NoModelFits) as caught:
        fitting(group, EUROPEAN, tools=[TOOL], messages=IMAGE)
    assert caught.value.metadata["reason"] == "residency,vision"


def test_a_model_that_is_another_now_has_another_gate() -> None:
    gates = Named()
    able = model("m", tools=True, vision=False)
    assert gates.fitting(able, request(tools=[TOOL]), ANYBODY) is able
    with pytest.raises(NoModelFits):
        gates.fitting(model("m", tools=False), request(tools=[TOOL]), ANYBODY)
    for number in range(KEPT):  # as wildcards make them
        gates.fitting(model(f"m{number}", tools=True, vision=False), request(tools=[TOOL]), ANYBODY)
    assert gates.fitting(able, request(tools=[TOOL]), ANYBODY) is able


def test_a_model_without_a_price_is_told_by_its_caller() -> None:
    unpriced = model("m", tools=False, price=None)
    assert Named().fitting(unpriced, request(tools=[TOOL]), ANYBODY) is unpriced
