"""What a client hears when the gates leave no candidate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config.snapshot import Agent
from gateway.deciding.refusals import does_not_fit, nothing_left
from gateway.errors import ContextTooLong, FareboxError, ModelNotAllowed, ModelNotFound, ModelNotPriced, NoModelFits
from gateway.wire.requests import CHAT, read_request
from routing.decision import Considered, Decision
from tests.routing.world import catalog, model

MODELS = catalog(model("short", context_tokens=100), model("longer", context_tokens=200), model("any"))


def left(*excluded: tuple[str, str], reason: str = "no models", **fields: Any) -> FareboxError:
    request = read_request(CHAT, json.dumps({"model": "auto", "messages": [], **fields}).encode())
    considered = tuple(Considered(name, "", gates) for name, gates in excluded)
    return nothing_left(Decision((), "default", reason, considered=considered), request, MODELS)


@pytest.mark.parametrize(
    ("excluded", "error", "status", "reason"),
    [
        ([("short", "tools")], NoModelFits, 400, "tools"),
        ([("short", "tools"), ("any", "vision,json_schema")], NoModelFits, 400, "json_schema,tools,vision"),
        ([("short", "context"), ("any", "tools")], NoModelFits, 400, "context,tools"),
        ([("short", "context"), ("longer", "context")], ContextTooLong, 400, "context"),
        ([("any", "allowed_models")], ModelNotAllowed, 403, "model_not_allowed"),
        ([("any", "residency"), ("short", "allowed_models")], ModelNotAllowed, 403, "model_not_allowed"),
        ([("any", "residency"), ("short", "tools")], NoModelFits, 400, "residency,tools"),
        ([("any", "unpriced")], ModelNotPriced, 403, None),
        ([("gone", "unknown_model")], ModelNotFound, 404, None),
        ([], ModelNotFound, 404, None),
        ([("any", "something new")], NoModelFits, 400, "something new"),
    ],
)
def test_the_error_names_the_gates(
    excluded: list[tuple[str, str]], error: type[FareboxError], status: int, reason: str | None
) -> None:
    found = left(*excluded)
    assert (type(found), found.status, found.metadata.get("reason")) == (error, status, reason)
    assert found.param in ("model", "messages")
    assert "`auto`" in found.message
    if error is not ContextTooLong:
        assert all(f"`{name}` " in found.message for name, _ in excluded)


def test_a_request_that_is_too_long_hears_of_the_longest_window() -> None:
    found = left(("short", "context"), ("longer", "context"), max_tokens=500)
    assert "maximum context length is 200 tokens" in found.message
    assert "and 500 for the answer" in found.message
    assert found.param == "messages"


def test_of_many_models_some_are_named() -> None:
    found = left(*[(f"m{number}", "tools") for number in range(8)])
    assert found.message.count("takes no tools") == 5
    assert "and 3 more" in found.message


def test_a_concrete_model_is_told_what_it_lacks() -> None:
    request = read_request(CHAT, b'{"model": "any", "messages": []}')
    agent = Agent("tester", "team", "org", residency=frozenset(("eu", "iso")))
    found = does_not_fit(model("any"), "vision,tools", request, agent)
    assert (type(found), found.metadata["reason"]) == (NoModelFits, "tools,vision")
    assert "it takes no images and takes no tools" in found.message
    assert "tagged eu, iso" in does_not_fit(model("any"), "residency", request, agent).message
