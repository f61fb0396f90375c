"""The judge refuses what is not so: each column turns red when its own fact is taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.cases import COLUMNS, NATIVE, Variant
from tests.conformance.judge import EXPLAINED, HOLDER, NO, RUN, SESSION, VALUE_NANO_USD, YES, Books, Scene, judge

VARIANT = Variant("chat", "chat", "openai")
Scenes = dict[str, Scene]


def said(**changes: Any) -> dict[str, Any]:
    return {
        "answer": "Sunny.", "input_tokens": 10, "output_tokens": 5, "chunks": 7, "tool_calls": 1, "error": None,
        **changes,
    }  # fmt: skip


def request(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"r{number}", "status": 200, "run": RUN, "session": SESSION, "value_nano_usd": VALUE_NANO_USD,
        "streamed": 1, "at_us": number * 1_000_000, "error_code": "", **changes,
    }  # fmt: skip


def charge(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"r{number}", "input_tokens": 10, "output_tokens": 5, "cost_nano_usd": 100, "estimated": 0,
        "purpose": "useful", **changes,
    }  # fmt: skip


def green() -> Scenes:
    good = Scene(said(), Books([request(1)], [charge(1)], {"r1": 100}, frozenset({"chat"})))
    wrong = said(error={"type": "APIStatusError", "message": "402"})
    waited = Books([request(0, run=HOLDER), request(1, status=429), request(2)])
    return {
        "plain": good,
        "stream": good,
        "broke": Scene(wrong, Books([request(1, status=402)])),
        "busy": Scene(said(), waited),
        "cut": Scene(wrong, Books()),
    }


def change(name: str, **changes: Any) -> Callable[[Scenes], None]:
    """Change what was said in a scene."""

    def apply(scenes: Scenes) -> None:
        scenes[name] = replace(scenes[name], said=said(**changes))

    return apply


def book(name: str, **changes: Any) -> Callable[[Scenes], None]:
    """Change the books of a scene."""

    def apply(scenes: Scenes) -> None:
        scenes[name] = replace(scenes[name], books=replace(scenes[name].books, **changes))

    return apply


ERROR = {"type": "TimeoutError", "message": ""}
WRONG: list[tuple[str, Callable[[Scenes], None]]] = [
    ("completed", change("plain", answer=" ")),
    ("completed", change("stream", error=ERROR)),
    ("completed", book("plain", spoken=frozenset({"responses"}))),
    ("tool", change("plain", tool_calls=0)),
    ("tool", change("stream", tool_calls=0)),
    ("streamed", change("stream", chunks=1)),
    ("streamed", book("stream", requests=[request(1, streamed=0)])),
    ("usage", change("stream", input_tokens=None, output_tokens=None)),
    ("usage", change("plain", output_tokens=6)),
    ("cost", book("plain", billed={"r1": 101})),
    ("cost", book("plain", billed={})),
    ("cost", book("stream", charges=[charge(1, estimated=1)])),
    ("cost", book("stream", billed={"r1": 100, "r2": 1})),
    ("run", book("plain", requests=[request(1, run="other")])),
    ("run", book("stream", requests=[request(1), request(2, session=None)])),
    ("run", book("stream", requests=[request(1, value_nano_usd=None)])),
    ("402", book("broke", requests=[request(1, status=402), request(2, status=402)])),
    ("402", book("broke", requests=[])),
    ("402", book("broke", requests=[request(1, status=400)])),
    ("402", change("broke")),
    ("429", book("busy", requests=[request(1)])),
    ("429", book("busy", requests=[request(1, status=429), request(2, at_us=1_500_000)])),
    ("429", book("busy", requests=[request(1, status=429)])),
    ("429", change("busy", error=ERROR)),
    ("cut", change("cut")),
    ("cut", change("cut", error=ERROR, silent=True)),
]


def test_all_is_green() -> None:
    assert {name: cell.state for name, cell in judge(VARIANT, green()).items()} == dict.fromkeys(COLUMNS, YES)


@pytest.mark.parametrize(("column", "spoil"), WRONG)
def test_a_column_turns_red(column: str, spoil: Callable[[Scenes], None]) -> None:
    scenes = green()
    spoil(scenes)
    cell = judge(VARIANT, scenes)[column]
    assert cell.state == NO
    assert cell.evidence


def test_every_column_is_spoiled_somewhere() -> None:
    assert {column for column, _ in WRONG} == set(COLUMNS)


def test_a_known_limit_is_explained_only_where_it_shows() -> None:
    variant = replace(VARIANT, explained={"402": "It starts over: {evidence}."})
    assert judge(variant, green())["402"].state == YES
    scenes = green()
    book("broke", requests=[request(number, status=402) for number in range(3)])(scenes)
    cell = judge(variant, scenes)["402"]
    assert (cell.state, cell.footnote) == (EXPLAINED, "It starts over: 3 calls.")


def test_what_the_provider_refused_needs_no_bill() -> None:
    scenes = green()
    book("plain", charges=[charge(1), charge(2, cost_nano_usd=0, purpose="failed", input_tokens=0, output_tokens=0)])(
        scenes
    )
    assert judge(VARIANT, scenes)["cost"].state == YES


def test_what_could_not_be_read_counts_for_nothing() -> None:
    scenes = green()
    unread = request(0, status=400, run=None, streamed=0, error_code="invalid_value")
    for name in ("plain", "stream", "broke"):
        book(name, requests=[unread, *scenes[name].books.requests])(scenes)
    assert {cell.state for cell in judge(VARIANT, scenes).values()} == {YES}


def test_a_native_deployment_is_asked_natively() -> None:
    variant = replace(VARIANT, api="beta", model=NATIVE)
    scenes = green()
    assert judge(variant, scenes)["completed"].state == NO
    for name in ("plain", "stream"):
        book(name, spoken=frozenset({"messages"}))(scenes)
    assert judge(variant, scenes)["completed"].state == YES


def test_a_script_that_never_spoke_is_red_everywhere() -> None:
    scenes = {name: Scene(None, Books()) for name in green()}
    assert {cell.state for cell in judge(VARIANT, scenes).values()} == {NO}


def test_what_was_not_run_has_no_cell() -> None:
    scenes = green()
    del scenes["busy"]
    assert set(judge(VARIANT, scenes)) == set(COLUMNS) - {"429"}
